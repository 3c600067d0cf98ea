"""What cars say of their charge while energy flows: the observations from which their health is estimated.

A reading that has both a register and a reported state of charge counts; readings that come late or twice change
nothing. When a stay is over it is cut wherever energy turns round (`battery.stretches`), and its stretches are kept
beside the loss that the wear law foretells for that car by then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from backfeed.battery.health import CarRecords
from backfeed.battery.law import Floats
from backfeed.battery.stretches import charge_stretches, join_records
from backfeed.fleet.event import TransactionChanged

StayKey = tuple[str, str]
"""Station and transaction of a stay."""


@dataclass
class SocReadings:
    """The readings of open stays, and what is kept of those that are over, by owner."""

    _open: dict[StayKey, dict[int, tuple[int, int, float]]] = field(default_factory=dict)
    _kept: dict[str, list[tuple[CarRecords, float]]] = field(default_factory=dict)

    def hear(self, event: TransactionChanged) -> None:
        """Take the readings of an event that have both a register and a state of charge."""
        for reading in event.readings:
            if reading.soc is not None and reading.import_wh is not None:
                shown = (reading.import_wh, reading.export_wh or 0, reading.soc)
                self._open.setdefault((event.station, event.transaction), {})[reading.measured_ms] = shown

    def close(self, key: StayKey, owner_id: str, law_loss: float) -> None:
        """Keep the stretches of a stay that is over; `law_loss` is what the law foretells since enrolment."""
        stretches = self.stretches(key)
        self._open.pop(key, None)
        if stretches.at_ms.size:
            self._kept.setdefault(owner_id, []).append((stretches, law_loss))

    def stretches(self, key: StayKey) -> CarRecords:
        """Return the stretches of an open stay so far."""
        shown_at = self._open.get(key, {})
        at_ms = sorted(shown_at)
        imported, exported, soc = np.array([shown_at[each] for each in at_ms], dtype=np.float64).reshape(-1, 3).T
        return charge_stretches(
            np.array(at_ms, dtype=np.int64), imported.astype(np.int64), exported.astype(np.int64), soc
        )

    def of(self, owner_id: str, still_open: Sequence[tuple[StayKey, float]] = ()) -> tuple[CarRecords, Floats]:
        """Return all stretches of an owner's stays that are over, and the law's loss at each, shape `(stretch,)`.

        Stays that are `still_open`, each with the law's loss by now, are counted as far as they have gone.
        """
        kept = [*self._kept.get(owner_id, []), *((self.stretches(key), by_law) for key, by_law in still_open)]
        loss = np.concatenate([np.zeros(0), *(np.full(part.at_ms.size, by_law) for part, by_law in kept)])
        return join_records([part for part, _ in kept]), loss
