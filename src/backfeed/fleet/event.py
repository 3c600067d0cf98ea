"""Events: everything the platform learns or decides, in the order in which it was committed.

The event log is a list of these and nothing else; state is what folding them gives. An event says
what happened and when the platform knew it (`at_ms`); times that a station claims are named
`measured_ms`. Powers are kW at the EVSE, charging positive; registers are integer Wh.
"""

from typing import Literal

import msgspec


class Event(msgspec.Struct, frozen=True, tag_field="kind", omit_defaults=True, kw_only=True):
    """What all events carry: the instant at which the platform came to know it."""

    at_ms: int


class StationEvent(Event, frozen=True):
    """An event of one charging station."""

    station: str


class StationConnected(StationEvent, frozen=True, tag="station_connected"):
    """A station has opened its link and proved who it is."""

    subprotocol: str


class StationDisconnected(StationEvent, frozen=True, tag="station_disconnected"):
    """A station's link is gone."""

    reason: str


class StationBooted(StationEvent, frozen=True, tag="station_booted"):
    """A station has announced itself."""

    vendor: str
    model: str
    reason: str


class EvseStatusChanged(StationEvent, frozen=True, tag="evse_status"):
    """A connector's availability, in OCPP's words (Available, Occupied, Faulted, ...)."""

    evse: int
    connector: int
    status: str
    measured_ms: int


class TokenAuthorised(StationEvent, frozen=True, tag="token_authorised"):
    """A driver has shown a token; `status` is OCPP's AuthorizationStatus."""

    token: str
    status: str


class Reading(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a meter showed at one instant."""

    measured_ms: int
    import_wh: int | None = None
    export_wh: int | None = None
    power_kw: float | None = None
    soc: float | None = None


class TransactionChanged(StationEvent, frozen=True, tag="transaction"):
    """A TransactionEvent: a session has begun, gone on or ended, with what the meter showed."""

    evse: int
    transaction: str
    sequence: int
    phase: Literal["started", "updated", "ended"]
    trigger: str
    measured_ms: int
    token: str | None = None
    charging_state: str | None = None
    stopped_reason: str | None = None
    offline: bool = False
    readings: tuple[Reading, ...] = ()


class MetersRead(StationEvent, frozen=True, tag="meters"):
    """MeterValues outside a transaction."""

    evse: int
    readings: tuple[Reading, ...]


class NeedsNotified(StationEvent, frozen=True, tag="needs"):
    """A NotifyEVChargingNeeds: what the driver says and what the car can do.

    Energies and powers are magnitudes as ISO 15118-20 counts them; `departure_ms` is the driver's
    statement, absent when the driver is silent.
    """

    evse: int
    transfer: str
    departure_ms: int | None = None
    target_soc: float | None = None
    soc: float | None = None
    capacity_kwh: float | None = None
    charge_max_kw: float | None = None
    discharge_max_kw: float | None = None
    energy_target_kwh: float | None = None


class StationReported(StationEvent, frozen=True, tag="station_reported"):
    """A notification that changes no session: security events, logs, firmware, device model, limits.

    `action` is OCPP's name of the message, `detail` the beginning of its payload as JSON.
    """

    action: str
    detail: str


class SetpointOrdered(StationEvent, frozen=True, tag="setpoint_ordered"):
    """The platform has decided a setpoint; `bound_by` names the authority that bounded it.

    Until `rest_until_ms` nothing flows after it; -1 for no rest.
    """

    evse: int
    profile: int
    power_kw: float
    mode: Literal["setpoint", "charging_only"]
    until_ms: int
    bound_by: str
    rest_until_ms: int = -1


class SetpointAnswered(StationEvent, frozen=True, tag="setpoint_answered"):
    """What a station answered to an order: Accepted, Rejected, or the kind of failure."""

    evse: int
    profile: int
    status: str


class PlanMade(Event, frozen=True, tag="plan"):
    """A plan has been adopted."""

    plan: str
    method: str
    status: str
    objective: float
    gap: float
    vehicles: int
    steps: int
    shortfall_kwh: float


class InvitationReceived(Event, frozen=True, tag="invitation"):
    """A demand-response programme has invited the fleet; logs of older versions name no baseline."""

    invitation: str
    direction: Literal["peak_shave", "valley_fill"]
    start_ms: int
    end_ms: int
    power_kw: float
    price_per_kwh: float
    baseline: str = ""


class AwardAccepted(Event, frozen=True, tag="award"):
    """The platform has committed to an invitation against a baseline, one value a quarter-hour."""

    invitation: str
    power_kw: float
    baseline_kw: tuple[float, ...]


Asks = tuple[Literal["departure", "charge"], ...]
"""What a question asks for: when the car leaves, and how full its battery was when it was plugged in."""


class DriverPrompted(StationEvent, frozen=True, tag="driver_prompted"):
    """The platform has asked a driver, in an app, for what he has not told.

    A kept departure is paid `bonus_micro`, a right state of charge `charge_bonus_micro`.
    """

    evse: int
    transaction: str
    token: str
    bonus_micro: int
    asks: Asks = ("departure",)
    charge_bonus_micro: int = 0


class DepartureAnswered(StationEvent, frozen=True, tag="departure_answered"):
    """A driver who was asked has said in the app when the car leaves."""

    evse: int
    transaction: str
    departure_ms: int


class ChargeAnswered(StationEvent, frozen=True, tag="charge_answered"):
    """A driver who was asked has said in the app how full the battery was when the car was plugged in, 0 to 1."""

    evse: int
    transaction: str
    soc: float


class ChargeShown(StationEvent, frozen=True, tag="charge_shown"):
    """A car whose driver was asked how full it came has ended at its driver's limit, and so shown it.

    When it stopped it stood at `limit_soc`, had taken `taken_wh` and given `given_wh` by the meter since it was plugged
    in, and had taken up to `unread_wh` more after the last reading, of which half is counted. So it came with `soc`, as
    a share of the enrolled capacity; less than nothing tells of a limit that lay higher this time.
    """

    evse: int
    transaction: str
    measured_ms: int
    limit_soc: float
    taken_wh: int
    given_wh: int
    unread_wh: int
    soc: float


class OfferMade(Event, frozen=True, tag="offer"):
    """The platform has offered power to a programme's operator, against a baseline, one value a quarter-hour."""

    invitation: str
    power_kw: float
    baseline_kw: tuple[float, ...]


class DeliveryVerified(Event, frozen=True, tag="delivery_verified"):
    """What a programme's operator says of a delivery, and whether the platform's own settlement says the same."""

    invitation: str
    promised_wh: int
    delivered_wh: int
    revenue_micro: int
    penalty_micro: int
    agrees: bool


class Refused(Event, frozen=True, tag="refused"):
    """Something was asked that could not be done, with the reason that a person can read."""

    what: str
    reason: str


AnyEvent = (
    StationConnected
    | StationDisconnected
    | StationBooted
    | EvseStatusChanged
    | TokenAuthorised
    | TransactionChanged
    | MetersRead
    | NeedsNotified
    | StationReported
    | SetpointOrdered
    | SetpointAnswered
    | PlanMade
    | InvitationReceived
    | AwardAccepted
    | DriverPrompted
    | DepartureAnswered
    | ChargeAnswered
    | ChargeShown
    | OfferMade
    | DeliveryVerified
    | Refused
)
