"""What goes wrong between a station and the platform, by seed.

Frames are lost, said twice, or overtaken by the next; links break; stations lose their way to the
platform for a while or restart. Power stays: a car goes on under the profile that the station holds.
Every die has a key (station, connection, or outage), so one station's bad luck is nobody else's.
"""

from dataclasses import dataclass

import numpy as np

from backfeed.core.instant import MS_PER_DAY, MS_PER_MIN
from backfeed.core.rng import Streams
from backfeed.wire.link import Link, LinkClosedError


@dataclass(frozen=True, slots=True)
class FaultRates:
    """How often things go wrong.

    Parameters
    ----------
    frame_lost, frame_repeated, frame_delayed
        Share of the frames, each way, that vanish, come twice, or come after the next one.
    link_broken
        Share of the frames after which the link breaks.
    outages_per_day, outage_mean_min
        How often a station loses its way to the platform, and for how long on average (exponential).
    restart_share
        Share of the outages that are restarts of the station.
    """

    frame_lost: float = 0.0
    frame_repeated: float = 0.0
    frame_delayed: float = 0.0
    link_broken: float = 0.0
    outages_per_day: float = 0.0
    outage_mean_min: float = 20.0
    restart_share: float = 0.3


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which a station can not reach the platform."""

    station: str
    from_ms: int
    until_ms: int
    is_restart: bool


class Faults:
    """The bad luck of a whole city."""

    def __init__(self, rates: FaultRates, streams: Streams) -> None:
        """Roll the dice of `streams`."""
        self._rates = rates
        self._streams = streams
        self._connections: dict[str, int] = {}

    def spoil(self, station: str, link: Link) -> Link:
        """Return a link that fails as this station's next connection does."""
        number = self._connections.get(station, 0)
        self._connections[station] = number + 1
        return FaultyLink(link, self._rates, self._streams.generator("sim.link_fault", station, number))

    def outages(self, station: str, from_ms: int, until_ms: int) -> list[Outage]:
        """Return the outages of a station that begin in `[from_ms, until_ms)`, in order."""
        if self._rates.outages_per_day <= 0:
            return []
        dice = self._streams.generator("sim.outage", station)
        outages: list[Outage] = []
        at_ms = from_ms
        while True:
            at_ms += round(dice.exponential(MS_PER_DAY / self._rates.outages_per_day))
            if at_ms >= until_ms:
                return outages
            length_ms = max(1, round(dice.exponential(self._rates.outage_mean_min * MS_PER_MIN)))
            is_restart = bool(dice.random() < self._rates.restart_share)
            outages.append(Outage(station, at_ms, at_ms + length_ms, is_restart))
            at_ms += length_ms


class FaultyLink:
    """A link on which frames are lost, repeated and overtaken, and which breaks."""

    def __init__(self, link: Link, rates: FaultRates, dice: np.random.Generator) -> None:
        """Wrap a link."""
        self._link = link
        self._rates = rates
        self._dice = dice
        self._held_back: list[bytes] = []
        self._arrived: list[bytes] = []
        self._overtaken: list[bytes] = []

    async def send(self, frame: bytes) -> None:
        """Send a frame, if it has luck."""
        for each in self._fate(frame, self._held_back):
            await self._link.send(each)
        self._maybe_break()

    async def receive(self) -> bytes:
        """Return the next frame that has had luck."""
        while not self._arrived:
            frame = await self._link.receive()
            self._maybe_break()
            self._arrived.extend(self._fate(frame, self._overtaken))
        return self._arrived.pop(0)

    async def close(self) -> None:
        """Close in good order."""
        await self._link.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._link.abort()

    def _fate(self, frame: bytes, held_back: list[bytes]) -> list[bytes]:
        """Return what comes out where one frame went in; what is held back comes out after the next."""
        point = self._dice.random()
        rates = self._rates
        if point < rates.frame_lost:
            return []
        point -= rates.frame_lost
        if point < rates.frame_delayed:
            held_back.append(frame)
            return []
        released, held_back[:] = [frame, *held_back], []
        return [frame, *released] if point - rates.frame_delayed < rates.frame_repeated else released

    def _maybe_break(self) -> None:
        if self._rates.link_broken and self._dice.random() < self._rates.link_broken:
            self._link.abort()
            message = "the link broke"
            raise LinkClosedError(message)
