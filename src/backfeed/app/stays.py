"""Stays: when a car was plugged in, as connectors and transactions have told.

The meter says what flowed, a connector says whether a car stood there. Both are kept apart here, so that one can be
held against the other: hours at the charger are paid by the connector, and energy without a car is doubted.
"""

from dataclasses import dataclass, field

from backfeed.fleet.event import AnyEvent, EvseStatusChanged, TransactionChanged
from backfeed.meter.gaming import Stay
from backfeed.meter.interval import MeterKey

STILL_HERE_MS = 2**62
"""Until when a car stands that has not left: later than any instant."""

_EMPTY = frozenset({"Available", "Reserved", "Unavailable"})
"""States of a connector without a car, in OCPP's words."""


@dataclass
class StayBook:
    """Folds events into stays; messages that come twice, late or reordered change nothing."""

    _span: dict[tuple[str, int, str], tuple[int, int]] = field(default_factory=dict)
    _ended: set[tuple[str, int, str]] = field(default_factory=set)
    _token: dict[tuple[str, int, str], str] = field(default_factory=dict)
    _status: dict[tuple[str, int], dict[int, bool]] = field(default_factory=dict)

    def learn(self, event: AnyEvent) -> None:
        """Take in one event."""
        if isinstance(event, EvseStatusChanged):
            said = self._status.setdefault((event.station, event.evse), {})
            said[event.measured_ms] = event.status not in _EMPTY
        elif isinstance(event, TransactionChanged):
            where = (event.station, event.evse, event.transaction)
            first, last = self._span.get(where, (event.measured_ms, event.measured_ms))
            self._span[where] = min(first, event.measured_ms), max(last, event.measured_ms)
            if event.token:
                self._token[where] = event.token
            if event.phase == "ended":
                self._ended.add(where)

    def stay(self, key: MeterKey, capacity_kwh: float, vehicle: str = "") -> Stay | None:
        """Return the stay behind a transaction, None if the connector knows of no car while it lasted.

        Of the car nothing is known here but what the caller says. A station that says nothing of its connectors is
        believed by its transactions.
        """
        where = (key.station, key.evse, key.transaction)
        first, last = self._span[where]
        until_ms = last if where in self._ended else STILL_HERE_MS
        spells = self._spells(key.station, key.evse)
        if spells is not None:
            mine = [(begin, end) for begin, end in spells if begin <= until_ms and end >= first]
            if not mine:
                return None
            first, until_ms = mine[0][0], mine[-1][1]
        return Stay(key, first, until_ms, where in self._token, vehicle, capacity_kwh)

    def _spells(self, station: str, evse: int) -> list[tuple[int, int]] | None:
        """Return from when until when a car stood at a connector, None if it never said anything."""
        said = self._status.get((station, evse))
        if said is None:
            return None
        spells: list[tuple[int, int]] = []
        since = -1
        for at_ms, occupied in sorted(said.items()):
            if occupied and since < 0:
                since = at_ms
            elif not occupied and since >= 0:
                spells.append((since, at_ms))
                since = -1
        return [*spells, (since, STILL_HERE_MS)] if since >= 0 else spells
