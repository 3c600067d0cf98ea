"""Links: ordered, text-framed pipes between a charging station and a platform.

A machine in this room turns frames into messages; a link carries frames. Two kinds exist behind one
protocol: a websocket (the adapters live at the edges that own sockets) and the in-memory pipe below.

`Traffic` counts what is under way. A simulated run may let its clock jump only when nothing is:
bytes inside the kernel are invisible to an event loop, so without this count virtual time could
overtake a frame. Live runs pass none.
"""

import asyncio
from collections import deque
from typing import Protocol


class LinkClosedError(ConnectionError):
    """The other end is gone; nothing more can be sent or received."""


class Link(Protocol):
    """One end of an ordered pipe of text frames."""

    async def send(self, frame: bytes) -> None:
        """Send a frame; raise `LinkClosedError` if the other end is gone."""
        ...

    async def receive(self) -> bytes:
        """Return the next frame; raise `LinkClosedError` when there will be none."""
        ...

    async def close(self) -> None:
        """Close in good order; closing twice is harmless."""
        ...

    def abort(self) -> None:
        """Drop the connection at once, as a failing network does; frames under way are lost."""
        ...


class Traffic:
    """How many operations on links are under way, over all links of a simulated run.

    Whoever sends a frame, or starts to open or close a connection, calls `begin`; whoever receives
    it, or finishes, calls `end`.
    """

    def __init__(self) -> None:
        """Begin with nothing under way."""
        self.under_way = 0
        self.conversations: dict[object, Conversation] = {}

    def begin(self, count: int = 1) -> None:
        """Count operations that have started."""
        self.under_way += count

    def end(self, count: int = 1) -> None:
        """Count operations that have finished."""
        self.under_way -= count
        assert self.under_way >= 0, "more operations ended than began"


class Conversation:
    """What is under way between the two ends of one connection that crosses the kernel."""

    def __init__(self, traffic: Traffic) -> None:
        """Start with nothing under way and no end joined."""
        self._traffic = traffic
        self._present = 0
        self._frames = 0
        self._closing = False
        self.broken = False

    def join(self) -> None:
        """Count an end in."""
        self._present += 1

    def frame_sent(self) -> None:
        """Count a frame that starts on its way."""
        if self._present:
            self._frames += 1
            self._traffic.begin()

    def frame_arrived(self) -> None:
        """Count a frame that has been taken off the socket."""
        assert self._frames > 0, "more frames arrived than were sent"
        self._frames -= 1
        self._traffic.end()

    def closing(self) -> None:
        """Count the closing, once, from whichever end starts it."""
        if self._present and not self._closing:
            self._closing = True
            self._traffic.begin()

    def break_off(self) -> None:
        """Count the closing by an `abort`, after which what is still under way must not arrive."""
        self.broken = True
        self.closing()

    def leave(self) -> bool:
        """Count an end out; with the last one write off what is lost, and say that it was the last."""
        self.closing()
        self._present -= 1
        if self._present:
            return False
        self._traffic.end(self._frames + 1)
        self._frames = 0
        return True


class _PipeEnd:
    def __init__(self) -> None:
        self.frames: deque[bytes] = deque()
        self.arrived = asyncio.Event()
        self.closed = False
        self.other: _PipeEnd = self

    async def send(self, frame: bytes) -> None:
        if self.closed:
            message = "pipe closed"
            raise LinkClosedError(message)
        self.other.frames.append(frame)
        self.other.arrived.set()

    async def receive(self) -> bytes:
        while not self.frames:
            if self.closed:
                message = "pipe closed"
                raise LinkClosedError(message)
            self.arrived.clear()
            await self.arrived.wait()
        return self.frames.popleft()

    async def close(self) -> None:
        for end in (self, self.other):
            end.closed = True
            end.arrived.set()

    def abort(self) -> None:
        for end in (self, self.other):
            end.closed = True
            end.frames.clear()
            end.arrived.set()


def memory_pipe() -> tuple[Link, Link]:
    """Return the two ends of an in-memory link."""
    left, right = _PipeEnd(), _PipeEnd()
    left.other, right.other = right, left
    return left, right
