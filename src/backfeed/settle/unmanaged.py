"""What charging at once would have cost: the bill that an owner is never to end above, after wear.

It is made from what was metered and what is enrolled, so that an owner can follow it: no simulation and no forecast.
For each stay, counted from the beginning of the period if it began before:

1. the energy is that which the stay left in the battery, seen at the meter: what was taken, less what was given
   over the car's round-trip efficiency, since what was given had to be taken before with its losses;
2. it flows from plugging in, at the lesser of the charger's and the car's power, until it is there; what did not fit
   into the stay counts in its last quarter-hour;
3. it is billed at the price of the quarter-hours in which it would have flowed.

A stay that on balance gave has that energy credited at the price of its last quarter-hour: for that much it could
have been charged again on leaving.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np

from backfeed.core.instant import MS_PER_H
from backfeed.core.money import WH_PER_KWH, round_micro
from backfeed.market.price import PriceSeries
from backfeed.meter.interval import INTERVAL_MS, IntervalTable

_ZERO = Decimal(0)
_ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class ChargingTerms:
    """How a stay would have charged at once: its power [kW AC], the car's round-trip efficiency, when it began."""

    power_kw: Decimal
    round_trip: Decimal
    from_ms: int


def unmanaged_bills(table: IntervalTable, terms: Sequence[ChargingTerms], prices: PriceSeries) -> dict[str, int]:
    """Return what charging at once would have cost every owner, in 1e-6 of the currency, by owner, sorted.

    Parameters
    ----------
    table
        What was metered in the period; the quarter-hours of a stay are consecutive.
    terms
        Of every transaction, in the order of the table's keys.
    prices
        On an axis that covers the table.
    """
    bills: dict[str, Decimal] = {}
    order = np.lexsort((table.start_ms, table.key))
    bounds = np.searchsorted(table.key[order], np.arange(len(table.keys) + 1))
    for number, (key, term) in enumerate(zip(table.keys, terms, strict=True)):
        rows = order[bounds[number] : bounds[number + 1]]
        if len(rows):
            taken, given = int(table.import_wh[rows].sum()), int(table.export_wh[rows].sum())
            lost = (given / term.round_trip).quantize(_ONE, rounding=ROUND_HALF_EVEN)
            cost = _cost(taken - int(lost), table.start_ms[rows].tolist(), term, prices)
            bills[key.owner] = bills.get(key.owner, _ZERO) + cost
    return {owner: round_micro(bills[owner]) for owner in sorted(bills)}


def _cost(needed_wh: int, starts_ms: Sequence[int], term: ChargingTerms, prices: PriceSeries) -> Decimal:
    """Return what the energy of one stay costs when it flows from its beginning on."""

    def price(start_ms: int) -> Decimal:
        return prices.buy[prices.axis.index_of(start_ms)]

    cost, left_wh = _ZERO, needed_wh
    for start_ms in starts_ms[:-1]:
        if left_wh <= 0:
            break
        span_ms = min(INTERVAL_MS, start_ms + INTERVAL_MS - term.from_ms)
        flows_wh = min(left_wh, int(term.power_kw * WH_PER_KWH * span_ms / MS_PER_H)) if span_ms > 0 else 0
        cost += price(start_ms) * flows_wh
        left_wh -= flows_wh
    return (cost + price(starts_ms[-1]) * left_wh) / WH_PER_KWH
