"""Capped subsidies: the plan counts on no more than is left, judge and foresight on no more than is paid."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from backfeed.app.dispatching import Policy
from backfeed.app.judging import judge_run
from backfeed.app.scene import load_scene
from backfeed.app.subsidy_cap import SubsidyPurse, as_paid, with_worth
from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_DAY, MS_PER_H, MS_PER_MIN, local_midnight_ms
from backfeed.fleet.event import Reading, TransactionChanged
from backfeed.market.price import PriceSeries, SubsidySeries
from backfeed.settle.transfer import Code
from backfeed.store.ledger_seal import open_ledger

ZONE = ZoneInfo("Asia/Shanghai")
NEW_YEAR = date(2027, 1, 1)
START_MS = local_midnight_ms(date(2026, 12, 30), ZONE)
QUARTER_MS = 15 * MS_PER_MIN


def prices(cap=Decimal(30), per_kwh=Decimal(2), days=3):
    """Three days over a new year at one price, with a capped subsidy and one without a cap."""
    count = days * 96
    one = (Decimal("0.5"),) * count
    return PriceSeries(
        TimeAxis(START_MS, QUARTER_MS, count),
        "CNY",
        one,
        one,
        (per_kwh + 1,) * count,
        ("flat",) * count,
        ("flat",) * count,
        np.full(count, 0.5),
        np.full(count, 0.5),
        np.full(count, float(per_kwh) + 1),
        (),
        (SubsidySeries("city", (per_kwh,) * count, cap), SubsidySeries("country", (Decimal(1),) * count, None)),
    )


def gave(exported_wh, at_ms, sequence=0):
    return TransactionChanged(
        at_ms=at_ms,
        station="S-1",
        evse=1,
        transaction="t",
        sequence=sequence,
        phase="updated",
        trigger="MeterValuePeriodic",
        measured_ms=at_ms,
        readings=(Reading(measured_ms=at_ms, import_wh=0, export_wh=exported_wh),),
    )


def purse(left=30_000_000, **more):
    return SubsidyPurse(prices(), ZONE, lambda _day: {"city": left}, lambda: date(2026, 12, 30), **more)


def test_what_was_paid_ends_with_the_cap_and_begins_again_with_the_year():
    sold = np.zeros(288)
    sold[[40, 136, 140, 232]] = 10.0, 10.0, 10.0, 10.0  # two yuan a kWh: 20, then 40 of the 10 that are left, then anew
    paid = as_paid(prices(), sold, ZONE)
    assert paid.subsidy_per_kwh[[40, 136, 140, 232]].tolist() == pytest.approx([3.0, 1.5, 1.5, 3.0])
    assert (paid.subsidy_per_kwh - 1) @ sold == pytest.approx(30 + 20)
    assert as_paid(replace(prices(), subsidies=prices().subsidies[1:]), sold, ZONE).subsidies[0].name == "country"


def test_a_part_of_the_worth_counts_for_capped_subsidies_alone():
    assert with_worth(prices(), 0.25).subsidy_per_kwh[0] == pytest.approx(1 + 0.5)
    assert with_worth(prices(), 1.0).subsidy_per_kwh.tolist() == prices().subsidy_per_kwh.tolist()


def test_what_is_left_goes_down_with_the_meter_and_a_repeated_reading_counts_once():
    held, noon = purse(), START_MS + 12 * MS_PER_H
    for sequence, total in enumerate((1_000, 1_000, 5_000, 5_000, 9_000)):
        held.learn(gave(total, noon + sequence * QUARTER_MS, sequence))
    assert held.left(noon) == pytest.approx({"city": 30 - 8 * 2})
    held.learn(gave(500_000, noon + 2 * MS_PER_H))
    assert held.left(noon) == {"city": 0.0}
    assert held.left(local_midnight_ms(NEW_YEAR, ZONE)) == pytest.approx({"city": 30.0})


def test_a_settled_day_is_counted_by_the_books_alone():
    first = [date(2026, 12, 30)]
    held = SubsidyPurse(prices(), ZONE, lambda day: {"city": (30 if day.day == 30 else 25) * 10**6}, lambda: first[0])
    held.learn(gave(0, START_MS))
    held.learn(gave(4_000, START_MS + MS_PER_H, 1))
    assert held.left(START_MS + MS_PER_H) == pytest.approx({"city": 22.0})
    first[0] = date(2026, 12, 31)
    assert held.left(START_MS + MS_PER_DAY) == pytest.approx({"city": 25.0})


def test_an_empty_purse_adds_nothing_until_the_new_year():
    steps = np.array([150, 192])  # the afternoon of the 31st, and the first quarter-hour of the year
    now_ms = START_MS + 30 * MS_PER_H
    assert purse(0).per_kwh(now_ms, steps).tolist() == pytest.approx([1.0, 3.0])
    assert purse().per_kwh(now_ms, steps).tolist() == pytest.approx([3.0, 3.0])
    assert purse().per_kwh(now_ms, steps, worth=0.5).tolist() == pytest.approx([2.0, 3.0])


def test_a_plan_overdraws_with_what_is_still_to_come_this_year():
    held, axis = purse(), TimeAxis(START_MS + MS_PER_DAY, QUARTER_MS, 192)
    given = np.full(192, np.nan)
    given[:8] = -7.4  # 14.8 kWh, two yuan each
    assert not held.is_overdrawn(axis.start_ms, [(axis, given)])
    assert held.is_overdrawn(axis.start_ms, [(axis, given), (axis, given)])
    assert not held.is_overdrawn(axis.start_ms + MS_PER_H, [(axis, given), (axis, given)]), "half of it is over"
    assert not held.is_overdrawn(axis.start_ms, [(axis, np.roll(given, 96)), (axis, np.roll(given, 96))]), "next year's"
    assert not purse(0).is_overdrawn(axis.start_ms, [(axis, given)]), "nobody counts on an empty purse"


@pytest.fixture(scope="module")
def capped(small_day, tmp_path_factory):
    """A day whose subsidy makes discharging pay at almost any hour, and is spent after some 20 kWh."""
    grant = "\ngrants = { guangzhou-v2g = 1.0 }\ngrant_caps = { guangzhou-v2g = 20 }\n"
    text = small_day.with_text('preset = "guangdong-v2g"', 'preset = "guangdong-v2g"' + grant)
    return text.write(tmp_path_factory.mktemp("capped"))


@pytest.fixture(scope="module")
def run(capped, play, tmp_path_factory):
    return play(capped, tmp_path_factory.mktemp("run"))


def test_a_world_discharges_for_a_subsidy_only_as_long_as_it_is_paid(run, small_day, play, tmp_path_factory):
    with open_ledger(run.folder / "ledger.sqlite", readonly=True) as ledger:
        paid = sum(t.amount for t in ledger.transfers() if t.code is Code.SUBSIDY) / 1e6
    assert 0 < paid <= 20.0
    endless = small_day.with_text(
        'preset = "guangdong-v2g"', 'preset = "guangdong-v2g"\ngrants = { guangzhou-v2g = 1.0 }'
    ).write(tmp_path_factory.mktemp("endless"))
    more = play(endless, tmp_path_factory.mktemp("more")).truth
    given = [float(np.maximum(-truth.segments.energy_kwh, 0).sum()) for truth in (run.truth, more)]
    assert given[0] < 0.8 * given[1]


def test_foresight_is_held_to_the_cap_and_still_the_best(run, capped):
    worlds = judge_run(load_scene(capped), {Policy.V2G: run}, foresight=True).summary.worlds
    assert worlds["v2g"].subsidy <= 20.0 + 1e-6
    assert worlds["foresight"].subsidy <= 20.0 + 1e-6
    assert worlds["foresight"].net_value >= worlds["v2g"].net_value
