"""OCPP-J as a machine without I/O: frames in, events out; messages in, frames out.

Source: OCPP 2.1 Part 4, JSON over WebSockets. Both ends of a link run the same machine, because every
message type may be sent by either.

Theory of operation
-------------------
The machine owns no socket and no clock. Whoever owns the link passes each frame to `receive`, which
returns what it means as an event, and after every call to the machine sends whatever `frames` gives, in
that order. A conversation is four independent little state machines:

==================  ==============================================  ===============================
who                 state                                           ends with
==================  ==============================================  ===============================
our calls           queued -> outstanding -> over; one outstanding  result, error, `give_up`
our results         sent                                            nothing, or a result error (5)
the peer's calls    received -> answered; answers are remembered    `reply` or `refuse`
sends (6)           sent or received                                at once; nobody answers
==================  ==============================================  ===============================

*Our calls.* Part 4 allows one unanswered CALL each way, so `call` puts the message in a queue and the
machine releases the next when the one before is over. A queued call can be withdrawn, an outstanding one
only given up; an answer that comes after that is `AnswerUnmatched` and changes nothing.

*The peer's calls.* A peer that breaks the rule of one is served all the same, a few calls deep, because
chargers do break it when they lose patience. The same frame again (a peer that repeats itself after a lost
answer) gets the same answer again without a second `CallReceived`; while the first is still in work, the
repetition is only noted.

*Refusals.* Nothing a peer sends raises. What can not be read at all is answered with a CALLERROR whose id is
"-1"; what can, with the error code that Part 4 gives to its fault. An answer (3, 4, 5) or a SEND is never
answered with a CALLERROR, so two machines can not quarrel for ever; an unreadable result is answered with a
CALLRESULTERROR and ends the call.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

import msgspec
from msgspec import Raw, Struct

from backfeed.core.ids import IdSource
from backfeed.wire.ocpp21 import REQUESTS, RESPONSES
from backfeed.wire.payload import UNREADABLE, ErrorCode, decode_payload, describe_fault, fault_code

FRAME_MAX_BYTES = 65_536
"""The longest frame that is read: far above any message in use, far below what could hurt."""

MESSAGE_ID_MAX_CHARS = 36
UNREADABLE_ID = "-1"
DESCRIPTION_MAX_CHARS = 255

CALLS_QUEUED_MAX = 64
"""Beyond this many waiting calls a peer is not keeping up and the caller must know."""

CALLS_UNANSWERED_MAX = 8
ANSWERS_REMEMBERED = 8


class MessageType(IntEnum):
    """The first element of every frame."""

    CALL = 2
    CALL_RESULT = 3
    CALL_ERROR = 4
    CALL_RESULT_ERROR = 5
    SEND = 6


class TooManyCallsError(Exception):
    """The queue of calls is full: the peer answers none of them."""


@dataclass(frozen=True, slots=True)
class CallReceived:
    """The peer asks for something; it waits for `reply` or `refuse`."""

    message_id: str
    action: str
    request: Struct


@dataclass(frozen=True, slots=True)
class CallRepeated:
    """The peer has sent the very same call again; it needs nothing from us."""

    message_id: str


@dataclass(frozen=True, slots=True)
class SendReceived:
    """The peer tells something and waits for no answer."""

    message_id: str
    action: str
    request: Struct


@dataclass(frozen=True, slots=True)
class ResultReceived:
    """Our call has been answered."""

    message_id: str
    response: Struct


@dataclass(frozen=True, slots=True)
class ErrorReceived:
    """Our call has been answered with an error."""

    message_id: str
    code: str
    description: str


@dataclass(frozen=True, slots=True)
class ResultRefused:
    """Our call has been answered with something that its schema forbids; the peer has been told."""

    message_id: str
    code: ErrorCode
    description: str


@dataclass(frozen=True, slots=True)
class ResultErrorReceived:
    """The peer could not use a result of ours."""

    message_id: str
    code: str
    description: str


@dataclass(frozen=True, slots=True)
class AnswerUnmatched:
    """An answer to no outstanding call: too late, twice, or never asked for."""

    message_id: str
    description: str


@dataclass(frozen=True, slots=True)
class FrameRefused:
    """A frame that can not be used; the peer has been told where Part 4 allows it."""

    message_id: str
    code: ErrorCode
    description: str


CallEvent = (
    CallReceived
    | CallRepeated
    | SendReceived
    | ResultReceived
    | ErrorReceived
    | ResultRefused
    | ResultErrorReceived
    | AnswerUnmatched
    | FrameRefused
)

_ACTIONS: dict[type[Struct], str] = {request: action for action, request in REQUESTS.items()}
_SPLIT = msgspec.json.Decoder(list[Raw])
_WHOLE_NUMBER = msgspec.json.Decoder(int)
_TEXT = msgspec.json.Decoder(str)
_ENCODE = msgspec.json.Encoder().encode


class CallMachine:
    """One end of an OCPP-J conversation."""

    def __init__(self, ids: IdSource) -> None:
        """Begin a conversation; `ids` gives the ids of our calls, never the same twice for a station."""
        self._ids = ids
        self._to_send: list[bytes] = []
        self._queue: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        self._outstanding: tuple[str, str] | None = None
        self._unanswered: dict[str, tuple[int, str]] = {}
        self._answered: OrderedDict[str, tuple[int, bytes]] = OrderedDict()

    @property
    def outstanding(self) -> str | None:
        """The id of our call that the peer has not answered yet."""
        return self._outstanding[0] if self._outstanding else None

    @property
    def has_frames(self) -> bool:
        """Whether there is anything to send now."""
        return bool(self._to_send)

    def frames(self) -> list[bytes]:
        """Take the frames that are to be sent now, in order."""
        frames, self._to_send = self._to_send, []
        return frames

    def call(self, request: Struct) -> str:
        """Queue a CALL and return its message id.

        Raises
        ------
        TooManyCallsError
            If `CALLS_QUEUED_MAX` calls are waiting.
        """
        if len(self._queue) >= CALLS_QUEUED_MAX:
            message = f"{len(self._queue)} calls are waiting for the peer"
            raise TooManyCallsError(message)
        action, message_id = _ACTIONS[type(request)], self._ids.next_id()
        self._queue[message_id] = (action, _frame(MessageType.CALL, message_id, action, request))
        self._release()
        return message_id

    def send(self, request: Struct) -> str:
        """Queue a SEND, which nobody answers, and return its message id."""
        action, message_id = _ACTIONS[type(request)], self._ids.next_id()
        self._to_send.append(_frame(MessageType.SEND, message_id, action, request))
        return message_id

    def withdraw(self, message_id: str) -> bool:
        """Take back a call that is still queued; return whether it was."""
        return self._queue.pop(message_id, None) is not None

    def give_up(self, message_id: str) -> bool:
        """Stop waiting for the answer to the outstanding call; return whether it was outstanding."""
        if self.outstanding != message_id:
            return False
        self._outstanding = None
        self._release()
        return True

    def reply(self, message_id: str, response: Struct) -> None:
        """Answer a call of the peer with its result."""
        action = self._unanswered[message_id][1]
        assert isinstance(response, RESPONSES[action]), f"{type(response).__name__} does not answer {action}"
        self._answer(message_id, _frame(MessageType.CALL_RESULT, message_id, response))

    def refuse(self, message_id: str, code: ErrorCode, description: str) -> None:
        """Answer a call of the peer with an error."""
        self._answer(message_id, _error_frame(MessageType.CALL_ERROR, message_id, code, description))

    def receive(self, frame: bytes) -> CallEvent:
        """Read a frame and return what it means; nothing that a peer sends raises."""
        header = _header(frame)
        if isinstance(header, str):
            return self._refused(UNREADABLE_ID, ErrorCode.RPC_FRAMEWORK_ERROR, header)
        kind, message_id, parts = header
        rule = self._RULES.get(kind)
        if rule is None:
            return self._refused(message_id, ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED, f"message type {kind} is unknown")
        fewest, most, meaning = rule
        return meaning(self, message_id, parts if fewest <= len(parts) <= most else (), frame)

    def _on_call(self, message_id: str, parts: tuple[Raw, ...], frame: bytes) -> CallEvent:
        mark = hash(frame)
        repeated = self._repetition(message_id, mark)
        if repeated is not None:
            return repeated
        if len(self._unanswered) >= CALLS_UNANSWERED_MAX:
            return self._refused(message_id, ErrorCode.RPC_FRAMEWORK_ERROR, "too many calls wait for their answer")
        opened = _open(parts)
        if isinstance(opened, FrameRefused):
            return self._refused(message_id, opened.code, opened.description)
        action, request = opened
        if action not in RESPONSES:
            return self._refused(message_id, ErrorCode.FORMAT_VIOLATION, f"{action} is a SEND, not a CALL")
        self._unanswered[message_id] = (mark, action)
        return CallReceived(message_id, action, request)

    def _repetition(self, message_id: str, mark: int) -> CallEvent | None:
        if message_id in self._unanswered:
            if self._unanswered[message_id][0] == mark:
                return CallRepeated(message_id)
            return FrameRefused(message_id, ErrorCode.RPC_FRAMEWORK_ERROR, "this id belongs to a call in work")
        answered = self._answered.get(message_id)
        if answered is None or answered[0] != mark:
            return None
        self._to_send.append(answered[1])
        return CallRepeated(message_id)

    def _on_send(self, message_id: str, parts: tuple[Raw, ...], _frame: bytes) -> CallEvent:
        opened = _open(parts)
        if isinstance(opened, FrameRefused):
            return FrameRefused(message_id, opened.code, opened.description)
        return SendReceived(message_id, *opened)

    def _on_result(self, message_id: str, parts: tuple[Raw, ...], _frame: bytes) -> CallEvent:
        if self._outstanding is None or self._outstanding[0] != message_id:
            return AnswerUnmatched(message_id, "a result to no outstanding call")
        action = self._outstanding[1]
        self.give_up(message_id)
        try:
            return ResultReceived(message_id, decode_payload(RESPONSES[action], parts[0] if parts else b"null"))
        except UNREADABLE as problem:
            code, description = (
                fault_code(problem),
                f"result of {action}: {describe_fault(problem)}"[:DESCRIPTION_MAX_CHARS],
            )
        self._to_send.append(_error_frame(MessageType.CALL_RESULT_ERROR, message_id, code, description))
        return ResultRefused(message_id, code, description)

    def _on_error(self, message_id: str, parts: tuple[Raw, ...], _frame: bytes) -> CallEvent:
        code, description = _error_of(parts)
        if self.give_up(message_id):
            return ErrorReceived(message_id, code, description)
        return AnswerUnmatched(message_id, f"an error to no outstanding call: {code} {description}")

    def _on_result_error(self, message_id: str, parts: tuple[Raw, ...], _frame: bytes) -> CallEvent:
        return ResultErrorReceived(message_id, *_error_of(parts))

    _Meaning = Callable[["CallMachine", str, tuple[Raw, ...], bytes], CallEvent]

    _RULES: ClassVar[dict[int, tuple[int, int, _Meaning]]] = {
        # message type: fewest and most elements after type and id, and what the frame means
        MessageType.CALL: (2, 2, _on_call),
        MessageType.CALL_RESULT: (1, 1, _on_result),
        MessageType.CALL_ERROR: (1, 3, _on_error),
        MessageType.CALL_RESULT_ERROR: (1, 3, _on_result_error),
        MessageType.SEND: (2, 2, _on_send),
    }

    def _release(self) -> None:
        if self._outstanding is None and self._queue:
            message_id, (action, frame) = self._queue.popitem(last=False)
            self._outstanding = (message_id, action)
            self._to_send.append(frame)

    def _answer(self, message_id: str, frame: bytes) -> None:
        mark = self._unanswered.pop(message_id)[0]
        self._answered[message_id] = (mark, frame)
        if len(self._answered) > ANSWERS_REMEMBERED:
            self._answered.popitem(last=False)
        self._to_send.append(frame)

    def _refused(self, message_id: str, code: ErrorCode, description: str) -> FrameRefused:
        shown = description[:DESCRIPTION_MAX_CHARS]
        self._to_send.append(_error_frame(MessageType.CALL_ERROR, message_id, code, shown))
        return FrameRefused(message_id, code, shown)


def _header(frame: bytes) -> tuple[int, str, tuple[Raw, ...]] | str:
    """Return message type, message id and the rest of a frame, or why it can not be read."""
    if len(frame) > FRAME_MAX_BYTES:
        return f"the frame has {len(frame)} bytes, at most {FRAME_MAX_BYTES} are read"
    try:
        kind, message_id, *parts = _SPLIT.decode(frame)
        number, text = _WHOLE_NUMBER.decode(kind), _TEXT.decode(message_id)
    except UNREADABLE as problem:
        return f"the frame is not an OCPP-J message: {problem}"
    except ValueError:
        return "the frame is too short for an OCPP-J message"
    if not 0 < len(text) <= MESSAGE_ID_MAX_CHARS:
        return f"a message id has 1 to {MESSAGE_ID_MAX_CHARS} characters"
    return number, text, tuple(parts)


def _frame(kind: MessageType, *parts: str | Struct) -> bytes:
    frame = _ENCODE((int(kind), *parts))
    assert len(frame) <= FRAME_MAX_BYTES, f"a frame of {len(frame)} bytes is too long to be read"
    return frame


def _error_frame(kind: MessageType, message_id: str, code: ErrorCode, description: str) -> bytes:
    return _ENCODE((int(kind), message_id, code, description[:DESCRIPTION_MAX_CHARS], {}))


def _open(parts: tuple[Raw, ...]) -> tuple[str, Struct] | FrameRefused:
    """Return action and payload of a CALL or SEND, or what is wrong with them."""
    if not parts:
        return FrameRefused("", ErrorCode.RPC_FRAMEWORK_ERROR, "a CALL or SEND has four elements")
    try:
        action = _TEXT.decode(parts[0])
    except UNREADABLE:
        return FrameRefused("", ErrorCode.RPC_FRAMEWORK_ERROR, "the action is not text")
    if action not in REQUESTS:
        return FrameRefused("", ErrorCode.NOT_IMPLEMENTED, f"{action[:50]} is not an action of OCPP 2.1")
    try:
        return action, decode_payload(REQUESTS[action], parts[1])
    except UNREADABLE as problem:
        return FrameRefused("", fault_code(problem), f"{action}: {describe_fault(problem)}")


def _error_of(parts: tuple[Raw, ...]) -> tuple[str, str]:
    """Return code and description of an error frame, as far as they can be read."""
    texts = []
    for part in parts[:2]:
        try:
            texts.append(_TEXT.decode(part)[:DESCRIPTION_MAX_CHARS])
        except UNREADABLE:
            texts.append("")
    code, description = [*texts, "", ""][:2]
    return code or ErrorCode.GENERIC_ERROR, description
