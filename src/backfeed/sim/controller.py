"""A charging station's mind: what it does about cars, drivers, the clock and the platform's wishes.

No sockets and no waiting here. The world calls at exact instants (`plug_in`, `unplug`, `read_clock`,
`wake`), the link when frames bring something, and everything that is to be told goes
into the outbox. The outlet is brought forward to the instant before anything changes, through every
moment at which a profile lapses or a car is full on its own: those moments are known in advance and
kept in `wake_ms`.

One transaction is one stay: it starts when the driver is authorised (TxStartPoint Authorized) and ends
when the cable is pulled (TxStopPoint EVConnected). A station that is offline starts transactions for
any token (OfflineTxForUnknownIdEnabled) and tells later, with `offline` set and the same `seqNo`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from msgspec import UNSET, Struct, UnsetType

from backfeed.core.instant import MS_PER_S, format_instant
from backfeed.sim import message
from backfeed.sim.outbox import Letter, OnAnswer, Outbox
from backfeed.sim.outlet import RESTING, Outlet, PluggedCar
from backfeed.sim.profile import EVSE, FAR_MS, OperationMode, ProfileStack
from backfeed.sim.truth import TruthRecorder
from backfeed.sim.variables import DeviceModel
from backfeed.wire import ocpp21
from backfeed.wire.ocpp21.enumerations import (
    BootReasonEnum,
    ChargingStateEnum,
    ReadingContextEnum,
    ReasonEnum,
    TransactionEventEnum,
    TriggerReasonEnum,
)

TRANSACTION_ID_MAX_CHARS = 36
T = TypeVar("T")

_EVSE = ocpp21.EVSE(id=EVSE, connector_id=message.CONNECTOR)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A car with its driver at the plug.

    Parameters
    ----------
    car
        The car as it arrives.
    token
        What the driver shows.
    transaction
        Id of the transaction that this stay will be.
    tells_soc
        Whether the car tells its state of charge.
    statement_ms
        When the driver says that it leaves; -1 for nothing.
    """

    car: PluggedCar
    token: str
    transaction: str
    tells_soc: bool
    statement_ms: int


@dataclass(slots=True)
class _Transaction:
    start_ms: int
    flows_from_ms: int
    sequence: int = 0
    state: ChargingStateEnum = "EVConnected"
    mode: OperationMode = OperationMode.IDLE


class Controller:
    """The mind of one station with one EVSE and one connector."""

    def __init__(
        self,
        station: str,
        power_max_kw: float,
        meter_interval_s: int,
        recorder: TruthRecorder,
        window_ms: tuple[int, int],
        on_change: Callable[[], None],
        start_delay_s: int = 0,
    ) -> None:
        """Switch on at the start of a window; after its end nothing flows and only messages are left.

        Power flows `start_delay_s` after the driver is authorised: so long do car and station negotiate.
        `on_change` is called when there is something to send or `wake_ms` has moved.
        """
        at_ms, self._end_ms = window_ms
        self.station = station
        self.outbox = Outbox()
        self.variables = DeviceModel(station, meter_interval_s)
        self.wake_ms = FAR_MS
        self.is_online = False
        self.boot_reason: BootReasonEnum | None = "PowerUp"
        self._on_change = on_change
        self._start_delay_ms = start_delay_s * MS_PER_S
        self._outlet = Outlet(recorder, at_ms)
        self._stack = ProfileStack(power_max_kw, bidirectional=False)
        self._arrival: Arrival | None = None
        self._transaction: _Transaction | None = None
        self._last_sent_ms = at_ms
        self._restart_when_idle = False

    # -- what happens at the plug -------------------------------------------------------------------

    def plug_in(self, arrival: Arrival, at_ms: int) -> None:
        """Connect a car; its driver shows the token at once."""
        self._forward(at_ms)
        self._outlet.plug(arrival.car)
        self._arrival = arrival
        self._stack.bidirectional = arrival.car.car.discharge_max_kw > 0
        if not self.is_online:
            self._begin(at_ms)
            return
        self._tell_status(at_ms)
        request = ocpp21.AuthorizeRequest(id_token=message.id_token(arrival.token))
        self._post(request, lasting=False, on_answer=lambda answer, now_ms: self._authorised(arrival, answer, now_ms))

    def unplug(self, at_ms: int) -> PluggedCar:
        """Disconnect the car."""
        self._forward(at_ms)
        self._end(at_ms, "EVCommunicationLost", "EVDisconnected")
        self._arrival = None
        self._stack.bidirectional = False
        car = self._outlet.unplug()
        if self.is_online:
            self._tell_status(at_ms)
        if self._restart_when_idle:
            self._restart_when_idle = False
            self.restart(at_ms, "RemoteReset")
        return car

    def read_clock(self, at_ms: int) -> None:
        """Read the meter at a clock-aligned instant, or show that the station is alive (J02, G02)."""
        self._forward(at_ms)
        transaction = self._transaction
        if transaction is not None:
            if transaction.start_ms < at_ms:
                self._tell(at_ms, "Updated", "MeterValueClock", context="Sample.Clock")
        elif self.is_online and 0 < self.variables.heartbeat_interval_s * MS_PER_S <= at_ms - self._last_sent_ms:
            self._post(ocpp21.HeartbeatRequest(), lasting=False)

    def wake(self, at_ms: int) -> None:
        """Do what was due by `at_ms` on its own: a profile lapses, a car is full."""
        self._forward(at_ms)

    # -- what happens to the link -------------------------------------------------------------------

    def go_online(self, at_ms: int) -> None:
        """Note that the platform has taken the station up."""
        self._forward(at_ms)
        self.is_online = True
        self.boot_reason = None
        self._stack.go_online(at_ms)
        self._refollow(at_ms)
        self._tell_status(at_ms)

    def go_offline(self, at_ms: int) -> None:
        """Note that the link is gone."""
        self._forward(at_ms)
        self.is_online = False
        self._stack.go_offline(at_ms)
        self.outbox.link_lost(at_ms)
        self._refollow(at_ms)

    def restart(self, at_ms: int, reason: BootReasonEnum) -> None:
        """Start anew: the outbox and the default profiles survive, the transaction's profiles do not.

        The link is to be dropped. A running transaction is resumed (TxResumed) under the default profile.
        """
        self.go_offline(at_ms)
        self.boot_reason = reason
        self._stack.forget_transaction()
        self._refollow(at_ms)
        if self._transaction is not None:
            self._tell(at_ms, "Updated", "TxResumed", context="Other")
        self._on_change()

    def sent(self, at_ms: int) -> None:
        """Note that a message has gone out."""
        self._last_sent_ms = at_ms

    # -- what the platform asks ---------------------------------------------------------------------

    @property
    def running(self) -> str | None:
        """The id of the running transaction."""
        return self._arrival.transaction if self._arrival is not None and self._transaction is not None else None

    @property
    def is_occupied(self) -> bool:
        """Whether a car is connected."""
        return self._arrival is not None

    def change_profiles(self, change: Callable[[ProfileStack, str | None], T], at_ms: int) -> T:
        """Change the charging profiles and follow what they say from this instant on."""
        self._forward(at_ms)
        result = change(self._stack, self.running)
        self._refollow(at_ms)
        return result

    def stop(self, at_ms: int, trigger: TriggerReasonEnum, reason: ReasonEnum) -> None:
        """End the running transaction, if there is one; the car stays connected."""
        self._forward(at_ms)
        self._end(at_ms, trigger, reason)

    def restart_when_idle(self) -> None:
        """Restart once the car has left."""
        self._restart_when_idle = True

    def trigger(self, wanted: str, at_ms: int) -> bool:
        """Post a message that the platform wants out of turn; return whether that could be done."""
        self._forward(at_ms)
        if wanted == "Heartbeat":
            self._post(ocpp21.HeartbeatRequest(), lasting=False)
        elif wanted == "StatusNotification":
            self._tell_status(at_ms)
        elif wanted == "TransactionEvent" and self._transaction is not None:
            self._tell(at_ms, "Updated", "Trigger", context="Trigger")
        else:
            return False
        return True

    # -- the transaction ----------------------------------------------------------------------------

    def _authorised(self, arrival: Arrival, answer: Struct | None, now_ms: int) -> None:
        """Start the transaction if the driver may charge; without an answer he may, as offline."""
        if self._arrival is not arrival or self._transaction is not None:
            return
        refused = isinstance(answer, ocpp21.AuthorizeResponse) and answer.id_token_info.status != "Accepted"
        if not refused:
            self._forward(now_ms)
            self._begin(now_ms)

    def _begin(self, at_ms: int) -> None:
        assert self._arrival is not None, "a transaction needs a car"
        arrival, self._transaction = self._arrival, _Transaction(at_ms, at_ms + self._start_delay_ms)
        self._follow(at_ms, self._transaction)
        self._tell(
            at_ms,
            "Started",
            "Authorized",
            context="Transaction.Begin",
            on_answer=lambda answer, now_ms: self._started(arrival, answer, now_ms),
        )
        needs = message.charging_needs(
            arrival.car, arrival.statement_ms, None if self.is_online else at_ms, tells_soc=arrival.tells_soc
        )
        self._post(needs, lasting=True)

    def _started(self, arrival: Arrival, answer: Struct | None, now_ms: int) -> None:
        """End the transaction again if the platform does not know the driver (StopTxOnInvalidId)."""
        if self._arrival is not arrival or self._transaction is None:
            return
        if not isinstance(answer, ocpp21.TransactionEventResponse) or answer.id_token_info is UNSET:
            return
        if answer.id_token_info.status != "Accepted":
            self.stop(now_ms, "Deauthorized", "DeAuthorized")

    def _end(self, at_ms: int, trigger: TriggerReasonEnum, reason: ReasonEnum) -> None:
        """End the transaction, if there is one; nothing flows from here on."""
        if self._transaction is None:
            return
        self._transaction.state = "EVConnected" if trigger != "EVCommunicationLost" else "Idle"
        self._tell(at_ms, "Ended", trigger, context="Transaction.End", reason=reason)
        self._transaction = None
        self._stack.forget_transaction()
        self._outlet.follow(RESTING)
        self._set_wake(FAR_MS)

    def _tell(
        self,
        at_ms: int,
        phase: TransactionEventEnum,
        trigger: TriggerReasonEnum,
        *,
        context: ReadingContextEnum | None = None,
        reason: ReasonEnum | None = None,
        on_answer: OnAnswer | None = None,
    ) -> None:
        """Post a TransactionEvent with the next sequence number."""
        arrival, transaction = self._arrival, self._transaction
        assert arrival is not None, "no car, no transaction"
        assert transaction is not None, "only a transaction has events"
        meter: tuple[ocpp21.MeterValue, ...] | UnsetType = UNSET
        if context is not None:
            meter = message.meter_value(at_ms, self._outlet, context, with_soc=arrival.tells_soc)
        request = ocpp21.TransactionEventRequest(
            event_type=phase,
            timestamp=format_instant(at_ms),
            trigger_reason=trigger,
            seq_no=transaction.sequence,
            offline=UNSET if self.is_online else True,
            meter_value=meter,
            transaction_info=ocpp21.Transaction(
                transaction_id=arrival.transaction,
                charging_state=transaction.state,
                stopped_reason=UNSET if reason is None else reason,
                operation_mode=transaction.mode.value,
            ),
            evse=_EVSE,
            id_token=message.id_token(arrival.token) if phase == "Started" else UNSET,
        )
        transaction.sequence += 1
        self._post(request, lasting=True, on_answer=on_answer)

    def _tell_status(self, at_ms: int) -> None:
        status = message.status_notification(at_ms, "Available" if self._arrival is None else "Occupied")
        self._post(status, lasting=False)

    # -- power --------------------------------------------------------------------------------------

    def _forward(self, to_ms: int) -> None:
        """Let time pass up to the end of the window, stopping wherever something changes on its own."""
        to_ms = min(to_ms, self._end_ms)
        while self.wake_ms <= to_ms:
            at_ms = self.wake_ms
            self._outlet.forward(at_ms)
            self._refollow(at_ms)
        self._outlet.forward(to_ms)

    def _refollow(self, at_ms: int) -> None:
        """Follow what the profiles say now and tell if the charging state or the mode has changed."""
        transaction = self._transaction
        if transaction is None:
            return
        state, mode = transaction.state, transaction.mode
        self._follow(at_ms, transaction)
        if transaction.mode is not mode:
            self._tell(at_ms, "Updated", "OperationModeChanged")
        elif transaction.state != state:
            self._tell(at_ms, "Updated", "ChargingStateChanged")

    def _follow(self, at_ms: int, transaction: _Transaction) -> None:
        if at_ms < transaction.flows_from_ms:
            self._set_wake(transaction.flows_from_ms)
            return
        setting = self._stack.setting(at_ms, transaction.start_ms)
        self._outlet.follow(setting)
        transaction.mode = setting.mode
        if not self._outlet.is_offered:
            transaction.state = "SuspendedEVSE"
        elif self._outlet.power_kw == 0.0:
            transaction.state = "SuspendedEV"
        else:
            transaction.state = "Charging"
        self._set_wake(min(setting.until_ms, self._outlet.still_at_ms()))

    def _set_wake(self, at_ms: int) -> None:
        if at_ms != self.wake_ms:
            self.wake_ms = at_ms
            self._on_change()

    def _post(self, request: Struct, *, lasting: bool, on_answer: OnAnswer | None = None) -> None:
        self.outbox.post(Letter(request, lasting, on_answer))
        self._on_change()


def transaction_id(session_id: str) -> str:
    """Return the id that the transaction of a session will have: its own, if OCPP's 36 characters hold it.

    >>> transaction_id("4711")
    '4711'
    """
    if 0 < len(session_id) <= TRANSACTION_ID_MAX_CHARS:
        return session_id
    return hashlib.blake2b(session_id.encode(), digest_size=16).hexdigest()
