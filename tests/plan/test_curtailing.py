"""Homes that must curtail PV: told by their cars and by the node above, proven by the judge."""

import dataclasses

import numpy as np
import pytest

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_MIN
from backfeed.plan.check import check, proposal_of
from backfeed.plan.layout import lay_out
from backfeed.plan.problem import Nodes, PlanProblem, Prices, Windows
from backfeed.plan.solve import solve
from backfeed.plan.structured import solve_structured

STEPS = 16


def homes(at=(1, 2), arrive=0, **wanted):
    """Return homes under a feeder, with more PV at four steps than they may sell, their cars there from a step on."""
    count, buy = len(at), np.where(np.arange(STEPS) < STEPS // 2, 0.3, 0.1)[None]
    nodes = Nodes.tree([f"n{k}" for k in range(max(at) + 1)], [-1, *[0] * max(at)], STEPS)
    nodes.metered[1:] = True
    nodes.base_load_kw[1:], nodes.pv_kw[1:, 4:8] = 0.5, 9.0
    nodes.export_limit_kw[1:], nodes.import_limit_kw[0] = 5.0, 9.0

    def column(name, usual):
        return np.full(count, wanted.get(name, usual), np.float64)

    windows = Windows(
        vehicle=tuple(f"car {i}" for i in range(count)),
        node=np.array(at),
        arrive_step=np.broadcast_to(np.array(arrive), count),
        depart_step=np.full(count, STEPS),
        charge_max_kw=column("charge", 11.0),
        discharge_max_kw=column("discharge", 11.0),
        charge_efficiency=column("efficiency", 0.95),
        discharge_efficiency=column("efficiency", 0.95),
        energy_arrival_kwh=column("arrival", 20.0),
        energy_target_kwh=column("target", 32.0),
        energy_min_kwh=column("floor", 10.0),
        energy_max_kwh=column("capacity", 60.0),
        wear_per_kwh=column("wear", 0.05),
        hold_per_kwh_h=column("hold", 0.0),
    )
    axis = TimeAxis(0, 15 * MS_PER_MIN, STEPS)
    return PlanProblem(axis=axis, prices=Prices(("zone",), buy, 0.9 * buy), nodes=nodes, windows=windows)


def agree(problem):
    """Solve with HiGHS and without the homes' nodes; compare, and let the judge prove the bound from prices."""
    exact, schedule = solve(problem, method="highs"), solve_structured(problem, 1e-6)
    size = max(1.0, abs(exact.objective))
    verdict = check(problem, proposal_of(schedule))
    assert schedule.objective == pytest.approx(exact.objective, abs=5e-6 * size)
    assert verdict.objective == pytest.approx(schedule.objective, abs=1e-9 * size)
    assert verdict.lower_bound == pytest.approx(schedule.lower_bound, abs=1e-7 * size)
    return schedule


def test_a_home_curtails_while_its_car_stands_there_without_a_node():
    problem = homes(arrival=31.0, target=32.0, capacity=32.0, discharge=0.0)
    layout = lay_out(problem)
    assert not layout.folding.kept[1:].any()
    assert layout.folding.homes.spare_kw[:, 4:8] == pytest.approx(9.0)
    assert not len(layout.folding.homes.left.home)
    schedule = agree(problem)
    assert schedule.net_kw[1, 4:8].min() == pytest.approx(-5.0, abs=1e-5)
    assert schedule.curtailed_kw[1, 4:8].sum() * 0.25 == pytest.approx(4 * 0.25 * 3.5 - 1.0 / 0.95, abs=1e-4)


def test_what_limits_do_not_let_out_is_curtailed_while_no_car_stands_there():
    problem = homes(arrive=8, target=20.0)
    left = lay_out(problem).folding.homes.left
    assert left.lift_kw == pytest.approx(3.5)
    assert left.width_kw == pytest.approx(0.0)
    schedule = agree(problem)
    assert schedule.curtailed_kw[1:, 4:8] == pytest.approx(3.5)
    assert schedule.duals.balance_per_kwh[1:, 4:8] == pytest.approx(0.0, abs=1e-9)


def test_a_crowded_feeder_has_what_homes_still_sell_curtailed_at_what_selling_pays():
    problem = homes(arrive=8, target=20.0)
    problem.nodes.export_limit_kw[0] = 7.0
    layout = lay_out(problem)
    assert layout.folding.homes.left.width_kw == pytest.approx(5.0)
    assert layout.pieces.curtail_kw[0, 4:8] == pytest.approx(10.0)
    assert layout.pieces.curtail_cost[0, 4:8] == pytest.approx(0.25 * problem.prices.sell_per_kwh[0, 4:8])
    schedule = agree(problem)
    assert schedule.net_kw[0, 4:8] == pytest.approx(-7.0, abs=1e-6)
    assert schedule.curtailed_kw[1:, 4:8] == pytest.approx(5.0, abs=1e-6)
    assert schedule.duals.balance_per_kwh[0, 4:8] == pytest.approx(-problem.prices.sell_per_kwh[0, 4:8], abs=1e-5)


def test_nothing_is_sold_where_that_costs_and_nothing_is_above():
    problem = homes(arrive=8, target=20.0)
    problem.prices.sell_per_kwh[0, 5] = -0.05
    left = lay_out(problem).folding.homes.left
    assert left.lift_kw[left.step == 5] == pytest.approx(8.5)
    assert agree(problem).net_kw[1:, 5] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("share", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("limit", [0.0, 2.0])
def test_homes_that_may_sell_little_agree_whatever_selling_pays(share, limit):
    problem = homes()
    problem.nodes.export_limit_kw[1:] = limit
    problem.prices.sell_per_kwh[:] = share * problem.prices.buy_per_kwh
    level = share == 1.0  # to buy and to burn costs nothing then
    assert lay_out(problem).folding.kept[1:].tolist() == [level, level]
    agree(problem)


def test_a_home_keeps_its_node_where_its_pv_is_not_its_car_s_alone_to_curtail():
    paid, pinched, mixed = (homes(at=(1, 2, 3), target=22.0) for _ in range(3))
    paid.prices.buy_per_kwh[0, 5] = paid.prices.sell_per_kwh[0, 5] = -0.1  # burning it would pay
    pinched.nodes.parent[3], pinched.nodes.metered[3], pinched.nodes.pv_kw[3] = 2, False, 0.0
    two = np.vstack((mixed.prices.buy_per_kwh, mixed.prices.buy_per_kwh))
    prices = dataclasses.replace(mixed.prices, zone=("one", "other"), buy_per_kwh=two, sell_per_kwh=0.8 * two)
    mixed = dataclasses.replace(mixed, prices=prices)
    mixed.nodes.zone[2] = 1
    for problem, told in ((paid, []), (pinched, [1]), (mixed, [1, 3])):
        assert lay_out(problem).folding.homes.node.tolist() == told
        agree(problem)


def test_homes_that_share_a_node_without_meeting_are_decided_there():
    """Their cars never stand there at one time, but what both sell does."""
    problem = homes(arrive=(0, 6), target=22.0)
    problem.windows.depart_step[0] = 6
    problem.nodes.export_limit_kw[0] = 6.0
    folding = lay_out(problem).folding
    assert folding.alone.tolist() == [False, True, True]
    assert folding.homes.node.tolist() == [1, 2]
    agree(problem)


def test_a_limit_of_curtailed_pv_is_broken_where_that_is_worth_its_penalty():
    problem = homes(arrive=8, target=20.0)
    problem.prices.buy_per_kwh[0, 5], problem.prices.sell_per_kwh[0, 5] = 40.0, 36.0  # the penalty is 20
    schedule = agree(problem)
    assert {(slack.kind, slack.step) for slack in schedule.slacks} >= {("export_limit", 5)}
    assert schedule.net_kw[1, 5] == pytest.approx(-8.5)


def test_homes_sell_beyond_their_limits_where_that_keeps_others_from_being_broken():
    """Each kW sold keeps two import limits above from being broken by one more."""
    problem = homes(at=(2, 3), arrive=8, target=20.0)
    nodes = problem.nodes
    nodes.parent[2:], nodes.metered[1], nodes.pv_kw[1] = 1, False, 0.0
    nodes.base_load_kw[0], nodes.import_limit_kw[:2] = 60.0, 1.0
    nodes.base_load_kw[1] = 60.0
    schedule = agree(problem)
    assert {slack.where for slack in schedule.slacks if slack.kind == "export_limit"} == {"n2", "n3"}
    assert schedule.curtailed_kw == pytest.approx(0.0, abs=1e-4)


def test_the_judge_proves_the_bound_of_homes_that_curtail_long_before_the_gap_is_closed():
    problem = homes()
    problem.nodes.export_limit_kw[0] = 7.0
    exact = solve(problem, method="highs")
    for most in range(2, 12, 3):
        schedule = solve_structured(problem, 1e-9, iteration_limit=most)
        verdict = check(problem, proposal_of(schedule))
        assert schedule.lower_bound - 1e-9 <= verdict.lower_bound <= exact.objective + 1e-9
