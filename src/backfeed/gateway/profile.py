"""Orders as OCPP charging profiles: the setpoint above, the safe default below.

Two profiles stand on every EVSE. At the bottom lies a TxDefaultProfile that only lets the car charge: it has
no end, so whatever happens to the platform, nothing flows back into the grid and the site's cap is kept. Above
it lies the present order, a TxProfile with a `duration`: the watchdog. When no newer order comes, it lapses by
itself and the default rules again. An order may end with a rest, a second period in which nothing flows.

A profile with a new id on a stack level that another holds for the same transaction must be rejected
(Part 2, K01), so orders of one EVSE all carry one id and each replaces the last. The ids are positive; negative
ones belong to external actors.

Signs and units: W, setpoint positive charges and negative discharges, `limit` >= 0 (Part 2, Q and
ChargingSchedulePeriodType); values carry at most one decimal, as Part 2 asks.
"""

from backfeed.core.instant import MS_PER_S, format_instant
from backfeed.core.sign import limits_to_ocpp_w, setpoint_to_ocpp_w
from backfeed.fleet.order import Mode, SetpointOrder
from backfeed.wire.ocpp21 import (
    ChargingProfile,
    ChargingSchedule,
    ChargingSchedulePeriod,
    SetChargingProfileRequest,
)

DEFAULT_STACK_LEVEL = 0
ORDER_STACK_LEVEL = 1
DEFAULT_PROFILE_BASE = 1_000
ORDER_PROFILE_BASE = 2_000
_DECIMALS = 1


def order_request(order: SetpointOrder, now_ms: int) -> SetChargingProfileRequest:
    """Return the message that puts an order in force until exactly `order.until_ms`.

    A schedule lasts whole seconds, so it starts up to a second in the past rather than end at another
    instant than was ordered; a rest after it may end up to a second early.
    """
    assert order.until_ms > now_ms, f"the order lapsed at {format_instant(order.until_ms)}"
    duration_s = -(-(order.until_ms - now_ms) // MS_PER_S)
    rest_s = max(order.rest_until_ms - order.until_ms, 0) // MS_PER_S
    rest = (ChargingSchedulePeriod(start_period=duration_s, operation_mode="CentralSetpoint", setpoint=0.0),)
    schedule = ChargingSchedule(
        id=ORDER_PROFILE_BASE + order.evse,
        start_schedule=format_instant(order.until_ms - duration_s * MS_PER_S),
        duration=duration_s + rest_s,
        charging_rate_unit="W",
        charging_schedule_period=(_period(order), *(rest if rest_s else ())),
    )
    profile = ChargingProfile(
        id=ORDER_PROFILE_BASE + order.evse,
        stack_level=ORDER_STACK_LEVEL,
        charging_profile_purpose="TxProfile",
        charging_profile_kind="Absolute",
        transaction_id=order.transaction,
        charging_schedule=(schedule,),
    )
    return SetChargingProfileRequest(evse_id=order.evse, charging_profile=profile)


def default_request(evse: int, charge_max_kw: float) -> SetChargingProfileRequest:
    """Return the message that sets the safe default of an EVSE (0: of all): charge up to a power, never export.

    The schedule is relative, so it holds from the start of every transaction whatever the station's clock says.
    """
    period = ChargingSchedulePeriod(start_period=0, operation_mode="ChargingOnly", limit=_limit_w(charge_max_kw))
    schedule = ChargingSchedule(
        id=DEFAULT_PROFILE_BASE + evse, charging_rate_unit="W", charging_schedule_period=(period,)
    )
    profile = ChargingProfile(
        id=DEFAULT_PROFILE_BASE + evse,
        stack_level=DEFAULT_STACK_LEVEL,
        charging_profile_purpose="TxDefaultProfile",
        charging_profile_kind="Relative",
        charging_schedule=(schedule,),
    )
    return SetChargingProfileRequest(evse_id=evse, charging_profile=profile)


def _period(order: SetpointOrder) -> ChargingSchedulePeriod:
    if order.mode is Mode.SETPOINT:
        setpoint_w = round(setpoint_to_ocpp_w(order.power_kw), _DECIMALS) + 0.0
        return ChargingSchedulePeriod(start_period=0, operation_mode="CentralSetpoint", setpoint=setpoint_w)
    return ChargingSchedulePeriod(start_period=0, operation_mode="ChargingOnly", limit=_limit_w(order.power_kw))


def _limit_w(charge_max_kw: float) -> float:
    limit_w, _ = limits_to_ocpp_w(charge_max_kw, 0.0)
    return round(limit_w, _DECIMALS)
