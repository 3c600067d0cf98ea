"""Sharing a change of power: pouring an amount into vessels of different width.

Each EVSE is a vessel: `span` is how far its power may still move in the wanted direction, `weight` how
willing it is to. All move at the pace of their weight, by `min(span, weight * theta)`, until the amount
is poured or every vessel is full. The level theta is found exactly: the amount poured is a piecewise
linear function of theta whose breakpoints are `span / weight`.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def pour(span_kw: Floats, weight: Floats, amount_kw: float) -> Floats:
    """Share an amount over vessels in proportion to their weights, none beyond its span.

    Parameters
    ----------
    span_kw
        Room of every vessel [kW], at least 0, shape `(vessel,)`.
    weight
        Willingness of every vessel, above 0, shape `(vessel,)`.
    amount_kw
        What is to be shared [kW]; at least 0.

    Returns
    -------
    NDArray
        What each takes [kW]; they sum to the amount, or to all spans if those are less.

    >>> pour(np.array([1.0, 9.0, 9.0]), np.array([1.0, 1.0, 2.0]), 7.0)
    array([1., 2., 4.])
    """
    if amount_kw <= 0.0:
        return np.zeros_like(span_kw)
    if amount_kw >= span_kw.sum():
        return span_kw.copy()
    level = span_kw / weight
    order = np.argsort(level, kind="stable")
    filled = np.cumsum(span_kw[order])
    still_filling = np.cumsum(weight[order][::-1])[::-1]
    # Poured when theta reaches each breakpoint: the vessels below it are full, the others stand at theta.
    poured = filled + (still_filling - weight[order]) * level[order]
    first = min(int(np.searchsorted(poured, amount_kw)), len(level) - 1)
    below = filled[first - 1] if first else 0.0
    theta = (amount_kw - below) / still_filling[first]
    taken: Floats = np.minimum(span_kw, weight * theta)
    return taken


def pour_by_group(
    span_kw: Floats, weight: Floats, amount_kw: float, group: NDArray[np.int64], room_kw: Floats
) -> Floats:
    """Share an amount as `pour` does, no group of vessels taking more than its room.

    A group that would take too much is filled to its room and set aside; what it can not take goes to
    the others. Since the others then only take more, no group set aside would come back, so the result
    is the one level at which every vessel stops at its span, its group's room, or that level.

    Parameters
    ----------
    span_kw, weight, amount_kw
        As for `pour`.
    group
        The group of every vessel, shape `(vessel,)`.
    room_kw
        What each group may take in all [kW], at least 0, shape `(group,)`.
    """
    taken = np.zeros_like(span_kw)
    open_vessel = np.ones(len(span_kw), dtype=np.bool_)
    left_kw = amount_kw
    while left_kw > 0.0 and open_vessel.any():
        poured = np.zeros_like(span_kw)
        poured[open_vessel] = pour(span_kw[open_vessel], weight[open_vessel], left_kw)
        by_group = np.bincount(group, weights=poured, minlength=len(room_kw))
        overfull = np.flatnonzero(by_group > room_kw)
        if not len(overfull):
            return taken + poured
        for index in overfull:
            members = np.flatnonzero((group == index) & open_vessel)
            taken[members] = pour(span_kw[members], weight[members], room_kw[index])
            open_vessel[members] = False
            left_kw -= float(taken[members].sum())
    return taken
