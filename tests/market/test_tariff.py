"""Tariffs on axes: windows, seasons, hot days, clock changes, exact prices."""

from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_MIN, local_datetime, local_midnight_ms
from backfeed.core.problem import InputError
from backfeed.market.tariff import grant_subsidy, load_tariff, preset_names, price_axis, validity_problems

SHANGHAI = ZoneInfo("Asia/Shanghai")
QUARTER_MS = 15 * MS_PER_MIN


def day_axis(day: date, zone: ZoneInfo = SHANGHAI, step_ms: int = QUARTER_MS) -> TimeAxis:
    start, end = local_midnight_ms(day, zone), local_midnight_ms(day + timedelta(days=1), zone)
    return TimeAxis(start, step_ms, (end - start) // step_ms)


def at(hour, minute=0):
    return 4 * hour + minute // 15


TWO_VALLEYS = """
id = "two-valleys"
title = "A tariff of this test"
currency = "EUR"
timezone = "Europe/Berlin"
holidays = "DE-BY"
source = "this test"
mark = "u"
valid_from = 2026-01-01
valid_until = 2026-12-31

[charge]
base_per_kwh = 0.30
default_period = "flat"
periods.flat = { ratio = 1 }
periods.valley = { ratio = 0.5 }
periods.peak = { price_per_kwh = 0.55 }

[[charge.schedules]]
name = "working days"
days = ["workday"]
windows = { valley = ["22:00-06:00", "11:00-13:00"], peak = ["17:00-20:00"] }

[[charge.schedules]]
name = "announced"
dates = ["2026-03-10", "2026-04-01..2026-04-02"]
windows = { peak = ["00:00-24:00"] }

[[fees]]
name = "grid"
per_kwh = 0.08

[[fees]]
name = "evening service"
per_kwh = 0.02
periods = ["peak"]

[[fees]]
name = "metering of discharge"
direction = "discharge"
per_kwh = 0.01

[discharge]
rule = "charge"

[[subsidies]]
name = "spring"
payer = "the state"
per_kwh = 0.10
valid_from = 2026-03-01
valid_until = 2026-03-15
source = "this test"
mark = "u"
"""


@pytest.fixture
def two_valleys(tmp_path: Path):
    path = tmp_path / "two.toml"
    path.write_text(TWO_VALLEYS, encoding="utf-8")
    return load_tariff(path)


def test_guangdong_prices_are_those_of_the_published_table():
    prices = price_axis(load_tariff("guangdong-v2g"), day_axis(date(2026, 7, 20)))
    exact = {name: prices.sell[prices.period.index(name)] for name in ("valley", "flat", "peak", "critical")}
    assert exact == {
        "valley": Decimal("0.17214"),
        "flat": Decimal("0.453"),
        "peak": Decimal("0.7701"),
        "critical": Decimal("0.962625"),
    }
    five = Decimal("0.00001")
    assert exact["critical"].quantize(five, ROUND_HALF_UP) == Decimal("0.96263")
    assert exact["peak"] - exact["valley"] == Decimal("0.59796")
    assert (exact["critical"] - exact["valley"]).quantize(five, ROUND_HALF_UP) == Decimal("0.79049")


def test_guangdong_critical_hours_hold_on_all_days_from_july_to_september():
    tariff = load_tariff("guangdong-v2g")
    for day, critical in (
        (date(2026, 6, 30), False),
        (date(2026, 7, 1), True),
        (date(2026, 9, 30), True),
        (date(2026, 10, 1), False),
    ):
        prices = price_axis(tariff, day_axis(day))
        hours = [step / 4 for step, period in enumerate(prices.period) if period == "critical"]
        assert hours == ([11, 11.25, 11.5, 11.75, *(15 + q / 4 for q in range(8))] if critical else [])


def test_a_hot_forecast_makes_the_next_day_critical_and_no_other():
    tariff = load_tariff("guangdong-v2g")
    forecast = {date(2026, 5, 10): 35.0, date(2026, 5, 11): 34.9}
    axis = TimeAxis(day_axis(date(2026, 5, 10)).start_ms, QUARTER_MS, 3 * 96)
    prices = price_axis(tariff, axis, forecast_max_c=forecast)
    days = {
        local_datetime(start, SHANGHAI).date()
        for start, period in zip(axis, prices.period, strict=True)
        if period == "critical"
    }
    assert days == {date(2026, 5, 11)}


def test_another_base_price_changes_charging_only():
    axis = day_axis(date(2026, 7, 20))
    usual, dearer = (price_axis(load_tariff("guangdong-v2g", base), axis) for base in (None, "0.62"))
    assert dearer.sell == usual.sell
    assert dearer.buy[0] == Decimal("0.2356")
    assert dearer.buy[at(15)] == Decimal("0.62") * Decimal("1.7") * Decimal("1.25")


def test_floats_are_the_nearest_to_the_exact_prices():
    prices = price_axis(load_tariff("guangdong-v2g"), day_axis(date(2026, 7, 20)))
    assert prices.buy_per_kwh.tolist() == [float(price) for price in prices.buy]


@pytest.mark.parametrize(
    ("day", "count"), [(date(2026, 3, 29), 92), (date(2026, 3, 30), 96), (date(2026, 10, 25), 100)]
)
def test_days_of_92_96_and_100_steps_read_windows_off_the_wall_clock(two_valleys, day, count):
    zone = ZoneInfo("Europe/Berlin")
    axis = day_axis(day, zone)
    assert axis.count == count
    prices = price_axis(two_valleys, axis)
    for start, period in zip(axis, prices.period, strict=True):
        hour = local_datetime(start, zone).hour
        expected = (
            "flat"
            if day.weekday() == 6
            else "valley"
            if hour < 6 or hour >= 22 or 11 <= hour < 13
            else "peak"
            if 17 <= hour < 20
            else "flat"
        )
        assert period == expected


def test_holidays_and_weekends_are_no_working_days(two_valleys):
    for day in (date(2026, 1, 6), date(2026, 1, 10)):
        assert set(price_axis(two_valleys, day_axis(day, ZoneInfo("Europe/Berlin"))).period) == {"flat"}


def test_a_saturday_worked_in_exchange_is_a_working_day(tmp_path):
    path = tmp_path / "cn.toml"
    path.write_text(TWO_VALLEYS.replace("DE-BY", "CN").replace("Europe/Berlin", "Asia/Shanghai"), encoding="utf-8")
    assert "valley" in price_axis(load_tariff(path), day_axis(date(2026, 2, 14))).period
    assert "valley" not in price_axis(load_tariff(path), day_axis(date(2026, 10, 1))).period


def test_announced_days_lie_over_the_usual_ones(two_valleys):
    for day in (date(2026, 3, 10), date(2026, 4, 1), date(2026, 4, 2)):
        assert set(price_axis(two_valleys, day_axis(day, ZoneInfo("Europe/Berlin"))).period) == {"peak"}


def test_fees_go_on_top_of_charging_and_off_discharging(two_valleys):
    prices = price_axis(two_valleys, day_axis(date(2026, 3, 11), ZoneInfo("Europe/Berlin")))
    assert (prices.buy[0], prices.sell[0]) == (Decimal("0.23"), Decimal("0.14"))
    assert (prices.buy[at(17)], prices.sell[at(17)]) == (Decimal("0.65"), Decimal("0.54"))


def test_a_subsidy_ends_with_its_last_day(two_valleys):
    zone = ZoneInfo("Europe/Berlin")
    assert set(price_axis(two_valleys, day_axis(date(2026, 3, 15), zone)).subsidy) == {Decimal("0.10")}
    assert set(price_axis(two_valleys, day_axis(date(2026, 3, 16), zone)).subsidy) == {Decimal(0)}


def test_an_up_to_subsidy_pays_nothing_until_it_is_granted():
    tariff, axis = load_tariff("guangdong-v2g"), day_axis(date(2026, 7, 20))
    assert set(price_axis(tariff, axis).subsidy) == {Decimal(0)}
    granted = grant_subsidy(tariff, "guangzhou-v2g", Decimal("1.5"))
    assert set(price_axis(granted, axis).subsidy) == {Decimal("1.5")}
    assert price_axis(granted, axis).sell == price_axis(tariff, axis).sell
    assert price_axis(granted, axis).without_subsidy().subsidy == price_axis(tariff, axis).subsidy
    for name, amount in (("guangzhou-v2g", Decimal(6)), ("nobody", Decimal(1))):
        with pytest.raises(InputError):
            grant_subsidy(tariff, name, amount)


def test_an_expired_rule_is_told_and_never_silent():
    tariff = load_tariff("guangdong-v2g")
    assert validity_problems(tariff, date(2026, 12, 31), date(2026, 12, 31)) == ()
    assert price_axis(tariff, day_axis(date(2026, 12, 31))).warnings == ()
    [warning] = price_axis(tariff, day_axis(date(2027, 1, 1))).warnings
    assert "expired" in warning.what
    [warning] = validity_problems(load_tariff("zhejiang-2026"), date(2026, 6, 30), date(2026, 7, 2))
    assert "not yet valid" in warning.what


def test_a_spot_rule_follows_the_spot_between_floor_and_cap(tmp_path):
    path = tmp_path / "spot.toml"
    spot_rule = 'rule = "spot"\nfactor = 0.9\nadder_per_kwh = 0.05\nfloor_per_kwh = 0\ncap_per_kwh = 1'
    path.write_text(TWO_VALLEYS.replace('rule = "charge"', spot_rule), encoding="utf-8")
    axis = TimeAxis(day_axis(date(2026, 5, 4)).start_ms, QUARTER_MS, 3)
    spot = (Decimal("-0.30"), Decimal("0.40"), Decimal(3))
    fee = Decimal("0.01")
    assert price_axis(load_tariff(path), axis, spot_per_kwh=spot).sell == (-fee, Decimal("0.41") - fee, 1 - fee)
    with pytest.raises(InputError, match="expected 3 prices, found none"):
        price_axis(load_tariff(path), axis)


def test_shandong_pays_the_spot_price():
    axis = TimeAxis(day_axis(date(2026, 5, 4)).start_ms, QUARTER_MS, 2)
    spot = (Decimal("0.31"), Decimal("-0.08"))
    assert price_axis(load_tariff("shandong-v2g", "0.5"), axis, spot_per_kwh=spot).sell == spot


def test_a_window_that_ends_inside_a_step_is_refused(tmp_path):
    path = tmp_path / "odd.toml"
    path.write_text(TWO_VALLEYS.replace("17:00-20:00", "17:10-20:00"), encoding="utf-8")
    with pytest.raises(InputError, match="inside the steps"):
        price_axis(load_tariff(path), day_axis(date(2026, 5, 4), ZoneInfo("Europe/Berlin")))
    prices = price_axis(load_tariff(path), day_axis(date(2026, 5, 4), ZoneInfo("Europe/Berlin"), 5 * MS_PER_MIN))
    assert prices.period.count("peak") == 34


def test_ratios_without_a_base_price_ask_for_one():
    axis = day_axis(date(2024, 5, 6))
    with pytest.raises(InputError, match="no base price"):
        price_axis(load_tariff("shenzhen-2024"), axis)
    assert price_axis(load_tariff("shenzhen-2024", "0.6"), axis).buy[0] == Decimal("0.192")


def test_a_zone_brings_its_own_base_price(tmp_path):
    path = tmp_path / "zones.toml"
    path.write_text(TWO_VALLEYS + "\n[zones]\nnorth = 0.20\n", encoding="utf-8")
    prices = price_axis(load_tariff(path), day_axis(date(2026, 5, 4), ZoneInfo("Europe/Berlin")), zone="north")
    assert prices.buy[0] == Decimal("0.18")
    with pytest.raises(InputError, match="zone"):
        price_axis(load_tariff(path), day_axis(date(2026, 5, 4)), zone="south")


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_states_its_source_and_prices_a_valid_day(name):
    tariff = load_tariff(name)
    assert tariff.tariff_id == name
    assert tariff.provenance.source
    day = tariff.provenance.valid_from or date(2026, 5, 4)
    base = None if tariff.charge.base_per_kwh is not None else "0.6"
    prices = price_axis(load_tariff(name, base), day_axis(day), spot_per_kwh=[Decimal("0.3")] * 96)
    assert prices.warnings == ()
    assert all(price > 0 for price in prices.buy)
    assert all(price >= 0 for price in prices.sell)


def test_chengdu_winter_critical_hours_run_over_the_new_year():
    tariff = load_tariff("chengdu-2023")
    for day, critical in (
        (date(2023, 12, 25), 0),
        (date(2023, 12, 26), 8),
        (date(2023, 1, 25), 8),
        (date(2023, 1, 26), 0),
    ):
        assert price_axis(tariff, day_axis(day)).period.count("critical") == critical
    prices = price_axis(tariff, day_axis(date(2023, 8, 1)))
    assert prices.buy[at(15)] == Decimal("0.90432")
    assert prices.period[at(23)] == prices.period[at(6, 45)] == "valley"


@given(st.dates(date(2026, 1, 1), date(2026, 12, 30)), st.integers(1, 20))
def test_a_part_of_an_axis_has_the_prices_of_the_whole(day, steps):
    tariff = load_tariff("guangdong-v2g")
    whole = day_axis(day)
    part = TimeAxis(whole.start_ms + steps * QUARTER_MS, QUARTER_MS, 40)
    assert price_axis(tariff, part).buy == price_axis(tariff, whole).buy[steps : steps + 40]


def test_every_fault_of_a_file_is_told_at_once(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(
        """
id = "bad"
title = "bad"
currency = "CNY"
timezone = "Asia/Atlantis"
holidays = "XX"
source = "test"
mark = "x"
valid_from = 2026-02-01
valid_until = 2026-01-01
colour = "red"
[charge]
base_per_kwh = -1
default_period = "noon"
periods.flat = { ratio = 1, price_per_kwh = 2 }
periods.a = { of = "b", ratio = 1 }
periods.b = { of = "a", ratio = 1 }
periods.c = { of = "z", ratio = 1 }
[[charge.schedules]]
name = "s"
seasons = ["13-01..02-30"]
days = ["someday"]
windows = { flat = ["08:00-12:00", "11:00-13:00", "25:00-26:00"], ghost = ["01:00-02:00"] }
[[fees]]
name = "f"
[discharge]
rule = "rates"
periods.flat = { ratio = 1 }
""",
        encoding="utf-8",
    )
    with pytest.raises(InputError) as caught:
        load_tariff(path)
    told = str(caught.value)
    for word in (
        "Atlantis",
        "XX",
        "mark: expected one of s, w, u",
        "valid_from 2026-02-01 lies after",
        "colour is not a key",
        "base_per_kwh: expected a number of at least 0, found -1",
        "default period 'noon'",
        "either ratio or price_per_kwh",
        "leads in a circle",
        "names 'z'",
        "13-01..02-30",
        "someday",
        "overlap at 11:00",
        "25:00-26:00",
        "ghost is not among",
        "per_kwh is missing",
        "a base of its own",
    ):
        assert word in told, word


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("base_per_kwh = 0.62", "base_per_kwh = 1e308"),
        ("base_per_kwh = 0.62", "base_per_kwh = nan"),
        ("base_per_kwh = 0.62", "base_per_kwh = 0.1234567890123"),
        ('currency = "CNY"', 'currency = "yuan"'),
        ('timezone = "Asia/Shanghai"', 'timezone = ""'),
        ('id = "plain"', 'id = " "'),
        ("lead_days = 1", "lead_days = 99999999999"),
    ],
)
def test_numbers_and_names_that_no_price_has_are_refused(tmp_path, key, found):
    path = tmp_path / "plain.toml"
    text = """
id = "plain"
title = "plain"
currency = "CNY"
timezone = "Asia/Shanghai"
source = "test"
mark = "s"
[charge]
base_per_kwh = 0.62
[[charge.schedules]]
name = "hot days"
forecast_max_c = 35
lead_days = 1
windows = { flat = ["17:00-19:00"] }
"""
    path.write_text(text, encoding="utf-8")
    assert load_tariff(path).tariff_id == "plain"
    path.write_text(text.replace(key, found), encoding="utf-8")
    with pytest.raises(InputError, match=key.partition(" ")[0]):
        load_tariff(path)


@pytest.mark.parametrize("text", ["not toml at all [", "\x00"])
def test_what_is_not_toml_is_refused_with_its_place(tmp_path, text):
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.toml"):
        load_tariff(path)


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(InputError, match="guangdong-v2g"):
        load_tariff("atlantis")
