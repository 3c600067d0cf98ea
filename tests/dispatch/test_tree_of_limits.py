"""Limits anywhere in a tree of places hold to the last bit, whatever is planned and promised; and who gives way."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.instant import MS_PER_H
from backfeed.core.rng import Streams
from backfeed.dispatch.allocate import allocate
from backfeed.dispatch.authority import Authority
from backfeed.dispatch.columns import EvseColumns, SiteColumns
from backfeed.dispatch.limit import MORE
from backfeed.dispatch.tree import arrange
from backfeed.plan.threads import Threads

NOW_MS = 1_783_296_000_000  # 2026-07-06 00:00 UTC


def fleet(site, **columns):
    """Build plain cars at places: 60 kWh, half full, 7 kW each way, leaving in eight hours."""
    plain = {
        "charge_max_kw": 7.0, "discharge_max_kw": 7.0, "energy_low_kwh": 30.0, "energy_high_kwh": 30.0,
        "reserve_kwh": 15.0, "target_kwh": 30.0, "full_kwh": 60.0, "charge_efficiency": 0.9,
        "discharge_efficiency": 0.9, "planned_kw": 0.0,
    }  # fmt: skip
    count = len(site)
    made = {name: np.broadcast_to(columns.get(name, value), count).astype(float) for name, value in plain.items()}
    hours = np.broadcast_to(columns.get("hours", 8.0), count)
    return EvseColumns(
        station=tuple(f"S-{i}" for i in range(count)),
        evse=np.ones(count, dtype=np.int64),
        site=np.asarray(site, dtype=np.int64),
        departure_ms=np.where(np.isnan(hours), -1, NOW_MS + np.nan_to_num(hours) * MS_PER_H).astype(np.int64),
        charging_only=np.broadcast_to(columns.get("charging_only", False), count).astype(bool),
        step_s=300.0,
        **made,
    )


def tree_of(*places):
    """Build places from (parent, import limit, export limit, base load)."""
    table = np.array(places, dtype=np.float64).reshape(-1, 4)
    return SiteColumns(table[:, 1], table[:, 2], table[:, 3], parent=table[:, 0].astype(np.int64))


def drawn(seed):
    """Draw a fleet of up to sixty cars in a tree: flat, deep, bushy or several; limits of every kind, also 0."""
    dice = Streams(seed).generator("dispatch-tree-tests")
    count, size = int(dice.integers(1, 60)), int(dice.integers(1, 12))
    shape = int(dice.integers(0, 4))
    above = {0: lambda _: 0, 1: lambda k: k - 1, 2: lambda k: dice.integers(0, k), 3: lambda k: dice.integers(-1, k)}
    parent = np.array([-1, *(int(above[shape](k)) for k in range(1, size))])
    turned = dice.permutation(size)  # a place may be listed before the one it hangs on
    parent = np.where(parent < 0, -1, turned[parent])[np.argsort(turned)]
    kinds = dice.integers(0, 3, (2, size))
    limits = np.where(kinds == 0, 0.0, np.where(kinds == 1, dice.uniform(0, 4 * count, (2, size)), np.inf))
    capacity = dice.uniform(20, 100, count)
    low = capacity * dice.random(count)
    planned = dice.uniform(-25, 25, count)
    planned[dice.random(count) < 0.2] = np.nan
    hours = dice.uniform(-2, 30, count)
    hours[dice.random(count) < 0.2] = np.nan
    cars = fleet(
        dice.integers(0, size, count),
        charge_max_kw=dice.choice([0.0, 3.7, 7.0, 22.0], count),
        discharge_max_kw=dice.choice([0.0, 5.0, 7.0, 22.0], count),
        energy_low_kwh=low,
        energy_high_kwh=low,
        reserve_kwh=capacity * dice.uniform(0, 0.5, count),
        target_kwh=capacity * dice.uniform(0.2, 1, count),
        full_kwh=capacity,
        charge_efficiency=dice.uniform(0.8, 1, count),
        discharge_efficiency=dice.uniform(0.8, 1, count),
        planned_kw=planned,
        hours=hours,
        charging_only=dice.random(count) < 0.3,
    )
    base = dice.uniform(-20, 30, size) * (dice.random(size) < 0.5)
    target = None if dice.random() < 0.3 else float(dice.uniform(-8, 8) * count)
    return cars, SiteColumns(limits[0], limits[1], base, parent=parent), target


def below(sites):
    """Return for every place which places are at or below it."""
    inside = np.eye(len(sites), dtype=bool)
    for _ in range(len(sites)):
        for k in np.flatnonzero(sites.parent >= 0):
            inside[sites.parent[k]] |= inside[k]
    return inside


def sums_of(values):
    """Add numbers up in several orders."""
    return [sum(values), sum(values[::-1]), float(np.sum(values)), math.fsum(values), sum(sorted(values))]


seeds = st.integers(0, 2**32)


@given(seeds)
def test_no_limit_anywhere_is_passed_in_whatever_order_the_orders_are_added(seed):
    evses, sites, target = drawn(seed)
    tree = arrange(evses.site, sites, branch=seed % 40)
    power = allocate(evses, sites, target, NOW_MS, tree).power_kw
    for place, inside in enumerate(below(sites)):
        here = power[inside[evses.site]]
        load = sites.base_load_kw[inside]
        for charging, discharging, base in zip(
            sums_of(np.maximum(here, 0)), sums_of(np.maximum(-here, 0)), sums_of(load), strict=True
        ):
            assert charging == 0 or base + MORE * charging <= sites.import_limit_kw[place]
            assert discharging == 0 or MORE * discharging - base <= sites.export_limit_kw[place]


@given(seeds)
def test_what_a_place_takes_and_by_how_much_its_load_alone_is_too_much_is_told(seed):
    evses, sites, target = drawn(seed)
    result = allocate(evses, sites, target, NOW_MS)
    for place, inside in enumerate(below(sites)):
        here = result.power_kw[inside[evses.site]]
        base = sites.base_load_kw[inside].sum()
        assert result.site_net_kw[place] == pytest.approx(base + here.sum(), abs=1e-9)
        over = max(
            base + MORE * np.maximum(here, 0).sum() - sites.import_limit_kw[place],
            MORE * np.maximum(-here, 0).sum() - base - sites.export_limit_kw[place],
            0,
        )
        assert result.site_excess_kw[place] == pytest.approx(over, abs=2e-9)


@given(seeds)
def test_a_shortfall_is_left_only_where_no_car_could_do_more_for_it(seed):
    evses, sites, target = drawn(seed)
    if target is None:
        return
    result = allocate(evses, sites, target, NOW_MS)
    power, lack = result.power_kw, target - result.power_kw.sum()
    assert result.shortfall_kw == pytest.approx(abs(lack), abs=1e-8)
    if lack > 1e-6:
        inside = below(sites)
        charging = inside @ np.bincount(evses.site, weights=np.maximum(power, 0), minlength=len(sites))
        tight = inside @ sites.base_load_kw + MORE * charging >= sites.import_limit_kw - 1e-6
        closed = (inside & tight[:, None]).any(axis=0)[evses.site]
        most = np.minimum(
            evses.charge_max_kw, (evses.full_kwh - evses.energy_low_kwh) / (evses.charge_efficiency * 300 / 3600)
        )
        assert ((power >= most - 1e-6) | closed).all()
        assert (power >= -1e-9).all()


@given(seeds)
def test_neither_the_order_of_the_rows_nor_threads_nor_a_kept_tree_change_an_order(seed):
    evses, sites, target = drawn(seed)
    straight = allocate(evses, sites, target, NOW_MS)
    tree = arrange(evses.site, sites)
    for _ in range(2):  # the second time the tree's room is not fresh
        again = allocate(evses, sites, target, NOW_MS, tree, Threads(3))
        assert again.power_kw.tobytes() == straight.power_kw.tobytes()
        assert again.bound_by.tolist() == straight.bound_by.tolist()
    order = Streams(seed).generator("rows").permutation(len(evses))
    columns = {
        field.name: value[order]
        for field in dataclasses.fields(evses)
        if isinstance(value := getattr(evses, field.name), np.ndarray)
    }
    turned = dataclasses.replace(evses, **columns)
    assert allocate(turned, sites, target, NOW_MS).power_kw == pytest.approx(straight.power_kw[order], abs=1e-9)


@given(seeds)
def test_into_which_branches_a_tree_is_cut_changes_no_order(seed):
    evses, sites, target = drawn(seed)
    whole = allocate(evses, sites, target, NOW_MS)
    for branch in (0, 10, 30):
        cut = allocate(evses, sites, target, NOW_MS, arrange(evses.site, sites, branch), Threads(2))
        assert cut.power_kw == pytest.approx(whole.power_kw, abs=1e-9)
        assert cut.site_net_kw == pytest.approx(whole.site_net_kw, abs=1e-9)
        assert cut.bound_by.tolist() == whole.bound_by.tolist()


def test_a_circle_of_places_is_our_own_fault():
    with pytest.raises(AssertionError, match="circle"):
        arrange(np.zeros(1, dtype=np.int64), tree_of((-1, 9, 9, 0), (2, 9, 9, 0), (1, 9, 9, 0)))


def test_what_a_car_gave_for_its_site_counts_at_the_feeder():
    # Three alike at 7 kW: two at a site that carries 6 kW, one at a roomy site; the feeder carries 9 kW.
    sites = tree_of((-1, 9 * MORE, 0, 0), (0, 6 * MORE, 0, 0), (0, 99, 0, 0))
    result = allocate(fleet([1, 1, 2], planned_kw=7.0), sites, None, NOW_MS)
    assert result.power_kw == pytest.approx([3.0, 3.0, 3.0])
    assert result.bound_by.tolist() == [Authority.SITE_CONNECTION] * 3
    # At a tighter site nothing more is asked of its cars: theirs is the higher level already.
    tighter = dataclasses.replace(sites, import_limit_kw=np.array([9.0, 2.0, 99.0]) * MORE)
    assert allocate(fleet([1, 1, 2], planned_kw=7.0), tighter, None, NOW_MS).power_kw == pytest.approx([1.0, 1.0, 7.0])


def test_a_feeder_takes_what_departures_need_only_when_nothing_else_is_left_below_it():
    # One car has to charge at some 6.9 kW to leave in an hour, its neighbour at another site can wait.
    cars = fleet([1, 2], planned_kw=7.0, target_kwh=[36.2, 30.0], hours=[1.0, 8.0])
    result = allocate(cars, tree_of((-1, 7.5 * MORE, 0, 0), (0, 99, 0, 0), (0, 99, 0, 0)), None, NOW_MS)
    assert result.power_kw[0] > 6.8
    assert result.power_kw.sum() == pytest.approx(7.5)


def test_a_promise_takes_from_other_sites_what_a_feeder_can_not_carry():
    sites = tree_of((-1, 99, 99, 0), (0, 99, 4 * MORE, 0), (1, 99, 99, 0), (0, 99, 99, 0))
    result = allocate(fleet([2, 2, 3, 3]), sites, -16.0, NOW_MS)
    assert result.power_kw == pytest.approx([-2.0, -2.0, -6.0, -6.0])
    assert result.shortfall_kw == 0.0
