"""Which station does a driver find free? The lowest number, as if people walked along the row."""

import heapq


class CarPark:
    """The stations of one location, taken and left in the order of arrivals."""

    def __init__(self, evse_count: int | None) -> None:
        """Begin empty, with a number of stations, or None to build one whenever all are taken."""
        self._evse_count = evse_count
        self._built = 0
        self._free: list[int] = []
        self._taken: list[tuple[int, int]] = []

    def take(self, arrival_ms: int, departure_ms: int) -> int | None:
        """Return the number of the station taken, counted from 1, or None if there is none.

        Arrivals come in order. A station that is left at an instant is free at that instant.
        """
        while self._taken and self._taken[0][0] <= arrival_ms:
            heapq.heappush(self._free, heapq.heappop(self._taken)[1])
        if self._free:
            number = heapq.heappop(self._free)
        elif self._evse_count is None or self._built < self._evse_count:
            self._built += 1
            number = self._built
        else:
            return None
        heapq.heappush(self._taken, (departure_ms, number))
        return number
