"""Sessions: what a session file says, as columns. One row is one stay at a charger."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backfeed.core.columns import Columns


@dataclass(frozen=True)
class SessionTable(Columns):
    """Sessions as equal-length columns, row = session, sorted by arrival and then id.

    Parameters
    ----------
    row
        Row number in the file, the header being row 1, so that a report can name it.
    session_id, location, user_id
        Text; `user_id` is "" where the file knows no user.
    arrival_ms, departure_ms
        Instants in milliseconds since 1970 UTC, `arrival < departure`.
    energy_kwh
        Energy recorded at the meter [kWh], AC at the EVSE.
    power_max_kw, soc_arrival, soc_departure, capacity_kwh, departure_stated_ms, energy_requested_kwh
        Where the file has them; NaN where it does not.
    """

    row: NDArray[np.int64]
    session_id: tuple[str, ...]
    location: tuple[str, ...]
    user_id: tuple[str, ...]
    arrival_ms: NDArray[np.int64]
    departure_ms: NDArray[np.int64]
    energy_kwh: NDArray[np.float64]
    power_max_kw: NDArray[np.float64]
    soc_arrival: NDArray[np.float64]
    soc_departure: NDArray[np.float64]
    capacity_kwh: NDArray[np.float64]
    departure_stated_ms: NDArray[np.float64]
    energy_requested_kwh: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self.session_id)


@dataclass(frozen=True, slots=True)
class PastSession:
    """A session that is over, as the platform metered it.

    Parameters
    ----------
    user_id, location
        Who was where; `user_id` is "" for a driver without a name.
    arrival_ms, departure_ms
        The stay.
    energy_kwh
        Net energy taken, AC at the meter.
    departure_stated_ms
        What the driver had said; -1 if nothing.
    known_at_ms
        When the platform came to know all this: never before the departure.
    """

    user_id: str
    location: str
    arrival_ms: int
    departure_ms: int
    energy_kwh: float
    departure_stated_ms: int
    known_at_ms: int
