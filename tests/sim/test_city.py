"""Stations and a platform by hand, on virtual time."""

import numpy as np
import pytest

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_H, MS_PER_MIN, format_instant, parse_instant
from backfeed.sim.fault import FaultRates
from backfeed.sim.replay import replay
from backfeed.sim.truth import QUARTER_MS

STATION = "Home-1"
STAY = {"session_id": "s", "arrival_h": 1.02, "departure_h": 6.01, "energy_kwh": 12.0}
UNMANAGED = {"soc_reported_share": 1.0, "statement_share": 1.0, "v2g_share": 1.0}


def registers(event):
    samples = {each["measurand"]: each["value"] for each in event["meterValue"][0]["sampledValue"]}
    return samples["Energy.Active.Import.Register"], samples["Energy.Active.Export.Register"]


def powers(segments):
    """Return `(from, until, power)` with equal neighbours joined."""
    joined = []
    for start, end, power in zip(segments.from_ms, segments.until_ms, segments.power_kw, strict=True):
        if joined and joined[-1][1] == start and joined[-1][2] == power:
            joined[-1][1] = int(end)
        else:
            joined.append([int(start), int(end), float(power)])
    return joined


async def until(platform, hours, start_ms):
    await platform.clock.sleep_until(start_ms + round(hours * MS_PER_H))


def test_a_stay_without_orders_charges_at_once_and_is_told_from_boot_to_departure(stage):
    play = stage([STAY], **UNMANAGED).play()
    sessions, truth, heard = play.sessions, play.truth, play.platform.heard
    actions = [action for _, _, action, _ in heard]
    assert actions[:6] == [
        "BootNotification",
        "StatusNotification",
        "StatusNotification",
        "Authorize",
        "TransactionEvent",
        "NotifyEVChargingNeeds",
    ]
    arrival, departure = int(sessions.arrival_ms[0]), int(sessions.departure_ms[0])
    assert [at for at, *_ in heard[:6]] == [arrival - 60_000] * 2 + [arrival] * 4
    events = play.platform.events()
    assert [event["seqNo"] for event in events] == list(range(len(events)))
    assert events[0]["triggerReason"] == "Authorized"
    assert events[0]["idToken"]["idToken"] == "ann"
    assert events[0]["timestamp"] == format_instant(arrival)
    assert events[0]["transactionInfo"]["transactionId"] == "s"
    assert events[-1]["eventType"] == "Ended"
    assert events[-1]["timestamp"] == format_instant(departure)
    assert events[-1]["transactionInfo"]["stoppedReason"] == "EVDisconnected"
    aligned = [parse_instant(event["timestamp"]) for event in events if event["triggerReason"] == "MeterValueClock"]
    five = 5 * MS_PER_MIN
    assert aligned == list(range(arrival // five * five + five, departure, five))
    first, last = registers(events[0]), registers(events[-1])
    assert first == (0, 0)
    assert last[1] == 0
    assert last[0] == pytest.approx(12_000, abs=1)
    assert truth.segments.energy_kwh.sum() == pytest.approx(12.0)
    assert truth.energy_departure_kwh[0] == pytest.approx(sessions.energy_required_kwh[0])
    (full,) = [event for event in events if event["triggerReason"] == "ChargingStateChanged"]
    assert full["transactionInfo"]["chargingState"] == "SuspendedEV"
    needs = heard[5][3]["chargingNeeds"]
    assert needs["requestedEnergyTransfer"] == "AC_BPT"
    assert needs["departureTime"] == format_instant(int(sessions.statement_ms[0]))
    assert needs["v2xChargingParameters"]["maxChargePower"] == sessions.charge_max_kw[0] * 1000
    assert needs["v2xChargingParameters"]["maxDischargePower"] == sessions.discharge_max_kw[0] * 1000
    to_target = sessions.energy_required_kwh[0] - sessions.energy_arrival_kwh[0]
    assert needs["v2xChargingParameters"]["evTargetEnergyRequest"] == pytest.approx(to_target * 1000, abs=1)
    assert actions[-1] == "Heartbeat"


def test_a_car_that_tells_nothing_and_a_silent_driver_reveal_nothing(stage):
    heard = stage([STAY], soc_reported_share=0.0, statement_share=0.0).play().platform.heard
    (needs,) = [payload["chargingNeeds"] for _, _, action, payload in heard if action == "NotifyEVChargingNeeds"]
    assert "departureTime" not in needs
    assert set(needs["v2xChargingParameters"]) == {"maxChargePower", "maxDischargePower"}
    assert "SoC" not in str(heard)


def test_a_setpoint_is_followed_until_the_instant_it_lapses_and_then_the_default(stage, start_ms):
    async def during(platform):
        await until(platform, 2, start_ms)
        assert await platform.order(STATION, "s", -5.0, 1000) == "Accepted"
        default = {
            "id": 1,
            "stackLevel": 0,
            "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Relative",
            "chargingSchedule": [
                {"id": 1, "chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 2000}]}
            ],
        }
        answer = await platform.call(STATION, "SetChargingProfile", {"evseId": 1, "chargingProfile": default})
        assert answer[1]["status"] == "Accepted"

    play = stage([STAY], charger_error_max=0.0, **UNMANAGED).play(during)
    two, lapse = start_ms + 2 * MS_PER_H, start_ms + 2 * MS_PER_H + 1000_000
    rated = float(play.sessions.charge_max_kw[0])
    before, discharging, after = powers(play.truth.segments)[:3]
    assert before == [int(play.sessions.arrival_ms[0]), two, rated]
    assert discharging == [two, lapse, -5.0]
    assert (after[0], after[2]) == (lapse, 2.0)
    changes = [
        (parse_instant(event["timestamp"]), event["triggerReason"], event["transactionInfo"]["operationMode"])
        for event in play.platform.events()
        if event["triggerReason"] == "OperationModeChanged"
    ]
    assert changes == [
        (two, "OperationModeChanged", "CentralSetpoint"),
        (lapse, "OperationModeChanged", "ChargingOnly"),
    ]
    imported, exported = registers(play.platform.events()[-1])
    assert exported == round(5000 * 1000 / 3600 - 0.5)
    energy = play.truth.segments.energy_kwh
    assert imported == int(energy[energy > 0].sum() * 1000)


def test_a_command_to_charge_goes_on_beyond_the_drivers_limit_and_a_limit_does_not(stage, start_ms):
    for mode, beyond in (("CentralSetpoint", True), ("ChargingOnly", False)):

        async def during(platform, mode=mode):
            await until(platform, 1.5, start_ms)
            assert await platform.order(STATION, "s", 7.0, 4 * 3600, mode) == "Accepted"

        play = stage([STAY | {"energy_kwh": 3.0}], **UNMANAGED).play(during)
        assert (play.truth.energy_departure_kwh[0] > play.sessions.energy_required_kwh[0] + 1) == beyond


def test_discharging_ends_at_the_physical_minimum(stage, start_ms):
    async def during(platform):
        await until(platform, 1.1, start_ms)
        assert await platform.order(STATION, "s", -7.0, 20 * 3600) == "Accepted"

    play = stage([STAY | {"departure_h": 20}], **UNMANAGED).play(during)
    assert play.truth.energy_departure_kwh[0] == play.sessions.energy_empty_kwh[0]
    assert play.platform.events()[-2]["transactionInfo"]["chargingState"] == "SuspendedEV"


def test_orders_for_another_transaction_or_beyond_the_hardware_are_refused(stage, start_ms):
    answers = []

    async def during(platform):
        await until(platform, 0.9, start_ms)
        await until(platform, 2, start_ms)
        answers.append(await platform.order(STATION, "other", 1.0, 60))
        answers.append(await platform.order(STATION, "s", -1.0, 60))
        answers.append(await platform.order(STATION, "s", 1.0, 60))
        answers.append((await platform.call(STATION, "GetCompositeSchedule", {"duration": 60, "evseId": 1}))[:2])
        answers.append((await platform.call(STATION, "ClearChargingProfile", {"chargingProfileId": 7}))[1]["status"])
        answers.append((await platform.call(STATION, "ClearChargingProfile", {"chargingProfileId": 7}))[1]["status"])

    stage([STAY], v2g_share=0.0).play(during)
    assert answers == ["Rejected", "Rejected", "Accepted", [4, "NotSupported"], "Accepted", "Unknown"]


def test_a_remote_stop_ends_the_transaction_and_the_car_stays_without_power(stage, start_ms):
    async def during(platform):
        await until(platform, 2, start_ms)
        wrong = await platform.call(STATION, "RequestStopTransaction", {"transactionId": "x"})
        right = await platform.call(STATION, "RequestStopTransaction", {"transactionId": "s"})
        assert (wrong[1]["status"], right[1]["status"]) == ("Rejected", "Accepted")

    play = stage([STAY], **UNMANAGED).play(during)
    assert play.platform.events()[-1]["triggerReason"] == "RemoteStop"
    rest = play.truth.segments.from_ms >= start_ms + 2 * MS_PER_H
    assert rest.any()
    assert not play.truth.segments.energy_kwh[rest].any()


def test_a_driver_who_is_not_known_gets_no_energy(stage):
    def before(platform):
        platform.answers["Authorize"] = lambda _: {"idTokenInfo": {"status": "Unknown"}}

    play = stage([STAY]).play(before=before)
    assert not play.platform.events()
    assert play.truth.energy_departure_kwh[0] == play.sessions.energy_arrival_kwh[0]


def test_a_driver_refused_after_the_start_is_stopped(stage):
    def before(platform):
        platform.answers["TransactionEvent"] = lambda _: {"idTokenInfo": {"status": "Blocked"}}

    play = stage([STAY]).play(before=before)
    assert [event["triggerReason"] for event in play.platform.events()] == ["Authorized", "Deauthorized"]
    assert play.truth.energy_departure_kwh[0] == play.sessions.energy_arrival_kwh[0]


def test_a_station_that_is_not_accepted_asks_again_and_says_nothing_else_before(stage):
    replies = iter(["Pending", "Rejected", "Accepted"])

    def before(platform):
        platform.answers["BootNotification"] = lambda _: {
            "currentTime": format_instant(platform.clock.now_ms()),
            "interval": 400,
            "status": next(replies),
        }

    play = stage([STAY]).play(before=before)
    boots = [at for at, _, action, _ in play.platform.heard if action == "BootNotification"]
    assert np.diff(boots).tolist() == [400_000, 400_000]
    assert [action for _, _, action, _ in play.platform.heard[:3]] == ["BootNotification"] * 3
    events = play.platform.events()
    assert events[0]["offline"]
    assert parse_instant(events[0]["timestamp"]) == play.sessions.arrival_ms[0]


def test_what_happens_offline_is_told_later_in_order_and_power_falls_back_when_the_profile_lapses(stage, start_ms):
    async def during(platform):
        await until(platform, 2, start_ms)
        assert await platform.order(STATION, "s", -3.0, 900) == "Accepted"
        platform.refuses_links = True
        platform.drop(STATION)
        await until(platform, 5, start_ms)
        platform.refuses_links = False

    play = stage([STAY], charger_error_max=0.0, **UNMANAGED).play(during)
    two = start_ms + 2 * MS_PER_H
    assert [each[2] for each in powers(play.truth.segments)][:3] == [
        play.sessions.charge_max_kw[0],
        -3.0,
        play.sessions.charge_max_kw[0],
    ]
    assert powers(play.truth.segments)[1][:2] == [two, two + 900_000]
    events = play.platform.events()
    assert [event["seqNo"] for event in events] == list(range(len(events)))
    offline = [parse_instant(event["timestamp"]) for event in events if event.get("offline")]
    assert two < min(offline) <= two + 5 * MS_PER_MIN
    told = [
        at for at, _, action, payload in play.platform.heard if action == "TransactionEvent" and payload.get("offline")
    ]
    assert start_ms + 5 * MS_PER_H <= min(told)
    assert max(told) <= start_ms + 5.2 * MS_PER_H
    assert len(told) == len(offline) > 30
    boots = [action for _, _, action, _ in play.platform.heard].count("BootNotification")
    assert boots == 1


def test_an_event_that_is_not_answered_is_repeated_with_its_number_until_it_is(stage):
    deaf = iter([True, True, False])

    def before(platform):
        platform.answers["TransactionEvent"] = lambda _: None if next(deaf, False) else {}

    play = stage([STAY]).play(before=before)
    started = [
        at for at, _, action, payload in play.platform.heard if action == "TransactionEvent" and payload["seqNo"] == 0
    ]
    # 30 s without an answer, then 10 s and 20 s of patience.
    assert np.diff(started).tolist() == [40_000, 50_000]
    assert play.undelivered == 0
    assert play.truth.energy_departure_kwh[0] == pytest.approx(play.sessions.energy_required_kwh[0])


def test_a_reset_restarts_the_station_which_resumes_without_the_profiles_of_the_transaction(stage, start_ms):
    async def during(platform):
        await until(platform, 0.99 + 1 / 60, start_ms)
        answer = await platform.call(STATION, "Reset", {"type": "Immediate"})
        assert answer[1]["status"] == "Accepted"
        await until(platform, 3, start_ms)
        answer = await platform.call(STATION, "Reset", {"type": "OnIdle"})
        assert answer[1]["status"] == "Scheduled"

    play = stage([STAY], **UNMANAGED).play(during)
    boots = [(at, p["reason"]) for at, _, action, p in play.platform.heard if action == "BootNotification"]
    assert [reason for _, reason in boots] == ["PowerUp", "RemoteReset", "RemoteReset"]
    assert play.sessions.departure_ms[0] < boots[2][0] < play.sessions.departure_ms[0] + 60_000


def test_variables_are_told_and_the_heartbeat_can_be_set(stage, start_ms):
    async def during(platform):
        await until(platform, 2, start_ms)
        asked = [("OCPPCommCtrlr", "HeartbeatInterval"), ("V2XChargingCtrlr", "Nonsense"), ("Nonsense", "Enabled")]
        data = [{"component": {"name": c}, "variable": {"name": v}} for c, v in asked]
        found = await platform.call(STATION, "GetVariables", {"getVariableData": data})
        statuses = [each["attributeStatus"] for each in found[1]["getVariableResult"]]
        assert statuses == ["Accepted", "UnknownVariable", "UnknownComponent"]
        assert found[1]["getVariableResult"][0]["attributeValue"] == "600"
        data = [
            {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}, "attributeValue": "60"},
            {"component": {"name": "TxCtrlr"}, "variable": {"name": "TxStopPoint"}, "attributeValue": "x"},
        ]
        done = await platform.call(STATION, "SetVariables", {"setVariableData": data})
        assert [each["attributeStatus"] for each in done[1]["setVariableResult"]] == ["Accepted", "Rejected"]
        for wanted, status in (("TransactionEvent", "Accepted"), ("LogStatusNotification", "NotImplemented")):
            answer = await platform.call(STATION, "TriggerMessage", {"requestedMessage": wanted})
            assert answer[1]["status"] == status

    stage([STAY]).play(during)


def test_a_car_that_stays_beyond_the_window_stays_connected_and_its_energy_is_known(stage):
    play = stage([STAY | {"arrival_h": 22.8, "departure_h": 40, "energy_kwh": 20.0}]).play()
    events = play.platform.events()
    assert events[-1]["eventType"] == "Updated"
    assert parse_instant(events[-1]["timestamp"]) == play.config.end_ms
    assert play.truth.segments.until_ms.max() == play.config.end_ms
    assert play.truth.energy_departure_kwh[0] < play.sessions.energy_required_kwh[0]
    assert registers(events[-1])[0] == int(play.truth.segments.energy_kwh.sum() * 1000)


def test_a_busy_city_without_orders_charges_what_was_recorded_wherever_that_is_feasible(stage, busy_rows):
    play = stage(busy_rows).play()
    sessions, truth = play.sessions, play.truth
    gone = sessions.departure_ms <= play.config.end_ms
    reached = np.isclose(truth.energy_departure_kwh, sessions.energy_required_kwh)
    np.testing.assert_array_equal(reached[gone], sessions.feasible[gone])
    segments = truth.segments
    assert np.all(segments.from_ms // QUARTER_MS == (segments.until_ms - 1) // QUARTER_MS)
    connected = (np.minimum(sessions.departure_ms, play.config.end_ms) - sessions.arrival_ms).sum()
    assert (segments.until_ms - segments.from_ms).sum() == connected
    assert play.undelivered == 0
    assert len({payload["transactionInfo"]["transactionId"] for payload in play.platform.events()}) == len(sessions)


def test_the_city_and_the_replay_agree_on_the_same_setpoints(stage, busy_rows):
    play = stage(busy_rows, charger_error_max=0.01)
    axis = TimeAxis(play.config.start_ms, QUARTER_MS, 96)
    sessions = play.sessions
    power = np.random.Generator(np.random.PCG64(8)).uniform(-8, 8, (len(sessions), axis.count)).round(3)
    power[sessions.discharge_max_kw == 0] = np.abs(power[sessions.discharge_max_kw == 0])

    async def order(platform, step, at_ms):
        present = np.flatnonzero((sessions.arrival_ms <= at_ms) & (sessions.departure_ms > at_ms))
        for i in present:
            # The station clips to its rating before its error; so does a platform that knows the rating.
            kw = float(np.clip(power[i, step], -sessions.discharge_max_kw[i], sessions.charge_max_kw[i]))
            power[i, step] = kw
            accepted = await platform.order(sessions.station[i], sessions.session_id[i], kw, 900)
            assert accepted == "Accepted"

    async def during(platform):
        changes = sorted({*axis, *sessions.arrival_ms.tolist()})
        for at_ms in changes:
            await platform.clock.sleep_until(at_ms)
            await platform.settled()
            step = axis.index_of(at_ms)
            start = axis.start_ms + step * axis.step_ms
            await order(platform, step, start if at_ms == start else at_ms)

    play.play(during)
    other = replay(sessions, axis, power, play.config)
    np.testing.assert_allclose(play.truth.energy_departure_kwh, other.energy_departure_kwh, atol=1e-9)
    one, two = play.truth.segments, other.segments
    for i in range(len(sessions)):
        ends = two.until_ms[two.session == i]
        mine = dict(zip(one.until_ms[one.session == i], one.energy_end_kwh[one.session == i], strict=True))
        np.testing.assert_allclose([mine[end] for end in ends], two.energy_end_kwh[two.session == i], atol=1e-9)


ROUGH = FaultRates(
    frame_lost=0.01,
    frame_repeated=0.02,
    frame_delayed=0.02,
    link_broken=0.005,
    outages_per_day=6,
    outage_mean_min=15,
)


NIGHTLY_SEEDS = [pytest.param(seed, marks=pytest.mark.nightly) for seed in range(3, 103)]


@pytest.mark.parametrize("seed", [1, 2, *NIGHTLY_SEEDS])
def test_under_faults_every_event_arrives_the_registers_are_true_and_the_seed_repeats_it_all(stage, busy_rows, seed):
    play = stage(busy_rows, seed, ROUGH).play()
    sessions, segments = play.sessions, play.truth.segments
    assert play.undelivered == 0
    gone = sessions.departure_ms < play.config.end_ms - MS_PER_H
    for i in np.flatnonzero(gone):
        events = play.platform.events(sessions.session_id[i])
        assert [event["seqNo"] for event in events] == list(range(len(events)))
        assert events[-1]["eventType"] == "Ended"
        metered = registers(events[-1])[0] - registers(events[0])[0]
        assert metered == pytest.approx(1000 * segments.energy_kwh[segments.session == i].sum(), abs=1.001)
    assert any(event.get("offline") for event in play.platform.events())
    again = stage(busy_rows, seed, ROUGH).play()
    assert again.platform.heard == play.platform.heard
    np.testing.assert_array_equal(again.truth.segments.energy_kwh, segments.energy_kwh)


def test_a_row_of_the_future_changes_nothing_that_was_heard_before(stage, busy_rows):
    busy_rows.sort(key=lambda row: row["arrival_h"])
    one = stage(busy_rows).play()
    horizon = one.config.start_ms + round((busy_rows[40]["arrival_h"]) * MS_PER_H) - 60_000
    changed = busy_rows[:40] + [row | {"energy_kwh": 1.0} for row in busy_rows[41:]]
    other = stage(changed).play()
    heard = [[entry for entry in play.platform.heard if entry[0] < horizon] for play in (one, other)]
    assert heard[0] == heard[1]
    assert len(heard[0]) > 500
