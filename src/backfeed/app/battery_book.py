"""The battery book: what the platform has seen every owner's battery go through, stay after stay.

The book is part of the fold of the event log, so it survives a restart by being folded again. Of every stay it keeps
the path of the battery's energy, from the registers of the meter; of every battery the streaming state of the wear
law and what it has discharged for others. Hours away from the charger are a straight line from the last energy
to the next. What a car says anew of its state of charge, without a meter that explains it, is a jump and no cycle.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from backfeed.app.enrolment import Enrolment
from backfeed.app.soc_readings import SocReadings
from backfeed.battery.health import HealthAssumptions, HealthEstimate, calibrated_scale, estimate_health
from backfeed.battery.law import WEAR_LAWS, Floats
from backfeed.battery.limits import discharge_allowed
from backfeed.battery.state import WearState, loss_so_far, observe
from backfeed.battery.warranty import WarrantyBudget, policy_for, remaining_budget
from backfeed.core.instant import MS_PER_DAY, MS_PER_H
from backfeed.core.money import WH_PER_KWH
from backfeed.dispatch import explain
from backfeed.fleet.event import TransactionChanged
from backfeed.fleet.owner import EnrolledVehicle, Owner
from backfeed.fleet.state import Plug

Ints = NDArray[np.int64]

JUMP_SHARE = 0.02
"""A belief this share of the capacity off the metered path is news, and the path jumps to it; what is nearer is the
rounding of the car's reports."""

STRAIGHT_KWH = 1e-6
"""A sample this close to the line between its neighbours says nothing."""

SAMPLE_MS = MS_PER_H
"""A path has a sample at least this often, for the temperature changes along it."""

POWER_TOLERANCE = 1.1
READING_SLACK_WH = 100
"""A register that shows more than the rated power can move, with these tolerances, is broken and counts nothing."""


RECENT_MS = 28 * MS_PER_DAY
"""How long a stay's path is kept for its owner to see."""

MEASURE_EVERY_MS = 7 * MS_PER_DAY
"""How often a car's health is estimated anew: it moves by hundredths of a point a week."""

SPENT_KWH = 0.05
"""A budget with less than this left is used up: no charger discharges so little on purpose."""


class Block(StrEnum):
    """Why a battery discharges nothing for others."""

    NONE = ""
    COLD = explain.COLD
    WARRANTY = explain.WARRANTY


@dataclass(frozen=True, slots=True)
class RecentStay:
    """A stay of the last weeks: its path, and what flowed [Wh AC at the EVSE, ms of discharging]."""

    owner: Owner
    at_ms: Ints
    energy_kwh: Floats
    charged_wh: int
    discharged_wh: int
    discharged_ms: int


@dataclass(slots=True)
class _Stay:
    """One stay: its path, the registers up to which it has been followed, and what flowed by them."""

    owner: Owner
    import_wh: int
    export_wh: int
    metered_ms: int
    at_ms: list[int]
    energy_kwh: list[float]
    charged_wh: int = 0
    discharged_wh: int = 0
    discharged_ms: int = 0

    def recent(self) -> RecentStay:
        """Return the stay as far as it has gone."""
        at_ms, energy_kwh = np.array(self.at_ms, dtype=np.int64), np.array(self.energy_kwh)
        return RecentStay(self.owner, at_ms, energy_kwh, self.charged_wh, self.discharged_wh, self.discharged_ms)

    def add(self, at_ms: int, energy_kwh: float) -> None:
        """Add a sample; the one before it goes if it lies on the line between its neighbours."""
        if len(self.at_ms) > 1 and at_ms - self.at_ms[-2] <= SAMPLE_MS and self._is_straight(at_ms, energy_kwh):
            self.at_ms[-1], self.energy_kwh[-1] = at_ms, energy_kwh
        else:
            self.at_ms.append(at_ms)
            self.energy_kwh.append(energy_kwh)

    def _is_straight(self, at_ms: int, energy_kwh: float) -> bool:
        (t0, t1), (e0, e1) = self.at_ms[-2:], self.energy_kwh[-2:]
        return t0 < t1 < at_ms and abs(e0 + (energy_kwh - e0) * (t1 - t0) / (at_ms - t0) - e1) < STRAIGHT_KWH


@dataclass(slots=True)
class _Battery:
    """One owner's battery, up to its last stay that is over; `scale` is the wear scale that its prices go by."""

    vehicle: EnrolledVehicle
    wear: WearState = field(default_factory=WearState)
    discharged_wh: int = 0
    discharged_ms: int = 0
    stays: int = 0
    scale: float = 1.0
    measured: HealthEstimate | None = None
    measure_at_ms: int = -1
    recent: list[RecentStay] = field(default_factory=list)

    def keep(self, stay: RecentStay) -> None:
        """Keep a stay that is over, and drop those that are long past."""
        since_ms = int(stay.at_ms[-1]) - RECENT_MS
        self.recent = [*(each for each in self.recent if each.at_ms[-1] >= since_ms), stay]

    def law_loss(self) -> float:
        """Return what the law foretells to be lost since enrolment, as a share of the capacity."""
        return sum(loss_so_far(self.wear, WEAR_LAWS[self.vehicle.chemistry]))


@dataclass(frozen=True, slots=True)
class BatteryRecord:
    """What the platform knows of one owner's battery.

    Parameters
    ----------
    owner_id, vehicle
        Whose it is, and its nameplate.
    wear
        The streaming state of its wear law, its open stay included.
    loss_calendar, loss_cycling
        Capacity lost since enrolment, as fractions of the new capacity.
    discharged_kwh, discharged_h
        Discharged for others since enrolment [kWh AC at the EVSE, h].
    stays
        Stays that are over.
    budget
        What its warranty still allows.
    block
        Why it discharges nothing now.
    stretches
        How many stretches of charging or discharging came with a state of charge.
    measured
        What they say of its health; None where they say too little.
    scale
        The wear scale that its prices in the plan go by.
    """

    owner_id: str
    vehicle: EnrolledVehicle
    wear: WearState
    loss_calendar: float
    loss_cycling: float
    discharged_kwh: float
    discharged_h: float
    stays: int
    budget: WarrantyBudget
    block: Block
    stretches: int
    measured: HealthEstimate | None
    scale: float


@dataclass
class BatteryBook:
    """The batteries of all owners, folded from the log.

    Parameters
    ----------
    enrolment
        Power of the chargers, temperature of the cells, warranties.
    day_start_ms
        An instant at which a day of the wear law starts: a local midnight.
    """

    enrolment: Enrolment
    day_start_ms: int
    _readings: SocReadings = field(default_factory=SocReadings)
    _batteries: dict[str, _Battery] = field(default_factory=dict)
    _stays: dict[tuple[str, str], _Stay] = field(default_factory=dict)

    def hear(self, event: TransactionChanged) -> None:
        """Take what an event of an open stay says of meter and state of charge."""
        self._readings.hear(event)

    def follow(self, plug: Plug, owner: Owner, energy_kwh: float) -> None:
        """Go on to a plug's newest registers; `energy_kwh` is the middle of what is believed of the battery."""
        if plug.metered_ms < 0 or plug.import_wh < 0:
            return
        key = (plug.station, plug.transaction)
        stay = self._stays.get(key)
        if stay is None:
            exported_wh = max(plug.export_wh, 0)
            self._stays[key] = _Stay(
                owner, plug.import_wh, exported_wh, plug.metered_ms, [plug.metered_ms], [energy_kwh]
            )
            return
        self._meter(stay, plug)
        if abs(energy_kwh - stay.energy_kwh[-1]) > JUMP_SHARE * owner.vehicle.capacity_kwh:
            stay.at_ms.append(stay.metered_ms)
            stay.energy_kwh.append(energy_kwh)

    def close(self, plug: Plug) -> None:
        """Take the last registers of a stay that is over, and its path into the battery's state."""
        key = (plug.station, plug.transaction)
        stay = self._stays.pop(key, None)
        if stay is not None:
            self._meter(stay, plug)
            battery = self._battery(stay.owner)
            battery.wear = self._observed(battery, stay)
            battery.stays += 1
            battery.keep(stay.recent())
            self._readings.close(key, stay.owner.owner_id, battery.law_loss())
            self._calibrate(battery, stay)

    def path_since(self, plug: Plug, from_ms: int) -> tuple[Ints, Floats]:
        """Return the path of an open stay from an instant on: instants [ms] and energy [kWh]; empty if unknown."""
        stay = self._stays.get((plug.station, plug.transaction))
        if stay is None:
            return np.zeros(0, np.int64), np.zeros(0)
        at_ms, energy_kwh = np.array(stay.at_ms, dtype=np.int64), np.array(stay.energy_kwh)
        later = at_ms > from_ms
        if later.all():
            return at_ms, energy_kwh
        border_kwh = np.interp(from_ms, at_ms, energy_kwh)
        return np.append(from_ms, at_ms[later]), np.append(border_kwh, energy_kwh[later])

    def discharged(self, owner_id: str) -> tuple[float, float]:
        """Return what an owner's car has discharged for others since enrolment [kWh AC at the EVSE, h]."""
        battery = self._batteries.get(owner_id)
        return (battery.discharged_wh / WH_PER_KWH, battery.discharged_ms / MS_PER_H) if battery else (0.0, 0.0)

    def health(self, owner: Owner) -> float:
        """Return the share of an owner's capacity that is left after the stays that are over."""
        battery = self._batteries.get(owner.owner_id)
        return 1.0 - battery.scale * battery.law_loss() if battery is not None else 1.0

    def scale(self, owner: Owner) -> float:
        """Return how many times the law's loss an owner's car loses: measured, or 1 as long as that says little."""
        battery = self._batteries.get(owner.owner_id)
        return battery.scale if battery is not None else 1.0

    def budget(self, owner: Owner) -> WarrantyBudget:
        """Return what the warranty of an owner's car still allows, counted from its papers at enrolment."""
        vehicle = owner.vehicle
        use = vehicle.warranty_use(*self.discharged(owner.owner_id))
        return remaining_budget(policy_for(vehicle.model, self.enrolment.warranties), use)

    def block(self, budget: WarrantyBudget, now_ms: int) -> Block:
        """Return why a car with such a budget may discharge nothing for others now."""
        if min(budget.energy_left_kwh, budget.hours) < SPENT_KWH:
            return Block.WARRANTY
        return Block.NONE if discharge_allowed(self.enrolment.temperature.now_c(now_ms)) else Block.COLD

    def record(self, owner: Owner, now_ms: int, *, anew: bool = True) -> BatteryRecord:
        """Return what is known of an owner's battery, the open stay included; its health `anew` or as of last week."""
        battery = self._batteries.get(owner.owner_id, _Battery(owner.vehicle))
        wear, law = battery.wear, WEAR_LAWS[battery.vehicle.chemistry]
        still_open = []
        for key, stay in self._stays.items():
            if stay.owner.owner_id == owner.owner_id:
                wear = self._observed(battery, stay)
                still_open.append((key, sum(loss_so_far(wear, law))))
        calendar, cycling = loss_so_far(wear, law)
        stretches, by_law = self._readings.of(owner.owner_id, still_open)
        discharged_kwh, discharged_h = self.discharged(owner.owner_id)
        budget = self.budget(owner)
        return BatteryRecord(
            owner.owner_id,
            battery.vehicle,
            wear,
            calendar,
            cycling,
            discharged_kwh,
            discharged_h,
            battery.stays,
            budget,
            self.block(budget, now_ms),
            stretches.at_ms.size,
            estimate_health(stretches, by_law, assumptions_of(battery.vehicle)) if anew else battery.measured,
            battery.scale,
        )

    def recent(self, owner_id: str) -> list[RecentStay]:
        """Return the stays of the last weeks by their begin, those that go on included."""
        battery = self._batteries.get(owner_id)
        still_open = [stay.recent() for stay in self._stays.values() if stay.owner.owner_id == owner_id]
        stays = [*(battery.recent if battery is not None else ()), *still_open]
        return sorted(stays, key=lambda stay: int(stay.at_ms[0]))

    def owners(self) -> list[str]:
        """Return the owners whose cars have been seen, sorted."""
        return sorted({*self._batteries, *(stay.owner.owner_id for stay in self._stays.values())})

    def _battery(self, owner: Owner) -> _Battery:
        return self._batteries.setdefault(owner.owner_id, _Battery(owner.vehicle))

    def _calibrate(self, battery: _Battery, stay: _Stay) -> None:
        """Take a battery's wear scale anew from its own sessions, once a week."""
        if battery.measure_at_ms < 0:
            battery.measure_at_ms = stay.at_ms[0] + MEASURE_EVERY_MS
        if stay.at_ms[-1] >= battery.measure_at_ms:
            battery.measure_at_ms = stay.at_ms[-1] + MEASURE_EVERY_MS
            known = assumptions_of(battery.vehicle)
            battery.measured = estimate_health(*self._readings.of(stay.owner.owner_id), known)
            battery.scale = calibrated_scale(battery.measured, known)

    def _meter(self, stay: _Stay, plug: Plug) -> None:
        """Move a stay's path by what its registers have gained since."""
        if plug.metered_ms <= stay.metered_ms:
            return
        imported_wh, exported_wh = plug.import_wh - stay.import_wh, max(plug.export_wh, 0) - stay.export_wh
        passed_ms = plug.metered_ms - stay.metered_ms
        most_wh = (
            self.enrolment.charger_power_kw * WH_PER_KWH * passed_ms / MS_PER_H * POWER_TOLERANCE + READING_SLACK_WH
        )
        stay.import_wh, stay.export_wh, stay.metered_ms = plug.import_wh, max(plug.export_wh, 0), plug.metered_ms
        if not (0 <= imported_wh <= most_wh and 0 <= exported_wh <= most_wh):
            return
        vehicle = stay.owner.vehicle
        moved_kwh = (imported_wh * vehicle.charge_efficiency - exported_wh / vehicle.discharge_efficiency) / WH_PER_KWH
        stay.add(plug.metered_ms, stay.energy_kwh[-1] + moved_kwh)
        stay.charged_wh += imported_wh
        if exported_wh > 0:
            for counter in (stay, self._battery(stay.owner)):
                counter.discharged_wh += exported_wh
                counter.discharged_ms += passed_ms

    def _observed(self, battery: _Battery, stay: _Stay) -> WearState:
        """Return a battery's state at the end of a stay; what overlaps a stay before it is left out."""
        vehicle = battery.vehicle
        at_ms = np.array(stay.at_ms, dtype=np.int64)
        soc = np.clip(np.array(stay.energy_kwh) / vehicle.capacity_kwh, 0.0, 1.0)
        new = at_ms >= battery.wear.at_ms
        return observe(
            battery.wear,
            WEAR_LAWS[vehicle.chemistry],
            at_ms[new],
            soc[new],
            temperature_c=self.enrolment.temperature.along(at_ms[new]),
            day_start_ms=self.day_start_ms,
        )


def assumptions_of(vehicle: EnrolledVehicle) -> HealthAssumptions:
    """Return what enrolment says of a car, for the estimate of its health."""
    return HealthAssumptions(
        vehicle.capacity_kwh,
        charge_efficiency=vehicle.charge_efficiency,
        discharge_efficiency=vehicle.discharge_efficiency,
        standby_kw=0.0,
    )
