"""Passes over a tree, compiled: a level of a deep tree is less work than a call of numpy's.

`upwards` are a tree's nodes, children before their parents.
"""

from backfeed.plan.compiled import compiled, compiled_for_any
from backfeed.plan.problem import Floats, Ints, Nodes


def summed_up(nodes: Nodes, own: Floats) -> Floats:
    """Return what `nodes.sum_up` does."""
    total = own.copy()
    add_up(nodes.upwards, nodes.parent, total)
    return total


@compiled
def add_up(upwards: Ints, parent: Ints, values: Floats) -> None:
    """Add every node's values, `(node, column)`, to all of its ancestors'."""
    for k in upwards:
        if parent[k] >= 0:
            for t in range(values.shape[1]):
                values[parent[k], t] += values[k, t]


@compiled_for_any
def reach_within(upwards: Ints, parent: Ints, limits: tuple[Floats, Floats], reach: tuple[Floats, Floats]) -> None:
    """Add what every node can reach within its limits, lower and upper `(node, step)`, to what its parent can."""
    (least, most), (low, high) = limits, reach
    for k in upwards:
        if parent[k] >= 0:
            for t in range(low.shape[1]):
                low[parent[k], t] += min(max(least[k, t], low[k, t]), high[k, t])
                high[parent[k], t] += min(max(most[k, t], low[k, t]), high[k, t])


@compiled
def widen(upwards: Ints, parent: Ints, span: Ints) -> None:
    """Widen every node's columns, `(node, first and the one after the last)`, to its children's."""
    for k in upwards:
        if parent[k] >= 0:
            span[parent[k], 0] = min(span[parent[k], 0], span[k, 0])
            span[parent[k], 1] = max(span[parent[k], 1], span[k, 1])


@compiled
def hand_down(upwards: Ints, parent: Ints, values: Floats) -> None:
    """Add to every node's values, `(node, column)`, those of its parent, roots first."""
    for i in range(len(upwards) - 1, -1, -1):
        k = upwards[i]
        if parent[k] >= 0:
            for t in range(values.shape[1]):
                values[k, t] += values[parent[k], t]
