"""A charging station on the PyPI package `ocpp` (v2.1), which shares no code with the platform.

It runs one V2X session and prints every frame as `{"from": ..., "frame": ...}`.
Usage: ocpp_package_charger.py URL IDENTITY PASSWORD
"""

import asyncio
import base64
import itertools
import json
import sys
from datetime import UTC, datetime, timedelta

import websockets
from ocpp.routing import on
from ocpp.v21 import ChargePoint, call, call_result
from ocpp.v21.datatypes import ChargingStationType, EVSEType, IdTokenType

TRANSACTION = "tx-package-1"
START = datetime(2026, 7, 6, 17, tzinfo=UTC)
TICKS = itertools.count()


def record(sender, frame):
    sys.stdout.write(json.dumps({"from": sender, "frame": frame}) + "\n")


class Recorded:
    """The socket as the package sees it, with a record of what passes."""

    def __init__(self, socket):
        self.socket = socket

    async def recv(self):
        frame = await self.socket.recv()
        record("platform", frame)
        return frame

    async def send(self, frame):
        record("station", frame)
        await self.socket.send(frame)


class Station(ChargePoint):
    def __init__(self, identity, socket):
        super().__init__(identity, socket)
        self.profiles = asyncio.Queue()

    @on("SetChargingProfile")
    async def on_set_charging_profile(self, evse_id, charging_profile, **_):
        self.profiles.put_nowait((evse_id, charging_profile))
        return call_result.SetChargingProfile(status="Accepted")


def stamp(moment=None):
    """Tell the time of a clock that ticks once a look and shows no date of the machine."""
    return (moment or START + timedelta(seconds=next(TICKS))).isoformat(timespec="milliseconds")


def meter(import_wh, export_wh, import_kw, export_kw):
    return [
        {
            "timestamp": stamp(),
            "sampled_value": [
                {
                    "value": import_wh,
                    "measurand": "Energy.Active.Import.Register",
                    "unit_of_measure": {"unit": "Wh", "multiplier": 0},
                },
                {
                    "value": export_wh / 10,
                    "measurand": "Energy.Active.Export.Register",
                    "unit_of_measure": {"unit": "Wh", "multiplier": 1},
                },
                {"value": import_kw, "measurand": "Power.Active.Import", "unit_of_measure": {"unit": "kW"}},
                {"value": export_kw, "measurand": "Power.Active.Export", "unit_of_measure": {"unit": "kW"}},
            ],
        }
    ]


async def session(station):
    token = IdTokenType(id_token="04A1B2C3", type="ISO14443")
    boot = await station.call(
        call.BootNotification(
            charging_station=ChargingStationType(model="Package 1", vendor_name="Somebody"), reason="PowerUp"
        )
    )
    assert boot.status == "Accepted", boot
    await station.call(
        call.StatusNotification(timestamp=stamp(), connector_status="Occupied", evse_id=1, connector_id=1)
    )
    authorised = await station.call(call.Authorize(id_token=token))
    assert authorised.id_token_info["status"] == "Accepted", authorised
    await station.call(
        call.TransactionEvent(
            event_type="Started",
            timestamp=stamp(),
            trigger_reason="Authorized",
            seq_no=0,
            transaction_info={"transaction_id": TRANSACTION, "charging_state": "EVConnected"},
            evse=EVSEType(id=1, connector_id=1),
            id_token=token,
            meter_value=meter(1000, 500, 0, 0),
        )
    )
    answered = await station.call(
        call.NotifyEVChargingNeeds(
            evse_id=1,
            charging_needs={
                "requested_energy_transfer": "AC_BPT",
                "departure_time": stamp(START + timedelta(hours=9)),
                "v2x_charging_parameters": {"max_charge_power": 11000, "max_discharge_power": 10000},
            },
        )
    )
    assert answered.status == "Accepted", answered
    purposes = {}
    while len(purposes) < 2:
        _, profile = await asyncio.wait_for(station.profiles.get(), 60)
        purposes[profile["charging_profile_purpose"]] = profile
    setpoint_w = purposes["TxProfile"]["charging_schedule"][0]["charging_schedule_period"][0]["setpoint"]
    await station.call(
        call.TransactionEvent(
            event_type="Updated",
            timestamp=stamp(),
            trigger_reason="MeterValuePeriodic",
            seq_no=1,
            transaction_info={"transaction_id": TRANSACTION, "charging_state": "Charging"},
            meter_value=meter(1000, 750, 0, -setpoint_w / 1000),
        )
    )
    await station.call(call.MeterValues(evse_id=1, meter_value=meter(1000, 800, 0, -setpoint_w / 1000)))
    await station.call(
        call.TransactionEvent(
            event_type="Ended",
            timestamp=stamp(),
            trigger_reason="EVDeparted",
            seq_no=2,
            transaction_info={"transaction_id": TRANSACTION, "stopped_reason": "EVDisconnected"},
            meter_value=meter(1000, 1000, 0, 0),
        )
    )
    await station.call(call.Heartbeat())


async def main(url, identity, password):
    basic = base64.b64encode(f"{identity}:{password}".encode()).decode()
    async with websockets.connect(
        f"{url}/{identity}",
        subprotocols=["ocpp2.1"],
        additional_headers={"Authorization": f"Basic {basic}"},
        proxy=None,
    ) as socket:
        station = Station(identity, Recorded(socket))
        reading = asyncio.create_task(station.start())
        await session(station)
        reading.cancel()


asyncio.run(main(*sys.argv[1:]))
