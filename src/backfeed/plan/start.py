"""Where the interior point starts: one constant value of energy, powers that charge at an even rate.

The duals are split from the reduced costs at that value plus a small amount, so the start is feasible in the
duals; energies run straight from arrival to departure inside their bounds. Against the usual start this halves
the number of iterations.
"""

from typing import Any

import numpy as np

from backfeed.plan.compiled import compiled
from backfeed.plan.elimination import Fleet
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.vehicle import (
    CHARGE,
    COST_A,
    COST_B,
    DISCHARGE,
    DOWN_COST,
    DOWN_THERE,
    DOWN_WIDTH,
    GAIN,
    JUMP,
    LOSS,
    REFERENCE,
    UP_COST,
    UP_THERE,
    UP_WIDTH,
    State,
    Unit,
    expand,
    new_unit,
    padded,
)

EDGE = 0.05
"""Iterates start this share of their range away from its ends."""


def new_state(entries: int) -> State:
    """Return room for all iterates; the predictor's steps, which only weigh second-order terms, are single."""
    single = {"pa", "pb", "pu", "pd"}
    room: list[Any] = [np.zeros(entries, np.float32 if name in single else np.float64) for name in State._fields]
    return State(*room)


@compiled
def start(level: Ints, fleet: Fleet, state: State, value: float, delta: float, product: float) -> None:
    """Write the starting iterates of some nodes' vehicles.

    Parameters
    ----------
    level, fleet, state
        The nodes, the problem and the iterates.
    value
        Value of energy at the start [currency/kWh].
    delta
        What every dual of a power has above its reduced cost [currency/kW and step].
    product
        What slack times dual of an energy is to be at least [currency].
    """
    free = np.zeros(fleet.money.buy.shape[1])
    unit = new_unit()
    u = unit.u
    for k in level:
        for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
            first, stop = fleet.unit_ptr[i], fleet.unit_ptr[i + 1]
            n = expand(fleet.rows, fleet.money, free, first, stop, unit)
            at = 0
            energy = 0.0
            for r in range(first, stop):
                length = fleet.rows.length[r] + 1
                energy += u[JUMP + at]
                energy = _start_row(u, at, length, state, fleet.rows.entry[r], energy)
                at += length
            _start_duals(unit, n, state, fleet.rows.entry[first], value, (delta, product))


@compiled
def _start_row(u: Floats, at: int, length: int, s: State, o: int, arrival: float) -> float:
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
        j, t = o + k, at + k
        s.a[j], s.b[j] = (a, b) if t < end else (1.0 / 3.0, 1.0 / 3.0)
        wanted = arrival + need * min((k + 1) / max(length - 1, 1), 1.0)
        s.up[j] = max(wanted - u[REFERENCE + t], 0.0)
        s.down[j] = max(u[REFERENCE + t] - wanted, 0.0)
    return float(arrival + need)


@compiled
def _start_duals(unit: Unit, n: int, s: State, o: int, value: float, sizes: tuple[float, float]) -> None:
    """Split the reduced costs into duals and draw the pieces inside their widths."""
    u = unit.u
    delta, product = sizes
    for t in range(n, padded(n)):
        j = o + t
        s.a[j] = s.b[j] = 1.0 / 3.0
        s.za[j] = s.zb[j] = s.zj[j] = s.zul[j] = s.zuu[j] = s.zdl[j] = s.zdu[j] = 1.0
        s.up[j] = s.down[j] = 0.5
    for t in range(n):
        j = o + t
        s.y[j] = value
        s.za[j] = s.zb[j] = s.zj[j] = 1.0
        if unit.step[t] >= 0:
            ra = u[COST_A + t] - u[GAIN + t] * value
            rb = u[COST_B + t] + u[LOSS + t] * value
            least = min(ra, rb, 0.0)
            size = delta * (u[CHARGE + t] + u[DISCHARGE + t]) + 1e-3 * delta
            s.zj[j], s.za[j], s.zb[j] = size - least, ra - least + size, rb - least + size
        slope = value if t == n - 1 else 0.0
        s.up[j], s.zul[j], s.zuu[j] = _start_piece(
            s.up[j], u[UP_WIDTH + t], u[UP_THERE + t], u[UP_COST + t] + slope, product
        )
        s.down[j], s.zdl[j], s.zdu[j] = _start_piece(
            s.down[j], u[DOWN_WIDTH + t], u[DOWN_THERE + t], u[DOWN_COST + t] - slope, product
        )


@compiled
def _start_piece(
    wanted: float, width: float, there: float, reduced: float, product: float
) -> tuple[float, float, float]:
    """Return a box piece's position and duals: near what is wanted, not far from the centre of its reduced cost."""
    if there == 0:
        return 0.5, 1.0, 1.0
    size = 2.0 * product / max(abs(reduced) * width, 1e-6 * product)
    near = width * size / (1.0 + size + np.sqrt(1.0 + size * size))
    centre = near if reduced >= 0 else width - near
    x = min(max(wanted, min(EDGE * width, centre)), max((1.0 - EDGE) * width, centre))
    zl, zu = product / x, product / (width - x)
    lift = reduced - (zl - zu)
    return x, zl + max(lift, 0.0), zu + max(-lift, 0.0)
