"""The platform: the stages of the journey joined, the same for a live service and a simulated run.

Messages only change what is known; a tick reads what is known and acts. A tick comes with the control
interval, and early when the fleet has changed. Because nothing acts on a message directly, a restart
is harmless: the next tick reads the same state and orders the same powers.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from backfeed.app.demand import DemandDesk, OperatorStatement
from backfeed.app.dispatching import Dispatching, Policy
from backfeed.app.enrolment import Enrolment
from backfeed.app.knowledge import Car, Knowledge
from backfeed.app.planning import SITE_MARGIN, Planning
from backfeed.app.prompting import Prompting
from backfeed.app.steering import Journal, Steering
from backfeed.core.clock import Clock
from backfeed.fleet.event import (
    AnyEvent,
    ChargeAnswered,
    DepartureAnswered,
    EvseStatusChanged,
    NeedsNotified,
    StationBooted,
    StationConnected,
    StationDisconnected,
    TransactionChanged,
)
from backfeed.fleet.site import Site
from backfeed.market.demand_response import Invitation
from backfeed.meter.interval import INTERVAL_MS

TICK_OFFSET_MS = 250
"""A tick comes this long after the clock's round instants, when the readings of that instant are in,
and this long after a change, when the messages that belong to it are."""

DEFAULTS_PATIENCE_S = 0.5
"""How long a tick waits for new safe defaults to be confirmed; whoever is later is counted at rated power."""


@dataclass
class Platform:
    """Knows, plans, dispatches.

    Parameters
    ----------
    policy, enrolment
        What may be done, with whom.
    knowledge, planning, dispatching, steering, demand
        The stages.
    journal, clock
        Ports.
    control_interval_ms
        The longest time between ticks.
    prompting
        Asks silent drivers; None asks nobody.
    """

    policy: Policy
    enrolment: Enrolment
    knowledge: Knowledge
    planning: Planning
    dispatching: Dispatching
    steering: Steering
    demand: DemandDesk
    journal: Journal
    clock: Clock
    control_interval_ms: int
    prompting: Prompting | None = None
    ticks: int = 0
    _changed_sites: set[str] = field(default_factory=set)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _planned_quarter: int = -1
    _defaults: "asyncio.Future[None] | None" = None
    _defaults_kept: bool = False

    def on_committed(self, event: AnyEvent) -> None:
        """Learn an event that is safely on disk; called in log order."""
        if self.knowledge.learn(event):
            self._note_change(event)
        self.planning.purse.learn(event)
        if self.prompting is not None:
            self.prompting.learn(event)
        if isinstance(event, TransactionChanged) and event.phase == "ended":
            self.steering.forget(event.station, event.evse)
            self.planning.forget(event.station, event.evse)
        if isinstance(event, StationBooted):
            self.steering.doubt(event.station)
        if isinstance(event, EvseStatusChanged):
            self._wake.set()
        if isinstance(event, StationConnected | StationDisconnected | StationBooted | EvseStatusChanged):
            self._defaults_kept = False

    def _note_change(self, event: AnyEvent) -> None:
        if isinstance(
            event,
            TransactionChanged
            | NeedsNotified
            | DepartureAnswered
            | ChargeAnswered
            | StationConnected
            | StationDisconnected,
        ):
            site = self.enrolment.site_of(event.station)
            if site is not None:
                self._changed_sites.add(site.site_id)
            self._wake.set()

    async def run(self) -> None:
        """Tick for ever."""
        try:
            while True:
                await self._next_tick()
                await self.tick()
        finally:
            self.steering.hang_up()
            if self._defaults is not None:
                self._defaults.cancel()

    async def tick(self) -> None:
        """Read what is known, plan what has changed, order what follows."""
        self.ticks += 1
        if not self._defaults_kept and (self._defaults is None or self._defaults.done()):
            self._defaults = asyncio.ensure_future(self._keep_defaults())
            await asyncio.wait([self._defaults], timeout=DEFAULTS_PATIENCE_S)
        # After the stations have answered, which takes a while: cars may have come since the tick began.
        now_ms = self.clock.now_ms()
        cars = self.knowledge.cars(now_ms)
        quarter = now_ms // INTERVAL_MS
        sites: Sequence[str] = sorted(self._changed_sites)
        if quarter != self._planned_quarter:
            self._planned_quarter = quarter
            self.demand.observe(now_ms, cars)
            sites = sorted(self.enrolment.sites)
        self._changed_sites.clear()
        if self.policy is not Policy.UNMANAGED and sites:
            made = await self.planning.replan(now_ms, cars, sites, self.demand.commitments)
            if made is not None:
                self.journal.append_now(made)
            cars = self._still_here(cars)
        wishes = self.dispatching.wishes(self.clock.now_ms(), cars, self.demand.commitments)
        await self.steering.follow(wishes)
        if self.prompting is not None:
            await self.prompting.ask(self.clock.now_ms(), self._still_here(cars))

    def invite(self, invitation: Invitation, offer_kw: float | None = None) -> None:
        """Answer an invitation and plan for it at once; a fleet that nobody steers answers none."""
        if self.policy is Policy.UNMANAGED:
            return
        for event in self.demand.answer(invitation, self.clock.now_ms(), offer_kw):
            self.journal.append_now(event)
        self._changed_sites.update(self.enrolment.sites)
        self._wake.set()

    def hear_award(self, invitation: str, power_kw: float) -> None:
        """Take an award of the programme's operator, and plan for it at once."""
        self.journal.append_now(self.demand.awarded(invitation, power_kw, self.clock.now_ms()))
        self._changed_sites.update(self.enrolment.sites)
        self._wake.set()

    def hear_refusal(self, invitation: str, reason: str) -> None:
        """Take note that the operator has not taken an offer; where there was none there is nothing to note."""
        if self.policy is not Policy.UNMANAGED:
            self.journal.append_now(self.demand.refused(invitation, reason, self.clock.now_ms()))

    def hear_statement(self, statement: OperatorStatement) -> None:
        """Take the operator's statement of a delivery."""
        self.journal.append_now(self.demand.verified(statement, self.clock.now_ms()))

    def _still_here(self, cars: Sequence[Car]) -> list[Car]:
        """Drop the cars that left while the plan was made."""
        plugs = self.knowledge.state.plugs
        return [car for car in cars if plugs.get(car.key) is car.plug]

    async def _next_tick(self) -> None:
        now_ms = self.clock.now_ms()
        interval_ms = self.control_interval_ms
        next_ms = ((now_ms - TICK_OFFSET_MS) // interval_ms + 1) * interval_ms + TICK_OFFSET_MS
        try:
            async with asyncio.timeout((next_ms - now_ms) / 1000):
                await self._wake.wait()
            await self.clock.sleep_until(min(self.clock.now_ms() + TICK_OFFSET_MS, next_ms))
        except TimeoutError:
            pass
        self._wake.clear()

    async def _keep_defaults(self) -> None:
        """Give every EVSE its share of its site as the safe default, shrinking before growing."""
        self._defaults_kept = True  # until a station that comes or goes, or a refusal below, says otherwise
        members: dict[str, list[tuple[str, int]]] = {}
        for name in sorted(self.knowledge.state.stations):
            site = self.enrolment.site_of(name)
            if site is not None:
                evses = sorted(evse for evse in self.knowledge.state.stations[name].evses if evse > 0)
                if evses:
                    members.setdefault(site.site_id, []).extend((name, evse) for evse in evses)
        for site_id, keys in members.items():
            site = self.enrolment.sites[site_id]
            share_kw = default_share_kw(site, len(keys), self.enrolment.charger_power_kw)
            for name, evse in keys:
                self.steering.expect_at(name, evse, site_id, share_kw)
            for name, evse in sorted(keys, key=lambda key: (share_kw - self.steering.default_kw(*key), key)):
                if not self.knowledge.state.stations[name].connected:
                    continue
                if not await self.steering.set_default(name, evse, share_kw):
                    self._defaults_kept = False


def default_share_kw(site: Site, evses: int, rated_kw: float) -> float:
    """Return the power that every EVSE of a site may draw unsupervised: together never more than the site bears."""
    room_kw = site.import_limit_kw * (1 - SITE_MARGIN) - max(site.base_load_kw)
    return min(rated_kw, int(max(room_kw, 0.0) / evses * 1000) / 1000) if room_kw < float("inf") else rated_kw
