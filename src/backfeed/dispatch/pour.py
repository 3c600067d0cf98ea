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
from numpy import uint64

from backfeed.dispatch.columns import Floats
from backfeed.plan.compiled import compiled_for_any

STEPS_MAX = 200
"""More than any level has needed: the bracket alone halves to nothing in fewer."""

LEVEL_ERROR = 1e-13
"""Share of the amount by which the sum may miss it: what adding up a million numbers may lose."""

SAMPLE = 1_024
"""Vessels from which the level of a large number is guessed; it spares passes over all of them."""

AROUND = 1.15
"""By this factor on either side of the guess the level is looked for first."""

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
def total(values: Floats, first: int, stop: int) -> float:
    """Return the sum of `values[first:stop]`, in eight parts that a processor adds side by side."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    e, f, g, h = 0.0, 0.0, 0.0, 0.0
    whole = stop - (stop - first) % 8
    for k in range(uint64(first), uint64(whole), uint64(8)):
        a += values[k]
        b += values[k + uint64(1)]
        c += values[k + uint64(2)]
        d += values[k + uint64(3)]
        e += values[k + uint64(4)]
        f += values[k + uint64(5)]
        g += values[k + uint64(6)]
        h += values[k + uint64(7)]
    for k in range(uint64(whole), uint64(stop)):
        a += values[k]
    return ((a + b) + (c + d)) + ((e + f) + (g + h))


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
    count, error = len(weight), LEVEL_ERROR * amount
    guess = amount / max(total(weight, 0, count), 1e-300)
    if count <= 8 * SAMPLE:
        return _settle(weight, taken, span, 0.0, amount, guess, error)
    apart = count // SAMPLE
    some_weight, some_taken, some_span = weight[::apart].copy(), taken[::apart].copy(), span[::apart].copy()
    least, most = some_taken.sum(), some_span.sum()
    least_of_all = total(taken, 0, count)
    share = (amount - least_of_all) / max(total(span, 0, count) - least_of_all, 1e-300)
    guess = _settle(some_weight, some_taken, some_span, 0.0, least + share * (most - least), guess, error)
    level = _settle_inside(weight, taken, span, amount, guess, error)
    return level if level >= 0.0 else _settle(weight, taken, span, 0.0, amount, guess, error)


@compiled_for_any
def _settle_inside(weight: Floats, taken: Floats, span: Floats, amount: float, guess: float, error: float) -> float:
    """Return the level if it lies around a guess, else -1: few vessels become full there, the others are summed up."""
    low, high = guess / AROUND, guess * AROUND
    room = len(weight) // 4
    some = Vessels(np.empty(room + 1), np.empty(room + 1), np.empty(room + 1))
    found, fixed, slope = 0, 0.0, 0.0
    for k in range(len(weight)):
        lowest, highest, least, most = weight[k] * low, weight[k] * high, taken[k], span[k]
        is_fixed = (highest <= least) | (lowest >= most)
        is_rising = (lowest >= least) & (highest <= most)
        fixed += min(max(lowest, least), most) if is_fixed else 0.0
        slope += weight[k] if is_rising and not is_fixed else 0.0
        some.weight[found], some.taken[found], some.span[found] = weight[k], least, most
        found = min(found + (0 if is_fixed or is_rising else 1), room)
    if found == room:
        return -1.0
    level = _settle(some.weight[:found], some.taken[:found], some.span[:found], slope, amount - fixed, guess, error)
    return level if low <= level <= high else -1.0


@compiled_for_any
def _settle(
    weight: Floats, taken: Floats, span: Floats, more_weight: float, amount: float, guess: float, error: float
) -> float:
    """Return the level, beginning from a guess; `more_weight` belongs to vessels without an end."""
    low, high, theta = 0.0, np.inf, guess
    for _ in range(STEPS_MAX):
        held, slope = more_weight * theta, more_weight
        for k in range(len(weight)):
            level = weight[k] * theta
            held += min(max(level, taken[k]), span[k])
            slope += weight[k] if taken[k] < level < span[k] else 0.0
        lack = amount - held
        if abs(lack) <= error:
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
