"""Capped subsidies: what is left of them, and what they are worth to whoever decides.

A subsidy with a cap pays until the year's cap is spent; on the day on which it is, what is left is divided in
proportion (`settle.owner_day`). Whoever went on pricing it in full would discharge for money that nobody pays, at the
expense of batteries. So the rolling plan asks what is left (`SubsidyPurse`), and the judge counts what was paid
(`as_paid`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_H, local_datetime, local_midnight_ms
from backfeed.core.money import MICRO, WH_PER_KWH
from backfeed.fleet.event import AnyEvent, TransactionChanged
from backfeed.market.price import PriceSeries, SubsidySeries

Floats = NDArray[np.float64]

WORTH_TRIES = 3
"""How often the worth of what is left is halved in: to an eighth of what a subsidy pays."""


def as_paid(prices: PriceSeries, sold_kwh: Floats, zone: ZoneInfo) -> PriceSeries:
    """Return the prices with what capped subsidies in the end paid for each kWh.

    Parameters
    ----------
    prices
        With granted subsidies.
    sold_kwh
        What was discharged in every step, shape `(step,)`.
    zone
        Whose days and years are counted.
    """
    capped = [each for each in prices.subsidies if each.cap_per_year is not None]
    if not capped:
        return prices
    days = [local_datetime(at_ms, zone).date() for at_ms in prices.axis]
    firsts = [step for step, day in enumerate(days) if step == 0 or day != days[step - 1]]
    total = prices.subsidy_per_kwh.copy()
    for each in capped:
        assert each.cap_per_year is not None, each
        granted = _granted_per_kwh(each)
        left: dict[int, float] = {}
        for first, until in zip(firsts, [*firsts[1:], len(days)], strict=True):
            due = float(granted[first:until] @ sold_kwh[first:until])
            purse = left.setdefault(days[first].year, float(each.cap_per_year))
            if due > purse:
                total[first:until] -= granted[first:until] * (1 - purse / due)
            left[days[first].year] = max(purse - due, 0.0)
    return replace(prices, subsidy_per_kwh=total)


def with_worth(prices: PriceSeries, worth: float) -> PriceSeries:
    """Return the prices with capped subsidies at a part of what they pay."""
    total = prices.subsidy_per_kwh.copy()
    for each in prices.subsidies:
        if each.cap_per_year is not None:
            total -= (1 - worth) * _granted_per_kwh(each)
    return replace(prices, subsidy_per_kwh=total)


def _granted_per_kwh(subsidy: SubsidySeries) -> Floats:
    return np.array([float(price) for price in subsidy.per_kwh])


@dataclass
class SubsidyPurse:
    """What capped subsidies can still pay: the cap, less the books, less what was metered since the last settled day.

    Parameters
    ----------
    prices
        Over the whole run, with granted subsidies.
    zone
        Whose days and years are counted.
    left_before
        What each capped subsidy may still pay in a day's year, without that day itself [1e-6 of the currency].
    first_open
        The first local day that is not settled.
    """

    prices: PriceSeries
    zone: ZoneInfo
    left_before: Callable[[date], Mapping[str, int]] = lambda _day: {}
    first_open: Callable[[], date] = lambda: date.min
    _granted: dict[str, Floats] = field(default_factory=dict)
    _metered: dict[date, dict[str, float]] = field(default_factory=dict)
    _registers: dict[tuple[str, str], int] = field(default_factory=dict)
    _asked: tuple[date, Mapping[str, int]] | None = None

    def __post_init__(self) -> None:
        """Lay the capped subsidies onto the axis."""
        self._granted = {
            each.name: _granted_per_kwh(each) for each in self.prices.subsidies if each.cap_per_year is not None
        }

    def learn(self, event: AnyEvent) -> None:
        """Count what has been discharged; the last register of a transaction stands for what came before."""
        if not self._granted or not isinstance(event, TransactionChanged):
            return
        where = (event.station, event.transaction)
        for reading in event.readings:
            if reading.export_wh is None:
                continue
            before_wh = self._registers.setdefault(where, reading.export_wh)
            given_wh = reading.export_wh - before_wh
            axis = self.prices.axis
            if given_wh > 0:
                self._registers[where] = reading.export_wh
                if axis.start_ms <= reading.measured_ms < axis.end_ms:
                    self._count(reading.measured_ms, given_wh / WH_PER_KWH)

    def _count(self, at_ms: int, given_kwh: float) -> None:
        spent = self._metered.setdefault(local_datetime(at_ms, self.zone).date(), dict.fromkeys(self._granted, 0.0))
        step = self.prices.axis.index_of(at_ms)
        for name, granted in self._granted.items():
            spent[name] += granted[step] * given_kwh

    def left(self, now_ms: int) -> dict[str, float]:
        """Return what each capped subsidy can still pay in the present local year [currency]."""
        if not self._granted:
            return {}
        first = self.first_open()
        if self._asked is None or self._asked[0] != first:
            self._asked = first, self.left_before(first)
        year = local_datetime(now_ms, self.zone).date().year
        left = {name: amount / MICRO for name, amount in self._asked[1].items()}
        for day, spent in self._metered.items():
            if day >= first and day.year == year:
                left = {name: amount - spent[name] for name, amount in left.items()}
        return {name: max(amount, 0.0) for name, amount in left.items()}

    def per_kwh(self, now_ms: int, steps: NDArray[np.int64], worth: float = 1.0) -> Floats:
        """Return what a discharged kWh brings in subsidies in some steps of the prices, as far as there is any left.

        Parameters
        ----------
        now_ms
            The present.
        steps
            Steps of the prices, shape `(step,)`.
        worth
            What capped subsidies count of what they pay.
        """
        total: Floats = self.prices.subsidy_per_kwh[steps].copy()
        left = self.left(now_ms)
        # With the new year the cap is whole again.
        this_year = self.prices.axis.starts_ms[steps] < self._year_end_ms(now_ms) if left else False
        for name, granted in self._granted.items():
            lost = 1 - worth if left.get(name, 0.0) > 0 else 1.0
            total -= np.where(this_year, lost, 0.0) * granted[steps]
        return total

    def is_overdrawn(self, now_ms: int, plans: Sequence[tuple[TimeAxis, Floats]]) -> bool:
        """Return whether planned discharging would draw more from a subsidy than is left of it.

        What is spent already can not be overdrawn: nobody counts on it any more.

        Parameters
        ----------
        now_ms
            The present; what lies before it is over.
        plans
            Axes of plans with the power planned on them, charging positive [kW], NaN where there is none, shape
            `(step,)`.
        """
        left = {name: amount for name, amount in self.left(now_ms).items() if amount > 0}
        drawn = dict.fromkeys(left, 0.0)
        for axis, power_kw in plans if left else ():
            starts_ms, given_kw = axis.starts_ms, np.nan_to_num(np.maximum(-power_kw, 0.0))
            hours = np.maximum(starts_ms + axis.step_ms - np.maximum(starts_ms, now_ms), 0) / MS_PER_H
            hours[starts_ms >= self._year_end_ms(now_ms)] = 0.0
            steps = np.clip(
                (starts_ms - self.prices.axis.start_ms) // self.prices.axis.step_ms, 0, self.prices.axis.count - 1
            )
            for name in drawn:
                drawn[name] += float(self._granted[name][steps] * hours @ given_kw)
        return any(drawn[name] > left[name] for name in drawn)

    def _year_end_ms(self, now_ms: int) -> int:
        return local_midnight_ms(date(local_datetime(now_ms, self.zone).date().year + 1, 1, 1), self.zone)
