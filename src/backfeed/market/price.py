"""Tariffs laid onto a time axis: the exact price of every step.

The way of a price: local day -> schedules of that day -> period of each minute -> price of the period
-> plus fees. Steps are counted in UTC and windows in local wall-clock time, so a day of 92, 96 or 100
quarter-hours needs no special case: every step asks for the wall-clock time at its own start.

An expired rule is never applied in silence: `validity_problems` says so, and a `PriceSeries` carries
the same as `warnings`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_H, MS_PER_MIN, local_datetime
from backfeed.core.problem import InputError, Problem
from backfeed.market.calendar import day_kind, exchange_is_known
from backfeed.market.rule import MINUTES_PER_DAY, DayRule, DischargeKind, Rates, Subsidy, Tariff

_ZERO = Decimal(0)


@dataclass(frozen=True)
class SubsidySeries:
    """One granted subsidy on an axis: what it pays per discharged kWh in every step, and its cap in a year."""

    name: str
    per_kwh: tuple[Decimal, ...]
    cap_per_year: Decimal | None


@dataclass(frozen=True)
class PriceSeries:
    """Prices on an axis, exact and as floats.

    Parameters
    ----------
    axis
        The steps that the prices stand on.
    currency
        Unit of the prices, which are per kWh.
    buy, sell, subsidy
        Exact price of charged energy with fees, of discharged energy, and the granted subsidies per
        discharged kWh that come on top of `sell`, shape `(step,)`.
    period, sell_period
        Names of the periods of charging and of discharging.
    buy_per_kwh, sell_per_kwh, subsidy_per_kwh
        The same prices as float64, for the optimiser.
    warnings
        What a reader has to know: rules that do not hold on days of this axis.
    subsidies
        The granted subsidies one by one; `subsidy` is their sum.
    """

    axis: TimeAxis
    currency: str
    buy: tuple[Decimal, ...]
    sell: tuple[Decimal, ...]
    subsidy: tuple[Decimal, ...]
    period: tuple[str, ...]
    sell_period: tuple[str, ...]
    buy_per_kwh: NDArray[np.float64]
    sell_per_kwh: NDArray[np.float64]
    subsidy_per_kwh: NDArray[np.float64]
    warnings: tuple[Problem, ...]
    subsidies: tuple[SubsidySeries, ...] = ()

    def without_subsidy(self) -> "PriceSeries":
        """Return the same prices without subsidies, since these end."""
        nothing = (_ZERO,) * self.axis.count
        return replace(self, subsidy=nothing, subsidy_per_kwh=np.zeros(self.axis.count), subsidies=())


def validity_problems(tariff: Tariff, first: date, last: date) -> tuple[Problem, ...]:
    """Return one problem for each rule of the tariff that does not hold on all local days `first .. last`."""
    rules = [(tariff.tariff_id, tariff.provenance)]
    rules += [(f"{tariff.tariff_id} subsidy {s.name}", s.provenance) for s in tariff.subsidies if not s.up_to]
    problems = []
    for where, provenance in rules:
        if provenance.valid_until is not None and last > provenance.valid_until:
            problems.append(Problem(where, f"expired: valid until {provenance.valid_until}, asked for {last}"))
        if provenance.valid_from is not None and first < provenance.valid_from:
            problems.append(Problem(where, f"not yet valid: begins on {provenance.valid_from}, asked for {first}"))
    asks_for_kinds = any(
        s.when.kinds for rates in (tariff.charge, tariff.discharge.rates) if rates for s in rates.schedules
    )
    for year in range(first.year, last.year + 1) if asks_for_kinds else ():
        if not exchange_is_known(year, tariff.holidays):
            what = f"the working days of {year} are estimates: the exchange of days is not announced yet"
            problems.append(Problem(tariff.tariff_id, what))
    return tuple(problems)


def price_axis(
    tariff: Tariff,
    axis: TimeAxis,
    timezone: str | None = None,
    *,
    zone: str = "",
    forecast_max_c: Mapping[date, float] | None = None,
    spot_per_kwh: Sequence[Decimal] | None = None,
) -> PriceSeries:
    """Return the price of every step of an axis.

    Parameters
    ----------
    tariff
        The rules.
    axis
        Steps of at most an hour.
    timezone
        Whose wall clock the windows are read on; the tariff's own by default.
    zone
        One of the tariff's price zones; its base price replaces that of charging.
    forecast_max_c
        Highest temperature [degrees Celsius] forecast, by the local day on which the forecast was published.
    spot_per_kwh
        Spot price of every step [currency/kWh], for discharge rules that follow it.

    Raises
    ------
    InputError
        If a window begins or ends inside a step, no base price is known, the zone is unknown, or a spot
        price is needed and not given.
    """
    problems = _price_problems(tariff, axis, zone, spot_per_kwh)
    if problems:
        raise InputError(problems)
    steps = _local_steps(axis, ZoneInfo(timezone or tariff.timezone))
    on_day = _rule_test(tariff.holidays, forecast_max_c or {})
    base = dict(tariff.zones)[zone] if zone else tariff.charge.base_per_kwh
    period = _periods(tariff, tariff.charge, axis, steps, on_day)
    own = tariff.discharge.rates
    sell_period = _periods(tariff, own, axis, steps, on_day) if own is not None and own.schedules else period
    buy_of = {name: _buy(tariff, name, base) for name in dict.fromkeys(period)}
    sell = tuple(
        _sell(tariff, name, base, spot_per_kwh[step] if spot_per_kwh is not None else _ZERO)
        for step, name in enumerate(sell_period)
    )
    buy = tuple(buy_of[name] for name in period)
    subsidies = _subsidies(tariff.subsidies, [day for day, _ in steps])
    subsidy = tuple(sum((each.per_kwh[step] for each in subsidies), _ZERO) for step in range(axis.count))
    return PriceSeries(
        axis=axis,
        currency=tariff.currency,
        buy=buy,
        sell=sell,
        subsidy=subsidy,
        period=period,
        sell_period=sell_period,
        buy_per_kwh=np.array([float(price) for price in buy]),
        sell_per_kwh=np.array([float(price) for price in sell]),
        subsidy_per_kwh=np.array([float(price) for price in subsidy]),
        warnings=validity_problems(tariff, steps[0][0], steps[-1][0]) if steps else (),
        subsidies=subsidies,
    )


def _price_problems(tariff: Tariff, axis: TimeAxis, zone: str, spot_per_kwh: Sequence[Decimal] | None) -> list[Problem]:
    where, problems = tariff.tariff_id, []
    zones = dict(tariff.zones)
    if zone and zone not in zones:
        problems.append(Problem(where, f"zone: expected one of {', '.join(zones) or 'none'}, found {zone!r}"))
    elif not zone and tariff.charge.lacks_base:
        named = f" or name one of its zones {', '.join(zones)}" if zones else ""
        problems.append(Problem(where, f"gives ratios but no base price for charging: set one{named}"))
    if tariff.discharge.kind is DischargeKind.SPOT and (spot_per_kwh is None or len(spot_per_kwh) != axis.count):
        found = "none" if spot_per_kwh is None else str(len(spot_per_kwh))
        problems.append(
            Problem(where, f"discharge follows the spot price: expected {axis.count} prices, found {found}")
        )
    if axis.step_ms > MS_PER_H:
        problems.append(
            Problem(where, f"expected steps of at most an hour, found {axis.step_ms // MS_PER_MIN} minutes")
        )
    return problems


def _local_steps(axis: TimeAxis, zone: ZoneInfo) -> list[tuple[date, int]]:
    """Return local day and minute of the day of every step's start."""
    moments = [local_datetime(at_ms, zone) for at_ms in axis]
    return [(moment.date(), moment.hour * 60 + moment.minute) for moment in moments]


def _rule_test(holidays: str, forecast_max_c: Mapping[date, float]) -> Callable[[DayRule, date], bool]:
    def applies(rule: DayRule, day: date) -> bool:
        if rule.forecast_max_c is not None:
            hottest = forecast_max_c.get(day - timedelta(days=rule.lead_days))
            if hottest is None or Decimal(str(hottest)) < rule.forecast_max_c:
                return False
        return (
            (not rule.seasons or any(_in_season(day, season) for season in rule.seasons))
            and (not rule.kinds or day_kind(day, holidays) in rule.kinds)
            and (not rule.weekdays or day.weekday() in rule.weekdays)
            and (not rule.dates or any(first <= day <= last for first, last in rule.dates))
        )

    return applies


def _in_season(day: date, season: tuple[tuple[int, int], tuple[int, int]]) -> bool:
    first, last = season
    at = (day.month, day.day)
    return first <= at <= last if first <= last else at >= first or at <= last


def _periods(
    tariff: Tariff,
    rates: Rates,
    axis: TimeAxis,
    steps: Sequence[tuple[date, int]],
    on_day: Callable[[DayRule, date], bool],
) -> tuple[str, ...]:
    """Return the period of every step; a step that holds two of them is an error of the axis."""
    step_min = -(-axis.step_ms // MS_PER_MIN)

    @cache
    def minutes_of(applying: tuple[bool, ...]) -> tuple[str, ...]:
        minutes = [rates.default_period] * MINUTES_PER_DAY
        for schedule, applies in zip(rates.schedules, applying, strict=True):
            for window in schedule.windows if applies else ():
                minutes[window.from_min : window.until_min] = [window.period] * (window.until_min - window.from_min)
        return tuple(minutes)

    days = {
        day: minutes_of(tuple(on_day(schedule.when, day) for schedule in rates.schedules))
        for day in dict.fromkeys(day for day, _ in steps)
    }
    periods = tuple(days[day][minute] for day, minute in steps)
    cut = sorted(
        {
            f"{minute // 60:02d}:{minute % 60:02d}"
            for (day, minute), period in zip(steps, periods, strict=True)
            if any(name != period for name in days[day][minute : minute + step_min])
        }
    )
    if cut:
        what = f"a window begins or ends inside the steps of {step_min} minutes at these local times"
        raise InputError([Problem(tariff.tariff_id, what, tuple(cut))])
    return periods


def _buy(tariff: Tariff, period: str, base: Decimal | None) -> Decimal:
    return _energy_price(tariff.charge, period, base) + _fees(tariff, "charge", period)


def _sell(tariff: Tariff, period: str, base: Decimal | None, spot: Decimal) -> Decimal:
    rule = tariff.discharge
    if rule.kind is DischargeKind.RATES:
        assert rule.rates is not None, rule
        price = _energy_price(rule.rates, period, rule.rates.base_per_kwh)
    elif rule.kind is DischargeKind.CHARGE:
        price = _energy_price(tariff.charge, period, base)
    elif rule.kind is DischargeKind.SPOT:
        price = rule.factor * spot + rule.adder_per_kwh
        price = price if rule.floor_per_kwh is None else max(price, rule.floor_per_kwh)
        price = price if rule.cap_per_kwh is None else min(price, rule.cap_per_kwh)
    else:
        return _ZERO
    return price - _fees(tariff, "discharge", period)


def _energy_price(rates: Rates, period: str, base: Decimal | None) -> Decimal:
    price = rates.price_per_kwh(period, base)
    assert price is not None, (period, rates)
    return price


def _fees(tariff: Tariff, direction: str, period: str) -> Decimal:
    return sum(
        (f.per_kwh for f in tariff.fees if f.direction == direction and (not f.periods or period in f.periods)), _ZERO
    )


def _subsidies(subsidies: Sequence[Subsidy], days: Sequence[date]) -> tuple[SubsidySeries, ...]:
    """Return every granted subsidy over the steps' local days."""
    series = []
    for each in subsidies:
        if not each.up_to:
            on = {day: each.per_kwh if each.provenance.holds_on(day) else _ZERO for day in dict.fromkeys(days)}
            series.append(SubsidySeries(each.name, tuple(on[day] for day in days), each.cap_per_year))
    return tuple(series)
