"""Payloads: JSON to typed messages and back, and which error code a bad one deserves.

Source of the codes: OCPP 2.1 Part 4, table "Valid Error Codes".
"""

import functools
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Raw, Struct


class ErrorCode(StrEnum):
    """The error codes of Part 4, table "Valid Error Codes"."""

    FORMAT_VIOLATION = "FormatViolation"
    GENERIC_ERROR = "GenericError"
    INTERNAL_ERROR = "InternalError"
    MESSAGE_TYPE_NOT_SUPPORTED = "MessageTypeNotSupported"
    NOT_IMPLEMENTED = "NotImplemented"
    NOT_SUPPORTED = "NotSupported"
    OCCURRENCE_CONSTRAINT_VIOLATION = "OccurrenceConstraintViolation"
    PROPERTY_CONSTRAINT_VIOLATION = "PropertyConstraintViolation"
    PROTOCOL_ERROR = "ProtocolError"
    RPC_FRAMEWORK_ERROR = "RpcFrameworkError"
    SECURITY_ERROR = "SecurityError"
    TYPE_CONSTRAINT_VIOLATION = "TypeConstraintViolation"


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading JSON from a stranger can raise."""

_FAULTS: tuple[tuple[re.Pattern[str], ErrorCode], ...] = (
    (re.compile(r"missing required field|Expected `array` of length"), ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION),
    (re.compile(r"matching regex"), ErrorCode.TYPE_CONSTRAINT_VIOLATION),
    (re.compile(r"unknown field|Expected `object`, got `\w+`$"), ErrorCode.FORMAT_VIOLATION),
    (re.compile(r"Expected `[^`]+`, got"), ErrorCode.TYPE_CONSTRAINT_VIOLATION),
    (
        re.compile(r"Expected `\w+` (of length|[<>]=)|Invalid enum|out of range"),
        ErrorCode.PROPERTY_CONSTRAINT_VIOLATION,
    ),
)


def fault_code(problem: Exception) -> ErrorCode:
    """Return the error code of Part 4 for a payload that could not be decoded."""
    text = str(problem)
    for pattern, code in _FAULTS:
        if pattern.search(text):
            return code
    return ErrorCode.FORMAT_VIOLATION


def describe_fault(problem: Exception) -> str:
    """Say what is wrong with a payload, without the regular expression that only dateTime has."""
    return re.sub(r"Expected `str` matching regex '.*'", "Expected an RFC 3339 date-time", str(problem))


@functools.cache
def _decoder(message: type[Struct]) -> Callable[[Raw], Struct]:
    return msgspec.json.Decoder(message).decode


def decode_payload(message: type[Struct], payload: Raw | bytes) -> Struct:
    """Decode a payload as its schema demands.

    JSON Schema counts 1.0 as an integer and some chargers write it; the fast path does not, so a payload
    that fails for that reason is read again with its whole numbers made integers.

    Raises
    ------
    msgspec.DecodeError, UnicodeDecodeError, RecursionError
        If the payload is not JSON or breaks its schema.
    """
    raw = payload if isinstance(payload, Raw) else Raw(payload)
    try:
        return _decoder(message)(raw)
    except msgspec.ValidationError as problem:
        if "Expected `int`, got `float`" not in str(problem):
            raise
    return msgspec.convert(_whole_numbers_as_int(msgspec.json.decode(raw)), message)


def _whole_numbers_as_int(value: Any) -> Any:  # noqa: ANN401 (any JSON value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, list):
        return [_whole_numbers_as_int(each) for each in value]
    if isinstance(value, dict):
        return {name: _whole_numbers_as_int(each) for name, each in value.items()}
    return value
