"""Virtual time: an asyncio loop whose clock jumps to the next timer when nothing else can happen.

Everything above the loop is the live code: timeouts, sleeps and deadlines of every library obey
`loop.time()`, so a fortnight passes in a minute and no line knows it.

Real sockets have one hazard. Bytes inside the kernel are invisible here, and a jump while a frame
is under way would make its answer late by hours. `Traffic` counts what is under way, so the loop
waits in real time for the last frame to arrive before it lets virtual time move.
"""

import asyncio
import gc
import selectors
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import TypeVar

from backfeed.core.instant import MS_PER_S
from backfeed.wire.link import Traffic

_Result = TypeVar("_Result")

REAL_WAIT_MAX_S = 20.0
"""How long a frame on loopback may take before it counts as lost: far beyond any scheduling delay."""


COLLECT_EVERY = 20_000
"""After so many new objects the collector looks for circles; Python's own 700 cost a world 4 % of its time."""


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
    """Run a coroutine to its end on virtual time and return its result.

    Meanwhile the collector of circles is asked rarely: what has been loaded stays to the end, and a world makes few.
    """
    found: list[_Result] = []

    async def keep() -> None:
        found.append(await main)

    # The runner restores how Ctrl-C is handled, and `signal` then spells out its task with the result that it has
    # returned: of a world that would be megabytes of text. So the task returns nothing.
    with _collecting_rarely(), asyncio.Runner(loop_factory=lambda: VirtualLoop(traffic)) as runner:
        runner.run(keep())
    return found[0]


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    """Look for circles seldom, and not among what exists already."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
