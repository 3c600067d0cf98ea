"""Virtual time: an asyncio loop whose clock jumps to the next timer when nothing else can happen.

Everything above the loop is the live code: timeouts, sleeps and deadlines of every library obey
`loop.time()`, so a fortnight passes in a minute and no line knows it.

Real sockets have one hazard. Bytes inside the kernel are invisible here, and a jump while a frame
is under way would make its answer late by hours. `Traffic` counts what is under way, so the loop
waits in real time for the last frame to arrive before it lets virtual time move.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import TypeVar

from backfeed.core.instant import MS_PER_S
from backfeed.wire.link import Traffic

_Result = TypeVar("_Result")

REAL_WAIT_MAX_S = 20.0
"""How long a frame on loopback may take before it counts as lost: far beyond any scheduling delay."""


class StalledError(RuntimeError):
    """The virtual world can not go on: a frame never arrived, or nothing is left to wait for."""


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that turns the wait for a timer into a jump of the virtual clock."""

    def __init__(self, traffic: Traffic) -> None:
        super().__init__()
        self.virtual_s = 0.0
        self._traffic = traffic

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self._traffic.under_way:
            ready = super().select(REAL_WAIT_MAX_S)
            if not ready:
                message = f"{self._traffic.under_way} operations under way on sockets never ended"
                raise StalledError(message)
            return ready
        if timeout is None:
            message = "no timer and no frame is left to wait for"
            raise StalledError(message)
        self.virtual_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, starting at 0."""

    def __init__(self, traffic: Traffic | None = None) -> None:
        """Create a loop; `traffic` is shared with the socket links that run on it."""
        self._jumping = _JumpingSelector(traffic or Traffic())
        super().__init__(self._jumping)
        # A timer is due when it is within this of the clock; it absorbs the rounding of a jump.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self._jumping.virtual_s

    @property
    def elapsed_ms(self) -> int:
        """Virtual milliseconds since the loop was made."""
        return round(self.time() * MS_PER_S)


def run_virtual(main: Coroutine[object, object, _Result], traffic: Traffic | None = None) -> _Result:
    """Run a coroutine to its end on virtual time and return its result."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(traffic)) as runner:
        return runner.run(main)
