"""Where the interior point starts: one constant value of energy, powers that charge at an even rate.

The duals are split from the reduced costs at that value plus a small amount, so the start is feasible in the
duals; energies run straight from arrival to departure inside their bounds. Against the usual start this halves
the number of iterations.
"""

import numpy as np

from backfeed.plan.balance import Room
from backfeed.plan.columns import add, aligned, in_whole_columns
from backfeed.plan.compiled import compiled, nested
from backfeed.plan.drives import Drives, join, lead_of
from backfeed.plan.layout import Layout
from backfeed.plan.meter import load_meters, store_meters
from backfeed.plan.node import BOX, SLACK, SLOPE, SUMMIT, WIDTH, WIDTH_MIN_KW, ZL, ZU, Nodes, X, columns_of
from backfeed.plan.node import REST as LEFT
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.rows import ENTRY, LENGTH, Fleet
from backfeed.plan.unit import (
    AT_KINK,
    BOUGHT,
    CHARGE,
    COST_A,
    COST_B,
    DISCHARGE,
    DOWN,
    DOWN_COST,
    DOWN_THERE,
    DOWN_WIDTH,
    GAIN,
    JUMP,
    LOSS,
    METERED,
    POWERED,
    PRICE,
    REFERENCE,
    REST,
    RISE,
    SOLD,
    SOLD_MAX,
    SPARE_MAX,
    SPARED,
    UP,
    UP_COST,
    UP_THERE,
    UP_WIDTH,
    ZA,
    ZB,
    ZDL,
    ZDU,
    ZJ,
    ZQL,
    ZQU,
    ZR,
    ZSL,
    ZSU,
    ZUL,
    ZUU,
    A,
    B,
    State,
    Unit,
    Y,
    expand,
    padded,
    store,
)

EDGE, EDGE_OF_NODES = 0.05, 0.1
"""Iterates start this share of their range away from its ends, vehicles' and nodes'."""

LEVEL_RISE = 1e-3
"""A meter that loses less by selling than this share of what it buys at starts as if it lost as much."""


@compiled
def start(
    some: Ints,
    fleet: Fleet,
    state: State,
    drives: Drives,
    value: float,
    sizes: tuple[float, float],
    power: Floats,
    room: Room,
) -> None:
    """Write the starting iterates of some nodes' vehicles.

    Parameters
    ----------
    some, fleet, state, drives
        The nodes, the problem and the iterates.
    value
        Value of energy at the start [currency/kWh].
    sizes
        What every dual of a power has above its reduced cost [currency/kW and step], and what slack times dual of an
        energy is to be at least [currency].
    power
        Receives the vehicles' power, `(node, step)`.
    room
        Room to work in.
    """
    unit, free = room.unit, room.price
    u = unit.u
    free[:] = 0.0
    for k in some:
        for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
            first, stop, lead = fleet.unit_ptr[i], fleet.unit_ptr[i + 1], lead_of(drives, i)
            n = expand(fleet, free, first, stop, lead, unit)
            at = lead
            energy = 0.0
            if lead > 0:
                join(unit, n, drives.came[i], drives.goes[i], drives)
                energy = _start_arrival(u, drives.likely[drives.came[i]])
            for r in range(first, stop):
                length = fleet.places[r, LENGTH] + 1
                energy += u[JUMP + at]
                energy = _start_row(u, at, length, energy)
                at += length
            load_meters(unit, n, fleet, first, state.meters)
            if u[METERED] > 0:
                _start_meter(u, n, sizes[1])
                store_meters(unit, n, fleet, first, state.meters)
            _start_duals(unit, n, value, sizes, value if drives.goes[i] >= 0 else 0.0)
            store(unit, n, state, fleet.places[first, ENTRY] - lead)
            for t in range(n):
                if unit.step[t] >= 0:
                    power[k, unit.step[t]] += u[CHARGE + t] * u[A + t] - u[DISCHARGE + t] * u[B + t]
                    if u[METERED] > 0 and u[SPARE_MAX + t] > 0:
                        power[k, unit.step[t]] += u[SPARED + t]


@nested
def _start_arrival(u: Floats, likely: float) -> float:
    """Write an arrival at a likely energy; return it."""
    u[A], u[B] = 1.0 / 3.0, 1.0 / 3.0
    u[UP], u[DOWN] = likely - u[REFERENCE], 0.0
    return likely


@nested
def _start_row(u: Floats, at: int, length: int, arrival: float) -> float:
    """Write an even rate of power and straight energies of one row; return its last energy."""
    end = at + length - 1
    target, room = u[REFERENCE + end], u[UP_WIDTH + end]
    in_total = out_total = 0.0
    for t in range(at, end):
        in_total += u[GAIN + t]
        out_total += u[LOSS + t]
    aim = max(min(target + 0.5 * room, arrival + 0.85 * in_total), min(target + EDGE * room, arrival + 0.95 * in_total))
    need = aim - arrival
    b = 0.1 if out_total > 0 else EDGE
    a = (need + b * out_total) / in_total if in_total > 0 else EDGE
    a = min(max(a, EDGE), 1.0 - b - EDGE)
    for k in range(length):
        t = at + k
        u[A + t], u[B + t] = (a, b) if t < end else (1.0 / 3.0, 1.0 / 3.0)
        wanted = arrival + need * min((k + 1) / max(length - 1, 1), 1.0)
        u[UP + t] = max(wanted - u[REFERENCE + t], 0.0)
        u[DOWN + t] = max(u[REFERENCE + t] - wanted, 0.0)
    return float(arrival + need)


@nested
def _start_duals(unit: Unit, n: int, value: float, sizes: tuple[float, float], onward: float) -> None:
    """Split the reduced costs into duals and draw the pieces inside their widths; `onward` is the value at the end."""
    u = unit.u
    delta, product = sizes
    for t in range(padded(n)):
        u[ZA + t] = u[ZB + t] = u[ZJ + t] = 1.0
    for t in range(n, padded(n)):
        u[A + t] = u[B + t] = 1.0 / 3.0
        u[ZUL + t] = u[ZUU + t] = u[ZDL + t] = u[ZDU + t] = 1.0
        u[UP + t] = u[DOWN + t] = 0.5
        u[Y + t] = 0.0
    for t in range(n):
        u[Y + t] = value
        if u[POWERED + t] > 0:
            ra = u[COST_A + t] + u[CHARGE + t] * u[PRICE + t] - u[GAIN + t] * value
            rb = u[COST_B + t] - u[DISCHARGE + t] * u[PRICE + t] + u[LOSS + t] * value
            least = min(ra, rb, 0.0)
            size = delta * (u[CHARGE + t] + u[DISCHARGE + t]) + 1e-3 * delta
            u[ZJ + t], u[ZA + t], u[ZB + t] = size - least, ra - least + size, rb - least + size
        slope = value - onward if t == n - 1 else 0.0
        u[UP + t], u[ZUL + t], u[ZUU + t] = _start_piece(
            u[UP + t], u[UP_WIDTH + t], u[UP_THERE + t], u[UP_COST + t] + slope, (product, EDGE)
        )
        u[DOWN + t], u[ZDL + t], u[ZDU + t] = _start_piece(
            u[DOWN + t], u[DOWN_WIDTH + t], u[DOWN_THERE + t], u[DOWN_COST + t] - slope, (product, EDGE)
        )


@nested
def _start_meter(u: Floats, n: int, product: float) -> None:
    """Start the meters at the powers a and b; write what they add to the car's price.

    What is sold and its rest start where both products are one and the duals make up the rise, of which the product is
    at most half over the whole range of powers, so that what is sold stays near to what is left over. Where limits do
    not let all of that out, what is sold starts near its limit, and what is behind the meter is worth nothing.
    """
    for t in range(padded(n)):
        u[SOLD + t] = u[SPARED + t] = u[REST + t] = u[ZSU + t] = u[ZQU + t] = u[ZR + t] = 1.0
        u[ZSL + t] = u[ZQL + t] = 2.0
        if u[RISE + t] < 0.0:
            continue
        charge, discharge, most, spare = u[CHARGE + t], u[DISCHARGE + t], u[SOLD_MAX + t], u[SPARE_MAX + t]
        left, bought = u[AT_KINK + t] - charge * u[A + t] + discharge * u[B + t], u[BOUGHT + t]
        rise = max(u[RISE + t], LEVEL_RISE * abs(bought), LEVEL_RISE * product)
        size = min(product, 0.5 * rise * max(charge + discharge, spare))
        far = rise * abs(left)
        more = (2.0 * size + far + (far * far + 4.0 * size * size) ** 0.5) / (2.0 * rise)
        less = size * more / (rise * more - size)
        sold, rest = (more, less) if left >= 0.0 else (less, more)
        worth, sells = size / rest, 1.0 if most > 0.0 else 0.0
        if spare > 0.0 and sold > (1.0 - EDGE) * most:
            worth = max(rise, bought)
            rest = product / worth
        if most > 0.0:
            sold, u[ZSL + t], u[ZSU + t] = _start_piece(sold, most, 1.0, u[RISE + t] - worth, (size, EDGE))
            u[SOLD + t] = sold
        if spare > 0.0:
            wanted = max(left - sells * sold, 0.0)
            spared, u[ZQL + t], u[ZQU + t] = _start_piece(wanted, spare, 1.0, bought - worth, (product, EDGE))
            u[SPARED + t], rest = spared, max(rest, sells * sold + spared - left)
        u[REST + t], u[ZR + t], u[PRICE + t] = rest, worth, -worth


@nested
def _start_piece(
    wanted: float, width: float, there: float, reduced: float, sizes: tuple[float, float]
) -> tuple[float, float, float]:
    """Return a box piece's position and duals: near what is wanted, not far from the centre of its reduced cost.

    Duals differ by the reduced cost, and their products with the slacks are at least `sizes[0]`; a piece that is wanted
    near an end starts the share `sizes[1]` away from it.
    """
    product, edge = sizes
    if there == 0:
        return 0.5, 1.0, 1.0
    size = 2.0 * product / max(abs(reduced) * width, 1e-6 * product)
    near = width * size / (1.0 + size + np.sqrt(1.0 + size * size))
    centre = near if reduced >= 0 else width - near
    x = min(max(wanted, min(edge * width, centre)), max((1.0 - edge) * width, centre))
    zl, zu = product / x, product / (width - x)
    lift = reduced - (zl - zu)
    return x, zl + max(lift, 0.0), zu + max(-lift, 0.0)


def start_nodes(layout: Layout, power: Floats, product: float) -> Nodes:
    """Return the nodes' starting iterates.

    Parameters
    ----------
    layout
        The problem.
    power
        The vehicles' power of every node at the start, `(node, step)`.
    product
        What slack times dual is to be at the start [currency].
    """
    pieces, forest, count = layout.within, layout.forest, power.shape[1]
    curtail, charged = np.full((2, len(power)), -1)
    with_pv, with_peak = np.flatnonzero(np.any(pieces.curtail_kw > 0, axis=1)), np.flatnonzero(pieces.peak_charge > 0)
    curtail[with_pv], charged[with_peak] = len(pieces.width_kw) + np.arange(len(with_pv)), np.arange(len(with_peak))
    net = in_whole_columns(np.concatenate((power, power[:, pieces.slots]), axis=1) + pieces.fixed_kw)
    boxes = aligned(len(pieces.width_kw) + len(with_pv), len(BOX), net.shape[1])
    boxes[:, [X, LEFT, ZL, ZU], pieces.low_kw.shape[1] :] = 1.0
    nodes = Nodes(
        parent=forest.parent,
        child_ptr=forest.child_ptr,
        child=forest.child,
        piece_ptr=pieces.piece_ptr,
        curtail=curtail,
        charged=charged,
        low=in_whole_columns(pieces.low_kw),
        fixed=in_whole_columns(pieces.fixed_kw),
        price=in_whole_columns(pieces.slope_at_rest.copy()),
        net=net,
        net_step=np.zeros_like(net),
        boxes=boxes,
        heads=np.zeros((len(with_peak), len(SLACK), count)),
        peaks=np.zeros((len(with_peak), len(SUMMIT))),
        slots=pieces.slots,
        span=layout.span,
    )
    start_boxes(forest.upwards, nodes, pieces.width_kw, pieces.slope, (pieces.curtail_kw, pieces.curtail_cost), product)
    if len(with_peak):
        nodes.heads[:], nodes.peaks[:] = _start_peaks(pieces.peak_charge[with_peak], net[with_peak, :count])
    return nodes


def _start_peaks(charge: Floats, net: Floats) -> tuple[Floats, Floats]:
    """Start peaks a little above what there is, their charge shared evenly by the steps; return heads and peaks."""
    peak = np.maximum(net.max(axis=1, initial=0.0), 0.0) * 1.1 + 1.0
    zero, zeros = np.zeros_like(peak), np.zeros_like(net)
    share = np.repeat(charge[:, None] * 0.9 / net.shape[1], net.shape[1], axis=1)
    heads = np.stack((peak[:, None] - net, share, zeros, zeros, zeros), axis=1)
    return heads, np.stack((charge, peak, charge * 0.1, zero, zero), axis=1)


@compiled
def start_boxes(
    upwards: Ints, nodes: Nodes, width: Floats, slope: Floats, curtail: tuple[Floats, Floats], product: float
) -> None:
    """Start all nodes' boxes, and the prices where nothing below a node answers.

    `curtail` is how much PV may be curtailed and at what cost; `net` is what of each node's power is its own, and
    becomes what its pieces make of that of all below. Where nothing below answers, there are no boxes.
    """
    net, price = nodes.net, nodes.price
    for k in upwards:
        begin, end = columns_of(nodes, k)
        if nodes.curtail[k] >= 0:
            box = nodes.boxes[nodes.curtail[k]]
            for t in range(begin, min(end, curtail[0].shape[1])):
                _start_box(box, t, curtail[0][k, t], (0.1 * curtail[0][k, t], curtail[1][k, t]), product)
                net[k, t] += box[X, t] if box[WIDTH, t] > 0.0 else 0.0
        if nodes.parent[k] >= 0:
            add(net[k], net[nodes.parent[k]])
        _start_pieces(nodes, k, width, slope, product)
    for i in range(len(upwards) - 1, -1, -1):
        k = upwards[i]
        begin, end = columns_of(nodes, k)
        for t in range(price.shape[1] if nodes.parent[k] >= 0 else 0):
            price[k, t] += 0.0 if begin <= t < end else price[nodes.parent[k], t]


@nested
def _start_pieces(nodes: Nodes, k: int, width: Floats, slope: Floats, product: float) -> None:
    """Start a node's pieces near the power that `net` is; write there what they make."""
    begin, end = columns_of(nodes, k)
    low, left, inside = nodes.low[k], nodes.net[k], nodes.net_step[k]
    for t in range(len(low)):
        left[t] -= low[t]
    for b in range(nodes.piece_ptr[k], nodes.piece_ptr[k + 1]):
        box = nodes.boxes[b]
        for t in range(begin, min(end, width.shape[1])):
            wanted = min(max(left[t], 0.0), width[b, t])
            _start_box(box, t, width[b, t], (wanted, slope[b, t]), product)
            inside[t] += box[X, t] if box[WIDTH, t] > 0.0 else 0.0
            left[t] -= width[b, t]
    for t in range(len(low)):
        left[t], inside[t] = low[t] + inside[t], 0.0


@nested
def _start_box(box: Floats, t: int, width: float, near: tuple[float, float], product: float) -> None:
    """Start a box in a column: near what is wanted, at its reduced cost."""
    wanted, reduced = near
    there = 1.0 if width > WIDTH_MIN_KW else 0.0
    x, zl, zu = _start_piece(wanted, width, there, reduced, (product, EDGE_OF_NODES))
    box[WIDTH, t], box[SLOPE, t] = there * width, reduced
    box[X, t], box[LEFT, t], box[ZL, t], box[ZU, t] = x, (width if there > 0.0 else 1.0) - x, zl, zu
