"""The messages that a station has yet to deliver, in order.

Transaction messages last: they survive the loss of the link and are repeated when the platform
answers with an error or not at all, up to `MessageAttempts` times, `MessageAttemptInterval` times the
number of attempts apart (OCPP 2.1 Part 2, E13). Others are worth something only now, and go when they
fail.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from msgspec import Struct

from backfeed.core.instant import MS_PER_S

OnAnswer = Callable[[Struct | None, int], None]
"""Told the answer, None if there was none and will be none, and the instant."""

MESSAGE_ATTEMPTS = 8
MESSAGE_ATTEMPT_INTERVAL_S = 10


@dataclass(slots=True)
class Letter:
    """A message to be delivered.

    Parameters
    ----------
    request
        The message.
    lasting
        Whether it is kept until it has been delivered.
    on_answer
        Whom to tell the answer.
    attempts
        How often it has been sent in vain.
    """

    request: Struct
    lasting: bool
    on_answer: OnAnswer | None = None
    attempts: int = 0


class Outbox:
    """A queue of letters of which only the first is under way."""

    def __init__(self) -> None:
        """Begin empty."""
        self._letters: deque[Letter] = deque()
        self.undelivered = 0

    def __len__(self) -> int:
        """Return how many letters wait, the one under way included."""
        return len(self._letters)

    def post(self, letter: Letter) -> None:
        """Put a letter at the end."""
        self._letters.append(letter)

    @property
    def first(self) -> Letter | None:
        """The letter whose turn it is."""
        return self._letters[0] if self._letters else None

    def delivered(self, letter: Letter, answer: Struct, now_ms: int) -> None:
        """Take a letter out that has been answered."""
        self._take(letter, answer, now_ms)

    def failed(self, letter: Letter, now_ms: int) -> int:
        """Count an attempt in vain; return how long to wait before the next [ms], 0 if there is to be none."""
        letter.attempts += 1
        if letter.lasting and letter.attempts < MESSAGE_ATTEMPTS:
            return letter.attempts * MESSAGE_ATTEMPT_INTERVAL_S * MS_PER_S
        self.undelivered += letter.lasting
        self._take(letter, None, now_ms)
        return 0

    def link_lost(self, now_ms: int) -> None:
        """Give up the letters that are worth something only now."""
        fleeting = [letter for letter in self._letters if not letter.lasting]
        self._letters = deque(letter for letter in self._letters if letter.lasting)
        for letter in fleeting:
            if letter.on_answer is not None:
                letter.on_answer(None, now_ms)

    def _take(self, letter: Letter, answer: Struct | None, now_ms: int) -> None:
        if self._letters and self._letters[0] is letter:
            self._letters.popleft()
        if letter.on_answer is not None:
            letter.on_answer(answer, now_ms)
