"""The OCPP 2.1 messages that a station sends, built from what its outlet shows."""

from msgspec import UNSET, UnsetType

from backfeed.core.instant import format_instant
from backfeed.core.sign import W_PER_KW, power_to_import_export_w
from backfeed.sim.outlet import WH_PER_KWH, Outlet, PluggedCar
from backfeed.sim.profile import EVSE
from backfeed.sim.vehicle import Car
from backfeed.wire import ocpp21
from backfeed.wire.ocpp21.enumerations import (
    BootReasonEnum,
    ConnectorStatusEnum,
    EnergyTransferModeEnum,
    ReadingContextEnum,
)

CONNECTOR = 1
VENDOR = "Backfeed Works"
MODEL = "Sim-1"
FIRMWARE = "1.0"
AC_MAX_KW = 43.0
"""Above this an EVSE is a DC one."""

TOKEN_TYPE = "ISO14443"  # noqa: S105 - a kind of token, not one

_WATT = ocpp21.UnitOfMeasure(unit="W")
_PERCENT = ocpp21.UnitOfMeasure(unit="Percent")


def boot_notification(reason: BootReasonEnum) -> ocpp21.BootNotificationRequest:
    """Announce the station."""
    return ocpp21.BootNotificationRequest(
        reason=reason,
        charging_station=ocpp21.ChargingStation(model=MODEL, vendor_name=VENDOR, firmware_version=FIRMWARE),
    )


def status_notification(at_ms: int, status: ConnectorStatusEnum) -> ocpp21.StatusNotificationRequest:
    """Tell the state of the connector."""
    return ocpp21.StatusNotificationRequest(
        timestamp=format_instant(at_ms), connector_status=status, evse_id=EVSE, connector_id=CONNECTOR
    )


def id_token(token: str) -> ocpp21.IdToken:
    """Return what a driver has shown."""
    return ocpp21.IdToken(id_token=token, type=TOKEN_TYPE)


def meter_value(
    at_ms: int, outlet: Outlet, context: ReadingContextEnum, *, with_soc: bool
) -> tuple[ocpp21.MeterValue, ...]:
    """Read the meter: both registers [Wh], both powers [W], and the car's SoC in whole percent if it tells."""
    import_w, export_w = power_to_import_export_w(outlet.power_kw)
    samples = [
        ocpp21.SampledValue(value=outlet.import_wh, measurand="Energy.Active.Import.Register", context=context),
        ocpp21.SampledValue(value=outlet.export_wh, measurand="Energy.Active.Export.Register", context=context),
        ocpp21.SampledValue(
            value=round(import_w), measurand="Power.Active.Import", context=context, unit_of_measure=_WATT
        ),
        ocpp21.SampledValue(
            value=round(export_w), measurand="Power.Active.Export", context=context, unit_of_measure=_WATT
        ),
    ]
    if with_soc and outlet.plugged is not None:
        samples.append(
            ocpp21.SampledValue(
                value=round(100 * outlet.plugged.soc),
                measurand="SoC",
                context=context,
                location="EV",
                unit_of_measure=_PERCENT,
            )
        )
    return (ocpp21.MeterValue(sampled_value=tuple(samples), timestamp=format_instant(at_ms)),)


def charging_needs(
    plugged: PluggedCar, statement_ms: int, at_ms: int | None, *, tells_soc: bool
) -> ocpp21.NotifyEVChargingNeedsRequest:
    """Tell what the car can do and what its driver has said.

    Parameters
    ----------
    plugged
        The car.
    statement_ms
        When the driver says that it leaves; -1 for nothing.
    at_ms
        When the needs were received, if that was offline.
    tells_soc
        Whether the car tells energies at all: what is missing to its target and to full.
    """
    car = plugged.car
    to_target_wh: float | UnsetType = UNSET
    to_full_wh: float | UnsetType = UNSET
    target_percent: int | UnsetType = UNSET
    if tells_soc:
        to_target_wh = round((plugged.required_kwh - plugged.energy_kwh) * WH_PER_KWH)
        to_full_wh = round((car.energy_full_kwh - plugged.energy_kwh) * WH_PER_KWH)
        target_percent = round(100 * plugged.required_kwh / car.capacity_kwh)
    return ocpp21.NotifyEVChargingNeedsRequest(
        evse_id=EVSE,
        timestamp=UNSET if at_ms is None else format_instant(at_ms),
        charging_needs=ocpp21.ChargingNeeds(
            requested_energy_transfer=_transfer_of(car),
            control_mode="DynamicControl",
            departure_time=UNSET if statement_ms < 0 else format_instant(statement_ms),
            v2x_charging_parameters=ocpp21.V2XChargingParameters(
                max_charge_power=car.charge_max_kw * W_PER_KW,
                max_discharge_power=car.discharge_max_kw * W_PER_KW,
                ev_target_energy_request=to_target_wh,
                ev_max_energy_request=to_full_wh,
                target_soc=target_percent,
            ),
        ),
    )


def _transfer_of(car: Car) -> EnergyTransferModeEnum:
    if car.charge_max_kw > AC_MAX_KW:
        return "DC_BPT" if car.discharge_max_kw > 0 else "DC"
    return "AC_BPT" if car.discharge_max_kw > 0 else "AC_three_phase"
