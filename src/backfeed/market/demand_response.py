"""Demand response: invitations, programmes as parametric rules, awards, delivery, payment.

A programme invites the fleet to take less from the grid, or to feed into it (`peak_shave`), or to take
more (`valley_fill`), over some hours, against a baseline: what the fleet would have taken otherwise.
The life of an invitation: invited -> offered before gate closure -> awarded -> delivered -> verified
against the meter -> paid. All rules are numbers in a programme file:

- a payment curve, piecewise linear in the response ratio r = delivered / promised, that says which
  multiple of the promised energy is paid. Two points at one ratio are a jump, and the upper one holds at
  the ratio itself: `(0.8, 0), (0.8, 0.8), (1.2, 1.2)` pays nothing below 80 %, the delivered energy up
  to 120 %, and no more above.
- a penalty below a ratio R1: (promised x R1 - delivered) x price x factor.

Energies are integer Wh, prices `Decimal` per kWh, payments 1e-6 of the currency, rounded once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.core.instant import MS_PER_H, MS_PER_MIN, local_datetime, to_ms
from backfeed.core.money import WH_PER_KWH, round_micro
from backfeed.market.rule import Provenance

_ZERO = Decimal(0)

BASELINES = ("mean-5-workdays", "top-5-of-10", "before-control", "regression")
"""Names of the baselines that a programme may ask for; `meter.baseline` computes them."""


class Direction(StrEnum):
    """Which way the fleet is asked to move."""

    PEAK_SHAVE = "peak_shave"
    VALLEY_FILL = "valley_fill"


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a programme asks for.

    Parameters
    ----------
    id
        Name of the invitation, unique in a run.
    kind
        Which way to move.
    invited_at_ms
        When the platform came to know it; a baseline may use nothing that was metered later.
    start_ms, end_ms
        When to deliver, `[start, end)`.
    power_kw
        How much power, a magnitude.
    price_per_kwh
        What a delivered kWh is worth, before the payment curve.
    baseline
        Name of the baseline method, see `meter.baseline`.
    """

    id: str
    kind: Direction
    invited_at_ms: int
    start_ms: int
    end_ms: int
    power_kw: float
    price_per_kwh: Decimal
    baseline: str

    @property
    def duration_h(self) -> float:
        """How long to deliver, in hours."""
        return (self.end_ms - self.start_ms) / MS_PER_H


@dataclass(frozen=True, slots=True)
class Penalty:
    """What falling short costs: (promised x below_ratio - delivered) x price x factor."""

    below_ratio: Decimal
    factor: Decimal


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant counted from the start of delivery.

    Either a number of minutes before it (`days_before` is absent), or a local time of day (`minutes` after
    midnight) some days before the day of delivery.
    """

    minutes: int
    days_before: int | None = None

    def before(self, start_ms: int, timezone: str) -> int:
        """Return the instant for a delivery that begins at `start_ms`."""
        if self.days_before is None:
            return start_ms - self.minutes * MS_PER_MIN
        zone = ZoneInfo(timezone)
        day = local_datetime(start_ms, zone).date() - timedelta(days=self.days_before)
        return to_ms(datetime.combine(day, time(*divmod(self.minutes, 60)), tzinfo=zone))


@dataclass(frozen=True, slots=True)
class Programme:
    """The rules of a demand-response programme.

    Parameters
    ----------
    programme_id, title, currency, provenance, notes
        Name, words for people, unit of the prices, source and validity.
    directions
        Which ways it invites.
    timezone
        Whose wall clock the deadlines are read on.
    invitation, gate_closure, confirmation
        The latest invitation, the last offer, the confirmation of awards.
    power_min_kw, duration_min_min
        The least that may be offered.
    price_cap_per_kwh, price_floor_per_kwh
        Bounds of the price, by direction; absent where there is none.
    baseline
        Name of the baseline method unless the invitation names another.
    payment_curve
        Points (response ratio, paid multiple of the promised energy), ratios not decreasing.
    penalty
        What falling short costs; absent where it costs nothing.
    settlement_min
        Minutes that are settled as one, by ratio and penalty; absent where the whole event is.
    opt_in
        Whether owners have to say yes; otherwise they may say no.
    """

    programme_id: str
    title: str
    currency: str
    provenance: Provenance | None
    directions: tuple[Direction, ...]
    timezone: str
    invitation: Deadline | None
    gate_closure: Deadline
    confirmation: Deadline | None
    power_min_kw: float
    duration_min_min: int
    price_cap_per_kwh: tuple[tuple[Direction, Decimal], ...]
    price_floor_per_kwh: tuple[tuple[Direction, Decimal], ...]
    baseline: str
    payment_curve: tuple[tuple[Decimal, Decimal], ...]
    penalty: Penalty | None
    settlement_min: int | None
    opt_in: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Award:
    """A promise that both sides have made."""

    invitation: Invitation
    programme: Programme
    power_kw: float
    promised_wh: int
    price_per_kwh: Decimal
    at_ms: int


@dataclass(frozen=True, slots=True)
class Declined:
    """Why an offer became no award, in words for people: English, and the same in Simplified Chinese."""

    invitation: Invitation
    reasons: tuple[str, ...]
    reasons_zh: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DrPayment:
    """What a delivery earns and costs, in 1e-6 of the currency, both >= 0."""

    promised_wh: int
    delivered_wh: int
    revenue_micro: int
    penalty_micro: int

    @property
    def net_micro(self) -> int:
        """Revenue less penalty."""
        return self.revenue_micro - self.penalty_micro

    @property
    def ratio(self) -> float:
        """Delivered over promised; 0 where nothing was promised."""
        return self.delivered_wh / self.promised_wh if self.promised_wh else 0.0


@dataclass(frozen=True, slots=True)
class Timetable:
    """The clock of one invitation under a programme, in milliseconds since 1970 UTC; absent where there is no rule."""

    invited_by_ms: int | None
    gate_closure_ms: int
    confirmed_by_ms: int | None
    start_ms: int
    end_ms: int


def timetable(programme: Programme, invitation: Invitation) -> Timetable:
    """Return when an invitation has to be made, answered, confirmed and delivered."""

    def at(deadline: Deadline | None) -> int | None:
        return None if deadline is None else deadline.before(invitation.start_ms, programme.timezone)

    return Timetable(
        invited_by_ms=at(programme.invitation),
        gate_closure_ms=programme.gate_closure.before(invitation.start_ms, programme.timezone),
        confirmed_by_ms=at(programme.confirmation),
        start_ms=invitation.start_ms,
        end_ms=invitation.end_ms,
    )


def takes_part(programme: Programme, *, answer: bool | None) -> bool:
    """Say whether an owner takes part, given a yes, a no or no answer.

    >>> from backfeed.market.programme import load_programme
    >>> takes_part(load_programme("jiangsu"), answer=None), takes_part(load_programme("pilot"), answer=None)
    (False, True)
    """
    return (not programme.opt_in) if answer is None else answer


def award(programme: Programme, invitation: Invitation, offer_kw: float, now_ms: int) -> Award | Declined:
    """Turn an offer of power into an award of at most the invited power, or say why there is none."""
    clock = timetable(programme, invitation)
    invited_in_time = clock.invited_by_ms is None or invitation.invited_at_ms <= clock.invited_by_ms
    kind, price = invitation.kind, invitation.price_per_kwh
    power_kw = min(offer_kw, invitation.power_kw)
    cap, floor = dict(programme.price_cap_per_kwh).get(kind), dict(programme.price_floor_per_kwh).get(kind)
    way = {Direction.PEAK_SHAVE: "削峰", Direction.VALLEY_FILL: "填谷"}[kind]
    least_kw, least_min, name = programme.power_min_kw, programme.duration_min_min, programme.programme_id
    reasons = [
        (reason, reason_zh)
        for holds, reason, reason_zh in (
            (kind in programme.directions, f"{name} does not invite to {kind.value}", f"{name} 不邀约{way}"),
            (now_ms >= invitation.invited_at_ms, "the offer came before the invitation", "申报早于邀约"),
            (invited_in_time, f"the invitation is later than {name} allows", f"邀约晚于 {name} 规定的时间"),
            (now_ms <= clock.gate_closure_ms, "the gate has closed", "申报已截止"),
            (
                power_kw > 0 and power_kw >= least_kw,
                f"the offer of {power_kw:g} kW lies below the least of {least_kw:g} kW",
                f"可申报功率 {power_kw:g} kW,低于最低要求 {least_kw:g} kW",
            ),
            (
                invitation.end_ms - invitation.start_ms >= least_min * MS_PER_MIN,
                f"delivery is shorter than {least_min} minutes",
                f"响应时段不足 {least_min} 分钟",
            ),
            (
                cap is None or price <= cap,
                f"the price of {price} lies above the cap of {cap}",
                f"价格 {price} 高于上限 {cap}",
            ),
            (
                floor is None or price >= floor,
                f"the price of {price} lies below the floor of {floor}",
                f"价格 {price} 低于下限 {floor}",
            ),
        )
        if not holds
    ]
    if reasons:
        return Declined(invitation, *(tuple(words) for words in zip(*reasons, strict=True)))
    promised_wh = round(power_kw * invitation.duration_h * WH_PER_KWH)
    return Award(invitation, programme, power_kw, promised_wh, price, now_ms)


def delivered_wh(
    baseline_wh: Sequence[int] | NDArray[np.int64], metered_wh: Sequence[int] | NDArray[np.int64], kind: Direction
) -> NDArray[np.int64]:
    """Return the energy delivered in every interval [Wh], negative where the fleet moved the wrong way.

    Both series are net energy taken from the grid, charging positive, on the same intervals.

    Raises
    ------
    ValueError
        If the series differ in length.

    >>> delivered_wh([1000, 1000], [-500, 1200], Direction.PEAK_SHAVE).tolist()
    [1500, -200]
    """
    baseline, metered = np.asarray(baseline_wh, dtype=np.int64), np.asarray(metered_wh, dtype=np.int64)
    if baseline.shape != metered.shape:
        message = f"baseline and meter differ in length: {baseline.shape} and {metered.shape}"
        raise ValueError(message)
    moved: NDArray[np.int64] = baseline - metered if kind is Direction.PEAK_SHAVE else metered - baseline
    return moved


def paid_wh(programme: Programme, promised_wh: int, delivered_wh: int) -> Decimal:
    """Return the energy that the payment curve pays [Wh]; nothing is paid for delivery below zero."""
    promised, delivered = Decimal(promised_wh), Decimal(max(delivered_wh, 0))
    curve = programme.payment_curve
    if delivered < curve[0][0] * promised:
        return _ZERO
    paid = curve[-1][1] * promised
    for (ratio, multiple), (next_ratio, next_multiple) in pairwise(curve):
        if ratio * promised <= delivered < next_ratio * promised:
            slope = (next_multiple - multiple) / (next_ratio - ratio)
            paid = multiple * promised + (delivered - ratio * promised) * slope
    return paid


def settle_delivery(programme: Programme, promised_wh: int, delivered_wh: int, price_per_kwh: Decimal) -> DrPayment:
    """Return what a delivery earns by the payment curve and costs by the penalty.

    Parameters
    ----------
    programme
        The rules.
    promised_wh, delivered_wh
        Energy over the whole event, or over one clearing hour where a programme settles by the hour.
    price_per_kwh
        The clearing price.
    """
    revenue = round_micro(paid_wh(programme, promised_wh, delivered_wh) * price_per_kwh / WH_PER_KWH)
    short_wh = _ZERO
    if programme.penalty is not None:
        short_wh = max(programme.penalty.below_ratio * promised_wh - max(delivered_wh, 0), _ZERO)
        short_wh *= programme.penalty.factor
    return DrPayment(promised_wh, delivered_wh, revenue, round_micro(short_wh * price_per_kwh / WH_PER_KWH))


def settle_event(award: Award, delivered_wh: NDArray[np.int64], step_ms: int) -> DrPayment:
    """Return what an event earns and costs, settled over the periods that its programme settles as one.

    Parameters
    ----------
    award
        The promise, spread evenly over the event.
    delivered_wh
        Energy delivered in every interval of the event [Wh], from `delivered_wh`.
    step_ms
        Length of an interval.

    Raises
    ------
    ValueError
        If a settlement period is no whole number of intervals.
    """
    programme, count = award.programme, len(delivered_wh)
    if programme.settlement_min is None:
        return settle_delivery(programme, award.promised_wh, int(delivered_wh.sum()), award.price_per_kwh)
    width, rest = divmod(programme.settlement_min * MS_PER_MIN, step_ms)
    if rest or not width:
        message = f"periods of {programme.settlement_min} minutes are no whole number of steps of {step_ms} ms"
        raise ValueError(message)
    parts = [
        settle_delivery(
            programme,
            award.promised_wh * min(first + width, count) // count - award.promised_wh * first // count,
            int(delivered_wh[first : first + width].sum()),
            award.price_per_kwh,
        )
        for first in range(0, count, width)
    ]
    return DrPayment(
        award.promised_wh,
        int(delivered_wh.sum()),
        sum(part.revenue_micro for part in parts),
        sum(part.penalty_micro for part in parts),
    )


def payment_micro(programme: Programme, promised_wh: int, delivered_wh: int, price_per_kwh: Decimal) -> int:
    """Return revenue less penalty of a delivery, in 1e-6 of the currency; see `settle_delivery`."""
    return settle_delivery(programme, promised_wh, delivered_wh, price_per_kwh).net_micro
