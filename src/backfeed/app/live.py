"""The live service: the platform of the simulated runs on the machine's own clock.

Start-up and recovery are one path: the event log is folded from its beginning, then chargers may
connect. SIGTERM and SIGINT stop in good order: links are closed, what was received is on disk.
"""

import asyncio
import secrets
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import uvicorn

from backfeed.app.answering import Answering
from backfeed.app.assembly import Parts, assemble
from backfeed.app.config import Pilot, load_pilot
from backfeed.app.dispatching import Policy
from backfeed.app.enrolment import Enrolment
from backfeed.app.invitation_folder import InvitationFolder
from backfeed.app.live_view import LiveView
from backfeed.app.project import write_project
from backfeed.app.resume import first_open_day, sole_use
from backfeed.app.scene import Scene, prices_over, set_scene, tariff_of
from backfeed.app.stations import StationRegister
from backfeed.app.tokens import TokenRegister
from backfeed.app.view import DriverDesk, PlatformView
from backfeed.app.workers import KillableWorkers
from backfeed.core.clock import Clock, LoopClock
from backfeed.core.instant import MS_PER_S, local_datetime
from backfeed.core.problem import EnvironmentProblemError, InputError
from backfeed.core.rng import Streams
from backfeed.fleet.event import StationDisconnected
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

SIMULATED_READING_S = 60
"""How often the pilot's own cars are read at least when they come to a live service: somebody looks on."""

RETRY_MS = 10 * MS_PER_S
"""How soon what a full disk has stopped is tried again."""

STRANGERS_TOLD = 1_000
"""How many refused stations an operator is told of: somebody who guesses names must not fill the log."""


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


@dataclass(frozen=True)
class Addresses:
    """Where a service listens: for stations, whose identity follows the first, and for people."""

    ocpp: str
    http: str


def serve(
    path: Path,
    data: Path,
    options: ServiceOptions,
    make_api: Callable[[PlatformView, DriverDesk], Application],
    say: Callable[[str], None],
    listening: Callable[[Addresses], None],
) -> None:
    """Run a pilot live until it is told to stop: quietly by SIGTERM, with `KeyboardInterrupt` by SIGINT.

    Parameters
    ----------
    path
        The pilot file.
    data
        The folder of event log, ledger and closed days.
    options
        Where to listen.
    make_api
        Makes the HTTP application for a view of the platform and its drivers' desk.
    say
        Told what an operator should know.
    listening
        Told where the service listens, once it does.

    Raises
    ------
    InputError
        If the pilot can not be used, or its tariff has expired.
    EnvironmentProblemError
        If a port is in use, or the folder can not be written or belongs to another service.
    KeyboardInterrupt
        If it was interrupted, once it has stopped in good order.
    """
    pilot = load_pilot(path)
    with sole_use(data):
        told = asyncio.run(_serve(pilot, data, options, make_api, say, listening))
    if told is signal.SIGINT:
        raise KeyboardInterrupt


def live_scene(pilot: Pilot, first_day: date, now_ms: int, register: StationRegister, options: ServiceOptions) -> Scene:
    """Return the pilot's scene moved by whole weeks to the present.

    Parameters
    ----------
    pilot
        The pilot.
    first_day
        The first local day that is not settled yet: with it the service's own window and prices begin.
    now_ms
        The present.
    register
        The stations from outside.
    options
        Whether the pilot's cars come, and whether an expired tariff will do.

    Raises
    ------
    InputError
        If the tariff does not hold today and that is not allowed.
    """
    today = local_datetime(now_ms, pilot.zone).date()
    tariff = tariff_of(pilot)
    problems = validity_problems(tariff, today, today)
    if problems and not options.allow_expired:
        raise InputError(problems)
    weeks = (today - pilot.pilot.start).days // 7
    moved = _replaced(
        pilot,
        start=pilot.pilot.start + timedelta(weeks=weeks),
        sessions=msgspec.structs.replace(pilot.sessions, shift_weeks=pilot.sessions.shift_weeks + weeks),
        events=(),
    )
    scene = set_scene(moved, needs_sessions=options.simulate)
    service = _replaced(moved, start=first_day, days=(today - first_day).days + LIVE_DAYS)
    enrolment = replace(scene.enrolment, registered=register.site_of)
    # From the first of the month on: its end looks back at what charging at once would have cost.
    month = _replaced(service, start=first_day.replace(day=1), days=service.pilot.days + first_day.day - 1)
    scene = replace(scene, pilot=service, prices=prices_over(month, tariff), enrolment=enrolment)
    if not options.simulate:
        return scene
    world = replace(
        scene.world, start_ms=now_ms, meter_interval_s=min(scene.world.meter_interval_s, SIMULATED_READING_S)
    )
    sessions, rejections = draw_world(visits_from_now(scene, now_ms), world, Streams(pilot.pilot.seed))
    # A service that starts again lets the same cars come again: their sessions are others.
    run = f"{now_ms // MS_PER_S:x}"
    sessions = replace(sessions, session_id=tuple(f"{name}@{run}" for name in sessions.session_id))
    return replace(scene, sessions=sessions, rejections=rejections, world=world)


def _replaced(pilot: Pilot, *, start: date, days: int | None = None, **tables: object) -> Pilot:
    """Return a pilot with another window, and other tables if any."""
    table = msgspec.structs.replace(pilot.pilot, start=start, days=days if days is not None else pilot.pilot.days)
    return msgspec.structs.replace(pilot, pilot=table, **tables)


def visits_from_now(scene: Scene, now_ms: int) -> Visits:
    """Return the visits that are still to come; cars that would be here already arrive within the first minute."""
    visits = scene.visits
    visits = visits.select(visits.departure_ms > now_ms + 2 * ARRIVE_WITHIN_MS)
    here = visits.arrival_ms < now_ms
    pause_ms = ARRIVE_WITHIN_MS // max(int(here.sum()), 1)
    soon_ms = now_ms + ARRIVE_WITHIN_MS + np.cumsum(here) * pause_ms
    return replace(visits, arrival_ms=np.where(here, soon_ms, visits.arrival_ms))


ARRIVE_WITHIN_MS = 30 * MS_PER_S


async def _serve(
    pilot: Pilot,
    data: Path,
    options: ServiceOptions,
    make_api: Callable[[PlatformView, DriverDesk], Application],
    say: Callable[[str], None],
    listening: Callable[[Addresses], None],
) -> signal.Signals:
    """Serve until a signal comes, and return it."""
    loop = asyncio.get_running_loop()
    clock = LoopClock(loop, time.time_ns() // 1_000_000)  # noqa: TID251 -- here the machine's date comes in
    stop: asyncio.Future[signal.Signals] = loop.create_future()

    def tell(which: signal.Signals) -> None:
        if not stop.done():
            stop.set_result(which)

    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, tell, which)
    register = StationRegister(data)
    first_day = await first_open_day(data, clock, pilot.zone)
    scene = live_scene(pilot, first_day, clock.now_ms(), register, options)
    if scene.tariff.provenance.valid_until is not None:
        say(f"note: tariff {scene.tariff.tariff_id} is valid until {scene.tariff.provenance.valid_until}")
    for problem in register.strangers(scene.enrolment.sites):
        say(f"warning: {problem}")
    write_project(scene, data, simulated=options.simulate)
    door = Door(register, scene.enrolment, say)
    async with AsyncExitStack() as stack:
        http = bound_socket(options.host, options.http_port)
        stack.callback(http.close)
        parts = await stack.enter_async_context(
            assemble(scene, Policy.V2G, data, clock, KillableWorkers(), durable=True, authenticate=door.admits)
        )
        _note_downtime(parts)
        invitations = InvitationFolder(parts, data)
        invitations.restore()  # before anything is settled or steered
        ocpp_port = await stack.enter_async_context(listen(parts.gateway, options.host, options.ocpp_port))
        server = _server(make_api(LiveView(parts, scene), Answering(parts, TokenRegister(data))))
        listening(Addresses(f"ws://{options.host}:{ocpp_port}/ocpp", f"http://{options.host}:{http.getsockname()[1]}/"))
        async with asyncio.TaskGroup() as group:
            loops = (parts.platform.run, parts.close_days, invitations.watch)
            tasks = [group.create_task(_persevering(run, clock, say)) for run in loops]
            if options.simulate:
                tasks.append(group.create_task(_simulate(scene, clock, ocpp_port, door.own_secret, options.host)))
            serving = group.create_task(server.serve(sockets=[http]))
            told = await stop
            say("stopping")
            server.should_exit = True
            await _wound_down(parts, tasks)
            await asyncio.wait([serving], timeout=STOP_WITHIN_S)
            server.force_exit = True
    return told


async def _persevering(run: Callable[[], Awaitable[None]], clock: Clock, say: Callable[[str], None]) -> None:
    """Run something that a full disk may stop for a while; each reason is told once."""
    told = ""
    while True:
        try:
            return await run()
        except (EnvironmentProblemError, InputError) as error:
            if str(error) != told:
                told = str(error)
                say(f"warning: {told}; tried again every {RETRY_MS // MS_PER_S} s")
        await clock.sleep_until(clock.now_ms() + RETRY_MS)


def _note_downtime(parts: Parts) -> None:
    """Write down that no station is connected: a service that was killed could not do so."""
    for name, station in sorted(parts.knowledge.state.stations.items()):
        if station.connected:
            gone = StationDisconnected(at_ms=parts.clock.now_ms(), station=name, reason="service was down")
            parts.log.append_now(gone)


async def _wound_down(parts: Parts, tasks: list[asyncio.Task[None]]) -> None:
    """End the loops, then the links, whose last events are committed then."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await parts.gateway.close()


async def _simulate(scene: Scene, clock: LoopClock, port: int, secret: str, host: str) -> None:
    """Let the pilot's cars come, over real sockets."""

    async def connect(station: str) -> Any:  # noqa: ANN401 - a link
        return await connect_websocket(f"ws://{host}:{port}/ocpp", station, secret)

    await City(scene.sessions, scene.world, clock, connect, streams=Streams(scene.pilot.pilot.seed)).run()


class Door:
    """Decides who may connect, and tells an operator once why somebody may not."""

    def __init__(self, register: StationRegister, enrolment: Enrolment, say: Callable[[str], None]) -> None:
        """Open the door to the stations of a register, and to the service's own simulated ones."""
        self._register = register
        self._enrolment = enrolment
        self._say = say
        self._told: set[tuple[str, str]] = set()
        self.own_secret = secrets.token_hex(20)
        """What the simulated stations of this run prove themselves with."""

    def admits(self, station: str, password: str | None) -> bool:
        """Return whether a station may connect with a password."""
        own = password is not None and secrets.compare_digest(password.encode(), self.own_secret.encode())
        proved = self._register.proves(station, password)
        if not own and not proved:
            known = self._register.site_of(station) is not None
            self._tell_once(station, "its password is wrong" if known else "it is not registered")
            return False
        if self._enrolment.site_of(station) is None:
            self._tell_once(station, f"its site {self._register.site_of(station)!r} is not one of the pilot's")
            return False
        return True

    def _tell_once(self, station: str, reason: str) -> None:
        if len(self._told) < STRANGERS_TOLD and (station, reason) not in self._told:
            self._told.add((station, reason))
            self._say(f"station {station} is refused: {reason}")


class _Server(uvicorn.Server):
    """A server that leaves the signals to the service."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _server(application: Application) -> _Server:
    return _Server(uvicorn.Config(application, log_level="warning", lifespan="off"))


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises
    ------
    EnvironmentProblemError
        If nothing can listen there.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        message = f"can not listen on {host}:{port}: {error.strerror}"
        raise EnvironmentProblemError(message) from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        message = f"can not listen on {host}:{port}: {error.strerror}"
        raise EnvironmentProblemError(message) from error
    return listener
