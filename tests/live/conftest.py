"""A served process, and a charger made of json and websockets that knows nothing of the platform.

The charger takes its time from the answer to its BootNotification, so no test reads the machine's date.
"""

import asyncio
import base64
import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta

import pytest
import websockets

START_WITHIN_S = 180
STOP_WITHIN_S = 60

SESSIONS = """session_id,station_id,user_id,arrival,departure,energy_kwh
s1,A,ann,2026-07-06T17:00:00,2026-07-07T07:00:00,12.0
s2,A,ben,2026-07-06T18:00:00,2026-07-07T08:00:00,9.0
s3,B,cho,2026-07-06T19:00:00,2026-07-07T06:30:00,20.0
"""
PILOT = """
[pilot]
name = "live"
timezone = "Asia/Shanghai"
start = 2026-07-06
days = 2

[sessions]
file = "sessions.csv"

[[sites]]
id = "garage"
stations = ["A", "B"]
import_limit_kw = 30.0
export_limit_kw = 20.0
base_load_kw = 2.0

[tariff]
preset = "guangdong-v2g"
"""


class Service:
    """`backfeed serve` as a process of its own."""

    def __init__(self, pilot, data, *options):
        words = ("serve", str(pilot), "--data", str(data), "--ocpp-port", "0", "--http-port", "0", "--allow-expired")
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from backfeed.cli.main import main; main()", *words, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.told = ""
        self._wait_for("people: ")
        self.ocpp = re.search(r"ws://\S+/ocpp", self.told).group()
        self.http = re.search(r"http://[^/]+", self.told).group()

    def _wait_for(self, words):
        deadline = time.monotonic() + START_WITHIN_S
        while words not in self.told:
            readable, _, _ = select.select([self.process.stderr], [], [], deadline - time.monotonic())
            assert readable, f"the service is silent: {self.told}"
            more = os.read(self.process.stderr.fileno(), 65536).decode()
            assert more, f"the service ended: {self.told}"
            self.told += more

    def stop(self, which=signal.SIGTERM):
        """Send a signal and return the exit code."""
        self.process.send_signal(which)
        _, rest = self.process.communicate(timeout=STOP_WITHIN_S)
        self.told += rest.decode()
        return self.process.returncode

    def get(self, path):
        """Return status, headers and body of a path."""
        try:
            with urllib.request.urlopen(self.http + path, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def json(self, path):
        """Return the document of a path."""
        return json.loads(self.get(path)[2])


class Charger:
    """A charging station with one car, written from the OCPP 2.1 documents alone."""

    def __init__(self, socket):
        self.socket = socket
        self.profiles = asyncio.Queue()
        self._number = 0
        self._sequence = 0
        self._answers = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, url, station, password, user=None):
        """Open a link with Basic authentication, or without if there is no password."""
        basic = base64.b64encode(f"{user or station}:{password}".encode()).decode()
        headers = {} if password is None else {"Authorization": f"Basic {basic}"}
        return cls(
            await websockets.connect(
                f"{url}/{station}", subprotocols=["ocpp2.1"], additional_headers=headers, proxy=None
            )
        )

    async def close(self):
        await self.socket.close()
        await self._reading

    async def vanish(self):
        """Lose the link without a word."""
        self.socket.transport.abort()
        await asyncio.wait([self._reading])

    async def call(self, action, payload):
        self._number += 1
        message_id = f"c{self._number}"
        self._answers[message_id] = asyncio.get_running_loop().create_future()
        await self.socket.send(json.dumps([2, message_id, action, payload]))
        return await asyncio.wait_for(self._answers[message_id], 60)

    async def _read(self):
        with contextlib.suppress(websockets.ConnectionClosed):
            await self._listen()

    async def _listen(self):
        async for frame in self.socket:
            kind, message_id, *rest = json.loads(frame)
            if kind == 3:
                self._answers[message_id].set_result(rest[0])
            elif kind == 4:
                self._answers[message_id].set_exception(RuntimeError(str(rest)))
            elif rest[0] == "SetChargingProfile":
                await self.socket.send(json.dumps([3, message_id, {"status": "Accepted"}]))
                self.profiles.put_nowait(rest[1])
            else:
                await self.socket.send(json.dumps([4, message_id, "NotImplemented", "", {}]))

    async def boot(self):
        """Announce the station and take the platform's time."""
        station = {"reason": "PowerUp", "chargingStation": {"model": "Plain", "vendorName": "Nobody"}}
        answer = await self.call("BootNotification", station)
        assert answer["status"] == "Accepted"
        self.now = datetime.fromisoformat(answer["currentTime"])
        status = {"timestamp": self.stamp(), "connectorStatus": "Occupied", "evseId": 1, "connectorId": 1}
        await self.call("StatusNotification", status)

    def stamp(self, after=timedelta()):
        return (self.now + after).isoformat().replace("+00:00", "Z")

    async def report(self, kind, state, import_wh, **more):
        """Send a TransactionEvent with the registers."""
        values = [
            {"value": import_wh, "measurand": "Energy.Active.Import.Register", "unitOfMeasure": {"unit": "Wh"}},
            {"value": 0, "measurand": "Energy.Active.Export.Register", "unitOfMeasure": {"unit": "Wh"}},
            {"value": 55, "measurand": "SoC", "unitOfMeasure": {"unit": "Percent"}},
        ]
        event = {
            "eventType": kind,
            "timestamp": self.stamp(),
            "triggerReason": {"Started": "Authorized", "Ended": "EVDeparted"}.get(kind, "MeterValuePeriodic"),
            "seqNo": self._sequence,
            "transactionInfo": {"transactionId": "outside-1", "chargingState": state},
            "meterValue": [{"timestamp": self.stamp(), "sampledValue": values}],
            **more,
        }
        self._sequence += 1
        return await self.call("TransactionEvent", event)

    async def plug_in(self):
        """Start a session of a car that can feed back, whose driver leaves in nine hours."""
        token = {"idToken": "04A1B2C3", "type": "ISO14443"}
        place = {"evse": {"id": 1, "connectorId": 1}, "idToken": token}
        started = await self.report("Started", "EVConnected", 1000, **place)
        assert started["idTokenInfo"]["status"] == "Accepted"
        needs = {
            "evseId": 1,
            "chargingNeeds": {
                "requestedEnergyTransfer": "AC_BPT",
                "controlMode": "DynamicControl",
                "departureTime": self.stamp(timedelta(hours=9)),
                "v2xChargingParameters": {"maxChargePower": 7000, "maxDischargePower": 7000},
            },
        }
        assert (await self.call("NotifyEVChargingNeeds", needs))["status"] == "Accepted"

    async def setpoint(self):
        """Return the power of the first transaction profile [kW] and its mode."""
        while True:
            profile = (await asyncio.wait_for(self.profiles.get(), 120))["chargingProfile"]
            if profile["chargingProfilePurpose"] == "TxProfile":
                period = profile["chargingSchedule"][0]["chargingSchedulePeriod"][0]
                return period.get("setpoint", period.get("limit")) / 1000, period["operationMode"]


@pytest.fixture(scope="session")
def pilot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pilot")
    (folder / "sessions.csv").write_text(SESSIONS)
    (folder / "pilot.toml").write_text(PILOT)
    return folder / "pilot.toml"


@pytest.fixture(scope="session")
def charger():
    return Charger


@pytest.fixture
def start(pilot):
    """Return a function that starts services; none is left behind."""
    started = []

    def starts(data, *options):
        started.append(Service(pilot, data, *options))
        return started[-1]

    yield starts
    for service in started:
        if service.process.poll() is None:
            service.process.kill()
        service.process.communicate()
