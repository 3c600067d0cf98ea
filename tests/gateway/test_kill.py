"""kill -9: whatever a station was told is received is in the log, once, after any crash of the platform."""

import asyncio
import base64
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import pytest
import websockets

from backfeed.core.clock import LoopClock
from backfeed.fleet.event import TransactionChanged
from backfeed.store.log import EventLog

STATIONS = 8
PLATFORM = """
import asyncio, sys
from pathlib import Path
from backfeed.core.clock import LoopClock
from backfeed.core.ids import CountingIds
from backfeed.fleet.event import TransactionChanged
from backfeed.gateway.server import Gateway
from backfeed.gateway.socket import serve
from backfeed.store.log import EventLog

async def main(path, life):
    clock = LoopClock(asyncio.get_running_loop(), 1_780_000_000_000)
    log = EventLog(Path(path), clock, durable=True)
    gateway = Gateway(clock, log, lambda *_: True, lambda *_: "Accepted", ids=CountingIds(f"life-{life}"))
    for event in log.read():
        if isinstance(event, TransactionChanged):
            gateway.recall(event)
    async with serve(gateway, "127.0.0.1", 0) as port:
        print(port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


class Station:
    """Tells events 0, 1, 2, ... and tells each again until it is acknowledged, whatever breaks."""

    def __init__(self, name):
        self.name, self.acknowledged = name, -1

    async def run(self, port):
        basic = base64.b64encode(f"{self.name}:x".encode()).decode()
        with contextlib.suppress(OSError, websockets.WebSocketException):
            async with websockets.connect(
                f"ws://127.0.0.1:{port}/ocpp/{self.name}",
                subprotocols=["ocpp2.1"],
                additional_headers={"Authorization": f"Basic {basic}"},
                proxy=None,
            ) as socket:
                while True:
                    number = self.acknowledged + 1
                    event = {
                        "eventType": "Updated" if number else "Started",
                        "timestamp": f"2026-07-06T12:{number // 60 % 60:02d}:{number % 60:02d}Z",
                        "triggerReason": "MeterValuePeriodic",
                        "seqNo": number,
                        "evse": {"id": 1},
                        "transactionInfo": {"transactionId": f"tx-{self.name}"},
                    }
                    await socket.send(json.dumps([2, f"m-{number}", "TransactionEvent", event]))
                    while json.loads(await socket.recv())[1] != f"m-{number}":
                        pass
                    self.acknowledged = number


async def live_and_die(path, kills):
    stations = [Station(f"CP-{number}") for number in range(STATIONS)]
    for life in range(kills):
        platform = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PLATFORM, str(path), str(life), stdout=asyncio.subprocess.PIPE
        )
        port = int(await platform.stdout.readline())
        before = min(station.acknowledged for station in stations)
        talking = [asyncio.create_task(station.run(port)) for station in stations]
        async with asyncio.timeout(15):
            while min(station.acknowledged for station in stations) < before + 5:
                await LoopClock(asyncio.get_running_loop(), 0).sleep_until(5)
        os.kill(platform.pid, signal.SIGKILL)
        await platform.wait()
        await asyncio.gather(*talking)
    async with EventLog(path, LoopClock(asyncio.get_running_loop(), 0), durable=True) as log:
        assert log.first_broken() is None
        kept = [event for event in log.read() if isinstance(event, TransactionChanged)]
    for station in stations:
        mine = [event.sequence for event in kept if event.station == station.name]
        # In order, without a gap, each once; at most the one that was in work is more than acknowledged.
        assert mine == list(range(len(mine)))
        assert station.acknowledged < len(mine) <= station.acknowledged + 2


@pytest.mark.parametrize("kills", [2, pytest.param(40, marks=pytest.mark.nightly)])
def test_nothing_acknowledged_is_lost_and_nothing_is_counted_twice(tmp_path: Path, kills):
    asyncio.run(live_and_die(tmp_path / "log.db", kills))
