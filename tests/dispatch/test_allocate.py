"""What a tick decides, for arbitrary legal fleets of up to eight cars at three sites."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.instant import MS_PER_H
from backfeed.dispatch.allocate import allocate
from backfeed.dispatch.authority import Authority
from backfeed.dispatch.bounds import METERING_ERROR
from backfeed.dispatch.columns import EvseColumns, SiteColumns

NOW_MS = 1_783_296_000_000  # 2026-07-06 00:00 UTC
STEP_S = 300.0


def columns(rows, step_s=STEP_S):
    """Build columns from rows of named values over a plain car: 60 kWh, half full, 7 kW each way."""
    plain = {
        "site": 0, "charge_max_kw": 7.0, "discharge_max_kw": 7.0, "energy_low_kwh": 30.0, "energy_high_kwh": 30.0,
        "reserve_kwh": 15.0, "target_kwh": 30.0, "full_kwh": 60.0, "departure_ms": NOW_MS + 8 * MS_PER_H,
        "charge_efficiency": 0.9, "discharge_efficiency": 0.9, "planned_kw": 0.0, "charging_only": False,
    }  # fmt: skip
    full = [plain | row for row in rows]
    kinds = {"site": np.int64, "departure_ms": np.int64, "charging_only": np.bool_}
    return EvseColumns(
        station=tuple(f"S-{i}" for i in range(len(full))),
        evse=np.ones(len(full), dtype=np.int64),
        step_s=step_s,
        **{name: np.array([row[name] for row in full], dtype=kinds.get(name, np.float64)) for name in plain},
    )


def places(*limits):
    """Build sites from (import limit, export limit, base load)."""
    table = np.array(limits, dtype=np.float64).reshape(-1, 3)
    return SiteColumns(table[:, 0], table[:, 1], table[:, 2])


@st.composite
def cars(draw):
    """One EVSE row with any legal values."""
    capacity = draw(st.floats(20, 100))
    low = draw(st.floats(0, capacity))
    planned = draw(st.one_of(st.floats(-30, 30), st.just(float("nan"))))
    hours = draw(st.one_of(st.none(), st.floats(-2, 30)))
    return {
        "site": draw(st.integers(0, 2)),
        "charge_max_kw": draw(st.sampled_from([0.0, 3.7, 7.0, 22.0])),
        "discharge_max_kw": draw(st.sampled_from([0.0, 5.0, 7.0, 22.0])),
        "energy_low_kwh": low,
        "energy_high_kwh": draw(st.floats(low, capacity)),
        "reserve_kwh": capacity * draw(st.floats(0, 0.5)),
        "target_kwh": capacity * draw(st.floats(0.2, 1)),
        "full_kwh": capacity,
        "departure_ms": -1 if hours is None else NOW_MS + int(hours * MS_PER_H),
        "charge_efficiency": draw(st.floats(0.8, 1)),
        "discharge_efficiency": draw(st.floats(0.8, 1)),
        "planned_kw": planned,
        "charging_only": draw(st.booleans()),
    }


limits_kw = st.one_of(st.floats(0, 60), st.just(float("inf")))
sites_of_three = st.lists(st.tuples(limits_kw, limits_kw, st.floats(-20, 40)), min_size=3, max_size=3)


fleets = st.lists(cars(), min_size=0, max_size=8).map(columns)
targets = st.one_of(st.none(), st.floats(-80, 80))


def worst_case_kw(evses, sites, power):
    """The most and the least that each site could take, every charger and meter erring against us."""
    error = METERING_ERROR * np.abs(power)
    most, least = (np.bincount(evses.site, weights=power + s * error, minlength=len(sites)) for s in (1, -1))
    return sites.base_load_kw + most, sites.base_load_kw + least


@given(fleets, sites_of_three, targets)
def test_no_site_passes_a_limit_that_its_chargers_could_keep(evses, limits, target):
    sites = places(*limits)
    result = allocate(evses, sites, target, NOW_MS)
    most, least = worst_case_kw(evses, sites, result.power_kw)
    for site in range(3):
        here = evses.site == site
        if most[site] > sites.import_limit_kw[site] + 1e-6:
            # All that is left is the base load: nobody charges, or the export limit forbids to make room for it.
            at_export_limit = least[site] <= -sites.export_limit_kw[site] + 1e-6
            assert (result.power_kw[here] <= 1e-9).all() or at_export_limit
            assert result.site_excess_kw[site] > 0
        if least[site] < -sites.export_limit_kw[site] - 1e-6:
            at_import_limit = most[site] >= sites.import_limit_kw[site] - 1e-6
            assert (result.power_kw[here] >= -1e-9).all() or at_import_limit
            assert result.site_excess_kw[site] > 0


@given(fleets, sites_of_three, targets)
def test_a_site_that_may_not_export_never_does_unless_its_sun_alone_does(evses, limits, target):
    sites = places(*[(import_kw, 0.0, max(base, 0.0)) for import_kw, _, base in limits])
    result = allocate(evses, sites, target, NOW_MS)
    _, least = worst_case_kw(evses, sites, result.power_kw)
    assert (least >= -1e-6).all()


@given(fleets, sites_of_three, targets)
def test_ratings_are_kept_and_reserves_hold_at_the_pessimistic_edge(evses, limits, target):
    power = allocate(evses, places(*limits), target, NOW_MS).power_kw
    assert (power <= evses.charge_max_kw + 1e-9).all()
    assert (power >= -np.where(evses.charging_only, 0.0, evses.discharge_max_kw) - 1e-9).all()
    out_kwh = np.maximum(-power, 0) * (1 + METERING_ERROR) / evses.discharge_efficiency * STEP_S / 3600
    after = evses.energy_low_kwh - out_kwh
    assert ((after >= evses.reserve_kwh - 1e-9) | (power >= 0)).all()


@given(fleets, sites_of_three, targets)
def test_bound_by_names_somebody_for_every_difference_from_the_plan(evses, limits, target):
    result = allocate(evses, places(*limits), target, NOW_MS)
    free = np.isin(result.bound_by, [Authority.SCHEDULE, Authority.SURPLUS])
    planned = np.where(np.isnan(evses.planned_kw), 0.0, evses.planned_kw)
    scheduled = result.bound_by == Authority.SCHEDULE
    assert np.abs(result.power_kw - planned)[scheduled].max(initial=0) <= 1e-6
    assert not np.isnan(evses.planned_kw[scheduled]).any()
    assert (result.power_kw[free & ~scheduled] >= -1e-6).all()
    if target is None:
        assert Authority.DELIVERY not in result.bound_by
        assert result.shortfall_kw == 0


@given(fleets, sites_of_three, targets, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(evses, limits, target, dice):
    order = list(range(len(evses)))
    dice.shuffle(order)
    moved = {
        field.name: tuple(value[i] for i in order) if field.name == "station" else np.array([value[i] for i in order])
        for field in dataclasses.fields(evses)
        if field.name != "step_s" and (value := getattr(evses, field.name)) is not None
    }
    kinds = {
        name: np.asarray(column, dtype=getattr(evses, name).dtype)
        for name, column in moved.items()
        if name != "station"
    }
    shuffled = dataclasses.replace(evses, station=moved["station"], **kinds)
    straight = allocate(evses, places(*limits), target, NOW_MS).power_kw
    assert allocate(shuffled, places(*limits), target, NOW_MS).power_kw == pytest.approx(straight[order], abs=1e-6)


@given(fleets, sites_of_three, st.floats(-80, 80))
def test_a_shortfall_is_left_only_when_no_car_could_do_more_for_it(evses, limits, target):
    sites = places(*limits)
    result = allocate(evses, sites, target, NOW_MS)
    lack = target - result.power_kw.sum()
    assert result.shortfall_kw == pytest.approx(abs(lack), abs=1e-6)
    most, _ = worst_case_kw(evses, sites, result.power_kw)
    if lack > 1e-6:
        closed = most >= sites.import_limit_kw - 1e-6
        room_kwh = evses.full_kwh - evses.energy_low_kwh
        full = (
            result.power_kw
            >= np.minimum(evses.charge_max_kw, room_kwh / (evses.charge_efficiency * STEP_S / 3600)) - 1e-6
        )
        assert (full | closed[evses.site]).all()


def test_the_plan_is_followed_where_nobody_objects():
    result = allocate(columns([{"planned_kw": 4.0}, {"planned_kw": -3.0}]), places((50, 50, 0)), None, NOW_MS)
    assert result.power_kw.tolist() == [4.0, -3.0]
    assert set(result.bound_by.tolist()) == {Authority.SCHEDULE}
    assert result.site_net_kw.tolist() == [1.0]


def test_a_car_that_must_charge_now_to_leave_in_time_charges_whatever_the_plan_says():
    soon = {"target_kwh": 42.0, "departure_ms": NOW_MS + 2 * MS_PER_H, "planned_kw": -5.0}  # 12 kWh in 2 h at 6.3 kW
    result = allocate(columns([soon]), places((50, 50, 0)), None, NOW_MS)
    assert result.power_kw[0] > 6.0
    assert result.bound_by[0] == Authority.OWNER


def test_power_is_taken_from_whom_has_the_most_time():
    hurried = {"planned_kw": 7.0, "target_kwh": 40.0, "departure_ms": NOW_MS + 3 * MS_PER_H}
    idle = {"planned_kw": 7.0, "target_kwh": 40.0, "departure_ms": NOW_MS + 20 * MS_PER_H}
    result = allocate(columns([hurried, idle]), places((10.15, 0, 0)), None, NOW_MS)
    assert result.power_kw.sum() == pytest.approx(10.0)
    assert result.power_kw[0] > 6.5
    assert result.bound_by.tolist() == [Authority.SITE_CONNECTION, Authority.SITE_CONNECTION]


def test_equal_cars_share_a_tight_connection_equally():
    result = allocate(columns([{"planned_kw": 7.0}] * 4), places((16.15, 0, 6.0)), None, NOW_MS)
    assert result.power_kw == pytest.approx([2.5] * 4)


def test_a_departure_outranks_the_schedule_of_a_neighbour_but_not_the_fuse():
    must = {"planned_kw": 7.0, "target_kwh": 36.4, "departure_ms": NOW_MS + MS_PER_H}
    other = {"planned_kw": 7.0}
    roomy = allocate(columns([must, other]), places((7.5, 0, 0)), None, NOW_MS)
    assert roomy.power_kw[0] == pytest.approx(7.0, abs=0.2)
    tight = allocate(columns([must]), places((5.075, 0, 0)), None, NOW_MS)
    assert tight.power_kw[0] == pytest.approx(5.0)
    assert tight.bound_by[0] == Authority.SITE_CONNECTION


def test_the_tighter_of_connection_and_grid_operator_is_named():
    sites = dataclasses.replace(places((50, 50, 0)), grid_import_limit_kw=np.array([2.03]))
    result = allocate(columns([{"planned_kw": 7.0}]), sites, None, NOW_MS)
    assert result.power_kw == pytest.approx([2.0])
    assert result.bound_by[0] == Authority.GRID_OPERATOR


def test_a_building_that_alone_exceeds_its_connection_is_reported_and_nobody_charges():
    car = {"energy_low_kwh": 16.0, "planned_kw": 3.0}
    result = allocate(columns([car]), places((10, 0, 40)), None, NOW_MS)
    assert result.power_kw[0] == 0.0
    assert result.site_excess_kw[0] == pytest.approx(30.0)


def test_a_limit_holds_when_any_car_leaves():
    cars = [{"planned_kw": 7.0}, {"planned_kw": -7.0, "energy_low_kwh": 40.0}]
    result = allocate(columns(cars), places((5, 3, 0)), None, NOW_MS)
    assert result.power_kw[0] <= 5.0
    assert result.power_kw[1] >= -3.0


def test_a_promise_stops_charging_before_it_discharges_anybody():
    result = allocate(columns([{"planned_kw": 6.0}, {"planned_kw": 0.0}]), places((50, 50, 0)), 1.0, NOW_MS)
    assert result.power_kw == pytest.approx([1.0, 0.0])
    assert result.bound_by.tolist() == [Authority.DELIVERY, Authority.SCHEDULE]
    assert result.shortfall_kw == 0.0


def test_what_one_site_can_not_give_to_a_promise_the_other_gives():
    rows = [{"site": 0}, {"site": 1}, {"site": 1}]
    result = allocate(columns(rows), places((50, 2.03, 0), (50, 50, 0)), -12.0, NOW_MS)
    assert result.power_kw == pytest.approx([-2.0, -5.0, -5.0])


def test_a_car_without_a_plan_takes_only_the_sun_that_is_left_over():
    nan = float("nan")
    result = allocate(columns([{"planned_kw": nan}, {"planned_kw": 2.0}]), places((50, 50, -5)), None, NOW_MS)
    assert result.power_kw == pytest.approx([3.0, 2.0])
    assert result.bound_by.tolist() == [Authority.SURPLUS, Authority.SCHEDULE]
    assert allocate(columns([{"planned_kw": nan}]), places((50, 50, 5)), None, NOW_MS).power_kw[0] == 0.0


def test_nobody_here_is_no_trouble():
    result = allocate(columns([]), places((50, 50, 4)), -5.0, NOW_MS)
    assert result.site_net_kw.tolist() == [4.0]
    assert result.shortfall_kw == 5.0
