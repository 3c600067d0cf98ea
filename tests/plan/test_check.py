"""The judge agrees with the solver where both are right, and its bound holds at any prices."""

import numpy as np
import pytest

from backfeed.core.rng import Streams
from backfeed.plan.check import Proposal, check, proposal_of
from backfeed.plan.solve import solve, solve_by_rule


@pytest.mark.parametrize("seed", range(100, 180))
def test_judge_finds_the_cost_and_proves_the_bound(random_problem, seed):
    problem = random_problem(seed)
    schedule = solve(problem, method="highs")
    verdict = check(problem, proposal_of(schedule))
    size = max(1.0, abs(schedule.objective))
    assert verdict.objective == pytest.approx(schedule.objective, abs=1e-7 * size)
    assert verdict.lower_bound <= schedule.objective + 1e-7 * size
    assert verdict.lower_bound >= schedule.lower_bound - 1e-5 * size
    assert verdict.max_violation_kw < 1e-6
    assert verdict.max_violation_kwh < 1e-6


@pytest.mark.parametrize("seed", range(200, 220))
def test_bound_holds_at_any_prices(random_problem, seed):
    problem = random_problem(seed, count=12)
    rng = Streams(seed).generator("prices")
    schedule = solve(problem, method="highs")
    guess = Proposal(
        schedule.power_flat_kw,
        schedule.curtailed_kw,
        rng.uniform(-0.5, 1.0, len(schedule.power_flat_kw)),
        rng.uniform(-0.5, 0.5, schedule.curtailed_kw.shape),
        rng.uniform(-0.1, 1.0, len(problem.commitments)),
    )
    assert check(problem, guess).lower_bound <= schedule.objective + 1e-6 * max(1.0, abs(schedule.objective))


@pytest.mark.parametrize("seed", range(220, 240))
def test_rule_based_plan_keeps_every_hard_bound_and_never_beats_the_optimum(random_problem, seed):
    problem = random_problem(seed)
    ruled = solve_by_rule(problem)
    verdict = check(problem, proposal_of(ruled))
    best = solve(problem, method="highs")
    assert verdict.objective == pytest.approx(ruled.objective, abs=1e-7 * max(1.0, abs(ruled.objective)))
    assert max(verdict.max_violation_kw, verdict.max_violation_kwh) < 1e-6
    assert ruled.objective >= best.lower_bound - 1e-6 * max(1.0, abs(best.lower_bound))
    assert np.all(ruled.power_flat_kw >= 0)
