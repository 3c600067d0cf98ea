"""The places of a fleet as a tree, and the order in which a tick goes through it.

Places are sites, feeders, substations: each has limits, and all but the roots stand below another. They are
numbered so that a place comes before all that is below it, and EVSEs are ordered by the number of their place.
Then the EVSEs below any place stand next to each other: a limit anywhere in the tree is a loop over a slice.

The tree is cut into units: branches, each a place with all that is below it, small enough for a processor's cache,
and the single places above them. Units are gone through side by side, then their roots one after the other.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from backfeed.dispatch.columns import Floats, Ints, SiteColumns
from backfeed.dispatch.pour import Vessels, room_for_vessels
from backfeed.plan.compiled import compiled_for_any

BRANCH = 4_096
"""So many EVSEs may stand in a branch of any fleet: their columns fit a processor's cache."""

BRANCHES = 8
"""Into so many parts a large fleet is cut at least, for threads to share."""


class Slices(NamedTuple):
    """The tree in its order.

    EVSEs `first <= k < own_stop` stand at a place, `first <= k < stop` at or below it. Unit u are the places
    `unit[u] <= j < unit[u + 1]`; it is a branch, or a single place that stands above others.
    """

    parent: Ints
    first: Ints
    own_stop: Ints
    stop: Ints
    unit: Ints

    def summed(self, own: Floats) -> Floats:
        """Return the sum of the places' own values over each place and all below it."""
        total = own.copy()
        if self.parent.max(initial=-1) >= 0:
            _sum_up(self.parent, total)
        return total


@compiled_for_any
def _sum_up(parent: Ints, total: Floats) -> None:
    """Add to every place what is below it."""
    for j in range(len(parent) - 1, -1, -1):
        if parent[j] >= 0:
            total[parent[j]] += total[j]


class Room(NamedTuple):
    """Room that a tick works in, kept from one to the next: fresh memory would cost more than the work in it.

    All of it is written before it is read, but for `nothing`, which stays 0.
    """

    must_kw: Floats
    ceiling_kw: Floats
    laxity_h: Floats
    wanted_kw: Floats
    vessels: Vessels
    nothing: Floats


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Where everybody stands. It holds until a car comes or goes, or a place changes.

    Parameters
    ----------
    place
        Row in `SiteColumns` of every place of the tree's order, shape `(site,)`.
    order
        Row in `EvseColumns` of every EVSE in the tree's order, shape `(evse,)`; None if the rows stand in it already.
    slices
        The tree in its order.
    room
        Room for one tick at a time.
    """

    place: Ints
    order: Ints | None
    slices: Slices
    room: Room


def arrange(site: Ints, sites: SiteColumns, branch: int = BRANCH) -> Arrangement:
    """Return the places numbered and the EVSEs ordered.

    Parameters
    ----------
    site
        The place of every EVSE, shape `(evse,)`.
    sites
        The places; their parents must form trees.
    branch
        So many EVSEs may stand in a branch, or one of `BRANCHES` parts of all if that is more.
    """
    above = np.full(len(sites), -1, dtype=np.int64) if sites.parent is None else sites.parent
    place, stop_place = _number(above)
    assert len(place) == len(sites), "places hang on a circle"
    number = np.empty_like(place)
    number[place] = np.arange(len(place))
    parent = np.where(above[place] < 0, -1, number[above[place]])
    here, order, is_ordered = _sort(number[site], len(place))
    first, own_stop, stop = here[:-1], here[1:], here[stop_place]
    unit = _cut(first, stop, stop_place, max(branch, len(site) // BRANCHES))
    slices = Slices(parent, first, own_stop, stop, unit)
    must, ceiling, laxity, wanted = np.empty((4, len(site)))
    room = Room(must, ceiling, laxity, wanted, room_for_vessels(len(site)), np.zeros(len(site)))
    return Arrangement(place, None if is_ordered else order, slices, room)


@compiled_for_any
def _number(above: Ints) -> tuple[Ints, Ints]:
    """Return the places, each before those below it, and one past the number of the last below each."""
    count = len(above)
    child, sibling = np.full(count + 1, -1, np.int64), np.full(count, -1, np.int64)
    for k in range(count - 1, -1, -1):
        sibling[k] = child[above[k]]
        child[above[k]] = k
    place, stop, path = np.empty(count, np.int64), np.zeros(count, np.int64), np.empty(count, np.int64)
    numbered, depth, at = 0, 0, child[-1]
    while at >= 0 or depth > 0:
        if at >= 0:
            path[depth], place[numbered] = numbered, at
            depth, numbered, at = depth + 1, numbered + 1, child[at]
        else:
            depth -= 1
            stop[path[depth]] = numbered
            at = sibling[place[path[depth]]]
    return place[:numbered], stop[:numbered]


@compiled_for_any
def _cut(first: Ints, stop: Ints, stop_place: Ints, most: int) -> Ints:
    """Return where each unit begins, and the number of places; a branch holds so many EVSEs at most."""
    unit, count, at = np.empty(len(first) + 1, np.int64), 0, 0
    while at < len(first):
        unit[count] = at
        count, at = count + 1, stop_place[at] if stop[at] - first[at] <= most else at + 1
    unit[count] = at
    return unit[: count + 1]


@compiled_for_any
def is_above(u: int, slices: Slices) -> bool:
    """Return whether a unit is a single place with EVSEs below it in other units."""
    j = slices.unit[u]
    return bool(slices.unit[u + 1] == j + 1 and slices.stop[j] > slices.own_stop[j])


@compiled_for_any
def evses_of(u: int, slices: Slices) -> tuple[int, int]:
    """Return from where to where the EVSEs stand that belong to a unit."""
    return slices.first[slices.unit[u]], slices.own_stop[slices.unit[u + 1] - 1]


@compiled_for_any
def _sort(number: Ints, count: int) -> tuple[Ints, Ints, bool]:
    """Return where each place's EVSEs begin, the EVSEs in order, and whether they stood in it."""
    begin = np.zeros(count + 1, np.int64)
    is_ordered, last = True, 0
    for k in number:
        begin[k + 1] += 1
        is_ordered &= k >= last
        last = k
    for k in range(count):
        begin[k + 1] += begin[k]
    order = np.empty(0 if is_ordered else len(number), np.int64)
    if not is_ordered:
        at = begin.copy()
        for row in range(len(number)):
            order[at[number[row]]] = row
            at[number[row]] += 1
    return begin, order, is_ordered
