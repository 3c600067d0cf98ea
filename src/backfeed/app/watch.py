"""A watch over the invariants: what must hold at every event, whatever goes wrong.

A breach is written down with its instant and the run goes on, so that one run shows all that a seed breaks.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from backfeed.app.assembly import Parts
from backfeed.app.judge_site import judge_sites
from backfeed.core.axis import covering
from backfeed.core.instant import MS_PER_H, format_instant
from backfeed.core.money import WH_PER_KWH
from backfeed.fleet.event import (
    AnyEvent,
    MetersRead,
    Reading,
    SetpointOrdered,
    StationConnected,
    StationDisconnected,
    TransactionChanged,
)
from backfeed.meter.interval import INTERVAL_MS
from backfeed.settle.transfer import Code, original_id
from backfeed.sim.controller import transaction_id
from backfeed.sim.truth import Truth

POWER_TOLERANCE_KW = 1e-3
ENERGY_TOLERANCE_KWH = 1e-6

REGISTER_TOLERANCE_WH = 2
"""A register shows whole watt-hours at both ends of a session."""


@dataclass
class Watch:
    """Looks at every event of a platform, and of its successors over the same files."""

    breaches: list[str] = field(default_factory=list)
    ledger_hash: str = ""
    _parts: Parts | None = None
    _linked: dict[str, bool] = field(default_factory=dict)
    _registers: dict[tuple[str, int], list[tuple[int, int, int]]] = field(default_factory=dict)
    _messages: dict[tuple[str, str, int], TransactionChanged] = field(default_factory=dict)

    def begin(self, parts: Parts) -> None:
        """Watch a platform that has just been assembled."""
        self._parts = parts
        self._check_books(parts)
        parts.log.subscribe(self.see)

    def see(self, event: AnyEvent) -> None:
        """Check what an event may not break; called after the platform has learned it."""
        match event:
            case StationConnected():
                self._expect(not self._linked.get(event.station, False), event, "a second link is served")
                self._linked[event.station] = True
            case StationDisconnected():
                self._expect(self._linked.get(event.station, False), event, "a link is gone that never was")
                self._linked[event.station] = False
            case TransactionChanged():
                self._see_message(event)
                self._see_registers(event, event.evse, event.readings)
            case MetersRead():
                self._see_registers(event, event.evse, event.readings)
            case SetpointOrdered():
                self._see_order(event)
            case _:
                pass

    def _see_message(self, event: TransactionChanged) -> None:
        """A message of a transaction is committed once, however often it was sent."""
        key = (event.station, event.transaction, event.sequence)
        self._expect(key not in self._messages, event, f"{event.transaction} #{event.sequence} is committed twice")
        self._messages[key] = event

    def _see_registers(self, event: AnyEvent, evse: int, readings: tuple[Reading, ...]) -> None:
        """Registers only grow, in the order in which they were read."""
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
        """A discharge ends before the reserve, at the pessimistic edge of what is known."""
        if order.power_kw >= 0 or self._parts is None:
            return
        for car in self._parts.knowledge.cars(order.at_ms):
            if car.key == (order.station, order.evse):
                vehicle = car.owner.vehicle
                spare_kwh = car.energy_low_kwh - car.owner.reserve_soc * vehicle.capacity_kwh
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
            if transfer.code in posted:
                forward = transfer.debit.startswith("grid:") == (transfer.code is Code.ENERGY_CHARGED)
                posted[transfer.code] += transfer.amount if forward else -transfer.amount
                assert original_id(transfer.id)
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
        pilot, enrolment = parts.settling, parts.knowledge.enrolment
        del pilot
        axis = covering(parts.demand.start_ms, parts.settling.prices.axis.end_ms, INTERVAL_MS)
        for site_id, result in judge_sites(truth, tuple(enrolment.sites.values()), axis, enrolment.zone).items():
            if result.violations:
                peaks = f"import {result.peak_import_kw:.3f} kW, export {result.peak_export_kw:.3f} kW"
                self.breaches.append(f"{site_id}: {result.violations} violations, {peaks}")

    def _audit_energy(self, parts: Parts, truth: Truth) -> None:
        """What was settled of a transaction whose end was delivered is what its meter counted."""
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
