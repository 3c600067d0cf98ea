"""The problem: what the planner is asked, as columns.

A fleet stands in a tree of nodes (site < feeder < substation < city < region). Row = window: one
stay of one vehicle, half open `[arrive_step, depart_step)`. Over the steps of one `TimeAxis` of
`dt` hours the planner chooses charge `c` and discharge `x` (kW, averages over a step) so that

    e[t+1] = e[t] + dt (eta_c c[t] - x[t] / eta_d)             energy of the battery at the end of a step
    energy_min <= e <= energy_max,  e[last] >= energy_target     floor and target elastic, capacity hard
    n[k,t] = vehicles + base - pv + curtailed, over the subtree of k
    -export_limit <= n <= import_limit                           elastic
    vehicles under k inject (up) or take (down) at least a commitment       elastic

at the least sum of energy cost, wear, holding cost, peak charges, shortfalls and priced slacks. Every
promise and limit is elastic at a price, so that every problem has an answer, and the answer says what
was broken. The capacity and, in rows that no drive drains, the empty battery are hard.

A partial first or last step (`first_step_h`, `last_step_h`) scales the power limits of its step: a
vehicle that is there for a third of a step adds a third of its power to the average.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from backfeed.core.axis import TimeAxis

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NO_PARENT = -1
"""The parent of the root, and the row before a row that no drive links to another."""

ENERGY_TOLERANCE_KWH = 1e-6
"""How far rounding may lift an arrival energy above the capacity."""


def inner(one: Floats, other: Floats) -> float:
    """Return the inner product of two vectors, the same bits on every machine load: not through threaded BLAS."""
    return float(np.einsum("i,i->", one, other))


def levels_of(parent: Ints) -> tuple[Ints, ...]:
    """Return a forest's nodes by distance from their root, the roots' level first.

    Every look reaches twice as far up as the one before: a deep tree takes few of them.
    """
    depth, above = (parent >= 0).astype(np.int64), parent
    while np.any(above >= 0):
        depth += np.where(above >= 0, depth[above], 0)
        above = np.where(above >= 0, above[above], NO_PARENT)
    order = np.argsort(depth, kind="stable")
    end = np.cumsum(np.bincount(depth)).tolist()
    return tuple(order[begin:stop] for begin, stop in zip([0, *end], end, strict=False))


def nearest_of(parent: Ints, chosen: Bools) -> Ints:
    """Return the nearest chosen node at or above every node of a forest, -1 for none."""
    nearest = np.where(chosen, np.arange(len(parent)), parent)
    while np.any(onward := (nearest >= 0) & ~chosen[nearest]):
        nearest = np.where(onward, nearest[nearest], nearest)
    return nearest


def place_among(some: Ints, nodes: int) -> Ints:
    """Return the place of every node among some of them, -1 for the others, and for the node -1."""
    place = np.full(nodes + 1, NO_PARENT)
    place[some] = np.arange(len(some))
    return place


@dataclass(frozen=True, slots=True)
class Penalties:
    """What a broken promise costs.

    Parameters
    ----------
    departure_per_kwh
        Energy missing to the target at the end of the last step [currency/kWh].
    reserve_per_kwh_h
        Energy missing to the floor, times how long it is missing [currency/(kWh h)].
    limit_per_kwh
        Energy beyond a node's import or export limit [currency/kWh].
    """

    departure_per_kwh: float = 10.0
    reserve_per_kwh_h: float = 5.0
    limit_per_kwh: float = 20.0


@dataclass(frozen=True)
class Prices:
    """Energy prices of every zone [currency/kWh], `buy_per_kwh` and `sell_per_kwh` of shape `(zone, step)`."""

    zone: tuple[str, ...]
    buy_per_kwh: Floats
    sell_per_kwh: Floats


@dataclass(frozen=True)
class Nodes:
    """The tree, row = node.

    Parameters
    ----------
    node
        Names.
    parent
        Index of the parent, -1 for the root.
    zone
        Index of the price zone.
    metered
        Whether buy and sell apply to the node's net power, base load and PV included.
    peak_charge_per_kw
        Price of the highest import over the horizon [currency/kW], 0 for none.
    import_limit_kw, export_limit_kw
        Magnitudes, shape `(node, step)`, infinity for none.
    base_load_kw, pv_kw
        Shape `(node, step)`, both >= 0. PV of a metered node may be curtailed.
    """

    node: tuple[str, ...]
    parent: Ints
    zone: Ints
    metered: Bools
    peak_charge_per_kw: Floats
    import_limit_kw: Floats
    export_limit_kw: Floats
    base_load_kw: Floats
    pv_kw: Floats

    @classmethod
    def tree(cls, node: Sequence[str], parent: Sequence[int], count: int) -> "Nodes":
        """Return an unlimited, unmetered tree in zone 0, without loads, over `count` steps."""
        size = len(node)
        return cls(
            node=tuple(node),
            parent=np.asarray(parent, np.int64),
            zone=np.zeros(size, np.int64),
            metered=np.zeros(size, np.bool_),
            peak_charge_per_kw=np.zeros(size),
            import_limit_kw=np.full((size, count), np.inf),
            export_limit_kw=np.full((size, count), np.inf),
            base_load_kw=np.zeros((size, count)),
            pv_kw=np.zeros((size, count)),
        )

    def __len__(self) -> int:
        """Return the number of nodes."""
        return len(self.node)

    @cached_property
    def levels(self) -> tuple[Ints, ...]:
        """The nodes by distance from the root, the root's level first."""
        return levels_of(self.parent)

    @cached_property
    def upwards(self) -> Ints:
        """All nodes, children before their parents."""
        return np.concatenate(self.levels[::-1])

    def sum_up(self, own: Floats) -> Floats:
        """Add every node's values to all of its ancestors; `own` and the answer are `(node, column)`.

        Where compiled code is there already, `plan/tree.py` does the same.
        """
        total = own.copy()
        for child, begin, parent in self._families:
            of_child = total[child]
            total[parent] += of_child if len(begin) == len(child) else np.add.reduceat(of_child, begin, axis=0)
        return total

    def at_or_above(self, there: Bools) -> Bools:
        """Return where something is there at a node or at one of its ancestors; both `(node,)` or `(node, column)`."""
        found = there.copy()
        for level in self.levels[1:]:
            found[level] |= found[self.parent[level]]
        return found

    @cached_property
    def _families(self) -> tuple[tuple[Ints, Ints, Ints], ...]:
        """Nodes by their parents, where each parent's begin, and these parents, from the deepest level up."""
        families = []
        for level in self.levels[:0:-1]:
            child = level[np.argsort(self.parent[level], kind="stable")]
            begin = np.flatnonzero(np.diff(self.parent[child], prepend=NO_PARENT))
            families.append((child, begin, self.parent[child[begin]]))
        return tuple(families)

    @cached_property
    def meter(self) -> Ints:
        """The nearest metered node at or above each node, -1 where there is none, shape `(node,)`."""
        return nearest_of(self.parent, self.metered)


@dataclass(frozen=True)
class Windows:
    """The stays, row = window; equal-length columns.

    Parameters
    ----------
    vehicle
        Name of the vehicle; it may have several rows, which are independent unless drained.
    node
        Index of the node at which it is connected.
    arrive_step, depart_step
        The window `[arrive_step, depart_step)`.
    charge_max_kw, discharge_max_kw
        Magnitudes at the EVSE.
    charge_efficiency, discharge_efficiency
        Between EVSE and battery, in (0, 1].
    energy_arrival_kwh
        In the battery on arrival; not read where the row is drained.
    energy_target_kwh, energy_min_kwh, energy_max_kwh
        Promised at departure; floor; capacity.
    wear_per_kwh, hold_per_kwh_h
        Per kWh discharged at the EVSE; per kWh and hour of energy held (end of step).
    drain_kwh
        Where given, the vehicle's row before this one is linked to it: the arrival energy is the
        energy at that row's end less this. NaN for none.
    first_step_h, last_step_h
        How long the vehicle is connected in its first and last step [h]; NaN for the whole step.
    energy_value_per_kwh
        Value of energy above the target at the end of the row.
    missing_per_kwh
        Price of energy missing to the target; NaN for that of the penalties. A chain of linked rows whose
        targets are priced by the odds of leaving there is how a departure that nobody knows is told.
    """

    vehicle: tuple[str, ...]
    node: Ints
    arrive_step: Ints
    depart_step: Ints
    charge_max_kw: Floats
    discharge_max_kw: Floats
    charge_efficiency: Floats
    discharge_efficiency: Floats
    energy_arrival_kwh: Floats
    energy_target_kwh: Floats
    energy_min_kwh: Floats
    energy_max_kwh: Floats
    wear_per_kwh: Floats
    hold_per_kwh_h: Floats
    drain_kwh: Floats = field(default_factory=lambda: np.empty(0))
    first_step_h: Floats = field(default_factory=lambda: np.empty(0))
    last_step_h: Floats = field(default_factory=lambda: np.empty(0))
    energy_value_per_kwh: Floats = field(default_factory=lambda: np.empty(0))
    missing_per_kwh: Floats = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        """Fill the optional columns: no drain, whole steps, no value above the target."""
        absent = {
            "drain_kwh": np.nan,
            "first_step_h": np.nan,
            "last_step_h": np.nan,
            "energy_value_per_kwh": 0.0,
            "missing_per_kwh": np.nan,
        }
        for name, value in absent.items():
            if len(getattr(self, name)) == 0:
                object.__setattr__(self, name, np.full(len(self), value))

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.vehicle)

    @cached_property
    def offsets(self) -> Ints:
        """Where each row's steps begin in flat (row, step) columns, shape `(row + 1,)`."""
        return np.concatenate(([0], np.cumsum(self.depart_step - self.arrive_step)))

    @cached_property
    def row_of(self) -> Ints:
        """The row of every flat entry."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @cached_property
    def step_of(self) -> Ints:
        """The step of every flat entry."""
        return np.arange(self.offsets[-1]) - np.repeat(self.offsets[:-1] - self.arrive_step, np.diff(self.offsets))

    @cached_property
    def previous(self) -> Ints:
        """The row that a drained row goes on from: the vehicle's row before it in the table; -1 for none."""
        before = np.full(len(self), NO_PARENT)
        drained = ~np.isnan(self.drain_kwh)
        if drained.any():
            last: dict[str, int] = {}
            for row, (name, goes_on) in enumerate(zip(self.vehicle, drained.tolist(), strict=True)):
                if goes_on:
                    before[row] = last.get(name, NO_PARENT)
                last[name] = row
        return before

    @cached_property
    def head(self) -> Ints:
        """The first of the rows that drives link with each row."""
        head = np.where(self.previous >= 0, self.previous, np.arange(len(self)))
        while not np.array_equal(further := head[head], head):
            head = further
        return head

    @cached_property
    def keeps_above_empty(self) -> Bools:
        """Whether 0 kWh is a hard bound: not after a drive, which may have asked for more than there was."""
        if not np.any(self.drain_kwh > 0):
            return np.ones(len(self), np.bool_)
        linked = self.previous >= 0
        hard = ~linked
        undrained = linked & (self.drain_kwh == 0)
        while True:
            wider = hard | (undrained & hard[self.previous])
            if np.array_equal(wider, hard):
                return hard
            hard = wider

    def hours(self, step_h: float) -> Floats:
        """Return how long the vehicle is connected in every step, flat [h]."""
        connected = np.full(self.offsets[-1], step_h)
        for edge_h, at in ((self.first_step_h, self.offsets[:-1]), (self.last_step_h, self.offsets[1:] - 1)):
            known = ~np.isnan(edge_h)
            connected[at[known]] = np.minimum(connected[at[known]], edge_h[known])
        return connected


@dataclass(frozen=True)
class Commitments:
    """What has been promised to others, row = promise for one node and step.

    `up`: the vehicles under the node inject at least `power_kw` net; else they take at least that. A
    negative power is a promise too: to take, or to inject, no more than its magnitude.
    """

    node: Ints
    step: Ints
    up: Bools
    power_kw: Floats
    shortfall_per_kwh: Floats

    @classmethod
    def none(cls) -> "Commitments":
        """Return no commitments."""
        ints, floats = np.zeros(0, np.int64), np.zeros(0)
        return cls(ints, ints, np.zeros(0, np.bool_), floats, floats)

    def __len__(self) -> int:
        """Return the number of commitments."""
        return len(self.node)


@dataclass(frozen=True)
class PlanProblem:
    """One planning problem. The solvers assume what `backfeed.plan.validate.require_valid` checks."""

    axis: TimeAxis
    prices: Prices
    nodes: Nodes
    windows: Windows
    commitments: Commitments = field(default_factory=Commitments.none)
    penalties: Penalties = field(default_factory=Penalties)

    @cached_property
    def hours(self) -> Floats:
        """How long the vehicle is connected in every step of every row, flat [h]."""
        return self.windows.hours(self.axis.step_h)

    @cached_property
    def missing_per_kwh(self) -> Floats:
        """Price of energy missing to each row's target, shape `(row,)`."""
        own = self.windows.missing_per_kwh
        return np.where(np.isnan(own), self.penalties.departure_per_kwh, own)

    @cached_property
    def row_price_node(self) -> Ints:
        """The metered node at which each row is priced, -1 where its own charge and discharge are."""
        return self.nodes.meter[self.windows.node]
