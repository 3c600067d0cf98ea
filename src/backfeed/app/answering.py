"""Answering: what a driver's app asks of a running platform, and the answers it hands in.

A question is open from the moment it stands in the log until the driver has answered or the car has left. An answer
is an event of its own; only when that is on disk is the app told that it counts.
"""

from datetime import datetime

from backfeed.app.assembly import Parts
from backfeed.app.tokens import TokenRegister, TokenRole
from backfeed.app.view import AnswerView, QuestionView, Refusal
from backfeed.core.instant import MS_PER_DAY, format_instant, to_ms
from backfeed.core.money import MICRO
from backfeed.fleet.event import DepartureAnswered, DriverPrompted

STAY_MAX_DAYS = 31
"""Whoever says to leave later than that has mistyped the day."""


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
                bonus=asked.bonus_micro / MICRO,
            )
            for asked in self._open()
        )

    async def answer(self, given: AnswerView) -> Refusal | None:
        """Take an answer, and return once it is on disk; or say why it does not count.

        Raises
        ------
        EnvironmentProblemError
            If it could not be written.
        """
        key = (given.station, given.transaction)
        asked = next((each for each in self._open() if (each.station, each.transaction) == key), None)
        if asked is None or key in self._under_way:
            return Refusal.NOT_ASKED
        now_ms = self._parts.clock.now_ms()
        departure_ms = _instant_ms(given.departure)
        if departure_ms is None or not now_ms < departure_ms <= now_ms + STAY_MAX_DAYS * MS_PER_DAY:
            return Refusal.NO_DEPARTURE
        answered = DepartureAnswered(
            at_ms=now_ms,
            station=asked.station,
            evse=asked.evse,
            transaction=asked.transaction,
            departure_ms=departure_ms,
        )
        self._under_way.add(key)
        try:
            await self._parts.log.commit(answered)
        finally:
            self._under_way.discard(key)
        return None

    def _open(self) -> tuple[DriverPrompted, ...]:
        prompting = self._parts.platform.prompting
        return () if prompting is None else prompting.open_questions()


def _instant_ms(text: str) -> int | None:
    try:
        return to_ms(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None
