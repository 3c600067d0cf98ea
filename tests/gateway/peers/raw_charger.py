"""A charging station made of json and websockets, written from the OCPP 2.1 documents alone.

It imports nothing of the platform. It runs one V2X session and prints every frame as a line
`{"from": "station" | "platform", "frame": "..."}`. Usage: raw_charger.py URL IDENTITY PASSWORD
"""

import asyncio
import base64
import itertools
import json
import sys
from datetime import UTC, datetime, timedelta

import websockets

TRANSACTION = "tx-raw-1"
START = datetime(2026, 7, 6, 17, tzinfo=UTC)
TICKS = itertools.count()


def record(sender, frame):
    sys.stdout.write(json.dumps({"from": sender, "frame": frame}) + "\n")


class Station:
    def __init__(self, socket):
        self.socket = socket
        self.number = 0
        self.waiting = {}
        self.profiles = asyncio.Queue()

    async def send(self, *parts):
        frame = json.dumps(parts)
        record("station", frame)
        await self.socket.send(frame)

    async def call(self, action, payload):
        self.number += 1
        message_id = f"raw-{self.number}"
        self.waiting[message_id] = asyncio.get_running_loop().create_future()
        await self.send(2, message_id, action, payload)
        return await asyncio.wait_for(self.waiting[message_id], 60)

    async def read(self):
        async for frame in self.socket:
            record("platform", frame)
            kind, message_id, *rest = json.loads(frame)
            if kind == 3:
                self.waiting[message_id].set_result(rest[0])
            elif kind == 4:
                self.waiting[message_id].set_exception(RuntimeError(str(rest)))
            elif kind == 2 and rest[0] == "SetChargingProfile":
                await self.send(3, message_id, {"status": "Accepted"})
                self.profiles.put_nowait(rest[1])
            elif kind == 2:
                await self.send(4, message_id, "NotImplemented", "", {})


def now():
    """A clock of its own: it ticks once a look and shows no date of the machine."""
    return START + timedelta(seconds=next(TICKS))


def stamp(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def meter(import_wh, export_wh, import_w, export_w, soc, context):
    return [
        {
            "timestamp": stamp(now()),
            "sampledValue": [
                {"value": import_wh, "context": context},
                {
                    "value": export_wh / 1000,
                    "context": context,
                    "measurand": "Energy.Active.Export.Register",
                    "unitOfMeasure": {"unit": "kWh"},
                },
                {"value": import_w, "measurand": "Power.Active.Import", "unitOfMeasure": {"unit": "W"}},
                {"value": export_w, "measurand": "Power.Active.Export", "unitOfMeasure": {"unit": "W"}},
                {"value": soc, "measurand": "SoC", "location": "EV", "unitOfMeasure": {"unit": "Percent"}},
            ],
        }
    ]


def transaction(kind, number, trigger, state, **more):
    return {
        "eventType": kind,
        "timestamp": stamp(now()),
        "triggerReason": trigger,
        "seqNo": number,
        "transactionInfo": {"transactionId": TRANSACTION, "chargingState": state, **more.pop("info", {})},
        **more,
    }


NEEDS = {
    "evseId": 1,
    "chargingNeeds": {
        "requestedEnergyTransfer": "AC_BPT",
        "controlMode": "DynamicControl",
        "departureTime": stamp(START + timedelta(hours=9)),
        "v2xChargingParameters": {
            "minChargePower": 1400,
            "maxChargePower": 11000,
            "minDischargePower": 1400,
            "maxDischargePower": 10000,
            "evTargetEnergyRequest": 24000,
            "targetSoC": 85,
        },
    },
}


async def session(station):
    token = {"idToken": "04A1B2C3", "type": "ISO14443"}
    boot = await station.call(
        "BootNotification",
        {"reason": "PowerUp", "chargingStation": {"model": "Raw 1", "vendorName": "Nobody"}},
    )
    assert boot["status"] == "Accepted", boot
    await station.call(
        "StatusNotification",
        {"timestamp": stamp(now()), "connectorStatus": "Occupied", "evseId": 1, "connectorId": 1},
    )
    authorised = await station.call("Authorize", {"idToken": token})
    assert authorised["idTokenInfo"]["status"] == "Accepted", authorised
    started = await station.call(
        "TransactionEvent",
        transaction(
            "Started",
            0,
            "Authorized",
            "EVConnected",
            evse={"id": 1, "connectorId": 1},
            idToken=token,
            meterValue=meter(1000, 500, 0, 0, 40, "Transaction.Begin"),
        ),
    )
    assert started["idTokenInfo"]["status"] == "Accepted", started
    answered = await station.call("NotifyEVChargingNeeds", NEEDS)
    assert answered["status"] == "Accepted", answered
    purposes = {}
    while len(purposes) < 2:
        asked = await asyncio.wait_for(station.profiles.get(), 60)
        purposes[asked["chargingProfile"]["chargingProfilePurpose"]] = asked
    [schedule] = purposes["TxProfile"]["chargingProfile"]["chargingSchedule"]
    [period] = schedule["chargingSchedulePeriod"]
    discharge_w = max(0, -period["setpoint"])
    await station.call(
        "TransactionEvent",
        transaction(
            "Updated",
            1,
            "MeterValuePeriodic",
            "Charging",
            meterValue=meter(1000, 750, 0, discharge_w, 39, "Sample.Periodic"),
        ),
    )
    await station.call("MeterValues", {"evseId": 1, "meterValue": meter(1000, 800, 0, discharge_w, 39, "Sample.Clock")})
    await station.call(
        "TransactionEvent",
        transaction(
            "Ended",
            2,
            "EVDeparted",
            "Idle",
            info={"stoppedReason": "EVDisconnected"},
            meterValue=meter(1000, 1000, 0, 0, 38, "Transaction.End"),
        ),
    )
    await station.call("Heartbeat", {})


async def main(url, identity, password):
    basic = base64.b64encode(f"{identity}:{password}".encode()).decode()
    async with websockets.connect(
        f"{url}/{identity}",
        subprotocols=["ocpp2.1"],
        additional_headers={"Authorization": f"Basic {basic}"},
        proxy=None,
    ) as socket:
        station = Station(socket)
        reading = asyncio.create_task(station.read())
        await session(station)
        await socket.close()
        await reading


asyncio.run(main(*sys.argv[1:]))
