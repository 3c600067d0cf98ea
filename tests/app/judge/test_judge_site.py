"""Connection points: limits hold at every instant, and only cars are blamed."""

from zoneinfo import ZoneInfo

import numpy as np
import pytest

from backfeed.app.judge_site import discharge_power_max_kw, judge_sites
from backfeed.core.axis import TimeAxis, utc_offset_ms
from backfeed.core.instant import MS_PER_H
from backfeed.fleet.site import Site
from backfeed.sim.replay import replay


def sites_of(city, sessions, prices, power, *sites):
    truth = replay(sessions, prices.axis, np.array(power, float), city.config(prices), exact_chargers=True)
    return judge_sites(truth, sites, prices.axis, city.zone)


def test_a_few_seconds_together_break_a_limit_that_the_mean_keeps(city):
    prices = city.prices([0.5] * 4)
    second = 1 / 3600
    sessions = city.sessions({"departure_h": 0.25 + 3 * second}, {"arrival_h": 0.25, "departure_h": 1.0})
    power = [[7, 7, 0, 0], [0, 7, 0, 0]]
    broken = sites_of(city, sessions, prices, power, city.site(import_limit_kw=10.0))["garage"]
    assert (broken.violations, broken.peak_import_kw) == (1, pytest.approx(14.0))
    sessions = city.sessions({"departure_h": 0.25}, {"arrival_h": 0.25, "departure_h": 1.0})
    kept = sites_of(city, sessions, prices, power, city.site(import_limit_kw=10.0))["garage"]
    assert (kept.violations, kept.peak_import_kw) == (0, pytest.approx(7.0))


def test_the_building_counts_against_both_limits(city):
    prices = city.prices([0.5] * 4)
    sessions = city.sessions({})
    site = city.site(import_limit_kw=10.0, export_limit_kw=3.0, base_kw=4.0)
    result = sites_of(city, sessions, prices, [[6.0, 6.1, -7.0, 0]], site)["garage"]
    assert result.violations == 1
    assert result.peak_export_kw == pytest.approx(3.0)
    tight = city.site(import_limit_kw=10.0, export_limit_kw=2.9, base_kw=4.0)
    assert sites_of(city, sessions, prices, [[6.0, 6.0, -7.0, 0]], tight)["garage"].violations == 1


def test_a_building_above_its_limit_is_not_the_cars_fault_until_they_add_to_it(city):
    prices = city.prices([0.5] * 4)
    site = city.site(import_limit_kw=10.0, base_kw=12.0)
    assert sites_of(city, city.sessions({}), prices, [[0, -1, 0, 0]], site)["garage"].violations == 0
    assert sites_of(city, city.sessions({}), prices, [[0, 1, 0, 2]], site)["garage"].violations == 2


def test_rounding_is_no_violation_but_a_watt_is(city):
    prices = city.prices([0.5] * 4)
    exact = sites_of(city, city.sessions({}), prices, [[5.0] * 4], city.site(import_limit_kw=5.0 - 1e-9))["garage"]
    assert exact.violations == 0
    above = sites_of(city, city.sessions({}), prices, [[5.0] * 4], city.site(import_limit_kw=4.999))["garage"]
    assert above.violations == 1


def test_each_site_answers_for_its_own_locations(city):
    prices = city.prices([0.5] * 4)
    sessions = city.sessions({"location": "a"}, {"location": "b"}, {"location": "b"})
    sites = [city.site(locations=("a",), site_id="A"), city.site(locations=("b",), site_id="B")]
    found = sites_of(city, sessions, prices, [[3] * 4] * 3, *sites)
    assert (found["A"].peak_import_kw, found["B"].peak_import_kw) == (pytest.approx(3), pytest.approx(6))


def test_discharge_power_counts_only_what_flows_out(city):
    prices = city.prices([0.5] * 4)
    sessions = city.sessions({}, {}, {})
    truth = replay(sessions, prices.axis, np.array([[-5] * 4, [-2, 0, -4, 0], [7] * 4]), city.config(prices))
    assert discharge_power_max_kw(truth) == pytest.approx(9.0)


def test_the_building_load_follows_the_wall_clock_through_a_clock_change():
    zone = ZoneInfo("Europe/Oslo")
    site = Site("s", (), 1.0, 1.0, tuple(float(q) for q in range(96)))
    start = 1774738800000  # 2026-03-29T00:00:00+01:00, a day of 23 hours
    axis = TimeAxis(start, 900_000, 92)
    load = site.base_load_over(axis, utc_offset_ms(axis, zone))
    assert load[:8].tolist() == list(range(8))
    assert load[8] == 12.0  # 02:00 does not exist, 03:00 does
    assert load[-1] == 95.0
    assert start % MS_PER_H == 0
