"""Two machines face to face: every call gets one answer, one call is under way each way, nobody crashes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from backfeed.core.ids import CountingIds
from backfeed.wire import ocpp21
from backfeed.wire.call import (
    CALLS_QUEUED_MAX,
    CALLS_UNANSWERED_MAX,
    FRAME_MAX_BYTES,
    AnswerUnmatched,
    CallMachine,
    CallReceived,
    CallRepeated,
    ErrorReceived,
    FrameRefused,
    ResultErrorReceived,
    ResultReceived,
    ResultRefused,
    SendReceived,
    TooManyCallsError,
)
from backfeed.wire.payload import ErrorCode

NOON = "2026-07-06T12:00:00.000Z"
HEARTBEAT = ocpp21.HeartbeatRequest()
PULSE = ocpp21.HeartbeatResponse(current_time=NOON)


def machine(name="m"):
    return CallMachine(CountingIds(name))


def frame(*parts):
    return json.dumps(parts).encode()


def answer_of(peer, text):
    """Feed a frame and return the event and the frames that it caused."""
    event = peer.receive(text if isinstance(text, bytes) else text.encode())
    return event, [json.loads(each) for each in peer.frames()]


def test_a_call_and_its_result():
    caller, called = machine("a"), machine("b")
    assert caller.call(HEARTBEAT) == "a-1"
    [asked] = caller.frames()
    assert json.loads(asked) == [2, "a-1", "Heartbeat", {}]
    assert called.receive(asked) == CallReceived("a-1", "Heartbeat", HEARTBEAT)
    called.reply("a-1", PULSE)
    [told] = called.frames()
    assert json.loads(told) == [3, "a-1", {"currentTime": NOON}]
    assert caller.receive(told) == ResultReceived("a-1", PULSE)
    assert caller.outstanding is None


def test_the_second_call_waits_for_the_end_of_the_first():
    caller = machine()
    caller.call(HEARTBEAT)
    caller.call(HEARTBEAT)
    assert len(caller.frames()) == 1
    caller.receive(frame(3, "m-1", {"currentTime": NOON}))
    assert [json.loads(each)[1] for each in caller.frames()] == ["m-2"]


def test_a_queued_call_can_be_withdrawn_and_an_outstanding_one_can_not():
    caller = machine()
    first, second, third = (caller.call(HEARTBEAT) for _ in range(3))
    assert caller.withdraw(second)
    assert not caller.withdraw(second)
    assert not caller.withdraw(first)
    caller.frames()
    caller.receive(frame(4, first, "InternalError", "", {}))
    assert caller.outstanding == third


def test_an_answer_after_giving_up_changes_nothing():
    caller = machine()
    first = caller.call(HEARTBEAT)
    second = caller.call(HEARTBEAT)
    assert caller.give_up(first)
    assert not caller.give_up(first)
    late = caller.receive(frame(3, first, {"currentTime": NOON}))
    assert isinstance(late, AnswerUnmatched)
    assert caller.outstanding == second


def test_an_answer_given_twice_counts_once():
    caller = machine()
    first = caller.call(HEARTBEAT)
    told = frame(3, first, {"currentTime": NOON})
    assert isinstance(caller.receive(told), ResultReceived)
    assert isinstance(caller.receive(told), AnswerUnmatched)


def test_a_call_told_again_is_answered_again_but_not_served_again():
    called = machine()
    asked = frame(2, "x", "Heartbeat", {})
    assert isinstance(called.receive(asked), CallReceived)
    assert isinstance(called.receive(asked), CallRepeated)
    assert called.frames() == []
    called.reply("x", PULSE)
    [told] = called.frames()
    assert isinstance(called.receive(asked), CallRepeated)
    assert called.frames() == [told]


def test_another_call_under_an_id_in_work_is_not_taken_for_the_first():
    called = machine()
    called.receive(frame(2, "x", "Heartbeat", {}))
    event, told = answer_of(called, frame(2, "x", "ClearCache", {}))
    assert isinstance(event, FrameRefused)
    assert told == []
    called.reply("x", PULSE)
    assert len(called.frames()) == 1
    assert isinstance(called.receive(frame(2, "x", "ClearCache", {})), CallReceived)


def test_a_peer_that_does_not_wait_is_served_a_few_calls_deep():
    called = machine()
    for number in range(CALLS_UNANSWERED_MAX):
        assert isinstance(called.receive(frame(2, f"x{number}", "Heartbeat", {})), CallReceived)
    event, [told] = answer_of(called, frame(2, "one too many", "Heartbeat", {}))
    assert isinstance(event, FrameRefused)
    assert told[:3] == [4, "one too many", "RpcFrameworkError"]


def test_the_queue_of_calls_has_an_end():
    caller = machine()
    for _ in range(1 + CALLS_QUEUED_MAX):
        caller.call(HEARTBEAT)
    with pytest.raises(TooManyCallsError):
        caller.call(HEARTBEAT)


def test_a_send_is_received_and_not_answered():
    teller, told = machine("a"), machine("b")
    stream = ocpp21.NotifyPeriodicEventStreamRequest(
        id=1,
        pending=0,
        basetime=NOON,
        data=(ocpp21.StreamDataElement(t=0.0, v="1"),),
    )
    teller.send(stream)
    [sent] = teller.frames()
    assert json.loads(sent)[0] == 6
    assert told.receive(sent) == SendReceived("a-1", "NotifyPeriodicEventStream", stream)
    assert told.frames() == []
    event, frames = answer_of(told, frame(6, "x", "NotifyPeriodicEventStream", {}))
    assert isinstance(event, FrameRefused)
    assert frames == []


def test_an_unreadable_result_ends_the_call_with_a_result_error():
    caller, called = machine("a"), machine("b")
    caller.call(HEARTBEAT)
    caller.frames()
    event = caller.receive(frame(3, "a-1", {"currentTime": 12}))
    assert isinstance(event, ResultRefused)
    assert event.code is ErrorCode.TYPE_CONSTRAINT_VIOLATION
    [told] = caller.frames()
    assert json.loads(told)[:3] == [5, "a-1", "TypeConstraintViolation"]
    assert caller.outstanding is None
    assert isinstance(called.receive(told), ResultErrorReceived)
    assert called.frames() == []


def test_an_error_ends_the_call():
    caller = machine()
    caller.call(HEARTBEAT)
    event = caller.receive(frame(4, "m-1", "NotSupported", "why", {}))
    assert event == ErrorReceived("m-1", "NotSupported", "why")


STREAM = {"id": 1, "pending": 0, "basetime": NOON, "data": [{"t": 0, "v": "1"}]}
STATUS = {"timestamp": "noon", "connectorStatus": "Available", "evseId": 1, "connectorId": 1}
METER = {"timestamp": NOON, "sampledValue": [{"value": 1}]}


@pytest.mark.parametrize(
    ("text", "message_id", "code"),
    [
        ("", "-1", "RpcFrameworkError"),
        ("hello", "-1", "RpcFrameworkError"),
        ("[2,", "-1", "RpcFrameworkError"),
        ("{}", "-1", "RpcFrameworkError"),
        ("[]", "-1", "RpcFrameworkError"),
        ("[2]", "-1", "RpcFrameworkError"),
        ('["2","x","Heartbeat",{}]', "-1", "RpcFrameworkError"),
        ('[2,7,"Heartbeat",{}]', "-1", "RpcFrameworkError"),
        ('[2,"","Heartbeat",{}]', "-1", "RpcFrameworkError"),
        (json.dumps([2, "x" * 37, "Heartbeat", {}]), "-1", "RpcFrameworkError"),
        ('[2,"x","Heartbeat",{}] tail', "-1", "RpcFrameworkError"),
        ('[2,"x","DataTransfer",{"vendorId":"v","data":NaN}]', "-1", "RpcFrameworkError"),
        ("[" * 30_000, "-1", "RpcFrameworkError"),
        ('[2,"x","Reset",{"data":' + "[" * 15_000 + "]" * 15_000 + "}]", "-1", "RpcFrameworkError"),
        ("[2," + '"x",' * (FRAME_MAX_BYTES // 4) + "1]", "-1", "RpcFrameworkError"),
        ('[2,"x","Heartbeat"]', "x", "RpcFrameworkError"),
        ('[2,"x","Heartbeat",{},{}]', "x", "RpcFrameworkError"),
        ('[2,"x",5,{}]', "x", "RpcFrameworkError"),
        ('[9,"x","Heartbeat",{}]', "x", "MessageTypeNotSupported"),
        ('[2,"x","heartbeat",{}]', "x", "NotImplemented"),
        ('[2,"x","Hack",{}]', "x", "NotImplemented"),
        (frame(2, "x", "NotifyPeriodicEventStream", STREAM), "x", "FormatViolation"),
        ('[2,"x","Heartbeat",[]]', "x", "FormatViolation"),
        ('[2,"x","Heartbeat",{"extra":1}]', "x", "FormatViolation"),
        ('[2,"x","MeterValues",{"meterValue":[]}]', "x", "OccurrenceConstraintViolation"),
        (frame(2, "x", "MeterValues", {"evseId": 1, "meterValue": []}), "x", "OccurrenceConstraintViolation"),
        (frame(2, "x", "MeterValues", {"meterValue": [METER]}), "x", "OccurrenceConstraintViolation"),
        (frame(2, "x", "MeterValues", {"evseId": "1", "meterValue": [METER]}), "x", "TypeConstraintViolation"),
        (frame(2, "x", "MeterValues", {"evseId": None, "meterValue": [METER]}), "x", "TypeConstraintViolation"),
        (frame(2, "x", "MeterValues", {"evseId": 1.5, "meterValue": [METER]}), "x", "TypeConstraintViolation"),
        (frame(2, "x", "MeterValues", {"evseId": -1, "meterValue": [METER]}), "x", "PropertyConstraintViolation"),
        (frame(2, "x", "Reset", {"type": "Explode"}), "x", "PropertyConstraintViolation"),
        (frame(2, "x", "DataTransfer", {"vendorId": "v" * 256}), "x", "PropertyConstraintViolation"),
        (frame(2, "x", "StatusNotification", STATUS), "x", "TypeConstraintViolation"),
        (b'[2,"x","DataTransfer",{"vendorId":"\xff"}]', "x", "FormatViolation"),
    ],
)  # fmt: skip
def test_every_fault_of_a_frame_has_its_code(text, message_id, code):
    called = machine()
    event, [told] = answer_of(called, text)
    assert isinstance(event, FrameRefused)
    assert told[0] == 4
    assert told[1] == message_id
    assert told[2] == code
    assert len(told[3]) <= 255
    assert told[4] == {}
    # The machine is as good as new.
    assert isinstance(called.receive(frame(2, "ok", "Heartbeat", {})), CallReceived)


def test_a_whole_number_written_as_a_decimal_is_an_integer():
    event = machine().receive(frame(2, "x", "MeterValues", {"evseId": 1.0, "meterValue": [METER]}))
    assert isinstance(event, CallReceived)
    assert event.request.evse_id == 1


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_raise(raw):
    called = machine()
    called.receive(raw)
    for told in called.frames():
        assert json.loads(told)[0] in (4, 5)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from([2, 3, 4, 5, 6, 7, "m-1", "x", "Heartbeat", "TransactionEvent", {}, None, []]) | json_values,
        max_size=6,
    )
)
def test_no_json_array_raises_and_answers_are_never_answered_with_errors(parts):
    called = machine()
    called.call(HEARTBEAT)
    called.frames()
    called.receive(json.dumps(parts).encode())
    peer = machine()
    for told in called.frames():
        peer.receive(told)
        assert peer.frames() == []


class FaceToFace(RuleBasedStateMachine):
    """Two machines, two wires that may repeat or lose frames, and people at both ends who answer at leisure."""

    def __init__(self):
        super().__init__()
        self.ends = [machine("a"), machine("b")]
        self.wires = [[], []]  # frames under way to each end
        self.asked = [set(), set()]  # our calls that are not over
        self.over = [[], []]  # how they ended
        self.to_answer = [[], []]

    def pump(self, end):
        for each in self.ends[end].frames():
            self.wires[1 - end].append(each)

    @rule(end=st.integers(0, 1))
    def call(self, end):
        if len(self.asked[end]) < CALLS_QUEUED_MAX:
            self.asked[end].add(self.ends[end].call(HEARTBEAT))
            self.pump(end)

    @rule(end=st.integers(0, 1), repeat=st.booleans())
    def deliver(self, end, repeat):
        if not self.wires[end]:
            return
        each = self.wires[end][0] if repeat else self.wires[end].pop(0)
        event = self.ends[end].receive(each)
        match event:
            case CallReceived():
                self.to_answer[end].append(event.message_id)
            case ResultReceived() | ErrorReceived():
                self.asked[end].remove(event.message_id)
                self.over[end].append(event.message_id)
            case CallRepeated() | AnswerUnmatched():
                pass
            case _:
                raise AssertionError(event)
        self.pump(end)

    @rule(end=st.integers(0, 1))
    def lose(self, end):
        if self.wires[end]:
            self.wires[end].pop(0)

    @rule(end=st.integers(0, 1), well=st.booleans())
    def answer(self, end, well):
        if self.to_answer[end]:
            message_id = self.to_answer[end].pop(0)
            if well:
                self.ends[end].reply(message_id, PULSE)
            else:
                self.ends[end].refuse(message_id, ErrorCode.INTERNAL_ERROR, "no")
            self.pump(end)

    @rule(end=st.integers(0, 1))
    def lose_patience(self, end):
        outstanding = self.ends[end].outstanding
        if outstanding is not None:
            assert self.ends[end].give_up(outstanding)
            self.asked[end].remove(outstanding)
            self.pump(end)

    @invariant()
    def one_call_is_outstanding_as_long_as_any_is_not_over(self):
        for end in (0, 1):
            assert (self.ends[end].outstanding is None) == (not self.asked[end])
            assert self.ends[end].outstanding is None or self.ends[end].outstanding in self.asked[end]

    @invariant()
    def no_call_ends_twice_and_they_end_in_order(self):
        for end in (0, 1):
            numbers = [int(message_id.split("-")[1]) for message_id in self.over[end]]
            assert numbers == sorted(set(numbers))


FaceToFace.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestFaceToFace = FaceToFace.TestCase
