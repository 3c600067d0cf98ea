"""What every owner charged and discharged in a day, and what that is worth at the day's prices.

A grid meter behind which several cars stand sees only their sum. Where one discharges while another
charges in the same quarter-hour, energy changes hands behind the meter: the market pays nothing for it and
the retailer delivers none of it. It is priced once, at the buy price, from those who took it to those who
gave it. So nobody can earn by driving energy in a circle, even where a subsidy lifts the selling price
above the buying price.

Sums are exact: energy is added up in integers by owner and price, then multiplied in `Decimal`, and rounded
once per owner and kind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from backfeed.core.money import WH_PER_KWH
from backfeed.market.price import PriceSeries
from backfeed.meter.interval import IntervalTable

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class OwnerEnergy:
    """An owner's day at one site: energy in Wh, exact worth in the currency, before rounding.

    Parameters
    ----------
    import_wh, export_wh
        Energy into and out of the owner's cars.
    shared_in_wh, shared_out_wh
        The parts of these that changed hands behind the site's meter.
    bill
        For energy from the retailer, `import - shared_in`, at the buy price.
    shared_bill, shared_revenue
        For energy from and to neighbours, at the buy price.
    revenue
        For energy sold to the grid, `export - shared_out`, at the sell price.
    subsidies
        For the same energy, by granted subsidy.
    """

    owner: str
    site: str
    import_wh: int
    export_wh: int
    shared_in_wh: int
    shared_out_wh: int
    bill: Decimal
    shared_bill: Decimal
    revenue: Decimal
    shared_revenue: Decimal
    subsidies: tuple[tuple[str, Decimal], ...]


def owner_energy(intervals: IntervalTable, prices: PriceSeries) -> tuple[OwnerEnergy, ...]:
    """Return every owner's day, one value per owner and site, in the order of their names.

    Raises
    ------
    IndexError
        If an interval lies outside the axis of the prices.
    """
    holders = sorted({(key.owner, key.site) for key in intervals.keys})
    if not holders:
        return ()
    number = {holder: i for i, holder in enumerate(holders)}
    of_key = np.array([number[key.owner, key.site] for key in intervals.keys], dtype=np.int64)
    holder, step = of_key[intervals.key], _steps(intervals, prices)
    sites = {site: i for i, site in enumerate(sorted({key.site for key in intervals.keys}))}
    site = np.array([sites[key.site] for key in intervals.keys], dtype=np.int64)[intervals.key]
    group = site * prices.axis.count + step
    rank = _ranks(intervals)[intervals.key]
    shared_in, shared_out = shared_energy(group, rank, intervals.import_wh, intervals.export_wh)
    by_price = _PriceSums(holder, step, len(holders))
    bill = by_price.worth(intervals.import_wh - shared_in, prices.buy)
    shared_bill = by_price.worth(shared_in, prices.buy)
    shared_revenue = by_price.worth(shared_out, prices.buy)
    revenue = by_price.worth(intervals.export_wh - shared_out, prices.sell)
    subsidies = [
        (each.name, by_price.worth(intervals.export_wh - shared_out, each.per_kwh)) for each in prices.subsidies
    ]
    imported, exported = by_price.total(intervals.import_wh), by_price.total(intervals.export_wh)
    taken, given = by_price.total(shared_in), by_price.total(shared_out)
    return tuple(
        OwnerEnergy(
            owner=owner,
            site=at,
            import_wh=int(imported[i]),
            export_wh=int(exported[i]),
            shared_in_wh=int(taken[i]),
            shared_out_wh=int(given[i]),
            bill=bill[i],
            shared_bill=shared_bill[i],
            revenue=revenue[i],
            shared_revenue=shared_revenue[i],
            subsidies=tuple((name, worth[i]) for name, worth in subsidies),
        )
        for i, (owner, at) in enumerate(holders)
    )


def _steps(intervals: IntervalTable, prices: PriceSeries) -> NDArray[np.int64]:
    axis = prices.axis
    step: NDArray[np.int64] = (intervals.start_ms - axis.start_ms) // axis.step_ms
    if len(step) and (step.min() < 0 or step.max() >= axis.count):
        message = "metered intervals lie outside the axis of the prices"
        raise IndexError(message)
    return step


def _ranks(intervals: IntervalTable) -> NDArray[np.int64]:
    """Return every key's place in the order of the keys' names, so that the order of a table's keys is nothing."""
    names = [(key.owner, key.site, key.station, key.evse, key.transaction) for key in intervals.keys]
    ranks = np.empty(len(names), dtype=np.int64)
    ranks[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    return ranks


def shared_energy(
    group: NDArray[np.int64], rank: NDArray[np.int64], import_wh: NDArray[np.int64], export_wh: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what every row took from and gave to others of its group (site and quarter-hour) [Wh].

    What is shared in a group is the lesser of its import and its export. It is divided among the rows in
    proportion to their energy by differences of a rounded running sum in the order of `rank`, so the parts are
    whole, sum exactly, and do not depend on the order of the rows.

    >>> shared_energy(np.array([0, 0, 1]), np.arange(3), np.array([0, 900, 500]), np.array([600, 0, 0]))
    (array([  0, 600,   0]), array([600,   0,   0]))
    """
    size = int(group.max()) + 1 if len(group) else 0
    # Sums of integers below 2**53 are exact in float64, which bincount uses for weights.
    total_in = np.bincount(group, import_wh, size).astype(np.int64)
    total_out = np.bincount(group, export_wh, size).astype(np.int64)
    shared = np.minimum(total_in, total_out)
    taken, given = np.zeros(len(group), dtype=np.int64), np.zeros(len(group), dtype=np.int64)
    rows = np.flatnonzero(shared[group] > 0)
    rows = rows[np.lexsort((rank[rows], group[rows]))]
    taken[rows] = _proportional(group[rows], import_wh[rows], shared, total_in)
    given[rows] = _proportional(group[rows], export_wh[rows], shared, total_out)
    return taken, given


def _proportional(
    group: NDArray[np.int64], energy_wh: NDArray[np.int64], shared: NDArray[np.int64], total: NDArray[np.int64]
) -> NDArray[np.int64]:
    if not len(group):
        return energy_wh
    until = np.cumsum(energy_wh)
    first = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    before_group = np.repeat(until[first] - energy_wh[first], np.diff(np.append(first, len(group))))
    until -= before_group
    parts: NDArray[np.int64] = until * shared[group] // total[group]
    parts -= (until - energy_wh) * shared[group] // total[group]
    return parts


class _PriceSums:
    """Adds energy up by holder and distinct price, then multiplies exactly."""

    def __init__(self, holder: NDArray[np.int64], step: NDArray[np.int64], holders: int) -> None:
        self._holder, self._step, self._holders = holder, step, holders

    def total(self, energy_wh: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(self._holder, energy_wh, self._holders).astype(np.int64)

    def worth(self, energy_wh: NDArray[np.int64], prices: Sequence[Decimal]) -> list[Decimal]:
        distinct = list(dict.fromkeys(prices))
        number: Mapping[Decimal, int] = {price: i for i, price in enumerate(distinct)}
        level = np.array([number[price] for price in prices], dtype=np.int64)[self._step]
        width = len(distinct)
        sums = np.bincount(self._holder * width + level, energy_wh, self._holders * width)
        table = sums.astype(np.int64).reshape(self._holders, width).tolist()
        return [
            sum((price * wh for price, wh in zip(distinct, row, strict=True) if wh), _ZERO) / WH_PER_KWH
            for row in table
        ]
