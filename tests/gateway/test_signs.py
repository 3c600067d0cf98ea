"""Signs and units at the border, each case written by hand from the words of the OCPP 2.1 documents."""

import dataclasses
import json

import msgspec
import pytest

from backfeed.core.instant import MS_PER_S, parse_instant
from backfeed.fleet.event import Reading
from backfeed.fleet.order import Mode, SetpointOrder
from backfeed.gateway.needs import needs_of
from backfeed.gateway.profile import default_request, order_request
from backfeed.gateway.reading import readings_of
from backfeed.wire.ocpp21 import REQUESTS, MeterValuesRequest, NotifyEVChargingNeedsRequest
from backfeed.wire.payload import decode_payload

NOW = "2026-07-06T12:00:00.250Z"
NOW_MS = parse_instant(NOW)


def order(power_kw, mode=Mode.SETPOINT, lasts_ms=900_000):
    return SetpointOrder("CP", 1, "tx", 9, power_kw, mode, NOW_MS + lasts_ms, "plan")


def wire(request):
    return json.loads(msgspec.json.encode(request))


def period(request):
    [schedule] = wire(request)["chargingProfile"]["chargingSchedule"]
    assert schedule["chargingRateUnit"] == "W"
    [only] = schedule["chargingSchedulePeriod"]
    return only


@pytest.mark.parametrize(
    ("power_kw", "setpoint_w"), [(-5.0, -5000.0), (7.4, 7400.0), (0.0, 0.0), (-0.0, 0.0), (-3.14159265, -3141.6)]
)
def test_a_negative_setpoint_discharges_and_stands_alone(power_kw, setpoint_w):
    """ChargingSchedulePeriodType: "Use negative values for discharging"; CentralSetpoint needs only a setpoint."""
    found = period(order_request(order(power_kw), NOW_MS))
    assert found == {"startPeriod": 0, "operationMode": "CentralSetpoint", "setpoint": setpoint_w}
    assert str(found["setpoint"]) != "-0.0"


def test_charging_only_has_a_limit_and_no_setpoint():
    found = period(order_request(order(6.6, Mode.CHARGING_ONLY), NOW_MS))
    assert found == {"startPeriod": 0, "operationMode": "ChargingOnly", "limit": 6600.0}


def test_the_safe_default_charges_only_and_has_no_end():
    asked = wire(default_request(2, 11.0))
    assert asked["evseId"] == 2
    profile = asked["chargingProfile"]
    assert profile["chargingProfilePurpose"] == "TxDefaultProfile"
    assert profile["chargingProfileKind"] == "Relative"
    assert "transactionId" not in profile
    assert "validTo" not in profile
    [schedule] = profile["chargingSchedule"]
    assert "duration" not in schedule
    assert "startSchedule" not in schedule
    assert period(default_request(2, 11.0)) == {"startPeriod": 0, "operationMode": "ChargingOnly", "limit": 11000.0}


@pytest.mark.parametrize("lasts_ms", [1, 999, 1000, 1001, 59_999, 900_000])
def test_an_order_lapses_at_its_very_instant(lasts_ms):
    profile = wire(order_request(order(1.0, lasts_ms=lasts_ms), NOW_MS))["chargingProfile"]
    assert profile["chargingProfileKind"] == "Absolute"
    [schedule] = profile["chargingSchedule"]
    start_ms = parse_instant(schedule["startSchedule"])
    assert start_ms <= NOW_MS
    assert schedule["duration"] >= 1
    assert start_ms + schedule["duration"] * MS_PER_S == NOW_MS + lasts_ms


def test_a_rest_follows_an_export_in_the_same_profile():
    resting = dataclasses.replace(order(-5.0), rest_until_ms=NOW_MS + 3_600_000)
    [schedule] = wire(order_request(resting, NOW_MS))["chargingProfile"]["chargingSchedule"]
    export, rest = schedule["chargingSchedulePeriod"]
    assert export == {"startPeriod": 0, "operationMode": "CentralSetpoint", "setpoint": -5000.0}
    assert rest == {"startPeriod": 900, "operationMode": "CentralSetpoint", "setpoint": 0.0}
    assert schedule["duration"] == 3_600


def test_an_order_outranks_the_default_and_replaces_the_order_before():
    first = wire(order_request(order(1.0), NOW_MS))["chargingProfile"]
    second = wire(order_request(order(-1.0), NOW_MS))["chargingProfile"]
    default = wire(default_request(1, 7.0))["chargingProfile"]
    assert first["id"] == second["id"] != default["id"]
    assert first["stackLevel"] > default["stackLevel"]
    assert first["transactionId"] == "tx"


def test_a_discharge_limit_above_zero_is_no_ocpp():
    """ChargingSchedulePeriodType: dischargeLimit is at most 0, "in order to be consistent with setpoint"."""
    asked = wire(order_request(order(1.0, Mode.CHARGING_ONLY), NOW_MS))
    only = asked["chargingProfile"]["chargingSchedule"][0]["chargingSchedulePeriod"][0]
    for limit, legal in ((-5000.0, True), (0.0, True), (5000.0, False)):
        only["dischargeLimit"] = limit
        if legal:
            decode_payload(REQUESTS["SetChargingProfile"], msgspec.json.encode(asked))
        else:
            with pytest.raises(msgspec.ValidationError):
                decode_payload(REQUESTS["SetChargingProfile"], msgspec.json.encode(asked))


def readings(*samples):
    payload = {"evseId": 1, "meterValue": [{"timestamp": NOW, "sampledValue": list(samples)}]}
    request = decode_payload(MeterValuesRequest, msgspec.json.encode(payload))
    return readings_of(request.meter_value)


def sample(value, measurand=None, unit=None, multiplier=None, **more):
    made = {"value": value, **more}
    if measurand:
        made["measurand"] = measurand
    if unit or multiplier is not None:
        made["unitOfMeasure"] = {
            **({"unit": unit} if unit else {}),
            **({} if multiplier is None else {"multiplier": multiplier}),
        }
    return made


IMPORT, EXPORT = "Energy.Active.Import.Register", "Energy.Active.Export.Register"
POWER_IN, POWER_OUT = "Power.Active.Import", "Power.Active.Export"


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        # "Default = Wh", and the default measurand is the import register.
        ([sample(1234)], Reading(measured_ms=NOW_MS, import_wh=1234)),
        ([sample(1.5, IMPORT, "kWh")], Reading(measured_ms=NOW_MS, import_wh=1500)),
        ([sample(15, IMPORT, "Wh", 2)], Reading(measured_ms=NOW_MS, import_wh=1500)),
        ([sample(1.5, IMPORT, multiplier=3)], Reading(measured_ms=NOW_MS, import_wh=1500)),
        ([sample(2_500_000, EXPORT, "Wh", -3)], Reading(measured_ms=NOW_MS, export_wh=2500)),
        # Two unsigned measurands, one signed power: what is exported counts negative.
        ([sample(7200, POWER_IN, "W")], Reading(measured_ms=NOW_MS, power_kw=7.2)),
        ([sample(5, POWER_OUT, "kW")], Reading(measured_ms=NOW_MS, power_kw=-5.0)),
        ([sample(0, POWER_IN, "W"), sample(3500, POWER_OUT, "W")], Reading(measured_ms=NOW_MS, power_kw=-3.5)),
        # Per phase: the sum; with a total, the total.
        (
            [sample(1000, POWER_OUT, "W", phase=phase) for phase in ("L1", "L2", "L3")],
            Reading(measured_ms=NOW_MS, power_kw=-3.0),
        ),
        (
            [sample(3001, POWER_IN, "W"), *(sample(1000, POWER_IN, "W", phase=phase) for phase in ("L1-N", "L2-N"))],
            Reading(measured_ms=NOW_MS, power_kw=3.001),
        ),
        ([sample(80, "SoC", "Percent", location="EV")], Reading(measured_ms=NOW_MS, soc=0.8)),
        ([sample(80.5, "SoC")], Reading(measured_ms=NOW_MS, soc=0.805)),
    ],
)
def test_samples_become_readings(samples, expected):
    found = readings(*samples)
    assert found.readings == (expected,)
    assert found.faults == []


@pytest.mark.parametrize(
    "samples",
    [
        [sample(-1, IMPORT)],
        [sample(-7200, POWER_IN, "W")],
        [sample(1, POWER_IN, "GW")],
        [sample(1e9, POWER_IN, "W")],
        [sample(101, "SoC", "Percent")],
        [sample(-1, "SoC", "Percent")],
        [sample(0.8, "SoC", "kWh")],
        [sample(5, EXPORT, "varh")],
        [sample(5, EXPORT, "Wh", 400)],
        [sample(1e308, EXPORT, "kWh", 12)],
    ],
)
def test_what_can_not_be_is_left_out_and_reported(samples):
    found = readings(*samples)
    assert found.readings == ()
    assert len(found.faults) == 1


@pytest.mark.parametrize(
    "samples",
    [
        [sample(230, "Voltage", "V")],
        [sample(5000, POWER_IN, "W", location="Inlet")],
        [sample(16, "Current.Export", "A")],
        [sample(5000, "Power.Active.Setpoint", "W")],
    ],
)
def test_other_measurands_and_places_are_none_of_our_business(samples):
    assert readings(*samples) == readings_of(())


def needs(**parameters):
    payload = {"evseId": 1, "chargingNeeds": {"requestedEnergyTransfer": "AC_BPT", **parameters}}
    return needs_of("CP", NOW_MS, decode_payload(NotifyEVChargingNeedsRequest, msgspec.json.encode(payload)))


def test_v2x_parameters_are_magnitudes_both_ways():
    event, faults = needs(
        v2xChargingParameters={"maxChargePower": 11000, "maxDischargePower": 10000, "targetSoC": 85},
        dcChargingParameters={"evMaxCurrent": 1, "evMaxVoltage": 1, "stateOfCharge": 40, "evEnergyCapacity": 60000},
        departureTime="2026-07-07T07:00:00+08:00",
    )
    assert faults == []
    assert (event.charge_max_kw, event.discharge_max_kw, event.target_soc) == (11.0, 10.0, 0.85)
    assert (event.soc, event.capacity_kwh) == (0.4, 60.0)
    assert event.departure_ms == parse_instant("2026-07-06T23:00:00Z")


def test_phases_add_up_and_a_negative_magnitude_is_reported():
    event, faults = needs(
        v2xChargingParameters={
            "maxChargePower": 3000,
            "maxChargePower_L2": 3000,
            "maxChargePower_L3": 3000,
            "maxDischargePower": -10000,
            "evTargetEnergyRequest": -2000,
        }
    )
    assert (event.charge_max_kw, event.discharge_max_kw, event.energy_target_kwh) == (9.0, None, 0.0)
    assert len(faults) == 1
    assert "maxDischargePower" in faults[0]


def test_silence_stays_silence():
    event, _ = needs()
    assert event.departure_ms is None
    assert event.soc is None
    assert event.discharge_max_kw is None
