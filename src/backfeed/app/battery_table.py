"""What a pilot's `[battery]` table can not say: temperatures that no cell has, papers that no car has."""

import math
from collections.abc import Mapping

from backfeed.core.problem import Problem
from backfeed.feeds.temperature import COLDEST_C, WARMEST_C


def battery_problems(where: str, numbers: Mapping[str, float]) -> list[Problem]:
    """Return what is wrong with the numbers of a table, by key; `where` names it."""
    found = []
    for key, value in numbers.items():
        if key == "temperature_c" and not COLDEST_C <= value <= WARMEST_C:
            what = f"expected {COLDEST_C:g} to {WARMEST_C:g} degrees C, found {value!r}"
            found.append(Problem(f"{where} {key}", what))
        elif key != "temperature_c" and not 0 <= value < math.inf:
            found.append(Problem(f"{where} {key}", f"expected 0 or more, found {value!r}"))
    return found
