"""Prompting: drivers are asked for what is not known of their stay, where knowing is worth more than what it costs.

What it is worth is found by planning (`app.knowing`). What it costs is the bonus, paid if the driver answers and it
proves right: if he leaves when he said, and if the car shows by where it stops that it came as full as he said.
Everything else is folded from the log, so a restart knows whom it has asked.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from backfeed.app.enrolment import Enrolment
from backfeed.app.knowing import Knowing
from backfeed.app.knowledge import STATEMENT_TOLERANCE_MS, Car
from backfeed.app.steering import Journal
from backfeed.core.instant import MS_PER_DAY, MS_PER_MIN
from backfeed.core.money import MICRO
from backfeed.fleet.event import (
    AnyEvent,
    Asks,
    ChargeAnswered,
    ChargeShown,
    DepartureAnswered,
    DriverPrompted,
    TransactionChanged,
)
from backfeed.forecast.prompt import PromptRecord
from backfeed.settle.bonus import Bonus, Reason, Verdict

WAIT_MS = MS_PER_MIN
"""How long a driver may take to speak of his own accord."""

LATER_MS = 60 * MS_PER_MIN
"""Whoever stays this much longer than said has not kept it either: an early word costs nothing and tells nothing."""

CHARGE_WITHIN = 0.05
"""How far a right word for the state of charge may lie off what the car has shown, as a share of its capacity: a
reading off a dashboard, and what enrolled capacities and efficiencies miss."""

_DIFFERENCE_DIGITS = 6
"""To which a word and what was shown are compared: both are decimals, and their difference is to be one."""

WORTH_ASKING = 0.05
"""What a question must be expected to gain [currency]: nobody likes to be asked."""

_WEEK_MS = 7 * MS_PER_DAY


@dataclass(frozen=True, slots=True)
class PromptTerms:
    """What is offered for a right answer [1e-6 currency], and how often a driver may be asked for it in seven days.

    Without a bonus for the state of charge nobody is asked for that.
    """

    bonus_micro: int
    per_driver_week: int
    charge_bonus_micro: int | None = None


@dataclass(slots=True)
class AskedCounts:
    """How many drivers were asked for one thing, answered and were right, and what that cost [1e-6 currency]."""

    sent: int = 0
    answered: int = 0
    kept: int = 0
    bonus_micro: int = 0


@dataclass(frozen=True, slots=True)
class PromptCounts:
    """How many questions were asked, and what came of those for a departure and for a state of charge."""

    sent: int
    departure: AskedCounts
    charge: AskedCounts


@dataclass(slots=True)
class _Question:
    asked: DriverPrompted
    departure_ms: int = -1
    said_soc: float = float("nan")
    shown: ChargeShown | None = None
    noted: bool = False
    answered: Asks = ()

    @property
    def open(self) -> Asks:
        """What still waits for an answer."""
        return tuple(what for what in self.asked.asks if what not in self.answered)


@dataclass
class Prompting:
    """Asks, and remembers.

    Parameters
    ----------
    terms
        What is offered, how often.
    enrolment
        Who is known.
    knowing
        What an answer would be worth.
    charge_shown
        How the car of a station, an EVSE and a transaction has by now shown what it came with, if it has.
    journal
        Where questions are written down, and what cars show of the answers; whoever runs the drivers' app reads the
        questions there.
    bonuses
        What came of every answer of a stay that is over, as it became known.
    """

    terms: PromptTerms
    enrolment: Enrolment
    knowing: Knowing
    charge_shown: Callable[[str, int, str, int], ChargeShown | None]
    journal: Journal
    bonuses: list[Bonus] = field(default_factory=list)
    _sent: int = 0
    _counts: dict[str, AskedCounts] = field(default_factory=lambda: defaultdict(AskedCounts))
    _records: dict[Asks, PromptRecord] = field(default_factory=dict)
    _open: dict[tuple[str, str], _Question] = field(default_factory=dict)
    _asked_ms: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    _weighed: set[tuple[str, str]] = field(default_factory=set)

    def learn(self, event: AnyEvent) -> None:
        """Fold an event of the log."""
        match event:
            case DriverPrompted():
                self._sent += 1
                self._open[event.station, event.transaction] = _Question(event)
                for what in event.asks:
                    self._counts[what].sent += 1
                    self._asked_ms.setdefault((event.token, what), []).append(event.at_ms)
                self.record(event.asks).asked(event.token)
            case DepartureAnswered() | ChargeAnswered():
                question = self._open.get((event.station, event.transaction))
                if question is not None:
                    self._answered(event, question)
            case ChargeShown():
                question = self._open.get((event.station, event.transaction))
                if question is not None:
                    question.shown, question.noted = event, True
            case TransactionChanged() if event.phase == "ended":
                self._weighed.discard((event.station, event.transaction))
                question = self._open.pop((event.station, event.transaction), None)
                if question is not None:
                    self._departed(event, question)
            case _:
                pass

    def record(self, asks: Asks) -> PromptRecord:
        """Return who answers a question for just these, and who was right where it is for one."""
        return self._records.setdefault(asks, PromptRecord())

    def _answered(self, event: DepartureAnswered | ChargeAnswered, question: _Question) -> None:
        what = "departure" if isinstance(event, DepartureAnswered) else "charge"
        if what not in question.open:
            return
        if not question.answered:
            self.record(question.asked.asks).answered(question.asked.token)
        question.answered = (*question.answered, what)
        self._counts[what].answered += 1
        if isinstance(event, DepartureAnswered):
            question.departure_ms = event.departure_ms
        else:
            question.said_soc = event.soc

    def _departed(self, event: TransactionChanged, question: _Question) -> None:
        """Judge the answers of a stay that is over, and owe what is due for them."""
        owner = self.enrolment.owner_of(question.asked.token).owner_id if question.answered else ""
        for what in question.answered:
            if what == "departure":
                reason = _of_departure(min(event.measured_ms, event.at_ms) - question.departure_ms)
                offer_micro = question.asked.bonus_micro
            else:
                reason = _of_charge(question.said_soc, question.shown)
                offer_micro = question.asked.charge_bonus_micro
            due_micro = offer_micro if reason.verdict.is_right else 0
            self.record((what,)).departed(question.asked.token, kept=reason.verdict.is_right)
            self._counts[what].kept += reason.verdict.is_right
            self._counts[what].bonus_micro += due_micro
            self.bonuses.append(Bonus(event.station, event.transaction, owner, event.at_ms, due_micro, reason))

    def open_questions(self) -> tuple[tuple[DriverPrompted, Asks], ...]:
        """Return the questions that wait for an answer and for what, in the order in which they were asked."""
        return tuple((question.asked, question.open) for question in self._open.values() if question.open)

    def counts(self) -> PromptCounts:
        """Return what came of asking so far."""
        return PromptCounts(self._sent, replace(self._counts["departure"]), replace(self._counts["charge"]))

    async def ask(self, now_ms: int, cars: Sequence[Car]) -> None:
        """Write down what cars have shown of what was asked; ask the drivers for whom it pays, each stay once."""
        self._show(now_ms)
        for car in cars:
            key = (car.plug.station, car.plug.transaction)
            if key in self._weighed or key in self._open or now_ms - car.plug.since_ms < WAIT_MS:
                continue
            self._weighed.add(key)
            unknown = self.knowing.unknown(car) if car.plug.token else ()
            unknown = tuple(what for what in unknown if self._may_ask(car.plug.token, what, now_ms))
            if unknown:
                await self._weigh(now_ms, car, unknown)

    def _show(self, now_ms: int) -> None:
        for question in self._open.values():
            asked = question.asked
            if not question.noted and "charge" in asked.asks:
                shown = self.charge_shown(asked.station, asked.evse, asked.transaction, now_ms)
                if shown is not None:
                    self.journal.append_now(shown)
                    question.noted = True

    def _may_ask(self, token: str, what: str, now_ms: int) -> bool:
        if what == "charge" and self.terms.charge_bonus_micro is None:
            return False
        recent = [asked_ms for asked_ms in self._asked_ms.get((token, what), ()) if asked_ms > now_ms - _WEEK_MS]
        return len(recent) < self.terms.per_driver_week

    async def _weigh(self, now_ms: int, car: Car, unknown: Asks) -> None:
        """Ask for what gains most, if anything gains enough."""
        token = car.plug.token
        gains = {
            asks: self.record(asks).answer_share(token) * (worth - self._cost(token, asks))
            for asks, worth in (await self.knowing.worth(now_ms, car, unknown)).items()
        }
        asks = max(gains, key=gains.__getitem__)
        if gains[asks] > WORTH_ASKING:
            self.journal.append_now(
                DriverPrompted(
                    at_ms=now_ms,
                    station=car.plug.station,
                    evse=car.plug.evse,
                    transaction=car.plug.transaction,
                    token=token,
                    asks=asks,
                    bonus_micro=self._offer_micro("departure") if "departure" in asks else 0,
                    charge_bonus_micro=self._offer_micro("charge") if "charge" in asks else 0,
                )
            )

    def _offer_micro(self, what: str) -> int:
        return self.terms.bonus_micro if what == "departure" else self.terms.charge_bonus_micro or 0

    def _cost(self, token: str, asks: Asks) -> float:
        """Return what an answer is expected to cost [currency]."""
        return sum(self.record((what,)).kept_share(token) * self._offer_micro(what) for what in asks) / MICRO


def _of_departure(late_ms: int) -> Reason:
    """Return what came of a departure that was named, by how much later the car left."""
    minutes = round(late_ms / MS_PER_MIN, 1)
    if late_ms < -STATEMENT_TOLERANCE_MS:
        return Reason(Verdict.LEFT_EARLY, (-minutes,))
    return Reason(Verdict.DEPARTURE_KEPT if late_ms <= LATER_MS else Verdict.LEFT_LATE, (minutes,))


def _of_charge(said_soc: float, shown: ChargeShown | None) -> Reason:
    """Return what came of a state of charge that was named, by how the car has shown what it came with."""
    said = round(100 * said_soc, 1)
    if shown is None:
        return Reason(Verdict.CHARGE_UNPROVEN, (said,))
    right = round(abs(said_soc - shown.soc), _DIFFERENCE_DIGITS) <= CHARGE_WITHIN
    told = (said, round(100 * shown.soc, 2), round(100 * shown.limit_soc, 2))
    return Reason(Verdict.CHARGE_RIGHT if right else Verdict.CHARGE_WRONG, told)
