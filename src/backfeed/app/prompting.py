"""Prompting: silent drivers are asked when they leave, where knowing is worth more than what it costs.

What it is worth to know is found by planning: the expected cost of the best plan over the odds, less the mean of those
over the odds that the driver's word would leave, for words spread over his departure. What it costs is the bonus,
paid if the driver answers and keeps it. Everything else is folded from the log, so a restart knows whom it has asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from backfeed.app.enrolment import Enrolment
from backfeed.app.knowledge import STATEMENT_TOLERANCE_MS, Car, Outlook
from backfeed.app.planning import Planning
from backfeed.app.steering import Journal
from backfeed.core.instant import MS_PER_DAY, MS_PER_MIN
from backfeed.core.money import MICRO
from backfeed.fleet.event import AnyEvent, DepartureAnswered, DriverPrompted, TransactionChanged
from backfeed.forecast.prompt import PromptRecord
from backfeed.plan.rolling import LEVELS
from backfeed.settle.bonus import Bonus

WAIT_MS = MS_PER_MIN
"""How long a driver may take to speak of his own accord."""

LATER_MS = 60 * MS_PER_MIN
"""Whoever stays this much longer than said has not kept it either: an early word costs nothing and tells nothing."""

ASKED_LEVELS = (0.2, 0.6, 0.95)
"""The departures, as quantiles of the odds, for which it is found what the driver's word would be worth."""

WORTH_ASKING = 0.05
"""What a question must be expected to gain [currency]: nobody likes to be asked."""

_WEEK_MS = 7 * MS_PER_DAY


@dataclass(frozen=True, slots=True)
class PromptTerms:
    """What is offered for a kept answer [1e-6 currency], and how often a driver may be asked in seven days."""

    bonus_micro: int
    per_driver_week: int


@dataclass(frozen=True, slots=True)
class PromptCounts:
    """How many drivers were asked, answered and kept it, and what that cost [1e-6 currency]."""

    sent: int
    answered: int
    kept: int
    bonus_micro: int


@dataclass(slots=True)
class _Question:
    asked: DriverPrompted
    answered_ms: int = -1


@dataclass
class Prompting:
    """Asks, and remembers.

    Parameters
    ----------
    terms
        What is offered, how often.
    enrolment, outlook, planning
        Who is known, what is forecast, what a plan costs.
    journal
        Where questions are written down; whoever runs the drivers' app reads them there.
    """

    terms: PromptTerms
    enrolment: Enrolment
    outlook: Outlook
    planning: Planning
    journal: Journal
    record: PromptRecord = field(default_factory=PromptRecord)
    bonuses: list[Bonus] = field(default_factory=list)
    _sent: int = 0
    _answered: int = 0
    _open: dict[tuple[str, str], _Question] = field(default_factory=dict)
    _asked_ms: dict[str, list[int]] = field(default_factory=dict)
    _weighed: set[tuple[str, str]] = field(default_factory=set)

    def learn(self, event: AnyEvent) -> None:
        """Fold an event of the log."""
        match event:
            case DriverPrompted():
                self._sent += 1
                self._open[event.station, event.transaction] = _Question(event)
                self._asked_ms.setdefault(event.token, []).append(event.at_ms)
                self.record.asked(event.token)
            case DepartureAnswered():
                question = self._open.get((event.station, event.transaction))
                if question is not None and question.answered_ms < 0:
                    question.answered_ms = event.departure_ms
                    self._answered += 1
                    self.record.answered(question.asked.token)
            case TransactionChanged() if event.phase == "ended":
                self._weighed.discard((event.station, event.transaction))
                question = self._open.pop((event.station, event.transaction), None)
                if question is not None and question.answered_ms >= 0:
                    self._departed(event, question)
            case _:
                pass

    def _departed(self, event: TransactionChanged, question: _Question) -> None:
        late_ms = min(event.measured_ms, event.at_ms) - question.answered_ms
        kept = -STATEMENT_TOLERANCE_MS <= late_ms <= LATER_MS
        self.record.departed(question.asked.token, kept=kept)
        if kept:
            owner = self.enrolment.owner_of(question.asked.token).owner_id
            self.bonuses.append(Bonus(event.station, event.transaction, owner, event.at_ms, question.asked.bonus_micro))

    def open_questions(self) -> tuple[DriverPrompted, ...]:
        """Return the questions that wait for an answer, in the order in which they were asked."""
        return tuple(question.asked for question in self._open.values() if question.answered_ms < 0)

    def counts(self) -> PromptCounts:
        """Return what came of asking so far."""
        return PromptCounts(
            self._sent, self._answered, len(self.bonuses), sum(bonus.amount_micro for bonus in self.bonuses)
        )

    async def ask(self, now_ms: int, cars: Sequence[Car]) -> None:
        """Ask the drivers for whom it pays; each stay is weighed once."""
        for car in cars:
            key = (car.plug.station, car.plug.transaction)
            if key in self._weighed or key in self._open or now_ms - car.plug.since_ms < WAIT_MS:
                continue
            self._weighed.add(key)
            if car.plug.token and car.plug.departure_stated_ms < 0 and self._may_ask(car.plug.token, now_ms):
                await self._weigh(now_ms, car)

    def _may_ask(self, token: str, now_ms: int) -> bool:
        recent = [asked_ms for asked_ms in self._asked_ms.get(token, ()) if asked_ms > now_ms - _WEEK_MS]
        return len(recent) < self.terms.per_driver_week

    async def _weigh(self, now_ms: int, car: Car) -> None:
        token = car.plug.token
        cost = self.record.kept_share(token) * self.terms.bonus_micro / MICRO
        gain = await self._worth_of_knowing(now_ms, car)
        if self.record.answer_share(token) * (gain - cost) > WORTH_ASKING:
            self.journal.append_now(
                DriverPrompted(
                    at_ms=now_ms,
                    station=car.plug.station,
                    evse=car.plug.evse,
                    transaction=car.plug.transaction,
                    token=token,
                    bonus_micro=self.terms.bonus_micro,
                )
            )

    async def _worth_of_knowing(self, now_ms: int, car: Car) -> float:
        """Return how much less the best plan costs once the driver has spoken [currency]."""
        knowing = 0.0
        for level in ASKED_LEVELS:
            word_ms = int(car.left_by_ms[LEVELS.index(level)])
            left_by_ms = self.outlook.left_by_if_stated_ms(car.plug, car.location, now_ms, word_ms)
            knowing += await self.planning.cost_alone(now_ms, replace(car, left_by_ms=left_by_ms))
        return await self.planning.cost_alone(now_ms, car) - knowing / len(ASKED_LEVELS)
