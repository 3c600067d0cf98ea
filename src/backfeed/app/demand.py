"""The demand-response desk: invitations in, awards out, deliveries measured.

What the fleet may offer is read from its own past: the flexibility it had at these hours on the days
before. Only part of that is offered, since the cars of that day may not come.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.app.commitment import Commitment
from backfeed.app.knowledge import Car, Knowledge
from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_DAY, MS_PER_H, local_datetime
from backfeed.core.money import WH_PER_KWH
from backfeed.fleet.event import AnyEvent, AwardAccepted, DeliveryVerified, InvitationReceived, OfferMade, Refused
from backfeed.market.demand_response import (
    Award,
    Declined,
    Direction,
    DrPayment,
    Invitation,
    Programme,
    award,
    delivered_wh,
    settle_event,
)
from backfeed.meter.baseline import Baseline, History, baseline
from backfeed.meter.gaming import Finding, moved_baseline
from backfeed.meter.interval import INTERVAL_MS, IntervalTable
from backfeed.report.summary import AROUND_H

OFFERED_SHARE = 1.0
"""Share of the usual flexibility that is offered: all that the leanest quarter-hours had on days when nobody had
prepared for it."""

LOOK_BACK_DAYS = 7

BEFORE_CONTROL = "before-control"
"""The baseline that is known only when control begins."""

_OFFER = "offer for "

EXPECTED_BEFORE_MS = 7 * MS_PER_DAY
"""How long before an invitation it can be expected: hot days are forecast a week ahead."""

SUSTAINED_H = 2.0
"""How long offered power must last: what a battery can give is spread over this."""


@dataclass(frozen=True, slots=True)
class OperatorStatement:
    """What a programme's operator says of a delivery: energies [Wh], money in 1e-6 of the currency."""

    invitation: str
    promised_wh: int
    delivered_wh: int
    revenue_micro: int
    penalty_micro: int


@dataclass(frozen=True)
class _Offer:
    """An offer that has not been decided on: what was asked, what the programme would allow, against which baseline."""

    allowed: Award
    baseline: Baseline


@dataclass(frozen=True)
class Delivery:
    """What came of an award; before and after it, what was taken beyond the usual, where that is known."""

    commitment: Commitment
    award: Award
    baseline: Baseline
    metered_wh: NDArray[np.int64]
    payment: DrPayment
    before_wh: int | None = None
    after_wh: int | None = None
    operator_agrees: bool | None = None


@dataclass
class DemandDesk:
    """Answers invitations.

    Parameters
    ----------
    programme
        The rules of the programme.
    knowledge
        What has been metered.
    start_ms
        When metering began: nothing is known before.
    timezone
        Whose days baselines count.
    discharges
        Whether cars may give energy back, or only take it at another time.
    takes_part
        Whether an owner takes part: only then is a car's flexibility offered, and only its energy counted.
    holidays
        Calendar that says which days are worked.
    offer_to
        Where offers go: called with invitation, power [kW] and instant. Without anybody to clear it, every offer that
        the programme allows is an award.
    statements
        What the operator said of each delivery, and whether the desk's own settlement says the same.
    declined, received
        Why an invitation was not answered by an offer, and the invitations that came before a restart.
    """

    programme: Programme
    knowledge: Knowledge
    start_ms: int
    timezone: str
    discharges: bool
    takes_part: Callable[[str], bool] = lambda _owner: True
    holidays: str = ""
    offer_to: Callable[[str, float, int], None] | None = None
    statements: dict[str, tuple[OperatorStatement, bool]] = field(default_factory=dict)
    commitments: list[Commitment] = field(default_factory=list)
    declined: dict[str, Declined] = field(default_factory=dict)
    received: dict[str, InvitationReceived] = field(default_factory=dict)
    _awards: dict[str, tuple[Award, Baseline]] = field(default_factory=dict)
    _awarded_ms: dict[str, int] = field(default_factory=dict)
    _answered: dict[str, AwardAccepted | OfferMade | None] = field(default_factory=dict)
    _offers: dict[str, _Offer] = field(default_factory=dict)
    _flexible_kw: dict[int, tuple[float, float]] = field(default_factory=dict)

    def observe(self, now_ms: int, cars: Sequence[Car]) -> None:
        """Write down how much less and how much more the fleet could take in this quarter-hour, magnitudes [kW].

        Both count from what it takes now, since a promise counts from a baseline of such days, and no site can move
        further than to its limits.
        """
        give = take = 0.0
        cars_at: dict[str, list[Car]] = {}
        for car in cars:
            if self.takes_part(car.owner.owner_id):
                cars_at.setdefault(car.site_id, []).append(car)
        for name, site in self.knowledge.enrolment.sites.items():
            here = cars_at.get(name, [])
            net_kw = sum(car.plug.power_kw for car in here)
            least_kw = -sum(_gives_kw(car) for car in here) if self.discharges else 0.0
            most_kw = sum(_takes_kw(car) for car in here)
            give += max(net_kw - max(least_kw, -site.export_limit_kw - min(site.base_load_kw)), 0.0)
            take += max(min(most_kw, site.import_limit_kw - max(site.base_load_kw)) - net_kw, 0.0)
        self._flexible_kw[now_ms // INTERVAL_MS * INTERVAL_MS] = (give, take)

    def recall(self, event: AnyEvent) -> None:
        """Read in the log how an invitation was answered before a restart."""
        if isinstance(event, InvitationReceived):
            self._answered.setdefault(event.invitation, None)
            self.received[event.invitation] = event
        elif isinstance(event, AwardAccepted | OfferMade):
            self._answered[event.invitation] = event
        elif isinstance(event, Refused) and event.what.startswith(_OFFER):
            self._answered[event.what.removeprefix(_OFFER)] = None

    def answer(self, invitation: Invitation, now_ms: int, offer_kw: float | None = None) -> list[AnyEvent]:
        """Answer an invitation; return what to write down, nothing if it has been answered before a restart.

        `offer_kw` is what somebody has decided to offer; without it the fleet's own past says how much.
        """
        if invitation.id in self._answered:
            given = self._answered.pop(invitation.id)
            if given is not None:
                self._restore(invitation, given)
            return []
        events: list[AnyEvent] = [
            InvitationReceived(
                at_ms=now_ms,
                invitation=invitation.id,
                direction=invitation.kind.value,
                start_ms=invitation.start_ms,
                end_ms=invitation.end_ms,
                power_kw=invitation.power_kw,
                price_per_kwh=float(invitation.price_per_kwh),
                baseline=invitation.baseline,
            )
        ]
        offered_kw = self._offer_kw(invitation) if offer_kw is None else offer_kw
        outcome = award(self.programme, invitation, offered_kw, now_ms)
        if isinstance(outcome, Declined):
            self.declined[invitation.id] = outcome
            reason = "; ".join(outcome.reasons)
            return [*events, Refused(at_ms=now_ms, what=f"invitation {invitation.id}", reason=reason)]
        frozen = self._baseline(invitation, now_ms)
        if self.offer_to is None:
            return [*events, self._accept(outcome, frozen, now_ms)]
        self._offers[invitation.id] = _Offer(outcome, frozen)
        self.offer_to(invitation.id, outcome.power_kw, now_ms)
        made = OfferMade(
            at_ms=now_ms, invitation=invitation.id, power_kw=outcome.power_kw, baseline_kw=_as_logged(frozen)
        )
        return [*events, made]

    def awarded(self, invitation: str, power_kw: float, now_ms: int) -> AnyEvent:
        """Take an award of at most what was offered; return what to write down."""
        offer = self._offers.pop(invitation, None)
        if offer is None:
            return Refused(at_ms=now_ms, what=f"award {invitation}", reason="nothing was offered")
        power_kw = min(power_kw, offer.allowed.power_kw)
        promised_wh = round(power_kw * offer.allowed.invitation.duration_h * WH_PER_KWH)
        return self._accept(replace(offer.allowed, power_kw=power_kw, promised_wh=promised_wh), offer.baseline, now_ms)

    def refused(self, invitation: str, reason: str, now_ms: int) -> AnyEvent:
        """Take note that an offer was not taken; return what to write down."""
        self._offers.pop(invitation, None)
        return Refused(at_ms=now_ms, what=f"{_OFFER}{invitation}", reason=reason)

    def verified(self, statement: OperatorStatement, now_ms: int) -> AnyEvent:
        """Hold an operator's statement against the desk's own settlement; return what to write down."""
        own = next((d.payment for d in self.deliveries() if d.award.invitation.id == statement.invitation), None)
        agrees = own is not None and (
            own.promised_wh,
            own.delivered_wh,
            own.revenue_micro,
            own.penalty_micro,
        ) == (statement.promised_wh, statement.delivered_wh, statement.revenue_micro, statement.penalty_micro)
        self.statements[statement.invitation] = statement, agrees
        return DeliveryVerified(
            at_ms=now_ms,
            invitation=statement.invitation,
            promised_wh=statement.promised_wh,
            delivered_wh=statement.delivered_wh,
            revenue_micro=statement.revenue_micro,
            penalty_micro=statement.penalty_micro,
            agrees=agrees,
        )

    def _accept(self, given: Award, frozen: Baseline, now_ms: int) -> AwardAccepted:
        """Stand by a promise from now on."""
        invitation = given.invitation
        self._awards[invitation.id] = (given, frozen)
        self._awarded_ms[invitation.id] = now_ms
        self.commitments.append(Commitment(invitation, given.power_kw, frozen.axis, frozen.power_kw, self.takes_part))
        return AwardAccepted(
            at_ms=now_ms, invitation=invitation.id, power_kw=given.power_kw, baseline_kw=_as_logged(frozen)
        )

    def _restore(self, invitation: Invitation, given: AwardAccepted | OfferMade) -> None:
        """Stand by a promise or an offer that was made before a restart."""
        axis = _delivery_axis(invitation)
        offered_ms = min(given.at_ms, self.programme.gate_closure.before(invitation.start_ms, self.programme.timezone))
        outcome = award(self.programme, invitation, given.power_kw, offered_ms)
        assert isinstance(outcome, Award), f"{invitation.id} was awarded once, and its terms have not changed"
        net_wh = np.rint(np.array(given.baseline_kw) * WH_PER_KWH * axis.step_h).astype(np.int64)
        frozen = Baseline(invitation.baseline, axis, net_wh, (), ("read back from the event log",))
        if isinstance(given, OfferMade):
            self._offers[invitation.id] = _Offer(outcome, frozen)
        else:
            self._accept(outcome, frozen, given.at_ms)

    def awards(self) -> list[Award]:
        """Return every award, in the order in which they were made."""
        return [award for award, _ in self._awards.values()]

    def deliveries(self) -> list[Delivery]:
        """Return what the meters say about every award, in the order of the awards."""
        table = self.metered()
        found = []
        for commitment in self.commitments:
            given, frozen = self._awards[commitment.invitation.id]
            if frozen.method == BEFORE_CONTROL:
                frozen = self._baseline(commitment.invitation, commitment.invitation.start_ms)
            metered = _net_wh(table.start_ms, table.import_wh - table.export_wh, commitment.axis)
            moved = delivered_wh(frozen.net_wh, metered, commitment.invitation.kind)
            payment = settle_event(given, moved, INTERVAL_MS)
            _, agrees = self.statements.get(commitment.invitation.id, (None, None))
            found.append(Delivery(commitment, given, frozen, metered, payment, *self._around(commitment), agrees))
        return found

    def metered(self) -> IntervalTable:
        """Return the metered quarter-hours of all who take part."""
        keys = self.knowledge.meter_keys
        return self.knowledge.meter.table([key for key in keys if self.takes_part(key.owner)])

    def _baseline(self, invitation: Invitation, now_ms: int) -> Baseline:
        """Return the baseline of an invitation, from what is known now."""
        axis = _delivery_axis(invitation)
        history = self._history(now_ms, self._event_days(invitation.invited_at_ms))
        if invitation.baseline == BEFORE_CONTROL and now_ms < invitation.start_ms:
            # What control begins from is not known yet: what is taken now stands for it until then.
            held = history.net_wh[-1:].repeat(axis.count) if len(history.net_wh) else np.zeros(axis.count, np.int64)
            return Baseline(BEFORE_CONTROL, axis, held, (), ("until control begins",))
        return baseline(invitation.baseline, history, axis, invitation.invited_at_ms)

    def _event_days(self, until_ms: int) -> tuple[date, ...]:
        """Return the local days of deliveries that were promised by an instant: they are no normal days."""
        zone = ZoneInfo(self.timezone)
        return tuple(
            local_datetime(given.invitation.start_ms, zone).date()
            for name, (given, _) in self._awards.items()
            if self._awarded_ms[name] <= until_ms
        )

    def moved(self, invitation: Invitation) -> tuple[Finding, ...]:
        """Return whether the baseline of an invitation was driven to where it earns more, by who could expect it."""
        _, used = self._awards[invitation.id]
        invited_ms = invitation.invited_at_ms
        history = self._history(invited_ms, self._event_days(invited_ms))
        return moved_baseline(invitation.id, invitation.kind, history, used, invited_ms, EXPECTED_BEFORE_MS)

    def _around(self, commitment: Commitment) -> tuple[int | None, int | None]:
        """Return what was taken beyond the usual in the hours before and after a delivery, where it is known [Wh].

        The usual is what the baseline's own method says of these hours. A fleet that was told a day ahead charges
        ahead, and the baseline of the event does not see it.
        """
        event, invitation = commitment.axis, commitment.invitation
        table = self.metered()
        metered_until_ms = int(table.start_ms.max(initial=0)) + INTERVAL_MS
        found: list[int | None] = []
        for start_ms in (event.start_ms - AROUND_H * MS_PER_H, event.end_ms):
            hours = TimeAxis(start_ms, INTERVAL_MS, AROUND_H * MS_PER_H // INTERVAL_MS)
            usual = baseline(
                invitation.baseline, self._history(invitation.invited_at_ms), hours, invitation.invited_at_ms
            )
            known = bool(usual.days) and start_ms >= invitation.invited_at_ms and hours.end_ms <= metered_until_ms
            taken = int(_net_wh(table.start_ms, table.import_wh - table.export_wh, hours).sum())
            found.append(taken - int(usual.net_wh.sum()) if known else None)
        return found[0], found[1]

    def _history(self, now_ms: int, event_days: tuple[date, ...] = ()) -> History:
        table = self.metered()
        axis = TimeAxis(self.start_ms, INTERVAL_MS, max(now_ms - self.start_ms, 0) // INTERVAL_MS)
        net_wh = _net_wh(table.start_ms, table.import_wh - table.export_wh, axis)
        return History(axis, net_wh, self.timezone, self.holidays, event_days)

    def _offer_kw(self, invitation: Invitation) -> float:
        """Return the part of the usual flexibility that is offered: the mean of the leanest quarter-hours."""
        leanest = []
        for days_ago in range(1, LOOK_BACK_DAYS + 1):
            shift_ms = days_ago * MS_PER_DAY
            starts = range(invitation.start_ms - shift_ms, invitation.end_ms - shift_ms, INTERVAL_MS)
            seen = [self._flexible_kw[at] for at in starts if at in self._flexible_kw]
            if seen:
                side = 0 if invitation.kind is Direction.PEAK_SHAVE else 1
                leanest.append(min(flexible[side] for flexible in seen))
        return OFFERED_SHARE * float(np.mean(leanest)) if leanest else 0.0


def _as_logged(frozen: Baseline) -> tuple[float, ...]:
    return tuple(round(float(power), 6) for power in frozen.power_kw)


def _delivery_axis(invitation: Invitation) -> TimeAxis:
    return TimeAxis(invitation.start_ms, INTERVAL_MS, (invitation.end_ms - invitation.start_ms) // INTERVAL_MS)


def _gives_kw(car: Car) -> float:
    """Return the power that a car could feed back for `SUSTAINED_H`."""
    vehicle = car.owner.vehicle
    spare_kwh = max(car.energy_low_kwh - car.reserve_kwh, 0.0)
    return min(
        car.discharge_max_kw,
        min(spare_kwh * vehicle.discharge_efficiency, car.discharge_left_kwh) / SUSTAINED_H,
    )


def _takes_kw(car: Car) -> float:
    """Return the power that a car could take for `SUSTAINED_H`."""
    vehicle = car.owner.vehicle
    room_kwh = max(vehicle.capacity_kwh - car.energy_high_kwh, 0.0)
    return min(car.charge_max_kw, room_kwh / vehicle.charge_efficiency / SUSTAINED_H)


def _net_wh(start_ms: NDArray[np.int64], net_wh: NDArray[np.int64], axis: TimeAxis) -> NDArray[np.int64]:
    """Sum rows of a meter table by the quarter-hours of an axis."""
    total = np.zeros(axis.count, dtype=np.int64)
    inside = (start_ms >= axis.start_ms) & (start_ms < axis.end_ms)
    np.add.at(total, (start_ms[inside] - axis.start_ms) // axis.step_ms, net_wh[inside])
    return total
