"""Elimination along the tree: vehicles into nodes, nodes into their parents, prices back down.

What a node does with what its vehicles and children answer is `plan/balance.py`'s. All nodes of a level are
independent, and each adds its vehicles and children in their order, so the result does not depend on the number of
threads.
"""

from typing import NamedTuple

from backfeed.plan.balance import (
    Room,
    Work,
    clear_matrix,
    factor_node,
    find_residual,
    hand_up,
    own_terms,
    price_step_of,
)
from backfeed.plan.columns import POWER, POWER_STEP, PRICE_STEP, gather_price, spread_matrix, spread_power
from backfeed.plan.compiled import compiled
from backfeed.plan.drives import Drives, is_joined, join, keep_values, lead_of, push_values, tell_pull, tell_reach
from backfeed.plan.meter import load_meters, store_meters, store_meters_steps
from backfeed.plan.narrow import tell_lane
from backfeed.plan.node import Aim, Nodes, is_free, step_node
from backfeed.plan.problem import Ints
from backfeed.plan.rows import ENTRY, Fleet
from backfeed.plan.unit import (
    State,
    expand,
    load,
    load_corrected,
    load_pivots,
    load_predicted,
    store,
    store_corrected,
    store_pivots,
    store_predicted,
)
from backfeed.plan.vehicle import (
    add_compliance,
    add_power_step,
    add_response,
    advance_unit,
    eliminate,
    factor,
    link_values,
    measure_unit,
    solve_values,
    step_unit,
)


class Move(NamedTuple):
    """A step that has been found and is still to be taken: its aim, and how far primal and dual go."""

    aim: Aim
    primal: float
    dual: float


@compiled
def ascend(
    some: Ints, fleet: Fleet, state: State, drives: Drives, nodes: Nodes, work: Work, move: Move, room: Room
) -> None:
    """Take the last step, measure, and eliminate some nodes for the predictor; children must be done."""
    unit, aim, measured = room.unit, Aim(0.0, 0.0), work.measured
    came, goes, moving = drives.came, drives.goes, move.primal > 0 or move.dual > 0
    for k in some:
        shared = not is_free(nodes, k)
        room.g[:] = 0.0
        clear_matrix(work, k, room)
        work.columns[k, POWER, :] = 0.0
        gather_price(nodes.slots, nodes.price[k], room.price)
        products = cost = worst = 0.0
        for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
            first, stop, lead = fleet.unit_ptr[i], fleet.unit_ptr[i + 1], lead_of(drives, i)
            o = fleet.places[first, ENTRY] - lead
            n = expand(fleet, room.price, first, stop, lead, unit)
            load(unit, n, state, o)
            load_meters(unit, n, fleet, first, state.meters)
            if is_joined(came[i], goes[i]):
                join(unit, n, came[i], goes[i], drives)
            if moving:
                load_predicted(unit, n, state, o)
                load_corrected(unit, n, state, o)
                advance_unit(unit, n, (move.aim.tau, move.aim.second), move.primal, move.dual)
                store(unit, n, state, o)
                store_meters(unit, n, fleet, first, state.meters)
                load(unit, n, state, o)
                if is_joined(came[i], goes[i]):
                    join(unit, n, came[i], goes[i], drives)
            one = measure_unit(unit, n, work.columns[k, POWER])
            products, cost, worst = products + one[0], cost + one[1], max(worst, one[2])
            eliminate(unit, n, aim.tau, aim.second)
            factor(unit, n)
            store_pivots(unit, n, state, o)
            solve_values(unit, n, room.g, 0.0)
            if shared:
                add_response(unit, n, room.g)
                if work.lanes.narrow[k] > 0:
                    tell_lane(unit, n, i, work.lanes)
                else:
                    add_compliance(unit, n, room.matrix)
            if is_joined(came[i], goes[i]):
                tell_pull(unit, n, came[i], goes[i], drives)
                tell_reach(unit, n, came[i], goes[i], drives, room.g)
        measured[k, 0], measured[k, 1], measured[k, 2], measured[k, 3] = products, cost, worst, 0.0
        if not shared:
            continue
        spread_power(nodes.slots, len(room.price), work.columns[k, POWER])
        spread_power(nodes.slots, len(room.price), room.g)
        spread_matrix(nodes.slots, len(room.price), room.matrix)
        measured[k, 3] = find_residual(nodes, work.columns[k], k)
        own_terms(nodes, work, k, aim)
        factor_node(nodes, work, k, room)
        hand_up(nodes, work, k, room)


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
            load_meters(unit, n, fleet, first, state.meters)
            if is_joined(came[i], goes[i]):
                join(unit, n, came[i], goes[i], drives)
            eliminate(unit, n, aim.tau, aim.second)
            load_pivots(unit, n, state, o)
            link_values(unit, n)
            solve_values(unit, n, room.g, 0.0)
            add_response(unit, n, room.g)
            if is_joined(came[i], goes[i]):
                tell_pull(unit, n, came[i], goes[i], drives)
        if shared:
            spread_power(nodes.slots, len(room.price), room.g)
            own_terms(nodes, work, k, aim)
            hand_up(nodes, work, k, room)


@compiled
def descend(
    some: Ints, fleet: Fleet, state: State, drives: Drives, nodes: Nodes, work: Work, aim: Aim, room: Room
) -> None:
    """Find the price steps of some nodes and their vehicles' steps; parents must be done, and narrow trees."""
    unit, found = room.unit, work.found
    came, goes = drives.came, drives.goes
    for k in some:
        if work.lanes.narrow[k] == 0 and not is_free(nodes, k):
            price_step_of(nodes, work, k, room.x, room.y)
        gather_price(nodes.slots, nodes.price[k], room.price)
        gather_price(nodes.slots, work.columns[k, PRICE_STEP], room.price_step)
        work.columns[k, POWER_STEP, :] = 0.0
        found[k, :] = 0.0
        for i in range(fleet.node_ptr[k], fleet.node_ptr[k + 1]):
            first, stop, lead = fleet.unit_ptr[i], fleet.unit_ptr[i + 1], lead_of(drives, i)
            o = fleet.places[first, ENTRY] - lead
            n = expand(fleet, room.price, first, stop, lead, unit)
            load(unit, n, state, o)
            load_meters(unit, n, fleet, first, state.meters)
            if aim.second > 0:
                load_predicted(unit, n, state, o)
            if is_joined(came[i], goes[i]):
                join(unit, n, came[i], goes[i], drives)
            eliminate(unit, n, aim.tau, aim.second)
            load_pivots(unit, n, state, o)
            link_values(unit, n)
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
            store_meters_steps(unit, n, fleet, first, state.meters, aim.second)
            add_power_step(unit, n, work.columns[k, POWER_STEP])
            found[k, 0], found[k, 1] = max(found[k, 0], one[0]), max(found[k, 1], one[1])
            for s in range(2, 5):
                found[k, s] += one[s]
        spread_power(nodes.slots, len(room.price), work.columns[k, POWER_STEP])


@compiled
def settle(some: Ints, nodes: Nodes, work: Work, aim: Aim, room: Room) -> None:
    """Find the steps of some nodes' own variables; all vehicles and the children must be done."""
    for k in some:
        if not is_free(nodes, k):
            step_node(nodes, k, aim, work.columns, (room.x, room.y), work.found_nodes[k])
