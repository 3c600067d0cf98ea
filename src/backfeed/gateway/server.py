"""The gateway: every station's live link, and the way to it.

A station has at most one live link. Whoever opens a second one under the same identity has proved the identity
(the socket refuses it otherwise), so the newcomer is the station and the old link is half-open or stolen: it is
dropped, its last event is committed, and then the newcomer's first. Answers belong to the link that the call
went over: when it goes, its outstanding calls end as `Offline` and nothing crosses to the new one.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from msgspec import Struct

from backfeed.core.clock import Clock
from backfeed.core.ids import CountingIds, IdSource
from backfeed.fleet.event import TransactionChanged
from backfeed.fleet.order import OrderStatus, SetpointOrder
from backfeed.gateway.answer import Asking
from backfeed.gateway.memory import StationMemory
from backfeed.gateway.profile import default_request, order_request
from backfeed.gateway.station_link import Counts, EventSink, StationLink
from backfeed.wire.link import Link
from backfeed.wire.ocpp21 import SetChargingProfileResponse


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """How the gateway deals with stations.

    Parameters
    ----------
    call_timeout_s
        How long a station may take to answer a call.
    send_timeout_s
        How long a station may leave a frame unread before its link is dropped.
    heartbeat_interval_s
        What stations are asked to keep to (BootNotification).
    ping_interval_s
        How often live websockets are pinged, which finds half-open ones.
    transfers
        The energy transfers offered, in OCPP's words; a car that asks for another is refused.
    """

    call_timeout_s: float = 30.0
    send_timeout_s: float = 30.0
    heartbeat_interval_s: int = 300
    ping_interval_s: float = 20.0
    transfers: tuple[str, ...] = (
        "AC_single_phase",
        "AC_two_phase",
        "AC_three_phase",
        "AC_BPT",
        "DC",
        "DC_BPT",
    )


class Gateway:
    """Stations on links on one side, events and orders on the other.

    Parameters
    ----------
    clock
        Stamps events.
    sink
        Where events are committed; no message is acknowledged before.
    authenticate
        Whether a password proves an identity: `(station, password or None) -> bool`. The socket asks it before it
        opens a link, and always, so that an unknown identity takes no other path than a wrong password.
    authorise
        What a token may do at a station, in OCPP's words: `(station, token) -> AuthorizationStatus`.
    config
        Deadlines and offers.
    ids
        Message ids; a restarted service hands in a source whose ids it has not used before.
    """

    def __init__(
        self,
        clock: Clock,
        sink: EventSink,
        authenticate: Callable[[str, str | None], bool],
        authorise: Callable[[str, str], str],
        config: GatewayConfig | None = None,
        ids: IdSource | None = None,
    ) -> None:
        """Begin without a link."""
        self.clock = clock
        self.config = config or GatewayConfig()
        self.authenticate = authenticate
        self.counts = Counts()
        self._sink = sink
        self._authorise = authorise
        self._ids = ids or CountingIds("bf")
        self._links: dict[str, StationLink] = {}
        self._memories: dict[str, StationMemory] = {}
        self._closing = False

    async def run_link(self, station: str, link: Link) -> None:
        """Serve a station over a link until it is gone; the station has proved who it is."""
        if self._closing:
            await link.close()
            return
        conversation = StationLink(
            station,
            link,
            clock=self.clock,
            sink=self._sink,
            ids=self._ids,
            memory=self._memory(station),
            counts=self.counts,
            asking=self._asking,
            call_timeout_s=self.config.call_timeout_s,
            send_timeout_s=self.config.send_timeout_s,
        )
        former = self._links.get(station)
        self._links[station] = conversation
        try:
            if former is not None:
                former.end("replaced")
                await former.finished.wait()
            await conversation.run()
        finally:
            conversation.finished.set()
            if self._links.get(station) is conversation:
                del self._links[station]

    async def apply(self, order: SetpointOrder) -> OrderStatus:
        """Send an order and return what came of it, at the latest when its deadline has passed.

        A newer order for the same EVSE takes the place of one that still waits for its turn, which then returns
        `SUPERSEDED`. An order whose time is over returns `TIMED_OUT` and is not sent.
        """
        now_ms = self.clock.now_ms()
        if order.until_ms <= now_ms:
            return OrderStatus.TIMED_OUT
        return await self._set_profile(order.station, ("TxProfile", order.evse), order_request(order, now_ms))

    async def set_default(self, station: str, evse: int, charge_max_kw: float) -> OrderStatus:
        """Set the safe default of an EVSE (0: of all): charge up to a power, never export."""
        return await self._set_profile(station, ("TxDefaultProfile", evse), default_request(evse, charge_max_kw))

    def connected_stations(self) -> tuple[str, ...]:
        """Return the stations that can be given orders now, sorted."""
        return tuple(sorted(station for station, link in self._links.items() if link.connected))

    def recall(self, event: TransactionChanged) -> None:
        """Remember an event that a former run has committed, so that its repetition has no second effect."""
        self._memory(event.station).note(event)

    async def close(self) -> None:
        """End all links and return when their last events are committed."""
        self._closing = True
        async with asyncio.TaskGroup() as group:
            for conversation in self._links.values():
                group.create_task(conversation.stop())

    async def _set_profile(self, station: str, about: tuple[str, int], request: Struct) -> OrderStatus:
        conversation = self._links.get(station)
        if conversation is None:
            return OrderStatus.OFFLINE
        outcome = await conversation.call(request, replaces=about)
        if outcome is OrderStatus.TIMED_OUT:
            # An answer that is missing may belong to an order that is still on its way and would overtake the next.
            conversation.end("no answer")
        if isinstance(outcome, OrderStatus):
            return outcome
        assert isinstance(outcome, SetChargingProfileResponse)
        return OrderStatus.ACCEPTED if outcome.status == "Accepted" else OrderStatus.REJECTED

    def _asking(self, station: str, memory: StationMemory) -> Asking:
        return Asking(
            station=station,
            now_ms=self.clock.now_ms(),
            memory=memory,
            authorise=self._authorise,
            heartbeat_interval_s=self.config.heartbeat_interval_s,
            transfers=self.config.transfers,
        )

    def _memory(self, station: str) -> StationMemory:
        return self._memories.setdefault(station, StationMemory())
