"""`[prompts]` of the pilot file: asking drivers for what they and their cars do not tell."""

import math
from itertools import pairwise
from pathlib import Path

import msgspec

from backfeed.core.problem import Problem

DAY_MIN = 1440
BONUS_MAX = 1_000_000
"""More than anybody pays for an answer in any currency."""


class PromptsTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[prompts]`: silent drivers are asked when they leave; without this table nobody is.

    `bonus` is paid for a kept answer. With `charge_bonus`, drivers of cars that hide their state of charge are asked
    for that too, and paid this if it proves right. The keys that begin with `answer` say how the world's drivers
    answer, by all that a question offers; the platform never sees these.
    """

    bonus: float
    charge_bonus: float | None = None
    per_driver_week: int = 5
    answer_curve: tuple[tuple[float, float], ...] = ((0.0, 0.1), (1.0, 0.35), (2.0, 0.5), (5.0, 0.7))
    answer_spread: float = 1.0
    answer_delay_min: float = 5.0
    answer_charge_sd: float = 0.02
    answer_charge_wrong_share: float = 0.02


def prompt_problems(path: Path, asked: PromptsTable | None) -> list[Problem]:
    """Return what is wrong with the table beyond its types."""
    if asked is None:
        return []
    paid, sd, wrong = asked.charge_bonus, asked.answer_charge_sd, asked.answer_charge_wrong_share
    curve, spread = asked.answer_curve, asked.answer_spread
    ascends = all(one[0] < other[0] and one[1] <= other[1] for one, other in pairwise(curve))
    checks = (
        (0 <= asked.bonus <= BONUS_MAX, "bonus", f"0 to {BONUS_MAX}", asked.bonus),
        (paid is None or 0 <= paid <= BONUS_MAX, "charge_bonus", f"0 to {BONUS_MAX}", paid),
        (asked.per_driver_week >= 1, "per_driver_week", "1 or more", asked.per_driver_week),
        (
            bool(curve) and ascends and all(bonus >= 0 and 0 <= share <= 1 for bonus, share in curve),
            "answer_curve",
            "pairs of a bonus and a share from 0 to 1, both ascending",
            curve,
        ),
        (math.isfinite(spread) and spread >= 0, "answer_spread", "0 or more", spread),
        (0 <= asked.answer_delay_min <= DAY_MIN, "answer_delay_min", "0 to 1440", asked.answer_delay_min),
        (0 <= sd <= 1, "answer_charge_sd", "0 to 1", sd),
        (0 <= wrong <= 1, "answer_charge_wrong_share", "0 to 1", wrong),
    )
    return [
        Problem(f"{path} [prompts] {key}", f"expected {expected}, found {value!r}")
        for holds, key, expected, value in checks
        if not holds
    ]
