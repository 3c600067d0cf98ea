"""A charging station on a link: an OCPP 2.1 client that connects, speaks, loses the link and returns.

Two tasks share a connection. One reads: it answers the platform's requests at once and hands answers
to whoever waits. The other writes: it registers the station (B01-B03: BootNotification until it is
accepted), and then delivers the outbox letter by letter, one unanswered call at a time. Every wait has
a deadline in the loop's time. A link that lets `SILENT_CALLS` calls in a row run out is given up; a
lost link is opened again after a growing, jittered pause (Part 4, 5.3).
"""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
from msgspec import Struct

from backfeed.core.clock import Clock
from backfeed.core.ids import CountingIds
from backfeed.core.instant import MS_PER_S
from backfeed.sim.answer import answer_request
from backfeed.sim.controller import Controller
from backfeed.sim.message import boot_notification
from backfeed.wire import ocpp21
from backfeed.wire.call import (
    CallMachine,
    CallReceived,
    ErrorReceived,
    ResultReceived,
    ResultRefused,
)
from backfeed.wire.link import Link, LinkClosedError
from backfeed.wire.ocpp21.enumerations import BootReasonEnum
from backfeed.wire.payload import ErrorCode

Connect = Callable[[str], Awaitable[Link]]

CALL_TIMEOUT_S = 30
OPEN_TIMEOUT_S = 30
CLOSE_TIMEOUT_S = 10
SILENT_CALLS = 3
BOOT_RETRY_S = 60
"""How long to wait after a boot that was not accepted when the platform names no interval."""

BACK_OFF_S = 5
BACK_OFF_JITTER_S = 5
BACK_OFF_DOUBLINGS = 5


class ChargePoint:
    """The client end of one station."""

    def __init__(
        self,
        controller: Controller,
        clock: Clock,
        connect: Connect,
        dice: np.random.Generator,
        catch_up: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare to connect.

        `dice` jitter the pauses between attempts; `catch_up` lets the world do what is due by now before the
        platform is served, so that it does not matter which of the two the event loop wakes first.
        """
        self._controller = controller
        self._clock = clock
        self._connect = connect
        self._dice = dice
        self._catch_up = catch_up
        self._ids = CountingIds("c")
        self._link: Link | None = None
        self._is_closed = False
        self._not_before_ms = 0
        self._failures = 0
        self._answer: asyncio.Future[Struct | None] | None = None
        self._posted = asyncio.Event()
        self._delivered = asyncio.Event()
        self._silent_calls = 0

    def notice(self) -> None:
        """Look at the outbox: there may be something to send."""
        self._posted.set()

    def cut(self, until_ms: int) -> None:
        """Lose the link, and the way to the platform until an instant."""
        self._not_before_ms = max(self._not_before_ms, until_ms)
        if self._link is not None:
            self._link.abort()

    def restart(self, reason: BootReasonEnum, until_ms: int) -> None:
        """Restart the station: it drops its link and announces itself anew, not before an instant."""
        self._controller.restart(self._clock.now_ms(), reason)
        self.cut(until_ms)

    async def delivered(self) -> None:
        """Wait until nothing is left to be told."""
        while len(self._controller.outbox) or not self._controller.is_online:
            self._delivered.clear()
            await self._delivered.wait()

    async def close(self) -> None:
        """Close the link in good order, if there is one, and open no other."""
        self._is_closed = True
        if self._link is not None:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._link.close()

    async def run(self) -> None:
        """Keep the station connected until it is closed."""
        while not self._is_closed:
            await self._clock.sleep_until(self._not_before_ms)
            try:
                async with asyncio.timeout(OPEN_TIMEOUT_S):
                    link = await self._connect(self._controller.station)
            except (LinkClosedError, OSError, TimeoutError):
                self._back_off()
                continue
            if self._clock.now_ms() < self._not_before_ms:
                link.abort()
                continue
            try:
                await self._converse(link)
            finally:
                self._link = None
                self._controller.go_offline(self._clock.now_ms())
            self._back_off()

    def _back_off(self) -> None:
        pause_s = BACK_OFF_S * 2 ** min(self._failures, BACK_OFF_DOUBLINGS) + self._dice.uniform(0, BACK_OFF_JITTER_S)
        self._failures += 1
        self._not_before_ms = max(self._not_before_ms, self._clock.now_ms() + round(pause_s * MS_PER_S))

    async def _converse(self, link: Link) -> None:
        """Speak over a link until it is lost."""
        machine = CallMachine(self._ids)
        self._link, self._answer, self._silent_calls = link, None, 0
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(link, machine))
                group.create_task(self._write(link, machine))
        except* LinkClosedError:
            link.abort()

    async def _read(self, link: Link, machine: CallMachine) -> None:
        while True:
            event = machine.receive(await link.receive())
            self._silent_calls = 0
            match event:
                case CallReceived():
                    self._serve(machine, event)
                case ResultReceived(response=response):
                    self._hand_over(response)
                case ErrorReceived() | ResultRefused():
                    self._hand_over(None)
                case _:
                    pass
            for frame in machine.frames():
                await link.send(frame)

    def _serve(self, machine: CallMachine, call: CallReceived) -> None:
        self._catch_up()
        response = answer_request(self._controller, call.request, self._clock.now_ms())
        if response is None:
            machine.refuse(call.message_id, ErrorCode.NOT_SUPPORTED, f"{call.action} is not supported")
        else:
            machine.reply(call.message_id, response)

    def _hand_over(self, answer: Struct | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    async def _call(self, link: Link, machine: CallMachine, request: Struct) -> Struct | None:
        """Send a request and return its answer; None for an error or none in time."""
        message_id = machine.call(request)
        self._answer = asyncio.get_running_loop().create_future()
        self._controller.sent(self._clock.now_ms())
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                for frame in machine.frames():
                    await link.send(frame)
                return await self._answer
        except TimeoutError:
            machine.give_up(message_id)
            self._silent_calls += 1
            if self._silent_calls >= SILENT_CALLS:
                message = f"{SILENT_CALLS} calls without an answer"
                raise LinkClosedError(message) from None
            return None

    async def _write(self, link: Link, machine: CallMachine) -> None:
        await self._register(link, machine)
        outbox = self._controller.outbox
        while True:
            if not self._controller.is_online:
                await link.close()
                message = "the station restarts"
                raise LinkClosedError(message)
            letter = outbox.first
            if letter is None:
                self._delivered.set()
                self._posted.clear()
                await self._posted.wait()
                continue
            answer = await self._call(link, machine, letter.request)
            now_ms = self._clock.now_ms()
            if answer is not None:
                outbox.delivered(letter, answer, now_ms)
            else:
                await self._clock.sleep_until(now_ms + outbox.failed(letter, now_ms))

    async def _register(self, link: Link, machine: CallMachine) -> None:
        """Announce the station until it is accepted, if it has started anew."""
        controller = self._controller
        while controller.boot_reason is not None:
            answer = await self._call(link, machine, boot_notification(controller.boot_reason))
            accepted, interval_s = False, 0
            if isinstance(answer, ocpp21.BootNotificationResponse):
                accepted, interval_s = answer.status == "Accepted", answer.interval
            if accepted:
                controller.variables.heartbeat_interval_s = interval_s
                break
            await self._clock.sleep_until(self._clock.now_ms() + (max(interval_s, 0) or BOOT_RETRY_S) * MS_PER_S)
        self._failures = 0
        controller.go_online(self._clock.now_ms())
