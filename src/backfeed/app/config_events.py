"""`[[events]]` of the pilot file: invitations of a demand-response programme."""

import datetime as dt
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from backfeed.app.config_id import id_problems, row_name
from backfeed.core.instant import to_ms
from backfeed.core.problem import Problem
from backfeed.meter.interval import INTERVAL_MS

PRICE_MAX_PER_KWH = 1_000_000
"""More than any currency asks for a kWh, and few enough of its millionths for the sum of a year."""


class EventTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[events]]`: an invitation of a demand-response programme."""

    id: str
    kind: Literal["peak_shave", "valley_fill"]
    invited_at: dt.datetime
    start: dt.datetime
    end: dt.datetime
    power_kw: float
    price_per_kwh: float
    baseline: str = "mean-5-workdays"


def event_problems(path: Path, events: Sequence[EventTable]) -> list[Problem]:
    """Return what is wrong with invitations beyond their types."""
    found = id_problems(path, "events", "an event id", (event.id for event in events))
    for number, event in enumerate(events, 1):
        where = row_name(path, "events", number, event.id)
        for key, holds, expected in (
            ("power_kw", 0 < event.power_kw < math.inf, "above 0"),
            ("price_per_kwh", 0 <= event.price_per_kwh <= PRICE_MAX_PER_KWH, f"0 to {PRICE_MAX_PER_KWH}"),
        ):
            if not holds:
                found.append(Problem(f"{where} {key}", f"expected {expected}, found {getattr(event, key)!r}"))
        instants = {key: getattr(event, key) for key in ("invited_at", "start", "end")}
        naive = [key for key, value in instants.items() if value.tzinfo is None]
        if naive:
            found.append(Problem(where, f"expected a time with an offset in {', '.join(naive)}"))
            continue
        if not instants["invited_at"] < instants["start"] < instants["end"]:
            found.append(Problem(where, "expected invited_at < start < end"))
        if any(to_ms(moment) % INTERVAL_MS for moment in (event.start, event.end)):
            found.append(Problem(where, "expected start and end on quarter-hours"))
    return found
