"""How a programme's operator verifies a delivery: from meter data, by the rules alone, in whole numbers and fractions.

Nothing here is shared with a platform, which settles the same delivery from the same rules; the two have to come to the
same micro-unit of the currency. So this is written from the rules' words once more and computes differently: quarter-
hours in a dictionary, days walked one by one, money in exact fractions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal
from zoneinfo import ZoneInfo

from backfeed.core.instant import MS_PER_MIN, local_datetime, to_ms

QUARTER_MS: Final = 15 * MS_PER_MIN
QUARTERS_PER_H: Final = 4
WH_PER_KWH: Final = 1000
MICRO: Final = 1_000_000
LOOK_BACK_DAYS: Final = 60
METHODS: Final = ("mean-5-workdays", "top-5-of-10", "before-control", "regression")
"""Baselines that the operator knows to compute."""

Quarters = dict[int, int]
"""Net energy taken from the grid [Wh] by the start of the quarter-hour [ms]."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant before delivery: minutes before it, or a local minute of a day some days before."""

    minutes: int
    days_before: int | None = None

    def before(self, start_ms: int, zone: ZoneInfo) -> int:
        """Return the instant for a delivery that begins at `start_ms`."""
        if self.days_before is None:
            return start_ms - self.minutes * MS_PER_MIN
        day = local_datetime(start_ms, zone).date() - timedelta(days=self.days_before)
        hour, minute = divmod(self.minutes, 60)
        return to_ms(datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone))


@dataclass(frozen=True, slots=True)
class Rules:
    """A programme's rules as numbers.

    Parameters
    ----------
    timezone
        Whose wall clock days and deadlines are read on.
    directions
        Which ways it invites.
    invitation, gate_closure, confirmation
        The latest invitation, the last offer, the confirmation of awards; absent where there is no rule.
    power_min_kw, duration_min_min
        The least that may be awarded.
    price_cap_per_kwh, price_floor_per_kwh
        Bounds of the price by direction.
    baseline
        Name of the baseline method.
    payment_curve
        Points (response ratio, paid multiple of the promise).
    penalty
        `(below_ratio, factor)`, absent where falling short costs nothing.
    settlement_min
        Minutes that are settled as one; absent where the whole delivery is.
    """

    timezone: str
    directions: tuple[Literal["peak_shave", "valley_fill"], ...]
    invitation: Moment | None
    gate_closure: Moment
    confirmation: Moment | None
    power_min_kw: float
    duration_min_min: int
    price_cap_per_kwh: tuple[tuple[str, Decimal], ...]
    price_floor_per_kwh: tuple[tuple[str, Decimal], ...]
    baseline: str
    payment_curve: tuple[tuple[Decimal, Decimal], ...]
    penalty: tuple[Decimal, Decimal] | None
    settlement_min: int | None


@dataclass(frozen=True)
class Meters:
    """What is handed in: one row a meter and quarter-hour, energies in whole Wh."""

    start_ms: Sequence[int]
    import_wh: Sequence[int]
    export_wh: Sequence[int]


@dataclass(frozen=True, slots=True)
class Verified:
    """What the operator says of a delivery; money in 1e-6 of the currency, both >= 0."""

    baseline_wh: tuple[int, ...]
    promised_wh: int
    delivered_wh: int
    revenue_micro: int
    penalty_micro: int

    @property
    def net_micro(self) -> int:
        """Revenue less penalty."""
        return self.revenue_micro - self.penalty_micro


@dataclass(frozen=True, slots=True)
class Promise:
    """What is to be verified.

    Parameters
    ----------
    direction, delivery_ms
        Which way, from when until when.
    invited_at_ms
        When the invitation became known: no later reading makes a baseline.
    method
        The baseline.
    awarded_kw, price_per_kwh
        What was promised, and what a kWh of it is worth.
    """

    direction: Literal["peak_shave", "valley_fill"]
    delivery_ms: tuple[int, int]
    invited_at_ms: int
    method: str
    awarded_kw: float
    price_per_kwh: Decimal


@dataclass(frozen=True)
class Days:
    """Which local days are worked, and on which the fleet had been called before this promise: these are not normal."""

    is_workday: Callable[[date], bool]
    called: frozenset[date] = frozenset()


def verify(rules: Rules, promise: Promise, meters: Meters, metered_from_ms: int, days: Days) -> Verified:
    """Verify a delivery.

    Parameters
    ----------
    rules, promise
        The programme, and what was promised.
    meters, metered_from_ms
        The readings, and when metering began.
    days
        Which local days count for a baseline.
    """
    delivery_ms = promise.delivery_ms
    net: Quarters = {}
    for at_ms, took, gave in zip(meters.start_ms, meters.import_wh, meters.export_wh, strict=True):
        net[at_ms] = net.get(at_ms, 0) + took - gave
    starts = range(*delivery_ms, QUARTER_MS)
    if promise.method == "before-control":
        held = net.get(delivery_ms[0] - QUARTER_MS, 0) if delivery_ms[0] - QUARTER_MS >= metered_from_ms else 0
        baseline = [held] * len(starts)
    else:
        known = (metered_from_ms, min(promise.invited_at_ms, delivery_ms[0]) // QUARTER_MS * QUARTER_MS)
        baseline = _of_days(rules, starts, net, known, days, promise.method)
    sign = 1 if promise.direction == "peak_shave" else -1
    moved = [sign * (usual - net.get(at_ms, 0)) for usual, at_ms in zip(baseline, starts, strict=True)]
    due = round_half_even(Fraction(str(promise.awarded_kw)) * WH_PER_KWH * len(starts) / QUARTERS_PER_H)
    revenue, penalty = _payment(rules, due, moved, Fraction(promise.price_per_kwh))
    return Verified(tuple(baseline), due, sum(moved), revenue, penalty)


def _of_days(
    rules: Rules, starts: Sequence[int], net: Quarters, known: tuple[int, int], days: Days, method: str
) -> list[int]:
    """Return the mean of the days that a method takes before the delivery, at its wall-clock times."""
    zone = ZoneInfo(rules.timezone)
    clocks = [local_datetime(at_ms, zone) for at_ms in starts]
    today = clocks[0].date()
    wanted = {"mean-5-workdays": 5, "top-5-of-10": 10, "regression": LOOK_BACK_DAYS}[method]
    usual: list[tuple[date, list[int]]] = []
    for back in range(1, LOOK_BACK_DAYS + 1):
        day = today - timedelta(days=back)
        counts = day not in days.called and (method == "regression" or days.is_workday(day))
        if len(usual) < wanted and counts:
            taken = _on_day(clocks, back, net, known, zone)
            if taken is not None:
                usual.append((day, taken))
    if method == "top-5-of-10":
        usual = sorted(usual, key=lambda entry: (-sum(entry[1]), entry[0]))[:5]
    if method == "regression":
        # Least squares on a level and on whether a day is worked is the mean of the days of one kind.
        alike = [entry for entry in usual if days.is_workday(entry[0]) == days.is_workday(today)]
        usual = alike or usual
    if not usual:
        return [0] * len(starts)
    return [
        round_half_even(Fraction(sum(column), len(usual)))
        for column in zip(*(taken for _, taken in usual), strict=True)
    ]


def _on_day(
    clocks: Sequence[datetime], back: int, net: Quarters, known: tuple[int, int], zone: ZoneInfo
) -> list[int] | None:
    """Return what was taken at the same wall-clock times some days back, None if not all of them are known."""
    taken = []
    for clock in clocks:
        then = clock.replace(tzinfo=None) - timedelta(days=back)
        at_ms = to_ms(then.replace(tzinfo=zone, fold=clock.fold))
        missing = local_datetime(at_ms, zone).replace(tzinfo=None) != then
        if missing or not known[0] <= at_ms < known[1]:
            return None
        taken.append(net.get(at_ms, 0))
    return taken


def _payment(rules: Rules, promised: int, moved: Sequence[int], price: Fraction) -> tuple[int, int]:
    """Return revenue and penalty, each settlement period by itself."""
    width = len(moved) if rules.settlement_min is None else rules.settlement_min * MS_PER_MIN // QUARTER_MS
    revenue = penalty = 0
    for first in range(0, len(moved), width):
        until = min(first + width, len(moved))
        due = promised * until // len(moved) - promised * first // len(moved)
        given = max(sum(moved[first:until]), 0)
        revenue += round_half_even(_paid(rules, due, given) * price * MICRO / WH_PER_KWH)
        if rules.penalty is not None:
            below, factor = map(Fraction, rules.penalty)
            penalty += round_half_even(max(below * due - given, Fraction(0)) * factor * price * MICRO / WH_PER_KWH)
    return revenue, penalty


def _paid(rules: Rules, due: int, given: int) -> Fraction:
    """Return the energy that is paid [Wh]: the highest point of the curve that delivery has passed, and the way on."""
    points = [(Fraction(ratio) * due, Fraction(multiple) * due) for ratio, multiple in rules.payment_curve]
    passed = [k for k, (needs, _) in enumerate(points) if needs <= given]
    if not passed:
        return Fraction(0)
    here = passed[-1]
    if here + 1 == len(points):
        return points[here][1]
    (x0, y0), (x1, y1) = points[here], points[here + 1]
    return y0 + (y1 - y0) * (given - x0) / (x1 - x0)


def round_half_even(value: Fraction) -> int:
    """Return the nearest whole number, the even one of two that are equally near.

    >>> [round_half_even(Fraction(n, 2)) for n in (1, 3, 5, -1, -3)]
    [0, 2, 2, 0, -2]
    """
    floor, rest = divmod(value.numerator, value.denominator)
    twice = 2 * rest
    if twice > value.denominator or (twice == value.denominator and floor % 2):
        return floor + 1
    return floor
