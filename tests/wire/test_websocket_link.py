"""Websocket links carry frames, and the count of what is under way is exact whatever happens to them."""

import asyncio
import contextlib

import pytest
from websockets.asyncio.server import serve

from backfeed.app.loop import run_virtual
from backfeed.core.clock import LoopClock
from backfeed.core.instant import MS_PER_S
from backfeed.core.rng import Streams
from backfeed.wire.link import Conversation, LinkClosedError, Traffic
from backfeed.wire.websocket_link import OCPP21, WebsocketLink, counted_server, open_websocket, websocket_options


async def pass_s(seconds):
    """Wait; virtual time can only pass when nothing is under way."""
    await LoopClock(asyncio.get_running_loop(), 0).sleep_until(round(seconds * MS_PER_S))


def on_sockets(scenario, *, live=False):
    """Run a scenario with a server whose links come out of a queue; virtual time unless live."""
    traffic = None if live else Traffic()

    async def main():
        links = asyncio.Queue()

        async def take(connection):
            links.put_nowait(WebsocketLink(connection))
            await connection.wait_closed()

        async with serve(
            take,
            "127.0.0.1",
            0,
            subprotocols=[OCPP21],
            create_connection=None if traffic is None else counted_server(traffic),
            **websocket_options(traffic, None),
        ) as server:
            port = server.sockets[0].getsockname()[1]

            async def connect():
                outside = await open_websocket(f"ws://127.0.0.1:{port}/", None, traffic)
                return outside, await links.get()

            await scenario(connect, traffic)
            if traffic is not None:
                await pass_s(3600)
                assert traffic.under_way == 0
                assert not traffic.conversations

    asyncio.run(main()) if live else run_virtual(main(), traffic)


async def closed(link):
    with contextlib.suppress(LinkClosedError):
        while True:
            await link.receive()


@pytest.mark.parametrize("live", [True, False])
def test_frames_arrive_in_order_both_ways(live):
    async def scenario(connect, _):
        outside, inside = await connect()
        for number in range(50):
            await outside.send(b"to %d" % number)
            await inside.send(b"from %d" % number)
        assert [await inside.receive() for _ in range(50)] == [b"to %d" % number for number in range(50)]
        assert [await outside.receive() for _ in range(50)] == [b"from %d" % number for number in range(50)]
        await outside.close()
        await outside.close()
        await closed(inside)
        with pytest.raises(LinkClosedError):
            await outside.send(b"late")

    on_sockets(scenario, live=live)


def test_time_does_not_pass_while_a_frame_is_under_way():
    async def scenario(connect, traffic):
        outside, inside = await connect()
        loop = asyncio.get_running_loop()
        for _ in range(100):
            before = loop.time()
            await outside.send(b"x" * 60_000)
            assert traffic.under_way == 1
            sleeping = loop.create_task(pass_s(0.001))
            assert await inside.receive() == b"x" * 60_000
            assert loop.time() == before
            await sleeping
        await outside.close()

    on_sockets(scenario)


def test_frames_that_nobody_reads_hold_nothing_up():
    """Arrival counts, not reading: a busy reader must not stop the clock."""

    async def scenario(connect, _):
        outside, inside = await connect()
        for _ in range(40):
            await outside.send(b"frame")
        await pass_s(60)
        assert await inside.receive() == b"frame"
        await outside.close()

    on_sockets(scenario)


@pytest.mark.parametrize("who", ["outside", "inside", "both"])
@pytest.mark.parametrize("how", ["close", "abort"])
def test_frames_lost_in_a_broken_connection_are_written_off(who, how):
    async def scenario(connect, _):
        outside, inside = await connect()
        for _ in range(30):
            await outside.send(b"y" * 50_000)
            await inside.send(b"z" * 50_000)
        for link in {"outside": [outside], "inside": [inside], "both": [outside, inside]}[who]:
            if how == "abort":
                link.abort()
            else:
                await link.close()
        await closed(outside)
        await closed(inside)

    on_sockets(scenario)


def test_a_refused_connection_leaves_nothing_under_way():
    traffic = Traffic()

    async def main():
        async def refuse(connection, _request):
            return connection.respond(401, "no\n")

        async with serve(
            lambda _: None,
            "127.0.0.1",
            0,
            process_request=refuse,
            create_connection=counted_server(traffic),
            **websocket_options(traffic, None),
        ) as server:
            port = server.sockets[0].getsockname()[1]
            for _ in range(5):
                with pytest.raises(LinkClosedError, match="401"):
                    await open_websocket(f"ws://127.0.0.1:{port}/", None, traffic)
                await pass_s(60)
        with pytest.raises(LinkClosedError):
            await open_websocket(f"ws://127.0.0.1:{port}/", None, traffic)
        await pass_s(60)
        assert traffic.under_way == 0
        assert not traffic.conversations

    run_virtual(main(), traffic)


@pytest.mark.parametrize("seed", range(6))
def test_a_storm_of_connections_frames_and_losses_leaves_nothing_under_way(seed):
    dice = Streams(seed).generator("storm")

    async def scenario(connect, _):
        async def one():
            outside, inside = await connect()
            reading = asyncio.create_task(closed(inside)), asyncio.create_task(closed(outside))
            for _ in range(dice.integers(12)):
                await (outside, inside)[dice.integers(2)].send(b"x" * (1, 5_000, 60_000)[dice.integers(3)])
                if dice.random() < 0.3:
                    await pass_s(dice.random() * 10)
            link = (outside, inside)[dice.integers(2)]
            if dice.random() < 0.5:
                link.abort()
            else:
                await link.close()
            await asyncio.gather(*reading)

        for _ in range(5):
            await asyncio.gather(*(one() for _ in range(8)))

    on_sockets(scenario)


def test_a_conversation_writes_off_only_when_both_ends_are_gone():
    traffic = Traffic()
    conversation = Conversation(traffic)
    conversation.join()
    conversation.join()
    conversation.frame_sent()
    conversation.frame_sent()
    conversation.frame_arrived()
    assert traffic.under_way == 1
    conversation.closing()
    conversation.closing()
    assert traffic.under_way == 2
    assert not conversation.leave()
    assert traffic.under_way == 2
    conversation.frame_sent()
    assert conversation.leave()
    assert traffic.under_way == 0
    conversation.frame_sent()
    assert traffic.under_way == 0
