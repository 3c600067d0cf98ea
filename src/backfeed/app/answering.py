"""Answering: what a driver's app asks of a running platform, and the answers it hands in.

A question is open from the moment it stands in the log until the driver has answered all of it or the car has left. An
answer is an event for each thing that was asked; only when these are on disk is the app told that they count. Once the
car has left, the app can read what came of the answer.
"""

import asyncio
from datetime import datetime

from backfeed.app.assembly import Parts
from backfeed.app.tokens import TokenRegister, TokenRole
from backfeed.app.view import AnswerView, JudgedView, QuestionView, Refusal
from backfeed.core.instant import MS_PER_DAY, format_instant, to_ms
from backfeed.core.money import MICRO
from backfeed.fleet.event import Asks, ChargeAnswered, DepartureAnswered, DriverPrompted

STAY_MAX_DAYS = 31
"""Whoever says to leave later than that has mistyped the day."""

JUDGED_DAYS = 31
"""How long an app can read what came of an answer; the books say it for ever."""

WORDS = {
    "departure": ("When will you leave?", "您预计几点离开？"),
    "charge": (
        "How full was your battery when you plugged in, in percent as on the dashboard?",
        "插枪时仪表盘显示的电量是百分之多少？",
    ),
}
"""The questions, in English and Simplified Chinese."""


class Answering:
    """Hands questions to a driver's app and its answers to the log.

    Parameters
    ----------
    parts
        The platform.
    tokens
        Which programs are the driver's app.
    """

    def __init__(self, parts: Parts, tokens: TokenRegister) -> None:
        """Answer for a platform."""
        self._parts = parts
        self._tokens = tokens
        self._under_way: set[tuple[str, str]] = set()

    def admits(self, token: str) -> bool:
        """Return whether a token is a driver's app's."""
        return self._tokens.role_of(token) is TokenRole.DRIVER_APP

    def questions(self) -> tuple[QuestionView, ...]:
        """Return the questions that wait for an answer."""
        return tuple(
            QuestionView(
                station=asked.station,
                evse=asked.evse,
                transaction=asked.transaction,
                token=asked.token,
                asked_at=format_instant(asked.at_ms),
                asks=asks,
                bonus=asked.bonus_micro / MICRO if "departure" in asks else 0.0,
                charge_bonus=asked.charge_bonus_micro / MICRO if "charge" in asks else 0.0,
                words=" ".join(WORDS[what][0] for what in asks),
                words_zh="".join(WORDS[what][1] for what in asks),
            )
            for asked, asks in self._open()
        )

    def judged(self) -> tuple[JudgedView, ...]:
        """Return what came of the answers of the last days, and why."""
        prompting = self._parts.platform.prompting
        if prompting is None:
            return ()
        since_ms = self._parts.clock.now_ms() - JUDGED_DAYS * MS_PER_DAY
        return tuple(
            JudgedView(
                station=each.station,
                transaction=each.transaction,
                owner=each.owner,
                asks="charge" if each.reason.verdict.of_charge else "departure",
                judged_at=format_instant(each.known_at_ms),
                verdict=each.reason.verdict.value,
                bonus=each.amount_micro / MICRO,
                words=each.reason.words("en"),
                words_zh=each.reason.words("zh"),
            )
            for each in prompting.bonuses
            if each.known_at_ms >= since_ms
        )

    async def answer(self, given: AnswerView) -> Refusal | None:
        """Take an answer, and return once it is on disk; or say why it does not count.

        Raises
        ------
        EnvironmentProblemError
            If it could not be written.
        """
        key = (given.station, given.transaction)
        asked, asks = next(
            ((each, asks) for each, asks in self._open() if (each.station, each.transaction) == key), (None, ())
        )
        if asked is None or key in self._under_way:
            return Refusal.NOT_ASKED
        answers = _answers(given, asked, asks, self._parts.clock.now_ms())
        if isinstance(answers, Refusal):
            return answers
        self._under_way.add(key)
        try:
            await asyncio.gather(*(self._parts.log.commit(answer) for answer in answers))
        finally:
            self._under_way.discard(key)
        return None

    def _open(self) -> tuple[tuple[DriverPrompted, Asks], ...]:
        prompting = self._parts.platform.prompting
        return () if prompting is None else prompting.open_questions()


def _answers(
    given: AnswerView, asked: DriverPrompted, asks: Asks, now_ms: int
) -> list[ChargeAnswered | DepartureAnswered] | Refusal:
    """Return an answer as events, or why it is none to what is asked."""
    says = {"departure": given.departure is not None, "charge": given.charge_percent is not None}
    if not any(says.values()):
        return Refusal.NO_ANSWER
    if any(said and what not in asks for what, said in says.items()):
        return Refusal.NOT_ASKED
    station, evse, transaction = asked.station, asked.evse, asked.transaction
    answers: list[ChargeAnswered | DepartureAnswered] = []
    if given.charge_percent is not None:
        if not 0 <= given.charge_percent <= 100:  # noqa: PLR2004 - percent
            return Refusal.NO_CHARGE
        soc = given.charge_percent / 100
        answers.append(ChargeAnswered(at_ms=now_ms, station=station, evse=evse, transaction=transaction, soc=soc))
    if given.departure is not None:
        departure_ms = _instant_ms(given.departure)
        if departure_ms is None or not now_ms < departure_ms <= now_ms + STAY_MAX_DAYS * MS_PER_DAY:
            return Refusal.NO_DEPARTURE
        answers.append(
            DepartureAnswered(
                at_ms=now_ms, station=station, evse=evse, transaction=transaction, departure_ms=departure_ms
            )
        )
    return answers


def _instant_ms(text: str) -> int | None:
    try:
        return to_ms(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None
