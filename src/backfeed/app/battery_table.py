"""What a pilot's `[battery]` table can not say: temperatures that no cell has, papers that no car has."""

import math
from typing import TYPE_CHECKING

from backfeed.core.problem import Problem
from backfeed.feeds.temperature import COLDEST_C, WARMEST_C

if TYPE_CHECKING:
    from backfeed.app.config import BatteryTable


def battery_problems(where: str, battery: "BatteryTable") -> list[Problem]:
    """Return what is wrong with a table; `where` names it."""
    papers = {key: getattr(battery, key) for key in ("age_years", "odometer_km", "driving_km_per_year")}
    found = [
        Problem(f"{where} {key}", f"expected 0 or more, found {value!r}")
        for key, value in papers.items()
        if not 0 <= value < math.inf
    ]
    if not COLDEST_C <= battery.temperature_c <= WARMEST_C:
        what = f"expected {COLDEST_C:g} to {WARMEST_C:g} degrees C, found {battery.temperature_c!r}"
        found.append(Problem(f"{where} temperature_c", what))
    return found
