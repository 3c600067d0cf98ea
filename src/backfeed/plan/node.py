"""A node's own terms in the Newton system: pieces of net power, the peak, curtailed PV.

    n[t] = low[t] + sum_j piece_j[t],   0 <= piece_j <= width_j         slope_j, duals zl, zu
    s[t] = peak - n[t] >= 0,  peak >= 0                                 duals share[t], zp; charge = sum share + zp
    n[t] = vehicles + children + fixed + q[t],   0 <= q <= curtail      duals ql, qu; the price of the node is its dual

With i = sum_j 1 / (zl/x + zu/(w - x)) and theta = share / s, the Hessian of n is `diag(1/i + theta)` less
`theta theta' / Omega`, Omega = sum theta + zp / peak, so that its inverse is

    H^-1 = diag(hd) + coef th th',   hd = i / (1 + theta i),   th = theta hd,   coef = 1 / (zp/peak + sum theta hd / i)

Pieces and curtailed PV are boxes alike; what elimination finds of a box is cheap, and is found again where it is
needed instead of being kept. Where nothing below a node answers, outside its span, its power is fixed and its pieces
are empty: nothing is looked at there. A step of the net power is taken from the balance, from the leaves up, not from
the prices, whose differences lose their digits where nothing binds: so a balance once kept stays kept. For the same
reason the piece that moves most freely takes what the others leave of it.
"""

from typing import NamedTuple

import numpy as np

from backfeed.plan.columns import FREE, GAMMA, PRICE_STEP, add, copy
from backfeed.plan.compiled import compiled, nested
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.vehicle import greatest_of, sum_of

WIDTH_MIN_KW = 1e-9
"""A piece narrower than this is held at 0."""

BOX = (WIDTH, SLOPE, X, REST, ZL, ZU, STEP, PREDICTED) = tuple(range(8))
"""Quantities of a box: its width and cost, what is in it and what is left, both duals, the steps found last."""

SLACK = (HEAD, SHARE, HEAD_STEP, HEAD_PREDICTED, SHARE_STEP) = tuple(range(5))
"""Quantities of what a net power leaves below a peak: the slack, its dual, the steps found last."""

SUMMIT = (CHARGE, PEAK, PEAK_DUAL, PEAK_STEP, PEAK_PREDICTED) = tuple(range(5))
"""Quantities of a peak."""

SCRATCH = (TOTAL, PULLED, INVERSE, PUSH, NET, MOST, WIDEST) = tuple(range(7))
"""Vectors to work in."""

TALLY = (PRIMAL, DUAL, S1, S2, S3) = tuple(range(5))
"""What every column's boxes say of step lengths, the greatest of them, and of the gap, summed."""


Columns = tuple[np.uint64, np.uint64]
"""A first column and the one after the last."""


class Nodes(NamedTuple):
    """The nodes' iterates: node k's pieces are boxes `piece_ptr[k]` to `piece_ptr[k + 1]`.

    `curtail` and `charged` are the box of its curtailed PV and its place among the peaks, -1 for none.
    `low`, `fixed`, `price`, `net` and `net_step` are `(node, column)` (`plan/columns.py`), `boxes`
    `(box, BOX, column)`, `heads` `(peak, SLACK, step)`, `peaks` `(peak, SUMMIT)`; `slots` are the
    steps of the columns beyond the steps. `span` `(node, 2)` are the columns between which something below a node
    answers (`Layout.span`).
    """

    parent: Ints
    child_ptr: Ints
    child: Ints
    piece_ptr: Ints
    curtail: Ints
    charged: Ints
    low: Floats
    fixed: Floats
    price: Floats
    net: Floats
    net_step: Floats
    boxes: Floats
    heads: Floats
    peaks: Floats
    slots: Ints
    span: Ints


class Aim(NamedTuple):
    """What a step aims at: `tau` for every product, with `second` times the predictor's second-order terms."""

    tau: float
    second: float


@nested
def is_free(nodes: Nodes, k: int) -> bool:
    """Whether a node only gathers rows that share nothing."""
    return bool(nodes.piece_ptr[k + 1] == nodes.piece_ptr[k])


def new_scratch(count: int) -> Floats:
    """Return vectors to work in."""
    return np.zeros((len(SCRATCH), count))


@nested
def columns_of(nodes: Nodes, k: int) -> Columns:
    """Return the columns of a node between which something below it answers.

    They are unsigned: what may be negative counts from an array's end, and a loop that asks whether it is stays scalar.
    """
    return np.uint64(nodes.span[k, 0]), np.uint64(min(nodes.span[k, 1], nodes.net.shape[1]))


@nested
def _reduce_box(box: Floats, at: Columns, aim: Aim, inverse: Floats, push: Floats) -> None:
    """Write a box's inverse Hessian, 0 where it has no width, and what its barriers push with."""
    tau, second = aim.tau, aim.second
    for t in range(at[0], at[1]):
        x, rest, zl, zu, p = box[X, t], box[REST, t], box[ZL, t], box[ZU, t], box[PREDICTED, t]
        r = 1.0 / (x * rest)
        xl, xu = rest * r, x * r
        dl = (tau + second * p * zl * (1.0 + xl * p)) * xl
        du = (tau - second * p * zu * (1.0 - xu * p)) * xu
        there = 1.0 if box[WIDTH, t] > 0.0 else 0.0
        inverse[t] = there / (zl * xl + zu * xu)
        push[t] = box[SLOPE, t] + du - dl


@nested
def reduce_pieces(nodes: Nodes, k: int, aim: Aim, scratch: Floats) -> None:
    """Write the sums of a node's pieces' inverse Hessians (TOTAL) and of their products with gradients (PULLED)."""
    total, pulled, inverse, push = scratch[TOTAL], scratch[PULLED], scratch[INVERSE], scratch[PUSH]
    price, above = nodes.price[k], nodes.price[max(nodes.parent[k], 0)]
    has_parent = 1.0 if nodes.parent[k] >= 0 else 0.0
    low, high = columns_of(nodes, k)
    for t in range(low, high):
        total[t] = pulled[t] = 0.0
    for b in range(nodes.piece_ptr[k], nodes.piece_ptr[k + 1]):
        _reduce_box(nodes.boxes[b], (low, high), aim, inverse, push)
        for t in range(low, high):
            total[t] += inverse[t]
            pulled[t] += inverse[t] * (push[t] + has_parent * above[t] - price[t])


@nested
def reduce_peak(nodes: Nodes, c: int, aim: Aim) -> tuple[float, float, float, float]:
    """Return Omega, the peak's gradient, the ratio of the peak's dual to the peak, and what that dual aims at."""
    peak, head = nodes.peaks[c], nodes.heads[c]
    ratio, p = peak[PEAK_DUAL] / peak[PEAK], peak[PEAK_PREDICTED]
    target = (aim.tau + aim.second * p * (peak[PEAK_DUAL] + ratio * p)) / peak[PEAK]
    omega = targets = 0.0
    for t in range(head.shape[1]):
        r, z, p = 1.0 / head[HEAD, t], head[SHARE, t], head[HEAD_PREDICTED, t]
        omega += z * r
        targets += (aim.tau + aim.second * p * z * (1.0 + r * p)) * r
    return omega + ratio, peak[CHARGE] - target - targets, ratio, target


@nested
def eliminate_peak(nodes: Nodes, k: int, aim: Aim, hd: Floats, th: Floats, own: Floats) -> float:
    """Take the peak into the inverse Hessian and the gradient; return `coef`."""
    c = nodes.charged[k]
    head = nodes.heads[c]
    omega, gradient, ratio, _ = reduce_peak(nodes, c, aim)
    total, scaled = ratio, gradient / omega
    for t in range(head.shape[1]):
        r, z, p = 1.0 / head[HEAD, t], head[SHARE, t], head[HEAD_PREDICTED, t]
        theta = z * r
        scale = 1.0 / (1.0 + theta * hd[t])
        total += theta * scale
        own[t] += (aim.tau + aim.second * p * z * (1.0 + r * p)) * r + theta * scaled
        hd[t] *= scale
        th[t] = theta * hd[t]
    return 1.0 / total


@nested
def reduce_curtailed(nodes: Nodes, k: int, aim: Aim, scratch: Floats) -> bool:
    """Write curtailed PV's inverse Hessian (INVERSE) and gradient (PUSH); return whether the node has any."""
    q = nodes.curtail[k]
    if q < 0:
        return False
    push, price = scratch[PUSH], nodes.price[k]
    low, high = columns_of(nodes, k)
    _reduce_box(nodes.boxes[q], (low, high), aim, scratch[INVERSE], push)
    for t in range(low, high):
        push[t] += price[t]
    return True


@nested
def step_node(nodes: Nodes, k: int, aim: Aim, columns: Floats, scratch: Floats, tally: Floats, found: Floats) -> None:
    """Find the steps of a node's own variables, its children's known.

    Parameters
    ----------
    nodes, k, aim
        The node, and what the step aims at.
    columns
        What elimination keeps of all nodes' columns, with the steps of their prices.
    scratch
        Vectors to work in; NET holds the step of the vehicles' power and what enters beyond the net power.
    tally
        Whole vectors to work in.
    found
        Receives `(primal, dual, s1, s2, s3)` of the node, as of `step_unit`.
    """
    net, inverse, push, price_step = scratch[NET], scratch[INVERSE], scratch[PUSH], columns[k, PRICE_STEP]
    tally[:] = 0.0
    low, high = columns_of(nodes, k)
    if reduce_curtailed(nodes, k, aim, scratch):
        for t in range(low, high):
            push[t] = -inverse[t] * (price_step[t] + push[t])
            net[t] += push[t]
        _step_box(nodes.boxes[nodes.curtail[k]], (low, high), push, aim, tally)
    for q in range(nodes.child_ptr[k], nodes.child_ptr[k + 1]):
        add(nodes.net_step[nodes.child[q]], net)
    copy(net, nodes.net_step[k])
    if nodes.charged[k] < 0 and nodes.piece_ptr[k + 1] - nodes.piece_ptr[k] == 1:  # it moves as the net power does
        _step_box(nodes.boxes[nodes.piece_ptr[k]], (low, high), net, aim, tally)
    else:
        _share_step(nodes, k, aim, columns, scratch, tally)
    found[0], found[1] = (
        greatest_of(tally[PRIMAL], 0, len(tally[PRIMAL])),
        greatest_of(tally[DUAL], 0, len(tally[DUAL])),
    )
    for s in (S1, S2, S3):
        found[s] = sum_of(tally[s], 0, len(tally[s]))


@nested
def _share_step(nodes: Nodes, k: int, aim: Aim, columns: Floats, scratch: Floats, tally: Floats) -> None:
    """Find the steps of a node's peak, and of pieces that share the step of its net power (NET)."""
    net, total, pulled, push = scratch[NET], scratch[TOTAL], scratch[PULLED], scratch[PUSH]
    reduce_pieces(nodes, k, aim, scratch)
    if nodes.charged[k] >= 0:
        price_step, above_step = columns[k, PRICE_STEP], columns[max(nodes.parent[k], 0), PRICE_STEP]
        has_parent = 1.0 if nodes.parent[k] >= 0 else 0.0
        for t in range(len(net)):
            push[t] = price_step[t] - has_parent * above_step[t] - (net[t] + pulled[t]) / total[t]
        _step_peak(nodes, k, aim, push, total, tally)
    _step_pieces(nodes, k, aim, columns_of(nodes, k), scratch, tally)


@nested
def _step_pieces(nodes: Nodes, k: int, aim: Aim, at: Columns, scratch: Floats, tally: Floats) -> None:
    """Share the step of the net power (NET) among the pieces; TOTAL and PULLED are of `reduce_pieces`."""
    net, total, pulled, inverse, push = (scratch[NET], scratch[TOTAL], scratch[PULLED], scratch[INVERSE], scratch[PUSH])
    most, widest = scratch[MOST], scratch[WIDEST]
    price, above = nodes.price[k], nodes.price[max(nodes.parent[k], 0)]
    has_parent = 1.0 if nodes.parent[k] >= 0 else 0.0
    low, high = at
    for t in range(low, high):
        most[t], total[t] = 0.0, (net[t] + pulled[t]) / total[t]
    for b in range(nodes.piece_ptr[k], nodes.piece_ptr[k + 1]):
        _reduce_box(nodes.boxes[b], at, aim, inverse, push)
        for t in range(low, high):
            push[t] = inverse[t] * (total[t] - push[t] - has_parent * above[t] + price[t])
            net[t] -= push[t]
            nodes.boxes[b, STEP, t] = push[t]
            widest[t] = b if inverse[t] > most[t] else widest[t]
            most[t] = max(inverse[t], most[t])
    for b in range(nodes.piece_ptr[k], nodes.piece_ptr[k + 1]):
        for t in range(low, high):
            push[t] = nodes.boxes[b, STEP, t] + (net[t] if widest[t] == b else 0.0)
        _step_box(nodes.boxes[b], at, push, aim, tally)


@nested
def _step_box(box: Floats, at: Columns, step: Floats, aim: Aim, tally: Floats) -> None:
    """Keep a box's step; add what it says of step lengths and of the gap."""
    tau, second = aim.tau, aim.second
    primal, dual, s1, s2, s3 = tally[PRIMAL], tally[DUAL], tally[S1], tally[S2], tally[S3]
    for t in range(at[0], at[1]):
        x, rest, zl, zu, p, d = box[X, t], box[REST, t], box[ZL, t], box[ZU, t], box[PREDICTED, t], step[t]
        r = 1.0 / (x * rest)
        xl, xu = rest * r, x * r
        there = 1.0 if box[WIDTH, t] > 0.0 else 0.0
        dl = there * ((tau + second * p * zl * (1.0 + xl * p)) * xl - zl - zl * xl * d)
        du = there * ((tau - second * p * zu * (1.0 - xu * p)) * xu - zu + zu * xu * d)
        r = 1.0 / (zl * zu)
        primal[t] = max(primal[t], -d * xl, d * xu)
        dual[t] = max(dual[t], -dl * zu * r, -du * zl * r)
        s1[t] += d * (zl - zu)
        s2[t] += x * dl + rest * du
        s3[t] += d * (dl - du)
    for t in range(at[0], at[1]):
        box[STEP, t] = step[t]
    if second == 0:
        for t in range(at[0], at[1]):
            box[PREDICTED, t] = step[t]


@nested
def _step_peak(nodes: Nodes, k: int, aim: Aim, share: Floats, pieces: Floats, tally: Floats) -> None:
    """Find the steps of a peak, of what is left below it, and of their duals.

    A share's step follows from the slack's, or from the prices: `share` is what they make of it. The first multiplies
    the slack's rounding by share / slack, the second that of the net power by the inverse of the `pieces`' inverse
    Hessian: the better one is taken.
    """
    c = nodes.charged[k]
    peak, head, net, tau, second = nodes.peaks[c], nodes.heads[c], nodes.net_step[k], aim.tau, aim.second
    omega, gradient, ratio, target = reduce_peak(nodes, c, aim)
    moved = -gradient
    for t in range(head.shape[1]):
        moved += head[SHARE, t] / head[HEAD, t] * net[t]
    step = moved / omega
    dual_step = target - peak[PEAK_DUAL] - ratio * step
    primal, dual, s1, s2, s3 = tally[PRIMAL], tally[DUAL], tally[S1], tally[S2], tally[S3]
    for t in range(head.shape[1]):
        s, z, p, ds = head[HEAD, t], head[SHARE, t], head[HEAD_PREDICTED, t], step - net[t]
        r = 1.0 / s
        dz = (tau + second * p * z * (1.0 + p * r)) * r - z - z * r * ds
        dz = share[t] - z if z * pieces[t] > s else dz
        primal[t] = max(primal[t], -ds * r)
        dual[t] = max(dual[t], -dz / z)
        s1[t] += z * ds
        s2[t] += s * dz
        s3[t] += ds * dz
        head[HEAD_STEP, t], head[SHARE_STEP, t] = ds, dz
    primal[0], dual[0] = max(primal[0], -step / peak[PEAK]), max(dual[0], -dual_step / peak[PEAK_DUAL])
    s1[0] += peak[PEAK_DUAL] * step
    s2[0] += peak[PEAK] * dual_step
    s3[0] += step * dual_step
    peak[PEAK_STEP] = step
    if second == 0:
        peak[PEAK_PREDICTED] = step
        for t in range(head.shape[1]):
            head[HEAD_PREDICTED, t] = head[HEAD_STEP, t]


@compiled
def advance_nodes(
    some: Ints, nodes: Nodes, columns: Floats, aim: Aim, primal: float, dual: float, measured: Floats
) -> None:
    """Move some nodes' own variables and measure them: `measured` `(node, 2)` receives their products and cost."""
    for k in some:
        price, net, step = nodes.price[k], nodes.net[k], columns[k, PRICE_STEP]
        for t in range(len(price)):
            price[t] += dual * step[t]
        copy(nodes.low[k], net)
        products, costs = columns[k, GAMMA], columns[k, FREE]  # both are written anew before they are read
        products[:] = 0.0
        costs[:] = 0.0
        low, high = columns_of(nodes, k)
        for b in range(nodes.piece_ptr[k], nodes.piece_ptr[k + 1]):
            box = nodes.boxes[b]
            _advance_box(box, (low, high), aim, (primal, dual), products)
            for t in range(low, high):
                inside = box[X, t] if box[WIDTH, t] > 0.0 else 0.0
                net[t] += inside
                costs[t] += box[SLOPE, t] * inside
        if nodes.curtail[k] >= 0:
            _advance_box(nodes.boxes[nodes.curtail[k]], (low, high), aim, (primal, dual), products)
        product, cost = sum_of(products, 0, len(products)), sum_of(costs, 0, len(costs))
        c = nodes.charged[k]
        if c >= 0:
            product += _advance_peak(nodes, c, aim, primal, dual)
            cost += nodes.peaks[c, CHARGE] * nodes.peaks[c, PEAK]
        measured[k, 0], measured[k, 1] = product, cost


@nested
def _advance_box(box: Floats, at: Columns, aim: Aim, lengths: tuple[float, float], products: Floats) -> None:
    """Move a box along its step, by its primal and dual lengths; add its products."""
    (tau, second), (primal, dual) = aim, lengths
    for t in range(at[0], at[1]):
        x, rest, zl, zu, p, d = box[X, t], box[REST, t], box[ZL, t], box[ZU, t], box[PREDICTED, t], box[STEP, t]
        r = 1.0 / (x * rest)
        xl, xu = rest * r, x * r
        there = 1.0 if box[WIDTH, t] > 0.0 else 0.0
        zl += there * dual * ((tau + second * p * zl * (1.0 + xl * p)) * xl - zl - zl * xl * d)
        zu += there * dual * ((tau - second * p * zu * (1.0 - xu * p)) * xu - zu + zu * xu * d)
        x, rest = x + primal * d, rest - primal * d
        box[X, t], box[REST, t], box[ZL, t], box[ZU, t] = x, rest, zl, zu
        products[t] += there * (x * zl + rest * zu)


@nested
def _advance_peak(nodes: Nodes, c: int, aim: Aim, primal: float, dual: float) -> float:
    """Move a peak along its step; return its products."""
    peak, head = nodes.peaks[c], nodes.heads[c]
    _, _, ratio, target = reduce_peak(nodes, c, aim)
    products = 0.0
    for t in range(head.shape[1]):
        s, z = head[HEAD, t] + primal * head[HEAD_STEP, t], head[SHARE, t] + dual * head[SHARE_STEP, t]
        head[HEAD, t], head[SHARE, t] = s, z
        products += s * z
    peak[PEAK_DUAL] += dual * (target - peak[PEAK_DUAL] - ratio * peak[PEAK_STEP])
    peak[PEAK] += primal * peak[PEAK_STEP]
    return products + float(peak[PEAK] * peak[PEAK_DUAL])
