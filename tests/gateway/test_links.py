"""Stations on links: committed before acknowledged, one live link each, each station's events in order."""

import asyncio
import json

import pytest

from backfeed.app.loop import run_virtual
from backfeed.core.ids import CountingIds
from backfeed.fleet.event import (
    MetersRead,
    NeedsNotified,
    Refused,
    StationBooted,
    StationConnected,
    StationDisconnected,
    StationReported,
    TokenAuthorised,
    TransactionChanged,
)
from backfeed.gateway.server import Gateway
from backfeed.wire.link import LinkClosedError, memory_pipe

NOON = "2026-07-06T12:00:00Z"
BOOT = {"reason": "PowerUp", "chargingStation": {"model": "M", "vendorName": "V"}}


def transaction(sequence, kind="Updated", **more):
    return {
        "eventType": kind,
        "timestamp": NOON,
        "triggerReason": "MeterValuePeriodic",
        "seqNo": sequence,
        "transactionInfo": {"transactionId": "tx-1"},
        **more,
    }


def on_bench(make_bench, scenario, **config):
    async def main():
        bench = make_bench(**config)
        try:
            return await scenario(bench)
        finally:
            await bench.close()

    return run_virtual(main())


def test_a_call_is_answered_only_after_its_event_is_committed(make_bench):
    async def scenario(bench):
        station = bench.connect("A")
        await station.send(2, "1", "BootNotification", BOOT)
        answering = asyncio.create_task(station.receive())
        await bench.clock.sleep_until(bench.clock.now_ms() + 3)
        assert not answering.done()
        assert not bench.sink.of(StationBooted)
        answer = await answering
        assert bench.sink.of(StationBooted)
        assert answer[2]["status"] == "Accepted"
        assert answer[2]["interval"] == 300

    on_bench(make_bench, scenario)


def test_what_can_not_be_committed_is_not_acknowledged_and_the_station_delivers_it_later(make_bench):
    async def scenario(bench):
        station = bench.connect("A")
        await station.call("Heartbeat", {})
        bench.sink.broken = True
        await station.send(2, "t1", "TransactionEvent", transaction(1))
        with pytest.raises(LinkClosedError):
            await station.receive()
        station = bench.connect("A")
        with pytest.raises(LinkClosedError):
            await station.receive()
        bench.sink.broken = False
        station = bench.connect("A")
        assert (await station.call("TransactionEvent", transaction(1), "t1"))[0] == 3
        assert len(bench.sink.of(TransactionChanged)) == 1

    on_bench(make_bench, scenario)


@pytest.mark.parametrize("same_link", [True, False])
@pytest.mark.parametrize("same_id", [True, False])
def test_a_transaction_event_told_again_is_acknowledged_again_and_counted_once(make_bench, same_link, same_id):
    async def scenario(bench):
        station = bench.connect("A")
        token = {"idToken": "04AA", "type": "ISO14443"}
        started = transaction(0, "Started", evse={"id": 3}, idToken=token)
        first = await station.call("TransactionEvent", started, "m-1")
        if not same_link:
            station.link.abort()
            station = bench.connect("A")
        second = await station.call("TransactionEvent", started, "m-1" if same_id else "m-2")
        assert first[2] == second[2] == {"idTokenInfo": {"status": "Accepted"}}
        assert len(bench.sink.of(TransactionChanged)) == 1
        # The EVSE was named only at the start; it is remembered, also over the new link.
        await station.call("TransactionEvent", transaction(1))
        assert [event.evse for event in bench.sink.of(TransactionChanged)] == [3, 3]

    on_bench(make_bench, scenario)


def test_after_a_restart_the_log_refills_the_memory(make_bench):
    async def scenario(bench):
        station = bench.connect("A")
        await station.call("TransactionEvent", transaction(0, "Started", evse={"id": 3}))
        await bench.close()
        bench.gateway = Gateway(
            bench.clock, bench.sink, lambda *_: True, lambda *_: "Accepted", ids=CountingIds("second-run")
        )
        for event in bench.sink.of(TransactionChanged):
            bench.gateway.recall(event)
        station = bench.connect("A")
        await station.call("TransactionEvent", transaction(0, "Started", evse={"id": 3}))
        await station.call("TransactionEvent", transaction(1))
        assert [(event.evse, event.sequence) for event in bench.sink.of(TransactionChanged)] == [(3, 0), (3, 1)]

    on_bench(make_bench, scenario)


def test_another_event_under_a_used_sequence_number_is_not_swallowed(make_bench):
    async def scenario(bench):
        station = bench.connect("A")
        await station.call("TransactionEvent", transaction(1))
        await station.call("TransactionEvent", transaction(1) | {"timestamp": "2026-07-06T12:05:00Z"})
        assert len(bench.sink.of(TransactionChanged)) == 2

    on_bench(make_bench, scenario)


def test_a_second_link_of_the_same_station_replaces_the_first(make_bench):
    async def scenario(bench):
        old = bench.connect("A")
        await old.call("Heartbeat", {})
        new = bench.connect("A")
        await new.call("Heartbeat", {})
        with pytest.raises(LinkClosedError):
            await old.receive()
        assert bench.gateway.connected_stations() == ("A",)
        newest = bench.connect("A")
        also = bench.connect("A")
        await also.call("Heartbeat", {})
        for link in (new, newest):
            with pytest.raises(LinkClosedError):
                await link.receive()
        return bench

    bench = on_bench(make_bench, scenario)
    kinds = [type(event) for event in bench.sink.events]
    assert kinds == [StationConnected, StationDisconnected] * (len(kinds) // 2)
    reasons = [event.reason for event in bench.sink.of(StationDisconnected)]
    assert set(reasons[:-1]) == {"replaced"}
    assert reasons[-1] == "stopped"


def test_an_answer_does_not_cross_to_the_link_that_replaced_its_own(make_bench):
    async def scenario(bench):
        old = bench.connect("A")
        await old.call("Heartbeat", {})
        await old.send(2, "old-1", "BootNotification", BOOT)
        await bench.clock.sleep_until(bench.clock.now_ms() + 1)
        new = bench.connect("A")
        answer = await new.call("Heartbeat", {}, "new-1")
        assert answer[1] == "new-1"
        with pytest.raises(TimeoutError):
            await new.receive()
        # What was in work when the link fell is kept, in its place, though nobody could be told.
        assert [type(event) for event in bench.sink.events] == [
            StationConnected, StationBooted, StationDisconnected, StationConnected,
        ]  # fmt: skip

    on_bench(make_bench, scenario)


def test_each_stations_events_keep_their_order(make_bench):
    async def scenario(bench):
        stations = {name: bench.connect(name) for name in "ABC"}
        for number in range(5):
            for station in stations.values():
                await station.send(2, f"m-{number}", "TransactionEvent", transaction(number))
        for station in stations.values():
            assert [(await station.receive())[1] for _ in range(5)] == [f"m-{number}" for number in range(5)]
        for name in stations:
            mine = [event.sequence for event in bench.sink.of(TransactionChanged) if event.station == name]
            assert mine == list(range(5))

    on_bench(make_bench, scenario)


def test_closing_ends_every_link_and_refuses_new_ones(make_bench):
    async def scenario(bench):
        stations = [bench.connect(name) for name in "AB"]
        for station in stations:
            await station.call("Heartbeat", {})
        await bench.gateway.close()
        for station in [*stations, bench.connect("C")]:
            with pytest.raises(LinkClosedError):
                await station.receive()
        assert bench.gateway.connected_stations() == ()
        assert len(bench.sink.of(StationDisconnected)) == 2

    on_bench(make_bench, scenario)


NOTICES = [
    ("SecurityEventNotification", {"type": "TamperDetectionActivated", "timestamp": NOON}, {}),
    ("FirmwareStatusNotification", {"status": "Installed"}, {}),
    ("LogStatusNotification", {"status": "Uploaded"}, {}),
    ("NotifyReport", {"requestId": 1, "generatedAt": NOON, "seqNo": 0}, {}),
    (
        "NotifyEvent",
        {
            "generatedAt": NOON,
            "seqNo": 0,
            "eventData": [
                {
                    "eventId": 1,
                    "timestamp": NOON,
                    "trigger": "Alerting",
                    "actualValue": "1",
                    "eventNotificationType": "HardWiredMonitor",
                    "component": {"name": "C"},
                    "variable": {"name": "V"},
                }
            ],
        },
        {},
    ),
    (
        "ReportChargingProfiles",
        {
            "requestId": 1,
            "chargingLimitSource": "CSO",
            "evseId": 1,
            "chargingProfile": [
                {
                    "id": 1,
                    "stackLevel": 0,
                    "chargingProfilePurpose": "TxProfile",
                    "chargingProfileKind": "Relative",
                    "chargingSchedule": [
                        {"id": 1, "chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0}]}
                    ],
                }
            ],
        },
        {},
    ),
    (
        "NotifyEVChargingSchedule",
        {
            "timeBase": NOON,
            "evseId": 1,
            "chargingSchedule": {"id": 1, "chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0}]},
        },
        {"status": "Accepted"},
    ),
]


@pytest.mark.parametrize(("action", "payload", "expected"), NOTICES)
def test_notices_are_kept_and_acknowledged(make_bench, official, action, payload, expected):
    async def scenario(bench):
        answer = await bench.connect("A").call(action, payload)
        assert answer == [3, "s-1", expected]
        official.check("station", json.dumps([2, "s-1", action, payload]))
        official.check("platform", json.dumps(answer))
        [kept] = bench.sink.of(StationReported)
        assert kept.action == action
        assert json.loads(kept.detail).keys() == payload.keys()

    on_bench(make_bench, scenario)


@pytest.mark.parametrize(
    ("action", "payload", "expected"),
    [
        ("DataTransfer", {"vendorId": "v", "data": [1, {"a": None}]}, {"status": "UnknownVendorId"}),
        ("PullDynamicScheduleUpdate", {"chargingProfileId": 1}, {"status": "Rejected"}),
        ("SignCertificate", {"csr": "x"}, {"status": "Rejected"}),
        ("Authorize", {"idToken": {"idToken": "99", "type": "Central"}}, {"idTokenInfo": {"status": "Invalid"}}),
    ],
)
def test_what_the_platform_can_not_do_it_says(make_bench, official, action, payload, expected):
    async def scenario(bench):
        answer = await bench.connect("A").call(action, payload)
        assert answer == [3, "s-1", expected]
        official.check("station", json.dumps([2, "s-1", action, payload]))
        official.check("platform", json.dumps(answer))

    on_bench(make_bench, scenario)


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("Reset", {"type": "Immediate"}, "NotSupported"),
        ("BatterySwap", {"eventType": "BatteryIn", "requestId": 1, "idToken": {"idToken": "x", "type": "Local"},
                         "batteryData": [{"evseId": 1, "serialNumber": "s", "soC": 1, "soH": 1}]}, "NotSupported"),
        ("MakeCoffee", {}, "NotImplemented"),
        ("Heartbeat", {"strength": 1}, "FormatViolation"),
        ("StatusNotification", {"timestamp": "2026-02-30T12:00:00Z", "connectorStatus": "Available", "evseId": 1,
                                "connectorId": 1}, "PropertyConstraintViolation"),
    ],
)  # fmt: skip
def test_what_is_wrong_gets_an_error_and_the_link_stays(make_bench, action, payload, code):
    async def scenario(bench):
        station = bench.connect("A")
        assert (await station.call(action, payload))[:3] == [4, "s-1", code]
        assert (await station.call("Heartbeat", {}))[0] == 3
        assert [type(event) for event in bench.sink.events] == [StationConnected]

    on_bench(make_bench, scenario)


def test_an_energy_transfer_that_is_not_offered_is_rejected(make_bench):
    async def scenario(bench):
        station = bench.connect("A")
        needs = {"evseId": 1, "chargingNeeds": {"requestedEnergyTransfer": "WPT"}}
        assert (await station.call("NotifyEVChargingNeeds", needs))[2] == {"status": "Rejected"}
        needs["chargingNeeds"]["requestedEnergyTransfer"] = "AC_BPT"
        assert (await station.call("NotifyEVChargingNeeds", needs))[2] == {"status": "Accepted"}
        assert len(bench.sink.of(NeedsNotified)) == 1

    on_bench(make_bench, scenario)


def test_impossible_values_are_reported_beside_the_good_ones(make_bench):
    async def scenario(bench):
        station = bench.connect("A")
        samples = [{"value": 1000}, {"value": 101, "measurand": "SoC"}]
        values = {"evseId": 1, "meterValue": [{"timestamp": NOON, "sampledValue": samples}]}
        assert (await station.call("MeterValues", values))[0] == 3
        [read] = bench.sink.of(MetersRead)
        assert read.readings[0].import_wh == 1000
        assert read.readings[0].soc is None
        [refused] = bench.sink.of(Refused)
        assert "SoC" in refused.reason

    on_bench(make_bench, scenario)


def test_tokens_are_authorised_in_the_words_of_ocpp(make_bench):
    async def scenario(bench):
        station = bench.connect("A")
        for token, status in (("04AB", "Accepted"), ("99", "Invalid")):
            answer = await station.call("Authorize", {"idToken": {"idToken": token, "type": "ISO14443"}})
            assert answer[2] == {"idTokenInfo": {"status": status}}
        assert [event.status for event in bench.sink.of(TokenAuthorised)] == ["Accepted", "Invalid"]

    on_bench(make_bench, scenario)


def test_malformed_json_is_answered_and_the_link_stays(make_bench):
    async def scenario(bench):
        station = bench.connect("A")
        await station.link.send(b"{nonsense")
        answer = await station.receive()
        assert answer[:3] == [4, "-1", "RpcFrameworkError"]
        assert (await station.call("Heartbeat", {}))[0] == 3

    on_bench(make_bench, scenario)


def test_a_fault_of_our_own_ends_the_link_and_is_not_hidden(make_list_sink):
    async def scenario():
        from backfeed.core.clock import LoopClock  # noqa: PLC0415

        clock = LoopClock(asyncio.get_running_loop(), 0)
        sink = make_list_sink(clock)
        gateway = Gateway(clock, sink, lambda *_: True, lambda *_: "no such status")
        outside, inside = memory_pipe()
        serving = asyncio.create_task(gateway.run_link("A", inside))
        await outside.send(json.dumps([2, "1", "Authorize", {"idToken": {"idToken": "x", "type": "Local"}}]).encode())
        with pytest.raises(LinkClosedError):
            await outside.receive()
        with pytest.raises(ExceptionGroup) as failure:
            await serving
        assert failure.group_contains(AssertionError)
        assert gateway.connected_stations() == ()

    run_virtual(scenario())
