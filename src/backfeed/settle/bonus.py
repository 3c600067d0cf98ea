"""The bonus for an answer: what a driver who was asked gets if it proves right, and why or why not.

Every answer that is judged is a transfer, of nothing where nothing is due, so that the books say what came of it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from backfeed.settle.own_funds import OwnFunds
from backfeed.settle.transfer import Code, Transfer


class Verdict(StrEnum):
    """What came of an answer."""

    DEPARTURE_KEPT = "departure_kept"
    LEFT_EARLY = "left_early"
    LEFT_LATE = "left_late"
    CHARGE_RIGHT = "charge_right"
    CHARGE_WRONG = "charge_wrong"
    CHARGE_UNPROVEN = "charge_unproven"

    @property
    def is_right(self) -> bool:
        """Whether the bonus is due."""
        return self in (Verdict.DEPARTURE_KEPT, Verdict.CHARGE_RIGHT)

    @property
    def of_charge(self) -> bool:
        """Whether the answer was for the state of charge."""
        return self in (Verdict.CHARGE_RIGHT, Verdict.CHARGE_WRONG, Verdict.CHARGE_UNPROVEN)


WORDS: Final[Mapping[str, Mapping[Verdict, str]]] = {
    "en": {
        Verdict.DEPARTURE_KEPT: "you said when you would leave, and left then",
        Verdict.LEFT_EARLY: "you left {0:g} minutes before the time that you had named",
        Verdict.LEFT_LATE: "you left {0:g} minutes after the time that you had named",
        Verdict.CHARGE_RIGHT: "you said that your car came with {0:g} %; it charged to its limit of {2:g} %, and by the"
        " meter had come with {1:g} %: right within 5 points",
        Verdict.CHARGE_WRONG: "you said that your car came with {0:g} %; it charged to its limit of {2:g} %, and by the"
        " meter had come with {1:g} %: more than 5 points off",
        Verdict.CHARGE_UNPROVEN: "you said that your car came with {0:g} %; it left before it had charged to its limit,"
        " so that nothing shows whether that is right",
    },
    "zh": {
        Verdict.DEPARTURE_KEPT: "您告知了离开时间并如约离开",
        Verdict.LEFT_EARLY: "您比告知的时间提前{0:g}分钟离开",
        Verdict.LEFT_LATE: "您比告知的时间晚{0:g}分钟离开",
        Verdict.CHARGE_RIGHT: "您告知车辆到达时电量为{0:g}%；车辆充至其上限{2:g}%，"
        "按电表推算到达时为{1:g}%：误差在5个百分点以内",
        Verdict.CHARGE_WRONG: "您告知车辆到达时电量为{0:g}%；车辆充至其上限{2:g}%，"
        "按电表推算到达时为{1:g}%：误差超过5个百分点",
        Verdict.CHARGE_UNPROVEN: "您告知车辆到达时电量为{0:g}%；车辆在充至上限之前离开，无法核实该电量",
    },
}
"""Why an answer is paid or not, for its driver, in English and Simplified Chinese."""

_EVIDENCE: Final = re.compile(r"(\w+)\(([-0-9., ]+)\); transaction .*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an answer is paid or not.

    Parameters
    ----------
    verdict
        What came of it.
    numbers
        Of a departure, by how many minutes it was missed. Of a state of charge what was said and, where that was
        proven, what the car had come with and its limit [%].
    """

    verdict: Verdict
    numbers: tuple[float, ...]

    def words(self, language: str) -> str:
        """Return the reason for its driver, `en` or `zh`."""
        return WORDS[language][self.verdict].format(*self.numbers)

    def evidence(self, transaction: str) -> str:
        """Return what stands in the books."""
        return f"{self.verdict}({', '.join(f'{number:g}' for number in self.numbers)}); transaction {transaction}"


def reason_of(evidence: str) -> Reason | None:
    """Return the reason that stands in the books, None where an older version has written none.

    >>> reason_of(Reason(Verdict.CHARGE_RIGHT, (42.0, 40.31, 85.0)).evidence("t-7")).numbers
    (42.0, 40.31, 85.0)
    """
    found = _EVIDENCE.fullmatch(evidence)
    if found is None:
        return None
    return Reason(Verdict(found[1]), tuple(float(number) for number in found[2].split(",")))


@dataclass(frozen=True, slots=True)
class Bonus:
    """What came of an answer.

    Parameters
    ----------
    station, transaction
        The stay.
    owner
        Who answered.
    known_at_ms
        When the platform came to know of the departure.
    amount_micro
        What is due [1e-6 of the currency].
    reason
        Why, or why nothing is.
    """

    station: str
    transaction: str
    owner: str
    known_at_ms: int
    amount_micro: int
    reason: Reason


def bonus_transfers(
    bonuses: Sequence[Bonus], day: str, at_ms: int, currency: str, aggregator: str
) -> tuple[Transfer, ...]:
    """Return the transfers that pay bonuses in cash, from the aggregator's own funds.

    Parameters
    ----------
    bonuses
        Those that became known on the day.
    day
        The local day, `YYYY-MM-DD`.
    at_ms
        When the transfers take effect.
    currency
        Unit of the amounts.
    aggregator
        Whose funds.
    """
    funds = OwnFunds(aggregator, currency, day, at_ms)
    return tuple(
        funds.pay(
            Code.PROMPT_BONUS,
            f"{bonus.station}/{bonus.transaction}" + ("/charge" if bonus.reason.verdict.of_charge else ""),
            bonus.owner,
            bonus.amount_micro,
            bonus.reason.evidence(bonus.transaction),
        )
        for bonus in bonuses
    )
