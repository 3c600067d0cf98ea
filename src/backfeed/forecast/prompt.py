"""Whom to ask: how often a driver answers when asked, and how often he then keeps his word.

Both are shares with a prior: a new driver is taken for the average one, and a record of his own outweighs that after
some questions. Whoever never answers is asked less and less.
"""

from dataclasses import dataclass

PRIOR_ANSWERED, PRIOR_ASKED = 2.0, 4.0
PRIOR_KEPT, PRIOR_ANSWERS = 3.0, 4.0
"""What is believed of all drivers before anybody was asked."""

DRIVER_PSEUDO_COUNT = 4.0
"""How many questions move a driver half way from the average driver to himself."""


@dataclass(slots=True)
class _Tally:
    asked: int = 0
    answered: int = 0
    due: int = 0
    kept: int = 0


class PromptRecord:
    """Who was asked, who answered, who kept it.

    >>> record = PromptRecord()
    >>> record.asked("u")
    >>> record.answer_share("u") < PromptRecord().answer_share("u")
    True
    """

    def __init__(self) -> None:
        """Begin with the prior."""
        self._all = _Tally()
        self._drivers: dict[str, _Tally] = {}

    def asked(self, driver: str) -> None:
        """Count a question."""
        for tally in self._both(driver):
            tally.asked += 1

    def answered(self, driver: str) -> None:
        """Count an answer."""
        for tally in self._both(driver):
            tally.answered += 1

    def departed(self, driver: str, *, kept: bool) -> None:
        """Count the departure of a driver who had answered."""
        for tally in self._both(driver):
            tally.due += 1
            tally.kept += kept

    def answer_share(self, driver: str) -> float:
        """Return the chance that a driver answers when asked."""
        own = self._drivers.get(driver, _Tally())
        average = (self._all.answered + PRIOR_ANSWERED) / (self._all.asked + PRIOR_ASKED)
        return (own.answered + DRIVER_PSEUDO_COUNT * average) / (own.asked + DRIVER_PSEUDO_COUNT)

    def kept_share(self, driver: str) -> float:
        """Return the chance that a driver who answers keeps it."""
        own = self._drivers.get(driver, _Tally())
        average = (self._all.kept + PRIOR_KEPT) / (self._all.due + PRIOR_ANSWERS)
        return (own.kept + DRIVER_PSEUDO_COUNT * average) / (own.due + DRIVER_PSEUDO_COUNT)

    def _both(self, driver: str) -> tuple[_Tally, _Tally]:
        return self._all, self._drivers.setdefault(driver, _Tally())
