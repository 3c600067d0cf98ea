"""Elimination along the tree: vehicles into nodes, nodes into their parents, prices back down.

With dp_k the step of node k's price, M_k what its vehicles and children answer, H_k the barrier's Hessian of
its own net power, b_k its right side and r_k the gradient of its own terms:

    M_k dp_k - H_k^-1 (dp_parent - dp_k + r_k) = b_k
    (M_k + H_k^-1) dp_k = b_k + H_k^-1 (dp_parent + r_k)                A_k = M_k + H_k^-1 = R' R
    dn_k = gamma_k - U_k dp_parent,   U_k = H_k^-1 A_k^-1 M_k            what the parent sees of the node
    gamma_k = H_k^-1 (A_k^-1 (b_k + H_k^-1 r_k) - r_k)

U in product form keeps its digits whether a limit binds (H^-1 small against M) or not. H^-1 is a diagonal plus,
where a peak is charged, a rank of one: `diag(hd) + coef th th'`. All nodes of a level are independent, and
each adds its vehicles and children in their order, so the result does not depend on the number of threads.
"""

from typing import NamedTuple

import numpy as np

from backfeed.plan.columns import add, copy, gather_price, spread_matrix, spread_power
from backfeed.plan.compiled import compiled, nested
from backfeed.plan.dense import factor, pack_upper, packed_size, solve_half, solve_vector
from backfeed.plan.drives import Drives, is_joined, join, keep_values, lead_of, push_values, tell_pull, tell_reach
from backfeed.plan.node import (
    INVERSE,
    NET,
    PULLED,
    PUSH,
    TOTAL,
    WIDTH,
    Aim,
    Nodes,
    X,
    eliminate_peak,
    is_free,
    new_scratch,
    reduce_curtailed,
    reduce_pieces,
    step_node,
)
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.rows import ENTRY, Fleet
from backfeed.plan.unit import (
    State,
    Unit,
    expand,
    load,
    load_corrected,
    load_predicted,
    new_unit,
    store,
    store_corrected,
    store_predicted,
)
from backfeed.plan.vectors import LANES
from backfeed.plan.vehicle import (
    add_compliance,
    add_power_step,
    add_response,
    advance_unit,
    eliminate,
    measure_unit,
    solve_values,
    step_unit,
)


class Work(NamedTuple):
    """What the elimination keeps between its passes, columns padded to a whole number of vectors.

    `root` is R, packed, and `upward` the lower half of U; `gamma` and `free` (the price step at a
    parent's step of 0); `price_step` and `power_step` are the steps of prices and of the vehicles' powers; `hd`, `th`,
    `coef`, `own` (r_k), `spread` and `pull` (curtailment's, of M's diagonal and of b_k) are the node's terms;
    `residual` is what enters a node beyond its net power, `power` what its vehicles take. Outside
    `span` `(node, 2)` M is 0, so that A is diagonal there and U is 0: only what lies within is kept of them. `measured`
    `(node, 4)` is what `measure_unit` returns of all units, and the greatest broken balance, `measured_nodes`
    `(node, 2)` what `advance_nodes` measures; `found` and `found_nodes` `(node, 5)` is what `step_unit` and `step_node`
    find, greatest or summed over the node's units.
    """

    root: Floats
    upward: Floats
    gamma: Floats
    free: Floats
    price_step: Floats
    power_step: Floats
    hd: Floats
    th: Floats
    coef: Floats
    own: Floats
    spread: Floats
    pull: Floats
    residual: Floats
    power: Floats
    span: Ints
    measured: Floats
    measured_nodes: Floats
    found: Floats
    found_nodes: Floats


class Move(NamedTuple):
    """A step that has been found and is still to be taken: its aim, and how far primal and dual go."""

    aim: Aim
    primal: float
    dual: float


class Room(NamedTuple):
    """Room for one node at a time; `price` is what its vehicles pay at every step, `price_step` how that changes."""

    unit: Unit
    price: Floats
    price_step: Floats
    matrix: Floats
    whole: Floats
    root: Floats
    g: Floats
    x: Floats
    y: Floats
    scratch: Floats


def new_room(count: int, columns: int) -> Room:
    """Return room for nodes of so many steps and columns; the matrix is greater, for units that end in padding."""
    size = max((columns + LANES - 1) // LANES, 1) * LANES
    return Room(
        new_unit(),
        np.zeros(count),
        np.zeros(count),
        np.zeros((size + LANES, size + 2 * LANES)),
        np.empty((size, size)),
        np.empty((size, size)),
        np.empty(size),
        np.zeros(size),
        np.zeros(size),
        new_scratch(columns),
    )


@nested
def times_inverse(hd: Floats, th: Floats, coef: float, x: Floats, out: Floats) -> None:
    """Write `H^-1 x`."""
    n = x.shape[0]
    total = 0.0
    for t in range(n):
        total += th[t] * x[t]
    total *= coef
    for t in range(n):
        out[t] = hd[t] * x[t] + total * th[t]


@compiled
def ascend(
    some: Ints, fleet: Fleet, state: State, drives: Drives, nodes: Nodes, work: Work, move: Move, room: Room
) -> None:
    """Take the last step, measure, and eliminate some nodes for the predictor; children must be done."""
    unit, count, aim, measured = room.unit, len(room.price), Aim(0.0, 0.0), work.measured
    came, goes = drives.came, drives.goes
    moving = move.primal > 0 or move.dual > 0
    for k in some:
        shared = not is_free(nodes, k)
        room.g[:] = 0.0
        for t in range(work.span[k, 0], work.span[k, 1] + LANES):
            room.matrix[t, work.span[k, 0] :] = 0.0
        work.power[k, :] = 0.0
        gather_price(nodes.slots, nodes.price[k], room.price)
        products = cost = worst = 0.0
        for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
            first, stop, lead = fleet.unit_ptr[i], fleet.unit_ptr[i + 1], lead_of(drives, i)
            o = fleet.places[first, ENTRY] - lead
            n = expand(fleet, room.price, first, stop, lead, unit)
            load(unit, n, state, o)
            if is_joined(came[i], goes[i]):
                join(unit, n, came[i], goes[i], drives)
            if moving:
                load_predicted(unit, n, state, o)
                load_corrected(unit, n, state, o)
                advance_unit(unit, n, (move.aim.tau, move.aim.second), move.primal, move.dual)
                store(unit, n, state, o)
                load(unit, n, state, o)
                if is_joined(came[i], goes[i]):
                    join(unit, n, came[i], goes[i], drives)
            one = measure_unit(unit, n, work.power[k])
            products, cost, worst = products + one[0], cost + one[1], max(worst, one[2])
            eliminate(unit, n, aim.tau, aim.second)
            solve_values(unit, n, room.g, 0.0)
            if shared:
                add_response(unit, n, room.g)
                add_compliance(unit, n, room.matrix)
            if is_joined(came[i], goes[i]):
                tell_pull(unit, n, came[i], goes[i], drives)
                tell_reach(unit, n, came[i], goes[i], drives, room.g)
        measured[k, 0], measured[k, 1], measured[k, 2], measured[k, 3] = products, cost, worst, 0.0
        if not shared:
            continue
        spread_power(nodes.slots, count, work.power[k])
        spread_power(nodes.slots, count, room.g)
        spread_matrix(nodes.slots, count, room.matrix)
        measured[k, 3] = _find_residual(nodes, work, k)
        _own_terms(nodes, work, k, aim, room.scratch)
        _factor_node(nodes, work, k, room)
        _hand_up(nodes, work, k, room)


@compiled
def ascend_again(
    some: Ints, fleet: Fleet, state: State, drives: Drives, nodes: Nodes, work: Work, aim: Aim, room: Room
) -> None:
    """Eliminate some nodes for the corrector, with the factors that `ascend` has left; children must be done."""
    unit = room.unit
    came, goes = drives.came, drives.goes
    for k in some:
        shared = not is_free(nodes, k)
        if not shared and not len(drives.value):
            continue
        room.g[:] = 0.0
        gather_price(nodes.slots, nodes.price[k], room.price)
        for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
            first, stop, lead = fleet.unit_ptr[i], fleet.unit_ptr[i + 1], lead_of(drives, i)
            o = fleet.places[first, ENTRY] - lead
            n = expand(fleet, room.price, first, stop, lead, unit)
            load(unit, n, state, o)
            load_predicted(unit, n, state, o)
            if is_joined(came[i], goes[i]):
                join(unit, n, came[i], goes[i], drives)
            eliminate(unit, n, aim.tau, aim.second)
            solve_values(unit, n, room.g, 0.0)
            add_response(unit, n, room.g)
            if is_joined(came[i], goes[i]):
                tell_pull(unit, n, came[i], goes[i], drives)
        if shared:
            spread_power(nodes.slots, len(room.price), room.g)
            _own_terms(nodes, work, k, aim, room.scratch)
            _hand_up(nodes, work, k, room)


@nested
def _find_residual(nodes: Nodes, work: Work, k: int) -> float:
    """Write what enters a node beyond its net power; return the greatest."""
    residual, power, fixed, net = work.residual[k], work.power[k], nodes.fixed[k], nodes.net[k]
    for t in range(len(net)):
        residual[t] = power[t] + fixed[t] - net[t]
    if nodes.curtail[k] >= 0:
        box = nodes.boxes[nodes.curtail[k]]
        for t in range(len(net)):
            residual[t] += box[X, t] if box[WIDTH, t] > 0.0 else 0.0
    for q in range(nodes.child_ptr[k], nodes.child_ptr[k + 1]):
        add(nodes.net[nodes.child[q]], residual)
    worst = 0.0
    for t in range(len(residual)):
        worst = max(worst, abs(residual[t]))
    return worst


@nested
def _own_terms(nodes: Nodes, work: Work, k: int, aim: Aim, scratch: Floats) -> None:
    """Write the node's inverse Hessian, its gradient `own`, and curtailment's `spread` and `pull`."""
    hd, own, total, pulled = work.hd[k], work.own[k], scratch[TOTAL], scratch[PULLED]
    reduce_pieces(nodes, k, aim, scratch)
    for t in range(len(total)):
        hd[t] = total[t]
        own[t] = pulled[t] / total[t]
    if nodes.charged[k] >= 0:
        work.coef[k] = eliminate_peak(nodes, k, aim, hd, work.th[k], own)
    if reduce_curtailed(nodes, k, aim, scratch):
        spread, pull, inverse, push = work.spread[k], work.pull[k], scratch[INVERSE], scratch[PUSH]
        for t in range(len(inverse)):
            spread[t] = inverse[t]
            pull[t] = -inverse[t] * push[t]


@nested
def solve_node(work: Work, k: int, v: Floats) -> None:
    """Overwrite `v` with `A^-1 v`."""
    low, high, hd = work.span[k, 0], work.span[k, 1], work.hd[k]
    for t in range(len(v)):
        v[t] /= 1.0 if low <= t < high else hd[t]
    solve_vector(work.root[k, : packed_size(high - low)], v[low:high])


@nested
def _hand_up(nodes: Nodes, work: Work, k: int, room: Room) -> None:
    """Find the price step at a parent's step of 0 and gamma; `room.g` holds the vehicles' response."""
    g, x, free, own, residual, pull = room.g, room.x, work.free[k], work.own[k], work.residual[k], work.pull[k]
    for q in range(nodes.child_ptr[k], nodes.child_ptr[k + 1]):
        add(work.gamma[nodes.child[q]], g)
    times_inverse(work.hd[k], work.th[k], work.coef[k], own, x)
    for t in range(len(free)):
        free[t] = g[t] + x[t] + residual[t] + pull[t]
    solve_node(work, k, free)
    for t in range(len(free)):
        x[t] = free[t] - own[t]
    times_inverse(work.hd[k], work.th[k], work.coef[k], x, work.gamma[k])


@nested
def _factor_node(nodes: Nodes, work: Work, k: int, room: Room) -> None:
    """Factor `A = M + H^-1` and write the lower half of `U = H^-1 A^-1 M`; `room.matrix` is the upper half of M."""
    whole, root = room.whole, room.root
    hd, th, coef, low, high = work.hd[k], work.th[k], work.coef[k], work.span[k, 0], work.span[k, 1]
    _whole_matrix(nodes, work, k, room)
    for t in range(low, high):
        scale = coef * th[t]
        for p in range(low, high):
            root[t, p] = whole[t, p] + scale * th[p]
        root[t, t] += hd[t]
    factor(root, low, high)
    pack_upper(root, work.root[k], low, high)
    if nodes.parent[k] < 0:
        return
    pulled, mixed = room.x, room.y
    mixed[:] = 0.0
    if coef != 0:  # th' A^-1 M = (M A^-1 th)'
        copy(th, pulled)
        solve_node(work, k, pulled)
        for t in range(low, high):
            for p in range(low, high):
                mixed[p] += pulled[t] * whole[t, p]
    solve_half(root, whole, low, high)
    for t in range(low, high):
        at = t * (t + 1) // 2
        row, upward, scale = whole[t], work.upward[k, at : at + t + 1], coef * th[t]
        for p in range(low, t + 1):
            upward[p] = hd[t] * row[p] + scale * mixed[p]


@nested
def _whole_matrix(nodes: Nodes, work: Work, k: int, room: Room) -> None:
    """Write both halves of M: the vehicles' from the upper half of `room.matrix`, and the children's."""
    whole, low, high = room.whole, work.span[k, 0], work.span[k, 1]
    for t in range(low, high):
        whole[t, low:high] = 0.0
    for q in range(nodes.child_ptr[k], nodes.child_ptr[k + 1]):
        c = nodes.child[q]
        first = work.span[c, 0]
        for t in range(first, work.span[c, 1]):
            at = t * (t + 1) // 2
            row, add = whole[t], work.upward[c, at : at + t + 1]
            for p in range(first, t + 1):
                row[p] += add[p]
    for t in range(low, high):
        for p in range(t, high):
            room.matrix[t, p] += whole[p, t]
    for t in range(low, high):
        room.matrix[t, t] += work.spread[k, t]
        for p in range(t, high):
            value = room.matrix[t, p]
            whole[t, p] = value
            whole[p, t] = value


@compiled
def descend(
    some: Ints, fleet: Fleet, state: State, drives: Drives, nodes: Nodes, work: Work, aim: Aim, room: Room
) -> None:
    """Find the price steps of some nodes and their vehicles' steps; parents must be done."""
    unit, found = room.unit, work.found
    came, goes = drives.came, drives.goes
    for k in some:
        if not is_free(nodes, k):
            price_step_of(nodes, work, k, room.x)
        gather_price(nodes.slots, nodes.price[k], room.price)
        gather_price(nodes.slots, work.price_step[k], room.price_step)
        work.power_step[k, :] = 0.0
        found[k, :] = 0.0
        for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
            first, stop, lead = fleet.unit_ptr[i], fleet.unit_ptr[i + 1], lead_of(drives, i)
            o = fleet.places[first, ENTRY] - lead
            n = expand(fleet, room.price, first, stop, lead, unit)
            load(unit, n, state, o)
            if aim.second > 0:
                load_predicted(unit, n, state, o)
            if is_joined(came[i], goes[i]):
                join(unit, n, came[i], goes[i], drives)
            eliminate(unit, n, aim.tau, aim.second)
            if is_joined(came[i], goes[i]):
                push_values(unit, n, came[i], goes[i], drives)
            solve_values(unit, n, room.price_step, 1.0)
            if is_joined(came[i], goes[i]):
                keep_values(unit, n, goes[i], drives)
            one = step_unit(unit, n)
            if aim.second > 0:
                store_corrected(unit, n, state, o)
            else:
                store_predicted(unit, n, state, o)
            add_power_step(unit, n, work.power_step[k])
            found[k, 0], found[k, 1] = max(found[k, 0], one[0]), max(found[k, 1], one[1])
            for s in range(2, 5):
                found[k, s] += one[s]
        spread_power(nodes.slots, len(room.price), work.power_step[k])


@nested
def price_step_of(nodes: Nodes, work: Work, k: int, x: Floats) -> None:
    """Write the step of a node's price, its parent's known."""
    parent, step = nodes.parent[k], work.price_step[k]
    copy(work.free[k], step)
    if parent >= 0:
        times_inverse(work.hd[k], work.th[k], work.coef[k], work.price_step[parent], x)
        solve_node(work, k, x)
        add(x, step)


@compiled
def settle(some: Ints, nodes: Nodes, work: Work, aim: Aim, room: Room) -> None:
    """Find the steps of some nodes' own variables; all vehicles and the children must be done."""
    scratch = room.scratch
    for k in some:
        if is_free(nodes, k):
            continue
        net, power_step, residual = scratch[NET], work.power_step[k], work.residual[k]
        for t in range(len(net)):
            net[t] = power_step[t] + residual[t]
        step_node(nodes, k, aim, work.price_step, scratch, work.found_nodes[k])


def new_work(nodes: int, columns: int, span: Ints) -> Work:
    """Return room for the elimination, columns padded; padding has an inverse Hessian of 1 and no coupling."""
    size = max(-(-columns // LANES), 1) * LANES
    vectors = {
        name: np.zeros((nodes, size))
        for name in ("gamma", "free", "price_step", "power_step", "th", "own", "spread", "pull", "residual", "power")
    }
    return Work(
        root=np.zeros((nodes, packed_size(size))),
        upward=np.zeros((nodes, size * (size + 1) // 2)),
        hd=np.ones((nodes, size)),
        coef=np.zeros(nodes),
        span=span,
        measured=np.zeros((nodes, 4)),
        measured_nodes=np.zeros((nodes, 2)),
        found=np.zeros((nodes, 5)),
        found_nodes=np.zeros((nodes, 5)),
        **vectors,
    )
