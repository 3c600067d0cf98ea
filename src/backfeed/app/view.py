"""What the HTTP interface shows: plain values that the platform fills and nobody can act on."""

from typing import Protocol

import msgspec


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the service can do its work, and the reasons if not."""

    status: str
    version: str
    now: str
    stations_connected: int
    sessions: int
    log_events: int
    reasons: tuple[str, ...]


class StationView(msgspec.Struct, frozen=True, kw_only=True):
    """A charging station and its link."""

    station: str
    site: str
    connected: bool
    since: str


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """A car that is plugged in: what it does, what it was told, and why.

    Energies are the platform's belief as a band; `reason` says in words what bounded the power.
    """

    station: str
    evse: int
    transaction: str
    owner: str
    since: str
    power_kw: float
    ordered_kw: float | None
    bound_by: str | None
    reason: str | None
    soc_low: float
    soc_high: float
    reserve_soc: float
    target_soc: float
    departure_stated: str | None
    departure_promised: str | None


class PlatformView(Protocol):
    """The read side of a running platform."""

    def health(self) -> Health:
        """Return whether the service can do its work."""
        ...

    def stations(self) -> tuple[StationView, ...]:
        """Return every station that ever connected, by name."""
        ...

    def sessions(self) -> tuple[SessionView, ...]:
        """Return every car that is plugged in, by station and EVSE."""
        ...
