"""Tariff files: from TOML to `Tariff`, with every problem named by table and key.

The format is told in the reference page "Tariffs". Windows are written in local wall-clock time,
`"22:00-06:00"` runs over midnight and belongs to the day on which each of its minutes falls.
"""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from backfeed.market.calendar import DayKind, is_calendar
from backfeed.market.rule import (
    MINUTES_PER_DAY,
    DayRule,
    Discharge,
    DischargeKind,
    Fee,
    Mark,
    Period,
    Provenance,
    Rates,
    Schedule,
    Subsidy,
    Tariff,
    Window,
)
from backfeed.market.table import Table

T = TypeVar("T")

_ZERO = Decimal(0)
_HOURS = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_SEASON = re.compile(r"(\d\d)-(\d\d)\.\.(\d\d)-(\d\d)")
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LEAP_YEAR = 2024


def build_tariff(table: Table) -> Tariff:
    """Build a tariff from the top table of its file, adding what is wrong to the table's problems."""
    timezone = table.text("timezone")
    if timezone and not is_timezone(timezone):
        table.problem(f"timezone: expected an IANA name like Asia/Shanghai, found {timezone!r}")
    holidays = table.text("holidays", "")
    if not is_calendar(holidays):
        table.problem(f"holidays: no calendar is named {holidays!r}")
    charge_table, discharge_table = table.table("charge"), table.table("discharge")
    charge, discharge = _rates(charge_table), _discharge(discharge_table)
    _check_covered(charge, discharge, discharge_table)
    charge_table.finish()
    discharge_table.finish()
    return Tariff(
        tariff_id=table.text("id"),
        title=table.text("title"),
        currency=table.currency("currency"),
        timezone=timezone,
        holidays=holidays,
        customer_class=table.text("customer_class", ""),
        provenance=read_provenance(table),
        charge=charge,
        zones=_zones(table.table("zones")),
        fees=tuple(_fee(item, charge) for item in table.tables("fees")),
        discharge=discharge,
        subsidies=tuple(_subsidy(item) for item in table.tables("subsidies")),
        notes=table.texts("notes"),
        assumptions=table.texts("assumptions"),
    )


def read_provenance(table: Table) -> Provenance:
    """Read source, mark and validity, which stand in every rule file under the same keys."""
    valid_from, valid_until = table.day("valid_from"), table.day("valid_until")
    if valid_from and valid_until and valid_from > valid_until:
        table.problem(f"valid_from {valid_from} lies after valid_until {valid_until}")
    return Provenance(table.text("source"), read_mark(table), valid_from, valid_until)


def read_mark(table: Table, default: str | None = None) -> Mark:
    """Read how well a rule is known: s, w or u."""
    return Mark(table.choice("mark", tuple(mark.value for mark in Mark), default))


def is_timezone(name: str) -> bool:
    """Say whether a name is an IANA time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _check_covered(charge: Rates, discharge: Discharge, table: Table) -> None:
    """Check that a discharge rule which follows the schedules of charging has a price for each of their periods."""
    if discharge.rates is None or discharge.rates.schedules or len(discharge.rates.periods) == 1:
        return
    priced = {period.name for period in discharge.rates.periods}
    used = {window.period for schedule in charge.schedules for window in schedule.windows} | {charge.default_period}
    missing = sorted(used - priced)
    if missing:
        table.problem(f"periods: no discharge price for {', '.join(missing)}")


def _rates(table: Table) -> Rates:
    base = table.number("base_per_kwh", least=_ZERO)
    default = table.text("default_period", "flat")
    periods = _periods(table.table("periods"), default)
    schedules = tuple(_schedule(item, {p.name for p in periods}) for item in table.tables("schedules"))
    return Rates(base, default, periods, schedules, read_mark(table, "u"), table.text("note", ""))


def _periods(table: Table, default: str) -> tuple[Period, ...]:
    periods = tuple(_period(table.table(name), name) for name in table.names())
    names = {period.name for period in periods}
    if periods and default not in names:
        table.problem(f"the default period {default!r} is not among {', '.join(sorted(names))}")
    parents = {period.name: period.of for period in periods}
    for period in periods:
        walked, name = set[str](), period.name
        while name and name in parents and name not in walked:
            walked.add(name)
            name = parents[name]
        if name in walked:
            table.problem(f"{period.name}: `of` leads in a circle")
        elif name and name not in names:
            table.problem(f"{period.name}: `of` names {name!r}, which is no period")
    return periods or (Period(default, None, Decimal(1), ""),)


def _period(table: Table, name: str) -> Period:
    price, ratio = table.number("price_per_kwh"), table.number("ratio", least=_ZERO)
    if (price is None) == (ratio is None):
        table.problem("expected either ratio or price_per_kwh")
    period = Period(name, price, _ZERO if price is None and ratio is None else ratio, table.text("of", ""))
    if price is not None and period.of:
        table.problem("`of` goes with ratio, not with price_per_kwh")
    table.finish()
    return period


def _schedule(table: Table, periods: set[str]) -> Schedule:
    name = table.text("name")
    windows = _windows(table.table("windows"), periods)
    rule = DayRule(
        seasons=_parsed(table, "seasons", _season, "a list of seasons like 07-01..09-30"),
        kinds=_parsed(table, "days", _kind, "a list of workday, weekend, holiday"),
        weekdays=_parsed(table, "weekdays", _weekday, "a list of mon ... sun"),
        dates=_parsed(table, "dates", _dates, "a list of dates like 2026-07-01 or 2026-07-01..2026-07-09"),
        forecast_max_c=table.number("forecast_max_c"),
        lead_days=table.whole("lead_days", 1),
    )
    table.finish()
    return Schedule(name, rule, windows)


def _windows(table: Table, periods: set[str]) -> tuple[Window, ...]:
    windows: list[Window] = []
    for period in table.names():
        if period not in periods:
            table.problem(f"{period} is not among the periods {', '.join(sorted(periods))}")
        for text in table.texts(period):
            minutes = parse_hours(text)
            if minutes is None:
                table.problem(f"{period}: expected hours like 08:00-12:00, found {text!r}")
                continue
            windows += [Window(start, end, period) for start, end in minutes]
    windows.sort(key=lambda window: window.from_min)
    for before, after in pairwise(windows):
        if after.from_min < before.until_min:
            table.problem(f"{before.period} and {after.period} overlap at {format_minute(after.from_min)}")
    return tuple(windows)


def parse_hours(text: str) -> tuple[tuple[int, int], ...] | None:
    """Parse wall-clock hours to ranges of minutes; a range over midnight gives two, nonsense none.

    >>> parse_hours("22:00-06:30")
    ((0, 390), (1320, 1440))
    """
    match = _HOURS.fullmatch(text)
    if not match:
        return None
    from_h, from_m, until_h, until_m = map(int, match.groups())
    start, end = from_h * 60 + from_m, until_h * 60 + until_m
    if start in (end, MINUTES_PER_DAY) or max(start, end) > MINUTES_PER_DAY:
        return None
    if start < end:
        return ((start, end),)
    return ((0, end), (start, MINUTES_PER_DAY)) if end else ((start, MINUTES_PER_DAY),)


def format_minute(minute: int) -> str:
    """Format a minute of the day as HH:MM."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _parsed(table: Table, key: str, parse: Callable[[str], T | None], expected: str) -> tuple[T, ...]:
    parsed = []
    for text in table.texts(key):
        value = parse(text)
        if value is None:
            table.problem(f"{key}: expected {expected}, found {text!r}")
        else:
            parsed.append(value)
    return tuple(parsed)


def _season(text: str) -> tuple[tuple[int, int], tuple[int, int]] | None:
    match = _SEASON.fullmatch(text)
    if not match:
        return None
    from_month, from_day, until_month, until_day = map(int, match.groups())
    try:
        date(_LEAP_YEAR, from_month, from_day)
        date(_LEAP_YEAR, until_month, until_day)
    except ValueError:
        return None
    return (from_month, from_day), (until_month, until_day)


def _kind(text: str) -> DayKind | None:
    return DayKind(text) if text in tuple(DayKind) else None


def _weekday(text: str) -> int | None:
    return _WEEKDAYS.index(text) if text in _WEEKDAYS else None


def _dates(text: str) -> tuple[date, date] | None:
    first, _, last = text.partition("..")
    try:
        span = date.fromisoformat(first), date.fromisoformat(last or first)
    except ValueError:
        return None
    return span if span[0] <= span[1] else None


def _zones(table: Table) -> tuple[tuple[str, Decimal], ...]:
    return tuple((name, table.required_number(name, least=_ZERO)) for name in table.names())


def _fee(table: Table, charge: Rates) -> Fee:
    fee = Fee(
        name=table.text("name"),
        direction=table.choice("direction", ("charge", "discharge"), "charge"),
        per_kwh=table.required_number("per_kwh"),
        periods=table.texts("periods"),
    )
    known = {period.name for period in charge.periods}
    for name in fee.periods:
        if name not in known:
            table.problem(f"periods: {name!r} is not among {', '.join(sorted(known))}")
    table.finish()
    return fee


def _discharge(table: Table) -> Discharge:
    kind = DischargeKind(table.choice("rule", tuple(kind.value for kind in DischargeKind), "none"))
    rates = _rates(table) if kind is DischargeKind.RATES else None
    if rates and rates.lacks_base:
        table.problem("base_per_kwh is missing: a discharge rule with ratios needs a base of its own")
    spot = kind is DischargeKind.SPOT
    factor = (table.number("factor") if spot else None) or Decimal(1)
    adder = (table.number("adder_per_kwh") if spot else None) or _ZERO
    floor = table.number("floor_per_kwh") if spot else None
    cap = table.number("cap_per_kwh") if spot else None
    if floor is not None and cap is not None and floor > cap:
        table.problem(f"floor_per_kwh {floor} lies above cap_per_kwh {cap}")
    mark = rates.mark if rates else read_mark(table, "u")
    note = rates.note if rates else table.text("note", "")
    return Discharge(kind, rates, factor, adder, floor, cap, mark, note)


def _subsidy(table: Table) -> Subsidy:
    subsidy = Subsidy(
        name=table.text("name"),
        payer=table.text("payer"),
        per_kwh=table.required_number("per_kwh", least=_ZERO),
        up_to=table.truth("up_to", default=False),
        cap_per_year=table.number("cap_per_year", least=_ZERO),
        provenance=read_provenance(table),
    )
    table.finish()
    return subsidy
