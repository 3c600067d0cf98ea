"""From iterates to a plan that keeps every limit it can: follow the energies under caps, step by step.

1. Every row follows its energy path in one direction per step, which never needs more power than the iterates.
2. The nodes' powers then differ a little from the iterates'. From the root down every node gets caps for its
   power each way: its own limits, or what the iterates themselves use beyond them, and its share of what its
   parent's caps leave. Children's caps add up to no more than their parent's.
3. Under each node the rows go once more through time; where their sum would pass a cap, charging (or
   discharging) is cut in proportion, and caught up with when the cap allows.
"""

from typing import NamedTuple

import numpy as np

from backfeed.plan.balance import Room
from backfeed.plan.compiled import compiled, nested
from backfeed.plan.drives import Drives, lead_of
from backfeed.plan.interior import InteriorPoint
from backfeed.plan.meter import load_meters
from backfeed.plan.node import PEAK, WIDTH, X
from backfeed.plan.pieces import at_steps
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.rows import (
    ARRIVE,
    BOUND,
    ENTRY,
    LENGTH,
    ROW_CAPACITY,
    ROW_CHARGE,
    ROW_DISCHARGE,
    ROW_EMPTY,
    ROW_FIRST_SHARE,
    ROW_GAIN,
    ROW_LAST_SHARE,
    ROW_LOSS,
    ROW_START,
    Fleet,
)
from backfeed.plan.tree import add_up
from backfeed.plan.unit import (
    AT_KINK,
    CHARGE,
    DISCHARGE,
    DOWN,
    DOWN_THERE,
    GAIN,
    JUMP,
    LOSS,
    METERED,
    POWERED,
    PULL,
    REFERENCE,
    RISE,
    SOLD_MAX,
    SPARE_MAX,
    SPARED,
    UP,
    UP_THERE,
    A,
    B,
    State,
    Unit,
    expand,
    load,
)

CAP_TOLERANCE_KW = 1e-9
UNLIMITED_KW = 1e15


@nested
def follow_unit(unit: Unit, n: int, wanted: Floats, o: int, brought: float, power: Floats) -> None:
    """Follow one unit's energies within its power limits, one direction a step; write what it reaches.

    `brought` is what the unit before it has reached; PULL receives the powers.
    """
    u = unit.u
    energy = u[JUMP] + brought
    for t in range(n):
        u[PULL + t] = 0.0
        if u[POWERED + t] > 0:
            change = min(max(wanted[o + t] - energy, -u[LOSS + t]), u[GAIN + t])
            energy += change
            if change > 0:
                u[PULL + t] = u[CHARGE + t] * change / u[GAIN + t]
            elif change < 0:
                u[PULL + t] = u[DISCHARGE + t] * change / u[LOSS + t]
            if unit.step[t] >= 0:
                power[unit.step[t]] += u[PULL + t]
        wanted[o + t] = energy
        if t + 1 < n:
            energy += u[JUMP + t + 1]


@nested
def spare_unit(unit: Unit, n: int, o: int, spared: Floats, power: Floats) -> None:
    """Write what a unit that has been followed curtails, so that its homes' net powers are the iterates'."""
    u = unit.u
    for t in range(n):
        if u[RISE + t] >= 0.0 and u[SPARE_MAX + t] > 0.0:
            other = u[CHARGE + t] * u[A + t] - u[DISCHARGE + t] * u[B + t] - u[PULL + t]
            least = max(u[AT_KINK + t] - u[SOLD_MAX + t] - u[PULL + t], 0.0)
            spared[o + t] = min(max(u[SPARED + t] + other, least), u[SPARE_MAX + t])
            if unit.step[t] >= 0:
                power[unit.step[t]] += spared[o + t]


@nested
def _write_energies(unit: Unit, fleet: Fleet, first: int, stop: int, at: int, wanted: Floats) -> None:
    """Write a loaded unit's energies from its entry `at` on, within capacity and empty."""
    u = unit.u
    for r in range(first, stop):
        entry, empty, capacity = fleet.places[r, ENTRY], fleet.figures[r, ROW_EMPTY], fleet.figures[r, ROW_CAPACITY]
        for k in range(fleet.places[r, LENGTH] + 1):
            energy = u[REFERENCE + at] + u[UP_THERE + at] * u[UP + at] - u[DOWN_THERE + at] * u[DOWN + at]
            wanted[entry + k] = min(max(energy, empty), capacity)
            at += 1


@compiled
def follow_nodes(
    some: Ints,
    fleet: Fleet,
    state: State,
    drives: Drives,
    turn: int,
    reached: tuple[Floats, Floats],
    powers: tuple[Floats, Floats],
    room: Room,
) -> None:
    """Follow the iterates' energies of all units of some nodes whose turn it is.

    `reached` receives the energies and the curtailed PV of all entries, `powers` the sums of the rows' powers and of
    this PV at every node, `(node, step)`.
    """
    unit, (wanted, spared), (power, curtailed) = room.unit, reached, powers
    for k in some:
        for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
            if drives.turn[i] == turn:
                first, stop, lead = fleet.unit_ptr[i], fleet.unit_ptr[i + 1], lead_of(drives, i)
                o = fleet.places[first, ENTRY] - lead
                n = expand(fleet, power[k], first, stop, lead, unit)
                load(unit, n, state, o)
                _write_energies(unit, fleet, first, stop, lead, wanted)
                brought, r = 0.0, drives.row_before[first]
                if r >= 0:
                    brought = wanted[fleet.places[r, ENTRY] + fleet.places[r, LENGTH]]
                follow_unit(unit, n, wanted, o, brought, power[k])
                load_meters(unit, n, fleet, first, state.meters)
                if unit.u[METERED] > 0:
                    spare_unit(unit, n, o, spared, curtailed[k])


@compiled
def cap_nodes(
    some: Ints,
    fleet: Fleet,
    state: State,
    drives: Drives,
    track: tuple[Floats, Floats, Floats],
    caps: tuple[Floats, Floats],
    power: Floats,
    room: Room,
) -> None:
    """Follow the iterates' energies of all rows of some nodes through time, under caps on their sum `(node, step)`.

    Where cars drive from node to node, these go through time abreast, so that a car takes along what it has reached;
    else one after the other. `track` are the energies and their changes of all rows, and what is wanted of all entries;
    `caps` the lower and the upper ones.
    """
    unit, wanted = room.unit, track[2]
    many = len(some) if len(drives.value) > 0 else 1
    for q in range(0, len(some), many):
        for k in some[q : q + many]:
            for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
                first, stop, lead = fleet.unit_ptr[i], fleet.unit_ptr[i + 1], lead_of(drives, i)
                n = expand(fleet, power[k], first, stop, lead, unit)
                load(unit, n, state, fleet.places[first, ENTRY] - lead)
                _write_energies(unit, fleet, first, stop, lead, wanted)
        for t in range(power.shape[1]):
            for k in some[q : q + many]:
                _cap_step(fleet, drives, (k, t), track, caps, power)


@nested
def _cap_step(
    fleet: Fleet,
    drives: Drives,
    at: tuple[int, int],
    track: tuple[Floats, Floats, Floats],
    caps: tuple[Floats, Floats],
    power: Floats,
) -> None:
    """Take the rows of a node through a step under its caps."""
    k, t = at
    (energy, change, wanted), (low, high) = track, caps
    first, stop = fleet.unit_ptr[fleet.node_ptr[k]], fleet.unit_ptr[fleet.node_ptr[k + 1]]
    charging = discharging = 0.0
    for r in range(first, stop):
        change[r] = _wanted_change(fleet, drives, r, t, energy, wanted)
        charging += max(change[r], 0.0) / fleet.figures[r, ROW_GAIN]
        discharging -= min(change[r], 0.0) / fleet.figures[r, ROW_LOSS]
    total = charging - discharging
    keep_in = keep_out = 1.0
    if total > high[k, t] and charging > 0:
        keep_in = max(1.0 - (total - high[k, t]) / charging, 0.0)
    if total < low[k, t] and discharging > 0:
        keep_out = max(1.0 - (low[k, t] - total) / discharging, 0.0)
    power[k, t] = charging * keep_in - discharging * keep_out
    for r in range(first, stop):
        gone = t - fleet.places[r, ARRIVE]
        if 0 <= gone < fleet.places[r, LENGTH]:
            energy[r] += change[r] * (keep_in if change[r] > 0 else keep_out)
            wanted[fleet.places[r, ENTRY] + gone] = energy[r]


@nested
def _wanted_change(fleet: Fleet, drives: Drives, r: int, t: int, energy: Floats, wanted: Floats) -> float:
    """Return by how much a row's energy wants to change in a step, within its power limits; 0 when it is away."""
    at, length, figure = t - fleet.places[r, ARRIVE], fleet.places[r, LENGTH], fleet.figures[r]
    if at < 0 or at >= length:
        return 0.0
    if at == 0:
        before = drives.row_before[r]
        energy[r] = figure[ROW_START] + (energy[before] if before >= 0 else 0.0)
    share = share_of(fleet, r, at, length)
    aim = min(max(wanted[fleet.places[r, ENTRY] + at], min(figure[ROW_EMPTY], 0.0)), figure[ROW_CAPACITY])
    least, most = -figure[ROW_LOSS] * figure[ROW_DISCHARGE] * share, figure[ROW_GAIN] * figure[ROW_CHARGE] * share
    if fleet.places[r, BOUND] >= 0:
        bound = fleet.bound[fleet.places[r, BOUND]]
        least, most = least * bound[1, t], most * bound[0, t]
    return float(min(max(aim - energy[r], least), most))


@nested
def share_of(fleet: Fleet, r: int, at: int, length: int) -> float:
    """Return for which share of its at-th step a row is connected."""
    share = 1.0
    if at == 0:
        share = fleet.figures[r, ROW_FIRST_SHARE]
    elif at == length - 1:
        share = fleet.figures[r, ROW_LAST_SHARE]
    return share


class Repaired(NamedTuple):
    """A plan close to the iterates: energies and curtailed PV of all entries, curtailed PV `(kept node, step)`."""

    energy: Floats
    spared: Floats
    curtailed: Floats


def repaired(point: InteriorPoint) -> Repaired:
    """Return a plan close to the iterates."""
    fleet, nodes, pieces = point.layout.fleet, point.nodes, point.layout.pieces
    wanted, spared = np.zeros((2, point.layout.entries))
    count = point.count
    power, of_rows = np.zeros((2, point.nodes_count, count))
    for turn in range(int(point.drives.turn.max(initial=0)) + 1):
        point.share(follow_nodes, *point.vehicles, turn, (wanted, spared), (power, of_rows))
    curtailed = np.zeros_like(power)
    with_pv = nodes.curtail >= 0
    box, most = nodes.boxes[nodes.curtail[with_pv], :, :count], pieces.curtail_kw[with_pv, :count]
    curtailed[with_pv] = np.where(box[:, WIDTH] > 0, np.clip(box[:, X], 0.0, most), 0.0)
    if with_pv.any():
        _curtail_for_limits(point, power + of_rows, curtailed)
    low, high = _caps(point, power, curtailed + of_rows)
    broken = (power > high + CAP_TOLERANCE_KW) | (power < low - CAP_TOLERANCE_KW)
    again = np.flatnonzero(broken.any(axis=1))
    if len(again):
        caps = _over_all_steps(point, low, -UNLIMITED_KW), _over_all_steps(point, high, UNLIMITED_KW)
        reached = wanted[fleet.places[:, ENTRY] + fleet.places[:, LENGTH]]
        track = (reached, np.zeros_like(reached), wanted)
        if len(point.drives.value):
            point.in_room(cap_nodes)(again, *point.vehicles, track, caps, np.zeros_like(caps[0]))
        else:
            point.share(cap_nodes, *point.vehicles, track, caps, np.zeros_like(caps[0]), some=again)
    return Repaired(wanted, spared, curtailed)


def _curtail_for_limits(point: InteriorPoint, power: Floats, curtailed: Floats) -> None:
    """Curtail what limits still lack at nodes where PV is left, `(node, step)`: `power` is what else may change."""
    forest, pieces = point.layout.forest, point.layout.pieces
    net = power + pieces.fixed_kw[:, : point.count] + curtailed
    add_up(forest.upwards, forest.parent, net)
    low, _ = _own_limits(point, point.nodes.net[:, : point.count])
    curtailed += np.clip(low - net, 0.0, pieces.curtail_kw[:, : point.count] - curtailed)


def _over_all_steps(point: InteriorPoint, caps: Floats, elsewhere: float) -> Floats:
    """Return caps over all steps: none where no node matters."""
    over_all = np.full((len(caps), point.layout.problem.axis.count), elsewhere)
    over_all[:, point.layout.steps] = caps
    return over_all


def _caps(point: InteriorPoint, power: Floats, curtailed: Floats) -> tuple[Floats, Floats]:
    """Return caps on the vehicles' own power at every node, `(node, step)` each."""
    layout, nodes, forest = point.layout, point.nodes, point.layout.forest
    fixed = layout.pieces.fixed_kw[:, : point.count] + curtailed
    net = power + fixed
    add_up(forest.upwards, forest.parent, net)
    low, high = _own_limits(point, nodes.net[:, : point.count])
    own = np.empty_like(net), np.empty_like(net)
    share_caps(forest.upwards, (forest.parent, forest.child_ptr), (power, net), (low, high), own)
    return own


@compiled
def share_caps(
    upwards: Ints,
    tree: tuple[Ints, Ints],
    powers: tuple[Floats, Floats],
    caps: tuple[Floats, Floats],
    own: tuple[Floats, Floats],
) -> None:
    """Write the caps on the vehicles' power at every node, lower and upper: their share of what the node's caps leave.

    `tree` are the nodes' parents and first children, `powers` those of the vehicles and net ones. The lower and upper
    `caps` of net powers are narrowed to what a parent's leave, from the roots down.
    """
    (parent, child_ptr), (power, net), (low, high), (own_low, own_high) = tree, powers, caps, own
    for i in range(len(upwards) - 1, -1, -1):
        k = upwards[i]
        above, turns = parent[k], child_ptr[k + 1] - child_ptr[k] + 1.0
        if above >= 0:
            siblings = child_ptr[above + 1] - child_ptr[above] + 1.0
            for t in range(net.shape[1]):
                high[k, t] = min(high[k, t], net[k, t] + _part(high[above, t] - net[above, t], siblings))
                low[k, t] = max(low[k, t], net[k, t] - _part(net[above, t] - low[above, t], siblings))
        for t in range(net.shape[1]):
            own_high[k, t] = power[k, t] + _part(high[k, t] - net[k, t], turns)
            own_low[k, t] = power[k, t] - _part(net[k, t] - low[k, t], turns)


@nested
def _part(room: float, turns: float) -> float:
    """Return one share of what is left under a cap; what is missing is asked of everyone whole."""
    return room / turns if room >= 0.0 else room


def _own_limits(point: InteriorPoint, net: Floats) -> tuple[Floats, Floats]:
    """Return the kept nodes' limits, wider where the iterates themselves go beyond them."""
    problem, node_of = point.layout.problem, point.layout.node_of
    low, high = np.full(net.shape, -UNLIMITED_KW), np.full(net.shape, UNLIMITED_KW)
    kept = node_of >= 0
    limits = problem.nodes
    at = node_of[kept], point.layout.steps
    high[kept] = np.minimum(at_steps(limits.import_limit_kw, *at), UNLIMITED_KW)
    low[kept] = np.maximum(-at_steps(limits.export_limit_kw, *at), -UNLIMITED_KW)
    slack = 1e-4
    joined = np.flatnonzero(point.layout.folding.base >= 0)
    if len(joined):
        _narrow_to_joined(point, joined, low, high)
    high = np.where(net > high + slack, net, high)
    low = np.where(net < low - slack, net, low)
    charged = point.nodes.charged >= 0
    high[charged] = np.minimum(high[charged], np.maximum(point.nodes.peaks[:, PEAK], 0.0)[:, None])
    return low, high


def _narrow_to_joined(point: InteriorPoint, joined: Ints, low: Floats, high: Floats) -> None:
    """Lower kept nodes' limits to those of the nodes that are joined to them."""
    layout, limits = point.layout, point.layout.problem.nodes
    base, fixed, at = layout.folding.base[joined], layout.curve.fixed_below_kw, (joined, layout.steps)
    moved = at_steps(fixed, *at) - at_steps(fixed, base, layout.steps)
    np.minimum.at(high, layout.holder[base], at_steps(limits.import_limit_kw, *at) - moved)
    np.maximum.at(low, layout.holder[base], -at_steps(limits.export_limit_kw, *at) - moved)
