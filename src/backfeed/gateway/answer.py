"""What the platform answers to each message of a station, and what it learns from it.

An answer is a value: the response and the events that must be committed before it may be sent. Nothing here
waits, writes or sends. Actions fall into four kinds:

- **sessions and meters** (boot, status, authorise, transactions, meter values, needs): events of their own;
- **notices** (security events, logs, firmware, device model, limits, DER): kept in the log as they are and
  acknowledged;
- **requests the platform can not serve** (certificates, event streams, pulled schedules): an honest refusal in
  the words of the response;
- **all other actions of OCPP**: NotSupported.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast, get_args

import msgspec
from msgspec import Struct

from backfeed.core.instant import format_instant
from backfeed.fleet.event import (
    AnyEvent,
    EvseStatusChanged,
    MetersRead,
    Refused,
    StationBooted,
    StationReported,
    TokenAuthorised,
    TransactionChanged,
)
from backfeed.gateway.memory import StationMemory
from backfeed.gateway.needs import needs_of
from backfeed.gateway.reading import Readings, instant_of, readings_of
from backfeed.wire import ocpp21
from backfeed.wire.payload import ErrorCode

DETAIL_MAX_CHARS = 500


class RefusedCallError(Exception):
    """A call that gets a CALLERROR."""

    def __init__(self, code: ErrorCode, description: str) -> None:
        """Refuse with one of Part 4's codes."""
        super().__init__(description)
        self.code = code


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, when, and what the platform's answer depends on."""

    station: str
    now_ms: int
    memory: StationMemory
    authorise: Callable[[str, str], str]
    heartbeat_interval_s: int
    transfers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, and the events that must be committed before it is sent."""

    response: Struct
    events: tuple[AnyEvent, ...] = ()


def answer(asking: Asking, action: str, request: Any) -> Answer:  # noqa: ANN401 (the request of the action)
    """Return the answer to a call.

    Raises
    ------
    RefusedCallError
        If the call gets an error instead.
    """
    try:
        if action in _ANSWERS:
            return _ANSWERS[action](asking, request)
        if action in _NOTICES:
            return Answer(_NOTICES[action], (_notice(asking, action, request),))
        if action in _REFUSALS:
            return Answer(_REFUSALS[action])
    except ValueError as problem:
        raise RefusedCallError(ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, f"{action}: {problem}") from problem
    raise RefusedCallError(ErrorCode.NOT_SUPPORTED, f"this platform takes no {action} from a station")


def _boot(asking: Asking, request: ocpp21.BootNotificationRequest) -> Answer:
    station = request.charging_station
    response = ocpp21.BootNotificationResponse(
        current_time=format_instant(asking.now_ms), interval=asking.heartbeat_interval_s, status="Accepted"
    )
    booted = StationBooted(
        at_ms=asking.now_ms,
        station=asking.station,
        vendor=station.vendor_name,
        model=station.model,
        reason=request.reason,
    )
    return Answer(response, (booted,))


def _heartbeat(asking: Asking, _request: ocpp21.HeartbeatRequest) -> Answer:
    return Answer(ocpp21.HeartbeatResponse(current_time=format_instant(asking.now_ms)))


def _status(asking: Asking, request: ocpp21.StatusNotificationRequest) -> Answer:
    changed = EvseStatusChanged(
        at_ms=asking.now_ms,
        station=asking.station,
        evse=request.evse_id,
        connector=request.connector_id,
        status=request.connector_status,
        measured_ms=instant_of(request.timestamp),
    )
    return Answer(ocpp21.StatusNotificationResponse(), (changed,))


def _authorise(asking: Asking, request: ocpp21.AuthorizeRequest) -> Answer:
    token = request.id_token.id_token
    information = _token_information(asking, token)
    authorised = TokenAuthorised(at_ms=asking.now_ms, station=asking.station, token=token, status=information.status)
    return Answer(ocpp21.AuthorizeResponse(id_token_info=information), (authorised,))


def _token_information(asking: Asking, token: str) -> ocpp21.IdTokenInfo:
    status = asking.authorise(asking.station, token)
    assert status in get_args(ocpp21.AuthorizationStatusEnum), f"{status} is no AuthorizationStatus"
    return ocpp21.IdTokenInfo(status=cast("ocpp21.AuthorizationStatusEnum", status))


_PHASES: dict[str, Any] = {"Started": "started", "Updated": "updated", "Ended": "ended"}


def _transaction(asking: Asking, request: ocpp21.TransactionEventRequest) -> Answer:
    about = request.transaction_info
    found = readings_of(request.meter_value or ())
    changed = TransactionChanged(
        at_ms=asking.now_ms,
        station=asking.station,
        evse=request.evse.id if request.evse else asking.memory.evse_of(about.transaction_id),
        transaction=about.transaction_id,
        sequence=request.seq_no,
        phase=_PHASES[request.event_type],
        trigger=request.trigger_reason,
        measured_ms=instant_of(request.timestamp),
        token=request.id_token.id_token if request.id_token else None,
        charging_state=about.charging_state or None,
        stopped_reason=about.stopped_reason or None,
        offline=request.offline or False,
        readings=found.readings,
    )
    response = ocpp21.TransactionEventResponse()
    if request.id_token:
        information = _token_information(asking, request.id_token.id_token)
        response = ocpp21.TransactionEventResponse(id_token_info=information)
    if asking.memory.has_seen(changed):
        return Answer(response)
    return Answer(response, (changed, *_faults(asking, found.faults)))


def _meter_values(asking: Asking, request: ocpp21.MeterValuesRequest) -> Answer:
    found: Readings = readings_of(request.meter_value)
    events: list[AnyEvent] = list(_faults(asking, found.faults))
    if found.readings:
        read = MetersRead(at_ms=asking.now_ms, station=asking.station, evse=request.evse_id, readings=found.readings)
        events.insert(0, read)
    return Answer(ocpp21.MeterValuesResponse(), tuple(events))


def _needs(asking: Asking, request: ocpp21.NotifyEVChargingNeedsRequest) -> Answer:
    transfer = request.charging_needs.requested_energy_transfer
    if transfer not in asking.transfers:
        refused = Refused(
            at_ms=asking.now_ms,
            what=f"{asking.station} EVSE {request.evse_id}",
            reason=f"energy transfer {transfer} is not offered here",
        )
        return Answer(ocpp21.NotifyEVChargingNeedsResponse(status="Rejected"), (refused,))
    needs, faults = needs_of(asking.station, asking.now_ms, request)
    response = ocpp21.NotifyEVChargingNeedsResponse(status="Accepted")
    return Answer(response, (needs, *_faults(asking, faults)))


def _faults(asking: Asking, faults: Iterable[str]) -> tuple[AnyEvent, ...]:
    return tuple(
        Refused(at_ms=asking.now_ms, what=f"{asking.station}: a value that can not be", reason=fault)
        for fault in faults
    )


def _notice(asking: Asking, action: str, request: Struct) -> AnyEvent:
    detail = msgspec.json.encode(request).decode()[:DETAIL_MAX_CHARS]
    return StationReported(at_ms=asking.now_ms, station=asking.station, action=action, detail=detail)


_ANSWERS: dict[str, Callable[[Asking, Any], Answer]] = {
    "Authorize": _authorise,
    "BootNotification": _boot,
    "Heartbeat": _heartbeat,
    "MeterValues": _meter_values,
    "NotifyEVChargingNeeds": _needs,
    "StatusNotification": _status,
    "TransactionEvent": _transaction,
}

_NOTICES: dict[str, Struct] = {
    "ClearedChargingLimit": ocpp21.ClearedChargingLimitResponse(),
    "FirmwareStatusNotification": ocpp21.FirmwareStatusNotificationResponse(),
    "LogStatusNotification": ocpp21.LogStatusNotificationResponse(),
    "NotifyChargingLimit": ocpp21.NotifyChargingLimitResponse(),
    "NotifyCustomerInformation": ocpp21.NotifyCustomerInformationResponse(),
    "NotifyDERAlarm": ocpp21.NotifyDERAlarmResponse(),
    "NotifyDERStartStop": ocpp21.NotifyDERStartStopResponse(),
    "NotifyDisplayMessages": ocpp21.NotifyDisplayMessagesResponse(),
    "NotifyEVChargingSchedule": ocpp21.NotifyEVChargingScheduleResponse(status="Accepted"),
    "NotifyEvent": ocpp21.NotifyEventResponse(),
    "NotifyMonitoringReport": ocpp21.NotifyMonitoringReportResponse(),
    "NotifyPriorityCharging": ocpp21.NotifyPriorityChargingResponse(),
    "NotifyReport": ocpp21.NotifyReportResponse(),
    "PublishFirmwareStatusNotification": ocpp21.PublishFirmwareStatusNotificationResponse(),
    "ReportChargingProfiles": ocpp21.ReportChargingProfilesResponse(),
    "ReportDERControl": ocpp21.ReportDERControlResponse(),
    "ReservationStatusUpdate": ocpp21.ReservationStatusUpdateResponse(),
    "SecurityEventNotification": ocpp21.SecurityEventNotificationResponse(),
}

_REFUSALS: dict[str, Struct] = {
    "DataTransfer": ocpp21.DataTransferResponse(status="UnknownVendorId"),
    "Get15118EVCertificate": ocpp21.Get15118EVCertificateResponse(status="Failed", exi_response=""),
    "GetCertificateStatus": ocpp21.GetCertificateStatusResponse(status="Failed"),
    "OpenPeriodicEventStream": ocpp21.OpenPeriodicEventStreamResponse(status="Rejected"),
    "PullDynamicScheduleUpdate": ocpp21.PullDynamicScheduleUpdateResponse(status="Rejected"),
    "SignCertificate": ocpp21.SignCertificateResponse(status="Rejected"),
}
