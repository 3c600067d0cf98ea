"""A simulated operator of a demand-response programme: he calls, clears and verifies by the programme's clock.

He knows the programme's rules as numbers, the offers he is made, and the meter readings he is handed; nothing of how a
platform plans or what it expects. What he computes, he computes by himself (`sim.verification`). An invitation lives
through these instants:

    invited -> gate closure -> cleared (confirmation) -> delivery -> verified, the morning after

Offers after the gate are not looked at. An offer in time may be refused, because others were cheaper, or awarded in
part; both are drawn from the run's seed, one stream a call, so that no call moves another.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Final, Literal, Protocol
from zoneinfo import ZoneInfo

from backfeed.core.clock import Clock
from backfeed.core.instant import MS_PER_H, MS_PER_MIN, local_datetime, local_midnight_ms, to_ms
from backfeed.core.rng import Streams
from backfeed.sim.verification import Days, Meters, Promise, Rules, Verified, verify

QUARTER_MS: Final = 15 * MS_PER_MIN

CLEARS_AFTER_MS: Final = 30 * MS_PER_MIN
"""How long clearing takes where the programme names no confirmation."""

BEFORE_DELIVERY_MS: Final = 15 * MS_PER_MIN
"""A promise is confirmed at the latest this long before it has to be kept."""

CALLED_AHEAD_MS: Final = 2 * MS_PER_H
"""How long before the gate he calls where the programme names no latest invitation."""

VERIFIED_AFTER_MS: Final = 60 * MS_PER_MIN
"""After the midnight that ends the day of delivery: late readings are in by then."""

SHAVE_HOURS: Final = (17, 18, 19, 20)
FILL_HOURS: Final = (0, 1, 2, 3)
"""Local hours at which the grid asks for less and for more."""


@dataclass(frozen=True, slots=True)
class Call:
    """An invitation: which way, when, how much, at what price a kWh."""

    id: str
    direction: Literal["peak_shave", "valley_fill"]
    invited_at_ms: int
    start_ms: int
    end_ms: int
    power_kw: float
    price_per_kwh: Decimal
    baseline: str


@dataclass(frozen=True, slots=True)
class Temper:
    """How the operator calls and clears.

    Parameters
    ----------
    calls_per_week
        How often he calls on average, beside the calls that a pilot names.
    power_kw, duration_min
        What he asks for.
    shave_price_per_kwh, fill_price_per_kwh
        What he pays.
    refused_share
        Share of the offers that others undercut.
    award_share_min
        The least part of an offer that he awards; the part is drawn evenly between it and all.
    """

    calls_per_week: float
    power_kw: float
    duration_min: int
    shave_price_per_kwh: Decimal
    fill_price_per_kwh: Decimal
    refused_share: float
    award_share_min: float


@dataclass(frozen=True, slots=True)
class Cleared:
    """What became of an offer: the power awarded [kW], or 0 and why."""

    offered_kw: float
    power_kw: float
    reason: str = ""


class Participant(Protocol):
    """A platform, as the operator sees it."""

    def invited(self, call: Call) -> None:
        """Hear of a call."""
        ...

    async def awarded(self, call_id: str, power_kw: float) -> None:
        """Hear that an offer was taken, whole or in part."""
        ...

    def declined(self, call_id: str, reason: str) -> None:
        """Hear that an offer was not taken."""
        ...

    def metered(self) -> Meters:
        """Hand in the meter data of all who take part."""
        ...

    def verified(self, call_id: str, statement: Verified) -> None:
        """Hear what was delivered, earned and forfeited, as the operator sees it."""
        ...


def draw_calls(rules: Rules, temper: Temper, window_ms: tuple[int, int], streams: Streams) -> tuple[Call, ...]:
    """Draw the calls of a window: at most one a day, none that would have to be made before it begins."""
    zone = ZoneInfo(rules.timezone)
    day = local_datetime(window_ms[0], zone).date()
    calls = []
    while local_midnight_ms(day, zone) < window_ms[1]:
        dice = streams.generator("demand response call", day.isoformat())
        called, first, way = (
            float(dice.random()),
            int(dice.integers(0, 4)),
            int(dice.integers(0, len(rules.directions))),
        )
        call = _call(rules, temper, day, first, rules.directions[way])
        if called < temper.calls_per_week / 7 and window_ms[0] <= call.invited_at_ms and call.end_ms <= window_ms[1]:
            calls.append(call)
        day += timedelta(days=1)
    return tuple(calls)


def _call(rules: Rules, temper: Temper, day: date, first: int, direction: Literal["peak_shave", "valley_fill"]) -> Call:
    zone, shave = ZoneInfo(rules.timezone), direction == "peak_shave"
    hour = (SHAVE_HOURS if shave else FILL_HOURS)[first]
    start_ms = to_ms(datetime.combine(day, time(hour), tzinfo=zone))
    price = temper.shave_price_per_kwh if shave else temper.fill_price_per_kwh
    cap, floor = dict(rules.price_cap_per_kwh).get(direction), dict(rules.price_floor_per_kwh).get(direction)
    price = price if floor is None else max(price, floor)
    price = price if cap is None else min(price, cap)
    gate_ms = rules.gate_closure.before(start_ms, zone)
    latest_ms = gate_ms - CALLED_AHEAD_MS if rules.invitation is None else rules.invitation.before(start_ms, zone)
    return Call(
        id=f"{'shave' if shave else 'fill'}-{day.isoformat()}",
        direction=direction,
        invited_at_ms=latest_ms,
        start_ms=start_ms,
        end_ms=start_ms + max(temper.duration_min, rules.duration_min_min) * MS_PER_MIN,
        power_kw=temper.power_kw,
        price_per_kwh=price,
        baseline=rules.baseline,
    )


def draw_answers(owners: Sequence[str], yes_share: float, no_share: float, streams: Streams) -> dict[str, bool]:
    """Draw which owners say yes and which say no to taking part; the others give no answer."""
    answers = {}
    for owner in owners:
        mood = float(streams.generator("demand response opt-in", owner).random())
        if mood < yes_share:
            answers[owner] = True
        elif mood < yes_share + no_share:
            answers[owner] = False
    return answers


@dataclass
class SimulatedOperator:
    """Conducts calls.

    Parameters
    ----------
    rules, temper
        The programme, and how he calls and clears.
    calls
        What he calls for.
    participant, clock, streams
        The platform, and the run's time and dice.
    is_workday
        Which local days are worked.
    metered_from_ms
        When metering began.
    cleared, statements
        What became of every offer and every delivery, by call.
    """

    rules: Rules
    temper: Temper
    calls: Sequence[Call]
    participant: Participant
    clock: Clock
    streams: Streams
    is_workday: Callable[[date], bool]
    metered_from_ms: int
    cleared: dict[str, Cleared] = field(default_factory=dict)
    statements: dict[str, Verified] = field(default_factory=dict)
    _offers: dict[str, tuple[float, int]] = field(default_factory=dict)
    _awarded_ms: dict[str, int] = field(default_factory=dict)

    async def run(self) -> None:
        """Conduct all calls, each by its own clock."""
        async with asyncio.TaskGroup() as group:
            for call in self.calls:
                group.create_task(self._conduct(call))

    def offer(self, call_id: str, power_kw: float, at_ms: int) -> None:
        """Take an offer; the last one before the gate counts."""
        call = next(call for call in self.calls if call.id == call_id)
        if at_ms <= min(self.rules.gate_closure.before(call.start_ms, self._zone), self.clears_ms(call)):
            self._offers[call_id] = (power_kw, at_ms)

    def clears_ms(self, call: Call) -> int:
        """Return when a call is cleared and confirmed."""
        if self.rules.confirmation is not None:
            confirmed_ms = self.rules.confirmation.before(call.start_ms, self._zone)
        else:
            confirmed_ms = self.rules.gate_closure.before(call.start_ms, self._zone) + CLEARS_AFTER_MS
        return max(min(confirmed_ms, call.start_ms - BEFORE_DELIVERY_MS), call.invited_at_ms)

    def finish(self) -> None:
        """Verify what has been delivered and not been verified yet, by call."""
        for call in self.calls:
            ended = call.end_ms <= self.clock.now_ms()
            if ended and call.id in self._awarded_ms and call.id not in self.statements:
                self._verify(call)

    @property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.rules.timezone)

    async def _conduct(self, call: Call) -> None:
        await self.clock.sleep_until(call.invited_at_ms)
        self.participant.invited(call)
        await self.clock.sleep_until(self.clears_ms(call))
        cleared = self._clear(call)
        self.cleared[call.id] = cleared
        if cleared.power_kw <= 0:
            self.participant.declined(call.id, cleared.reason)
            return
        self._awarded_ms[call.id] = self.clock.now_ms()
        await self.participant.awarded(call.id, cleared.power_kw)
        last_day = local_datetime(call.end_ms - 1, self._zone).date()
        await self.clock.sleep_until(local_midnight_ms(last_day + timedelta(days=1), self._zone) + VERIFIED_AFTER_MS)
        self._verify(call)

    def _clear(self, call: Call) -> Cleared:
        """Decide on the offer to a call: refused by the rules, by the dice, or awarded in part or whole."""
        offered_kw, _ = self._offers.get(call.id, (0.0, 0))
        if offered_kw <= 0:
            return Cleared(0.0, 0.0, "no offer came before the gate closed")
        dice = self.streams.generator("demand response clearing", call.id)
        luck, part = float(dice.random()), float(dice.random())
        if luck < self.temper.refused_share:
            return Cleared(offered_kw, 0.0, "others offered for less")
        share = self.temper.award_share_min + part * (1 - self.temper.award_share_min)
        # Awards are whole tenths of a kilowatt, so that a promise is a whole number of watt-hours.
        power_kw = int(min(offered_kw * share, call.power_kw) * 10) / 10
        if power_kw <= 0 or power_kw < self.rules.power_min_kw:
            return Cleared(offered_kw, 0.0, f"what is left of the offer, {power_kw:g} kW, is less than may be awarded")
        return Cleared(offered_kw, power_kw)

    def _verify(self, call: Call) -> None:
        """Verify a delivery; days of calls that were confirmed when it was invited are not normal days."""
        called = frozenset(
            local_datetime(other.start_ms, self._zone).date()
            for other in self.calls
            if self._awarded_ms.get(other.id, call.invited_at_ms + 1) <= call.invited_at_ms
        )
        promise = Promise(
            call.direction,
            (call.start_ms, call.end_ms),
            call.invited_at_ms,
            call.baseline,
            self.cleared[call.id].power_kw,
            call.price_per_kwh,
        )
        statement = verify(
            self.rules,
            promise,
            self.participant.metered(),
            self.metered_from_ms,
            Days(self.is_workday, called),
        )
        self.statements[call.id] = statement
        self.participant.verified(call.id, statement)
