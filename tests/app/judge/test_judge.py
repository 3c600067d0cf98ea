"""The judge's accounts, against numbers worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from backfeed.app.judge import DemandResponseOutcome, JudgeTerms, WindowRows, judge_world
from backfeed.app.judge_account import account_sessions, owed_kwh, valley_steps
from backfeed.battery.law import WEAR_LAWS
from backfeed.battery.wear import path_cost
from backfeed.sim.replay import replay


def judge(city, sessions, prices, power, *, sites=None, **options):
    truth = replay(sessions, prices.axis, np.atleast_2d(np.array(power, float)), city.config(prices))
    rows = WindowRows(len(sessions), 0)
    return truth, judge_world(truth, rows=rows, prices=prices, sites=sites or [city.site()], zone=city.zone, **options)


def test_energy_is_bought_and_sold_at_the_price_of_its_quarter_hour(city):
    prices = city.prices([0.2, 0.2, 0.5, 0.8], [0.1, 0.1, 0.4, 0.9])
    sessions = city.sessions({"departure_h": 1.0})
    _, world = judge(city, sessions, prices, [4, 6, 0, -2])
    result = world.result
    assert result.charged_kwh == pytest.approx(2.5)
    assert result.discharged_kwh == pytest.approx(0.5)
    assert result.energy_cost == pytest.approx(2.5 * 0.2)
    assert result.discharge_revenue == pytest.approx(0.5 * 0.9)


def test_granted_subsidies_are_part_of_the_revenue(city):
    prices = replace(city.prices([0.5] * 4), subsidy_per_kwh=np.full(4, 2.0))
    _, world = judge(city, city.sessions({"departure_h": 1.0}), prices, [-4] * 4)
    assert world.result.discharge_revenue == pytest.approx(4 * 2.5)


def test_the_net_value_is_the_sum_of_its_parts(city):
    outcome = DemandResponseOutcome("shave", 10.0, 8.0, 6.5)
    sessions = city.sessions({"departure_h": 1.0}, {"arrival_h": 0.3, "departure_h": 0.9})
    _, world = judge(city, sessions, city.prices([0.2, 0.3, 0.5, 0.8]), [[7, -7, 3, 1]] * 2, demand_response=[outcome])
    r = world.result
    parts = r.discharge_revenue + r.dr_revenue - r.energy_cost - r.wear_cost - r.shortfall_cost + r.terminal_adjustment
    assert r.net_value == pytest.approx(parts, abs=1e-12)
    assert world.sessions.net_value.sum() + 6.5 == pytest.approx(r.net_value)
    assert r.dr[0].ratio == 0.8


def test_what_is_missing_at_a_departure_costs_three_a_kwh_of_battery_energy(city):
    sessions = city.sessions({"departure_h": 1.0, "recorded_kwh": 4.0})
    _, world = judge(city, sessions, city.prices([0.5] * 4), [2] * 4)
    missing = 4.0 * 0.9 - 2.0 * 0.9
    assert world.result.shortfall_cost == pytest.approx(3 * missing)
    departures = world.result.departures
    assert (departures.feasible, departures.short) == (1, 1)
    assert departures.short_kwh == departures.worst_kwh == pytest.approx(missing)


def test_less_than_a_kwh_missing_is_priced_but_not_short(city):
    sessions = city.sessions({"departure_h": 1.0, "recorded_kwh": 4.0})
    _, world = judge(city, sessions, city.prices([0.5] * 4), [3] * 4)
    assert world.result.shortfall_cost == pytest.approx(3 * 0.9)
    assert world.result.departures.short == 0


def test_nobody_is_blamed_for_more_than_charging_at_once_would_have_reached(city):
    sessions = city.sessions({"departure_h": 1.0, "recorded_kwh": 20.0})
    assert not sessions.feasible[0]
    assert owed_kwh(sessions)[0] == pytest.approx(30 + 7 * 0.9)
    _, world = judge(city, sessions, city.prices([0.5] * 4), [7] * 4)
    assert world.result.shortfall_cost == pytest.approx(0.0, abs=1e-9)
    _, late = judge(city, sessions, city.prices([0.5] * 4), [0, 7, 7, 7])
    assert late.result.shortfall_cost == pytest.approx(3 * 7 * 0.9 / 4)
    assert (late.result.departures.feasible, late.result.departures.short) == (0, 0)


def test_energy_above_the_need_is_credited_at_the_cheapest_price(city):
    sessions = city.sessions({"departure_h": 1.0, "recorded_kwh": 2.0})
    _, world = judge(city, sessions, city.prices([0.2, 0.9, 0.9, 0.9]), [4] * 4)
    assert world.result.terminal_adjustment == pytest.approx(0.2 * 2.0 * 0.9)


def test_a_car_still_there_at_the_end_pays_the_dearest_price_and_no_shortfall(city):
    sessions = city.sessions({"departure_h": 9.0, "recorded_kwh": 8.0})
    _, world = judge(city, sessions, city.prices([0.2, 0.9, 0.9, 0.9]), [4] * 4)
    assert world.result.terminal_adjustment == pytest.approx(-0.9 * 4.0 * 0.9)
    assert world.result.shortfall_cost == 0.0
    assert world.result.departures.feasible == 0


def test_wear_is_the_closed_form_on_every_cars_own_path(city):
    dice = np.random.Generator(np.random.PCG64(4))
    sessions = city.sessions(
        *({"arrival_h": 0.21 * i, "departure_h": 30 + i, "capacity_kwh": 50.0 + i} for i in range(5))
    )
    prices = city.prices([0.5] * 4 * 36)
    truth, world = judge(city, sessions, prices, dice.uniform(-7, 7, (5, 4 * 36)))
    assert world.result.wear_cost > 0
    for i in range(5):
        mine = truth.segments.session == i
        at_ms = np.concatenate([sessions.arrival_ms[i : i + 1], truth.segments.until_ms[mine]])
        energy = np.concatenate([sessions.energy_arrival_kwh[i : i + 1], truth.segments.energy_end_kwh[mine]])
        cost = path_cost(
            WEAR_LAWS[sessions.chemistry[i]], at_ms, energy / sessions.capacity_kwh[i], sessions.capacity_kwh[i],
            day_start_ms=city.start_ms,
        )  # fmt: skip
        assert world.sessions.wear_cost[i] == pytest.approx(cost.total, rel=1e-12)


def test_a_standing_battery_wears_too(city):
    _, world = judge(city, city.sessions({}), city.prices([0.5] * 16), [0] * 16)
    assert world.result.wear_cost > 0


def test_the_net_offpeak_share_leaves_out_what_was_fed_back_latest_first(city):
    # 4 kWh in the valley, 2 kWh at peak, then 1 kWh back: it takes 1 / (0.9 x 0.95) kWh of the peak's charge.
    prices = city.prices([0.2] * 4 + [0.9] * 8)
    _, world = judge(city, city.sessions({}), prices, [4] * 4 + [2] * 4 + [-1] * 4)
    fed_back = 1 / (0.9 * 0.95)
    assert world.result.offpeak_share.gross == pytest.approx(4 / 6)
    assert world.result.offpeak_share.net == pytest.approx(4 / (6 - fed_back))


def test_energy_that_came_with_the_car_is_nobodys_charge(city):
    prices = city.prices([0.9] * 4 + [0.2] * 4)
    _, world = judge(city, city.sessions({}), prices, [-4] * 4 + [4] * 4)
    assert world.result.offpeak_share.net == world.result.offpeak_share.gross == 1.0


def test_a_period_is_offpeak_by_the_words_of_its_name(city):
    names = ("valley", "deep_valley", "off-peak", "Night", "deep", "peak", "flat", "offset", "critical", "all")
    prices = city.prices([0.5] * len(names), period=names)
    assert valley_steps(prices).tolist() == [True] * 5 + [False] * 5


def test_a_world_without_charge_has_no_offpeak_share(city):
    _, world = judge(city, city.sessions({}), city.prices([0.5] * 4), [0] * 4)
    assert world.result.offpeak_share.gross is None


def test_judging_a_permuted_world_permutes_the_accounts(city):
    sessions, config = city.draw(5, 40, 48)
    prices = city.prices(([0.2] * 32 + [0.5] * 32 + [0.8] * 32) * 2)
    power = np.random.Generator(np.random.PCG64(1)).uniform(-7, 7, (len(sessions), prices.axis.count))
    order = np.random.Generator(np.random.PCG64(2)).permutation(len(sessions))
    mixed = type(sessions)(
        **{
            name: tuple(column[i] for i in order) if isinstance(column, tuple) else column[order]
            for name, column in vars(sessions).items()
        }
    )
    straight = account_sessions(replay(sessions, prices.axis, power, config), prices, JudgeTerms())
    permuted = account_sessions(replay(mixed, prices.axis, power[order], config), prices, JudgeTerms())
    for name, column in vars(straight).items():
        np.testing.assert_allclose(vars(permuted)[name], column[order], rtol=1e-12, atol=1e-12, err_msg=name)


def test_rows_that_do_not_add_up_are_our_own_mistake(city):
    prices = city.prices([0.5] * 4)
    sessions = city.sessions({})
    truth = replay(sessions, prices.axis, np.zeros((1, 4)), city.config(prices))
    with pytest.raises(AssertionError, match="rejected"):
        judge_world(truth, rows=WindowRows(5, 1), prices=prices, sites=[city.site()], zone=city.zone)
