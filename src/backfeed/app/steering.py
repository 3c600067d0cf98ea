"""Steering: what was last asked of every EVSE, what came of it, and in which order to ask next.

A site's limit holds only while every car does what it was told, so room is given away in phases:
first whoever takes less, then whoever turns around, at last whoever takes more, and the last two
only at sites where everybody before has confirmed. A station that did not confirm, or can not be
reached, is counted at the worst it may be doing: its last order until that lapses, then its safe
default.

The safe defaults of a site fit under its limit together; orders above them are made of room that others
leave. So when the platform is gone for good, whoever has more than his default must lose it before anybody
who has less gets his back: orders above the default and exports lapse soon, and whoever takes less than his
default goes on so, or rests after an export, for longer than any of these.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from backfeed.core.clock import Clock
from backfeed.core.instant import MS_PER_H, MS_PER_MIN
from backfeed.core.problem import EnvironmentProblemError
from backfeed.fleet.belief import Told
from backfeed.fleet.event import AnyEvent, SetpointAnswered, SetpointOrdered
from backfeed.fleet.order import Mode, OrderStatus, SetpointOrder

DEADBAND_KW = 0.01
"""A change below this is not worth a message: less than any charger's power resolution."""

SHORT_WATCHDOG_INTERVALS = 3
"""An export, and a power above the safe default, lapse unless renewed this soon: a lost platform must let go."""

PATIENCE_S = 2.0
"""How long a tick waits for the answers of a phase. Who is later is doubted, and the fleet goes on without."""

WATCHDOG_MIN_MS = MS_PER_MIN
LONG_WATCHDOG_MS = MS_PER_H
"""Idling or charging within the safe default may go on for longer: its lapse is a matter of money, not of the grid."""


class Commander(Protocol):
    """The outward half of the gateway."""

    async def apply(self, order: SetpointOrder) -> OrderStatus:
        """Ask a station to follow an order and return what came of it."""
        ...

    async def set_default(self, station: str, evse: int, charge_max_kw: float) -> OrderStatus:
        """Give a station its safe default: charge up to a power, never export."""
        ...


class Journal(Protocol):
    """Where decisions are written down before they are acted on."""

    def append_now(self, event: AnyEvent) -> None:
        """Append an event of the platform's own."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What dispatch wants of one EVSE now.

    `lapses_ms` is the latest instant to which it may hold unrenewed, where something other than the
    watchdog sets it: a discharge lapses where the reserve would be reached. -1 for none.
    """

    station: str
    evse: int
    site_id: str
    transaction: str
    power_kw: float
    mode: Mode
    bound_by: str
    lapses_ms: int = -1


@dataclass(slots=True)
class _Standing:
    order: SetpointOrder
    confirmed: bool
    # The widest exposure that an unconfirmed station may be at: (import, export), both magnitudes.
    exposure_kw: tuple[float, float]


@dataclass
class Steering:
    """The orders that stand, by EVSE.

    Parameters
    ----------
    commander, journal, clock
        Ports.
    control_interval_ms
        How often wishes come.
    rated_kw
        What a station may draw that was never told its default.
    """

    commander: Commander
    journal: Journal
    clock: Clock
    control_interval_ms: int
    rated_kw: float
    rejected: int = 0
    _standing: dict[tuple[str, int], _Standing] = field(default_factory=dict)
    _default_kw: dict[tuple[str, int], float] = field(default_factory=dict)
    _share_kw: dict[tuple[str, int], float] = field(default_factory=dict)
    _waiting: dict[tuple[str, int], asyncio.Task[None] | None] = field(default_factory=dict)
    _site_of: dict[tuple[str, int], str] = field(default_factory=dict)

    def told(self, station: str, evse: int) -> Told:
        """Return what an EVSE was last told; a station on its default charges up to that."""
        standing = self._standing.get((station, evse))
        if standing is None:
            return Told(Mode.CHARGING_ONLY, self.default_kw(station, evse))
        return Told(standing.order.mode, standing.order.power_kw)

    def standing_order(self, station: str, evse: int) -> SetpointOrder | None:
        """Return the last order of an EVSE, None if it is on its default."""
        standing = self._standing.get((station, evse))
        return standing.order if standing is not None else None

    def forget(self, station: str, evse: int) -> None:
        """Drop the order of an EVSE whose transaction is over."""
        self._standing.pop((station, evse), None)

    def recall(self, event: AnyEvent) -> None:
        """Read in the log what an EVSE was told before a restart, which it may still be doing."""
        if isinstance(event, SetpointOrdered):
            order = SetpointOrder(
                station=event.station,
                evse=event.evse,
                transaction="",
                profile=event.profile,
                power_kw=event.power_kw,
                mode=Mode(event.mode),
                until_ms=event.until_ms,
                bound_by=event.bound_by,
                rest_until_ms=event.rest_until_ms,
            )
            self._stand(order, confirmed=False)
        elif isinstance(event, SetpointAnswered):
            standing = self._standing.get((event.station, event.evse))
            if standing is not None and event.status == OrderStatus.ACCEPTED:
                self._stand(standing.order, confirmed=True)

    def doubt(self, station: str) -> None:
        """Count a station that has started anew at its worst: it may have forgotten what it was told."""
        for key in [key for key in self._site_of if key[0] == station]:
            self._default_kw.pop(key, None)
            standing = self._standing.get(key)
            if standing is not None:
                self._stand(standing.order, confirmed=False)

    def is_confirmed(self, station: str, evse: int) -> bool:
        """Return whether the last order of an EVSE was accepted, or none was ever given."""
        standing = self._standing.get((station, evse))
        return standing is None or standing.confirmed

    def default_kw(self, station: str, evse: int) -> float:
        """Return the safe default that an EVSE has confirmed, its rated power before it has any."""
        return self._default_kw.get((station, evse), self.rated_kw)

    def safe_kw(self, station: str, evse: int) -> float:
        """Return the share of its site that an EVSE may always take; nothing before that is known."""
        return self._share_kw.get((station, evse), 0.0)

    def has_default(self, station: str, evse: int) -> bool:
        """Return whether an EVSE has confirmed a safe default; before that a car would start at rated power."""
        return (station, evse) in self._default_kw

    def known_evses(self) -> list[tuple[tuple[str, int], str]]:
        """Return every EVSE that was ever seen, with its site."""
        return [(key, self._site_of[key]) for key in sorted(self._site_of)]

    def exposure_kw(self, station: str, evse: int) -> tuple[float, float]:
        """Return the most an EVSE may import and export right now if nobody can reach it."""
        default_kw = self.default_kw(station, evse)
        standing = self._standing.get((station, evse))
        if standing is None or standing.order.until_ms <= self.clock.now_ms():
            return default_kw, 0.0
        return max(standing.exposure_kw[0], default_kw), standing.exposure_kw[1]

    def expect_at(self, station: str, evse: int, site_id: str, share_kw: float) -> None:
        """Count an EVSE at its site, whether or not it can be reached, and remember its share."""
        self._site_of[station, evse] = site_id
        self._share_kw[station, evse] = share_kw

    async def set_default(self, station: str, evse: int, charge_max_kw: float) -> bool:
        """Set an EVSE's safe default unless it has that already; return whether it has it now."""
        key = (station, evse)
        if self._default_kw.get(key) == charge_max_kw:
            return True
        status = await self.commander.set_default(station, evse, charge_max_kw)
        if status is OrderStatus.ACCEPTED:
            self._default_kw[key] = charge_max_kw
            return True
        self.rejected += 1
        return False

    async def follow(self, wishes: Sequence[Wish]) -> None:
        """Send what has changed or is about to lapse, room before use."""
        phases: tuple[list[SetpointOrder], ...] = ([], [], [])
        site_of: dict[tuple[str, int], str] = {}
        for wish in wishes:
            order = self._order(wish)
            if order is not None:
                site_of[order.station, order.evse] = wish.site_id
                phases[self._phase(order)].append(order)
        blocked: set[str] = set()
        for phase in phases:
            allowed = [order for order in phase if site_of[order.station, order.evse] not in blocked]
            for order in allowed:
                self._write_down(order)
            if allowed:
                sent = [asyncio.ensure_future(self._send(order)) for order in allowed]
                await asyncio.wait(sent, timeout=PATIENCE_S)
            for order in allowed:
                if not self.is_confirmed(order.station, order.evse):
                    blocked.add(site_of[order.station, order.evse])

    async def _send(self, order: SetpointOrder) -> None:
        """Send an order; until it is answered its station is doubted, and asked nothing else."""
        key = (order.station, order.evse)
        self._stand(order, confirmed=False)
        self._waiting[key] = asyncio.current_task()
        try:
            status = await self.commander.apply(order)
        finally:
            del self._waiting[key]
        # What can not be written down was not answered: the order stays in doubt and is given anew.
        with suppress(EnvironmentProblemError):
            self._settle(order, status)

    def is_waiting(self, station: str, evse: int) -> bool:
        """Return whether an order of an EVSE has no answer yet."""
        return (station, evse) in self._waiting

    def hang_up(self) -> None:
        """Wait for no more answers."""
        for task in self._waiting.values():
            if task is not None:
                task.cancel()

    def _order(self, wish: Wish) -> SetpointOrder | None:
        """Return the order that a wish needs, None if the standing one will do."""
        now_ms = self.clock.now_ms()
        order = self._fresh(wish, now_ms)
        standing = self._standing.get((wish.station, wish.evse))
        if standing is None or not standing.confirmed:
            return order
        held = standing.order
        same = (
            held.transaction == order.transaction
            and held.mode is order.mode
            and abs(held.power_kw - order.power_kw) < DEADBAND_KW
        )
        soon_ms = min(2 * self.control_interval_ms, (order.until_ms - now_ms) // 2)
        lasts = held.until_ms - now_ms > soon_ms
        # Whoever leaves room to others must leave it for longer than they may use it.
        yields = self._is_above(order) or held.end_ms - now_ms > self._short_ms + 2 * self.control_interval_ms
        return None if same and lasts and yields else order

    def _fresh(self, wish: Wish, now_ms: int) -> SetpointOrder:
        power_kw = _toward_zero(wish.power_kw)
        order = SetpointOrder(
            station=wish.station,
            evse=wish.evse,
            transaction=wish.transaction,
            profile=_PROFILE_BASE + wish.evse,
            power_kw=power_kw,
            mode=wish.mode,
            until_ms=now_ms + self._short_ms,
            bound_by=wish.bound_by,
        )
        if self._is_above(order):
            return order
        yields_until_ms = now_ms + max(LONG_WATCHDOG_MS, 2 * self._short_ms)
        if power_kw >= 0:
            return replace(order, until_ms=yields_until_ms)
        until_ms = order.until_ms if wish.lapses_ms < 0 else min(order.until_ms, wish.lapses_ms)
        return replace(order, until_ms=until_ms, rest_until_ms=yields_until_ms)

    @property
    def _short_ms(self) -> int:
        return max(WATCHDOG_MIN_MS, SHORT_WATCHDOG_INTERVALS * self.control_interval_ms)

    def _is_above(self, order: SetpointOrder) -> bool:
        """Return whether an order takes more than the EVSE may always take."""
        return order.power_kw > self.safe_kw(order.station, order.evse)

    def _phase(self, order: SetpointOrder) -> int:
        """0: takes less both ways; 1: turns around; 2: takes more."""
        before_import, before_export = self._doing_kw(order.station, order.evse)
        after_import, after_export = _exposure(order)
        less = (after_import <= before_import, after_export <= before_export)
        return 0 if all(less) else (1 if any(less) and order.power_kw * (before_import - before_export) < 0 else 2)

    def _doing_kw(self, station: str, evse: int) -> tuple[float, float]:
        """Return what an EVSE may be doing: its order if it confirmed that, the worst otherwise."""
        standing = self._standing.get((station, evse))
        if standing is not None and standing.confirmed and standing.order.until_ms > self.clock.now_ms():
            return standing.exposure_kw
        return self.exposure_kw(station, evse)

    def _write_down(self, order: SetpointOrder) -> None:
        self.journal.append_now(
            SetpointOrdered(
                at_ms=self.clock.now_ms(),
                station=order.station,
                evse=order.evse,
                profile=order.profile,
                power_kw=order.power_kw,
                mode=order.mode.value,
                until_ms=order.until_ms,
                bound_by=order.bound_by,
                rest_until_ms=order.rest_until_ms,
            )
        )

    def _settle(self, order: SetpointOrder, status: OrderStatus) -> None:
        """Keep what came of an order; a failed one may or may not have arrived."""
        self.journal.append_now(
            SetpointAnswered(
                at_ms=self.clock.now_ms(),
                station=order.station,
                evse=order.evse,
                profile=order.profile,
                status=status.value,
            )
        )
        self.rejected += status is not OrderStatus.ACCEPTED
        self._stand(order, confirmed=status is OrderStatus.ACCEPTED)

    def _stand(self, order: SetpointOrder, *, confirmed: bool) -> None:
        exposure = _exposure(order)
        if not confirmed:
            before = self.exposure_kw(order.station, order.evse)
            exposure = (max(exposure[0], before[0]), max(exposure[1], before[1]))
        self._standing[order.station, order.evse] = _Standing(order, confirmed, exposure)


_PROFILE_BASE = 1_000
"""Ids of transaction profiles start here, clear of the safe defaults."""

_WATTS = 1_000


def _toward_zero(power_kw: float) -> float:
    """Round to whole watts, never up: a rounded order must not pass a limit that the exact one kept."""
    return int(power_kw * _WATTS) / _WATTS


def _exposure(order: SetpointOrder) -> tuple[float, float]:
    return max(order.power_kw, 0.0), max(-order.power_kw, 0.0)
