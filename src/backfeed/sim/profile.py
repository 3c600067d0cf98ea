"""Which charging profile a station follows at an instant, and until when.

The rules of OCPP 2.1 Edition 1, Part 2, functional block K, as far as one EVSE needs them:

- A TxProfile of the running transaction goes before any TxDefaultProfile (K01.FR.38 ff., 3.13.3
  "stacking"); of one purpose the highest `stackLevel` that is valid and has a period now is followed.
  When a schedule's `duration` or `validTo` is over, the next lower one is followed from that instant.
- A ChargingStationMaxProfile caps what the others let flow into the car.
- The same id replaces (K01.FR.05); another id with the same purpose and level is refused.
- `limit` is never negative, `dischargeLimit` never positive, `setpoint` charges when positive.
- With nothing to follow, the station charges the car with all it has and exports nothing.

A station refuses at once what it can not follow, with a reason code of the standard's appendix.
Schedules are compiled when they are installed; following them is a walk over a few integers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from msgspec import UNSET, UnsetType

from backfeed.core.instant import MS_PER_DAY, MS_PER_S, parse_instant
from backfeed.core.sign import limits_from_ocpp_kw, setpoint_from_ocpp_kw
from backfeed.wire import ocpp21

FAR_MS = 2**62
"""An instant that does not come."""

STACK_LEVEL_MAX = 9
PERIODS_MAX = 1024
MAINS_V = 230.0
DEFAULT_PHASES = 3
EVSE = 1

_PURPOSES = ("TxDefaultProfile", "TxProfile", "ChargingStationMaxProfile")
_RECURRENCE_MS = {"Daily": MS_PER_DAY, "Weekly": 7 * MS_PER_DAY}


class OperationMode(StrEnum):
    """The operation modes that these stations know, in OCPP's words."""

    CHARGING_ONLY = "ChargingOnly"
    CENTRAL_SETPOINT = "CentralSetpoint"
    IDLE = "Idle"


_MODES = tuple(mode.value for mode in OperationMode)


@dataclass(frozen=True, slots=True)
class Setting:
    """What is to be done now: a power to follow, or in CHARGING_ONLY the most that may flow.

    `power_kw` is charging positive; `until_ms` is when this may change by itself.
    """

    mode: OperationMode
    power_kw: float
    until_ms: int


class Reason(StrEnum):
    """Why a profile is refused: reason codes of the standard's appendix."""

    DUPLICATE_PROFILE = "DuplicateProfile"
    INVALID_PROFILE = "InvalidProfile"
    INVALID_SCHEDULE = "InvalidSchedule"
    INVALID_STACK_LEVEL = "InvalidStackLevel"
    INVALID_VALUE = "InvalidValue"
    MISSING_PARAM = "MissingParam"
    TX_NOT_FOUND = "TxNotFound"
    UNSUPPORTED_PURPOSE = "UnsupportedPurpose"


class ProfileRefusedError(Exception):
    """A profile that the station can not follow, with the standard's reason code."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Keep the reason code, and a sentence for people."""
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class _Period:
    offset_ms: int
    mode: OperationMode
    power_kw: float


@dataclass(frozen=True, slots=True)
class _Profile:
    """A profile compiled for following."""

    profile_id: int
    purpose: str
    stack_level: int
    transaction: str
    start_ms: int | None
    duration_ms: int
    recurrence_ms: int
    valid_from_ms: int
    valid_to_ms: int
    periods: tuple[_Period, ...]
    dynamic_unit: str
    offline_max_ms: int
    dies_offline: bool

    def at(self, now_ms: int, relative_start_ms: int, offline_since_ms: int) -> tuple[_Period | None, int]:
        """Return the period that applies, if one does, and when that changes by itself."""
        valid_to_ms = min(self.valid_to_ms, offline_since_ms + self.offline_max_ms)
        if now_ms >= valid_to_ms:
            return None, FAR_MS
        if now_ms < self.valid_from_ms:
            return None, self.valid_from_ms
        begin_ms = relative_start_ms if self.start_ms is None else self.start_ms
        if now_ms < begin_ms:
            return None, min(begin_ms, valid_to_ms)
        next_begin_ms = FAR_MS
        if self.recurrence_ms:
            begin_ms += (now_ms - begin_ms) // self.recurrence_ms * self.recurrence_ms
            next_begin_ms = begin_ms + self.recurrence_ms
        end_ms = min(begin_ms + self.duration_ms, next_begin_ms)
        if now_ms >= end_ms:
            return None, min(next_begin_ms, valid_to_ms)
        found = self.periods[0]
        for period in self.periods[1:]:
            if begin_ms + period.offset_ms > now_ms:
                end_ms = min(end_ms, begin_ms + period.offset_ms)
                break
            found = period
        return found, min(end_ms, valid_to_ms)


class ProfileStack:
    """The charging profiles of a station with one EVSE."""

    def __init__(self, power_max_kw: float, *, bidirectional: bool) -> None:
        """Begin without profiles at a station of a rated power."""
        self._power_max_kw = power_max_kw
        self.bidirectional = bidirectional
        self._profiles: dict[int, _Profile] = {}
        self._offline_since_ms = FAR_MS

    def install(self, evse: int, profile: ocpp21.ChargingProfile, now_ms: int, transaction: str | None) -> None:
        """Install a profile, replacing the one of the same id.

        Raises
        ------
        ProfileRefusedError
            If this station can not follow it; nothing has changed then.
        """
        _check_scope(evse, profile, transaction)
        compiled = self._compile(profile, now_ms)
        for other in self._profiles.values():
            if other.profile_id != compiled.profile_id and _clash(other, compiled):
                reason = Reason.INVALID_STACK_LEVEL if compiled.purpose == "TxProfile" else Reason.DUPLICATE_PROFILE
                raise ProfileRefusedError(reason, f"profile {other.profile_id} has this purpose and stack level")
        self._profiles[compiled.profile_id] = compiled

    def update(self, profile_id: int, update: ocpp21.ChargingScheduleUpdate, now_ms: int) -> None:
        """Update the one period of a dynamic profile; its duration counts anew (K28).

        Raises
        ------
        ProfileRefusedError
            If there is no such dynamic profile, or the station can not follow the values.
        """
        profile = self._profiles.get(profile_id)
        if profile is None or not profile.dynamic_unit:
            raise ProfileRefusedError(Reason.INVALID_PROFILE, f"no dynamic profile {profile_id} is installed")
        if any(getattr(update, name) is not UNSET for name in _PHASE_FIELDS if hasattr(update, name)):
            raise ProfileRefusedError(Reason.INVALID_SCHEDULE, "values per phase are not supported")
        mode = profile.periods[0].mode
        power_kw = self._power_kw(
            mode, profile.dynamic_unit, DEFAULT_PHASES, (update.limit, update.discharge_limit, update.setpoint)
        )
        self._profiles[profile_id] = replace(profile, start_ms=now_ms, periods=(_Period(0, mode, power_kw),))

    def clear(self, request: ocpp21.ClearChargingProfileRequest) -> bool:
        """Remove the profiles that match, by id or by criteria; return whether there were any (K10)."""
        if request.charging_profile_id is not UNSET:
            return self._profiles.pop(request.charging_profile_id, None) is not None
        criteria = request.charging_profile_criteria
        matching = [
            profile.profile_id
            for profile in self._profiles.values()
            if criteria is UNSET
            or (
                criteria.evse_id in (UNSET, 0 if profile.purpose == "ChargingStationMaxProfile" else EVSE)
                and criteria.charging_profile_purpose in (UNSET, profile.purpose)
                and criteria.stack_level in (UNSET, profile.stack_level)
            )
        ]
        for profile_id in matching:
            del self._profiles[profile_id]
        return bool(matching)

    def forget_transaction(self) -> None:
        """Remove the TxProfiles: their transaction is over (K01.FR.04), or the station has restarted."""
        self._profiles = {key: each for key, each in self._profiles.items() if each.purpose != "TxProfile"}

    def go_offline(self, now_ms: int) -> None:
        """Start counting towards `maxOfflineDuration`."""
        self._offline_since_ms = min(self._offline_since_ms, now_ms)

    def go_online(self, now_ms: int) -> None:
        """Stop counting, and remove what was to die of it (`invalidAfterOfflineDuration`)."""
        since_ms = self._offline_since_ms
        self._profiles = {
            key: each
            for key, each in self._profiles.items()
            if not (each.dies_offline and now_ms >= since_ms + each.offline_max_ms)
        }
        self._offline_since_ms = FAR_MS

    def setting(self, now_ms: int, transaction_start_ms: int | None) -> Setting:
        """Return what is to be done at an instant.

        Parameters
        ----------
        now_ms
            The instant.
        transaction_start_ms
            When the running transaction began: where Relative schedules start.
        """
        until_ms = FAR_MS
        cap_kw = self._power_max_kw
        best: tuple[bool, int] | None = None
        followed: _Period | None = None
        for profile in self._profiles.values():
            period, changes_ms = profile.at(
                now_ms, FAR_MS if transaction_start_ms is None else transaction_start_ms, self._offline_since_ms
            )
            until_ms = min(until_ms, changes_ms)
            if period is None:
                continue
            rank = (profile.purpose == "TxProfile", profile.stack_level)
            if profile.purpose == "ChargingStationMaxProfile":
                cap_kw = min(cap_kw, period.power_kw)
            elif best is None or rank > best:
                best, followed = rank, period
        if followed is None:
            return Setting(OperationMode.CHARGING_ONLY, cap_kw, until_ms)
        return Setting(followed.mode, min(followed.power_kw, cap_kw), until_ms)

    def _compile(self, profile: ocpp21.ChargingProfile, now_ms: int) -> _Profile:
        if len(profile.charging_schedule) != 1:
            raise ProfileRefusedError(Reason.INVALID_SCHEDULE, "one schedule per profile is supported")
        schedule = profile.charging_schedule[0]
        kind = profile.charging_profile_kind
        _check_schedule(profile, schedule)
        start_ms = None if isinstance(schedule.start_schedule, UnsetType) else parse_instant(schedule.start_schedule)
        if kind == "Dynamic" and start_ms is None:
            start_ms = now_ms
        recurrence = profile.recurrency_kind
        return _Profile(
            profile_id=profile.id,
            purpose=profile.charging_profile_purpose,
            stack_level=profile.stack_level,
            transaction="" if isinstance(profile.transaction_id, UnsetType) else profile.transaction_id,
            start_ms=start_ms,
            duration_ms=_seconds_or_far(schedule.duration),
            recurrence_ms=0 if kind != "Recurring" or isinstance(recurrence, UnsetType) else _RECURRENCE_MS[recurrence],
            valid_from_ms=0 if isinstance(profile.valid_from, UnsetType) else parse_instant(profile.valid_from),
            valid_to_ms=FAR_MS if isinstance(profile.valid_to, UnsetType) else parse_instant(profile.valid_to),
            periods=tuple(self._periods(profile.charging_profile_purpose, schedule)),
            dynamic_unit=schedule.charging_rate_unit if kind == "Dynamic" else "",
            offline_max_ms=_seconds_or_far(profile.max_offline_duration),
            dies_offline=profile.invalid_after_offline_duration is True,
        )

    def _periods(self, purpose: str, schedule: ocpp21.ChargingSchedule) -> Iterator[_Period]:
        for period in schedule.charging_schedule_period:
            if any(getattr(period, name) is not UNSET for name in _PHASE_FIELDS):
                raise ProfileRefusedError(Reason.INVALID_SCHEDULE, "values per phase are not supported")
            name = "ChargingOnly" if isinstance(period.operation_mode, UnsetType) else period.operation_mode
            if name not in _MODES or (purpose == "ChargingStationMaxProfile" and name != "ChargingOnly"):
                raise ProfileRefusedError(
                    Reason.INVALID_SCHEDULE, f"operationMode {name} is not supported in {purpose}"
                )
            mode = OperationMode(name)
            phases = DEFAULT_PHASES if isinstance(period.number_phases, UnsetType) else period.number_phases
            values = (period.limit, period.discharge_limit, period.setpoint)
            power_kw = self._power_kw(mode, schedule.charging_rate_unit, phases, values)
            yield _Period(period.start_period * MS_PER_S, mode, power_kw)

    def _power_kw(
        self,
        mode: OperationMode,
        unit: str,
        phases: int,
        values: tuple[float | UnsetType, float | UnsetType, float | UnsetType],
    ) -> float:
        """Return the power that `(limit, dischargeLimit, setpoint)` ask for, within the station's rating."""
        scale = 1.0 if unit == "W" else MAINS_V * phases
        limit, discharge_limit, setpoint = (None if isinstance(v, UnsetType) else v * scale for v in values)
        if (setpoint is None) == (mode is OperationMode.CENTRAL_SETPOINT):
            raise ProfileRefusedError(Reason.INVALID_SCHEDULE, "a setpoint belongs to CentralSetpoint, and to it only")
        if (limit is None and mode is OperationMode.CHARGING_ONLY) or (
            limit is not None and mode is OperationMode.IDLE
        ):
            raise ProfileRefusedError(Reason.INVALID_SCHEDULE, "ChargingOnly needs a limit, Idle forbids it")
        if discharge_limit is not None and mode is not OperationMode.CENTRAL_SETPOINT:
            raise ProfileRefusedError(Reason.INVALID_SCHEDULE, f"dischargeLimit does not belong to {mode}")
        try:
            charge_kw, discharge_kw = limits_from_ocpp_kw(
                self._power_max_kw * 1000 if limit is None else limit,
                -self._power_max_kw * 1000 if discharge_limit is None else discharge_limit,
            )
        except ValueError as wrong_sign:
            raise ProfileRefusedError(Reason.INVALID_SCHEDULE, str(wrong_sign)) from wrong_sign
        if mode is OperationMode.IDLE:
            return 0.0
        if setpoint is None:
            return min(charge_kw, self._power_max_kw)
        if setpoint < 0 and not self.bidirectional:
            raise ProfileRefusedError(Reason.INVALID_SCHEDULE, "this EVSE can not discharge")
        asked_kw = setpoint_from_ocpp_kw(setpoint)
        return min(max(asked_kw, -discharge_kw, -self._power_max_kw), charge_kw, self._power_max_kw)


_PHASE_FIELDS = tuple(
    f"{name}_l{phase}" for name in ("limit", "discharge_limit", "setpoint", "setpoint_reactive") for phase in (2, 3)
)


def _seconds_or_far(seconds: int | UnsetType) -> int:
    return FAR_MS if isinstance(seconds, UnsetType) else seconds * MS_PER_S


def _clash(one: _Profile, other: _Profile) -> bool:
    return (
        one.purpose == other.purpose
        and one.stack_level == other.stack_level
        and one.transaction == other.transaction
        and one.valid_from_ms < other.valid_to_ms
        and other.valid_from_ms < one.valid_to_ms
    )


def _check_scope(evse: int, profile: ocpp21.ChargingProfile, transaction: str | None) -> None:
    """Refuse a profile that is for somebody or something else (K01.FR.03, .16, .27, .28, .33, .39)."""
    purpose = profile.charging_profile_purpose
    if purpose not in _PURPOSES:
        raise ProfileRefusedError(Reason.UNSUPPORTED_PURPOSE, f"{purpose} is not supported")
    allowed = {"TxDefaultProfile": (0, EVSE), "TxProfile": (EVSE,), "ChargingStationMaxProfile": (0,)}[purpose]
    if evse not in allowed:
        raise ProfileRefusedError(Reason.INVALID_VALUE, f"{purpose} can not be set for EVSE {evse}")
    if profile.stack_level > STACK_LEVEL_MAX:
        raise ProfileRefusedError(Reason.INVALID_STACK_LEVEL, f"stackLevel goes up to {STACK_LEVEL_MAX}")
    if purpose == "TxProfile":
        if profile.transaction_id is UNSET:
            raise ProfileRefusedError(Reason.MISSING_PARAM, "a TxProfile needs its transactionId")
        if profile.transaction_id != transaction:
            raise ProfileRefusedError(Reason.TX_NOT_FOUND, f"transaction {profile.transaction_id} is not running here")
    elif profile.transaction_id is not UNSET:
        raise ProfileRefusedError(Reason.INVALID_PROFILE, f"a {purpose} has no transactionId")


def _check_schedule(profile: ocpp21.ChargingProfile, schedule: ocpp21.ChargingSchedule) -> None:
    """Refuse a schedule whose kind and times do not fit together (K01.FR.31, .35, .40, .41, K28)."""
    kind = profile.charging_profile_kind
    anchored = schedule.start_schedule is not UNSET
    offsets = [period.start_period for period in schedule.charging_schedule_period]
    if kind in ("Absolute", "Recurring") and not anchored:
        raise ProfileRefusedError(Reason.INVALID_SCHEDULE, f"{kind} needs a startSchedule")
    if kind == "Relative" and anchored:
        raise ProfileRefusedError(Reason.INVALID_SCHEDULE, "Relative forbids a startSchedule")
    if kind == "Relative" and profile.charging_profile_purpose == "ChargingStationMaxProfile":
        raise ProfileRefusedError(Reason.INVALID_VALUE, "a ChargingStationMaxProfile can not be Relative")
    if kind == "Recurring" and profile.recurrency_kind is UNSET:
        raise ProfileRefusedError(Reason.MISSING_PARAM, "Recurring needs a recurrencyKind")
    if kind == "Dynamic" and len(offsets) != 1:
        raise ProfileRefusedError(Reason.INVALID_SCHEDULE, "a dynamic schedule has one period")
    if profile.dyn_update_interval not in (UNSET, 0):
        raise ProfileRefusedError(Reason.INVALID_PROFILE, "this station does not pull updates")
    if offsets[0] != 0 or any(b <= a for a, b in pairwise(offsets)):
        raise ProfileRefusedError(Reason.INVALID_SCHEDULE, "periods begin at 0 and ascend")
    if schedule.use_local_time is True or schedule.randomized_delay not in (UNSET, 0):
        raise ProfileRefusedError(Reason.INVALID_SCHEDULE, "local time and random delays are not supported")
    if schedule.limit_at_soc is not UNSET:
        raise ProfileRefusedError(Reason.INVALID_SCHEDULE, "limitAtSoC is not supported")
