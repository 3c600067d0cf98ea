"""One world: a platform and a city on one clock, joined by real OCPP over sockets or in memory.

The platform is the live one. What differs from a service is the loop below (virtual time), the
workers (inline), and that somebody plays the city.
"""

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from backfeed.app.asked import App
from backfeed.app.assembly import LEDGER_FILE, Parts, assemble
from backfeed.app.battery_book import BatteryRecord
from backfeed.app.demand import Delivery
from backfeed.app.dispatching import Policy
from backfeed.app.loop import run_virtual
from backfeed.app.operating import simulated_operator
from backfeed.app.project import write_project
from backfeed.app.prompting import PromptCounts
from backfeed.app.scene import Scene, load_scene
from backfeed.app.workers import InlineWorkers
from backfeed.core.clock import Clock, LoopClock
from backfeed.core.instant import MS_PER_H, MS_PER_MIN, MS_PER_S
from backfeed.core.rng import Streams
from backfeed.gateway.server import Gateway
from backfeed.gateway.socket import serve
from backfeed.meter.gaming import Finding
from backfeed.meter.interval import Quarantined
from backfeed.report.summary import AROUND_H
from backfeed.sim.city import City
from backfeed.sim.driver import Drivers
from backfeed.sim.operator import SimulatedOperator
from backfeed.sim.socket_link import connect_websocket
from backfeed.sim.truth import Truth
from backfeed.store.ledger_seal import seal_ledger
from backfeed.wire.link import Link, Traffic, memory_pipe

LinkKind = Literal["socket", "memory"]

PLAN_LATENCY_MS = 50
"""How long a plan is modelled to take: what a small site takes on one core, with room to spare."""

LEAD_MS = 10 * MS_PER_MIN
"""A world begins this long before its window, so that stations can boot."""

LOOPBACK = "127.0.0.1"

PROGRESS_EVERY_MS = 3 * MS_PER_H


@dataclass(frozen=True)
class WorldSpec:
    """Which world to run; small enough to hand to another process.

    One that is not invited knows of no event, and ends when the hours after the last one are over: it is there to
    show what would have been taken around events, and nobody looks further.
    """

    pilot: Path
    seed: int | None
    policy: Policy
    link: LinkKind
    folder: Path
    invited: bool = True

    @property
    def name(self) -> str:
        """What the world is called while it runs."""
        return self.policy.value if self.invited else f"{self.policy.value}-uninvited"


@dataclass(frozen=True)
class WorldRun:
    """What a world leaves behind for the judge and the report."""

    policy: Policy
    folder: Path
    truth: Truth
    deliveries: tuple[Delivery, ...]
    findings: tuple[tuple[str, Finding], ...]
    set_apart: tuple[Quarantined, ...]
    log_hash: str
    ledger_hash: str
    messages: int
    events: int
    plans: int
    plan_gap_max: float
    fallbacks: int
    orders_failed: int
    prompts: PromptCounts | None
    batteries: tuple[BatteryRecord, ...]
    cpu_s: float
    wall_s: float
    peak_mb: float


def run_world(spec: WorldSpec, progress: Callable[[float], None]) -> WorldRun:
    """Run one world from its pilot file.

    Parameters
    ----------
    spec
        Which world.
    progress
        Called with the share of the window that has passed.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    scene = load_scene(spec.pilot, spec.seed)
    traffic = Traffic()
    spec.folder.mkdir(parents=True, exist_ok=True)
    write_project(scene, spec.folder, simulated=True)
    parts, truth, ledger_hash = run_virtual(_play(scene, spec, traffic, progress), traffic)
    seal_ledger(spec.folder / LEDGER_FILE)
    return WorldRun(
        policy=spec.policy,
        folder=spec.folder,
        truth=truth,
        deliveries=tuple(parts.demand.deliveries()),
        findings=tuple(
            (day.isoformat(), finding) for day, found in sorted(parts.settling.findings.items()) for finding in found
        ),
        set_apart=parts.knowledge.meter.quarantined(),
        log_hash=parts.log.hash(),
        ledger_hash=ledger_hash,
        messages=parts.gateway.counts.received + parts.gateway.counts.sent,
        events=parts.log.sequence,
        plans=parts.planning.plans,
        plan_gap_max=parts.planning.gap_max,
        fallbacks=parts.planning.fallbacks,
        orders_failed=parts.steering.rejected,
        prompts=parts.platform.prompting.counts() if parts.platform.prompting is not None else None,
        batteries=parts.knowledge.battery_records(scene.pilot.end_ms),
        cpu_s=time.process_time() - cpu,
        wall_s=time.perf_counter() - wall,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


async def _play(
    scene: Scene, spec: WorldSpec, traffic: Traffic, progress: Callable[[float], None]
) -> tuple[Parts, Truth, str]:
    """Let the city live through the window."""
    clock = LoopClock(asyncio.get_running_loop(), scene.pilot.start_ms - LEAD_MS)
    workers = InlineWorkers(clock, PLAN_LATENCY_MS)
    async with assemble(scene, spec.policy, spec.folder, clock, workers) as parts:
        async with asyncio.TaskGroup() as group, AsyncExitStack() as stack:
            connect = await _joined(group, stack, spec.link, parts.gateway, traffic)
            until_ms = _end_ms(scene, spec)
            world = replace(scene.world, end_ms=until_ms)
            city = City(scene.sessions, world, clock, connect, streams=Streams(scene.pilot.pilot.seed))
            app = App(parts.log, clock, Drivers(scene.sessions, scene.world), group)
            parts.log.subscribe(app.on_committed)
            operator = _operator(scene, spec, parts, clock)
            background = [
                group.create_task(parts.platform.run()),
                group.create_task(
                    operator.run() if operator is not None else parts.invite(scene.invitations if spec.invited else ())
                ),
                group.create_task(parts.close_days()),
                group.create_task(_tell(scene.pilot.start_ms, until_ms, clock, progress)),
            ]
            await city.run()
            # What the last frames committed is written within a moment of virtual time.
            await clock.sleep_until(clock.now_ms() + MS_PER_S)
            app.close()
            for task in background:
                task.cancel()
            await parts.gateway.close()
        if operator is not None:
            operator.finish()
            await clock.sleep_until(clock.now_ms() + MS_PER_S)
        parts.finish()
        return parts, city.truth(), parts.ledger.hash()


def _end_ms(scene: Scene, spec: WorldSpec) -> int:
    """Return when a world ends."""
    if spec.invited or not scene.invitations:
        return scene.pilot.end_ms
    return min(scene.pilot.end_ms, max(each.end_ms for each in scene.invitations) + AROUND_H * MS_PER_H)


def _operator(scene: Scene, spec: WorldSpec, parts: Parts, clock: Clock) -> SimulatedOperator | None:
    """Return the operator of a world that is steered and invited, None where nobody operates the programme."""
    if scene.calling.temper is None or not spec.invited or spec.policy is Policy.UNMANAGED:
        return None
    return simulated_operator(scene, parts, clock)


Connect = Callable[[str], Awaitable[Link]]


async def _joined(
    group: asyncio.TaskGroup, stack: AsyncExitStack, link: LinkKind, gateway: Gateway, traffic: Traffic
) -> Connect:
    """Return how a station reaches the gateway; the stack hangs up at the end."""
    if link == "memory":

        async def connect_in_memory(station: str) -> Link:
            theirs, ours = memory_pipe()
            group.create_task(gateway.run_link(station, ours))
            return theirs

        return connect_in_memory
    port = await stack.enter_async_context(serve(gateway, LOOPBACK, 0, traffic))

    async def connect_by_socket(station: str) -> Link:
        return await connect_websocket(f"ws://{LOOPBACK}:{port}/ocpp", station, "", traffic)

    return connect_by_socket


async def _tell(begin_ms: int, end_ms: int, clock: Clock, progress: Callable[[float], None]) -> None:
    """Report the share of a world's time that has passed, every few hours."""
    while True:
        progress(max(0.0, (clock.now_ms() - begin_ms) / (end_ms - begin_ms)))
        await clock.sleep_until(clock.now_ms() + PROGRESS_EVERY_MS)
