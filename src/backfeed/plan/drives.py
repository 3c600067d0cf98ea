"""Drives between units: what a vehicle takes from one place to another.

Rows that a drive links are one unit while they stand at one node. Where the car comes to another node, or the unit
would grow too long, a new unit begins with an entry of arrival: an energy without power, that of the departure before
less what the drive takes,

    e_arrival - e_departure = -drain        (dual: the value of energy on the way, which both units see)

With the values dl on all ways, the unit's dynamics read `K dy = h + w dp + i_end dl_end` and, at the arrival, dy = dl.
So a unit tells each of its ends how stiffly its energy answers to dl (conductances in series, no subtraction), how its
power does (`reach`), and what it asks for at dl = 0 (`pull`). The drives' own system is `plan/border.py`'s.
"""

from typing import NamedTuple

import numpy as np

from backfeed.plan.compiled import nested
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.rows import Chain, Fleet
from backfeed.plan.unit import (
    CHARGE,
    COST_A,
    COST_B,
    DISCHARGE,
    DOWN_COST,
    DOWN_THERE,
    DOWN_WIDTH,
    DY,
    E_PULL,
    ENERGY,
    GAIN,
    HELD,
    IE,
    JUMP,
    LOSS,
    POWERED,
    PRICE,
    REFERENCE,
    UP_COST,
    UP_THERE,
    UP_WIDTH,
    F,
    G,
    H,
    M,
    Unit,
    W,
    Y,
)
from backfeed.plan.vehicle import solve_values

LEAVING, ARRIVING = 0, 1
"""A drive's ends; end e of drive s is the `2 s + e`-th of all."""


class Drives(NamedTuple):
    """The drives, by `(drive,)` or `(drive, end)`, -1 where there is none.

    Parameters
    ----------
    came, goes
        The drives by which every unit comes from another and goes on to one.
    turn
        How many drives come before every unit.
    row_before
        The row that each row of the fleet goes on from.
    least, likely, most
        Energies that a drive may leave.
    before
        The drive by which the unit came that a drive leaves.
    node
        Where both ends are, flat.
    value, step
        The values of energy on the way, and their steps.
    energy
        What is on the way, as both ends see it.
    stiffness, pull, across, reach
        What units tell: how energy answers to the value, what they ask for, what the unit that a drive leaves tells of
        the value of the drive before it, and how the node's power answers, `(end, column)`.
    """

    came: Ints
    goes: Ints
    turn: Ints
    row_before: Ints
    least: Floats
    likely: Floats
    most: Floats
    before: Ints
    node: Ints
    value: Floats
    step: Floats
    energy: Floats
    stiffness: Floats
    pull: Floats
    across: Floats
    reach: Floats


def new_drives(chain: Chain, fleet: Fleet, columns: int, value: float) -> Drives:
    """Return the drives between a fleet's units, all at one value of energy."""
    many = len(chain.least)
    node, before = np.zeros(2 * many, np.int64), np.full(many, -1)
    node_of = np.repeat(np.arange(len(fleet.node_ptr) - 1), np.diff(fleet.node_ptr))
    for end, drive in ((LEAVING, chain.goes), (ARRIVING, chain.came)):
        there = drive >= 0
        node[2 * drive[there] + end] = node_of[there]
    passed = (chain.came >= 0) & (chain.goes >= 0)
    before[chain.goes[passed]] = chain.came[passed]
    return Drives(
        *chain,
        before=before,
        node=node,
        value=np.full(many, value),
        step=np.zeros(many),
        energy=np.zeros((many, 2)),
        stiffness=np.zeros((many, 2)),
        pull=np.zeros((many, 2)),
        across=np.zeros(many),
        reach=np.zeros((2 * many, columns)),
    )


@nested
def lead_of(drives: Drives, i: int) -> int:
    """Return 1 for a unit that begins with an arrival, else 0."""
    return 1 if drives.came[i] >= 0 else 0


@nested
def is_joined(came: int, goes: int) -> bool:
    """Tell whether a unit comes from another or goes on to one, by its drives in and out."""
    return came >= 0 or goes >= 0


@nested
def join(unit: Unit, n: int, came: int, goes: int, drives: Drives) -> None:
    """Write a unit's arrival, and the values of its drives beside its own."""
    if came >= 0:
        write_arrival(unit, drives.least[came], drives.most[came])
        unit.u[Y] = drives.value[came]
    if goes >= 0:
        unit.u[Y + n] = drives.value[goes]


@nested
def write_arrival(unit: Unit, least: float, most: float) -> None:
    """Write the entry of an arrival, which has no power and lies between two energies."""
    u = unit.u
    for place in (CHARGE, DISCHARGE, GAIN, LOSS, COST_A, COST_B, POWERED, PRICE, UP_COST, DOWN_COST, DOWN_THERE):
        u[place] = 0.0
    u[REFERENCE], u[UP_WIDTH], u[UP_THERE], u[DOWN_WIDTH] = least, most - least, 1.0, 1.0


@nested
def tell_pull(unit: Unit, n: int, came: int, goes: int, drives: Drives) -> None:
    """Tell a unit's drives what energy it gets or hands over, and asks for, once it is solved for prices that stay."""
    u, end = unit.u, n - 1
    if came >= 0:
        drives.energy[came, ARRIVING] = u[ENERGY] - u[JUMP]
        drives.pull[came, ARRIVING] = u[ENERGY] - u[JUMP] - u[E_PULL] + u[IE] * u[DY + 1]
    if goes >= 0:
        drives.energy[goes, LEAVING] = u[ENERGY + end]
        drives.pull[goes, LEAVING] = u[E_PULL + end] - u[ENERGY + end] + u[IE + end] * u[DY + end]


@nested
def tell_reach(unit: Unit, n: int, came: int, goes: int, drives: Drives, price: Floats) -> None:
    """Tell a unit's drives how its energy and power answer to their values; its right side is lost."""
    u, end = unit.u, n - 1
    if came >= 0:
        _answer(unit, n, 0, HELD, price, drives.reach[2 * came + ARRIVING])
        drives.stiffness[came, ARRIVING] = _stiffness(u, n)
        if goes >= 0:
            drives.across[goes] = u[IE + end] * u[DY + end]
    if goes >= 0:
        _answer(unit, n, end, u[IE + end], price, drives.reach[2 * goes + LEAVING])
        drives.stiffness[goes, LEAVING] = u[M + n] * u[F + end]


@nested
def _answer(unit: Unit, n: int, at: int, push: float, price: Floats, reach: Floats) -> None:
    """Solve for a push at one entry alone; write how the power answers."""
    u, step = unit.u, unit.step
    for t in range(n):
        u[H + t] = 0.0
    u[H + at] = push
    solve_values(unit, n, price, 0.0)
    reach[:] = 0.0
    for t in range(n):
        if step[t] >= 0:
            reach[step[t]] += u[W + t] * u[DY + t]


@nested
def _stiffness(u: Floats, n: int) -> float:
    """Return the arrival's: `c[t] = g[t] + ie[t] c[t+1] / (ie[t] + c[t+1])` from the end, where the value is held.

    Entries that nothing can move, as those of a battery without capacity, tell nothing.
    """
    c = u[G + n - 1] + u[IE + n - 1]
    for t in range(n - 2, -1, -1):
        joined = u[IE + t] + c
        c = (u[IE + t] * c / joined if joined > 0.0 else 0.0) + (u[G + t] if t > 0 else 0.0)
    return float(c)


@nested
def push_values(unit: Unit, n: int, came: int, goes: int, drives: Drives) -> None:
    """Add the steps of the drives' values to a unit's right side."""
    if came >= 0:
        unit.u[H] = HELD * drives.step[came]
    if goes >= 0:
        unit.u[H + n - 1] += unit.u[IE + n - 1] * drives.step[goes]


@nested
def keep_values(unit: Unit, n: int, goes: int, drives: Drives) -> None:
    """Write the step of the value after a unit's last entry beside its own."""
    if goes >= 0:
        unit.u[DY + n] = drives.step[goes]
