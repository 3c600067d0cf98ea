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

from backfeed.plan.compiled import compiled
from backfeed.plan.dense import factor, solve_matrix, solve_vector
from backfeed.plan.layout import LANES, Money, Rows
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.vehicle import (
    State,
    add_compliance,
    add_power_step,
    add_response,
    advance_unit,
    eliminate,
    expand,
    load,
    measure_unit,
    new_unit,
    solve_values,
    step_unit,
)


class Fleet(NamedTuple):
    """The vehicles' side of the problem and the tree's shape, as the kernels read them."""

    rows: Rows
    money: Money
    unit_ptr: Ints
    node_ptr: Ints
    parent: Ints
    child_ptr: Ints
    child: Ints


class Work(NamedTuple):
    """What the elimination keeps between its passes, steps padded to a whole number of vectors.

    `root` is R, `upward` U, `gamma` and `free` (the price step at a parent's step of 0); `price_step` and `power_step`
    are the steps of prices and of the vehicles' powers; `hd`, `th`, `coef`, `own`
    (r_k) and `right` (residual and curtailment, of b_k) come from the node's terms, `spread` is added to M's diagonal.
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
    right: Floats
    spread: Floats


@compiled
def _times_inverse(work: Work, k: int, x: Floats, out: Floats) -> None:
    """Write `H_k^-1 x`."""
    n = x.shape[0]
    total = 0.0
    for t in range(n):
        total += work.th[k, t] * x[t]
    total *= work.coef[k]
    for t in range(n):
        out[t] = work.hd[k, t] * x[t] + total * work.th[k, t]


@compiled
def ascend(
    level: Ints, fleet: Fleet, state: State, price: Floats, work: Work, tau: float, second: float, *, refactor: bool
) -> None:
    """Eliminate some nodes of a level, their vehicles first; children's levels must be done."""
    size = work.hd.shape[1]
    unit = new_unit()
    g, x = np.empty(size), np.empty(size)
    matrix = np.empty((size if refactor else 1, size + 2 * LANES))
    for k in level:
        g[:] = 0.0
        matrix[:] = 0.0
        for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
            first, stop = fleet.unit_ptr[i], fleet.unit_ptr[i + 1]
            n = expand(fleet.rows, fleet.money, price[k], first, stop, unit)
            load(unit, n, state, fleet.rows.entry[first], second)
            eliminate(unit, n, tau, second)
            solve_values(unit, n, g, 0.0)
            add_response(unit, n, g)
            if refactor:
                add_compliance(unit, n, matrix)
        _add_children(fleet, work, k, g, matrix)
        if refactor:
            _factor_node(work, k, matrix, fleet.parent[k] >= 0)
        _times_inverse(work, k, work.own[k], x)
        for t in range(size):
            work.free[k, t] = g[t] + work.right[k, t] + x[t]
        solve_vector(work.root[k], work.free[k])
        for t in range(size):
            x[t] = work.free[k, t] - work.own[k, t]
        _times_inverse(work, k, x, work.gamma[k])


@compiled
def _add_children(fleet: Fleet, work: Work, k: int, g: Floats, matrix: Floats) -> None:
    """Add what the parent sees of its children; the matrix only if it is a whole one."""
    for q in range(fleet.child_ptr[k], fleet.child_ptr[k + 1]):
        c = fleet.child[q]
        for t in range(len(g)):
            g[t] += work.gamma[c, t]
        if len(matrix) == len(g):
            for t in range(len(g)):
                for p in range(t, len(g)):
                    matrix[t, p] += work.upward[c, t, p]


@compiled
def _factor_node(work: Work, k: int, matrix: Floats, has_parent: bool) -> None:  # noqa: FBT001 compiled
    """Factor `A = M + H^-1` and write `U = H^-1 A^-1 M`; `matrix` holds the upper half of M."""
    size = work.hd.shape[1]
    root = work.root[k]
    coef = work.coef[k]
    whole = np.empty((size, size))
    for t in range(size):
        matrix[t, t] += work.spread[k, t]
        for p in range(t, size):
            value = matrix[t, p]
            whole[t, p] = value
            whole[p, t] = value
            root[t, p] = value + coef * work.th[k, t] * work.th[k, p]
        root[t, t] += work.hd[k, t]
    factor(root)
    if not has_parent:
        return
    solve_matrix(root, whole)
    total = np.zeros(size)
    for t in range(size):
        for p in range(size):
            total[p] += work.th[k, t] * whole[t, p]
    for t in range(size):
        scale = coef * work.th[k, t]
        for p in range(size):
            whole[t, p] = work.hd[k, t] * whole[t, p] + scale * total[p]
    for t in range(size):
        for p in range(t, size):
            work.upward[k, t, p] = 0.5 * (whole[t, p] + whole[p, t])


@compiled
def descend(
    level: Ints, fleet: Fleet, state: State, price: Floats, work: Work, tau: float, second: float, found: Floats
) -> None:
    """Find the price steps of some nodes of a level and their vehicles' steps; parents' levels must be done.

    `found` `(node, 5)` receives what `step_unit` returns, greatest or summed over the node's units.
    """
    size = work.hd.shape[1]
    unit = new_unit()
    x = np.empty(size)
    for k in level:
        above = fleet.parent[k]
        if above >= 0:
            _times_inverse(work, k, work.price_step[above], x)
            solve_vector(work.root[k], x)
            for t in range(size):
                work.price_step[k, t] = work.free[k, t] + x[t]
        else:
            work.price_step[k, :] = work.free[k, :]
        work.power_step[k, :] = 0.0
        primal = dual = s1 = s2 = s3 = 0.0
        for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
            first, stop = fleet.unit_ptr[i], fleet.unit_ptr[i + 1]
            o = fleet.rows.entry[first]
            n = expand(fleet.rows, fleet.money, price[k], first, stop, unit)
            load(unit, n, state, o, second)
            eliminate(unit, n, tau, second)
            solve_values(unit, n, work.price_step[k], 1.0)
            one = step_unit(unit, n, state, o, second)
            add_power_step(unit, n, work.power_step[k])
            primal, dual = max(primal, one[0]), max(dual, one[1])
            s1, s2, s3 = s1 + one[2], s2 + one[3], s3 + one[4]
        found[k, 0], found[k, 1], found[k, 2], found[k, 3], found[k, 4] = primal, dual, s1, s2, s3


@compiled
def advance(
    level: Ints, fleet: Fleet, state: State, power: Floats, steps: tuple[float, float, float, float], found: Floats
) -> None:
    """Move some nodes' vehicles by `(tau, second, primal, dual)` and measure them.

    `power` `(node, step)` receives the vehicles' sum at each node, `found` `(node, 3)` what `measure_unit` returns.
    """
    unit = new_unit()
    for k in level:
        power[k, :] = 0.0
        products = cost = worst = 0.0
        for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
            first, stop = fleet.unit_ptr[i], fleet.unit_ptr[i + 1]
            o = fleet.rows.entry[first]
            n = expand(fleet.rows, fleet.money, power[k], first, stop, unit)
            load(unit, n, state, o, steps[1])
            if steps[2] > 0 or steps[3] > 0:
                advance_unit(unit, n, state, o, (steps[0], steps[1]), steps[2], steps[3])
            one = measure_unit(unit, n, power[k])
            products, cost, worst = products + one[0], cost + one[1], max(worst, one[2])
        found[k, 0], found[k, 1], found[k, 2] = products, cost, worst
