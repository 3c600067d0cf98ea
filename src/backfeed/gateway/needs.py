"""NotifyEVChargingNeeds as an event: what the driver says and what the car can do.

ISO 15118-20 gives the limits of a car in `v2xChargingParameters` as magnitudes in W and Wh, per phase where the
car reports phases; ISO 15118-2 gives the battery in `dcChargingParameters`, and AC cars may tell an energy. A
magnitude below zero is left out and reported. Source: OCPP 2.1 Part 2, ChargingNeedsType.
"""

from msgspec import UNSET, UnsetType

from backfeed.core.sign import W_PER_KW
from backfeed.fleet.event import NeedsNotified
from backfeed.gateway.reading import instant_of
from backfeed.wire.ocpp21 import ChargingNeeds, NotifyEVChargingNeedsRequest

_PERCENT = 100
_WH_PER_KWH = 1_000


def needs_of(station: str, now_ms: int, request: NotifyEVChargingNeedsRequest) -> tuple[NeedsNotified, list[str]]:
    """Return the event for a car's needs, and what was wrong with the values that were left out.

    Raises
    ------
    ValueError
        If the departure time names no instant.
    """
    needs, faults = request.charging_needs, list[str]()
    battery, limits = needs.dc_charging_parameters, needs.v2x_charging_parameters
    charge, discharge = _powers_w(needs)
    event = NeedsNotified(
        at_ms=now_ms,
        station=station,
        evse=request.evse_id,
        transfer=needs.requested_energy_transfer,
        departure_ms=instant_of(needs.departure_time) if needs.departure_time else None,
        target_soc=_scaled(limits.target_soc, _PERCENT, "targetSoC", faults) if limits else None,
        soc=_scaled(battery.state_of_charge, _PERCENT, "stateOfCharge", faults) if battery else None,
        capacity_kwh=_scaled(battery.ev_energy_capacity, _WH_PER_KWH, "evEnergyCapacity", faults) if battery else None,
        charge_max_kw=_scaled(charge, W_PER_KW, "maxChargePower", faults),
        discharge_max_kw=_scaled(discharge, W_PER_KW, "maxDischargePower", faults),
        energy_target_kwh=_scaled(_energy_wh(needs), _WH_PER_KWH, "the energy requested", faults),
    )
    return event, faults


def _powers_w(needs: ChargingNeeds) -> tuple[float | UnsetType, float | UnsetType]:
    """Return the greatest charge and discharge power [W] over all phases."""
    limits, battery = needs.v2x_charging_parameters, needs.dc_charging_parameters
    if limits:
        charge = _sum(limits.max_charge_power, limits.max_charge_power_l2, limits.max_charge_power_l3)
        discharge = _sum(limits.max_discharge_power, limits.max_discharge_power_l2, limits.max_discharge_power_l3)
        return charge, discharge
    return (battery.ev_max_power if battery else _sum()), _sum()


def _sum(*phases: float | UnsetType) -> float | UnsetType:
    given = [each for each in phases if not isinstance(each, UnsetType)]
    return sum(given) if given else UNSET


def _energy_wh(needs: ChargingNeeds) -> float | UnsetType:
    """Return the energy to the requested state of charge [Wh], from the newest parameters that tell it.

    ISO 15118-20 lets it be negative, for a car that is beyond its target already: then it needs none.
    """
    limits, battery, outlet = needs.v2x_charging_parameters, needs.dc_charging_parameters, needs.ac_charging_parameters
    if limits and not isinstance(limits.ev_target_energy_request, UnsetType):
        return max(limits.ev_target_energy_request, 0.0)
    if battery and not isinstance(battery.energy_amount, UnsetType):
        return battery.energy_amount
    return outlet.energy_amount if outlet else UNSET


def _scaled(value: float | UnsetType, per_unit: float, name: str, faults: list[str]) -> float | None:
    if isinstance(value, UnsetType):
        return None
    if value < 0:
        faults.append(f"{name} of {value:g}, expected a magnitude")
        return None
    return value / per_unit
