"""Nodes without a system of their own: plans, bounds and prices are those of the whole tree."""

import dataclasses

import numpy as np
import pytest

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_MIN
from backfeed.plan.certificate import lower_bound, values_of_energy
from backfeed.plan.check import check, proposal_of
from backfeed.plan.interior import InteriorPoint
from backfeed.plan.layout import lay_out
from backfeed.plan.pace import LOOK
from backfeed.plan.problem import Nodes, PlanProblem, Prices, Windows
from backfeed.plan.schedule import price_plan
from backfeed.plan.solve import solve
from backfeed.plan.structured import solve_structured
from backfeed.plan.unfolding import limits_missed, worth_of_bounds

STEPS = 16


def site(parent, at, **wanted):
    """Return cars at nodes of a tree, over four hours whose second half is cheap."""
    count = len(at)
    buy = np.where(np.arange(STEPS) < STEPS // 2, 0.3, 0.1)[None]

    def column(name, usual):
        return np.full(count, wanted.get(name, usual), np.float64)

    return PlanProblem(
        axis=TimeAxis(0, 15 * MS_PER_MIN, STEPS),
        prices=Prices(("zone",), buy, 0.9 * buy),
        nodes=Nodes.tree([f"n{k}" for k in range(len(parent))], parent, STEPS),
        windows=Windows(
            vehicle=tuple(f"car {i}" for i in range(count)),
            node=np.array(at),
            arrive_step=np.zeros(count, np.int64),
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
        ),
    )


def agree(problem, gap=1e-6):
    """Solve with HiGHS and with folded nodes; compare, and let the judge prove the bound from the nodes' prices."""
    exact, schedule = solve(problem, method="highs"), solve_structured(problem, gap)
    size = max(1.0, abs(exact.objective))
    assert schedule.objective == pytest.approx(exact.objective, abs=5 * gap * size)
    verdict = check(problem, proposal_of(schedule))
    assert verdict.objective == pytest.approx(schedule.objective, abs=1e-9 * size)
    assert verdict.lower_bound == pytest.approx(schedule.lower_bound, abs=1e-7 * size)
    assert verdict.gap < 5 * gap
    return schedule


def own_chains():
    """Return two cars, each on three nodes of its own under a root that binds, the middle ones the tightest."""
    problem = site([-1, 0, 1, 2, 0, 4, 5], [3, 6])
    limits = problem.nodes.import_limit_kw
    limits[0], limits[1:], limits[2], limits[5, ::2] = 9.0, 8.0, 5.0, 4.0
    problem.nodes.export_limit_kw[1:] = 3.0
    problem.nodes.base_load_kw[2] = 1.0
    return problem


def test_nodes_of_one_car_s_own_bound_its_powers():
    layout = lay_out(own_chains())
    assert layout.folding.kept.tolist() == [True, *6 * [False]]
    assert layout.folding.alone.tolist() == [False, False, True, True, False, True, True]  # the others are left out
    bounds = layout.folding.bounds
    charge = {row: bounds.left_kw[0, bounds.row == row] for row in range(2)}
    assert charge[0] == pytest.approx(4.0)  # 5 of the middle node less its base load
    assert charge[1] == pytest.approx(np.tile([4.0, 8.0], STEPS // 2))
    assert bounds.left_kw[1, bounds.row == 0] == pytest.approx(3.0)  # the lowest node is tighter than 3 + 1


def test_the_tightest_of_a_car_s_own_nodes_asks_its_price():
    schedule = agree(own_chains())
    price = schedule.duals.balance_per_kwh
    own = price - np.where(np.arange(7)[:, None] > 0, price[[0, 0, 1, 2, 0, 4, 5]], 0.0)
    cheap = np.arange(STEPS) >= STEPS // 2
    assert np.all(own[2, cheap][::2] > 1e-3)  # at the other steps the root does
    assert own[[1, 3]][:, cheap] == pytest.approx(0.0, abs=1e-9)
    assert not any(slack.kind == "import_limit" for slack in schedule.slacks)


def test_a_limit_is_broken_where_that_is_worth_its_penalty():
    problem = site([-1, 0, 0], [1, 2], arrival=2.0, floor=30.0, target=30.0, discharge=0.0)
    problem.nodes.import_limit_kw[:] = [[15.0], [1.0], [2.0]]
    assert lay_out(problem).folding.alone.tolist() == [False, True, True]
    schedule = agree(problem, 1e-5)
    broken = {slack.where for slack in schedule.slacks if slack.kind == "import_limit"}
    assert broken >= {"n1", "n2"}


def test_a_base_load_beyond_its_limit_keeps_the_node():
    problem = own_chains()
    problem.nodes.base_load_kw[3, 0] = 20.0
    layout = lay_out(problem)
    assert not layout.folding.alone[[1, 2, 3]].any()
    assert layout.folding.alone[[5, 6]].all()
    agree(problem)


def test_two_cars_at_a_node_are_alone_while_they_do_not_meet():
    problem = site([-1, 0], [1, 1, 0], target=25.0)
    problem.nodes.import_limit_kw[:] = [[8.0], [5.0]]
    apart = dataclasses.replace(problem.windows, arrive_step=np.array([0, 8, 0]), depart_step=np.array([8, 16, 16]))
    assert not lay_out(problem).folding.alone.any()
    problem = dataclasses.replace(problem, windows=apart)
    assert lay_out(problem).folding.alone.tolist() == [False, True]
    agree(problem)


def meters(**wanted):
    """Return two cars behind meters of their own, under a root that binds."""
    problem = site([-1, 0, 0, 2], [1, 3], **wanted)
    problem.nodes.metered[[1, 2]] = True
    problem.nodes.import_limit_kw[:] = [[9.0], [6.0], [7.0], [5.0]]
    problem.nodes.export_limit_kw[1:] = 4.0
    return problem


def meters_of(layout):
    """Return the kinks of meters that rows have for themselves, and by how much prices rise there, `(row, step)`."""
    bounds, shape = layout.folding.bounds, (len(layout.problem.windows), STEPS)
    kink, rise = np.zeros(shape), np.zeros(shape)
    kink[bounds.row, bounds.step], rise[bounds.row, bounds.step] = bounds.kink_kw, np.maximum(bounds.rise, 0.0)
    return kink, rise


def test_a_charger_s_own_meter_prices_its_car():
    problem = meters()
    layout = lay_out(problem)
    assert layout.folding.alone.tolist() == [False, True, True, True]
    assert layout.folding.meters.constant == 0.0
    price = agree(problem).duals.balance_per_kwh
    asked, buy = price[2] - price[0], problem.prices.buy_per_kwh[0]
    assert np.all(asked >= 0.9 * buy - 1e-9)
    assert np.all(asked <= buy + 1e-9)
    assert np.all((price[3] - price[2])[STEPS // 2 :] >= -1e-9)  # the car's node is tighter than its meter's


def test_a_home_s_load_is_paid_whatever_its_car_does():
    problem = meters(discharge=0.0)
    problem.nodes.base_load_kw[1:3] = [[0.4], [0.7]]
    layout = lay_out(problem)
    assert layout.folding.alone.tolist() == [False, True, True, True]
    assert layout.folding.meters.constant == pytest.approx(0.25 * 1.1 * problem.prices.buy_per_kwh.sum())
    agree(problem)


def test_a_home_s_meter_turns_at_a_power_of_its_car():
    problem = meters()
    problem.nodes.base_load_kw[1], problem.nodes.pv_kw[2, 3:9] = 0.4, 3.0
    layout = lay_out(problem)
    assert layout.folding.alone.tolist() == [False, True, True, True]
    kink, rise = meters_of(layout)
    assert kink[0] == pytest.approx(-0.4)
    assert np.flatnonzero(kink[1]).tolist() == list(range(3, 9))
    assert kink[1, 3:9] == pytest.approx(3.0)
    assert (rise > 0).tolist() == (kink != 0).tolist()
    assert rise[0] == pytest.approx(0.25 * 0.1 * problem.prices.buy_per_kwh[0])
    agree(problem)


def test_a_car_without_v2g_meets_the_kink_of_pv_only():
    problem = meters(discharge=0.0)
    problem.nodes.base_load_kw[1], problem.nodes.pv_kw[2, 3:9] = 0.4, 3.0
    layout = lay_out(problem)
    kink = meters_of(layout)[0][1]
    assert layout.folding.alone.tolist() == [False, True, True, True]
    assert kink == pytest.approx([0.0] * 3 + [3.0] * 6 + [0.0] * 7)
    agree(problem)


def test_a_kink_that_limits_keep_a_car_from_is_none():
    """The first home may not export, the second's car charges at a node with less room than its PV gives."""
    problem = meters()
    problem.nodes.base_load_kw[1], problem.nodes.pv_kw[2] = 0.4, 3.0
    problem.nodes.export_limit_kw[1], problem.nodes.import_limit_kw[3, 4:] = 0.0, 2.0
    layout = lay_out(problem)
    assert layout.folding.alone.tolist() == [False, True, True, True]
    assert meters_of(layout)[0] == pytest.approx(np.array([[0.0] * 16, [3.0] * 4 + [0.0] * 12]))
    buy, sell = (layout.fleet.buy[-2:], layout.fleet.sell[-2:])
    assert buy[1, 4:] == pytest.approx(0.9 * buy[0, 4:])
    assert sell == pytest.approx(buy)
    agree(problem)


def test_a_home_that_may_curtail_or_pays_for_exporting_keeps_its_meter():
    crowded, unpaid = meters(), meters()
    crowded.nodes.pv_kw[2, 3:9], unpaid.nodes.base_load_kw[2] = 5.0, 0.4  # it may export 4
    unpaid.prices.sell_per_kwh[0, 5] = -0.1
    for problem in (crowded, unpaid):
        assert lay_out(problem).folding.alone.tolist() == [False, True, False, True]
        agree(problem)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.0 - 1e-12, 1.0])
def test_homes_agree_whatever_exporting_earns(share):
    """A car may drive its home's meter to the kink from both sides, or past it where both prices are one."""
    problem = meters()
    problem.prices.sell_per_kwh[:] = share * problem.prices.buy_per_kwh
    problem.nodes.base_load_kw[1:3], problem.nodes.pv_kw[1, ::3] = [[0.4], [0.7]], 3.0
    level = share > 1.0 - 1e-9
    assert (meters_of(lay_out(problem))[1] > 0).any() != level
    agree(problem)


def shared_home(**wanted):
    """Return two homes at which cars follow each other, one of them driving between both, for shares of steps."""
    problem = site([-1, 0, 0], [1, 2, 1, 2], **wanted)
    nodes = problem.nodes
    nodes.metered[1:], nodes.base_load_kw[1:], nodes.pv_kw[1, 2:9] = True, [[0.8], [1.5]], 4.0
    nodes.import_limit_kw[:], nodes.export_limit_kw[:] = [[9.0], [8.0], [7.0]], 6.0
    windows = dataclasses.replace(
        problem.windows,
        vehicle=("one", "other", "other", "one"),
        arrive_step=np.array([0, 0, 8, 10]),
        depart_step=np.array([7, 7, 16, 15]),
        drain_kwh=np.array([np.nan, np.nan, 2.0, np.nan]),
        first_step_h=np.array([0.1, 0.25, 0.2, 0.05]),
        last_step_h=np.array([0.15, 0.25, 0.25, 0.2]),
    )
    return dataclasses.replace(problem, windows=windows)


@pytest.mark.parametrize("limit", [9.0, 200.0])
def test_rows_that_drives_link_keep_their_homes_kinks(limit):
    problem = shared_home(target=22.0)
    problem.nodes.import_limit_kw[0] = limit
    layout = lay_out(problem)
    assert layout.folding.alone.tolist() == [False, True, True]
    assert (meters_of(layout)[1] > 0).any(axis=1).sum() == 4
    agree(problem)


@pytest.mark.parametrize("narrow_only", [False, True])
@pytest.mark.parametrize("v2g", [0.0, 11.0])
def test_homes_are_eliminated_at_once_and_in_the_order_of_time(narrow_only, v2g):
    problem = meters(discharge=v2g)
    problem.nodes.base_load_kw[1:3], problem.nodes.pv_kw[1, ::3] = [[0.4], [0.7]], 3.0
    point = InteriorPoint(lay_out(problem), narrow_only=narrow_only)
    looked = np.inf
    while point.pursue(1e-8, looked, 120, None) == LOOK:
        looked = point.progress.products
    worth, less = worth_of_bounds(point.layout, point.price, values_of_energy(point))
    exact = solve(problem, method="highs")
    assert lower_bound(point, worth, less) == pytest.approx(exact.lower_bound, abs=1e-6 * max(1.0, exact.objective))


def homes(at=(1, 2), **wanted):
    """Return two homes with meters, PV and limits that PV alone keeps, over a feeder that binds."""
    problem = site([-1, 0, 0], list(at), **wanted)
    nodes = problem.nodes
    nodes.metered[1:] = True
    nodes.pv_kw[1:], nodes.base_load_kw[1:] = 4.0, 1.0
    nodes.export_limit_kw[:], nodes.import_limit_kw[0] = 8.0, 9.0
    return problem


def test_pv_is_not_curtailed_where_cars_would_rather_give_less():
    layout = lay_out(homes())
    assert not layout.pieces.curtail_kw.any()
    assert agree(homes()).gap < 1e-6


def test_pv_is_curtailed_where_it_breaks_a_limit_by_itself_or_earns_nothing():
    crowded, unpaid = homes(), homes()
    crowded.nodes.export_limit_kw[0, 3] = 5.9
    unpaid.prices.sell_per_kwh[0, 5] = -0.1
    for problem, step in ((crowded, 3), (unpaid, 5)):
        layout = lay_out(problem)
        assert layout.folding.kept.tolist() == [True, False, False]
        assert np.flatnonzero(layout.folding.homes.spare_kw.any(axis=0)).tolist() == [step]
        agree(problem)


def test_pv_is_curtailed_after_all_where_cars_would_rather_give_more():
    """Holding energy costs so much that a car gives what it has, and room for that is worth more than PV."""
    problem = homes(hold=2.0, target=10.0, floor=0.0, efficiency=1.0)
    held = np.ones(len(problem.nodes), np.bool_)
    assert not lay_out(problem).pieces.curtail_kw.any()
    assert lay_out(problem, held).pieces.curtail_kw.any()
    assert agree(problem).curtailed_kw.sum() > 1.0


def test_a_node_is_at_rest_where_no_car_stands_below():
    problem = homes(at=[1, 1, 2])
    problem.windows.arrive_step[:2] = 8
    layout = lay_out(problem)
    rests = (layout.pieces.width_kw == 0).all(axis=1)
    home = layout.pieces.owner == layout.holder[1]
    assert (layout.pieces.width_kw[home][:, :8] == 0).all()
    assert not rests[home].all()
    assert layout.pieces.low_kw[layout.holder[1], :8] == pytest.approx(-3.0)
    assert not rests[layout.pieces.owner == layout.holder[0]].all()
    agree(problem)


def shared(**wanted):
    """Return two cars at a node whose limits bind."""
    problem = site([-1], [0, 0], **wanted)
    problem.nodes.import_limit_kw[:], problem.nodes.export_limit_kw[:] = 9.0, 4.0
    return problem


def test_limits_are_first_taken_to_be_hard():
    layout = lay_out(shared())
    assert len(layout.pieces.width_kw) == 3
    assert layout.within.width_kw == pytest.approx(np.full((1, STEPS), 13.0))
    agree(shared())


def test_limits_are_soft_where_a_load_breaks_them_or_something_is_dearer():
    loaded, wanted = shared(), shared()
    loaded.nodes.base_load_kw[0, 2] = 9.5
    wanted = dataclasses.replace(wanted, penalties=dataclasses.replace(wanted.penalties, limit_per_kwh=5.0))
    for problem, steps in ((loaded, [2]), (wanted, list(range(STEPS)))):
        width = lay_out(problem).within.width_kw
        assert np.flatnonzero((width > 0).sum(axis=0) > 1).tolist() == steps
        agree(problem)


def test_a_limit_that_is_broken_at_its_penalty_is_soft_after_all():
    """Holding energy costs so much that cars give it away beyond the limit."""
    problem = shared(hold=200.0, target=10.0, floor=0.0, efficiency=1.0)
    assert (lay_out(problem).within.width_kw > 0).sum(axis=0).max() == 1
    schedule = agree(problem)
    assert schedule.net_kw.min() < -10.0


def test_a_chain_above_several_cars_is_one_node():
    problem = site([-1, 0, 1, 2], [3, 3, 3])
    problem.nodes.metered[0] = True
    problem.nodes.base_load_kw[:] = [[2.0], [1.0], [0.5], [0.0]]
    problem.nodes.import_limit_kw[:] = [[20.0], [16.0], [14.0], [15.0]]
    problem.nodes.import_limit_kw[1, ::3] = 11.0
    problem.nodes.export_limit_kw[:] = [[2.0], [9.0], [9.0], [9.0]]
    layout = lay_out(problem)
    assert layout.folding.kept.tolist() == [False, False, False, True]
    assert layout.folding.base.tolist() == [3, 3, 3, -1]
    price = agree(problem).duals.balance_per_kwh
    assert np.all(price[0] >= 0.9 * problem.prices.buy_per_kwh[0] - 1e-6)  # the meter's own, and what its limit asks
    own = np.diff(price, axis=0)
    assert own[0, 9::3] == pytest.approx(0.0, abs=1e-6) or np.any(own[0, 9::3] > 0)
    assert own[2] == pytest.approx(0.0, abs=1e-6)  # 14 less 0.5 is tighter than 15


def test_a_limit_that_those_below_keep_is_left_out():
    problem = site([-1, 0, 0], [1, 1, 2, 2])
    problem.nodes.import_limit_kw[:] = [[20.0], [9.0], [10.0]]
    problem.nodes.export_limit_kw[:] = [[30.0], [5.0], [5.0]]
    assert lay_out(problem).folding.kept.tolist() == [False, True, True]
    agree(problem)


def test_a_limit_that_was_left_out_and_is_broken_is_held():
    problem = site([-1, 0, 0], [1, 1, 2, 2], arrival=2.0, floor=30.0, target=30.0, discharge=0.0)
    problem.nodes.import_limit_kw[:] = [[4.5], [2.0], [2.0]]
    layout = lay_out(problem)
    assert not layout.folding.kept[0]
    schedule = agree(problem, 1e-5)
    assert {slack.where for slack in schedule.slacks if slack.kind == "import_limit"} >= {"n1", "n2"}
    full = np.tile(2.0 + 11.0 * 0.95 * 0.25 * np.arange(1, STEPS + 1), 4)
    hasty = price_plan(problem, full, schedule.curtailed_kw, schedule.duals, 0.0, "hasty")
    assert limits_missed(layout, hasty).tolist() == [True, False, False]
    assert lay_out(problem, np.array([True, False, False])).folding.kept.all()


def test_a_plan_that_keeps_all_limits_misses_none():
    problem = own_chains()
    schedule = solve(problem, method="highs")
    assert not limits_missed(lay_out(problem), schedule).any()
    idle = price_plan(problem, 0 * schedule.energy_flat_kwh + 20, schedule.curtailed_kw, schedule.duals, 0.0, "idle")
    assert not limits_missed(lay_out(problem), idle).any()


@pytest.mark.parametrize("seed", range(12))
def test_the_judge_proves_the_bound_of_folded_trees_from_their_prices(random_problem, seed):
    promised = {"promises": 0} if seed % 2 else {}
    wanted = {"rows": (3, 6)[seed % 2], "base": False, "infeasible": seed % 3 == 0}
    problem = random_problem(seed, tree="chains", **wanted, **promised)
    schedule = solve_structured(problem, 1e-6, iteration_limit=120)
    verdict = check(problem, proposal_of(schedule))
    size = max(1.0, abs(schedule.objective))
    assert verdict.lower_bound == pytest.approx(schedule.lower_bound, abs=1e-6 * size)
