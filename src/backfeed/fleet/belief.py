"""Beliefs: how much energy a car holds, as a band the platform can defend.

A car that reports its state of charge is known to the resolution of the report, and better once a report has
changed while the meter ran. Any other car starts as a band from the energy its driver usually needs, moves
with the meter, and becomes known when it stops by itself at its driver's limit under a ChargingOnly profile:
then it stands at its target.

While such a car still draws power it stands below its target, however much it has taken. One that has taken more
than an empty battery lacks of its target was set to charge further this time, and is promised that.

Discharging is judged at the band's lower edge, so a wrong guess costs money and never a reserve.
Energies are on the scale of the enrolled nominal capacity.
"""

from dataclasses import dataclass, replace

import numpy as np

from backfeed.core.instant import MS_PER_H
from backfeed.core.money import WH_PER_KWH
from backfeed.fleet.order import Mode
from backfeed.fleet.owner import EnrolledVehicle, Owner
from backfeed.fleet.state import Plug

SOC_RESOLUTION = 0.005
"""Half of the one-percent step in which cars report their state of charge."""

EMPTY_SOC = 0.02
"""Below this no car arrives: its driver could not have driven here."""

CHARGES_KW = 0.5
"""A car that draws this much under a ChargingOnly profile has not reached its driver's limit."""

DRAWING = ("", "Charging")
"""In these states, or where a station tells none, what the meter last showed is still drawn; one that is suspended has
stopped since."""

DRIFT_SHARE = 0.025
"""How far what a battery gains or loses may lie from what its meter and its nameplate's efficiency say: the band widens
by this share of all that is moved, so that it holds the truth until the car shows itself again: one way's efficiency
lies within two hundredths of the enrolled one."""

FULL_SOC = 0.99
"""What is stored at the least in a car that takes no more, of what its battery holds."""

CAPACITY_WITHIN = 0.05
"""How far the true capacity lies below the enrolled one at most. What a full car holds above its target is less by so
much, on the scale on which the target is what was enrolled."""

STILL_CHARGING_SOC = 0.05
"""How far below its target such a car is taken to be, so that it is not stopped short of it."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a station was last told: how to follow, and the power, charging positive."""

    mode: Mode
    power_kw: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How a car first ended at its driver's limit, which shows what it came with.

    Parameters
    ----------
    stopped_ms
        When it stopped.
    limit_kwh
        Where it stood then [kWh in the battery].
    taken_wh, given_wh
        What the stay had taken and given until then, by its newest registers.
    unread_wh
        What it took after these at most; half of it is counted.
    """

    stopped_ms: int
    limit_kwh: float
    taken_wh: int
    given_wh: int
    unread_wh: int

    def arrived_kwh(self, vehicle: EnrolledVehicle) -> float:
        """Return what the car came with [kWh in the battery]; less than nothing where its limit lay higher."""
        taken_wh = (self.taken_wh + self.unread_wh / 2) * vehicle.charge_efficiency
        return self.limit_kwh - (taken_wh - self.given_wh / vehicle.discharge_efficiency) / WH_PER_KWH


@dataclass(frozen=True, slots=True)
class EnergyBelief:
    """A band for a car's energy when its registers stood at the anchor.

    Parameters
    ----------
    low_kwh, high_kwh
        The band [kWh in the battery].
    import_wh, export_wh
        The EVSE's lifetime registers at that moment.
    stopped_kwh
        Where it stopped at its driver's limit, by what it had taken [kWh in the battery]; NaN if it never did.
    is_shown
        Whether the car itself has shown where it stands; before that the band is what its driver usually needs.
    ended
        How it first stopped at its driver's limit; None if it never did.
    """

    low_kwh: float
    high_kwh: float
    import_wh: int
    export_wh: int
    stopped_kwh: float = float("nan")
    is_shown: bool = False
    ended: Ended | None = None


def prior_belief(plug: Plug, owner: Owner, need_low_kwh: float, need_high_kwh: float) -> EnergyBelief:
    """Return the band at arrival from the energy that a driver usually takes, AC at the meter [kWh]."""
    vehicle = owner.vehicle
    target_kwh = owner.target_soc * vehicle.capacity_kwh
    floor_kwh = EMPTY_SOC * vehicle.capacity_kwh
    low = max(floor_kwh, target_kwh - need_high_kwh * vehicle.charge_efficiency)
    high = max(low, target_kwh - need_low_kwh * vehicle.charge_efficiency)
    return EnergyBelief(low, high, max(plug.import_wh, 0), max(plug.export_wh, 0))


def promised_kwh(belief: EnergyBelief, plug: Plug, owner: Owner) -> float:
    """Return what the car is to have at its departure [kWh in the battery].

    It is the owner's standing target, or more where this time the driver has set the car to charge further: as the
    car says, or as it has shown by stopping there.
    """
    shown = (plug.target_soc * owner.vehicle.capacity_kwh, belief.stopped_kwh)
    return max([owner.target_soc * owner.vehicle.capacity_kwh, *(kwh for kwh in shown if not np.isnan(kwh))])


def energy_now(belief: EnergyBelief, plug: Plug, owner: Owner) -> tuple[float, float]:
    """Return the band `(low_kwh, high_kwh)` at the plug's newest registers."""
    vehicle = owner.vehicle
    taken = max(plug.import_wh, belief.import_wh) - belief.import_wh
    given = max(plug.export_wh, belief.export_wh) - belief.export_wh
    gained_kwh = taken * vehicle.charge_efficiency / WH_PER_KWH
    lost_kwh = given / vehicle.discharge_efficiency / WH_PER_KWH
    moved_kwh, drift_kwh = gained_kwh - lost_kwh, DRIFT_SHARE * (gained_kwh + lost_kwh)
    return (
        min(max(belief.low_kwh + moved_kwh - drift_kwh, 0.0), vehicle.capacity_kwh),
        min(max(belief.high_kwh + moved_kwh + drift_kwh, 0.0), vehicle.capacity_kwh),
    )


def revise(
    belief: EnergyBelief,
    plug: Plug,
    owner: Owner,
    told: Told,
    *,
    stopped_ms: int | None = None,
    need_high_kwh: float = 0.0,
) -> EnergyBelief:
    """Return the belief after what the plug has newly shown, anchored at its newest registers.

    Parameters
    ----------
    told
        What the station was last told to do.
    stopped_ms
        When the car has just suspended itself: it reached its driver's limit if it merely charged, and is full if it
        was given power by setpoint. The registers are older than that, so the belief is anchored at what they will
        show: what was taken since, at most, is no energy above the limit.
    need_high_kwh
        A high quantile of what the stay takes in all, among those that took what it has taken and went on [kWh AC].
    """
    import_wh, export_wh = max(plug.import_wh, belief.import_wh), max(plug.export_wh, belief.export_wh)
    if not np.isnan(plug.soc):
        fresh = plug.soc_ms >= plug.metered_ms
        low, high = _reported_kwh(belief, plug, owner) if fresh else energy_now(belief, plug, owner)
        reached = EnergyBelief(low, high, import_wh, export_wh, belief.stopped_kwh, belief.is_shown or fresh)
        merely_charged = told.mode is Mode.CHARGING_ONLY and told.power_kw > 0
        return reached if stopped_ms is None or not merely_charged else _ended(reached, plug, owner, told, stopped_ms)
    low, high = energy_now(belief, plug, owner)
    stopped_kwh, is_shown, ended = belief.stopped_kwh, belief.is_shown, belief.ended
    if told.power_kw > 0:
        capacity_kwh = owner.vehicle.capacity_kwh
        target_kwh = owner.target_soc * capacity_kwh
        merely_charges = told.mode is Mode.CHARGING_ONLY
        if stopped_ms is not None:
            unread_wh = _unread_wh(plug, told, stopped_ms)
            import_wh += unread_wh
            is_shown = True
        if stopped_ms is not None and merely_charges:
            low = high = stopped_kwh = max(target_kwh, _least_kwh(plug, owner))
            ended = ended or Ended(stopped_ms, stopped_kwh, *_moved_wh(plug), unread_wh)
        elif stopped_ms is not None:
            low, high = _full_kwh(owner, (low, high) if belief.is_shown else (0.0, capacity_kwh))
        elif merely_charges and plug.power_kw >= CHARGES_KW and plug.charging_state in DRAWING:
            near_kwh = target_kwh - STILL_CHARGING_SOC * capacity_kwh
            lacks_kwh = need_high_kwh * owner.vehicle.charge_efficiency - stored_kwh(plug, owner)
            likely_kwh = max(target_kwh - lacks_kwh, _least_kwh(plug, owner)) if need_high_kwh > 0 else near_kwh
            low = max(min(low, near_kwh, likely_kwh), 0.0)
            high = max(low, min(high, target_kwh))
    return EnergyBelief(low, high, import_wh, export_wh, stopped_kwh, is_shown, ended)


def _full_kwh(owner: Owner, counted: tuple[float, float]) -> tuple[float, float]:
    """Return the band of a full car, narrowed by what the meter has counted since the car last showed itself."""
    capacity_kwh, target_soc = owner.vehicle.capacity_kwh, owner.target_soc
    least_kwh = capacity_kwh * (target_soc + (1 - CAPACITY_WITHIN) * max(FULL_SOC - target_soc, 0.0))
    low, high = max(least_kwh, counted[0]), min(capacity_kwh, counted[1])
    return (low, high) if low <= high else (least_kwh, capacity_kwh)


def _ended(belief: EnergyBelief, plug: Plug, owner: Owner, told: Told, stopped_ms: int) -> EnergyBelief:
    """Return the belief about a car that tells its state of charge and has just ended charging by itself.

    If what it tells allows that it stands at its driver's limit, there it stands, to more than a percent.
    """
    unread_wh = _unread_wh(plug, told, stopped_ms)
    limit_kwh = promised_kwh(belief, plug, owner)
    may_differ_kwh = SOC_RESOLUTION * owner.vehicle.capacity_kwh
    high_kwh = belief.high_kwh + unread_wh * owner.vehicle.charge_efficiency / WH_PER_KWH
    if not belief.low_kwh - may_differ_kwh <= limit_kwh <= high_kwh + may_differ_kwh:
        return belief
    return replace(belief, low_kwh=limit_kwh, high_kwh=limit_kwh, import_wh=belief.import_wh + unread_wh)


def _reported_kwh(belief: EnergyBelief, plug: Plug, owner: Owner) -> tuple[float, float]:
    """Return the band of a reported state of charge, narrowed by what earlier reports and the meter leave of it.

    Reports come in whole percents; the moment at which one gives way to the next says more than either.
    """
    capacity_kwh = owner.vehicle.capacity_kwh
    low = max(0.0, plug.soc - SOC_RESOLUTION) * capacity_kwh
    high = min(1.0, plug.soc + SOC_RESOLUTION) * capacity_kwh
    moved_low, moved_high = energy_now(belief, plug, owner)
    if not belief.is_shown or moved_low > high or moved_high < low:
        return low, high
    return max(low, moved_low), min(high, moved_high)


def _unread_wh(plug: Plug, told: Told, stopped_ms: int) -> int:
    """Return the most that a car took between its newest registers and its stop [Wh]."""
    hours = max(stopped_ms - plug.metered_ms, 0) / MS_PER_H if plug.metered_ms >= 0 else 0.0
    return int(told.power_kw * hours * WH_PER_KWH)


def stored_kwh(plug: Plug, owner: Owner) -> float:
    """Return what a stay has stored in the battery by its registers, less what it took out [kWh]."""
    vehicle = owner.vehicle
    taken_wh, given_wh = _moved_wh(plug)
    return (taken_wh * vehicle.charge_efficiency - given_wh / vehicle.discharge_efficiency) / WH_PER_KWH


def _moved_wh(plug: Plug) -> tuple[int, int]:
    """Return what a stay has taken and given by its registers."""
    taken_wh = plug.import_wh - plug.first_import_wh if plug.first_import_wh >= 0 else 0
    given_wh = plug.export_wh - plug.first_export_wh if plug.first_export_wh >= 0 else 0
    return taken_wh, given_wh


def _least_kwh(plug: Plug, owner: Owner) -> float:
    """Return what a car holds that came in empty and has taken what its registers say [kWh]."""
    capacity_kwh = owner.vehicle.capacity_kwh
    return min(EMPTY_SOC * capacity_kwh + stored_kwh(plug, owner), capacity_kwh)
