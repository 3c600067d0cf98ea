"""Virtual time: it jumps to the next timer, obeys every library timeout, and never overtakes a frame."""

import asyncio
import gc
import socket
import time

import pytest

from backfeed.app.loop import StalledError, VirtualLoop, run_virtual
from backfeed.core.clock import LoopClock
from backfeed.wire.link import Traffic


def test_a_year_passes_in_a_moment():
    async def sleep():
        await asyncio.sleep(365 * 86_400)  # noqa: TID251 - virtual time is the point
        return asyncio.get_running_loop().time()

    before = time.process_time()
    assert run_virtual(sleep()) == pytest.approx(365 * 86_400)
    assert time.process_time() - before < 1


def test_timers_go_off_in_order_and_at_their_instants():
    async def main():
        clock, heard = LoopClock(asyncio.get_running_loop(), 1_000), []

        async def wait(at_ms):
            await clock.sleep_until(at_ms)
            heard.append((at_ms, clock.now_ms()))

        await asyncio.gather(*(wait(at_ms) for at_ms in (5_000, 1_001, 86_401_000, 3_333)))
        return heard

    assert run_virtual(main()) == [(at, at) for at in (1_001, 3_333, 5_000, 86_401_000)]


def test_library_timeouts_obey_virtual_time():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3_600):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().elapsed_ms

    assert run_virtual(main()) == 3_600_000


def test_a_frame_under_way_stops_the_clock():
    traffic = Traffic()

    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 - the socket's own signature
        received = asyncio.create_task(loop.sock_recv(ours, 10))
        alarm = asyncio.create_task(asyncio.sleep(1))  # noqa: TID251 - virtual time is the point
        await asyncio.sleep(0)  # noqa: TID251 - virtual time is the point
        traffic.begin()
        loop.call_soon(theirs.send, b"frame")
        await received
        at, early = loop.time(), not alarm.done()
        traffic.end()
        await alarm
        ours.close()
        theirs.close()
        return at, early, loop.time()

    assert run_virtual(main(), traffic) == (0.0, True, pytest.approx(1.0))


def test_a_world_with_nothing_left_to_wait_for_says_so():
    async def main():
        await asyncio.Event().wait()

    loop = VirtualLoop()
    with pytest.raises(StalledError, match="no timer and no frame"):
        loop.run_until_complete(main())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))  # noqa: TID251 - virtual time is the point
    loop.close()


def test_a_thousand_sleepers_wake_the_same_way_every_time():
    async def main():
        woken = []

        async def sleeper(number):
            for turn in range(5):
                await asyncio.sleep((number * 7919 + turn * 104_729) % 997)  # noqa: TID251 - virtual time is the point
                woken.append((number, turn))

        await asyncio.gather(*map(sleeper, range(1_000)))
        return woken

    assert run_virtual(main()) == run_virtual(main())


def test_what_a_world_returns_is_not_spelt_out_and_the_collector_is_as_before():
    spelt, thresholds = [], gc.get_threshold()

    class Large:
        def __repr__(self):
            spelt.append(self)
            return "megabytes"

    async def main():
        return Large()

    assert isinstance(run_virtual(main()), Large)
    assert spelt == []
    assert gc.get_threshold() == thresholds
