"""The city: cars come and go at their stations, and everything that is due at an instant is done then.

One task conducts. It sleeps to the next instant at which the world does something by itself (a car
comes or leaves, a profile lapses, a battery is full, a clock-aligned reading, an outage) and does all
that is due, departures first, stations in the order of their names. What the stations then say and
hear is theirs: every station has its own tasks on its own link. So the order in which the world
happens depends on the seed and nothing else.

A station is commissioned shortly before its first car comes: it is switched on and announces itself.
When the window ends the cars that are still there stay, the last readings are delivered, and the links
are closed.
"""

import asyncio
import heapq
from bisect import insort
from enum import IntEnum

from backfeed.core.clock import Clock
from backfeed.core.instant import MS_PER_S
from backfeed.core.rng import Streams
from backfeed.sim.charge_point import ChargePoint, Connect
from backfeed.sim.columns import WorldConfig, WorldSessions
from backfeed.sim.controller import Arrival, Controller, transaction_id
from backfeed.sim.fault import Faults, Outage
from backfeed.sim.outlet import PluggedCar
from backfeed.sim.profile import FAR_MS
from backfeed.sim.truth import Truth, TruthRecorder, truth_of
from backfeed.wire.link import Link, LinkClosedError

SETTLE_S = 120
"""How long the stations may go on delivering after the window's end."""


class _Rank(IntEnum):
    """In which order things happen that happen at the same instant."""

    COMMISSION = 0
    DEPART = 1
    OUTAGE = 2
    ARRIVE = 3


class City:
    """All drivers, cars and stations of a world, for one run."""

    def __init__(
        self,
        sessions: WorldSessions,
        config: WorldConfig,
        clock: Clock,
        connect: Connect,
        faults: Faults | None = None,
        streams: Streams | None = None,
    ) -> None:
        """Prepare a run; `connect` opens a station's link to the platform, `streams` jitter its retries."""
        self._sessions = sessions
        self._config = config
        self._clock = clock
        self._connect = connect
        self._faults = faults
        self._streams = streams or Streams(0)
        self._cars = sessions.cars()
        self._recorder = TruthRecorder()
        self._controllers: dict[str, Controller] = {}
        self._points: dict[str, ChargePoint] = {}
        self._names: list[str] = []
        self._due: list[tuple[int, _Rank, str, int]] = []
        self._outages: list[Outage] = []
        self._wakes: list[tuple[int, str]] = []
        self._announced_ms: dict[str, int] = {}
        self._reading_ms = FAR_MS
        self._sleeping_until_ms = -1
        self._sleeper: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._running: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Let the window pass, from its start to its end."""
        await self._clock.sleep_until(self._config.start_ms)
        self._schedule()
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                while not self._is_over():
                    at_ms = min(self._next_ms(), self._config.end_ms)
                    if await self._sleep_until(at_ms):
                        self._act(at_ms)
                await self._settle()
            finally:
                for task in self._running:
                    task.cancel()

    def truth(self) -> Truth:
        """Return what has happened, up to the end of the window once it has been reached."""
        for controller in self._controllers.values():
            controller.wake(min(self._clock.now_ms(), self._config.end_ms))
        return truth_of(self._sessions, self._recorder.segments())

    def undelivered(self) -> int:
        """Return how many transaction messages the stations have given up."""
        return sum(controller.outbox.undelivered for controller in self._controllers.values())

    def _schedule(self) -> None:
        """Enter all arrivals and departures, and the commissioning of every station before its first use."""
        sessions, config = self._sessions, self._config
        commissioned: set[str] = set()
        lead_ms = config.commission_lead_s * MS_PER_S
        for index, station in enumerate(sessions.station):
            arrival_ms = int(sessions.arrival_ms[index])
            if station not in commissioned:
                commissioned.add(station)
                self._due.append((max(config.start_ms, arrival_ms - lead_ms), _Rank.COMMISSION, station, 0))
            self._due.append((arrival_ms, _Rank.ARRIVE, station, index))
            self._due.append((int(sessions.departure_ms[index]), _Rank.DEPART, station, index))
        heapq.heapify(self._due)
        interval_ms = config.meter_interval_s * MS_PER_S
        self._reading_ms = -(-config.start_ms // interval_ms) * interval_ms

    def _is_over(self) -> bool:
        end_ms = self._config.end_ms
        return self._clock.now_ms() >= end_ms and self._next_ms() > end_ms

    def _next_ms(self) -> int:
        return min(
            self._reading_ms,
            self._due[0][0] if self._due else FAR_MS,
            self._wakes[0][0] if self._wakes else FAR_MS,
        )

    def _catch_up(self) -> None:
        """Do what is due by now, if the event loop has woken somebody else first."""
        now_ms = min(self._clock.now_ms(), self._config.end_ms)
        while (at_ms := self._next_ms()) <= now_ms:
            self._act(at_ms)

    def _act(self, at_ms: int) -> None:
        """Do all that is due at an instant."""
        while self._due and self._due[0][0] <= at_ms:
            _, rank, station, index = heapq.heappop(self._due)
            match rank:
                case _Rank.COMMISSION:
                    self._commission(station, at_ms)
                case _Rank.DEPART:
                    self._controllers[station].unplug(at_ms)
                case _Rank.OUTAGE:
                    self._suffer(self._outages[index])
                case _Rank.ARRIVE:
                    self._controllers[station].plug_in(self._arrival(index), at_ms)
        if self._reading_ms <= at_ms:
            self._reading_ms += self._config.meter_interval_s * MS_PER_S
            for station in self._names:
                self._controllers[station].read_clock(at_ms)
        while self._wakes and self._wakes[0][0] <= at_ms:
            _, station = heapq.heappop(self._wakes)
            if self._controllers[station].wake_ms <= at_ms:
                self._controllers[station].wake(at_ms)

    def _commission(self, station: str, at_ms: int) -> None:
        assert self._group is not None, "a city is commissioned while it runs"
        config = self._config
        controller = Controller(
            station,
            config.power_kw,
            config.meter_interval_s,
            self._recorder,
            (at_ms, config.end_ms),
            lambda: self._changed(station),
            config.start_delay_s,
        )
        dice = self._streams.generator("sim.back_off", station)
        point = ChargePoint(controller, self._clock, self._open, dice, self._catch_up)
        self._points[station] = point
        self._controllers[station] = controller
        insort(self._names, station)
        if self._faults is not None:
            for outage in self._faults.outages(station, at_ms, config.end_ms):
                heapq.heappush(self._due, (outage.from_ms, _Rank.OUTAGE, station, len(self._outages)))
                self._outages.append(outage)
        self._running.append(self._group.create_task(point.run()))

    async def _open(self, station: str) -> Link:
        link = await self._connect(station)
        return link if self._faults is None else self._faults.spoil(station, link)

    def _suffer(self, outage: Outage) -> None:
        point = self._points[outage.station]
        if outage.is_restart:
            point.restart("Watchdog", outage.until_ms)
        else:
            point.cut(outage.until_ms)

    def _arrival(self, index: int) -> Arrival:
        sessions = self._sessions
        return Arrival(
            car=PluggedCar(
                session=index,
                car=self._cars.car(index),
                energy_kwh=float(sessions.energy_arrival_kwh[index]),
                required_kwh=float(sessions.energy_required_kwh[index]),
            ),
            token=sessions.token[index],
            transaction=transaction_id(sessions.session_id[index]),
            tells_soc=bool(sessions.reports_soc[index]),
            statement_ms=int(sessions.statement_ms[index]),
        )

    def _changed(self, station: str) -> None:
        """Pass on that a station has something to send, and wake up earlier if it needs that."""
        self._points[station].notice()
        wake_ms = self._controllers[station].wake_ms
        if wake_ms <= self._config.end_ms and wake_ms != self._announced_ms.get(station):
            self._announced_ms[station] = wake_ms
            heapq.heappush(self._wakes, (wake_ms, station))
            if wake_ms < self._sleeping_until_ms and self._sleeper is not None:
                self._sleeper.cancel()

    async def _sleep_until(self, at_ms: int) -> bool:
        """Sleep; return False if something earlier has come up."""
        if at_ms <= self._clock.now_ms():
            return True
        sleeper = asyncio.create_task(self._clock.sleep_until(at_ms))
        self._sleeper, self._sleeping_until_ms = sleeper, at_ms
        try:
            await asyncio.wait({sleeper})
        finally:
            self._sleeper, self._sleeping_until_ms = None, -1
            sleeper.cancel()
        return not sleeper.cancelled()

    async def _settle(self) -> None:
        """Let the stations deliver what they have still to tell, and close their links."""
        try:
            async with asyncio.timeout(SETTLE_S):
                for station in self._names:
                    await self._points[station].delivered()
        except TimeoutError:
            pass
        for station in self._names:
            try:
                await self._points[station].close()
            except (LinkClosedError, TimeoutError):
                continue
