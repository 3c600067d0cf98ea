"""What charging at once would have cost: sums by hand over one day of the shipped tariff."""

from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_MIN, local_midnight_ms
from backfeed.market.tariff import load_tariff, price_axis
from backfeed.meter.interval import INTERVAL_MS, IntervalTable, MeterKey
from backfeed.settle.unmanaged import ChargingTerms, unmanaged_bills

MIDNIGHT = local_midnight_ms(date(2026, 7, 20), ZoneInfo("Asia/Shanghai"))
PRICES = price_axis(load_tariff("guangdong-v2g"), TimeAxis(MIDNIGHT, INTERVAL_MS, 96))
VALLEY, FLAT, PEAK = 172_140, 453_000, 770_100  # 1e-6 yuan per kWh


def bill(first, flows, *, power="8", round_trip="0.8", late_min=0):
    """Return the bill of a stay that begins in quarter-hour `first` and moves the given energies (in, out) [Wh]."""
    steps = MIDNIGHT + (first + np.arange(len(flows), dtype=np.int64)) * INTERVAL_MS
    columns = np.array(flows, dtype=np.int64).reshape(-1, 2).T
    table = IntervalTable((MeterKey("t", "ann", "home", "cp", 1),), np.zeros(len(flows), np.int64), steps, *columns)
    begin = MIDNIGHT + first * INTERVAL_MS + late_min * MS_PER_MIN
    return unmanaged_bills(table, [ChargingTerms(Decimal(power), Decimal(round_trip), begin)], PRICES)["ann"]


def test_energy_taken_late_is_billed_from_plugging_in():
    stay = [(0, 0)] * 8 + [(2_000, 0)] * 4  # plugged in at 18:00 in the peak, charged at 20:00 in the flat hours
    assert bill(72, stay) == 8 * PEAK


def test_a_quarter_hour_that_has_begun_holds_less():
    assert bill(75, [(0, 0), (0, 0), (0, 0), (4_000, 0)], late_min=9) == round(0.8 * PEAK + 3.2 * FLAT)


def test_what_was_given_had_to_be_taken_with_its_losses():
    assert bill(0, [(10_000, 0), (0, 4_000), (0, 0)]) == 5 * VALLEY


def test_what_does_not_fit_counts_in_the_last_quarter_hour():
    assert bill(31, [(0, 0), (9_000, 0)]) == 2 * VALLEY + 7 * FLAT


def test_a_stay_that_gave_on_balance_is_credited_at_its_last_price():
    assert bill(76, [(0, 4_000), (0, 0)]) == -5 * FLAT


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 3_000)), min_size=1, max_size=30))
def test_the_bill_is_that_of_the_same_energy_between_the_cheapest_and_the_dearest_price(flows):
    net = sum(taken for taken, _ in flows) - round(Decimal(sum(given for _, given in flows)) / Decimal("0.8"))
    prices = [float(price) for price in PRICES.buy[40 : 40 + len(flows)]]
    lowest, highest = sorted((net * min(prices) * 1_000, net * max(prices) * 1_000))
    assert lowest - 1 <= bill(40, flows) <= highest + 1


def test_nobody_metered_has_no_bill():
    empty = np.zeros(0, dtype=np.int64)
    assert unmanaged_bills(IntervalTable((), empty, empty, empty, empty), [], PRICES) == {}
    with pytest.raises(ValueError, match="zip"):
        unmanaged_bills(IntervalTable((), empty, empty, empty, empty), [ChargingTerms(*[Decimal(1)] * 2, 0)], PRICES)
