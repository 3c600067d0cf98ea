"""The station's mind without a link: any orders at any instants."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfeed.core.instant import MS_PER_H, MS_PER_MIN, format_instant
from backfeed.sim.answer import answer_request
from backfeed.sim.controller import Arrival, Controller, transaction_id
from backfeed.sim.outlet import PluggedCar
from backfeed.sim.truth import TruthRecorder
from backfeed.sim.vehicle import Car
from backfeed.wire import ocpp21

START_MS = 1_783_296_000_000
END_MS = START_MS + 12 * MS_PER_H
CAR = Car(50.0, 1.0, 49.5, 0.92, 0.93, 7.4, 6.0, 0.5, 0.007)
OFFER_TOLERANCE = 1.008


def order(at_ms, power_kw, lasts_s, mode):
    name = "setpoint" if mode == "CentralSetpoint" else "limit"
    schedule = {
        "id": 1,
        "startSchedule": format_instant(at_ms),
        "duration": lasts_s,
        "chargingRateUnit": "W",
        "chargingSchedulePeriod": [{"startPeriod": 0, "operationMode": mode, name: power_kw * 1000}],
    }
    profile = {
        "id": 7,
        "stackLevel": 1,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Absolute",
        "transactionId": "s",
        "chargingSchedule": [schedule],
    }
    return msgspec.convert({"evseId": 1, "chargingProfile": profile}, ocpp21.SetChargingProfileRequest)


def letters(controller):
    """Take all letters out as a platform that accepts everything would."""
    taken = []
    while (letter := controller.outbox.first) is not None:
        taken.append(letter.request)
        accepted = ocpp21.AuthorizeResponse(id_token_info=ocpp21.IdTokenInfo(status="Accepted"))
        controller.outbox.delivered(letter, accepted, START_MS)
    return taken


def plugged(recorder):
    controller = Controller("A-1", 7.4, 300, recorder, (START_MS, END_MS), lambda: None)
    controller.go_online(START_MS)
    car = PluggedCar(0, CAR, 20.0, 40.0)
    controller.plug_in(Arrival(car, "ann", "s", tells_soc=True, statement_ms=-1), START_MS)
    letters(controller)
    return controller


orders = st.lists(
    st.tuples(
        st.integers(1, 90 * MS_PER_MIN),
        st.floats(-9, 9),
        st.integers(1, 3 * 3600),
        st.sampled_from(["CentralSetpoint", "ChargingOnly"]),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(orders, st.lists(st.integers(START_MS, END_MS), max_size=20))
def test_whatever_is_ordered_power_flows_only_as_ordered_and_the_registers_count_it(wishes, looks):
    recorder = TruthRecorder()
    controller = plugged(recorder)
    at_ms, standing = START_MS, []
    for pause_ms, power_kw, lasts_s, mode in wishes:
        at_ms += pause_ms
        for look_ms in sorted(each for each in looks if each < at_ms):
            controller.read_clock(look_ms)
        wanted = abs(power_kw) if mode == "ChargingOnly" else power_kw
        answer = answer_request(controller, order(at_ms, wanted, lasts_s, mode), at_ms)
        assert answer.status == "Accepted"
        standing.append((at_ms, at_ms + lasts_s * 1000, wanted, mode))
    controller.unplug(END_MS)
    segments = recorder.segments()
    assert segments.from_ms[0] == START_MS
    assert segments.until_ms[-1] == END_MS
    assert (segments.from_ms[1:] == segments.until_ms[:-1]).all()
    for start, end, power in zip(segments.from_ms, segments.until_ms, segments.power_kw, strict=True):
        ruling = [each for each in standing if each[0] <= start]
        asked, mode = (7.4, "ChargingOnly")
        if ruling and ruling[-1][1] > start:
            assert end <= ruling[-1][1]
            asked, mode = ruling[-1][2:]
        assert mode == "CentralSetpoint" or power >= 0
        assert min(asked, 0) * OFFER_TOLERANCE <= power <= max(asked, 0) * OFFER_TOLERANCE
        assert -6.0 <= power <= 7.4
    ended = [each for each in letters(controller) if getattr(each, "event_type", "") == "Ended"]
    values = {each.measurand: each.value for each in ended[0].meter_value[0].sampled_value}
    flows = segments.energy_kwh
    assert values["Energy.Active.Import.Register"] == pytest.approx(1000 * flows[flows > 0].sum(), abs=1)
    assert values["Energy.Active.Export.Register"] == pytest.approx(-1000 * flows[flows < 0].sum(), abs=1)
    stored = flows[flows > 0].sum() * 0.92 + flows[flows < 0].sum() / 0.93
    assert segments.energy_end_kwh[-1] == pytest.approx(20.0 + stored)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(START_MS, END_MS), max_size=40))
def test_looking_changes_nothing_and_registers_only_grow(looks):
    ends = []
    for instants in ([], sorted(looks)):
        recorder = TruthRecorder()
        controller = plugged(recorder)
        for at_ms in instants:
            controller.read_clock(at_ms)
        controller.unplug(END_MS)
        ends.append(recorder.segments().energy_end_kwh[-1])
        events = [each for each in letters(controller) if isinstance(each, ocpp21.TransactionEventRequest)]
        counts = [each.meter_value[0].sampled_value[0].value for each in events if each.meter_value]
        assert counts == sorted(counts)
        assert [each.seq_no for each in events] == list(range(events[0].seq_no, events[0].seq_no + len(events)))
    assert ends[0] == pytest.approx(ends[1], abs=1e-9)


def test_after_the_window_nothing_flows_any_more():
    recorder = TruthRecorder()
    controller = plugged(recorder)
    answer_request(controller, order(END_MS - 1000, -5.0, 3600, "CentralSetpoint"), END_MS - 1000)
    controller.read_clock(END_MS + MS_PER_H)
    controller.go_offline(END_MS + 2 * MS_PER_H)
    assert recorder.segments().until_ms[-1] == END_MS


def test_a_long_session_id_becomes_a_short_transaction_id():
    assert transaction_id("x" * 36) == "x" * 36
    assert len(transaction_id("x" * 37)) == 32
    assert transaction_id("x" * 37) != transaction_id("x" * 38)
