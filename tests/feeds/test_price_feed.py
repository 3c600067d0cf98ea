"""Forecast maxima and spot prices from small tables."""

from datetime import date
from decimal import Decimal

import pytest

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_MIN, parse_instant
from backfeed.core.problem import InputError
from backfeed.feeds.price_feed import read_forecast_max, read_spot
from backfeed.market.tariff import load_tariff, price_axis

BEGIN = parse_instant("2026-06-21T00:00:00+08:00")
DAY = TimeAxis(BEGIN, 15 * MS_PER_MIN, 96)


def test_a_hot_forecast_of_the_file_makes_the_next_day_critical(tmp_path):
    file = tmp_path / "hot.csv"
    file.write_text("day,max_c\n2026-06-19,34.9\n2026-06-20,35.0\n")
    forecast = read_forecast_max(file)
    assert forecast == {date(2026, 6, 19): 34.9, date(2026, 6, 20): 35.0}
    prices = price_axis(load_tariff("guangdong-v2g"), DAY, forecast_max_c=forecast)
    assert prices.period.count("critical") == 12  # 11-12 and 15-17
    assert price_axis(load_tariff("guangdong-v2g"), DAY).period.count("critical") == 0


def test_a_spot_price_holds_until_the_next(tmp_path):
    file = tmp_path / "spot.csv"
    file.write_text("start,price_per_kwh\n2026-06-20T16:00:00Z,0.21\n2026-06-21T06:00:00+08:00,-0.05\n")
    spot = read_spot(file, DAY)
    assert spot[:24] == (Decimal("0.21"),) * 24
    assert spot[24:] == (Decimal("-0.05"),) * 72
    prices = price_axis(load_tariff("shandong-v2g", "0.5"), DAY, spot_per_kwh=spot)
    assert prices.sell[23:25] == (Decimal("0.21"), Decimal("-0.05"))


def test_every_fault_of_a_table_is_told_at_once(tmp_path):
    file = tmp_path / "hot.csv"
    file.write_text("day,max_c\nsoon,30\n2026-06-20,nan\n2026-06-21,30\n2026-06-21,31\n")
    with pytest.raises(InputError) as caught:
        read_forecast_max(file)
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == 3
    assert "row 2, day" in told[0]
    assert "found 'nan'" in told[1]
    assert "stands there twice" in told[2]
    with pytest.raises(InputError, match="expected a column 'start'"):
        read_spot(file, DAY)
