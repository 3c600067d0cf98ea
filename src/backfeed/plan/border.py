"""The values of energy on the way, eliminated last.

What is left when vehicles have been eliminated are the nodes' prices dp, with the tree's system A, and the values on
all ways dl, with B the `reach` of all ends at their nodes:

    A dp - B dl = b
    S0 dl - B' dp = pull        S0: the units' stiffness at both ends, less what they hand across
    (S0 - B' A^-1 B) dl = pull + B' A^-1 b

The tree factors A, so that `B' A^-1 B = sum_k phi_k' phi_k`: a drive's vector is handed up from its ends to the root
and solved forwards at every node on its way. All drives under a node meet in it, so this is dense: its memory is the
number of drives squared, its work their cube.
"""

import numpy as np

from backfeed.plan.balance import Work, price_step_of, times_inverse
from backfeed.plan.columns import FREE, GAMMA, HD, PRICE_STEP, TH, add, copy
from backfeed.plan.compiled import allocating, compiled
from backfeed.plan.dense import factor, pack_upper, packed_size, solve_backward, solve_forward, solve_vector
from backfeed.plan.drives import ARRIVING, LEAVING, Drives
from backfeed.plan.layout import Forest
from backfeed.plan.node import Nodes
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.vectors import LANES, fused, load, spread, total


class Border:
    """The drives' system of one problem.

    Parameters
    ----------
    forest
        The kept nodes.
    drives
        The drives.
    size
        Length of a node's vectors.
    """

    def __init__(self, forest: Forest, drives: Drives, size: int) -> None:
        many = len(drives.value)
        rank = np.empty(len(forest.parent), np.int64)  # leaves first
        rank[np.concatenate(forest.levels[::-1])] = np.arange(len(rank))
        at, drive = drives.node, np.arange(2 * many) // 2
        keys = []
        while len(at):
            keys.append(rank[at] * many + drive)
            at, drive = forest.parent[at], drive[forest.parent[at] >= 0]
            at = at[at >= 0]
        key = np.unique(np.concatenate(keys)) if keys else np.zeros(0, np.int64)
        by_rank = np.argsort(rank)
        node, self.drive = by_rank[key // max(many, 1)], key % max(many, 1)
        above = forest.parent[node]
        self.up = np.where(above >= 0, np.searchsorted(key, rank[above] * many + self.drive), -1)
        self.node, first = np.unique(rank[node], return_index=True)
        self.node, self.node_ptr = by_rank[self.node], np.append(first, len(key))
        self.end_member = np.searchsorted(key, rank[drives.node] * many + np.arange(2 * many) // 2)
        self.vectors = np.zeros((len(key), size))
        self.rise = np.zeros((len(forest.parent), size))
        self.drives = drives
        whole = -(-many // LANES) * LANES
        self.matrix, self.root = np.zeros((whole, whole)), np.zeros(packed_size(whole))

    def factor(self, nodes: Nodes, work: Work) -> None:
        """Factor the drives' system at the nodes' factors."""
        drives, slots = self.drives, nodes.slots
        if not len(drives.value):
            return
        count = nodes.price.shape[1] - len(slots)
        drives.reach[:, count : count + len(slots)] = drives.reach[:, slots]
        self.vectors[:] = 0.0
        np.add.at(self.vectors, self.end_member, drives.reach)
        _own_matrix(drives, self.matrix)
        _subtract_tree(self.node, self.node_ptr, self.drive, self.up, work, self.vectors, self.matrix)
        factor(self.matrix, 0, len(self.matrix))
        pack_upper(self.matrix, self.root, 0, len(self.matrix))

    def find_values(self, nodes: Nodes, work: Work) -> None:
        """Find the steps of the drives' values, and what they change of what the nodes have handed up."""
        drives = self.drives
        if not len(drives.value):
            return
        x = np.empty(work.columns.shape[2])
        _hand_down(self.node, nodes, work, x)
        right = np.zeros(len(self.matrix))
        right[: len(drives.value)] = drives.pull.sum(axis=1)
        answers = np.einsum("et,et->e", drives.reach, work.columns[drives.node, PRICE_STEP])
        right[: len(drives.value)] += answers[LEAVING::2] + answers[ARRIVING::2]
        solve_vector(self.root, right)
        drives.step[:] = right[: len(drives.value)]
        self.rise[:] = 0.0
        np.add.at(self.rise, drives.node, drives.reach * np.repeat(drives.step, 2)[:, None])
        _raise_nodes(self.node, nodes, work, self.rise, x)


@compiled
def _own_matrix(drives: Drives, matrix: Floats) -> None:
    """Write the upper half of what units tell of their drives; padding is 1."""
    matrix[:] = 0.0
    for s in range(len(matrix)):
        matrix[s, s] = 1.0
    for s in range(len(drives.value)):
        matrix[s, s] = drives.stiffness[s, LEAVING] + drives.stiffness[s, ARRIVING]
    for s in range(len(drives.value)):
        b = drives.before[s]
        if b >= 0:
            matrix[min(s, b), max(s, b)] -= drives.across[s]


@allocating
def _subtract_tree(
    some: Ints, node_ptr: Ints, drive: Ints, up: Ints, work: Work, vectors: Floats, matrix: Floats
) -> None:
    """Subtract `B' A^-1 B`, leaves first; `vectors` hold the ends' reaches."""
    x, y = np.empty(vectors.shape[1]), np.empty(vectors.shape[1])
    for q in range(len(some)):
        k = some[q]
        for m in range(node_ptr[q], node_ptr[q + 1]):
            solve_forward(work.root[k], vectors[m])
            if up[m] >= 0:
                copy(vectors[m], x)
                solve_backward(work.root[k], x)
                times_inverse(work.columns[k, HD], work.columns[k, TH], work.coef[k], x, y)
                add(y, vectors[up[m]])
        for m in range(node_ptr[q], node_ptr[q + 1]):
            for p in range(m, node_ptr[q + 1]):
                sums = spread(0.0)
                for t in range(0, len(x), LANES):
                    sums = fused(load(vectors[m], t), load(vectors[p], t), sums)
                matrix[drive[m], drive[p]] -= total(sums)


@compiled
def _hand_down(some: Ints, nodes: Nodes, work: Work, x: Floats) -> None:
    """Write the steps of prices while the drives' values stay, parents first."""
    for q in range(len(some) - 1, -1, -1):
        price_step_of(nodes, work, some[q], x)


@compiled
def _raise_nodes(some: Ints, nodes: Nodes, work: Work, rise: Floats, x: Floats) -> None:
    """Add to what nodes have handed up what the drives' values change of their vehicles' power, leaves first."""
    for k in some:
        solve_vector(work.root[k], rise[k])
        add(rise[k], work.columns[k, FREE])
        times_inverse(work.columns[k, HD], work.columns[k, TH], work.coef[k], rise[k], x)
        add(x, work.columns[k, GAMMA])
        if nodes.parent[k] >= 0:
            add(x, rise[nodes.parent[k]])
