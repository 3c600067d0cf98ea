"""`[prompts]` of the pilot file: asking silent drivers."""

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

    `bonus` is paid for a kept answer. `answer_curve`, `answer_spread` and `answer_delay_min` say how the world's
    drivers answer; the platform never sees these.
    """

    bonus: float
    per_driver_week: int = 5
    answer_curve: tuple[tuple[float, float], ...] = ((0.0, 0.1), (1.0, 0.35), (2.0, 0.5), (5.0, 0.7))
    answer_spread: float = 1.0
    answer_delay_min: float = 5.0


def prompt_problems(path: Path, asked: PromptsTable | None) -> list[Problem]:
    """Return what is wrong with the table beyond its types."""
    if asked is None:
        return []
    curve, spread = asked.answer_curve, asked.answer_spread
    ascends = all(one[0] < other[0] and one[1] <= other[1] for one, other in pairwise(curve))
    checks = (
        (0 <= asked.bonus <= BONUS_MAX, "bonus", f"0 to {BONUS_MAX}", asked.bonus),
        (asked.per_driver_week >= 1, "per_driver_week", "1 or more", asked.per_driver_week),
        (
            bool(curve) and ascends and all(bonus >= 0 and 0 <= share <= 1 for bonus, share in curve),
            "answer_curve",
            "pairs of a bonus and a share from 0 to 1, both ascending",
            curve,
        ),
        (math.isfinite(spread) and spread >= 0, "answer_spread", "0 or more", spread),
        (0 <= asked.answer_delay_min <= DAY_MIN, "answer_delay_min", "0 to 1440", asked.answer_delay_min),
    )
    return [
        Problem(f"{path} [prompts] {key}", f"expected {expected}, found {value!r}")
        for holds, key, expected, value in checks
        if not holds
    ]
