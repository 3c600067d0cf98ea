"""State: what folding the event log gives. Who is connected, what is plugged in, what its meter shows.

Messages come twice, late and out of order. A transaction's sequence numbers make a repeated message
visible; registers make a late one harmless, since only the newest of each register counts.
Start-up and recovery are one path: both fold the log from its beginning.
"""

from dataclasses import dataclass, field

from backfeed.fleet.event import (
    AnyEvent,
    DepartureAnswered,
    EvseStatusChanged,
    NeedsNotified,
    Reading,
    StationBooted,
    StationConnected,
    StationDisconnected,
    TransactionChanged,
)

SUSPENDED_BY_CAR = "SuspendedEV"


@dataclass(slots=True)
class Plug:
    """A car at an EVSE, as far as the platform knows.

    Parameters
    ----------
    station, evse, transaction
        Where it is and under which transaction.
    token
        The idToken the driver showed, "" until one is known.
    since_ms
        When the station says the transaction began.
    first_import_wh, first_export_wh
        The lifetime registers of the EVSE when the transaction was first seen; -1 before the first reading.
    import_wh, export_wh
        The newest lifetime registers of the EVSE; -1 before the first reading.
    metered_ms
        The instant of those registers.
    power_kw
        The newest power, charging positive.
    soc, soc_ms
        The newest state of charge that the car reported and its instant; NaN and -1 if it never did.
    departure_stated_ms
        The driver's statement; -1 if there is none.
    charge_max_kw, discharge_max_kw
        What the car says it can do; NaN where it did not say.
    target_soc
        To what state of charge the car says it is set to charge; NaN where it did not say.
    charging_state
        OCPP's chargingState.
    """

    station: str
    evse: int
    transaction: str
    token: str
    since_ms: int
    first_import_wh: int = -1
    first_export_wh: int = -1
    import_wh: int = -1
    export_wh: int = -1
    metered_ms: int = -1
    power_kw: float = 0.0
    soc: float = float("nan")
    soc_ms: int = -1
    departure_stated_ms: int = -1
    charge_max_kw: float = float("nan")
    discharge_max_kw: float = float("nan")
    target_soc: float = float("nan")
    charging_state: str = ""


@dataclass(slots=True)
class StationState:
    """A charging station's link, and the EVSEs it has told about."""

    station: str
    connected: bool = False
    booted: bool = False
    changed_ms: int = 0
    evses: set[int] = field(default_factory=set)


@dataclass(slots=True)
class FleetState:
    """Stations and plugs, folded from events in log order."""

    stations: dict[str, StationState] = field(default_factory=dict)
    plugs: dict[tuple[str, int], Plug] = field(default_factory=dict)
    _sequences: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    _ended: set[tuple[str, str]] = field(default_factory=set)
    _first_registers: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    _early_needs: dict[tuple[str, int], NeedsNotified] = field(default_factory=dict)

    def is_repeated(self, event: TransactionChanged) -> bool:
        """Return whether this very message of its transaction has been folded before."""
        return event.sequence in self._sequences.get((event.station, event.transaction), ())

    def has_ended(self, station: str, transaction: str) -> bool:
        """Return whether a transaction is known to be over."""
        return (station, transaction) in self._ended

    def first_registers(self, station: str, transaction: str) -> tuple[int, int]:
        """Return the import and export register at which a transaction began [Wh]."""
        return self._first_registers[station, transaction]

    def apply(self, event: AnyEvent) -> None:
        """Fold one event into the state."""
        match event:
            case TransactionChanged():
                self._fold_transaction(event)
            case NeedsNotified():
                self._fold_needs(event)
            case DepartureAnswered():
                self._fold_answer(event)
            case StationConnected() | StationDisconnected() | StationBooted():
                self._fold_station(event)
            case EvseStatusChanged():
                self.stations.setdefault(event.station, StationState(event.station)).evses.add(event.evse)
            case _:
                pass

    def _fold_answer(self, event: DepartureAnswered) -> None:
        """Take a driver's answer as a statement; one that comes after the car has left changes nothing."""
        plug = self.plugs.get((event.station, event.evse))
        if plug is not None and plug.transaction == event.transaction:
            plug.departure_stated_ms = event.departure_ms

    def _fold_station(self, event: StationConnected | StationDisconnected | StationBooted) -> None:
        station = self.stations.setdefault(event.station, StationState(event.station))
        station.connected = not isinstance(event, StationDisconnected)
        station.booted = station.booted or isinstance(event, StationBooted)
        station.changed_ms = event.at_ms

    def _fold_transaction(self, event: TransactionChanged) -> None:
        key = (event.station, event.transaction)
        seen = self._sequences.setdefault(key, set())
        if event.sequence in seen:
            return
        seen.add(event.sequence)
        self._note_first_registers(key, event.readings)
        if key in self._ended:
            return
        if self._is_of_an_earlier_car(event):
            if event.phase == "ended":
                self._ended.add(key)
            return
        plug = self._plug_of(event)
        plug.token = event.token or plug.token
        plug.charging_state = event.charging_state or plug.charging_state
        for reading in event.readings:
            _fold_reading(plug, reading)
        plug.first_import_wh, plug.first_export_wh = self._first_registers.get(key, (-1, -1))
        if event.phase == "ended":
            self._ended.add(key)
            del self.plugs[event.station, event.evse]

    def _note_first_registers(self, key: tuple[str, str], readings: tuple[Reading, ...]) -> None:
        """Keep the lowest registers of a transaction: they only rise, so the lowest are the first."""
        for reading in readings:
            if reading.import_wh is not None:
                shown = (reading.import_wh, reading.export_wh or 0)
                known = self._first_registers.get(key, shown)
                self._first_registers[key] = (min(shown[0], known[0]), min(shown[1], known[1]))

    def _is_of_an_earlier_car(self, event: TransactionChanged) -> bool:
        """Return whether a message has come late, after the next car has plugged in at the same EVSE."""
        plug = self.plugs.get((event.station, event.evse))
        return plug is not None and plug.transaction != event.transaction and event.measured_ms < plug.since_ms

    def _plug_of(self, event: TransactionChanged) -> Plug:
        place = (event.station, event.evse)
        plug = self.plugs.get(place)
        if plug is None or plug.transaction != event.transaction:
            plug = Plug(event.station, event.evse, event.transaction, event.token or "", event.measured_ms)
            self.plugs[place] = plug
            early = self._early_needs.pop(place, None)
            if early is not None:
                _fold_needs_into(plug, early)
        if event.phase == "started":
            plug.since_ms = event.measured_ms
        return plug

    def _fold_needs(self, event: NeedsNotified) -> None:
        plug = self.plugs.get((event.station, event.evse))
        if plug is None:
            self._early_needs[event.station, event.evse] = event
        else:
            _fold_needs_into(plug, event)


def _fold_needs_into(plug: Plug, event: NeedsNotified) -> None:
    plug.departure_stated_ms = event.departure_ms if event.departure_ms is not None else plug.departure_stated_ms
    plug.charge_max_kw = event.charge_max_kw if event.charge_max_kw is not None else plug.charge_max_kw
    plug.discharge_max_kw = event.discharge_max_kw if event.discharge_max_kw is not None else plug.discharge_max_kw
    plug.target_soc = event.target_soc if event.target_soc is not None else plug.target_soc
    if event.soc is not None and event.at_ms >= plug.soc_ms:
        plug.soc, plug.soc_ms = event.soc, event.at_ms


def _fold_reading(plug: Plug, reading: Reading) -> None:
    if reading.measured_ms >= plug.metered_ms:
        plug.import_wh = reading.import_wh if reading.import_wh is not None else plug.import_wh
        plug.export_wh = reading.export_wh if reading.export_wh is not None else plug.export_wh
        plug.power_kw = reading.power_kw if reading.power_kw is not None else plug.power_kw
        plug.metered_ms = reading.measured_ms
    if reading.soc is not None and reading.measured_ms >= plug.soc_ms:
        plug.soc, plug.soc_ms = reading.soc, reading.measured_ms
