"""Sharing a change of power: pouring an amount into vessels of different width.

Each EVSE is a vessel: `span` is how far its power may move in the wanted direction, `weight` how willing it is
to, `taken` what it has already moved for a place further down. At the level theta it has moved by

    min(max(weight * theta, taken), span)

so all stand at one level, but for those that are full and those that had moved further before. Where nothing has
been taken, the sum over all is concave in theta, and Newton's steps from the left reach the exact level from below,
each dropping the vessels that have become full; gap times slope falls at least fourfold a step, so some tens of steps
are the worst case, and four the usual one. Where something has been taken, steps are kept inside the bracket.
"""

from typing import NamedTuple

import numpy as np

from backfeed.dispatch.columns import Floats
from backfeed.plan.compiled import compiled_for_any

STEPS_MAX = 200
"""More than any level has needed: the bracket alone halves to nothing in fewer."""

LEVEL_ERROR = 1e-13
"""Share of the amount by which the sum may miss it: what adding up a million numbers may lose."""

SAMPLE = 1_024
"""Vessels from which the level of a large number is guessed; it spares passes over all of them."""

ALL = 1e300
"""A level at which every vessel is full; finite, so that nothing times it is nothing."""


class Vessels(NamedTuple):
    """Room for vessels: their weights, what they have taken, their spans."""

    weight: Floats
    taken: Floats
    span: Floats


@compiled_for_any
def room_for_vessels(count: int) -> Vessels:
    """Return room for so many vessels."""
    return Vessels(np.empty(count), np.empty(count), np.empty(count))


@compiled_for_any
def find_level(weight: Floats, taken: Floats, span: Floats, amount: float) -> float:
    """Return the level at which the vessels hold an amount.

    Parameters
    ----------
    weight
        Willingness of every vessel, above 0 where it has span, shape `(vessel,)`.
    taken, span
        What it holds at least and at most [kW], `0 <= taken <= span`, shape `(vessel,)`.
    amount
        What all are to hold [kW]: more than all that is taken, less than all spans.
    """
    count = len(weight)
    if count <= 8 * SAMPLE:
        return _settle(weight, taken, span, amount, amount / max(weight.sum(), 1e-300))
    apart = count // SAMPLE
    some_weight, some_taken, some_span = weight[::apart].copy(), taken[::apart].copy(), span[::apart].copy()
    least, most = some_taken.sum(), some_span.sum()
    share = (amount - taken.sum()) / max(span.sum() - taken.sum(), 1e-300)
    guess = _settle(
        some_weight, some_taken, some_span, least + share * (most - least), amount / max(weight.sum(), 1e-300)
    )
    return _settle(weight, taken, span, amount, guess)


@compiled_for_any
def _settle(weight: Floats, taken: Floats, span: Floats, amount: float, guess: float) -> float:
    """Return the level, beginning from a guess."""
    low, high, theta = 0.0, np.inf, guess
    for _ in range(STEPS_MAX):
        held, slope = 0.0, 0.0
        for k in range(len(weight)):
            level = weight[k] * theta
            held += min(max(level, taken[k]), span[k])
            slope += weight[k] if taken[k] < level < span[k] else 0.0
        lack = amount - held
        if abs(lack) <= LEVEL_ERROR * amount:
            break
        if lack > 0.0:
            low = theta
        else:
            high = theta
        step = theta + lack / slope if slope > 0.0 else np.inf
        if not low < step < high:
            step = 0.5 * (low + high) if high < np.inf else 2.0 * theta
        if step in (theta, low, high):
            break
        theta = step
    return theta
