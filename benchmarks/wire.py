"""What a message costs: decoding and encoding alone, and the whole way over memory and over a websocket.

    python benchmarks/wire.py [--stations 50] [--messages 200]

The whole way is: a station's frame, the gateway's machine, the commit to a log that is not durable, the answer
and its decoding at the station. It runs on virtual time, so windows and timers cost no waiting and CPU time is
what is left. Figures are CPU microseconds of this one process, both ends together.
"""

import argparse
import asyncio
import base64
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import process_time

import msgspec

from backfeed.app.loop import run_virtual
from backfeed.core.clock import LoopClock
from backfeed.core.ids import CountingIds
from backfeed.gateway.server import Gateway
from backfeed.gateway.socket import serve
from backfeed.store.log import EventLog
from backfeed.wire.call import CallMachine, CallReceived
from backfeed.wire.link import Link, Traffic, memory_pipe
from backfeed.wire.ocpp21 import (
    EVSE,
    ChargingProfile,
    ChargingSchedule,
    ChargingSchedulePeriod,
    MeterValue,
    SampledValue,
    SetChargingProfileRequest,
    Transaction,
    TransactionEventRequest,
    UnitOfMeasure,
)
from backfeed.wire.payload import ErrorCode

START_MS = 1_780_000_000_000
NOON = "2026-07-06T12:00:00.000Z"
PERIODS = 96
WH = UnitOfMeasure(unit="Wh")


def transaction_event(sequence: int) -> TransactionEventRequest:
    """Return a typical message: two registers, power and state of charge."""
    samples = (
        SampledValue(value=1234567.0, measurand="Energy.Active.Import.Register", unit_of_measure=WH),
        SampledValue(value=2345.0, measurand="Energy.Active.Export.Register", unit_of_measure=WH),
        SampledValue(value=7200.0, measurand="Power.Active.Import", unit_of_measure=UnitOfMeasure(unit="W")),
        SampledValue(value=55.0, measurand="SoC", unit_of_measure=UnitOfMeasure(unit="Percent")),
    )
    return TransactionEventRequest(
        event_type="Updated",
        timestamp=NOON,
        trigger_reason="MeterValuePeriodic",
        seq_no=sequence,
        transaction_info=Transaction(transaction_id="tx-1", charging_state="Charging"),
        evse=EVSE(id=1, connector_id=1),
        meter_value=(MeterValue(timestamp=NOON, sampled_value=samples),),
    )


def long_profile() -> SetChargingProfileRequest:
    """Return a day of quarter-hours as one profile."""
    periods = tuple(
        ChargingSchedulePeriod(start_period=900 * step, operation_mode="CentralSetpoint", setpoint=-5000.0 + step)
        for step in range(PERIODS)
    )
    schedule = ChargingSchedule(
        id=1, charging_rate_unit="W", start_schedule=NOON, duration=86_400, charging_schedule_period=periods
    )
    profile = ChargingProfile(
        id=1,
        stack_level=1,
        charging_profile_purpose="TxProfile",
        charging_profile_kind="Absolute",
        transaction_id="tx-1",
        charging_schedule=(schedule,),
    )
    return SetChargingProfileRequest(evse_id=1, charging_profile=profile)


def machine_cost(request: msgspec.Struct, count: int) -> tuple[float, float]:
    """Return CPU microseconds to make a frame of a request, and to read one and answer it."""
    sender = CallMachine(CountingIds("a"))
    frames = []
    start = process_time()
    for _ in range(count):
        message_id = sender.call(request)
        frames += sender.frames()
        sender.give_up(message_id)
    made = process_time() - start

    receiver = CallMachine(CountingIds("b"))
    start = process_time()
    for frame in frames:
        event = receiver.receive(frame)
        assert isinstance(event, CallReceived)
        receiver.refuse(event.message_id, ErrorCode.NOT_SUPPORTED, "")
        receiver.frames()
    return made / count * 1e6, (process_time() - start) / count * 1e6


async def station(connect: Callable[[str], Awaitable[Link]], name: str, count: int) -> None:
    """Tell a gateway `count` transaction events, one after the other's answer."""
    link = await connect(name)
    machine = CallMachine(CountingIds(name))
    for sequence in range(count):
        machine.call(transaction_event(sequence))
        for frame in machine.frames():
            await link.send(frame)
        machine.receive(await link.receive())
    await link.close()


async def whole_way(traffic: Traffic | None, stations: int, count: int) -> float:
    """Return the CPU microseconds per acknowledged message, over sockets if there is traffic to count."""
    clock = LoopClock(asyncio.get_running_loop(), START_MS)
    with tempfile.TemporaryDirectory() as folder:
        async with EventLog(Path(folder) / "log.db", clock, durable=False) as log, asyncio.TaskGroup() as group:
            gateway = Gateway(clock, log, lambda *_: True, lambda *_: "Accepted")

            async def into_memory(name: str) -> Link:
                outside, inside = memory_pipe()
                group.create_task(gateway.run_link(name, inside))
                return outside

            async def run(connect: Callable[[str], Awaitable[Link]]) -> float:
                start = process_time()
                await asyncio.gather(*(station(connect, f"CP-{number}", count) for number in range(stations)))
                return process_time() - start

            if traffic is None:
                used = await run(into_memory)
            else:
                from backfeed.wire.websocket_link import open_websocket  # noqa: PLC0415 (not needed for memory)

                async with serve(gateway, "127.0.0.1", 0, traffic) as port:

                    async def over_socket(name: str) -> Link:
                        credentials = "Basic " + base64.b64encode(f"{name}:x".encode()).decode()
                        return await open_websocket(f"ws://127.0.0.1:{port}/ocpp/{name}", credentials, traffic)

                    used = await run(over_socket)
            await gateway.close()
    return used / (stations * count) * 1e6


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="Measure what a message costs.")
    parser.add_argument("--stations", type=int, default=50)
    parser.add_argument("--messages", type=int, default=200)
    options = parser.parse_args()
    lines = []
    for name, request in (
        ("TransactionEvent", transaction_event(1)),
        (f"SetChargingProfile of {PERIODS}", long_profile()),
    ):
        made, answered = machine_cost(request, 5_000)
        size = len(msgspec.json.encode(request))
        lines.append(f"{name:24} {size:6} bytes  make {made:6.1f} us  read and answer {answered:6.1f} us")
    traffic = Traffic()
    memory = run_virtual(whole_way(None, options.stations, options.messages))
    socket = run_virtual(whole_way(traffic, options.stations, options.messages), traffic)
    lines.append(f"acknowledged TransactionEvent, both ends: memory {memory:.0f} us, websocket {socket:.0f} us")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
