"""Two chargers that share no code with the platform run a V2X session over a real socket.

Every frame in both directions is judged by the official schemas, so that client and server can not be
wrong alike.
"""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from backfeed.core.clock import LoopClock
from backfeed.fleet.event import (
    EvseStatusChanged,
    MetersRead,
    NeedsNotified,
    StationBooted,
    StationConnected,
    StationDisconnected,
    TokenAuthorised,
    TransactionChanged,
)
from backfeed.fleet.order import Mode, OrderStatus, SetpointOrder
from backfeed.gateway.server import Gateway
from backfeed.gateway.socket import serve
from backfeed.store.log import EventLog

PASSWORD = "a password of 24 letters"
NOW_MS = 1_780_000_000_000


async def run_session(script: Path, folder: Path):
    """Serve one charger; answer its needs with a default profile and a discharge setpoint."""
    clock = LoopClock(asyncio.get_running_loop(), NOW_MS)
    orders = {}
    async with EventLog(folder / "log.db", clock, durable=True) as log, asyncio.TaskGroup() as group:
        gateway = Gateway(clock, log, lambda _, password: password == PASSWORD, lambda *_: "Accepted")

        async def order(transaction: str):
            orders["default"] = await gateway.set_default("CP-1", 1, 7.4)
            orders["setpoint"] = await gateway.apply(
                SetpointOrder(
                    station="CP-1",
                    evse=1,
                    transaction=transaction,
                    profile=7,
                    power_kw=-5.0,
                    mode=Mode.SETPOINT,
                    until_ms=clock.now_ms() + 900_000,
                    bound_by="plan",
                )
            )

        transactions = {}

        def on_committed(event):
            if isinstance(event, TransactionChanged):
                transactions[event.evse] = event.transaction
            if isinstance(event, NeedsNotified):
                group.create_task(order(transactions[event.evse]))

        log.subscribe(on_committed)
        async with serve(gateway, "127.0.0.1", 0) as port:
            command = [sys.executable, str(script), f"ws://127.0.0.1:{port}/ocpp", "CP-1", PASSWORD]
            charger = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
            async with asyncio.timeout(60):
                frames, complaints = await charger.communicate()
        events = list(log.read())
    assert charger.returncode == 0, complaints.decode()
    return [json.loads(line) for line in frames.splitlines()], events, orders


@pytest.mark.parametrize("script", ["raw_charger.py", "ocpp_package_charger.py"])
def test_a_stranger_runs_a_v2x_session(script, tmp_path, official):
    path = Path(__file__).parent / "peers" / script
    assert "backfeed" not in path.read_text()
    frames, events, orders = asyncio.run(run_session(path, tmp_path))

    for passed in frames:
        official.check(passed["from"], passed["frame"])
    assert official.frames == 22
    assert orders == {"default": OrderStatus.ACCEPTED, "setpoint": OrderStatus.ACCEPTED}

    asked = [json.loads(passed["frame"]) for passed in frames if passed["from"] == "platform"]
    profiles = [frame[3]["chargingProfile"] for frame in asked if frame[0] == 2]
    assert [profile["chargingProfilePurpose"] for profile in profiles] == ["TxDefaultProfile", "TxProfile"]
    assert profiles[0]["chargingSchedule"][0]["chargingSchedulePeriod"] == [
        {"startPeriod": 0, "operationMode": "ChargingOnly", "limit": 7400.0}
    ]
    assert profiles[1]["chargingSchedule"][0]["chargingSchedulePeriod"] == [
        {"startPeriod": 0, "operationMode": "CentralSetpoint", "setpoint": -5000.0}
    ]
    assert profiles[1]["chargingSchedule"][0]["duration"] == 900

    kinds = [type(event) for event in events]
    assert kinds == [
        StationConnected,
        StationBooted,
        EvseStatusChanged,
        TokenAuthorised,
        TransactionChanged,
        NeedsNotified,
        TransactionChanged,
        MetersRead,
        TransactionChanged,
        StationDisconnected,
    ]
    needs = next(event for event in events if isinstance(event, NeedsNotified))
    assert (needs.charge_max_kw, needs.discharge_max_kw, needs.transfer) == (11.0, 10.0, "AC_BPT")
    assert needs.departure_ms is not None
    changes = [event for event in events if isinstance(event, TransactionChanged)]
    assert [(event.phase, event.evse, event.sequence) for event in changes] == [
        ("started", 1, 0),
        ("updated", 1, 1),
        ("ended", 1, 2),
    ]
    assert [event.readings[0].import_wh for event in changes] == [1000, 1000, 1000]
    assert [event.readings[0].export_wh for event in changes] == [500, 750, 1000]
    assert [event.readings[0].power_kw for event in changes] == [0.0, -5.0, 0.0]
    assert changes[0].token == "04A1B2C3"
