"""A watch over the invariants: what must hold at every event, whatever goes wrong.

A breach is written down with its instant and the run goes on, so that one run shows all that a seed breaks.

A site's limit is kept while its stations are known to do what they were told. It may be passed for as long as
an order has no answer or a car's arrival has not been told, and for a moment after a station has come or gone: one
that starts anew takes its default before anybody can know. Where links and stations fail, it may also be passed
while no platform lives to hear of that, and until the stations have found the next one; where only the platform
fails, its death excuses nothing.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from backfeed.app.assembly import Parts
from backfeed.app.judge_site import sites_of, sweep
from backfeed.core.axis import covering
from backfeed.core.instant import MS_PER_H, MS_PER_S, format_instant
from backfeed.core.money import WH_PER_KWH
from backfeed.fleet.event import (
    AnyEvent,
    MetersRead,
    Reading,
    SetpointAnswered,
    SetpointOrdered,
    StationBooted,
    StationConnected,
    StationDisconnected,
    TransactionChanged,
)
from backfeed.fleet.order import OrderStatus
from backfeed.fleet.site import Site
from backfeed.meter.interval import INTERVAL_MS
from backfeed.settle.transfer import Code, Phase
from backfeed.sim.controller import transaction_id
from backfeed.sim.profile import FAR_MS
from backfeed.sim.truth import Truth

REACTION_MS = 1 * MS_PER_S
"""How long the platform may take to act on what it has learned: until its next early tick, and the plan of it."""

POWER_TOLERANCE_KW = 1e-3
ENERGY_TOLERANCE_KWH = 1e-6

REGISTER_TOLERANCE_WH = 2
"""A register shows whole watt-hours at both ends of a session."""


@dataclass
class Watch:
    """Looks at every event of a platform, and of its successors over the same files.

    Parameters
    ----------
    excuses_death
        Whether a limit may be passed while no platform lives.
    """

    excuses_death: bool = True
    breaches: list[str] = field(default_factory=list)
    ledger_hash: str = ""
    _parts: Parts | None = None
    _missing: set[str] = field(default_factory=set)
    _open_ms: dict[tuple[str, int], int] = field(default_factory=dict)
    _excused: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    _dead: list[tuple[int, int]] = field(default_factory=list)
    _dead_since_ms: int = -1
    _linked: dict[str, bool] = field(default_factory=dict)
    _registers: dict[tuple[str, int], list[tuple[int, int, int]]] = field(default_factory=dict)
    _messages: dict[tuple[str, str, int], TransactionChanged] = field(default_factory=dict)

    def begin(self, parts: Parts) -> None:
        """Watch a platform that has just been assembled."""
        self._parts = parts
        self._check_books(parts)
        parts.log.subscribe(self.see)

    def end(self, now_ms: int) -> None:
        """Note that the platform has died."""
        self._dead_since_ms = now_ms if self._dead_since_ms < 0 else self._dead_since_ms
        self._missing |= {station for station, linked in self._linked.items() if linked}

    def see(self, event: AnyEvent) -> None:
        """Check what an event may not break; called after the platform has learned it."""
        match event:
            case StationConnected() | StationDisconnected() | StationBooted():
                self._see_link(event)
            case TransactionChanged():
                self._see_message(event)
                self._see_registers(event, event.evse, event.readings)
                if event.phase == "ended":
                    self._answered(event.station, event.evse, event.at_ms)
            case MetersRead():
                self._see_registers(event, event.evse, event.readings)
            case SetpointOrdered():
                self._see_order(event)
                self._open_ms.setdefault((event.station, event.evse), event.at_ms)
            case SetpointAnswered():
                if event.status == OrderStatus.ACCEPTED:
                    self._answered(event.station, event.evse, event.at_ms)
            case _:
                pass

    def _see_link(self, event: StationConnected | StationDisconnected | StationBooted) -> None:
        """Expect one link of a station at a time."""
        self._excuse(event.station, event.at_ms, event.at_ms + REACTION_MS)
        if isinstance(event, StationConnected):
            self._expect(not self._linked.get(event.station, False), event, "a second link is served")
            self._linked[event.station] = True
            self._missing.discard(event.station)
            if not self._missing and self._dead_since_ms >= 0:
                self._dead.append((self._dead_since_ms, event.at_ms + REACTION_MS))
                self._dead_since_ms = -1
        elif isinstance(event, StationDisconnected):
            self._expect(self._linked.get(event.station, False), event, "a link is gone that never was")
            self._linked[event.station] = False

    def _answered(self, station: str, evse: int, at_ms: int) -> None:
        since_ms = self._open_ms.pop((station, evse), at_ms)
        self._excuse(station, since_ms, at_ms)

    def _excuse(self, station: str, from_ms: int, until_ms: int) -> None:
        assert self._parts is not None, "events come from a platform"
        site = self._parts.knowledge.enrolment.site_of(station)
        if site is not None:
            self._excused.setdefault(site.site_id, []).append((from_ms, until_ms))

    def _see_message(self, event: TransactionChanged) -> None:
        """Expect a message of a transaction once, however often it was sent."""
        key = (event.station, event.transaction, event.sequence)
        self._expect(key not in self._messages, event, f"{event.transaction} #{event.sequence} is committed twice")
        self._messages[key] = event

    def _see_registers(self, event: AnyEvent, evse: int, readings: tuple[Reading, ...]) -> None:
        """Expect registers to grow, in the order in which they were read."""
        for reading in readings:
            if reading.import_wh is None:
                continue
            shown = (reading.measured_ms, reading.import_wh, reading.export_wh or 0)
            known = self._registers.setdefault((getattr(event, "station", ""), evse), [])
            insort(known, shown)
            at = bisect_left(known, shown)
            for earlier, later in pairwise(known[max(at - 1, 0) : at + 2]):
                grows = earlier[1] <= later[1] and earlier[2] <= later[2]
                self._expect(grows, event, f"a register fell from {earlier} to {later}")

    def _see_order(self, order: SetpointOrdered) -> None:
        """Expect a discharge to end before the reserve, at the pessimistic edge of what is known."""
        if order.power_kw >= 0 or self._parts is None:
            return
        for car in self._parts.knowledge.cars(order.at_ms):
            if car.key == (order.station, order.evse):
                vehicle = car.owner.vehicle
                spare_kwh = car.energy_low_kwh - car.reserve_kwh
                hours = (order.until_ms - order.at_ms) / MS_PER_H
                taken_kwh = -order.power_kw * hours / vehicle.discharge_efficiency
                what = f"{taken_kwh:.4f} kWh ordered out of {spare_kwh:.4f} kWh above the reserve"
                self._expect(taken_kwh <= spare_kwh + ENERGY_TOLERANCE_KWH, order, what)

    def close_books(self, parts: Parts) -> None:
        """Check the books of a platform that has settled its last day."""
        self._check_books(parts)
        self.ledger_hash = parts.ledger.hash()
        table = parts.knowledge.meter.table(parts.knowledge.meter_keys)
        posted = {Code.ENERGY_CHARGED: 0, Code.ENERGY_DISCHARGED: 0}
        for transfer in parts.ledger.transfers():
            # What is held pending counts as posted: posting it adds nothing, and voiding takes it back.
            if transfer.code in posted and transfer.phase is not Phase.POST:
                forward = transfer.debit.startswith("grid:") == (transfer.code is Code.ENERGY_CHARGED)
                counts = forward is not (transfer.phase is Phase.VOID)
                posted[transfer.code] += transfer.amount if counts else -transfer.amount
        metered = (int(table.import_wh.sum()), int(table.export_wh.sum()))
        if tuple(posted.values()) != metered:
            self.breaches.append(f"at the end: metered {metered} Wh, posted {tuple(posted.values())} Wh")

    def _check_books(self, parts: Parts) -> None:
        verification = parts.ledger.verify()
        self.breaches.extend(f"ledger: {problem}" for problem in verification.problems)
        for unit, sums in verification.units.items():
            if sums.balance:
                self.breaches.append(f"ledger: {unit} sums to {sums.balance}")

    def audit(self, parts: Parts, truth: Truth) -> None:
        """Compare what the platform believes at the end with what happened."""
        self._audit_energy(parts, truth)
        for (station, _), since_ms in sorted(self._open_ms.items()):
            self._excuse(station, since_ms, FAR_MS)
        if self._dead_since_ms >= 0:
            self._dead.append((self._dead_since_ms, FAR_MS))
        self._excuse_unheard(truth)
        sites = tuple(parts.knowledge.enrolment.sites.values())
        for index, site in enumerate(sites):
            at_site = sites_of(truth.sessions, sites)[truth.segments.session] == index
            self._audit_site(parts, site, truth, at_site)

    def _excuse_unheard(self, truth: Truth) -> None:
        """Excuse a car for as long as the platform has not been told that it is there."""
        heard_ms: dict[tuple[str, str], int] = {}
        for (station, transaction, _), event in self._messages.items():
            key = (station, transaction)
            heard_ms[key] = min(heard_ms.get(key, FAR_MS), event.at_ms + REACTION_MS)
        sessions = truth.sessions
        for index, station in enumerate(sessions.station):
            key = (station, transaction_id(sessions.session_id[index]))
            self._excuse(station, int(sessions.arrival_ms[index]), heard_ms.get(key, FAR_MS))

    def _audit_site(self, parts: Parts, site: Site, truth: Truth, at_site: NDArray[np.bool_]) -> None:
        """Look for stretches beyond a limit that nothing excuses."""
        axis = covering(parts.demand.start_ms, parts.settling.prices.axis.end_ms, INTERVAL_MS)
        fleet = sweep(truth.segments, at_site, axis.starts_ms, only_out=False)
        base_kw = site.base_load_over(axis, parts.knowledge.enrolment.utc_offset_ms(axis))
        step = (fleet.at_ms - axis.start_ms) // axis.step_ms
        net_kw = fleet.power_kw + base_kw[np.clip(step, 0, axis.count - 1)]
        over = (net_kw > site.import_limit_kw + POWER_TOLERANCE_KW) & (fleet.power_kw > POWER_TOLERANCE_KW)
        under = (-net_kw > site.export_limit_kw + POWER_TOLERANCE_KW) & (fleet.power_kw < -POWER_TOLERANCE_KW)
        excused = self._excused.get(site.site_id, []) + (self._dead if self.excuses_death else [])
        for at in np.flatnonzero(over | under):
            from_ms, until_ms = int(fleet.at_ms[at]), int(fleet.at_ms[at + 1])
            if not _covered(from_ms, until_ms, excused):
                what = f"{net_kw[at]:.3f} kW until {format_instant(until_ms)}"
                self.breaches.append(f"{format_instant(from_ms)} {site.site_id}: limit passed, {what}")

    def _audit_energy(self, parts: Parts, truth: Truth) -> None:
        """Compare what was metered of a transaction whose end was delivered with what its meter counted."""
        table = parts.knowledge.meter.table(parts.knowledge.meter_keys)
        metered = {
            (key.station, key.transaction): (
                int(table.import_wh[table.key == number].sum()),
                int(table.export_wh[table.key == number].sum()),
            )
            for number, key in enumerate(table.keys)
        }
        sessions, segments = truth.sessions, truth.segments
        for index, session_id in enumerate(sessions.session_id):
            key = (sessions.station[index], transaction_id(session_id))
            if not parts.knowledge.state.has_ended(*key):
                continue
            flows = segments.energy_kwh[segments.session == index] * WH_PER_KWH
            true = (float(np.maximum(flows, 0).sum()), float(np.maximum(-flows, 0).sum()))
            found = metered.get(key, (0, 0))
            if max(abs(true[0] - found[0]), abs(true[1] - found[1])) > REGISTER_TOLERANCE_WH:
                self.breaches.append(f"{key}: metered {found} Wh, in truth {true} Wh")

    def _expect(self, holds: bool, event: AnyEvent, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
        if not holds:
            station = getattr(event, "station", "")
            self.breaches.append(f"{format_instant(event.at_ms)} {station}: {otherwise}")


def _covered(from_ms: int, until_ms: int, spans: list[tuple[int, int]]) -> bool:
    """Return whether spans together cover `[from_ms, until_ms)`."""
    at_ms = from_ms
    for begin_ms, end_ms in sorted(spans):
        if begin_ms > at_ms:
            break
        at_ms = max(at_ms, end_ms)
    return at_ms >= until_ms
