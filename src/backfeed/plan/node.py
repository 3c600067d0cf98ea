"""A node's own terms in the Newton system: pieces of net power, the peak, curtailed PV.

    n[t] = low[t] + sum_j piece_j[t],   0 <= piece_j <= width_j         slope_j, duals zl, zu
    s[t] = peak - n[t] >= 0,  peak >= 0                                 duals share[t], zp; charge = sum share + zp
    n[t] = vehicles + children + fixed + q[t],   0 <= q <= curtail      duals ql, qu; the price of the node is its dual

With i = sum_j 1 / (zl/x + zu/(w - x)) and theta = share / s, the Hessian of n is `diag(1/i + theta)` less
`theta theta' / Omega`, Omega = sum theta + zp / peak, so that its inverse is

    H^-1 = diag(hd) + coef th th',   hd = i / (1 + theta i),   th = theta hd,   coef = 1 / (zp/peak + sum theta hd / i)

Pieces and curtailed PV are boxes alike; what elimination finds of a box is cheap, and is found again where it is
needed instead of being kept. Columns are taken eight at a time, and all boxes of a node at each, so that what is summed
over boxes or columns stays in registers. Where nothing below a node answers, outside its span, its power is fixed and
its pieces are empty: nothing is looked at there. A step of the net power is taken from the balance, from the leaves up,
not from the prices, whose differences lose their digits where nothing binds: so a balance once kept stays kept. For the
same reason the piece that moves most freely takes what the others leave of it.
"""

from typing import NamedTuple

from backfeed.plan.columns import HD, OWN, POWER_STEP, PRICE_STEP, PULL, RESIDUAL, SPREAD, add, copy
from backfeed.plan.compiled import compiled, nested
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.vectors import LANES, Vector, greater, greatest, load, spread, store, total, where

WIDTH_MIN_KW = 1e-9
"""A piece narrower than this is held at 0."""

BOX = (WIDTH, SLOPE, X, REST, ZL, ZU, STEP, PREDICTED) = tuple(range(8))
"""Quantities of a box: its width and cost, what is in it and what is left, both duals, its steps.

The predictor's step is PREDICTED, the corrector's STEP.
"""

SLACK = (HEAD, SHARE, HEAD_STEP, HEAD_PREDICTED, SHARE_STEP) = tuple(range(5))
"""Quantities of what a net power leaves below a peak: the slack, its dual, the steps found last."""

SUMMIT = (CHARGE, PEAK, PEAK_DUAL, PEAK_STEP, PEAK_PREDICTED) = tuple(range(5))
"""Quantities of a peak."""

Columns = tuple[int, int]
"""A first column and the one after the last."""


class Barriers(NamedTuple):
    """Eight columns of a box: where it stands, what `1 / x` and `1 / (w - x)` are, and what its duals aim at.

    `there` is 1 where the box has a width, else 0.
    """

    x: Vector
    rest: Vector
    zl: Vector
    zu: Vector
    xl: Vector
    xu: Vector
    al: Vector
    au: Vector
    there: Vector


class Tally(NamedTuple):
    """What boxes say of step lengths, the greatest of them, and of the gap, summed: every eighth column's by itself."""

    primal: Vector
    dual: Vector
    s1: Vector
    s2: Vector
    s3: Vector


class Nodes(NamedTuple):
    """The nodes' iterates: node k's pieces are boxes `piece_ptr[k]` to `piece_ptr[k + 1]`.

    `curtail` and `charged` are the box of its curtailed PV and its place among the peaks, -1 for none.
    `low`, `fixed`, `price`, `net` and `net_step` are `(node, column)` (`plan/columns.py`), `boxes`
    `(box, BOX, column)`, all padded to whole vectors with what adds nothing; `heads` are `(peak, SLACK, step)`, `peaks`
    `(peak, SUMMIT)`; `slots` are the steps of the columns beyond the steps. `span` `(node, 2)` are the columns between
    which something below a node answers (`Layout.span`).
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


@nested
def columns_of(nodes: Nodes, k: int) -> Columns:
    """Return the columns of a node between which something below it answers, in whole vectors."""
    return nodes.span[k, 0], nodes.span[k, 1]


@nested
def _barriers(box: Floats, t: int, aim: Aim) -> Barriers:
    """Return what there is of a box from column t on."""
    x, rest, zl, zu = load(box[X], t), load(box[REST], t), load(box[ZL], t), load(box[ZU], t)
    r, p = 1.0 / (x * rest), load(box[PREDICTED], t)
    xl, xu, second = rest * r, x * r, aim.second * p
    al = (aim.tau + second * zl * (1.0 + xl * p)) * xl
    au = (aim.tau - second * zu * (1.0 - xu * p)) * xu
    return Barriers(x, rest, zl, zu, xl, xu, al, au, where(load(box[WIDTH], t) > 0.0, 1.0, 0.0))


@nested
def _reduce_box(box: Floats, t: int, aim: Aim) -> tuple[Vector, Vector]:
    """Return a box's inverse Hessian, 0 where it has no width, and what its slope and its barriers push with."""
    of = _barriers(box, t, aim)
    return of.there / (of.zl * of.xl + of.zu * of.xu), load(box[SLOPE], t) + of.au - of.al


@nested
def _dual_steps(of: Barriers, d: Vector) -> tuple[Vector, Vector]:
    """Return the steps of a box's duals at its step."""
    return of.there * (of.al - of.zl - of.zl * of.xl * d), of.there * (of.au - of.zu + of.zu * of.xu * d)


@nested
def _rise(nodes: Nodes, k: int, t: int) -> Vector:
    """Return what a net power pays above the node, less what it is paid there, from column t on."""
    price = load(nodes.price[k], t)
    return load(nodes.price[nodes.parent[k]], t) - price if nodes.parent[k] >= 0 else -price


@nested
def reduce_pieces(nodes: Nodes, k: int, aim: Aim, hd: Floats, own: Floats) -> None:
    """Write `hd` and the gradient `own` as they are without a peak.

    They are the sum of the pieces' inverse Hessians, 1 in padding, and the mean of their gradients weighted by these.
    """
    low, high = columns_of(nodes, k)
    for t in range(low, high, LANES):
        rise, inverses, pulled = _rise(nodes, k, t), spread(0.0), spread(0.0)
        for b in range(nodes.piece_ptr[k], nodes.piece_ptr[k + 1]):
            inverse, push = _reduce_box(nodes.boxes[b], t, aim)
            inverses += inverse
            pulled += inverse * (push + rise)
        inverses = where(inverses > 0.0, inverses, 1.0)
        store(hd, t, inverses)
        store(own, t, pulled / inverses)


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
def reduce_curtailed(nodes: Nodes, k: int, aim: Aim, inverse: Floats, pull: Floats) -> None:
    """Write curtailed PV's inverse Hessian, and its step while the price stays, if the node has any."""
    if nodes.curtail[k] < 0:
        return
    low, high = columns_of(nodes, k)
    for t in range(low, high, LANES):
        freely, push = _reduce_box(nodes.boxes[nodes.curtail[k]], t, aim)
        store(inverse, t, freely)
        store(pull, t, -freely * (push + load(nodes.price[k], t)))


@nested
def step_node(nodes: Nodes, k: int, aim: Aim, columns: Floats, room: tuple[Floats, Floats], found: Floats) -> None:
    """Find the steps of a node's own variables, its vehicles' and its children's known.

    Parameters
    ----------
    nodes, k, aim
        The node, and what the step aims at.
    columns
        What elimination keeps of all nodes' columns at that aim, with the steps of prices and of the vehicles' power.
    room
        Two vectors to work in.
    found
        Receives `(primal, dual, s1, s2, s3)` of the node, as of `step_unit`.
    """
    net, column, (low, high) = nodes.net_step[k], columns[k], columns_of(nodes, k)
    found[:] = 0.0
    tally = Tally(spread(0.0), spread(0.0), spread(0.0), spread(0.0), spread(0.0))
    for t in range(0, len(net), LANES):
        store(net, t, load(column[POWER_STEP], t) + load(column[RESIDUAL], t))
    for q in range(nodes.child_ptr[k], nodes.child_ptr[k + 1]):
        add(nodes.net_step[nodes.child[q]], net)
    if nodes.curtail[k] >= 0:
        for t in range(low, high, LANES):
            step = load(column[PULL], t) - load(column[SPREAD], t) * load(column[PRICE_STEP], t)
            store(net, t, load(net, t) + step)
            tally = _step_box(nodes.boxes[nodes.curtail[k]], t, step, aim, tally)
    if nodes.charged[k] >= 0:
        reduce_pieces(nodes, k, aim, room[0], room[1])
        _step_peak(nodes, k, aim, columns, room, found)
        tally = _step_pieces(nodes, k, aim, room, tally)
    elif nodes.piece_ptr[k + 1] - nodes.piece_ptr[k] == 1:  # it moves as the net power does
        for t in range(low, high, LANES):
            tally = _step_box(nodes.boxes[nodes.piece_ptr[k]], t, load(net, t), aim, tally)
    else:
        tally = _step_pieces(nodes, k, aim, (column[HD], column[OWN]), tally)
    found[0], found[1] = max(found[0], greatest(tally.primal)), max(found[1], greatest(tally.dual))
    found[2] += total(tally.s1)
    found[3] += total(tally.s2)
    found[4] += total(tally.s3)


@nested
def _step_pieces(nodes: Nodes, k: int, aim: Aim, reduced: tuple[Floats, Floats], tally: Tally) -> Tally:
    """Share the step of the net power among the pieces, of which `reduced` is what `reduce_pieces` writes."""
    (hd, own), (low, high) = reduced, columns_of(nodes, k)
    begin, end, kept = nodes.piece_ptr[k], nodes.piece_ptr[k + 1], PREDICTED if aim.second == 0 else STEP
    for t in range(low, high, LANES):
        left, most, widest = load(nodes.net_step[k], t), spread(0.0), spread(-1.0)
        asked = left / load(hd, t) + load(own, t) - _rise(nodes, k, t)
        for b in range(begin, end):
            inverse, push = _reduce_box(nodes.boxes[b], t, aim)
            step = inverse * (asked - push)
            left -= step
            widest, most = where(inverse > most, float(b), widest), greater(inverse, most)
            store(nodes.boxes[b, kept], t, step)
        for b in range(begin, end):
            step = load(nodes.boxes[b, kept], t) + where(widest == float(b), left, 0.0)
            tally = _step_box(nodes.boxes[b], t, step, aim, tally)
    return tally


@nested
def _step_box(box: Floats, t: int, d: Vector, aim: Aim, tally: Tally) -> Tally:
    """Keep a box's step from column t on; add what it says of step lengths and of the gap."""
    of = _barriers(box, t, aim)
    dl, du = _dual_steps(of, d)
    r = 1.0 / (of.zl * of.zu)
    store(box[PREDICTED if aim.second == 0 else STEP], t, d)
    return Tally(
        greater(greater(-d * of.xl, d * of.xu), tally.primal),
        greater(greater(-dl * of.zu * r, -du * of.zl * r), tally.dual),
        tally.s1 + d * (of.zl - of.zu),
        tally.s2 + (of.x * dl + of.rest * du),
        tally.s3 + d * (dl - du),
    )


@nested
def _step_peak(nodes: Nodes, k: int, aim: Aim, columns: Floats, reduced: tuple[Floats, Floats], found: Floats) -> None:
    """Find the steps of a peak, of what is left below it, and of their duals; write what `found` is of these.

    A share's step follows from the slack's, or from the prices. The first multiplies the slack's rounding by
    share / slack, the second that of the net power by the inverse of the pieces' inverse Hessian: the better one is
    taken. `reduced` is what `reduce_pieces` writes.
    """
    c, parent, (hd, own), (tau, second) = nodes.charged[k], nodes.parent[k], reduced, aim
    peak, head, net = nodes.peaks[c], nodes.heads[c], nodes.net_step[k]
    price_step, above_step = columns[k, PRICE_STEP], columns[max(parent, 0), PRICE_STEP]
    omega, gradient, ratio, target = reduce_peak(nodes, c, aim)
    moved = -gradient
    for t in range(head.shape[1]):
        moved += head[SHARE, t] / head[HEAD, t] * net[t]
    step = moved / omega
    dual_step = target - peak[PEAK_DUAL] - ratio * step
    found[0], found[1] = max(-step / peak[PEAK], 0.0), max(-dual_step / peak[PEAK_DUAL], 0.0)
    found[2], found[3], found[4] = peak[PEAK_DUAL] * step, peak[PEAK] * dual_step, step * dual_step
    for t in range(head.shape[1]):
        s, z, p, ds = head[HEAD, t], head[SHARE, t], head[HEAD_PREDICTED, t], step - net[t]
        r = 1.0 / s
        dz = (tau + second * p * z * (1.0 + p * r)) * r - z - z * r * ds
        if z * hd[t] > s:
            dz = price_step[t] - (above_step[t] if parent >= 0 else 0.0) - net[t] / hd[t] - own[t] - z
        found[0], found[1] = max(found[0], -ds * r), max(found[1], -dz / z)
        found[2] += z * ds
        found[3] += s * dz
        found[4] += ds * dz
        head[HEAD_STEP, t], head[SHARE_STEP, t] = ds, dz
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
    lengths = primal, dual
    for k in some:
        price, net, step, (low, high) = nodes.price[k], nodes.net[k], columns[k, PRICE_STEP], columns_of(nodes, k)
        for t in range(0, len(price), LANES):
            store(price, t, load(price, t) + dual * load(step, t))
        copy(nodes.low[k], net)
        products, costs = spread(0.0), spread(0.0)
        for t in range(low, high, LANES):
            power = load(net, t)
            for b in range(nodes.piece_ptr[k], nodes.piece_ptr[k + 1]):
                inside, product = _advance_box(nodes.boxes[b], t, aim, lengths)
                power += inside
                products += product
                costs += load(nodes.boxes[b, SLOPE], t) * inside
            if nodes.curtail[k] >= 0:
                spared, product = _advance_box(nodes.boxes[nodes.curtail[k]], t, aim, lengths)
                products += product
                costs += load(nodes.boxes[nodes.curtail[k], SLOPE], t) * spared
            store(net, t, power)
        measured[k, 0], measured[k, 1] = total(products), total(costs)
        c = nodes.charged[k]
        if c >= 0:
            measured[k, 0] += _advance_peak(nodes, c, aim, primal, dual)
            measured[k, 1] += nodes.peaks[c, CHARGE] * nodes.peaks[c, PEAK]


@nested
def _advance_box(box: Floats, t: int, aim: Aim, lengths: tuple[float, float]) -> tuple[Vector, Vector]:
    """Move a box along its step, by its primal and dual lengths; return what is in it then, and its products."""
    of, d, (primal, dual) = _barriers(box, t, aim), load(box[STEP], t), lengths
    dl, du = _dual_steps(of, d)
    x, rest, zl, zu = of.x + primal * d, of.rest - primal * d, of.zl + dual * dl, of.zu + dual * du
    store(box[X], t, x)
    store(box[REST], t, rest)
    store(box[ZL], t, zl)
    store(box[ZU], t, zu)
    return of.there * x, of.there * (x * zl + rest * zu)


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
