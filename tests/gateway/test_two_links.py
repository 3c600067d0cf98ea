"""The same stations over sockets and over memory write the same log, to the byte, on virtual time.

All stations tell their meters at the same instants, the platform decides at those instants too, and
connections break: whatever could make the order of the log depend on the sockets below it happens here.
"""

import asyncio
import base64
import json
from contextlib import AsyncExitStack

import pytest

from backfeed.app.loop import run_virtual
from backfeed.core.clock import LoopClock
from backfeed.core.instant import MS_PER_S, format_instant
from backfeed.core.rng import Streams
from backfeed.fleet.event import SetpointAnswered, SetpointOrdered, TransactionChanged
from backfeed.fleet.order import Mode, OrderStatus, SetpointOrder
from backfeed.gateway.server import Gateway
from backfeed.gateway.socket import serve
from backfeed.store.log import EventLog
from backfeed.wire.link import LinkClosedError, Traffic, memory_pipe
from backfeed.wire.websocket_link import open_websocket

START_MS = 1_780_000_000_000
EVERY_MS = 300 * MS_PER_S
ROUNDS = 12
STATIONS = 14


class Station:
    """Tells its meter at every round, answers orders at once, and drops its link by its own dice."""

    def __init__(self, name, clock, connect, dice):
        self.name, self.clock, self.connect, self.dice = name, clock, connect, dice
        self.number = 0
        self.answers = {}

    async def run(self):
        link = await self.connect(self.name)
        reading = asyncio.create_task(self.read(link))
        for turn in range(ROUNDS):
            await self.clock.sleep_until(START_MS + (turn + 1) * EVERY_MS)
            if self.dice.random() < 0.15:
                link.abort()
                await reading
                link = await self.connect(self.name)
                reading = asyncio.create_task(self.read(link))
            kind = "Started" if turn == 0 else "Updated"
            await self.tell(
                link,
                "TransactionEvent",
                {
                    "eventType": kind,
                    "timestamp": format_instant(self.clock.now_ms()),
                    "triggerReason": "MeterValueClock",
                    "seqNo": turn,
                    "transactionInfo": {"transactionId": f"tx-{self.name}"},
                    **({"evse": {"id": 1}} if turn == 0 else {}),
                    "meterValue": [
                        {
                            "timestamp": format_instant(self.clock.now_ms()),
                            "sampledValue": [{"value": turn * 1000 + float(self.dice.integers(1000))}],
                        }
                    ],
                },
            )
        await link.close()
        await reading

    async def tell(self, link, action, payload):
        self.number += 1
        answer = self.answers[self.number] = asyncio.get_running_loop().create_future()
        await link.send(json.dumps([2, str(self.number), action, payload]).encode())
        await answer

    async def read(self, link):
        try:
            while True:
                kind, message_id, *_ = json.loads(await link.receive())
                if kind == 2:
                    await link.send(json.dumps([3, message_id, {"status": "Accepted"}]).encode())
                else:
                    self.answers.pop(int(message_id)).set_result(None)
        except LinkClosedError:
            return


class Platform:
    """Decides at every round for every station, and records it through the same log."""

    def __init__(self, clock, log, gateway, group):
        self.clock, self.log, self.gateway, self.group = clock, log, gateway, group
        self.seen = {}
        log.subscribe(self.on_committed)

    def on_committed(self, event):
        if isinstance(event, TransactionChanged):
            self.seen[event.station] = event.readings[0].import_wh

    async def decide(self):
        for turn in range(ROUNDS - 1):
            await self.clock.sleep_until(START_MS + (turn + 1) * EVERY_MS + 10)
            for station in sorted(self.seen):
                self.group.create_task(self.order(station, turn, -float(self.seen[station] % 7)))

    async def order(self, station, profile, power_kw):
        until_ms = self.clock.now_ms() + EVERY_MS
        about = {"station": station, "evse": 1, "profile": profile}
        self.log.append_now(
            SetpointOrdered(
                at_ms=self.clock.now_ms(),
                power_kw=power_kw,
                mode="setpoint",
                until_ms=until_ms,
                bound_by="plan",
                **about,
            )
        )
        status = await self.gateway.apply(
            SetpointOrder(station, 1, f"tx-{station}", profile, power_kw, Mode.SETPOINT, until_ms, "plan")
        )
        self.log.append_now(SetpointAnswered(at_ms=self.clock.now_ms(), status=status, **about))


async def world(folder, over, seed, traffic):
    clock = LoopClock(asyncio.get_running_loop(), START_MS)
    streams = Streams(seed)
    async with (
        EventLog(folder / f"{over}.db", clock, durable=False) as log,
        asyncio.TaskGroup() as group,
        AsyncExitStack() as listening,
    ):
        gateway = Gateway(clock, log, lambda *_: True, lambda *_: "Accepted")
        group.create_task(Platform(clock, log, gateway, group).decide())

        async def into_memory(station):
            outside, inside = memory_pipe()
            group.create_task(gateway.run_link(station, inside))
            return outside

        async def over_socket(station):
            credentials = "Basic " + base64.b64encode(f"{station}:x".encode()).decode()
            return await open_websocket(f"ws://127.0.0.1:{port}/ocpp/{station}", credentials, traffic)

        if over == "socket":
            port = await listening.enter_async_context(serve(gateway, "127.0.0.1", 0, traffic))
        connect = over_socket if over == "socket" else into_memory
        dice = [streams.generator("station", number) for number in range(STATIONS)]
        await asyncio.gather(*(Station(f"CP-{k}", clock, connect, dice[k]).run() for k in range(STATIONS)))
        await gateway.close()
        await clock.sleep_until(clock.now_ms() + 60_000)
    return log.hash(), log.sequence, list(log.read())


def run_over(folder, over, seed):
    traffic = Traffic()
    result = run_virtual(world(folder, over, seed, traffic), traffic)
    assert traffic.under_way == 0
    return result


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(3, 30))])
def test_sockets_and_memory_write_the_same_log(tmp_path, seed):
    memory_hash, count, events = run_over(tmp_path, "memory", seed)
    socket_hash, socket_count, socket_events = run_over(tmp_path, "socket", seed)
    differing = [pair for pair in zip(events, socket_events, strict=False) if pair[0] != pair[1]]
    assert differing[:3] == []
    assert (socket_hash, socket_count) == (memory_hash, count)
    statuses = {event.status for event in events if isinstance(event, SetpointAnswered)}
    assert OrderStatus.ACCEPTED in statuses
    assert sum(isinstance(event, TransactionChanged) for event in events) == STATIONS * ROUNDS
