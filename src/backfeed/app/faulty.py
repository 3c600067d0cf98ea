"""A V2G world in which things go wrong: bad links, stations that fall silent, a platform that dies and comes back.

The city lives on while the platform is dead. A dead platform is cut off where it stands: what had not been
committed is lost, no task of it ever runs again. Its successor is assembled over the same files, and whatever
it knows it has read there. All bad luck comes from one seed, so a run that breaks an invariant can be
repeated to the byte.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backfeed.app.assembly import Parts, assemble
from backfeed.app.dispatching import Policy
from backfeed.app.loop import run_virtual
from backfeed.app.platform import TICK_OFFSET_MS
from backfeed.app.scene import Scene
from backfeed.app.watch import Watch
from backfeed.app.workers import InlineWorkers
from backfeed.app.world import LEAD_MS, PLAN_LATENCY_MS
from backfeed.core.clock import Clock, LoopClock
from backfeed.core.instant import MS_PER_DAY, MS_PER_MIN, MS_PER_S
from backfeed.core.rng import Streams
from backfeed.gateway.server import Gateway
from backfeed.sim.city import City
from backfeed.sim.fault import FaultRates, Faults
from backfeed.sim.truth import Truth
from backfeed.wire.link import Link, LinkClosedError, memory_pipe

BAD_LUCK = FaultRates(
    frame_lost=0.01,
    frame_repeated=0.01,
    frame_delayed=0.01,
    link_broken=0.002,
    outages_per_day=3.0,
    outage_mean_min=20.0,
    restart_share=0.3,
)


@dataclass(frozen=True)
class Misfortune:
    """What goes wrong, and how often.

    Parameters
    ----------
    rates
        Between stations and platform.
    deaths_per_day
        How often the platform dies; every other time just as it gives orders.
    down_mean_min
        For how long it is gone on average (exponential).
    """

    rates: FaultRates = BAD_LUCK
    deaths_per_day: float = 4.0
    down_mean_min: float = 3.0


@dataclass(frozen=True)
class FaultyRun:
    """What a faulty world leaves behind.

    Parameters
    ----------
    breaches
        Every invariant that was broken, with the instant.
    undelivered
        Transaction messages that stations have given up.
    """

    truth: Truth
    log_hash: str
    ledger_hash: str
    events: int
    deaths: int
    undelivered: int
    breaches: tuple[str, ...]


def run_faulty_world(scene: Scene, folder: Path, seed: int, misfortune: Misfortune | None = None) -> FaultyRun:
    """Run a world under the bad luck of a seed.

    Parameters
    ----------
    scene
        What the world starts from.
    folder
        An empty folder for event log, ledger and closed days.
    seed
        Of the bad luck, not of the world.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return run_virtual(_play(scene, folder, Streams(seed), misfortune or Misfortune()))


async def _play(scene: Scene, folder: Path, streams: Streams, misfortune: Misfortune) -> FaultyRun:
    clock = LoopClock(asyncio.get_running_loop(), scene.pilot.start_ms - LEAD_MS)
    door = _Door()
    city = City(scene.sessions, scene.world, clock, door.connect, Faults(misfortune.rates, streams), streams)
    watch = Watch(excuses_death=misfortune.rates != FaultRates())
    deaths = _deaths(scene, streams, misfortune)
    async with asyncio.TaskGroup() as group:
        living = group.create_task(city.run())
        for death in deaths:
            await _live(scene, folder, _MortalClock(clock), door, watch, death.at_ms)
            await clock.sleep_until(death.back_ms)
        parts = await _live_on(scene, folder, clock, door, watch, living)
    truth = city.truth()
    watch.audit(parts, truth)
    return FaultyRun(
        truth=truth,
        log_hash=parts.log.hash(),
        ledger_hash=watch.ledger_hash,
        events=parts.log.sequence,
        deaths=len(deaths),
        undelivered=city.undelivered(),
        breaches=tuple(watch.breaches),
    )


@dataclass(frozen=True, slots=True)
class _Death:
    at_ms: int
    back_ms: int


def _deaths(scene: Scene, streams: Streams, misfortune: Misfortune) -> list[_Death]:
    """Return when the platform dies and when its successor stands; it is there when the window ends."""
    if misfortune.deaths_per_day <= 0:
        return []
    dice = streams.generator("app.death")
    interval_ms = scene.pilot.chargers.control_interval_s * MS_PER_S
    deaths: list[_Death] = []
    at_ms = scene.pilot.start_ms
    while True:
        at_ms += round(dice.exponential(MS_PER_DAY / misfortune.deaths_per_day))
        if dice.random() < 0.5:  # noqa: PLR2004 - a fair coin
            tick_ms = -(-at_ms // interval_ms) * interval_ms + TICK_OFFSET_MS
            at_ms = tick_ms + int(dice.integers(0, 200))
        back_ms = at_ms + max(1, round(dice.exponential(misfortune.down_mean_min * MS_PER_MIN)))
        if back_ms >= scene.pilot.end_ms:
            return deaths
        deaths.append(_Death(at_ms, back_ms))
        at_ms = back_ms


class _PowerCutError(Exception):
    """The platform dies."""


async def _live(scene: Scene, folder: Path, clock: "_MortalClock", door: "_Door", watch: Watch, death_ms: int) -> None:
    """Run the platform until it dies."""
    workers = InlineWorkers(clock, PLAN_LATENCY_MS)
    async with assemble(scene, Policy.V2G, folder, clock, workers) as parts:
        try:
            async with asyncio.TaskGroup() as group:
                door.open(group, parts.gateway)
                watch.begin(parts)
                for job in _jobs(scene, parts):
                    group.create_task(job)
                await clock.sleep_until(death_ms)
                raise _PowerCutError  # noqa: TRY301 - leaving the group in this way cancels all that runs in it
        except* _PowerCutError:
            pass
        finally:
            clock.die()
            watch.end(clock.now_ms())
            door.shut()


async def _live_on(
    scene: Scene, folder: Path, clock: Clock, door: "_Door", watch: Watch, city: asyncio.Task[None]
) -> Parts:
    """Run the platform until the city is done, and stop it in good order."""
    async with assemble(scene, Policy.V2G, folder, clock, InlineWorkers(clock, PLAN_LATENCY_MS)) as parts:
        async with asyncio.TaskGroup() as group:
            door.open(group, parts.gateway)
            watch.begin(parts)
            background = [group.create_task(job) for job in _jobs(scene, parts)]
            await asyncio.wait({city})
            await clock.sleep_until(clock.now_ms() + MS_PER_S)
            for task in background:
                task.cancel()
            await parts.gateway.close()
            door.shut()
        parts.finish()
        watch.close_books(parts)
        return parts


def _jobs(scene: Scene, parts: Parts) -> Sequence[Coroutine[Any, Any, None]]:
    return (parts.platform.run(), parts.invite(scene.invitations), parts.close_days())


class _Door:
    """Where stations knock: at the platform that lives now, if one does."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._gateway: Gateway | None = None

    def open(self, group: asyncio.TaskGroup, gateway: Gateway) -> None:
        self._group, self._gateway = group, gateway

    def shut(self) -> None:
        self._group = self._gateway = None

    async def connect(self, station: str) -> Link:
        if self._group is None or self._gateway is None:
            message = "nobody listens"
            raise LinkClosedError(message)
        theirs, ours = memory_pipe()
        self._group.create_task(self._gateway.run_link(station, ours))
        return theirs


@dataclass
class _MortalClock:
    """The city's clock as a platform sees it while it lives: who sleeps by it at the death never wakes."""

    _clock: Clock
    _sleepers: dict[asyncio.Task[Any], None] = field(default_factory=dict)
    _is_dead: bool = False

    def now_ms(self) -> int:
        return self._clock.now_ms()

    async def sleep_until(self, at_ms: int) -> None:
        if self._is_dead:
            raise asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None, "only tasks sleep"
        self._sleepers[task] = None
        try:
            await self._clock.sleep_until(at_ms)
        finally:
            self._sleepers.pop(task, None)

    def die(self) -> None:
        self._is_dead = True
        for task in list(self._sleepers):
            task.cancel()
