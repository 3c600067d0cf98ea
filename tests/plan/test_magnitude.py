"""The unit of power: chargers of any size are planned as well as those of cars."""

import pytest

from backfeed.plan.check import check, proposal_of
from backfeed.plan.magnitude import CARS_KW, in_kilowatts, in_unit, unit_of_power
from backfeed.plan.solve import solve
from backfeed.plan.structured import solve_structured

GAP = 1e-6


@pytest.mark.parametrize("unit_kw", [2.0**-9, 2.0**9])
@pytest.mark.parametrize("seed", [2, 4, 5, 8])
def test_chargers_of_any_size_are_planned_in_as_few_iterations_as_cars(random_problem, seed, unit_kw):
    cars = random_problem(seed, tree="flat", peak=0.4, base=True, rows=12, count=24, negative=False, inverted=False)
    problem = in_unit(cars, unit_kw)
    schedule, verdict = solve_structured(problem, GAP), None
    assert schedule.gap <= GAP
    assert schedule.iterations < 50, "it was 200, without a proof, where tolerances were those of cars"
    verdict, reference = check(problem, proposal_of(schedule)), solve(problem, method="highs")
    size = max(abs(reference.objective), 1.0)
    assert verdict.objective == pytest.approx(reference.objective, abs=2 * GAP * size)
    assert verdict.gap <= 2 * GAP
    assert max(verdict.max_violation_kw, verdict.max_violation_kwh) < 1e-6 / unit_kw


def test_a_problem_in_another_unit_is_the_same_problem(random_problem):
    problem = random_problem(3)
    assert unit_of_power(problem) == 1.0
    other = in_unit(problem, 64.0)
    again = in_kilowatts(problem, solve(other, method="highs"), 64.0)
    assert again.objective == pytest.approx(solve(problem, method="highs").objective, abs=1e-7 * abs(again.objective))


@pytest.mark.parametrize("unit_kw", [2.0**-12, 2.0**-5, 0.25, 1.0, 0.5, 2.0**4, 2.0**13])
def test_chargers_are_of_some_ten_units(random_problem, unit_kw):
    problem = in_unit(random_problem(3), 1 / unit_kw)
    told = in_unit(problem, unit_of_power(problem))
    assert CARS_KW[0] <= told.windows.charge_max_kw.mean() <= CARS_KW[1]
