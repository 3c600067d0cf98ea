"""From iterates to a plan that keeps every limit it can: follow the energies under caps, step by step.

1. Every row follows its energy path in one direction per step, which never needs more power than the iterates.
2. The nodes' powers then differ a little from the iterates'. From the root down every node gets caps for its
   power each way: its own limits, or what the iterates themselves use beyond them, and its share of what its
   parent's caps leave. Children's caps add up to no more than their parent's.
3. Under each node the rows go once more through time; where their sum would pass a cap, charging (or
   discharging) is cut in proportion, and caught up with when the cap allows.
"""

import numpy as np

from backfeed.plan.compiled import compiled
from backfeed.plan.elimination import Fleet
from backfeed.plan.interior import InteriorPoint
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.vehicle import CHARGE, DISCHARGE, GAIN, JUMP, LOSS, WIDTH_MIN_KWH, Unit, expand, new_unit

CAP_TOLERANCE_KW = 1e-9
UNLIMITED_KW = 1e15


@compiled
def follow_unit(unit: Unit, n: int, wanted: Floats, o: int, power: Floats) -> None:
    """Follow one unit's energies within its power limits, one direction a step; write what it reaches."""
    u = unit.u
    energy = u[JUMP]
    for t in range(n):
        if unit.step[t] >= 0:
            change = min(max(wanted[o + t] - energy, -u[LOSS + t]), u[GAIN + t])
            energy += change
            if change > 0:
                power[unit.step[t]] += u[CHARGE + t] * change / u[GAIN + t]
            elif change < 0:
                power[unit.step[t]] += u[DISCHARGE + t] * change / u[LOSS + t]
        wanted[o + t] = energy
        if t + 1 < n:
            energy += u[JUMP + t + 1]


@compiled
def follow_nodes(level: Ints, fleet: Fleet, wanted: Floats, power: Floats) -> None:
    """Follow all rows of some nodes; `wanted` becomes what is reached."""
    unit = new_unit()
    for k in level:
        power[k, :] = 0.0
        for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
            first, stop = fleet.unit_ptr[i], fleet.unit_ptr[i + 1]
            n = expand(fleet.rows, fleet.money, power[k], first, stop, unit)
            follow_unit(unit, n, wanted, fleet.rows.entry[first], power[k])


@compiled
def cap_nodes(level: Ints, fleet: Fleet, wanted: Floats, low: Floats, high: Floats, power: Floats) -> None:
    """Follow all rows of some nodes through time under caps on their sum, `(node, step)`."""
    for k in level:
        first, stop = fleet.unit_ptr[fleet.node_ptr[k]], fleet.unit_ptr[fleet.node_ptr[k + 1]]
        energy, change = np.zeros(stop - first), np.zeros(stop - first)
        for t in range(power.shape[1]):
            charging = discharging = 0.0
            for i in range(stop - first):
                change[i] = _wanted_change(fleet, first + i, t, energy, i, wanted)
                charging += max(change[i], 0.0) / fleet.rows.gain[first + i]
                discharging -= min(change[i], 0.0) / fleet.rows.loss[first + i]
            total = charging - discharging
            keep_in = keep_out = 1.0
            if total > high[k, t] and charging > 0:
                keep_in = max(1.0 - (total - high[k, t]) / charging, 0.0)
            if total < low[k, t] and discharging > 0:
                keep_out = max(1.0 - (low[k, t] - total) / discharging, 0.0)
            power[k, t] = charging * keep_in - discharging * keep_out
            for i in range(stop - first):
                at = t - fleet.rows.arrive[first + i]
                if 0 <= at < fleet.rows.length[first + i]:
                    energy[i] += change[i] * (keep_in if change[i] > 0 else keep_out)
                    wanted[fleet.rows.entry[first + i] + at] = energy[i]


@compiled
def _wanted_change(fleet: Fleet, r: int, t: int, energy: Floats, i: int, wanted: Floats) -> float:
    """Return by how much a row's energy wants to change in a step, within its power limits; 0 when it is away."""
    rows = fleet.rows
    at, length = t - rows.arrive[r], rows.length[r]
    if at < 0 or at >= length:
        return 0.0
    if at == 0:
        energy[i] = rows.start_kwh[r] + (energy[i - 1] if linked(fleet, r) else 0.0)
    share = share_of(fleet, r, at, length)
    aim = min(max(wanted[rows.entry[r] + at], min(rows.empty_kwh[r], 0.0)), rows.capacity_kwh[r])
    least, most = -rows.loss[r] * rows.discharge_kw[r] * share, rows.gain[r] * rows.charge_kw[r] * share
    return float(min(max(aim - energy[i], least), most))


@compiled
def linked(fleet: Fleet, r: int) -> bool:
    """Tell whether a row goes on from the row before it: it is not the first of its unit."""
    at = np.searchsorted(fleet.unit_ptr, r)
    return bool(at >= len(fleet.unit_ptr) or fleet.unit_ptr[at] != r)


@compiled
def share_of(fleet: Fleet, r: int, at: int, length: int) -> float:
    """Return for which share of its at-th step a row is connected."""
    share = 1.0
    if at == 0:
        share = fleet.rows.first_share[r]
    elif at == length - 1:
        share = fleet.rows.last_share[r]
    return share


def repaired(point: InteriorPoint) -> tuple[Floats, Floats, Floats]:
    """Return `(energies of all entries, curtailed PV, vehicles' power)` of a plan close to the iterates.

    The last two are `(kept node, step)`.
    """
    fleet, nodes, state = point.fleet, point.nodes, point.state
    wanted = _energies(point)
    power = np.zeros_like(point.power)
    point.threads.share(follow_nodes, point.everything, fleet, wanted, power)
    curtailed = np.clip(nodes.curtailed.x, 0.0, point.layout.pieces.curtail_kw) * nodes.curtailed.there
    low, high = _caps(point, power, curtailed)
    broken = (power > high + CAP_TOLERANCE_KW) | (power < low - CAP_TOLERANCE_KW)
    again = np.flatnonzero(broken.any(axis=1))
    if len(again):
        wanted_again = _energies(point)
        point.threads.share(cap_nodes, again, fleet, wanted_again, low, high, power)
        _copy_units(point, again, wanted_again, wanted)
    assert state.a.shape == wanted.shape
    return wanted, curtailed, power


def _copy_units(point: InteriorPoint, nodes: Ints, source: Floats, target: Floats) -> None:
    """Copy the entries of some nodes."""
    fleet = point.fleet
    for k in nodes:
        first, stop = fleet.unit_ptr[fleet.node_ptr[k]], fleet.unit_ptr[fleet.node_ptr[k + 1]]
        if first == stop:
            continue
        last = stop - 1
        at = slice(int(fleet.rows.entry[first]), int(fleet.rows.entry[last] + fleet.rows.length[last] + 1))
        target[at] = source[at]


def _energies(point: InteriorPoint) -> Floats:
    """Return the iterates' energies, within capacity and empty, of all entries."""
    rows = point.layout.rows
    row = np.repeat(np.arange(len(rows.arrive)), rows.length + 1)
    packed = np.cumsum(rows.length + 1) - (rows.length + 1)
    at = np.arange(len(row)) + (rows.entry - packed)[row]
    reference = rows.floor_kwh[row]
    reference[packed + rows.length] = rows.target_kwh
    empty, capacity = rows.empty_kwh[row], rows.capacity_kwh[row]
    energy = reference + np.where(capacity - reference < WIDTH_MIN_KWH, 0.0, point.state.up[at])
    energy -= np.where(reference - empty < WIDTH_MIN_KWH, 0.0, point.state.down[at])
    entries = np.zeros(point.layout.entries)
    entries[at] = np.clip(energy, empty, capacity)
    return entries


def _caps(point: InteriorPoint, power: Floats, curtailed: Floats) -> tuple[Floats, Floats]:
    """Return caps on the vehicles' own power at every node, `(node, step)` each."""
    layout, nodes, forest = point.layout, point.nodes, point.layout.forest
    fixed = layout.pieces.fixed_kw + curtailed
    net = power + fixed
    for level in reversed(forest.levels[1:]):
        np.add.at(net, forest.parent[level], net[level])
    low, high = _own_limits(point, nodes.net_kw())
    turns = np.diff(forest.child_ptr)[:, None] + 1.0
    own_low, own_high = np.empty_like(net), np.empty_like(net)
    for level in forest.levels:
        above = forest.parent[level]
        inner = above >= 0
        child, parent = level[inner], above[inner]
        high[child] = np.minimum(high[child], net[child] + _part(high[parent] - net[parent], turns[parent]))
        low[child] = np.maximum(low[child], net[child] - _part(net[parent] - low[parent], turns[parent]))
        own_high[level] = power[level] + _part(high[level] - net[level], turns[level])
        own_low[level] = power[level] - _part(net[level] - low[level], turns[level])
    return own_low, own_high


def _part(room: Floats, turns: Floats) -> Floats:
    """Return one share of what is left under a cap; what is missing is asked of everyone whole."""
    return np.where(room >= 0, room / turns, room)


def _own_limits(point: InteriorPoint, net: Floats) -> tuple[Floats, Floats]:
    """Return the kept nodes' limits, wider where the iterates themselves go beyond them."""
    problem, node_of = point.layout.problem, point.layout.node_of
    low, high = np.full(net.shape, -UNLIMITED_KW), np.full(net.shape, UNLIMITED_KW)
    kept = node_of >= 0
    limits = problem.nodes
    high[kept] = np.minimum(limits.import_limit_kw[node_of[kept]], UNLIMITED_KW)
    low[kept] = np.maximum(-limits.export_limit_kw[node_of[kept]], -UNLIMITED_KW)
    slack = 1e-4
    high = np.where(net > high + slack, net, high)
    low = np.where(net < low - slack, net, low)
    charged = np.flatnonzero(point.nodes.charged)
    high[charged] = np.minimum(high[charged], np.maximum(point.nodes.peak, 0.0)[:, None])
    return low, high
