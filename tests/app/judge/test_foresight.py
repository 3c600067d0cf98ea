"""Perfect foresight: as good as an independent program, never worse than any schedule, always drivable."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

from backfeed.app.foresight import ForesightEvent, foresee, held_back
from backfeed.app.foresight_grid import stay_grid
from backfeed.app.judge import JudgeTerms, WindowRows, judge_world
from backfeed.app.judge_account import owed_kwh
from backfeed.battery.warranty import WarrantyBudget
from backfeed.core.instant import MS_PER_H
from backfeed.core.rng import Streams
from backfeed.sim.replay import replay
from backfeed.sim.truth import QUARTER_MS

DAY = ([0.17] * 32 + [0.45] * 8 + [0.77] * 8 + [0.45] * 8 + [0.77] * 20 + [0.45] * 20) * 2
NO_WEAR = JudgeTerms(value_per_kwh=0.0)


def judged(city, truth, prices, sites, terms=None):
    rows = WindowRows(len(truth.sessions), 0)
    return judge_world(truth, rows=rows, prices=prices, sites=sites, zone=city.zone, terms=terms).result


def best(city, sessions, prices, sites, config=None, **options):
    config = config or city.config(prices)
    return foresee(sessions, prices=prices, sites=sites, zone=city.zone, config=config, **options)


def independent_optimum(sessions, prices, limit_kw, reserve):
    """Value of the same problem, written anew: one dense program over net powers split in two, no taper."""
    grid, n, axis = stay_grid(sessions, prices.axis), len(sessions), prices.axis
    m = len(grid)
    size = 2 * m + 2 * n
    cost = np.concatenate([prices.buy_per_kwh[grid.step] * grid.hours, -prices.sell_per_kwh[grid.step] * grid.hours])
    cost = np.concatenate([cost, np.full(n, 3.0), np.full(n, -prices.buy_per_kwh.min())])
    upper, bound, equal, value = [], [], [], []
    for i in range(n):
        row = np.zeros(size)
        for k in range(grid.offsets[i], grid.offsets[i + 1]):
            row[k] = sessions.charge_efficiency[i] * grid.hours[k]
            row[m + k] = -grid.hours[k] / sessions.discharge_efficiency[i]
            upper += [row.copy(), -row]
            floor = min(reserve * sessions.capacity_kwh[i], sessions.energy_arrival_kwh[i])
            start = sessions.energy_arrival_kwh[i]
            bound += [sessions.energy_full_kwh[i] - start, start - floor]
        end = row.copy()
        end[2 * m + i], end[2 * m + n + i] = 1, -1
        equal.append(end)
        value.append(owed_kwh(sessions)[i] - sessions.energy_arrival_kwh[i])
    for step in range(axis.count):
        row = np.zeros(size)
        row[:m], row[m : 2 * m] = grid.step == step, -1.0 * (grid.step == step)
        upper += [row, -row]
        bound += [limit_kw, limit_kw]
    limits = [(0, sessions.charge_max_kw[i]) for i in grid.session]
    limits += [(0, sessions.discharge_max_kw[i]) for i in grid.session] + [(0, None)] * (2 * n)
    return -linprog(cost, np.array(upper), np.array(bound), np.array(equal), np.array(value), limits).fun


def test_it_finds_what_an_independent_program_finds(city):
    prices = city.prices(DAY[:96], [price * 1.02 for price in DAY[:96]])
    sessions = city.sessions(
        {"arrival_h": 1.0, "departure_h": 15.0, "capacity_kwh": 500.0, "energy_arrival_kwh": 200.0},
        {"arrival_h": 3.0, "departure_h": 20.0, "capacity_kwh": 500.0, "energy_arrival_kwh": 130.0},
        {"arrival_h": 2.25, "departure_h": 9.75, "recorded_kwh": 30.0, "energy_arrival_kwh": 20.0},
    )
    site = city.site(import_limit_kw=12.0, export_limit_kw=12.0)
    found = best(city, sessions, prices, [site], terms=NO_WEAR)
    assert found.value == pytest.approx(independent_optimum(sessions, prices, 12.0, 0.25), abs=1e-6)
    assert judged(city, found.truth, prices, [site], NO_WEAR).net_value == pytest.approx(found.value, abs=1e-5)
    assert found.components == 1


@pytest.mark.parametrize("seed", range(4))
def test_drawn_cities_stay_inside_every_limit_and_lose_little_in_the_replay(city, seed):
    sessions, config = city.draw(seed, 60, 48, ("a", "b"))
    prices = city.prices(DAY, [price * 1.25 for price in DAY])
    sites = [
        city.site(15.0, 6.0, 3.0, ("a",), "A"),
        city.site(20.0, 0.0, 8.0, ("b",), "B"),
    ]
    found = best(city, sessions, prices, sites, config)
    result = judged(city, found.truth, prices, sites)
    assert sum(site.violations for site in result.sites.values()) == 0
    # Limits are never traded for promises in the replay, and tangents stand for the taper.
    assert result.net_value <= found.value + 0.05
    assert result.net_value > found.value - 0.01 * len(sessions) - 0.002 * abs(found.value)
    floor = np.minimum(config.reserve_soc * sessions.capacity_kwh, sessions.energy_arrival_kwh)
    segments = found.truth.segments
    assert (segments.energy_end_kwh >= floor[segments.session] - 1e-6).all()


@pytest.mark.parametrize("seed", range(3))
def test_no_other_schedule_is_better(city, seed):
    sessions, config = city.draw(seed + 10, 30, 48)
    prices, sites = city.prices(DAY), [city.site()]
    found = judged(city, best(city, sessions, prices, sites, config).truth, prices, sites).net_value
    at_once = replace(sessions, energy_full_kwh=sessions.energy_required_kwh)
    dice = Streams(seed).generator("schedules")
    full = np.repeat(sessions.charge_max_kw[:, None], prices.axis.count, axis=1)
    schedules = [(at_once, full), (at_once, np.where(np.array(DAY) < 0.5, full, 0.3 * full))]
    schedules += [(sessions, dice.uniform(-1, 1, full.shape) * full) for _ in range(3)]
    cheap, dear = np.array(DAY) < 0.2, np.array(DAY) > 0.7
    schedules.append((sessions, np.where(cheap, full, np.where(dear, -0.4 * full, 0.2 * full))))
    for cars, power in schedules:
        assert judged(city, replay(cars, prices.axis, power, config), prices, sites).net_value <= found + 1e-6


def left(energy_kwh=math.inf, hours=math.inf):
    return WarrantyBudget(energy_kwh, hours, math.inf, energy_kwh, 8.0)


def given_by(truth, rows):
    """Energy discharged in some sessions [kWh], and for how long [h]."""
    segments = truth.segments
    mine = np.isin(segments.session, rows) & (segments.energy_kwh < -1e-9)
    return -segments.energy_kwh[mine].sum(), segments.hours[mine].sum()


def test_a_warranty_budget_holds_over_all_stays_of_a_car_and_binds_nobody_else(city):
    stay = {"capacity_kwh": 60.0, "energy_arrival_kwh": 45.0, "recorded_kwh": 0.0}
    sessions = city.sessions(
        {"arrival_h": 0.0, "departure_h": 20.0, **stay},
        {"arrival_h": 24.0, "departure_h": 46.0, **stay},
        {"arrival_h": 0.0, "departure_h": 20.0, **stay},
    )
    sessions = replace(sessions, token=("ann", "ann", "bob"))
    prices, sites = city.prices(DAY, [2 * price for price in DAY]), [city.site()]
    free = best(city, sessions, prices, sites)
    most_kwh, most_h = given_by(free.truth, [0, 1])
    assert most_kwh > 30
    assert free.budgets == ()
    for energy_kwh, hours in ((12.0, math.inf), (0.0, math.inf), (math.inf, 2.0), (9.0, 1.5), (1e6, 1e6)):
        capped = best(city, sessions, prices, sites, budgets={"ann": ("ann", left(energy_kwh, hours))})
        found_kwh, found_h = given_by(capped.truth, [0, 1])
        assert found_kwh <= min(energy_kwh, most_kwh) + 1e-6
        assert found_h <= min(hours, most_h) + 1e-9
        assert given_by(capped.truth, [2]) == pytest.approx(given_by(free.truth, [2]))
        assert capped.value <= free.value + 1e-9
        if energy_kwh == 12.0:
            assert found_kwh == pytest.approx(12.0), "what is left is worth giving"
        if hours == 2.0:
            assert found_h == pytest.approx(2.0, abs=0.25)
    assert capped.budgets == (), "budgets that can not bind cost nothing"
    assert capped.value == pytest.approx(free.value)


def test_a_car_that_needs_its_whole_stay_up_into_the_taper_is_not_short(city):
    sessions = city.sessions({"energy_arrival_kwh": 54.0, "departure_h": 0.9, "taper_soc": 0.9, "recorded_kwh": 0.0})
    cars = sessions.cars()
    reached = owed_kwh(replace(sessions, energy_required_kwh=np.array([59.0]), recorded_kwh=np.array([5.0 / 0.9])))[0]
    tight = replace(sessions, energy_required_kwh=np.array([reached]))
    assert len(cars) == 1
    found = best(city, tight, city.prices([0.5] * 8), [city.site()])
    assert found.truth.energy_departure_kwh[0] == pytest.approx(reached, abs=0.01)


def test_a_charging_car_that_leaves_takes_its_offset_with_it(city):
    # While the first charges at 7 kW the other two could give 14 kW behind an export limit of 7; after it has
    # left, in the middle of the step, they can not.
    prices = city.prices([0.1, 0.1], [5.0, 5.0])
    sessions = city.sessions(
        {"departure_h": 0.1, "recorded_kwh": 0.7, "charge_efficiency": 1.0, "energy_arrival_kwh": 20.0},
        {"departure_h": 0.5, "recorded_kwh": 0.0},
        {"departure_h": 0.5, "recorded_kwh": 0.0},
    )
    site = city.site(export_limit_kw=7.0)
    found = best(city, sessions, prices, [site])
    result = judged(city, found.truth, prices, [site])
    assert result.sites["garage"].violations == 0
    assert result.sites["garage"].peak_export_kw == pytest.approx(7.0)


def test_chargers_that_err_are_told_what_makes_them_right(city):
    prices = city.prices([0.2] * 4 + [0.9] * 4)
    exact = city.sessions({"departure_h": 2.0})
    erring = replace(exact, charger_error=np.array([-0.01]))
    values = [best(city, each, prices, [city.site()]) for each in (exact, erring)]
    assert values[0].truth.energy_departure_kwh[0] == pytest.approx(values[1].truth.energy_departure_kwh[0])


def test_where_discharge_pays_more_than_charge_no_car_does_both_at_once(city):
    prices = city.prices([0.2] * 8, [2.0] * 8)
    found = best(city, city.sessions({"departure_h": 2.0}), prices, [city.site()])
    # An hour out, an hour in would be feasible; both at once would sell for all two hours.
    assert judged(city, found.truth, prices, [city.site()]).discharged_kwh < 14.0 - 1e-6
    assert found.value == pytest.approx(judged(city, found.truth, prices, [city.site()]).net_value, abs=1e-4)


def event(city, direction, promised, price, *, baseline=0.0):
    start = city.start_ms + 4 * QUARTER_MS
    curve = ((0.8, 0.8), (1.2, 1.2))
    return ForesightEvent("e", direction, start, start + 4 * QUARTER_MS, baseline, promised, price, curve)


@pytest.mark.parametrize(("direction", "sign"), [("peak_shave", -1), ("valley_fill", 1)])
def test_an_event_that_pays_is_delivered_up_to_what_is_paid(city, direction, sign):
    prices, sessions = city.prices([0.5] * 12), city.sessions({"departure_h": 3.0, "recorded_kwh": 1.0})
    found = best(city, sessions, prices, [city.site()], events=[event(city, direction, 4.0, 9.0)])
    assert found.events
    inside = (found.truth.segments.from_ms - city.start_ms) // MS_PER_H == 1
    assert sign * found.truth.segments.energy_kwh[inside].sum() == pytest.approx(4.8, abs=1e-6)


def test_an_event_that_pays_too_little_or_asks_too_much_is_left(city):
    prices, sessions = city.prices([0.5] * 12), city.sessions({"departure_h": 3.0, "recorded_kwh": 1.0})
    poor = best(city, sessions, prices, [city.site()], events=[event(city, "peak_shave", 4.0, 0.001)])
    impossible = best(city, sessions, prices, [city.site()], events=[event(city, "peak_shave", 400.0, 9.0)])
    assert poor.events == impossible.events == ()


def test_an_event_that_can_not_be_delivered_does_not_spoil_another(city):
    prices, sessions = city.prices([0.5] * 12), city.sessions({"departure_h": 3.0, "recorded_kwh": 1.0})
    good = event(city, "peak_shave", 4.0, 9.0)
    impossible = replace(event(city, "peak_shave", 400.0, 9.0), invitation="too much")
    found = best(city, sessions, prices, [city.site()], events=[impossible, good])
    assert [each.invitation for each in found.events] == ["e"]


def test_reserves_and_limits_hold_value_back_only_where_they_bind(city):
    prices = city.prices([0.2] * 16 + [2.0] * 16)
    sessions = city.sessions({"departure_h": 8.0, "recorded_kwh": 0.0}, {"departure_h": 8.0, "recorded_kwh": 0.0})
    found = {}
    for name, site in (("free", city.site()), ("tight", city.site(export_limit_kw=3.0))):
        world = {"prices": prices, "sites": [site], "zone": city.zone, "config": city.config(prices)}
        found[name] = held_back(foresee(sessions, **world), **world)
    assert found["free"]["limits"] == 0.0
    assert found["tight"]["limits"] > 10.0
    assert found["free"]["reserves"] >= 0.0


def test_the_promise_at_departure_holds_value_back_only_where_energy_sells_above_every_buy_price(city):
    sessions = city.sessions({"departure_h": 4.0, "recorded_kwh": 8.0})
    found = {}
    for name, sold in (("cheap", 0.4), ("dear", 2.5)):
        prices = city.prices([0.5] * 16, [0.1] * 8 + [sold] * 8)
        world = {"prices": prices, "sites": [city.site()], "zone": city.zone, "config": city.config(prices)}
        found[name] = held_back(foresee(sessions, **world), **world)["rules"]
    assert found["cheap"] < 0.05 * found["dear"]
    assert found["dear"] > 5.0


def test_a_car_whose_owner_has_said_no_is_not_discharged_from_that_day_on(city):
    prices = city.prices([0.2] * 48 + [0.9] * 48 + [0.2] * 48 + [0.9] * 48)
    sessions = city.sessions(*({"departure_h": 48.0, "recorded_kwh": 0.1}, {"departure_h": 48.0, "recorded_kwh": 0.1}))

    def consents(owner, site, day):
        assert site == "garage"
        return owner != "user-1" or day.day == 6

    found = best(city, sessions, prices, [city.site()], terms=NO_WEAR, consents=consents)
    segments = found.truth.segments
    given = np.maximum(-segments.energy_kwh, 0)
    first = segments.from_ms < city.start_ms + 24 * MS_PER_H
    for session, day, least in ((0, first, 10.0), (0, ~first, 10.0), (1, first, 10.0)):
        assert given[(segments.session == session) & day].sum() > least
    assert given[(segments.session == 1) & ~first].sum() == 0.0


def test_without_sessions_there_is_nothing_to_foresee(city):
    prices = city.prices([0.5] * 12)
    found = best(city, city.sessions(), prices, [city.site()])
    assert found.value == 0.0
    assert len(found.truth.segments) == 0
