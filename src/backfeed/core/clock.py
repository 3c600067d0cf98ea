"""Clocks: the only way a decision learns what time it is.

Live and simulated runs use the same `LoopClock`; what differs is the event loop below it, whose
`time()` is the machine's monotonic clock in one world and virtual in the other.
"""

import asyncio
from typing import Protocol

from backfeed.core.instant import MS_PER_S


class Clock(Protocol):
    """Tells the time and waits for it."""

    def now_ms(self) -> int:
        """Return the present instant in milliseconds since 1970 UTC."""
        ...

    async def sleep_until(self, at_ms: int) -> None:
        """Return at `at_ms`, or at once if that has passed."""
        ...


class LoopClock:
    """Wall-clock time derived from an asyncio loop's own time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, now_ms: int) -> None:
        """Say that it is `now_ms` at this moment of the loop's time."""
        self._loop = loop
        self._origin_ms = now_ms - round(loop.time() * MS_PER_S)

    def now_ms(self) -> int:
        """Return the present instant in milliseconds since 1970 UTC."""
        return self._origin_ms + round(self._loop.time() * MS_PER_S)

    async def sleep_until(self, at_ms: int) -> None:
        """Return at `at_ms`, or at once if that has passed."""
        delay_ms = at_ms - self.now_ms()
        if delay_ms > 0:
            await asyncio.sleep(delay_ms / MS_PER_S)
