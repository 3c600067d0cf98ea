"""The live service: the platform of the simulated runs on the machine's own clock.

Start-up and recovery are one path: the event log is folded from its beginning, then chargers may
connect. SIGTERM and SIGINT stop in good order: links are closed, what was received is on disk.
"""

import asyncio
import secrets
import signal
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import uvicorn

from backfeed.app.assembly import Parts, assemble
from backfeed.app.config import Pilot, load_pilot
from backfeed.app.dispatching import Policy
from backfeed.app.live_view import LiveView
from backfeed.app.scene import Scene, set_scene
from backfeed.app.stations import StationRegister
from backfeed.app.view import PlatformView
from backfeed.app.workers import KillableWorkers
from backfeed.core.clock import LoopClock
from backfeed.core.instant import MS_PER_S, local_datetime
from backfeed.core.problem import EnvironmentProblemError, InputError
from backfeed.core.rng import Streams
from backfeed.gateway.socket import serve as listen
from backfeed.market.price import validity_problems
from backfeed.sim.city import City
from backfeed.sim.columns import Visits
from backfeed.sim.socket_link import connect_websocket
from backfeed.sim.world import draw_world

Application = Any
"""An ASGI application."""

LIVE_DAYS = 400
"""How far ahead a service knows its prices; it is restarted for upgrades more often than that."""

STOP_WITHIN_S = 5.0


@dataclass(frozen=True)
class ServiceOptions:
    """Where a service listens and what it serves.

    Parameters
    ----------
    host, ocpp_port, http_port
        Addresses; port 0 takes a free one.
    simulate
        Whether the pilot's own cars come as well, from now on.
    allow_expired
        Whether a tariff that no longer holds may be applied.
    """

    host: str = "127.0.0.1"
    ocpp_port: int = 9000
    http_port: int = 8080
    simulate: bool = False
    allow_expired: bool = False


def serve(
    path: Path,
    data: Path,
    options: ServiceOptions,
    make_api: Callable[[PlatformView], Application],
    say: Callable[[str], None],
) -> None:
    """Run a pilot live until it is told to stop.

    Parameters
    ----------
    path
        The pilot file.
    data
        The folder of event log, ledger and closed days.
    options
        Where to listen.
    make_api
        Makes the HTTP application for a view of the platform.
    say
        Told where the service listens, once it does.

    Raises
    ------
    InputError
        If the pilot can not be used, or its tariff has expired.
    EnvironmentProblemError
        If a port is in use or the folder can not be written.
    """
    now_ms = time.time_ns() // 1_000_000
    register = StationRegister(data)
    scene = live_scene(load_pilot(path), now_ms, register, options)
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{data}: the data folder can not be made: {error.strerror}"
        raise EnvironmentProblemError(message) from error
    asyncio.run(_serve(scene, data, register, options, make_api, say))


def live_scene(pilot: Pilot, now_ms: int, register: StationRegister, options: ServiceOptions) -> Scene:
    """Return the pilot's scene moved by whole weeks to the present, with prices from today on.

    Raises
    ------
    InputError
        If the tariff does not hold today and that is not allowed.
    """
    today = local_datetime(now_ms, pilot.zone).date()
    weeks = (today - pilot.pilot.start).days // 7
    moved = msgspec.structs.replace(
        pilot,
        pilot=msgspec.structs.replace(pilot.pilot, start=pilot.pilot.start + timedelta(weeks=weeks)),
        sessions=msgspec.structs.replace(pilot.sessions, shift_weeks=pilot.sessions.shift_weeks + weeks),
        events=(),
    )
    scene = set_scene(moved, priced_days=LIVE_DAYS, needs_sessions=options.simulate)
    problems = validity_problems(scene.tariff, today, today)
    if problems and not options.allow_expired:
        raise InputError(problems)
    enrolment = replace(scene.enrolment, registered=register.site_of)
    if not options.simulate:
        return replace(scene, enrolment=enrolment)
    visits = visits_from_now(scene, now_ms)
    world = replace(scene.world, start_ms=now_ms)
    sessions, rejections = draw_world(visits, world, Streams(pilot.pilot.seed))
    return replace(scene, enrolment=enrolment, sessions=sessions, rejections=rejections, world=world)


def visits_from_now(scene: Scene, now_ms: int) -> Visits:
    """Return the visits that are still to come; cars that would be here already arrive within the first minute."""
    visits = scene.visits
    visits = visits.select(visits.departure_ms > now_ms + 2 * ARRIVE_WITHIN_MS)
    here = visits.arrival_ms < now_ms
    pause_ms = ARRIVE_WITHIN_MS // max(int(here.sum()), 1)
    soon_ms = now_ms + ARRIVE_WITHIN_MS + np.cumsum(here) * pause_ms
    return replace(visits, arrival_ms=np.where(here, soon_ms, visits.arrival_ms))


ARRIVE_WITHIN_MS = 30 * MS_PER_S


async def _serve(  # noqa: PLR0913 - what the service was started with
    scene: Scene,
    data: Path,
    register: StationRegister,
    options: ServiceOptions,
    make_api: Callable[[PlatformView], Application],
    say: Callable[[str], None],
) -> None:
    loop = asyncio.get_running_loop()
    clock = LoopClock(loop, time.time_ns() // 1_000_000)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    workers = KillableWorkers()
    # The simulated cars prove themselves with a secret of this run that nobody else has.
    own_secret = secrets.token_hex(20)

    def authenticate(station: str, password: str | None) -> bool:
        own = options.simulate and password is not None and secrets.compare_digest(password, own_secret)
        return (own or register.proves(station, password)) and scene.enrolment.site_of(station) is not None

    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(
            assemble(scene, Policy.V2G, data, clock, workers, durable=True, authenticate=authenticate)
        )
        http = _bound_socket(options.host, options.http_port)
        stack.callback(http.close)
        ocpp_port = await stack.enter_async_context(listen(parts.gateway, options.host, options.ocpp_port))
        server = _Server(uvicorn.Config(make_api(LiveView(parts)), log_level="warning", lifespan="off"))
        say(f"chargers:  ws://{options.host}:{ocpp_port}/ocpp/STATION")
        say(f"people:    http://{options.host}:{http.getsockname()[1]}/")
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(parts.platform.run()),
                group.create_task(parts.close_days()),
                group.create_task(server.serve(sockets=[http])),
            ]
            if options.simulate:
                tasks.append(group.create_task(_simulate(scene, clock, ocpp_port, own_secret, options.host)))
            await stop.wait()
            say("stopping")
            server.should_exit = True
            await _wound_down(parts, tasks, server)


async def _wound_down(parts: Parts, tasks: list[asyncio.Task[None]], server: "_Server") -> None:
    """End the links, then the loops; the server has some seconds to finish its answers."""
    for task in tasks[:2] + tasks[3:]:
        task.cancel()
    await parts.gateway.close()
    await asyncio.wait(tasks[2:3], timeout=STOP_WITHIN_S)
    server.force_exit = True


async def _simulate(scene: Scene, clock: LoopClock, port: int, secret: str, host: str) -> None:
    """Let the pilot's cars come, over real sockets."""

    async def connect(station: str) -> Any:  # noqa: ANN401 - a link
        return await connect_websocket(f"ws://{host}:{port}/ocpp", station, secret)

    await City(scene.sessions, scene.world, clock, connect, streams=Streams(scene.pilot.pilot.seed)).run()


class _Server(uvicorn.Server):
    """A server that leaves the signals to the service."""

    def install_signal_handlers(self) -> None:
        """Install none."""


def _bound_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises
    ------
    EnvironmentProblemError
        If nothing can listen there.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        message = f"can not listen on {host}:{port}: {error.strerror}"
        raise EnvironmentProblemError(message) from error
    return listener


