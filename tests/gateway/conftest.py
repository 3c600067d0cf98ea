"""Test equipment: the official schemas as judge of frames, and a gateway that keeps its events in a list."""

import asyncio
import json
from importlib.resources import files

import jsonschema_rs
import pytest

from backfeed.core.clock import LoopClock
from backfeed.core.problem import EnvironmentProblemError
from backfeed.gateway.server import Gateway, GatewayConfig
from backfeed.wire.link import memory_pipe

EPOCH_MS = 1_780_000_000_000
DISK_FULL = EnvironmentProblemError("disk full")
PASSWORD = "a password of 24 letters"


class OfficialSchemas:
    """Validates every frame of a dialogue against the schemas that the Open Charge Alliance publishes."""

    def __init__(self):
        self._validators = {}
        self._actions = {}
        self.frames = 0

    def schema(self, name):
        if name not in self._validators:
            text = (files("ocpp") / "v21" / "schemas" / f"{name}.json").read_text("utf-8-sig")
            self._validators[name] = jsonschema_rs.validator_for(json.loads(text), validate_formats=True)
        return self._validators[name]

    def check(self, sender, frame):
        """Validate a frame; a result is judged by the action of its call, which must have come before."""
        self.frames += 1
        kind, message_id, *rest = json.loads(frame)
        assert isinstance(message_id, str)
        assert 0 < len(message_id) <= 36
        if kind == 2:
            assert (sender, message_id) not in self._actions, "a message id was used twice"
            self._actions[sender, message_id] = rest[0]
            self.schema(f"{rest[0]}Request").validate(rest[1])
        elif kind == 3:
            caller = {"station": "platform", "platform": "station"}[sender]
            self.schema(f"{self._actions[caller, message_id]}Response").validate(rest[0])
        else:
            pytest.fail(f"{sender} sent {frame}")


class ListSink:
    """Keeps events; commits in a moment of virtual time, or fails when told to."""

    def __init__(self, clock):
        self.events = []
        self.broken = False
        self.stuck = False
        self._clock = clock

    async def commit(self, event):
        await self._clock.sleep_until(event.at_ms + 2)
        if self.stuck:
            await asyncio.Event().wait()
        if self.broken:
            raise DISK_FULL
        self.events.append(event)

    def of(self, *kinds):
        return [event for event in self.events if isinstance(event, kinds)]


class Bench:
    """A gateway on virtual time, and raw stations on memory pipes."""

    def __init__(self, **config):
        self.clock = LoopClock(asyncio.get_running_loop(), EPOCH_MS)
        self.sink = ListSink(self.clock)
        self.gateway = Gateway(
            self.clock,
            self.sink,
            authenticate=lambda _, password: password == PASSWORD,
            authorise=lambda _, token: "Accepted" if token.startswith("04") else "Invalid",
            config=GatewayConfig(**config),
        )
        self.tasks = []

    def connect(self, station):
        outside, inside = memory_pipe()
        self.tasks.append(asyncio.get_running_loop().create_task(self.gateway.run_link(station, inside)))
        return RawStation(outside)

    async def close(self):
        await self.gateway.close()
        await asyncio.gather(*self.tasks)


class RawStation:
    """A station in a test's hand: it sends and receives JSON."""

    def __init__(self, link):
        self.link = link
        self.number = 0

    async def send(self, *parts):
        await self.link.send(json.dumps(parts).encode())

    async def receive(self):
        async with asyncio.timeout(60):
            return json.loads(await self.link.receive())

    async def call(self, action, payload, message_id=None):
        self.number += 1
        message_id = message_id or f"s-{self.number}"
        await self.send(2, message_id, action, payload)
        answer = await self.receive()
        assert answer[1] == message_id, answer
        return answer


@pytest.fixture
def official():
    return OfficialSchemas()


@pytest.fixture
def make_bench():
    return Bench


@pytest.fixture
def make_raw_station():
    return RawStation


@pytest.fixture
def make_list_sink():
    return ListSink
