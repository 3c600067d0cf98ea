"""One vehicle as the kernels hold it: its entries, its iterates, and room to work in.

A unit is a row, or rows that drives link. All of its quantities stand in one buffer at constant distances, quantity X
of entry t at `u[X + t]`: only so can the compiler prove them apart, and every loop over entries runs on whole vectors.

The iterates of all units stand in four arrays, each unit's in one run: with `o` the unit's first entry, `n` its
entries padded to whole vectors and `many` the quantities of the array, quantity q of entry t stands at
`many * o + q * n + t`. Values are double; duals keep their relative precision in single, and steps are corrected by the
next ones, so both of these are.
"""

from typing import Any, NamedTuple

import numpy as np

from backfeed.plan.compiled import nested
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.rows import (
    ARRIVE,
    BOUND,
    ENTRIES_MAX,
    LENGTH,
    ROW_CAPACITY,
    ROW_CHARGE,
    ROW_DISCHARGE,
    ROW_EMPTY,
    ROW_FIRST_SHARE,
    ROW_FLOOR,
    ROW_GAIN,
    ROW_HOLD,
    ROW_LAST_SHARE,
    ROW_LOSS,
    ROW_MISSING,
    ROW_PRICED,
    ROW_START,
    ROW_TARGET,
    ROW_VALUE,
    ROW_WEAR,
    ZONE,
    Fleet,
)
from backfeed.plan.vectors import LANES, spread
from backfeed.plan.vectors import load as load_eight
from backfeed.plan.vectors import store as store_eight

WIDTH_MIN_KWH = 1e-9
"""A piece narrower than this counts for nothing; it is then given a width of 1 and a value that never moves."""

HELD = 1e100
"""The diagonal of an entry whose value of energy is given from outside, as an arrival's is."""

STRIDE = ENTRIES_MAX + LANES
"""Distance of quantities in a unit's buffer; not a power of two, which would map them all to the same cache lines."""

# Coefficients of the entries.
(CHARGE, DISCHARGE, GAIN, LOSS, COST_A, COST_B, POWERED, PRICE, REFERENCE, JUMP) = (k * STRIDE for k in range(10))
(UP_WIDTH, UP_THERE, UP_COST, DOWN_WIDTH, DOWN_THERE, DOWN_COST) = (k * STRIDE for k in range(10, 16))
# Iterates: values, duals, predictor's steps, corrector's steps, in the order of `State`.
(A, B, UP, DOWN, Y, ZA, ZB, ZJ, ZUL, ZUU, ZDL, ZDU) = (k * STRIDE for k in range(16, 28))
(PA, PB, PU, PD, DA, DB, DU, DD, DY) = (k * STRIDE for k in range(28, 37))
# What elimination leaves: reciprocals of slacks, ratios of slack to dual, targets, D^-1, gradients.
(INV_A, INV_B, INV_J, IA, IB, IJ, CA, CB, CJ, IAA, IBB, IAB, RA, RB) = (k * STRIDE for k in range(37, 51))
(INV_UL, INV_UU, CUL, CUU, IU, GU, INV_DL, INV_DU, CDL, CDU, ID, GD) = (k * STRIDE for k in range(51, 63))
# The tridiagonal system, the node's view of it, and room to work in.
(V, W, PULL, G, H, IE, E_PULL, ENERGY, F, M, INVERSE, DP, MOST, LEAST, ROW) = (k * STRIDE for k in range(63, 78))
(S1, S2, S3) = (k * STRIDE for k in range(78, 81))
# A row's own meter (`plan/meter.py`): what is given, iterates, steps of predictor and corrector, what is eliminated.
METER_GIVEN = (AT_KINK, RISE, BOUGHT, SOLD_MAX, SPARE_MAX) = tuple(k * STRIDE for k in range(81, 86))
METER_MOVED = (SOLD, REST, SPARED, ZSL, ZSU, ZR, ZQL, ZQU) = tuple(k * STRIDE for k in range(86, 94))
METER_STEPS = (PS, PR, PQ, DS, DR, DQ) = tuple(k * STRIDE for k in range(94, 100))
(INV_SL, INV_SU, INV_QL, INV_QU, INV_R, CSL, CSU, CQL, CQU, CR) = (k * STRIDE for k in range(100, 110))
(IS, GS, IQ, GQ, SCALE, MISSING, JOINT, OWN_SHARE, OWN_PUSH, OWN_DY, METERED) = (k * STRIDE for k in range(110, 121))
PLACES = 121

VALUES, DUALS, PREDICTED, CORRECTED = 5, 7, 4, 5
"""Quantities in each of the arrays of `State`."""


class State(NamedTuple):
    """Iterates of all units: values (with the value of energy), duals, steps of the predictor and of the corrector.

    With them go the inverse pivots of their systems, which are the same for every step from one place, and `meters`
    `(quantity, place)`, what is given and what is known of meters that rows have for themselves.
    """

    values: Floats
    duals: Any
    predicted: Any
    corrected: Any
    pivots: Floats
    meters: Floats


class Unit(NamedTuple):
    """One unit: the place of every entry's step among those that matter, -1 for none, and the buffer of its quantities.

    `at` is room for as many places.
    """

    step: Ints
    at: Ints
    u: Floats


def new_state(entries: int, given: Floats) -> State:
    """Return room for all iterates; `given` is the fleet's `meters`."""
    return State(
        np.zeros(VALUES * entries),
        np.zeros(DUALS * entries, np.float32),
        np.zeros(PREDICTED * entries, np.float32),
        np.zeros(CORRECTED * entries, np.float32),
        np.zeros(entries),
        np.concatenate((given, np.zeros((len(METER_MOVED) + len(METER_STEPS), given.shape[1])))),
    )


def new_unit() -> Unit:
    """Return room for one unit."""
    return Unit(np.zeros(STRIDE, np.int64), np.zeros(STRIDE, np.int64), np.zeros(PLACES * STRIDE))


@nested
def padded(n: int) -> int:
    """Return a number of entries rounded up to whole vectors; what is added counts for nothing and never moves."""
    return (n + LANES - 1) // LANES * LANES


@nested
def expand(fleet: Fleet, price: Floats, first: int, stop: int, lead: int, unit: Unit) -> int:
    """Write the entries of the unit with rows `first <= r < stop` at node prices; return how many there are.

    Where `lead` is 1, the first entry is an arrival, which is left out; the first row then begins without a jump.
    """
    u, step = unit.u, unit.step
    p = lead
    for r in range(first, stop):
        length, arrive, zone = fleet.places[r, LENGTH], fleet.places[r, ARRIVE], fleet.places[r, ZONE]
        figure, v = fleet.figures[r], u[p:]
        _expand_row(figure, fleet.step_h, fleet.reserve_per_kwh_h, length, v)
        wear, priced = figure[ROW_WEAR], figure[ROW_PRICED]
        charge, discharge = figure[ROW_CHARGE], figure[ROW_DISCHARGE]
        buy, sell = fleet.buy[zone, arrive:], fleet.sell[zone, arrive:]
        for k in range(length):
            v[COST_A + k], v[COST_B + k] = charge * priced * buy[k], discharge * (wear - priced * sell[k])
        going, place = step[p:], fleet.place_of_step[arrive:]
        for k in range(length):
            going[k] = place[k]
            v[PRICE + k] = price[place[k]] if place[k] >= 0 else 0.0
        _shorten(v, 0, figure[ROW_FIRST_SHARE])
        if length > 1:
            _shorten(v, length - 1, figure[ROW_LAST_SHARE])
        if fleet.places[r, BOUND] >= 0:
            _bind(v, length, fleet.bound[fleet.places[r, BOUND], :, arrive:])
        p += length + 1
        step[p - 1] = -1
    if lead > 0:
        step[0], u[JUMP], u[JUMP + 1], u[POWERED] = -1, u[JUMP + 1], 0.0, 0.0
    _close(u, step, p)
    return p


@nested
def _expand_row(figure: Floats, step_h: float, reserve_per_kwh_h: float, length: int, v: Floats) -> None:
    """Write what the steps of a row have in common, and its departure: the target's curve, and no power.

    Whole vectors are written: what is beyond the row is the next row's, or padding, and is written after.
    """
    charge, discharge = figure[ROW_CHARGE], figure[ROW_DISCHARGE]
    floor, capacity, empty = figure[ROW_FLOOR], figure[ROW_CAPACITY], figure[ROW_EMPTY]
    hold, reserve = figure[ROW_HOLD] * step_h, reserve_per_kwh_h * step_h
    _fill_two(v, CHARGE, charge, DISCHARGE, discharge, length)
    _fill_two(v, GAIN, figure[ROW_GAIN] * charge, LOSS, figure[ROW_LOSS] * discharge, length)
    _fill_two(v, POWERED, 1.0, JUMP, 0.0, length)
    _fill_two(v, UP_COST, hold, DOWN_COST, reserve - hold, length)
    _fill_two(v, REFERENCE, floor, UP_WIDTH, _width(capacity - floor), length)
    _fill_two(v, UP_THERE, _there(capacity - floor), DOWN_THERE, _there(floor - empty), length)
    _fill_two(v, DOWN_WIDTH, _width(floor - empty), DOWN_WIDTH, _width(floor - empty), length)
    v[JUMP] = figure[ROW_START]
    for place in (CHARGE, DISCHARGE, GAIN, LOSS, COST_A, COST_B, POWERED, PRICE, JUMP):
        v[place + length] = 0.0
    target = figure[ROW_TARGET]
    v[REFERENCE + length] = target
    v[UP_WIDTH + length], v[DOWN_WIDTH + length] = _width(capacity - target), _width(target - empty)
    v[UP_THERE + length], v[DOWN_THERE + length] = _there(capacity - target), _there(target - empty)
    v[UP_COST + length], v[DOWN_COST + length] = -figure[ROW_VALUE], figure[ROW_MISSING]


@nested
def _fill_two(v: Floats, place: int, value: float, other: int, second: float, n: int) -> None:
    """Write two quantities that are the same for n entries."""
    eight, more = spread(value), spread(second)
    for t in range(0, n, LANES):
        store_eight(v, place + t, eight)
        store_eight(v, other + t, more)


@nested
def _there(width: float) -> float:
    """Return 1 for a piece that is wide enough to count, else 0."""
    return 1.0 if width >= WIDTH_MIN_KWH else 0.0


@nested
def _width(width: float) -> float:
    """Return a piece's width, 1 where it does not count."""
    return width if width >= WIDTH_MIN_KWH else 1.0


@nested
def _shorten(u: Floats, q: int, share: float) -> None:
    """Scale an entry at which the vehicle is connected for a share of the step."""
    if share != 1.0:
        for place in (CHARGE, DISCHARGE, GAIN, LOSS, COST_A, COST_B, UP_COST, DOWN_COST):
            u[place + q] *= share


@nested
def _bind(v: Floats, length: int, share: Floats) -> None:
    """Scale the powers of a row to the shares that limits leave it."""
    for t in range(length):
        for place in (CHARGE, GAIN, COST_A):
            v[place + t] *= share[0, t]
        for place in (DISCHARGE, LOSS, COST_B):
            v[place + t] *= share[1, t]


@nested
def _close(u: Floats, step: Ints, p: int) -> None:
    """Pad a unit of p entries to whole vectors."""
    for q in range(p, padded(p)):
        for place in (CHARGE, DISCHARGE, GAIN, LOSS, COST_A, COST_B, POWERED, PRICE, JUMP, REFERENCE):
            u[place + q] = 0.0
        u[UP_COST + q] = u[DOWN_COST + q] = u[UP_THERE + q] = u[DOWN_THERE + q] = 0.0
        u[UP_WIDTH + q] = u[DOWN_WIDTH + q] = 1.0
        step[q] = -1


@nested
def load(unit: Unit, n: int, s: State, o: int) -> None:
    """Copy a unit's values and duals into its buffer."""
    n = padded(n)
    _take(unit.u, A, VALUES, n, s.values, o)
    _take(unit.u, ZA, DUALS, n, s.duals, o)
    unit.u[Y + n] = 0.0


@nested
def load_predicted(unit: Unit, n: int, s: State, o: int) -> None:
    """Copy the predictor's steps into the buffer."""
    _take(unit.u, PA, PREDICTED, padded(n), s.predicted, o)


@nested
def load_corrected(unit: Unit, n: int, s: State, o: int) -> None:
    """Copy the corrector's steps into the buffer."""
    _take(unit.u, DA, CORRECTED, padded(n), s.corrected, o)


@nested
def load_pivots(unit: Unit, n: int, s: State, o: int) -> None:
    """Copy the inverse pivots into the buffer."""
    _take(unit.u, INVERSE, 1, padded(n), s.pivots, o)


@nested
def store(unit: Unit, n: int, s: State, o: int) -> None:
    """Copy values and duals back into the iterates."""
    _give(unit.u, A, VALUES, padded(n), s.values, o)
    _give(unit.u, ZA, DUALS, padded(n), s.duals, o)


@nested
def store_predicted(unit: Unit, n: int, s: State, o: int) -> None:
    """Keep a step as the predictor's."""
    _give(unit.u, DA, PREDICTED, padded(n), s.predicted, o)


@nested
def store_corrected(unit: Unit, n: int, s: State, o: int) -> None:
    """Keep a step as the corrector's."""
    _give(unit.u, DA, CORRECTED, padded(n), s.corrected, o)


@nested
def store_pivots(unit: Unit, n: int, s: State, o: int) -> None:
    """Keep the inverse pivots."""
    _give(unit.u, INVERSE, 1, padded(n), s.pivots, o)


@nested
def _take(u: Floats, place: int, many: int, n: int, values: Floats, o: int) -> None:
    """Copy quantities that follow each other into the buffer."""
    for q in range(many):
        for t in range(0, n, LANES):
            store_eight(u, place + q * STRIDE + t, load_eight(values, many * o + q * n + t))


@nested
def _give(u: Floats, place: int, many: int, n: int, values: Floats, o: int) -> None:
    """Copy quantities that follow each other out of the buffer."""
    for q in range(many):
        for t in range(0, n, LANES):
            store_eight(values, many * o + q * n + t, load_eight(u, place + q * STRIDE + t))


@nested
def dual_step(inverse: float, z: float, aim: tuple[float, float], p: float, d: float) -> float:
    """Return the step of the dual z of a slack (given as its reciprocal) that steps by d; p is the predictor's step."""
    tau, second = aim
    return (tau + second * p * z * (1.0 + inverse * p)) * inverse - z * (1.0 + inverse * d)
