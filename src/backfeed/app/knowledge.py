"""Knowledge: what the platform has learned through its sockets, and the cars it sees now.

Events arrive in log order, each once. Folding them moves the state, the meter, the beliefs and the
history; nothing is decided here. A restart folds the whole log again and knows the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from backfeed.app.battery_book import BatteryBook, BatteryRecord, Block
from backfeed.app.enrolment import Enrolment
from backfeed.app.stays import StayBook
from backfeed.core.instant import MS_PER_H, MS_PER_MIN
from backfeed.core.money import WH_PER_KWH
from backfeed.fleet.belief import EnergyBelief, Told, energy_now, prior_belief, promised_kwh, revise, stored_kwh
from backfeed.fleet.event import (
    AnyEvent,
    ChargeAnswered,
    ChargeShown,
    DepartureAnswered,
    NeedsNotified,
    StationConnected,
    StationDisconnected,
    TransactionChanged,
)
from backfeed.fleet.owner import Owner
from backfeed.fleet.session import PastSession
from backfeed.fleet.state import SUSPENDED_BY_CAR, FleetState, Plug
from backfeed.forecast.charge_word import ChargeRecord
from backfeed.forecast.energy_need import EnergyDistribution
from backfeed.forecast.statement import EARLY_MOST_MIN
from backfeed.meter.interval import INTERVAL_MS, MeterBook, MeterKey

Ints = NDArray[np.int64]

STATEMENT_TOLERANCE_MS = EARLY_MOST_MIN * MS_PER_MIN
"""A driver who leaves this much earlier than said has still kept the statement."""

BAND_KNOWN_SHARE = 0.03
"""A band narrower than this share of the capacity counts as known."""

LIMIT_WITHIN_KWH = 0.05
"""A car that has stopped at its driver's limit stands there to within this: what it takes until that is noticed."""

SHOWN_DIGITS = 4
"""What a car has shown is written down to this many digits of its capacity: nobody reads more off a meter."""

NEED_LEVELS = (0.1, 0.95)
"""The band of the energy a driver takes. By its upper edge a car is planned to have what its driver needs when it
leaves; what may be discharged unseen is decided by the owner's own certainty."""

MAY_TAKE_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, NEED_LEVELS[1])
"""At which it is told what a car may still take, up to the same edge."""


class Outlook(Protocol):
    """What the forecasts say of one car."""

    def need(self, owner_id: str, location: str, arrival_ms: int, now_ms: int) -> EnergyDistribution:
        """Return the energy that this driver takes, AC at the meter, by what is known now."""
        ...

    def left_by_ms(self, plug: Plug, location: str, now_ms: int) -> Ints:
        """Return by when a car that is still here will have left, with the chances of the rolling plan's levels."""
        ...

    def left_by_if_stated_ms(self, plug: Plug, location: str, now_ms: int, stated_ms: int) -> Ints:
        """Return the same if its driver stated a departure now."""
        ...

    def early_ms(self, owner_id: str) -> int:
        """Return how much earlier than stated a driver leaves at most who keeps the statement."""
        ...

    def learn(self, session: PastSession) -> None:
        """Add a session that is over to the history."""
        ...


@dataclass(frozen=True, slots=True)
class Car:
    """A car that is plugged in, with all that is needed to decide about it.

    Energies are kWh in the battery on the nominal scale, `target_kwh` what it is to have when it leaves; powers are
    magnitudes at the EVSE; `left_by_ms` are the quantiles of its departure. `discharge_left_kwh` (AC) and
    `discharge_left_h` are what its warranty still allows, less what may have flowed since the last reading; with a
    `block` its `discharge_max_kw` is 0. `may_take_kwh` are the quantiles, at `MAY_TAKE_LEVELS`, of what it still takes
    (AC) if it has not shown where it stands; empty if it has. `edge_gap_kwh` is how much more it holds at the edge by
    which its reserve is judged than at `energy_low_kwh`. `early_ms` is how much before the stated departure its driver
    leaves at most who keeps the word.
    """

    plug: Plug
    owner: Owner
    site_id: str
    location: str
    energy_low_kwh: float
    energy_high_kwh: float
    target_kwh: float
    charge_max_kw: float
    discharge_max_kw: float
    left_by_ms: Ints
    discharge_left_kwh: float = np.inf
    discharge_left_h: float = np.inf
    block: Block = Block.NONE
    may_take_kwh: tuple[float, ...] = ()
    edge_gap_kwh: float = 0.0
    early_ms: int = STATEMENT_TOLERANCE_MS

    @property
    def judged_kwh(self) -> float:
        """What it holds at the edge by which its reserve is judged [kWh in the battery]; plans see it from there."""
        return self.energy_low_kwh + self.edge_gap_kwh

    @property
    def reserve_kwh(self) -> float:
        """What `energy_low_kwh` may be discharged to, so that the reserve holds as certainly as its owner wants."""
        return self.owner.reserve_soc * self.owner.vehicle.capacity_kwh - self.edge_gap_kwh

    @property
    def promised_ms(self) -> int:
        """The departure that is promised: as early as its driver may leave and keep the word, -1 for none."""
        stated_ms = self.plug.departure_stated_ms
        return stated_ms - self.early_ms if stated_ms >= 0 else -1

    @property
    def key(self) -> tuple[str, int]:
        """The EVSE it stands at."""
        return self.plug.station, self.plug.evse

    @property
    def is_energy_known(self) -> bool:
        """Whether the band is narrow enough to steer by."""
        return self.energy_high_kwh - self.energy_low_kwh <= BAND_KNOWN_SHARE * self.owner.vehicle.capacity_kwh

    @property
    def is_at_limit(self) -> bool:
        """Whether it is known to stand where its driver has set it to end, or above."""
        said_kwh = self.plug.target_soc * self.owner.vehicle.capacity_kwh
        limit_kwh = self.target_kwh if np.isnan(said_kwh) else min(self.target_kwh, said_kwh)
        return self.is_energy_known and self.energy_low_kwh >= limit_kwh - LIMIT_WITHIN_KWH


@dataclass
class Knowledge:
    """The fold of the event log.

    Parameters
    ----------
    enrolment
        Who is known.
    outlook
        The forecasts.
    meter
        Registers to quarter-hours.
    told
        What an EVSE was last told to do.
    batteries
        What every owner's battery has been through.
    """

    enrolment: Enrolment
    outlook: Outlook
    meter: MeterBook
    told: Callable[[str, int], Told]
    batteries: BatteryBook
    state: FleetState = field(default_factory=FleetState)
    repeated: int = 0
    meter_keys: list[MeterKey] = field(default_factory=list)
    stays: StayBook = field(default_factory=StayBook)
    charge_words: ChargeRecord = field(default_factory=ChargeRecord)
    _beliefs: dict[tuple[str, str], EnergyBelief] = field(default_factory=dict)
    _owner_of: dict[tuple[str, str], Owner] = field(default_factory=dict)
    _needs: dict[tuple[str, str], EnergyDistribution] = field(default_factory=dict)
    _said_soc: dict[tuple[str, str], float] = field(default_factory=dict)
    _came_soc: dict[tuple[str, str], float] = field(default_factory=dict)

    def learn(self, event: AnyEvent) -> bool:
        """Fold one event; return whether the fleet has changed in a way that calls for a new decision."""
        self.stays.learn(event)
        match event:
            case TransactionChanged():
                return self._learn_transaction(event)
            case StationConnected() | StationDisconnected() | NeedsNotified() | DepartureAnswered():
                self.state.apply(event)
                return True
            case ChargeAnswered():
                return self._hear_charge(event)
            case ChargeShown():
                self._came_soc[event.station, event.transaction] = event.soc
                return False
            case _:
                self.state.apply(event)
                return False

    def _learn_transaction(self, event: TransactionChanged) -> bool:
        if self.state.is_repeated(event):
            self.repeated += 1
            return False
        before = self.state.plugs.get((event.station, event.evse))
        was = before.charging_state if before is not None else ""
        self._meter(event)
        if not self.state.has_ended(event.station, event.transaction):
            self.batteries.hear(event)
        self.state.apply(event)
        plug = self.state.plugs.get((event.station, event.evse))
        if event.phase == "ended":
            if before is not None and before.transaction == event.transaction:
                self.batteries.close(before)
                self._close(before, event)
            return True
        if plug is None or plug.transaction != event.transaction:
            return False
        just_stopped = plug.charging_state == SUSPENDED_BY_CAR != was
        self._revise(plug, event.at_ms, event.measured_ms if just_stopped else None)
        # Of a car that tells its state of charge a stop says nothing that calls for another plan.
        return event.phase == "started" or (just_stopped and plug.soc_ms < 0)

    def _meter(self, event: TransactionChanged) -> None:
        """Hand the registers to the meter; a charger without an export register exports nothing."""
        where = (event.station, event.evse, event.transaction)
        for reading in event.readings:
            if reading.import_wh is not None:
                exported_wh = reading.export_wh if reading.export_wh is not None else 0
                self.meter.add(
                    where, reading.measured_ms, reading.import_wh, exported_wh, self.enrolment.charger_power_kw
                )

    def _revise(self, plug: Plug, now_ms: int, stopped_ms: int | None) -> None:
        owner = self.enrolment.owner_of(plug.token)
        key = (plug.station, plug.transaction)
        belief = self._beliefs.get(key)
        if belief is None:
            self._open_account(plug, owner)
            location = self.enrolment.location_of(plug.station)
            need = self.outlook.need(owner.owner_id, location, min(plug.since_ms, now_ms), now_ms)
            self._needs[key] = need
            belief = prior_belief(plug, owner, *need.quantiles_kwh(NEED_LEVELS).tolist())
        self._owner_of[key] = owner
        told = self.told(plug.station, plug.evse)
        need_high_kwh = 0.0 if belief.is_shown else self._need_high_kwh(plug, owner)
        belief = revise(belief, plug, owner, told, stopped_ms=stopped_ms, need_high_kwh=need_high_kwh)
        self._beliefs[key] = belief
        self.batteries.follow(plug, owner, (belief.low_kwh + belief.high_kwh) / 2)

    def _hear_charge(self, event: ChargeAnswered) -> bool:
        """Weigh a driver's word for what the car came with; what the car has shown itself is not revised by it."""
        key = (event.station, event.transaction)
        plug, belief = self.state.plugs.get((event.station, event.evse)), self._beliefs.get(key)
        if plug is None or plug.transaction != event.transaction or belief is None:
            return False
        self._said_soc[key] = event.soc
        if belief.is_shown:
            return False
        owner = self._owner_of[key]
        vehicle = owner.vehicle
        needs_soc = owner.target_soc - event.soc
        need = self.charge_words.weigh(
            plug.token, self._needs[key], needs_soc, vehicle.capacity_kwh / vehicle.charge_efficiency
        )
        self._needs[key] = need
        came = prior_belief(plug, owner, *need.quantiles_kwh(NEED_LEVELS).tolist())
        self._beliefs[key] = replace(
            came, import_wh=max(plug.first_import_wh, 0), export_wh=max(plug.first_export_wh, 0)
        )
        self._revise(plug, event.at_ms, None)
        return True

    def charge_shown(self, station: str, evse: int, transaction: str, now_ms: int) -> ChargeShown | None:
        """Return how a car that is plugged in has shown what it came with, to be written down; None if it has not."""
        plug, belief = self.state.plugs.get((station, evse)), self._beliefs.get((station, transaction))
        if plug is None or plug.transaction != transaction or belief is None or belief.ended is None:
            return None
        vehicle, ended = self._owner_of[station, transaction].vehicle, belief.ended
        return ChargeShown(
            at_ms=now_ms,
            station=station,
            evse=evse,
            transaction=transaction,
            measured_ms=ended.stopped_ms,
            limit_soc=round(ended.limit_kwh / vehicle.capacity_kwh, SHOWN_DIGITS),
            taken_wh=ended.taken_wh,
            given_wh=ended.given_wh,
            unread_wh=ended.unread_wh,
            soc=round(ended.arrived_kwh(vehicle) / vehicle.capacity_kwh, SHOWN_DIGITS),
        )

    def need(self, plug: Plug) -> EnergyDistribution:
        """Return the energy that the stay of a car which has not shown itself takes in all, AC at the meter."""
        return self._needs[plug.station, plug.transaction]

    def _need_high_kwh(self, plug: Plug, owner: Owner) -> float:
        """Return what a stay takes in all at most that has taken what this one has, and goes on [kWh AC]."""
        need = self.need(plug)
        return float(need.quantiles_kwh(NEED_LEVELS, max(_taken_kwh(plug, owner), 0.0))[1])

    def _hidden(self, plug: Plug, owner: Owner, belief: EnergyBelief) -> tuple[tuple[float, ...], float]:
        """Return `may_take_kwh` and `edge_gap_kwh` of a car: what it hides, by what such a stay takes in all."""
        if belief.is_shown:
            return (), 0.0
        taken_kwh = _taken_kwh(plug, owner)
        levels = (*MAY_TAKE_LEVELS, owner.reserve_certainty)
        *takes, judged_by = self.need(plug).quantiles_kwh(levels, max(taken_kwh, 0.0)).tolist()
        low, judged = (prior_belief(plug, owner, 0.0, kwh).low_kwh for kwh in (takes[-1], judged_by))
        return tuple(kwh - taken_kwh for kwh in takes), judged - low

    def _open_account(self, plug: Plug, owner: Owner) -> None:
        site = self.enrolment.site_of(plug.station)
        if site is not None:
            self.meter_keys.append(MeterKey(plug.transaction, owner.owner_id, site.site_id, plug.station, plug.evse))

    def _close(self, plug: Plug, event: TransactionChanged) -> None:
        """Turn a session that is over into a row of history; without length (a station's wrong clock) it is none."""
        self._needs.pop((plug.station, plug.transaction), None)
        said_soc = self._said_soc.pop((plug.station, plug.transaction), None)
        came_soc = self._came_soc.pop((plug.station, plug.transaction), None)
        if said_soc is not None and came_soc is not None:
            self.charge_words.shown(plug.token, said_soc - came_soc)
        departure_ms = min(event.measured_ms, event.at_ms)
        if departure_ms <= plug.since_ms:
            return
        self.outlook.learn(
            PastSession(
                user_id=plug.token,
                location=self.enrolment.location_of(plug.station),
                arrival_ms=plug.since_ms,
                departure_ms=departure_ms,
                energy_kwh=self._needed_kwh(plug),
                departure_stated_ms=plug.departure_stated_ms,
                known_at_ms=event.at_ms,
            )
        )

    def _needed_kwh(self, plug: Plug) -> float:
        """Return what a stay that is over would have taken without a platform [kWh AC].

        It is what the car stored, and not what went through the meter, which counts what is lost in giving and taking
        again; and of a car that has shown where it stands, what it lacked of its target when it came, whatever it left
        with.
        """
        key = (plug.station, plug.transaction)
        owner, belief = self._owner_of[key], self._beliefs[key]
        lacked_kwh = stored_kwh(plug, owner)
        if belief.is_shown:
            low_kwh, high_kwh = energy_now(belief, plug, owner)
            lacked_kwh += promised_kwh(belief, plug, owner) - (low_kwh + high_kwh) / 2
        return max(lacked_kwh, 0.0) / owner.vehicle.charge_efficiency

    def owner_of_transaction(self, key: MeterKey) -> Owner:
        """Return whose transaction it is."""
        return self._owner_of[key.station, key.transaction]

    def energy_path(
        self, key: MeterKey, start_ms: Ints, import_wh: Ints, export_wh: Ints
    ) -> tuple[Ints, NDArray[np.float64]]:
        """Return a transaction's battery energy at the boundaries of its metered quarter-hours.

        Parameters
        ----------
        key
            The transaction.
        start_ms, import_wh, export_wh
            Its quarter-hours, consecutive, shape `(interval,)`.

        Returns
        -------
        tuple
            Instants [ms] and energy [kWh, the middle of the belief], both of shape `(interval + 1,)`.
        """
        belief = self._beliefs[key.station, key.transaction]
        vehicle = self.owner_of_transaction(key).vehicle
        moved = (import_wh * vehicle.charge_efficiency - export_wh / vehicle.discharge_efficiency) / WH_PER_KWH
        path = np.concatenate(([0.0], np.cumsum(moved)))
        first_import, first_export = self.state.first_registers(key.station, key.transaction)
        anchored_kwh = (
            (belief.import_wh - first_import) * vehicle.charge_efficiency
            - (belief.export_wh - first_export) / vehicle.discharge_efficiency
        ) / WH_PER_KWH
        middle_kwh = (belief.low_kwh + belief.high_kwh) / 2
        at_ms = np.append(start_ms, start_ms[-1] + INTERVAL_MS)
        return at_ms, path + (middle_kwh - anchored_kwh)

    def battery_records(self, now_ms: int) -> tuple[BatteryRecord, ...]:
        """Return what is known of every battery that has been seen, by owner."""
        owners = {owner.owner_id: owner for owner in self._owner_of.values()}
        return tuple(self.batteries.record(owners[name], now_ms) for name in self.batteries.owners())

    def cars(self, now_ms: int) -> list[Car]:
        """Return the cars that are plugged in, by station and EVSE."""
        return [
            car for key in sorted(self.state.plugs) if (car := self._car(self.state.plugs[key], now_ms)) is not None
        ]

    def _car(self, plug: Plug, now_ms: int) -> Car | None:
        site = self.enrolment.site_of(plug.station)
        belief = self._beliefs.get((plug.station, plug.transaction))
        if site is None or belief is None:
            return None
        owner = self.enrolment.owner_of(plug.token)
        location = self.enrolment.location_of(plug.station)
        low, high = energy_now(belief, plug, owner)
        rated_kw = self.enrolment.charger_power_kw
        said_charge, said_discharge = plug.charge_max_kw, plug.discharge_max_kw
        budget = self.batteries.budget(owner)
        block = self.batteries.block(budget, now_ms)
        since_h = max(now_ms - plug.metered_ms, 0) / MS_PER_H if plug.metered_ms >= 0 else 0.0
        giving_kw = max(-self.told(plug.station, plug.evse).power_kw, -plug.power_kw, 0.0)
        may_take_kwh, edge_gap_kwh = self._hidden(plug, owner, belief)
        may = not block and self.enrolment.may_discharge(owner.owner_id, site.site_id, now_ms)
        return Car(
            plug=plug,
            owner=owner,
            site_id=site.site_id,
            location=location,
            energy_low_kwh=low,
            energy_high_kwh=high,
            target_kwh=promised_kwh(belief, plug, owner),
            charge_max_kw=min(rated_kw, owner.vehicle.charge_max_kw if np.isnan(said_charge) else said_charge),
            discharge_max_kw=min(rated_kw, said_discharge) if may and not np.isnan(said_discharge) else 0.0,
            left_by_ms=self.outlook.left_by_ms(plug, location, now_ms),
            discharge_left_kwh=max(budget.energy_left_kwh - giving_kw * since_h, 0.0),
            discharge_left_h=max(budget.hours - (since_h if giving_kw > 0 else 0.0), 0.0),
            block=block,
            may_take_kwh=may_take_kwh,
            edge_gap_kwh=edge_gap_kwh,
            early_ms=self.outlook.early_ms(plug.token),
        )


def _taken_kwh(plug: Plug, owner: Owner) -> float:
    """Return what a stay has taken in all, less what it gave [kWh AC as it is charged]."""
    return stored_kwh(plug, owner) / owner.vehicle.charge_efficiency
