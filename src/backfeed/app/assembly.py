"""Assembly: the one place where the stages, the stores and the gateway are put together.

A live service and a simulated world call the same function; they hand in their own clock and workers.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from backfeed.app.battery_book import BatteryBook
from backfeed.app.demand import DemandDesk
from backfeed.app.dispatching import Dispatching, Policy
from backfeed.app.knowing import Knowing
from backfeed.app.knowledge import Knowledge
from backfeed.app.outlook import ForecastOutlook
from backfeed.app.plan_wear import PlanWear, WearMode
from backfeed.app.planning import Planning
from backfeed.app.platform import Platform
from backfeed.app.prompting import Prompting, PromptTerms
from backfeed.app.scene import Scene
from backfeed.app.settling import Settling
from backfeed.app.steering import Steering
from backfeed.app.subsidy_cap import SubsidyPurse
from backfeed.app.workers import Workers
from backfeed.core.clock import Clock
from backfeed.core.ids import CountingIds
from backfeed.core.instant import MS_PER_H, MS_PER_MIN, MS_PER_S, local_midnight_ms
from backfeed.core.money import MICRO
from backfeed.fleet.event import StationDisconnected, TransactionChanged
from backfeed.gateway.server import Gateway, GatewayConfig
from backfeed.market.demand_response import Invitation
from backfeed.meter.interval import INTERVAL_MS, MeterBook
from backfeed.plan.rolling import Terms
from backfeed.settle.postings import Parties
from backfeed.store.ledger import Ledger
from backfeed.store.ledger_seal import DETAIL_FOLDER, open_ledger
from backfeed.store.log import EventLog

AWARD_POSTED_AFTER_MS = 1 * MS_PER_S

DAY_CLOSES_AFTER_MS = 10 * MS_PER_MIN
"""How long after local midnight a day is settled: late readings are in by then."""

HEARTBEAT_S = 3600
"""Heartbeats only set a station's clock; whether its link lives is found out by pings."""

EVENTS_FILE = "events.sqlite"
LEDGER_FILE = "ledger.sqlite"
DAYS_FOLDER = DETAIL_FOLDER


Authenticate = Callable[[str, str | None], bool]


@dataclass
class Parts:
    """A platform with all that belongs to it."""

    log: EventLog
    ledger: Ledger
    gateway: Gateway
    knowledge: Knowledge
    planning: Planning
    steering: Steering
    demand: DemandDesk
    settling: Settling
    platform: Platform
    clock: Clock
    first_day: date
    days: int
    _closed: int = 0

    @property
    def first_open(self) -> date:
        """The first local day that is not settled yet."""
        return self.first_day + timedelta(days=self._closed)

    async def invite(self, invitations: Sequence[Invitation]) -> None:
        """Hand every invitation to the platform when its time has come."""
        for invitation in invitations:
            await self.clock.sleep_until(invitation.invited_at_ms)
            self.platform.invite(invitation)
            # The log first: a promise that stands in the books alone could not be kept after a restart.
            await self.clock.sleep_until(self.clock.now_ms() + AWARD_POSTED_AFTER_MS)
            self.settling.post_awards()

    async def close_days(self) -> None:
        """Settle every day of the window some minutes after its midnight, but for the last."""
        zone = self.knowledge.enrolment.zone
        while self._closed < self.days - 1:
            midnight_ms = local_midnight_ms(self.first_day + timedelta(days=self._closed + 1), zone)
            await self.clock.sleep_until(midnight_ms + DAY_CLOSES_AFTER_MS)
            self._close_next()

    def finish(self) -> None:
        """Settle the days that are left."""
        while self._closed < self.days:
            self._close_next()
        self.settling.close_period(self.first_day + timedelta(days=self.days - 1))

    def _close_next(self) -> None:
        self.settling.close_day(self.first_open)
        self._closed += 1


@asynccontextmanager
async def assemble(
    scene: Scene,
    policy: Policy,
    folder: Path,
    clock: Clock,
    workers: Workers,
    *,
    durable: bool = False,
    authenticate: Authenticate | None = None,
) -> AsyncIterator[Parts]:
    """Put a platform together over the files of a folder, and close them at the end.

    Parameters
    ----------
    scene
        The pilot.
    policy
        What may be done with the cars.
    folder
        Where event log, ledger and closed days lie.
    clock, workers
        Live or virtual.
    durable
        Whether a commit waits for the disk.
    authenticate
        Whether a password proves a station; by default every station of the pilot's locations is believed.
    """
    pilot, enrolment = scene.pilot, scene.enrolment
    control_interval_ms = pilot.chargers.control_interval_s * MS_PER_S
    log = EventLog(folder / EVENTS_FILE, clock, durable=durable)
    ledger = open_ledger(folder / LEDGER_FILE, durable=durable)
    gateway = _gateway(scene, log, clock, authenticate)
    steering = Steering(gateway, log, clock, control_interval_ms, enrolment.charger_power_kw)
    knowledge = Knowledge(
        enrolment,
        ForecastOutlook(scene.history, pilot.pilot.timezone),
        MeterBook(),
        steering.told,
        BatteryBook(enrolment, pilot.start_ms),
    )
    planning = _planning(scene, policy, knowledge, workers, clock)
    demand = _demand(scene, policy, knowledge, _metered_from_ms(scene, log, clock))
    dispatching = Dispatching(
        policy,
        enrolment,
        planning,
        steering,
        lambda: {name: station.connected for name, station in knowledge.state.stations.items()},
        control_interval_ms,
    )
    prompting = _prompting(scene, policy, knowledge, planning, log)
    platform = Platform(
        policy,
        enrolment,
        knowledge,
        planning,
        dispatching,
        steering,
        demand,
        log,
        clock,
        control_interval_ms,
        prompting,
    )
    log.subscribe(platform.on_committed)
    settling = Settling(
        knowledge,
        demand,
        scene.prices,
        ledger,
        Parties(),
        folder / DAYS_FOLDER,
        scene.contracts,
        keeps_whole=pilot.offers.guarantee and policy is not Policy.UNMANAGED,
        bonuses=prompting.bonuses if prompting is not None else (),
    )
    parts = Parts(
        log,
        ledger,
        gateway,
        knowledge,
        planning,
        steering,
        demand,
        settling,
        platform,
        clock,
        pilot.pilot.start,
        pilot.pilot.days,
    )
    planning.purse.left_before = settling.subsidies_left
    planning.purse.first_open = lambda: parts.first_open
    _recall(parts)
    try:
        yield parts
    finally:
        await log.close()
        ledger.close()
        workers.close()


def _gateway(scene: Scene, log: EventLog, clock: Clock, authenticate: Authenticate | None) -> Gateway:
    return Gateway(
        clock=clock,
        sink=log,
        authenticate=authenticate or (lambda station, _password: scene.enrolment.site_of(station) is not None),
        authorise=lambda _station, _token: "Accepted",
        config=GatewayConfig(heartbeat_interval_s=HEARTBEAT_S),
        ids=CountingIds(f"c{clock.now_ms() // MS_PER_S:x}"),
    )


def _planning(scene: Scene, policy: Policy, knowledge: Knowledge, workers: Workers, clock: Clock) -> Planning:
    pilot = scene.pilot
    return Planning(
        scene.enrolment,
        scene.prices,
        workers,
        CountingIds(f"plan-{clock.now_ms() // MS_PER_S:x}"),
        step_ms=pilot.plan.interval_minutes * MS_PER_MIN,
        horizon_ms=int(pilot.plan.horizon_h * MS_PER_H),
        discharges=policy is Policy.V2G,
        terms=Terms(
            missing_per_kwh=pilot.plan.shortfall_per_kwh,
            stored_per_kwh=float(scene.prices.buy_per_kwh.min()),
        ),
        wear=PlanWear(knowledge.batteries, WearMode(pilot.plan.wear), pilot.plan.wear_per_kwh),
        end_ms=pilot.end_ms,
        purse=SubsidyPurse(scene.prices, scene.enrolment.zone),
    )


def _metered_from_ms(scene: Scene, log: EventLog, clock: Clock) -> int:
    """Return the first whole quarter-hour that is metered: of the log, or of a window that begins now or later."""
    begins_ms = log.begins_ms()
    from_ms = max(scene.pilot.start_ms, clock.now_ms()) if begins_ms is None else begins_ms
    return -(-from_ms // INTERVAL_MS) * INTERVAL_MS


def _demand(scene: Scene, policy: Policy, knowledge: Knowledge, metered_from_ms: int) -> DemandDesk:
    programme = scene.calling.programme
    return DemandDesk(
        programme,
        knowledge,
        metered_from_ms,
        programme.timezone,
        policy is Policy.V2G,
        scene.calling.takes_part,
        scene.tariff.holidays,
    )


def _prompting(
    scene: Scene, policy: Policy, knowledge: Knowledge, planning: Planning, log: EventLog
) -> Prompting | None:
    """Return who asks drivers; nobody where the pilot does not ask for it, or nothing would be decided by it."""
    prompts = scene.pilot.prompts
    if prompts is None or policy is Policy.UNMANAGED:
        return None
    charge_micro = round(prompts.charge_bonus * MICRO) if prompts.charge_bonus is not None else None
    terms = PromptTerms(round(prompts.bonus * MICRO), prompts.per_driver_week, charge_micro)
    return Prompting(terms, scene.enrolment, Knowing(knowledge, planning), knowledge.charge_shown, log)


def _recall(parts: Parts) -> None:
    """Learn from the log what was before a restart, which every station has lost its link by."""
    for event in parts.log.read():
        parts.platform.on_committed(event)
        parts.steering.recall(event)
        parts.demand.recall(event)
        if isinstance(event, TransactionChanged):
            parts.gateway.recall(event)
    for name, station in sorted(parts.knowledge.state.stations.items()):
        if station.connected:
            disconnected = StationDisconnected(at_ms=parts.clock.now_ms(), station=name, reason="platform restarted")
            parts.log.append_now(disconnected)
