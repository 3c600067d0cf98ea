"""The demand-response desk: invitations in, awards out, deliveries measured.

What the fleet may offer is read from its own past: the flexibility it had at these hours on the days
before. Only part of that is offered, since the cars of that day may not come.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backfeed.app.commitment import Commitment
from backfeed.app.knowledge import Car, Knowledge
from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_DAY, MS_PER_H
from backfeed.core.money import WH_PER_KWH
from backfeed.fleet.event import AnyEvent, AwardAccepted, InvitationReceived, Refused
from backfeed.market.demand_response import (
    Award,
    Declined,
    Direction,
    DrPayment,
    Invitation,
    Programme,
    award,
    delivered_wh,
    settle_delivery,
)
from backfeed.meter.baseline import Baseline, History, baseline
from backfeed.meter.gaming import Finding, raised_baseline
from backfeed.meter.interval import INTERVAL_MS
from backfeed.report.summary import AROUND_H

OFFERED_SHARE = 1.0
"""Share of the usual flexibility that is offered: all that the leanest quarter-hours had on days when nobody had
prepared for it."""

LOOK_BACK_DAYS = 7

EXPECTED_BEFORE_MS = 7 * MS_PER_DAY
"""How long before an invitation it can be expected: hot days are forecast a week ahead."""

SUSTAINED_H = 2.0
"""How long offered power must last: what a battery can give is spread over this."""


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
    """

    programme: Programme
    knowledge: Knowledge
    start_ms: int
    timezone: str
    discharges: bool
    commitments: list[Commitment] = field(default_factory=list)
    _awards: dict[str, tuple[Award, Baseline]] = field(default_factory=dict)
    _answered: dict[str, AwardAccepted | None] = field(default_factory=dict)
    _flexible_kw: dict[int, tuple[float, float]] = field(default_factory=dict)

    def observe(self, now_ms: int, cars: Sequence[Car]) -> None:
        """Write down how much less and how much more the fleet could take in this quarter-hour, magnitudes [kW].

        Both count from what it takes now, since a promise counts from a baseline of such days, and no site can move
        further than to its limits.
        """
        give = take = 0.0
        for name, site in self.knowledge.enrolment.sites.items():
            here = [car for car in cars if car.site_id == name]
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
        elif isinstance(event, AwardAccepted):
            self._answered[event.invitation] = event

    def answer(self, invitation: Invitation, now_ms: int) -> list[AnyEvent]:
        """Answer an invitation; return what to write down, nothing if it has been answered before a restart."""
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
            )
        ]
        axis = _delivery_axis(invitation)
        outcome = award(self.programme, invitation, self._offer_kw(invitation), now_ms)
        if isinstance(outcome, Declined):
            reason = "; ".join(outcome.reasons)
            return [*events, Refused(at_ms=now_ms, what=f"invitation {invitation.id}", reason=reason)]
        frozen = baseline(invitation.baseline, self._history(now_ms), axis, invitation.invited_at_ms)
        self._awards[invitation.id] = (outcome, frozen)
        self.commitments.append(Commitment(invitation, outcome.power_kw, axis, frozen.power_kw))
        accepted = AwardAccepted(
            at_ms=now_ms,
            invitation=invitation.id,
            power_kw=outcome.power_kw,
            baseline_kw=tuple(round(float(power), 6) for power in frozen.power_kw),
        )
        return [*events, accepted]

    def _restore(self, invitation: Invitation, given: AwardAccepted) -> None:
        """Stand by a promise that was made before a restart."""
        axis = _delivery_axis(invitation)
        outcome = award(self.programme, invitation, given.power_kw, given.at_ms)
        assert isinstance(outcome, Award), f"{invitation.id} was awarded once, and its terms have not changed"
        net_wh = np.rint(np.array(given.baseline_kw) * WH_PER_KWH * axis.step_h).astype(np.int64)
        frozen = Baseline(invitation.baseline, axis, net_wh, (), ("read back from the event log",))
        self._awards[invitation.id] = (outcome, frozen)
        self.commitments.append(Commitment(invitation, outcome.power_kw, axis, frozen.power_kw))

    def awards(self) -> list[Award]:
        """Return every award, in the order in which they were made."""
        return [award for award, _ in self._awards.values()]

    def deliveries(self) -> list[Delivery]:
        """Return what the meters say about every award, in the order of the awards."""
        table = self.knowledge.meter.table(self.knowledge.meter_keys)
        found = []
        for commitment in self.commitments:
            given, frozen = self._awards[commitment.invitation.id]
            metered = _net_wh(table.start_ms, table.import_wh - table.export_wh, commitment.axis)
            moved = int(delivered_wh(frozen.net_wh, metered, commitment.invitation.kind).sum())
            payment = settle_delivery(self.programme, given.promised_wh, moved, given.price_per_kwh)
            found.append(Delivery(commitment, given, frozen, metered, payment, *self._around(commitment)))
        return found

    def raised(self, invitation: Invitation) -> tuple[Finding, ...]:
        """Return whether the baseline of an invitation was driven up by who could expect it."""
        _, used = self._awards[invitation.id]
        history = self._history(invitation.invited_at_ms)
        return raised_baseline(invitation.id, history, used, invitation.invited_at_ms, EXPECTED_BEFORE_MS)

    def _around(self, commitment: Commitment) -> tuple[int | None, int | None]:
        """Return what was taken beyond the usual in the hours before and after a delivery, where it is known [Wh].

        The usual is what the baseline's own method says of these hours. A fleet that was told a day ahead charges
        ahead, and the baseline of the event does not see it.
        """
        event, invitation = commitment.axis, commitment.invitation
        table = self.knowledge.meter.table(self.knowledge.meter_keys)
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

    def _history(self, now_ms: int) -> History:
        table = self.knowledge.meter.table(self.knowledge.meter_keys)
        axis = TimeAxis(self.start_ms, INTERVAL_MS, (now_ms - self.start_ms) // INTERVAL_MS)
        return History(axis, _net_wh(table.start_ms, table.import_wh - table.export_wh, axis), self.timezone)

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


def _delivery_axis(invitation: Invitation) -> TimeAxis:
    return TimeAxis(invitation.start_ms, INTERVAL_MS, (invitation.end_ms - invitation.start_ms) // INTERVAL_MS)


def _gives_kw(car: Car) -> float:
    """Return the power that a car could feed back for `SUSTAINED_H`."""
    vehicle = car.owner.vehicle
    spare_kwh = max(car.energy_low_kwh - car.owner.reserve_soc * vehicle.capacity_kwh, 0.0)
    return min(car.discharge_max_kw, spare_kwh * vehicle.discharge_efficiency / SUSTAINED_H)


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
