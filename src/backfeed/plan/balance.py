"""A node's balance: what its vehicles and children answer to its price, and what that answer is to its parent.

With dp_k the step of node k's price, M_k what its vehicles and children answer, H_k the barrier's Hessian of
its own net power, b_k its right side and r_k the gradient of its own terms:

    M_k dp_k - H_k^-1 (dp_parent - dp_k + r_k) = b_k
    (M_k + H_k^-1) dp_k = b_k + H_k^-1 (dp_parent + r_k)                A_k = M_k + H_k^-1 = R' R
    dn_k = gamma_k - U_k dp_parent,   U_k = H_k^-1 A_k^-1 M_k            what the parent sees of the node
    gamma_k = H_k^-1 (A_k^-1 (b_k + H_k^-1 r_k) - r_k)

U in product form keeps its digits whether a limit binds (H^-1 small against M) or not. H^-1 is a diagonal plus,
where a peak is charged, a rank of one: `diag(hd) + coef th th'`. Where cars are few against the steps, A and U are
not written out: `plan/narrow.py` has them in the order of time.
"""

from typing import NamedTuple

import numpy as np

from backfeed.plan.columns import (
    COLUMN,
    FREE,
    GAMMA,
    HD,
    OWN,
    POWER,
    PRICE_STEP,
    PULL,
    RESIDUAL,
    SPREAD,
    TH,
    add,
    copy,
    whole_columns,
)
from backfeed.plan.compiled import nested
from backfeed.plan.dense import factor, pack_upper, packed_size, solve_half, solve_vector
from backfeed.plan.lanes import Lanes
from backfeed.plan.node import (
    INVERSE,
    PULLED,
    PUSH,
    TOTAL,
    WIDTH,
    Aim,
    Nodes,
    X,
    eliminate_peak,
    new_scratch,
    reduce_curtailed,
    reduce_pieces,
)
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.unit import Unit, new_unit
from backfeed.plan.vectors import LANES


class Work(NamedTuple):
    """What the elimination keeps between its passes, columns padded to a whole number of vectors.

    `root` is R, packed, and `upward` the lower half of U; `columns` `(node, COLUMN, column)` are a node's vectors,
    `coef` is H^-1's factor of `th th'`. Outside `span` `(node, 2)` M is 0, so that A is diagonal there and U is 0: only
    what lies within is kept of them. What narrow trees have instead is in `lanes`. `measured` `(node, 4)` is what
    `measure_unit` returns of all units, and the greatest broken balance, `measured_nodes` `(node, 2)` what
    `advance_nodes` measures; `found` and `found_nodes` `(node, 5)` is what `step_unit` and `step_node` find, greatest
    or summed over the node's units.
    """

    root: Floats
    upward: Floats
    columns: Floats
    coef: Floats
    span: Ints
    lanes: Lanes
    measured: Floats
    measured_nodes: Floats
    found: Floats
    found_nodes: Floats


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


def new_work(nodes: int, columns: int, span: Ints, lanes: Lanes) -> Work:
    """Return room for the elimination, columns padded; padding has an inverse Hessian of 1 and no coupling."""
    size = whole_columns(columns)
    vectors = np.zeros((nodes, len(COLUMN), size))
    vectors[:, HD] = 1.0
    return Work(
        root=np.zeros((nodes, packed_size(size))),
        upward=np.zeros((nodes, size * (size + 1) // 2)),
        columns=vectors,
        coef=np.zeros(nodes),
        span=span,
        lanes=lanes,
        measured=np.zeros((nodes, 4)),
        measured_nodes=np.zeros((nodes, 2)),
        found=np.zeros((nodes, 5)),
        found_nodes=np.zeros((nodes, 5)),
    )


def new_room(count: int, columns: int) -> Room:
    """Return room for nodes of so many steps and columns; the matrix is greater, for units that end in padding."""
    size = whole_columns(columns)
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


@nested
def find_residual(nodes: Nodes, columns: Floats, k: int) -> float:
    """Write what enters a node beyond its net power; return the greatest."""
    residual, power, fixed, net = columns[RESIDUAL], columns[POWER], nodes.fixed[k], nodes.net[k]
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
def own_terms(nodes: Nodes, work: Work, k: int, aim: Aim, scratch: Floats) -> None:
    """Write the node's inverse Hessian, its gradient `own`, and curtailment's `spread` and `pull`."""
    hd, own, total, pulled = work.columns[k, HD], work.columns[k, OWN], scratch[TOTAL], scratch[PULLED]
    reduce_pieces(nodes, k, aim, scratch)
    for t in range(len(total)):
        hd[t] = total[t]
        own[t] = pulled[t] / total[t]
    if nodes.charged[k] >= 0:
        work.coef[k] = eliminate_peak(nodes, k, aim, hd, work.columns[k, TH], own)
    if reduce_curtailed(nodes, k, aim, scratch):
        spread, pull, inverse, push = work.columns[k, SPREAD], work.columns[k, PULL], scratch[INVERSE], scratch[PUSH]
        for t in range(len(inverse)):
            spread[t] = inverse[t]
            pull[t] = -inverse[t] * push[t]


@nested
def solve_node(work: Work, k: int, v: Floats) -> None:
    """Overwrite `v` with `A^-1 v`."""
    low, high, hd = work.span[k, 0], work.span[k, 1], work.columns[k, HD]
    for t in range(len(v)):
        v[t] /= 1.0 if low <= t < high else hd[t]
    solve_vector(work.root[k, : packed_size(high - low)], v[low:high])


@nested
def hand_up(nodes: Nodes, work: Work, k: int, room: Room) -> None:
    """Find the price step at a parent's step of 0 and gamma; `room.g` holds the vehicles' response.

    A narrow tree's node leaves its right side instead, and pushes its parent by no more than its own terms.
    """
    g, x, free, own, residual, pull = (
        room.g,
        room.x,
        work.columns[k, FREE],
        work.columns[k, OWN],
        work.columns[k, RESIDUAL],
        work.columns[k, PULL],
    )
    for q in range(nodes.child_ptr[k], nodes.child_ptr[k + 1]):
        add(work.columns[nodes.child[q], GAMMA], g)
    times_inverse(work.columns[k, HD], work.columns[k, TH], work.coef[k], own, x)
    for t in range(len(free)):
        free[t] = g[t] + x[t] + residual[t] + pull[t]
    if work.lanes.narrow[k] > 0:
        for t in range(len(free)):
            work.columns[k, GAMMA, t] = -x[t]
        return
    solve_node(work, k, free)
    for t in range(len(free)):
        x[t] = free[t] - own[t]
    times_inverse(work.columns[k, HD], work.columns[k, TH], work.coef[k], x, work.columns[k, GAMMA])


@nested
def clear_matrix(work: Work, k: int, room: Room) -> None:
    """Write 0 where a node's vehicles add to its matrix; a narrow one has none."""
    if work.lanes.narrow[k] == 0:
        for t in range(work.span[k, 0], work.span[k, 1] + LANES):
            room.matrix[t, work.span[k, 0] :] = 0.0


@nested
def factor_node(nodes: Nodes, work: Work, k: int, room: Room) -> None:
    """Factor `A = M + H^-1` and write the lower half of `U = H^-1 A^-1 M`; `room.matrix` is the upper half of M.

    A narrow tree's nodes have neither.
    """
    if work.lanes.narrow[k] > 0:
        return
    whole, root = room.whole, room.root
    hd, th, coef, low, high = work.columns[k, HD], work.columns[k, TH], work.coef[k], work.span[k, 0], work.span[k, 1]
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
    mixed = room.y
    mixed[:] = 0.0
    if coef != 0:
        _mix(work, k, room)
    solve_half(root, whole, low, high)
    for t in range(low, high):
        at = t * (t + 1) // 2
        row, upward, scale = whole[t], work.upward[k, at : at + t + 1], coef * th[t]
        for p in range(low, t + 1):
            upward[p] = hd[t] * row[p] + scale * mixed[p]


@nested
def _mix(work: Work, k: int, room: Room) -> None:
    """Write `th' A^-1 M = (M A^-1 th)'` into `room.y`, M being `room.whole`."""
    low, high, pulled, mixed = work.span[k, 0], work.span[k, 1], room.x, room.y
    copy(work.columns[k, TH], pulled)
    solve_node(work, k, pulled)
    for t in range(low, high):
        for p in range(low, high):
            mixed[p] += pulled[t] * room.whole[t, p]


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
        room.matrix[t, t] += work.columns[k, SPREAD, t]
        for p in range(t, high):
            value = room.matrix[t, p]
            whole[t, p] = value
            whole[p, t] = value


@nested
def price_step_of(nodes: Nodes, work: Work, k: int, x: Floats) -> None:
    """Write the step of a node's price, its parent's known."""
    parent, step = nodes.parent[k], work.columns[k, PRICE_STEP]
    copy(work.columns[k, FREE], step)
    if parent >= 0:
        times_inverse(work.columns[k, HD], work.columns[k, TH], work.coef[k], work.columns[parent, PRICE_STEP], x)
        solve_node(work, k, x)
        add(x, step)
