"""One station on one link: read, commit, answer; order, wait, give up.

Two coroutines share a link. The reader takes frames off it and never waits for anything else, so the answer to
an order is seen while a message of the station's own is still being committed. The worker serves the
station's calls one after the other: it has the events of a message committed and only then answers, so what a
station was told is received can not be lost, and each station's events are logged in the order in which they came.

An order goes out when the one before it is over, for a station may have one unanswered call at a time; while it
waits, a newer one for the same EVSE takes its place. A call that has no answer when its deadline passes
is over, and its answer, should it still come, changes nothing.

If an event can not be committed, its message is not answered and the link is dropped: the station then keeps
its messages, as it does for any outage, and delivers them when it gets through again.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from backfeed.core.clock import Clock
from backfeed.core.ids import IdSource
from backfeed.core.problem import EnvironmentProblemError
from backfeed.fleet.event import AnyEvent, StationConnected, StationDisconnected, TransactionChanged
from backfeed.fleet.order import OrderStatus
from backfeed.gateway.answer import Asking, RefusedCallError, answer
from backfeed.gateway.memory import StationMemory
from backfeed.wire.call import (
    CallEvent,
    CallMachine,
    CallReceived,
    ErrorReceived,
    FrameRefused,
    ResultReceived,
    ResultRefused,
    TooManyCallsError,
)
from backfeed.wire.link import Link, LinkClosedError

SUBPROTOCOL = "ocpp2.1"

_log = logging.getLogger(__name__)


class EventSink(Protocol):
    """Where events go to be kept."""

    async def commit(self, event: AnyEvent) -> None:
        """Return when the event is kept; raise `EnvironmentProblemError` if it can not be."""
        ...


class Counts:
    """How many frames all links have carried since the start."""

    def __init__(self) -> None:
        """Begin at nought."""
        self.received = 0
        self.sent = 0
        self.refused = 0


class StationLink:
    """A station's conversation over one link, from its first frame to its last."""

    def __init__(  # noqa: PLR0913 (wiring: everything comes from the gateway)
        self,
        station: str,
        link: Link,
        *,
        clock: Clock,
        sink: EventSink,
        ids: IdSource,
        memory: StationMemory,
        counts: Counts,
        asking: Callable[[str, StationMemory], Asking],
        call_timeout_s: float,
        send_timeout_s: float,
    ) -> None:
        """Take over a link whose station has proved who it is."""
        self.station = station
        self.finished = asyncio.Event()
        self.connected = False
        self._link = link
        self._clock = clock
        self._sink = sink
        self._memory = memory
        self._counts = counts
        self._asking = asking
        self._call_timeout_s = call_timeout_s
        self._send_timeout_s = send_timeout_s
        self._machine = CallMachine(ids)
        self._writing = asyncio.Lock()
        self._calls: asyncio.Queue[CallReceived | None] = asyncio.Queue()  # the machine lets 8 wait, no more
        self._answers: dict[str, asyncio.Future[Struct | OrderStatus]] = {}
        self._queued: dict[tuple[str, int], str] = {}
        self._deadline: asyncio.TimerHandle | None = None
        self._timed: str | None = None
        self._group: asyncio.TaskGroup | None = None
        self._known = False
        self._end: str | None = None

    async def run(self) -> None:
        """Serve the station until its link is gone."""
        try:
            connected = StationConnected(at_ms=self._clock.now_ms(), station=self.station, subprotocol=SUBPROTOCOL)
            if await self._commit(connected):
                self.connected = self._known = True
                async with asyncio.TaskGroup() as group:
                    self._group = group
                    group.create_task(self._work())
                    await self._read()
                    self._calls.put_nowait(None)
        except BaseException:
            self._link.abort()
            raise
        finally:
            self._let_go()
        if self._known:
            reason = self._end or "closed"
            gone = StationDisconnected(at_ms=self._clock.now_ms(), station=self.station, reason=reason)
            await self._commit(gone)

    def end(self, reason: str) -> None:
        """Drop the link at once; the first reason of all is logged as that of the disconnection."""
        self._end = self._end or reason
        self._link.abort()

    async def stop(self) -> None:
        """Close the link in good order and return when its last event is committed."""
        self._end = self._end or "stopped"
        await self._link.close()
        await self.finished.wait()

    async def call(self, request: Struct, *, replaces: tuple[str, int] | None = None) -> Struct | OrderStatus:
        """Send a call when its turn comes and return the response, or what became of it instead.

        Parameters
        ----------
        request
            The request to send.
        replaces
            What the call is about: a call about the same that still waits for its turn is superseded.
        """
        if not self.connected:
            return OrderStatus.OFFLINE
        if replaces is not None and replaces in self._queued:
            older = self._queued.pop(replaces)
            if self._machine.withdraw(older):
                self._resolve(older, OrderStatus.SUPERSEDED)
        try:
            message_id = self._machine.call(request)
        except TooManyCallsError:
            return OrderStatus.TIMED_OUT
        if replaces is not None:
            self._queued[replaces] = message_id
        outcome: asyncio.Future[Struct | OrderStatus] = asyncio.get_running_loop().create_future()
        self._answers[message_id] = outcome
        await self._flush()
        return await outcome

    async def _read(self) -> None:
        while True:
            try:
                frame = await self._link.receive()
            except LinkClosedError:
                self._end = self._end or "closed"
                return
            self._counts.received += 1
            self._sort(self._machine.receive(frame))
            await self._flush()

    def _sort(self, event: CallEvent) -> None:
        match event:
            case CallReceived():
                self._calls.put_nowait(event)
            case ResultReceived():
                self._resolve(event.message_id, event.response)
            case ErrorReceived() | ResultRefused():
                _log.warning("%s: call failed: %s %s", self.station, event.code, event.description)
                self._resolve(event.message_id, OrderStatus.FAILED)
            case FrameRefused():
                self._counts.refused += 1
                _log.warning("%s: frame refused: %s %s", self.station, event.code, event.description)
            case _:
                _log.debug("%s: %s", self.station, event)

    async def _work(self) -> None:
        while (call := await self._calls.get()) is not None:
            if not await self._serve(call):
                return

    async def _serve(self, call: CallReceived) -> bool:
        """Answer a call; return whether the link can go on."""
        try:
            answered = answer(self._asking(self.station, self._memory), call.action, call.request)
        except RefusedCallError as refusal:
            self._machine.refuse(call.message_id, refusal.code, str(refusal))
        else:
            if not await self._commit(*answered.events):
                return False
            self._machine.reply(call.message_id, answered.response)
        await self._flush()
        return True

    async def _commit(self, *events: AnyEvent) -> bool:
        """Have events kept; if they can not be, drop the link and return False."""
        try:
            if len(events) == 1:
                await self._sink.commit(events[0])
            else:
                await asyncio.gather(*map(self._sink.commit, events))
        except EnvironmentProblemError as problem:
            _log.warning("%s: not acknowledged: %s", self.station, problem)
            self.end("log unavailable")
            return False
        for event in events:
            if isinstance(event, TransactionChanged):
                self._memory.note(event)
        return True

    async def _flush(self) -> None:
        """Send what the machine has to say, in its order, and start the deadline of a call that went out."""
        self._watch()
        if not self._machine.has_frames:
            return
        async with self._writing:
            frames = self._machine.frames()
            try:
                async with asyncio.timeout(self._send_timeout_s):
                    for frame in frames:
                        await self._link.send(frame)
                        self._counts.sent += 1
            except TimeoutError:
                self.end("not reading")
            except LinkClosedError:
                return  # the reader sees it too and ends the conversation

    def _watch(self) -> None:
        outstanding = self._machine.outstanding
        if outstanding == self._timed:
            return
        self._timed = outstanding
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if outstanding is not None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self._call_timeout_s, self._give_up, outstanding)

    def _give_up(self, message_id: str) -> None:
        self._machine.give_up(message_id)
        self._resolve(message_id, OrderStatus.TIMED_OUT)
        assert self._group is not None, "a call went out before the link was served"
        self._group.create_task(self._flush())

    def _resolve(self, message_id: str, outcome: Struct | OrderStatus) -> None:
        waiting = self._answers.pop(message_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(outcome)

    def _let_go(self) -> None:
        self.connected = False
        if self._deadline is not None:
            self._deadline.cancel()
        for message_id in list(self._answers):
            self._resolve(message_id, OrderStatus.OFFLINE)
