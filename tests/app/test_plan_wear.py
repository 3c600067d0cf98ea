"""Wear in the plan: no cycling that does not pay, prices at the plan, budgets that hold, the same every time."""

import asyncio
import math
from dataclasses import replace
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfeed.app.battery_book import BatteryBook
from backfeed.app.budget import within_budgets
from backfeed.app.enrolment import Enrolment
from backfeed.app.knowledge import Car
from backfeed.app.plan_path import FleetPlan, cell_paths
from backfeed.app.plan_wear import PASSES, PlanWear, WearMode, plain_prices
from backfeed.app.planning import Planning
from backfeed.app.subsidy_cap import SubsidyPurse
from backfeed.battery.chemistry import Chemistry
from backfeed.battery.law import WEAR_LAWS
from backfeed.battery.pricing import path_costs
from backfeed.battery.stress import SocPaths
from backfeed.battery.temperature import CellTemperature
from backfeed.core.axis import TimeAxis
from backfeed.core.ids import CountingIds
from backfeed.core.instant import MS_PER_DAY, MS_PER_H, MS_PER_MIN
from backfeed.core.rng import Streams
from backfeed.fleet.owner import EnrolledVehicle, Owner
from backfeed.fleet.site import Site
from backfeed.fleet.state import Plug
from backfeed.market.price import PriceSeries
from backfeed.plan.rolling import LEVELS, Terms

NOW_MS = 20_000 * MS_PER_DAY + 18 * MS_PER_H
QUARTER_MS = 15 * MS_PER_MIN
cells = pytest.mark.parametrize("chemistry", list(Chemistry))


class Inline:
    """Workers that do their job at once."""

    async def run(self, job, *arguments, deadline_s):
        assert deadline_s > 0
        return job(*arguments)

    def close(self):
        pass


def a_car(chemistry=Chemistry.LFP, *, energy=30.0, stays_h=14.0, evse=1, **limits):
    vehicle = EnrolledVehicle("Model", chemistry, 60.0, 7.0, 7.0, 0.9, 0.9)
    owner = Owner(f"owner-{evse}", 0.2, 0.8, vehicle)
    plug = Plug("S-1", evse, f"t-{evse}", owner.owner_id, NOW_MS, metered_ms=NOW_MS, soc_ms=NOW_MS)
    left_by_ms = np.full(len(LEVELS), NOW_MS + int(stays_h * MS_PER_H))
    return Car(plug, owner, "site", "S", energy, energy, 48.0, 7.0, 7.0, left_by_ms, **limits)


def prices_of(price_at):
    """Prices that buy and sell alike; `price_at` gives the price of an hour from now."""
    axis = TimeAxis(NOW_MS, QUARTER_MS, 4 * 48)
    values = np.array([price_at((start - NOW_MS) / MS_PER_H) for start in axis.starts_ms])
    exact = tuple(Decimal(str(value)) for value in values.tolist())
    none, names = (Decimal(0),) * axis.count, ("flat",) * axis.count
    return PriceSeries(axis, "CNY", exact, exact, none, names, names, values, values, np.zeros(axis.count), ())


def planning_of(price_at, mode=WearMode.TRUE, temperature=None, constant=0.08, import_limit_kw=math.inf):
    site = Site("site", ("S",), import_limit_kw, math.inf, (0.0,) * 96)
    enrolment = Enrolment(
        {"site": site},
        {"S": "site"},
        {},
        a_car().owner,
        7.0,
        ZoneInfo("UTC"),
        temperature=temperature or CellTemperature(),
    )
    prices = prices_of(price_at)
    return Planning(
        enrolment,
        prices,
        Inline(),
        CountingIds("plan"),
        step_ms=QUARTER_MS,
        horizon_ms=36 * MS_PER_H,
        discharges=True,
        terms=Terms(3.0, 0.2),
        wear=PlanWear(BatteryBook(enrolment, 20_000 * MS_PER_DAY), mode, constant),
        end_ms=NOW_MS + 48 * MS_PER_H,
        purse=SubsidyPurse(prices, ZoneInfo("UTC")),
    )


def planned(planning, *cars):
    """Plan the cars; return charged and discharged energy of each [kWh AC], shape `(car, 2)`."""
    asyncio.run(planning.replan(NOW_MS, cars, ["site"], []))
    moved = []
    for car in cars:
        power = np.nan_to_num(planning.planned(car).power_kw)
        moved.append((np.maximum(power, 0).sum() / 4, np.maximum(-power, 0).sum() / 4))
    return np.array(moved)


def spread(low, high):
    """Dear for three hours, then cheap."""
    return lambda hour: high if hour < 3 else low


@cells
def test_a_flat_price_moves_nothing_back_and_forth(chemistry):
    charged, discharged = planned(planning_of(lambda _: 0.5), a_car(chemistry))[0]
    assert discharged == pytest.approx(0, abs=1e-6)
    assert charged * 0.9 == pytest.approx(18 * 1.06, abs=0.1)


@cells
def test_a_negative_price_is_no_reason_to_turn_in_circles(chemistry):
    for price in (-0.5, -3.0):
        planning = planning_of(lambda _, price=price: price)
        charged, discharged = planned(planning, a_car(chemistry))[0]
        assert discharged == pytest.approx(0, abs=1e-6)
        assert charged * 0.9 == pytest.approx(0.99 * 60 - 30, abs=0.1), "but it fills up"


@pytest.mark.parametrize("edge_gap_kwh", [0.0, 3.0, 6.0])
def test_a_hidden_car_is_discharged_to_its_own_edge_and_gets_what_the_lower_one_lacks(edge_gap_kwh):
    car = replace(a_car(energy=20.0), energy_high_kwh=45.0, edge_gap_kwh=edge_gap_kwh)
    charged, discharged = planned(planning_of(spread(0.2, 1.0)), car)[0]
    spare_kwh = 20 + edge_gap_kwh - 0.2 * 60
    assert discharged == pytest.approx(0.9 * spare_kwh, rel=1e-3)
    assert charged * 0.9 == pytest.approx(1.06 * (48 - 20) + spare_kwh, rel=1e-3)


def test_wear_is_priced_along_the_edge_from_which_a_plan_sees_the_car():
    planning = planning_of(spread(0.2, 3.0))
    car = replace(a_car(energy=20.0), energy_high_kwh=45.0, edge_gap_kwh=6.0)
    power_kw, energy_kwh = np.array([[-4.0, 4.0]]), np.array([[26 - 1 / 0.9, 26 - 1 / 0.9 + 0.9]])
    plan = FleetPlan([car], TimeAxis(NOW_MS, QUARTER_MS, 2), power_kw, energy_kwh, 0.0)
    (cell,) = cell_paths(NOW_MS, plan, planning.wear.book)
    assert 60 * cell.plan.soc[:3] == pytest.approx([26, *energy_kwh[0]])


def first_hour_of_charging(planning, car):
    planned(planning, car)
    return float(np.flatnonzero(np.nan_to_num(planning.planned(car).power_kw) > 1.0)[0] / 4)


@cells
def test_of_cheap_hours_a_car_that_hides_its_state_of_charge_gets_the_first_and_one_that_tells_the_last(chemistry):
    price_at = spread(0.5, 2.0)
    tells = a_car(chemistry, energy=20.0)
    hides = replace(tells, energy_high_kwh=40.0)
    assert first_hour_of_charging(planning_of(price_at), hides) == pytest.approx(3.0)
    assert first_hour_of_charging(planning_of(price_at), tells) > 4.0


def test_where_a_limit_is_shared_room_is_left_for_who_comes_later():
    planning = planning_of(spread(0.5, 2.0), import_limit_kw=40.0)
    assert first_hour_of_charging(planning, a_car(energy=20.0)) == pytest.approx(3.0)
    planned(planning, car := a_car(energy=24.0))
    gives_h = np.flatnonzero(planning.planned(car).power_kw < -0.01) / 4
    assert gives_h[0] == 0.0
    assert gives_h[-1] < 2.0, "what may be given takes less than the three hours of the dear price"


def test_a_plan_says_whether_a_car_is_to_hold_more_than_its_driver_wants():
    for second_peak, passes in ((0.8, True), (0.2, False)):
        planning = planning_of(lambda hour, dear=second_peak: dear if hour < 2 or 10 <= hour < 13 else 0.2)
        car = a_car(energy=40.0)
        planned(planning, car)
        assert planning.planned(car).passes_target is passes


def test_where_selling_pays_more_than_buying_a_plan_goes_to_and_fro_in_turns():
    planning = planning_of(lambda _: 0.5)
    planning.prices = replace(planning.prices, sell_per_kwh=planning.prices.sell_per_kwh + 2.0)
    car = a_car()
    charged, discharged = planned(planning, car)[0]
    # All 14 hours busy: 6.3 kW into the battery or 7.8 out of it, and 18 kWh more at the end: 4.99 h of discharging.
    assert 0.9 * 34.9 < discharged < 35.0
    assert charged * 0.9 - discharged / 0.9 == pytest.approx(48 - 30, abs=2.0)
    way = np.sign(np.round(np.nan_to_num(planning.planned(car).power_kw[:48]), 6))
    assert (way[1:] != way[:-1]).sum() > 8


def test_room_is_made_for_energy_that_is_paid_for():
    planning = planning_of(lambda hour: -0.8 if 4 <= hour < 10 else 0.1)
    assert planned(planning, a_car())[0, 1] > 5


def cost_of(car, power, energy, price_at):
    """What a plan of a car that surely stays to its end costs, wear by the closed form."""
    starts_h = np.arange(len(power)) / 4
    path = SocPaths.single(
        NOW_MS + QUARTER_MS * np.arange(len(power) + 1), np.append(car.energy_low_kwh, energy) / 60.0
    )
    worn = path_costs(WEAR_LAWS[car.owner.vehicle.chemistry], path, 60.0).total[0]
    bought = sum(price_at(hour) * kw / 4 for hour, kw in zip(starts_h, power, strict=True))
    return bought + worn - 0.2 * max(energy[-1] - 49.08, 0.0)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(list(Chemistry)), st.floats(0.05, 0.6), st.floats(0, 0.5), st.floats(22, 48))
def test_discharging_never_costs_more_than_charging_alone(chemistry, low, rise, energy):
    price_at, car = spread(low, low + rise), a_car(chemistry, energy=energy)
    costs = []
    for discharges in (True, False):
        planning = planning_of(price_at)
        planning.discharges = discharges
        planned(planning, car)
        plan = planning.planned(car)
        here = ~np.isnan(plan.power_kw)
        costs.append(cost_of(car, plan.power_kw[here], plan.energy_kwh[here], price_at))
    assert costs[0] <= costs[1] + 0.05


@pytest.mark.parametrize("chemistry", [Chemistry.LFP, Chemistry.NMC_A])
def test_a_wide_spread_is_used_and_a_narrow_one_only_by_who_ignores_wear(chemistry):
    wide, narrow = spread(0.2, 1.2), spread(0.2, 0.2 / 0.81 + 0.02)
    assert planned(planning_of(wide), a_car(chemistry))[0, 1] > 5
    assert planned(planning_of(narrow, WearMode.NONE), a_car(chemistry))[0, 1] > 5
    assert planned(planning_of(narrow), a_car(chemistry))[0, 1] == pytest.approx(0, abs=1e-6)


def jagged(seed):
    """Prices about zero, a little below it or all over the place, changing every quarter-hour."""
    dice = Streams(seed).generator("prices")
    count = 4 * 48
    kinds = (
        dice.uniform(-0.1, 0.1) + 0.03 * np.sin(np.arange(count) / dice.uniform(1, 8)),
        dice.uniform(-1.0, 0.8) + dice.uniform(0.01, 0.04) * (-1.0) ** np.arange(count),
        np.where(dice.random(count) < 0.2, dice.uniform(-1.5, -0.1), dice.uniform(-0.2, 0.3, count)),
        dice.uniform(-0.2, 0.6) + np.cumsum(dice.normal(0, 0.03, count)),
    )
    return kinds[seed % len(kinds)], float(dice.uniform(14, 58)), float(dice.uniform(4, 30))


@cells
@pytest.mark.parametrize("seed", range(4))
def test_no_prices_lead_into_discharging_that_costs_more_than_it_brings(chemistry, seed):
    values, energy, stays_h = jagged(seed)
    costs = []
    for discharge_max_kw in (7.0, 1e-6):
        car = replace(a_car(chemistry, energy=energy, stays_h=stays_h), discharge_max_kw=discharge_max_kw)
        planning = planning_of(lambda hour: float(values[int(4 * hour)]))
        planned(planning, car)
        plan = planning.planned(car)
        here = ~np.isnan(plan.power_kw)
        costs.append(cost_of(car, plan.power_kw[here], plan.energy_kwh[here], lambda hour: values[int(4 * hour)]))
    assert costs[0] <= costs[1] + 0.15


@cells
def test_prices_that_hardly_differ_below_zero_move_nothing_back(chemistry):
    dice = Streams(5).generator("prices")
    values = -0.8 + dice.normal(0, 0.015, 4 * 48)
    planning = planning_of(lambda hour: float(values[int(4 * hour)]))
    assert planned(planning, a_car(chemistry))[0, 1] == pytest.approx(0, abs=1e-6)


def test_a_constant_is_a_constant():
    planning = planning_of(spread(0.2, 1.2), WearMode.CONSTANT, constant=0.5)
    assert planning.wear.prices(a_car()).wear_per_kwh == 0.5
    assert planning.wear.prices(a_car()).hold_per_kwh_h == 0
    assert planning.wear.passes(NOW_MS, [a_car()]) == 1


def test_prices_are_taken_once_a_stay_and_once_a_day():
    planning, car = planning_of(spread(0.2, 1.2)), a_car()
    wear = planning.wear
    assert wear.passes(NOW_MS, [car]) == PASSES
    assert wear.prices(car) == plain_prices(car.owner.vehicle)
    planned(planning, car)
    held = wear.prices(car)
    assert held != plain_prices(car.owner.vehicle)
    assert wear.passes(NOW_MS + MS_PER_H, [car]) == 1
    assert wear.passes(NOW_MS + 6 * MS_PER_H, [car]) == PASSES, "a new day"
    assert wear.passes(NOW_MS, [replace(car, plug=replace(car.plug, transaction="next"))]) == PASSES, "a new stay"
    assert wear.prices(replace(car, plug=replace(car.plug, transaction="next"))) == held, "carried to the next stay"


def test_the_same_cars_give_the_same_prices_every_time():
    runs = []
    for _ in range(2):
        planning = planning_of(spread(0.2, 1.2))
        cars = [a_car(chemistry, evse=k + 1) for k, chemistry in enumerate(Chemistry)]
        planned(planning, *cars)
        runs.append([(planning.wear.prices(car), planning.planned(car).power_kw.tobytes()) for car in cars])
    assert runs[0] == runs[1]


def test_prices_follow_the_temperature():
    held = []
    for celsius in (15.0, 35.0):
        planning = planning_of(spread(0.2, 1.2), temperature=CellTemperature(celsius))
        planned(planning, a_car())
        held.append(planning.wear.prices(a_car()))
    assert held[0].wear_per_kwh > held[1].wear_per_kwh, "cold wears a cycled LFP cell more"
    assert held[0].hold_per_kwh_h < held[1].hold_per_kwh_h, "warmth wears a stored one more"


class FadesFaster(BatteryBook):
    """A book whose cars were measured to fade so many times as fast as the law says."""

    def scale(self, owner):
        return 1.0 if owner.owner_id == "owner-1" else 4.0


def test_a_car_that_fades_faster_is_discharged_only_where_prices_bear_it():
    planning = planning_of(spread(0.2, 0.2 / 0.81 + 0.14))
    planning.wear.book = FadesFaster(planning.enrolment, 20_000 * MS_PER_DAY)
    slow, fast = a_car(), a_car(evse=2)
    moved = planned(planning, slow, fast)
    assert moved[0, 1] > 10
    assert moved[1, 1] == pytest.approx(0, abs=1e-6)
    assert planning.wear.prices(fast).wear_per_kwh > 2 * planning.wear.prices(slow).wear_per_kwh


@pytest.mark.parametrize("left_kwh", [0.0, 0.5, 3.0, 9.0])
def test_a_plan_gives_no_more_than_the_warranty_allows(left_kwh):
    free, capped = a_car(), a_car(evse=2, discharge_left_kwh=left_kwh)
    moved = planned(planning_of(spread(0.2, 1.2)), free, capped)
    assert moved[0, 1] > 12
    assert moved[1, 1] <= left_kwh
    assert moved[1, 1] >= 0.9 * left_kwh / 1.015


@given(st.floats(0, 20), st.lists(st.floats(-7, 7), min_size=4, max_size=12))
def test_budgets_are_kept_by_scaling_and_for_certain(left_kwh, power):
    car = a_car(discharge_left_kwh=left_kwh)
    axis = TimeAxis(NOW_MS, QUARTER_MS, len(power))
    plan = FleetPlan([car], axis, np.array([power]), np.zeros((1, len(power))), 0.0)
    given_kwh = -np.minimum(power, 0).sum() / 4
    for for_certain in (False, True):
        fewer = within_budgets(NOW_MS, plan, for_certain=for_certain)
        assert (fewer is None) == (given_kwh <= left_kwh / 1.015 + 1e-6)
        if fewer is not None:
            hours = len(power) / 4 if for_certain else given_kwh / 7
            assert fewer[0].discharge_max_kw * hours <= left_kwh + 1e-6
