"""Small worlds for the tests."""

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema_rs
import numpy as np
import ocpp
import pytest
from websockets.asyncio.server import ServerConnection, serve

from backfeed.app.loop import run_virtual
from backfeed.core.clock import LoopClock
from backfeed.core.instant import MS_PER_H, format_instant, parse_instant
from backfeed.core.rng import Streams
from backfeed.sim.city import City
from backfeed.sim.columns import Visits, WorldConfig
from backfeed.sim.fault import FaultRates, Faults
from backfeed.sim.socket_link import connect_websocket
from backfeed.sim.world import draw_world
from backfeed.wire.link import Link, LinkClosedError, Traffic, memory_pipe
from backfeed.wire.websocket_link import OCPP21, WebsocketLink, counted_server, websocket_options

START_MS = parse_instant("2026-07-06T00:00:00Z")
NUMBERS = (
    "energy_kwh",
    "power_max_kw",
    "soc_arrival",
    "soc_departure",
    "capacity_kwh",
    "departure_stated_ms",
    "energy_requested_kwh",
)


def make_visits(rows: Sequence[dict[str, Any]]) -> Visits:
    """Return visits from rows whose instants are hours after the start."""
    return Visits(
        row=np.arange(2, len(rows) + 2),
        session_id=tuple(str(row.get("session_id", f"s{i}")) for i, row in enumerate(rows)),
        location=tuple(row.get("location", "Home") for row in rows),
        user_id=tuple(row.get("user_id", "ann") for row in rows),
        arrival_ms=np.array([START_MS + round(row["arrival_h"] * MS_PER_H) for row in rows], dtype=np.int64),
        departure_ms=np.array([START_MS + round(row["departure_h"] * MS_PER_H) for row in rows], dtype=np.int64),
        **{
            name: np.array([row.get(name, 10.0 if name == "energy_kwh" else np.nan) for row in rows], dtype=np.float64)
            for name in NUMBERS
        },
    )


def make_config(**changes: Any) -> WorldConfig:
    """Return a day at 7.4 kW."""
    return WorldConfig(**{"start_ms": START_MS, "end_ms": START_MS + 24 * MS_PER_H, "power_kw": 7.4} | changes)


@pytest.fixture
def start_ms() -> int:
    return START_MS


@pytest.fixture
def visits_of() -> Callable[[Sequence[dict[str, Any]]], Visits]:
    return make_visits


@pytest.fixture
def config_of() -> Callable[..., WorldConfig]:
    return make_config


@pytest.fixture
def busy_rows() -> list[dict[str, Any]]:
    """A day of 60 visits of 12 users at two locations."""
    dice = np.random.Generator(np.random.PCG64(5))
    rows = []
    for i in range(60):
        arrival = float(dice.uniform(0, 20))
        rows.append(
            {
                "session_id": f"v{i:02d}",
                "location": f"L{i % 2}",
                "user_id": f"u{i % 12}" if i % 7 else "",
                "arrival_h": arrival,
                "departure_h": arrival + float(dice.uniform(0.2, 9)),
                "energy_kwh": float(dice.uniform(0.5, 20)),
            }
        )
    return rows


class Platform:
    """A platform by hand: raw JSON on memory pipes, every frame checked against the official schemas.

    It accepts everything, logs what it is told, and sends what a test wants sent.
    """

    def __init__(self, clock: LoopClock) -> None:
        self.clock = clock
        self.heard: list[tuple[int, str, str, dict[str, Any]]] = []
        self.answers: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {}
        self.default_kw: float | None = None
        self.refuses_links = False
        self.credentials: dict[str, str] = {}
        self._links: dict[str, Link] = {}
        self._waiting: dict[str, asyncio.Future[list[Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent = 0

    async def connect(self, station: str) -> Link:
        if self.refuses_links:
            message = "no way"
            raise LinkClosedError(message)
        ours, theirs = memory_pipe()
        self._links[station] = ours
        task = asyncio.get_running_loop().create_task(self._serve(station, ours))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return theirs

    async def _serve(self, station: str, link: Link) -> None:
        try:
            while True:
                kind, message_id, *rest = json.loads(await link.receive())
                if kind != 2:
                    waiting = self._waiting.pop(message_id, None)
                    if waiting is not None:
                        waiting.set_result([kind, *rest])
                    continue
                action, payload = rest
                validate(f"{action}Request", payload)
                self.heard.append((self.clock.now_ms(), station, action, payload))
                answer = self.answers.get(action, self._accept(action))(payload)
                if answer is None:
                    continue
                validate(f"{action}Response", answer)
                await link.send(json.dumps([3, message_id, answer]).encode())
        except LinkClosedError:
            pass

    def _accept(self, action: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        now = format_instant(self.clock.now_ms())
        return {
            "BootNotification": lambda _: {"currentTime": now, "interval": 600, "status": "Accepted"},
            "Heartbeat": lambda _: {"currentTime": now},
            "Authorize": lambda _: {"idTokenInfo": {"status": "Accepted"}},
            "NotifyEVChargingNeeds": lambda _: {"status": "Accepted"},
        }.get(action, lambda _: {})

    async def call(self, station: str, action: str, payload: dict[str, Any]) -> list[Any]:
        """Send a call; return `[3, payload]` or `[4, code, description, details]`."""
        validate(f"{action}Request", payload)
        self._sent += 1
        message_id = f"p{self._sent}"
        future = asyncio.get_running_loop().create_future()
        self._waiting[message_id] = future
        await self._links[station].send(json.dumps([2, message_id, action, payload]).encode())
        answer = await asyncio.wait_for(future, 60)
        if answer[0] == 3:
            validate(f"{action}Response", answer[1])
        return answer

    async def order(
        self, station: str, transaction: str, power_kw: float, lasts_s: int, mode: str = "CentralSetpoint", **more: Any
    ) -> str:
        """Send a TxProfile that begins now, and return its status."""
        name = "setpoint" if mode == "CentralSetpoint" else "limit"
        schedule = {
            "id": 1,
            "startSchedule": format_instant(self.clock.now_ms()),
            "duration": lasts_s,
            "chargingRateUnit": "W",
            "chargingSchedulePeriod": [{"startPeriod": 0, "operationMode": mode, name: power_kw * 1000}],
        }
        profile = {
            "id": 7,
            "stackLevel": 1,
            "chargingProfilePurpose": "TxProfile",
            "chargingProfileKind": "Absolute",
            "transactionId": transaction,
            "chargingSchedule": [schedule | more],
        }
        answer = await self.call(station, "SetChargingProfile", {"evseId": 1, "chargingProfile": profile})
        return str(answer[1]["status"])

    @asynccontextmanager
    async def listening(self, traffic: Traffic) -> AsyncIterator[Callable[[str], Awaitable[Link]]]:
        """Listen on a socket; gives how a station connects to it."""

        async def welcome(connection: ServerConnection) -> None:
            station = unquote(connection.request.path.rpartition("/")[2])
            self.credentials[station] = connection.request.headers["Authorization"]
            self._links[station] = WebsocketLink(connection)
            await self._serve(station, self._links[station])

        options = websocket_options(traffic, None)
        counted = counted_server(traffic)
        async with serve(
            welcome, "127.0.0.1", 0, subprotocols=[OCPP21], create_connection=counted, **options
        ) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ocpp"
            yield lambda station: connect_websocket(url, station, "a secret of many signs", traffic)

    async def settled(self) -> None:
        """Let everybody finish what they do at this instant."""
        for _ in range(100):
            await asyncio.sleep(0)  # noqa: TID251 - no time passes

    def drop(self, station: str) -> None:
        self._links[station].abort()

    def events(self, transaction: str | None = None) -> list[dict[str, Any]]:
        """Return the transaction events heard, without repetitions, in the order of their numbers."""
        found = {}
        for _, _, action, payload in self.heard:
            if action == "TransactionEvent":
                key = (payload["transactionInfo"]["transactionId"], payload["seqNo"])
                assert found.setdefault(key, payload) == payload
        return [found[key] for key in sorted(found) if transaction in (None, key[0])]


@functools.cache
def schema(name: str) -> jsonschema_rs.Validator:
    path = Path(ocpp.__file__).parent / "v21" / "schemas" / f"{name}.json"
    return jsonschema_rs.validator_for(json.loads(path.read_text("utf-8-sig")))


def validate(name: str, payload: dict[str, Any]) -> None:
    schema(name).validate(payload)


class Stage:
    """A city and a platform on virtual time; `during` runs beside them."""

    def __init__(self, rows: Sequence[dict[str, Any]], seed: int = 1, rates: FaultRates | None = None, **config: Any):
        self.config = make_config(**config)
        self.sessions, rejected = draw_world(make_visits(rows), self.config, Streams(seed))
        assert not rejected
        self.seed, self.rates = seed, rates
        self.platform: Platform
        self.truth: Any
        self.undelivered = 0

    def play(
        self,
        during: Callable[[Platform], Awaitable[None]] | None = None,
        before: Callable[[Platform], None] | None = None,
        link: str = "memory",
    ) -> "Stage":
        traffic = Traffic()
        run_virtual(self._play(during, before, traffic if link == "socket" else None), traffic)
        assert traffic.under_way == 0
        return self

    async def _play(self, during: Any, before: Any, traffic: Traffic | None) -> None:
        clock = LoopClock(asyncio.get_running_loop(), self.config.start_ms)
        self.platform = Platform(clock)
        if before is not None:
            before(self.platform)
        faults = None if self.rates is None else Faults(self.rates, Streams(self.seed))
        async with AsyncExitStack() as stack:
            connect = self.platform.connect
            if traffic is not None:
                connect = await stack.enter_async_context(self.platform.listening(traffic))
            city = City(self.sessions, self.config, clock, connect, faults)
            async with asyncio.TaskGroup() as group:
                group.create_task(city.run())
                if during is not None:
                    group.create_task(during(self.platform))
        self.truth = city.truth()
        self.undelivered = city.undelivered()


@pytest.fixture
def stage() -> type[Stage]:
    return Stage
