"""A node's balance: what its vehicles and children answer to its price, and what that answer is to its parent.

With dp_k the step of node k's price, M_k what its vehicles and children answer, H_k the barrier's Hessian of
its own net power, b_k its right side and r_k the gradient of its own terms:

    M_k dp_k - H_k^-1 (dp_parent - dp_k + r_k) = b_k
    (M_k + H_k^-1) dp_k = b_k + H_k^-1 (dp_parent + r_k)                A_k = M_k + H_k^-1
    dn_k = gamma_k - U_k dp_parent,   U_k = H_k^-1 A_k^-1 M_k            what the parent sees of the node
    gamma_k = H_k^-1 (A_k^-1 (b_k + H_k^-1 r_k) - r_k)

U in product form keeps its digits whether a limit binds (H^-1 small against M) or not. H^-1 is a diagonal plus,
where a peak is charged, a rank of one: `diag(hd) + coef th th'`. Without it, M and A have no positive number beside
their diagonals, so that A's inverse S has no negative one, and

    U = hd S M = hd (1 - S hd)

is a product beside the diagonal, too; on it the product with M is taken as it stands. A vector is multiplied by S in a
fifth of what two triangular systems take. At roots, which have no U, and where a peak is charged, whose rank of one may
be all that A's inverse leaves, factors are kept instead. Where cars are few against the steps, A and U are not written
out: `plan/narrow.py` has them in the order of time.
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
    aligned,
    copy,
    whole_columns,
)
from backfeed.plan.compiled import nested
from backfeed.plan.dense import (
    factor,
    invert,
    pack_symmetric,
    pack_upper,
    packed_size,
    solve_half,
    solve_vector,
    times_symmetric,
)
from backfeed.plan.lanes import Lanes
from backfeed.plan.node import (
    WIDTH,
    Aim,
    Nodes,
    X,
    eliminate_peak,
    reduce_curtailed,
    reduce_pieces,
)
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.unit import Unit, new_unit
from backfeed.plan.vectors import LANES, fused, load, spread, store, total, where


class Work(NamedTuple):
    """What the elimination keeps between its passes, columns padded to a whole number of vectors.

    `kept` is A's inverse or its factor, and `upward` is U, all packed; `columns` `(node, COLUMN, column)` are a node's
    vectors, `coef` is H^-1's factor of `th th'`. Outside `span` `(node, 2)` M is 0, so that A is diagonal there and U
    is 0: only what lies within is kept of them. What narrow trees have instead is in `lanes`. `measured` `(node, 4)` is
    what `measure_unit` returns of all units, and the greatest broken balance, `measured_nodes` `(node, 2)` what
    `advance_nodes` measures; `found` and `found_nodes` `(node, 5)` is what `step_unit` and `step_node` find, greatest
    or summed over the node's units.
    """

    kept: Floats
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


def new_work(nodes: int, columns: int, span: Ints, lanes: Lanes) -> Work:
    """Return room for the elimination, columns padded; padding has an inverse Hessian of 1 and no coupling."""
    size = whole_columns(columns)
    vectors = aligned(nodes, len(COLUMN), size)
    vectors[:, HD] = 1.0
    # Of one piece: an allocator gives back what lies free beyond twice its greatest piece, to be fetched page by page.
    # So it is asked for even if all trees are narrow, which never look at it.
    room = np.empty if lanes.narrow.all() else np.zeros
    kept, upward = room((2, nodes, packed_size(size)))
    return Work(
        kept=kept,
        upward=upward,
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
    )


@nested
def find_residual(nodes: Nodes, columns: Floats, k: int) -> float:
    """Write what enters a node beyond its net power; return the greatest."""
    residual, power, fixed, net = columns[RESIDUAL], columns[POWER], nodes.fixed[k], nodes.net[k]
    for t in range(len(net)):
        residual[t] = power[t] + fixed[t] - net[t]
    if nodes.curtail[k] >= 0:
        box = nodes.boxes[nodes.curtail[k]]
        for t in range(0, len(net), LANES):
            inside = where(load(box[WIDTH], t) > 0.0, load(box[X], t), 0.0)
            store(residual, t, load(residual, t) + inside)
    for q in range(nodes.child_ptr[k], nodes.child_ptr[k + 1]):
        add(nodes.net[nodes.child[q]], residual)
    worst = 0.0
    for t in range(len(residual)):
        worst = max(worst, abs(residual[t]))
    return worst


@nested
def own_terms(nodes: Nodes, work: Work, k: int, aim: Aim) -> None:
    """Write the node's inverse Hessian, its gradient `own`, and curtailment's `spread` and `pull`."""
    column = work.columns[k]
    reduce_pieces(nodes, k, aim, column[HD], column[OWN])
    if nodes.charged[k] >= 0:
        work.coef[k] = eliminate_peak(nodes, k, aim, column[HD], column[TH], column[OWN])
    reduce_curtailed(nodes, k, aim, column[SPREAD], column[PULL])


@nested
def times_inverse(work: Work, k: int, x: Floats, out: Floats) -> None:
    """Write `H^-1 x`."""
    hd, th = work.columns[k, HD], work.columns[k, TH]
    more = work.coef[k] * product_of(th, x) if work.coef[k] != 0 else 0.0
    for t in range(len(x)):
        out[t] = hd[t] * x[t] + more * th[t]


@nested
def solve_node(nodes: Nodes, work: Work, k: int, v: Floats, y: Floats) -> None:
    """Overwrite `v` with `A^-1 v`; `y` is room to work in."""
    low, high, hd = work.span[k, 0], work.span[k, 1], work.columns[k, HD]
    for t in range(low):
        v[t] /= hd[t]
    for t in range(high, len(v)):
        v[t] /= hd[t]
    if keeps_factor(nodes, work, k):
        solve_vector(work.kept[k, : packed_size(high - low)], v[low:high])
        return
    times_symmetric(work.kept[k], v[low:high], y[low:high])
    copy(y[low:high], v[low:high])


@nested
def keeps_factor(nodes: Nodes, work: Work, k: int) -> bool:
    """Whether what is kept of A is its factor, not its inverse."""
    return bool(nodes.parent[k] < 0 or work.coef[k] != 0)


@nested
def hand_up(nodes: Nodes, work: Work, k: int, room: Room) -> None:
    """Find the price step at a parent's step of 0 and gamma; `room.g` holds the vehicles' response.

    A narrow tree's node leaves its right side instead, and pushes its parent by no more than its own terms.
    """
    g, x, column = room.g, room.x, work.columns[k]
    free, gamma, own = column[FREE], column[GAMMA], column[OWN]
    for q in range(nodes.child_ptr[k], nodes.child_ptr[k + 1]):
        add(work.columns[nodes.child[q], GAMMA], g)
    times_inverse(work, k, own, x)
    for t in range(len(free)):
        free[t] = g[t] + x[t] + column[RESIDUAL, t] + column[PULL, t]
    if work.lanes.narrow[k] > 0:
        for t in range(len(free)):
            gamma[t] = -x[t]
        return
    solve_node(nodes, work, k, free, room.y)
    for t in range(len(free)):
        x[t] = free[t] - own[t]
    times_inverse(work, k, x, gamma)


@nested
def clear_matrix(work: Work, k: int, room: Room) -> None:
    """Write 0 where a node's vehicles add to its matrix; a narrow one has none."""
    if work.lanes.narrow[k] == 0:
        for t in range(work.span[k, 0], work.span[k, 1] + LANES):
            room.matrix[t, work.span[k, 0] :] = 0.0


@nested
def factor_node(nodes: Nodes, work: Work, k: int, room: Room) -> None:
    """Write what is kept of `A = M + H^-1`, and U; `room.matrix` is the upper half of M of the node's own vehicles.

    A narrow tree's nodes have neither.
    """
    if work.lanes.narrow[k] > 0:
        return
    matrix, column = room.matrix, work.columns[k]
    low, high = work.span[k, 0], work.span[k, 1]
    for q in range(nodes.child_ptr[k], nodes.child_ptr[k + 1]):
        _add_child(work, nodes.child[q], matrix)
    for t in range(low, high):
        matrix[t, t] += column[SPREAD, t]
    _factor_whole(work, k, room)
    if keeps_factor(nodes, work, k):
        pack_upper(room.root, work.kept[k], low, high)
        if nodes.parent[k] >= 0:
            _write_upward_of_peak(nodes, work, k, room)
    else:
        invert(room.root, room.whole, low, high)
        pack_symmetric(room.whole, work.kept[k], low, high)
        _write_upward(work, k, matrix, room.x)


@nested
def _factor_whole(work: Work, k: int, room: Room) -> None:
    """Leave the upper factor of `A = M + H^-1` in `room.root`."""
    root, low, high, hd, th = room.root, work.span[k, 0], work.span[k, 1], work.columns[k, HD], work.columns[k, TH]
    for t in range(low, high):
        scale = spread(work.coef[k] * th[t])
        for p in range(t // LANES * LANES, high, LANES):
            store(root[t], p, fused(scale, load(th, p), load(room.matrix[t], p)))
        root[t, t] += hd[t]
    factor(root, low, high)


@nested
def _add_child(work: Work, c: int, matrix: Floats) -> None:
    """Add a child's U to the upper half of a node's M."""
    at, upward = 0, work.upward[c]
    for i in range(work.span[c, 0], work.span[c, 1], LANES):
        for t in range(i, i + LANES):
            row = matrix[t]
            for p in range(i, work.span[c, 1], LANES):
                store(row, p, load(row, p) + load(upward, at + p - i))
            at += work.span[c, 1] - i


@nested
def _write_upward(work: Work, k: int, matrix: Floats, own: Floats) -> None:
    """Write U where no peak is charged: `-hd S hd`, on the diagonal `hd S M`; `own` is room for a vector."""
    low, high, hd = work.span[k, 0], work.span[k, 1], work.columns[k, HD]
    inverse, upward, at = work.kept[k], work.upward[k], 0
    own[low:high] = 0.0
    for i in range(low, high, LANES):
        for t in range(i, i + LANES):
            row, less, sums = matrix[t], -hd[t], spread(0.0)
            for p in range(i, high, LANES):
                store(upward, at + p - i, less * (load(inverse, at + p - i) * load(hd, p)))
            for p in range(i + LANES, high, LANES):
                pulled = load(inverse, at + p - i) * load(row, p)
                sums += pulled
                store(own, p, load(own, p) + pulled)
            own[t] += total(sums) + inverse[at + t - i] * row[t]
            for p in range(t + 1, i + LANES):
                across = inverse[at + p - i] * row[p]
                own[t] += across
                own[p] += across
            at += high - i
    at = 0
    for i in range(low, high, LANES):
        for t in range(i, i + LANES):
            upward[at + t - i] = hd[t] * own[t]
            at += high - i


@nested
def _write_upward_of_peak(nodes: Nodes, work: Work, k: int, room: Room) -> None:
    """Write `U = H^-1 A^-1 M`, R in `room.root` and the upper half of M in `room.matrix`."""
    low, high, hd, th = work.span[k, 0], work.span[k, 1], work.columns[k, HD], work.columns[k, TH]
    whole, pulled, mixed = room.whole, room.x, room.y
    for t in range(low, high):
        for p in range(t, high):
            whole[t, p] = room.matrix[t, p]
            whole[p, t] = room.matrix[t, p]
    copy(th, pulled)
    solve_node(nodes, work, k, pulled, mixed)
    mixed[:] = 0.0  # th' A^-1 M
    for t in range(low, high):
        for p in range(low, high):
            mixed[p] += pulled[t] * whole[t, p]
    solve_half(room.root, whole, low, high, high)
    for t in range(low, high):
        scale = work.coef[k] * th[t]
        for p in range(low, t // LANES * LANES + LANES):
            whole[t, p] = hd[t] * whole[t, p] + scale * mixed[p]
    pack_symmetric(whole, work.upward[k], low, high)


@nested
def product_of(x: Floats, y: Floats) -> float:
    """Return the inner product of two vectors of whole length."""
    sums = spread(0.0)
    for t in range(0, len(x), LANES):
        sums = fused(load(x, t), load(y, t), sums)
    return float(total(sums))


@nested
def price_step_of(nodes: Nodes, work: Work, k: int, x: Floats, y: Floats) -> None:
    """Write the step of a node's price, its parent's known; `x` and `y` are room to work in."""
    parent, step = nodes.parent[k], work.columns[k, PRICE_STEP]
    copy(work.columns[k, FREE], step)
    if parent >= 0:
        times_inverse(work, k, work.columns[parent, PRICE_STEP], x)
        solve_node(nodes, work, k, x, y)
        add(x, step)
