"""The pilot file's `[demand_response]`: the programme, who operates it, who takes part."""

import math
from collections.abc import Iterator
from typing import Literal

import msgspec


class DemandResponseTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[demand_response]`: the programme of the pilot's events, who operates it, and which owners take part.

    Without an operator every offer that the programme allows is taken as it is. The simulated one calls by himself as
    well, clears and verifies; the keys from `calls_per_week` on are his, and the shares are drawn by the pilot's seed.
    """

    programme: str = "pilot"
    operator: Literal["none", "simulated"] = "none"
    opt_in_share: float = 1.0
    opt_out_share: float = 0.0
    calls_per_week: float = 3.0
    power_kw: float = 40.0
    duration_min: int = 120
    shave_price_per_kwh: float = 0.8
    fill_price_per_kwh: float = 0.4
    refused_share: float = 0.1
    award_share_min: float = 0.6


def demand_response_faults(table: DemandResponseTable) -> Iterator[tuple[str, str, float]]:
    """Yield what is wrong with the table as `(key, expected, found)`."""
    for key in ("opt_in_share", "opt_out_share", "refused_share", "award_share_min"):
        share = getattr(table, key)
        if not 0 <= share <= 1:
            yield key, "a fraction between 0 and 1", share
    most = max(round(1 - table.opt_in_share, 9), 0.0)
    if table.opt_out_share > most:
        yield "opt_out_share", f"at most {most:g}", table.opt_out_share
    if table.duration_min <= 0 or table.duration_min % 15:
        yield "duration_min", "a number of quarter-hours", table.duration_min
    for key in ("power_kw", "shave_price_per_kwh", "fill_price_per_kwh", "calls_per_week"):
        amount = getattr(table, key)
        if not (math.isfinite(amount) and amount >= 0):
            yield key, "0 or more", amount
