"""What the gateway remembers of a station between its messages, whichever link they come over.

Part 2 lets a station name the EVSE only in the first event of a transaction, and a station that has not
seen its acknowledgement sends the event again, over the same link or the next. Both need a memory, and both
can be refilled from the event log after a restart: `note` takes committed events, live or replayed.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from backfeed.fleet.event import TransactionChanged

TRANSACTIONS_REMEMBERED = 16
"""Per station: more than one EVSE's few latest, less than a burden."""

EVSE_UNKNOWN = 0


@dataclass(slots=True)
class _Transaction:
    evse: int = EVSE_UNKNOWN
    seen: set[tuple[int, str, int]] = field(default_factory=set)


class StationMemory:
    """The transactions that a station has lately spoken of."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._transactions: OrderedDict[str, _Transaction] = OrderedDict()

    def evse_of(self, transaction: str) -> int:
        """Return the EVSE of a transaction, `EVSE_UNKNOWN` if the station has not named it."""
        known = self._transactions.get(transaction)
        return EVSE_UNKNOWN if known is None else known.evse

    def has_seen(self, event: TransactionChanged) -> bool:
        """Return whether this very event (sequence number, phase and time) has been committed before."""
        known = self._transactions.get(event.transaction)
        return known is not None and _mark(event) in known.seen

    def note(self, event: TransactionChanged) -> None:
        """Remember a committed event."""
        known = self._transactions.setdefault(event.transaction, _Transaction())
        self._transactions.move_to_end(event.transaction)
        known.evse = event.evse or known.evse
        known.seen.add(_mark(event))
        if len(self._transactions) > TRANSACTIONS_REMEMBERED:
            self._transactions.popitem(last=False)


def _mark(event: TransactionChanged) -> tuple[int, str, int]:
    return event.sequence, event.phase, event.measured_ms
