"""The profile stack, case by case from OCPP 2.1 Part 2, block K and the tables of block Q."""

import msgspec
import pytest

from backfeed.core.instant import MS_PER_DAY, MS_PER_H, MS_PER_S, format_instant
from backfeed.sim.profile import FAR_MS, ProfileRefusedError, ProfileStack
from backfeed.wire import ocpp21

NOW = 1_783_296_000_000
TX = "tx"


@pytest.fixture
def stack():
    return ProfileStack(11.0, bidirectional=True)


def period(start=0, **values):
    return {"startPeriod": start} | values


def profile(purpose="TxProfile", kind="Absolute", periods=None, **changes):
    schedule = {
        "id": 1,
        "chargingRateUnit": changes.pop("unit", "W"),
        "chargingSchedulePeriod": periods or [period(limit=4000)],
    }
    if kind in ("Absolute", "Recurring"):
        schedule["startSchedule"] = format_instant(changes.pop("start", NOW))
    schedule |= changes.pop("schedule", {})
    body = {
        "id": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": kind,
        "chargingSchedule": [present(schedule)],
    }
    if purpose == "TxProfile":
        body["transactionId"] = TX
    return msgspec.convert(present(body | changes), ocpp21.ChargingProfile)


def present(fields):
    return {name: value for name, value in fields.items() if value is not None}


def install(stack, evse=1, now=NOW, **changes):
    stack.install(evse, profile(**changes), now, TX)


def follow(stack, at_s, start_ms=NOW):
    setting = stack.setting(NOW + at_s * MS_PER_S, start_ms)
    until_s = None if setting.until_ms == FAR_MS else (setting.until_ms - NOW) / MS_PER_S
    return str(setting.mode), setting.power_kw, until_s


def test_with_no_profile_the_station_charges_with_all_it_has(stack):
    assert follow(stack, 0) == ("ChargingOnly", 11.0, None)


def test_periods_begin_at_their_offset_and_the_last_ends_with_the_duration(stack):
    setpoints = [period(0, operationMode="CentralSetpoint", setpoint=-5000), period(900, limit=3000)]
    install(stack, periods=setpoints, schedule={"duration": 1800})
    assert follow(stack, -1) == ("ChargingOnly", 11.0, 0)
    assert follow(stack, 0) == ("CentralSetpoint", -5.0, 900)
    assert follow(stack, 899) == ("CentralSetpoint", -5.0, 900)
    assert follow(stack, 900) == ("ChargingOnly", 3.0, 1800)
    assert follow(stack, 1800) == ("ChargingOnly", 11.0, None)


def test_without_a_duration_the_last_period_goes_on(stack):
    install(stack, periods=[period(0, limit=1000), period(60, limit=2000)])
    assert follow(stack, 10_000) == ("ChargingOnly", 2.0, None)


def test_a_profile_of_the_transaction_goes_before_a_default_whatever_their_levels(stack):
    install(stack, id=2, purpose="TxDefaultProfile", kind="Relative", stackLevel=5)
    install(stack, periods=[period(operationMode="CentralSetpoint", setpoint=-1000)], schedule={"duration": 60})
    assert follow(stack, 0) == ("CentralSetpoint", -1.0, 60)
    assert follow(stack, 60) == ("ChargingOnly", 4.0, None)


def test_of_one_purpose_the_highest_valid_level_is_followed(stack):
    for level in (0, 2, 1):
        valid_to = format_instant(NOW + (3 - level) * 100 * MS_PER_S)
        install(stack, id=level, stackLevel=level, periods=[period(limit=1000 * (level + 1))], validTo=valid_to)
    assert [follow(stack, at)[1:] for at in (0, 100, 200, 300)] == [(3, 100), (2, 200), (1, 300), (11, None)]


def test_a_higher_level_that_begins_later_is_seen_coming(stack):
    install(stack, id=1, periods=[period(limit=1000)])
    install(stack, id=2, stackLevel=1, periods=[period(limit=2000)], validFrom=format_instant(NOW + 500_000))
    assert follow(stack, 0) == ("ChargingOnly", 1.0, 500)
    assert follow(stack, 500) == ("ChargingOnly", 2.0, None)


def test_the_same_id_replaces_and_another_id_of_the_same_level_is_refused(stack):
    install(stack)
    install(stack, periods=[period(limit=5000)])
    assert follow(stack, 0)[1] == 5.0
    with pytest.raises(ProfileRefusedError) as refusal:
        install(stack, id=2)
    assert refusal.value.reason == "InvalidStackLevel"
    install(stack, id=3, purpose="TxDefaultProfile", kind="Relative")
    with pytest.raises(ProfileRefusedError) as refusal:
        install(stack, id=4, purpose="TxDefaultProfile", kind="Relative")
    assert refusal.value.reason == "DuplicateProfile"
    later = {"validFrom": format_instant(NOW + 1000), "validTo": format_instant(NOW + 2000)}
    with pytest.raises(ProfileRefusedError):
        install(stack, id=5, purpose="TxDefaultProfile", kind="Relative", **later)


def test_a_relative_schedule_starts_with_the_transaction(stack):
    steps = [period(0, limit=1000), period(600, limit=2000)]
    install(stack, purpose="TxDefaultProfile", kind="Relative", periods=steps)
    assert follow(stack, 0, NOW - 500_000) == ("ChargingOnly", 1.0, 100)
    assert follow(stack, 100, NOW - 500_000) == ("ChargingOnly", 2.0, None)
    assert follow(stack, 0, None)[1] == 11.0


def test_a_recurring_schedule_comes_every_day_and_leaves_gaps(stack):
    daily = {"recurrencyKind": "Daily", "start": NOW - 10 * MS_PER_DAY, "schedule": {"duration": 3600}}
    install(stack, purpose="TxDefaultProfile", kind="Recurring", **daily)
    assert follow(stack, 10) == ("ChargingOnly", 4.0, 3600)
    assert follow(stack, 3600) == ("ChargingOnly", 11.0, 86_400)
    assert follow(stack, 86_400) == ("ChargingOnly", 4.0, 86_400 + 3600)


def test_a_dynamic_profile_lasts_its_duration_from_the_last_update(stack):
    setpoint = [period(operationMode="CentralSetpoint", setpoint=2000)]
    install(stack, kind="Dynamic", periods=setpoint, schedule={"duration": 300})
    assert follow(stack, 0) == ("CentralSetpoint", 2.0, 300)
    stack.update(1, ocpp21.ChargingScheduleUpdate(setpoint=-3000.0), NOW + 200_000)
    assert follow(stack, 299) == ("CentralSetpoint", -3.0, 500)
    assert follow(stack, 500) == ("ChargingOnly", 11.0, None)
    for number, update in ((1, ocpp21.ChargingScheduleUpdate(limit=1.0)), (9, ocpp21.ChargingScheduleUpdate())):
        with pytest.raises(ProfileRefusedError):
            stack.update(number, update, NOW)


def test_the_station_maximum_caps_charging_and_leaves_discharging_alone(stack):
    install(stack, id=9, evse=0, purpose="ChargingStationMaxProfile")
    assert follow(stack, 0) == ("ChargingOnly", 4.0, None)
    install(stack, periods=[period(operationMode="CentralSetpoint", setpoint=9000)])
    assert follow(stack, 0) == ("CentralSetpoint", 4.0, None)
    install(stack, periods=[period(operationMode="CentralSetpoint", setpoint=-9000)])
    assert follow(stack, 0) == ("CentralSetpoint", -9.0, None)


def test_limits_of_a_setpoint_and_the_rating_bound_it_each_way(stack):
    for setpoint, more, power in (
        (9000, {"limit": 5000}, 5.0),
        (-9000, {"dischargeLimit": -5000}, -5.0),
        (20_000, {}, 11.0),
        (-20_000, {}, -11.0),
        (-3000, {"limit": 0, "dischargeLimit": -4000}, -3.0),
    ):
        install(stack, periods=[period(operationMode="CentralSetpoint", setpoint=setpoint, **more)])
        assert follow(stack, 0)[1] == power


def test_amperes_count_per_phase_three_unless_told_otherwise(stack):
    install(stack, unit="A", periods=[period(limit=10)])
    assert follow(stack, 0)[1] == pytest.approx(6.9)
    install(stack, unit="A", periods=[period(limit=10, numberPhases=1)])
    assert follow(stack, 0)[1] == pytest.approx(2.3)


def test_idle_means_nothing_flows(stack):
    install(stack, periods=[period(operationMode="Idle")])
    assert follow(stack, 0) == ("Idle", 0.0, None)


def test_a_profile_with_a_longest_time_offline_lapses_then_and_may_die_of_it(stack):
    install(stack, maxOfflineDuration=120)
    stack.go_offline(NOW + 10_000)
    assert follow(stack, 10) == ("ChargingOnly", 4.0, 130)
    assert follow(stack, 130) == ("ChargingOnly", 11.0, None)
    stack.go_online(NOW + 200_000)
    assert follow(stack, 200) == ("ChargingOnly", 4.0, None)
    install(stack, maxOfflineDuration=0, invalidAfterOfflineDuration=True)
    stack.go_offline(NOW + 300_000)
    stack.go_online(NOW + 300_001)
    assert follow(stack, 301) == ("ChargingOnly", 11.0, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"purpose": "PriorityCharging"}, "UnsupportedPurpose"),
        ({"purpose": "ChargingStationExternalConstraints"}, "UnsupportedPurpose"),
        ({"evse": 2}, "InvalidValue"),
        ({"evse": 0}, "InvalidValue"),
        ({"purpose": "ChargingStationMaxProfile"}, "InvalidValue"),
        ({"purpose": "ChargingStationMaxProfile", "evse": 0, "kind": "Relative"}, "InvalidValue"),
        ({"stackLevel": 10}, "InvalidStackLevel"),
        ({"transactionId": "other"}, "TxNotFound"),
        ({"transactionId": None}, "MissingParam"),
        ({"purpose": "TxDefaultProfile", "transactionId": TX}, "InvalidProfile"),
        ({"kind": "Relative", "schedule": {"startSchedule": format_instant(NOW)}}, "InvalidSchedule"),
        ({"schedule": {"startSchedule": None}}, "InvalidSchedule"),
        ({"kind": "Recurring"}, "MissingParam"),
        ({"kind": "Dynamic", "periods": [period(0, limit=1), period(9, limit=2)]}, "InvalidSchedule"),
        ({"kind": "Dynamic", "dynUpdateInterval": 60}, "InvalidProfile"),
        ({"periods": [period(1, limit=1)]}, "InvalidSchedule"),
        ({"periods": [period(0, limit=1), period(9, limit=1), period(9, limit=2)]}, "InvalidSchedule"),
        ({"periods": [period(0)]}, "InvalidSchedule"),
        ({"periods": [period(0, limit=-1)]}, "InvalidSchedule"),
        ({"periods": [period(0, limit=1, setpoint=1)]}, "InvalidSchedule"),
        ({"periods": [period(0, limit=1, dischargeLimit=0)]}, "InvalidSchedule"),
        ({"periods": [period(0, limit=1, limit_L2=1)]}, "InvalidSchedule"),
        ({"periods": [period(0, operationMode="CentralSetpoint", limit=1)]}, "InvalidSchedule"),
        ({"periods": [period(0, operationMode="CentralFrequency", setpoint=1)]}, "InvalidSchedule"),
        ({"periods": [period(0, operationMode="Idle", limit=1)]}, "InvalidSchedule"),
        ({"schedule": {"randomizedDelay": 5}}, "InvalidSchedule"),
        ({"schedule": {"useLocalTime": True}}, "InvalidSchedule"),
    ],
)
def test_what_can_not_be_followed_is_refused_with_its_reason_and_changes_nothing(stack, changes, reason):
    install(stack, id=5, periods=[period(limit=6000)])
    changes = {"id": 5} | changes
    evse = changes.pop("evse", 1)
    with pytest.raises(ProfileRefusedError) as refusal:
        install(stack, evse=evse, **changes)
    assert refusal.value.reason == reason
    assert len(reason) <= 20
    assert follow(stack, 0) == ("ChargingOnly", 6.0, None)


def test_an_evse_that_can_not_discharge_refuses_to(stack):
    stack.bidirectional = False
    install(stack, periods=[period(operationMode="CentralSetpoint", setpoint=0)])
    with pytest.raises(ProfileRefusedError):
        install(stack, periods=[period(operationMode="CentralSetpoint", setpoint=-1)])


def test_profiles_are_cleared_by_id_by_criteria_and_with_the_transaction(stack):
    def fill():
        install(stack, id=1, stackLevel=1)
        install(stack, id=2, purpose="TxDefaultProfile", kind="Relative", periods=[period(limit=2000)])
        install(stack, id=3, evse=0, purpose="ChargingStationMaxProfile", periods=[period(limit=6000)])

    def clear(**criteria):
        return stack.clear(msgspec.convert(criteria, ocpp21.ClearChargingProfileRequest))

    fill()
    assert clear(chargingProfileId=1)
    assert not clear(chargingProfileId=1)
    assert follow(stack, 0)[1] == 2.0
    fill()
    assert clear(chargingProfileCriteria={"chargingProfilePurpose": "TxDefaultProfile", "stackLevel": 0, "evseId": 1})
    assert not clear(chargingProfileCriteria={"stackLevel": 7})
    assert follow(stack, 0)[1] == 4.0
    stack.forget_transaction()
    assert follow(stack, 0)[1] == 6.0
    assert clear(chargingProfileCriteria={"evseId": 0})
    assert follow(stack, 0)[1] == 11.0
    fill()
    assert clear()
    assert follow(stack, 0)[1] == 11.0


def test_an_hour_has_no_hidden_edge(stack):
    install(stack, start=NOW - MS_PER_H, schedule={"duration": 3600})
    assert follow(stack, -1)[1] == 4.0
    assert follow(stack, 0)[1] == 11.0
