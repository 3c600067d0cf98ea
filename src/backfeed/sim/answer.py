"""What a station answers to the platform's requests.

Actions that are not listed are recognised but not supported, and get the CALLERROR that says so.
"""

from collections.abc import Callable

from msgspec import UNSET, Struct

from backfeed.sim.controller import Controller
from backfeed.sim.profile import ProfileRefusedError
from backfeed.wire import ocpp21

_TRIGGERS = ("Heartbeat", "StatusNotification", "TransactionEvent")


def answer_request(controller: Controller, request: Struct, now_ms: int) -> Struct | None:
    """Do what the platform asks and return the answer; None for an action that is not supported."""
    answer = _ANSWERS.get(type(request))
    return None if answer is None else answer(controller, request, now_ms)


def _set_profile(
    controller: Controller, request: ocpp21.SetChargingProfileRequest, now_ms: int
) -> ocpp21.SetChargingProfileResponse:
    try:
        controller.change_profiles(
            lambda stack, running: stack.install(request.evse_id, request.charging_profile, now_ms, running), now_ms
        )
    except ProfileRefusedError as refusal:
        return ocpp21.SetChargingProfileResponse(status="Rejected", status_info=_status_info(refusal))
    return ocpp21.SetChargingProfileResponse(status="Accepted")


def _clear_profile(
    controller: Controller, request: ocpp21.ClearChargingProfileRequest, now_ms: int
) -> ocpp21.ClearChargingProfileResponse:
    cleared = controller.change_profiles(lambda stack, _: stack.clear(request), now_ms)
    return ocpp21.ClearChargingProfileResponse(status="Accepted" if cleared else "Unknown")


def _update_schedule(
    controller: Controller, request: ocpp21.UpdateDynamicScheduleRequest, now_ms: int
) -> ocpp21.UpdateDynamicScheduleResponse:
    try:
        controller.change_profiles(
            lambda stack, _: stack.update(request.charging_profile_id, request.schedule_update, now_ms), now_ms
        )
    except ProfileRefusedError as refusal:
        return ocpp21.UpdateDynamicScheduleResponse(status="Rejected", status_info=_status_info(refusal))
    return ocpp21.UpdateDynamicScheduleResponse(status="Accepted")


def _get_variables(
    controller: Controller, request: ocpp21.GetVariablesRequest, _now_ms: int
) -> ocpp21.GetVariablesResponse:
    return controller.variables.get(request)


def _set_variables(
    controller: Controller, request: ocpp21.SetVariablesRequest, _now_ms: int
) -> ocpp21.SetVariablesResponse:
    return controller.variables.set(request)


def _stop(
    controller: Controller, request: ocpp21.RequestStopTransactionRequest, now_ms: int
) -> ocpp21.RequestStopTransactionResponse:
    if request.transaction_id != controller.running:
        info = ocpp21.StatusInfo(reason_code="TxNotFound")
        return ocpp21.RequestStopTransactionResponse(status="Rejected", status_info=info)
    controller.stop(now_ms, "RemoteStop", "Remote")
    return ocpp21.RequestStopTransactionResponse(status="Accepted")


def _reset(controller: Controller, request: ocpp21.ResetRequest, now_ms: int) -> ocpp21.ResetResponse:
    if request.type == "ImmediateAndResume" or request.evse_id is not UNSET:
        return ocpp21.ResetResponse(status="Rejected", status_info=ocpp21.StatusInfo(reason_code="UnsupportedRequest"))
    if request.type == "OnIdle" and controller.is_occupied:
        controller.restart_when_idle()
        return ocpp21.ResetResponse(status="Scheduled")
    controller.stop(now_ms, "ResetCommand", "ImmediateReset")
    controller.restart(now_ms, "RemoteReset")
    return ocpp21.ResetResponse(status="Accepted")


def _trigger(
    controller: Controller, request: ocpp21.TriggerMessageRequest, now_ms: int
) -> ocpp21.TriggerMessageResponse:
    if request.requested_message not in _TRIGGERS:
        return ocpp21.TriggerMessageResponse(status="NotImplemented")
    done = controller.trigger(request.requested_message, now_ms)
    return ocpp21.TriggerMessageResponse(status="Accepted" if done else "Rejected")


def _status_info(refusal: ProfileRefusedError) -> ocpp21.StatusInfo:
    return ocpp21.StatusInfo(reason_code=refusal.reason, additional_info=refusal.detail)


_ANSWERS: dict[type[Struct], Callable[..., Struct]] = {
    ocpp21.SetChargingProfileRequest: _set_profile,
    ocpp21.ClearChargingProfileRequest: _clear_profile,
    ocpp21.UpdateDynamicScheduleRequest: _update_schedule,
    ocpp21.GetVariablesRequest: _get_variables,
    ocpp21.SetVariablesRequest: _set_variables,
    ocpp21.RequestStopTransactionRequest: _stop,
    ocpp21.ResetRequest: _reset,
    ocpp21.TriggerMessageRequest: _trigger,
}
