"""Orders: what the platform asks of one EVSE until the next order, and what came of it."""

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """How a station is to follow an order (OCPP 2.1 operationMode).

    `SETPOINT` is CentralSetpoint: follow the power, which may be negative. `CHARGING_ONLY` lets the
    car draw up to the power and stop where its driver set it to stop; nothing flows back.
    """

    SETPOINT = "setpoint"
    CHARGING_ONLY = "charging_only"


@dataclass(frozen=True, slots=True)
class SetpointOrder:
    """A power for one EVSE, valid until an instant, over the station's safe default profile.

    Parameters
    ----------
    station, evse
        Whom it is for.
    transaction
        The transaction it belongs to (an OCPP TxProfile).
    profile
        The id of the charging profile; a newer one replaces the older of the same EVSE.
    power_kw
        Charging positive; with `Mode.CHARGING_ONLY` the most that may flow.
    until_ms
        When it lapses by itself and the safe default takes over: the watchdog.
    bound_by
        The authority that bounded the power, for the screen that explains it.
    rest_until_ms
        From `until_ms` to here nothing flows; only then the safe default takes over. -1 for no rest.
    """

    station: str
    evse: int
    transaction: str
    profile: int
    power_kw: float
    mode: Mode
    until_ms: int
    bound_by: str
    rest_until_ms: int = -1

    @property
    def end_ms(self) -> int:
        """When the safe default takes over."""
        return max(self.until_ms, self.rest_until_ms)


class OrderStatus(StrEnum):
    """What came of an order."""

    ACCEPTED = "Accepted"
    REJECTED = "Rejected"
    TIMED_OUT = "TimedOut"
    OFFLINE = "Offline"
    SUPERSEDED = "Superseded"
    """A newer order for the same EVSE took its place before it was sent."""
    FAILED = "Failed"
    """The station answered with an error, or with something that can not be read."""
