"""The values of energy on the way, eliminated last.

What is left when vehicles have been eliminated are the nodes' prices dp, with the tree's system A, and the values on
all ways dl, with B the `reach` of all ends at their nodes:

    A dp - B dl = b
    S0 dl - B' dp = pull        S0: the units' stiffness at both ends, less what they hand across
    (S0 - B' A^-1 B) dl = pull + B' A^-1 b

`B' A^-1 B` is the sum over nodes of `phi' A_k^-1 phi`: a drive's vector phi is handed up from its ends to the root and
multiplied by every node's inverse on its way. All drives under a node meet in it, so this is dense: its memory is the
number of drives squared, its work their cube.
"""

import numpy as np

from backfeed.plan.balance import Work, price_step_of, product_of, solve_node, times_inverse
from backfeed.plan.columns import FREE, GAMMA, PRICE_STEP, add, copy
from backfeed.plan.compiled import compiled
from backfeed.plan.dense import factor, pack_upper, packed_size, solve_vector
from backfeed.plan.drives import ARRIVING, LEAVING, Drives
from backfeed.plan.layout import Forest
from backfeed.plan.node import Nodes
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.vectors import LANES


class Border:
    """The drives' system of one problem.

    Parameters
    ----------
    forest
        The kept nodes.
    drives
        The drives.
    count, size
        Steps among a node's columns, and the length of its vectors.
    """

    def __init__(self, forest: Forest, drives: Drives, count: int, size: int) -> None:
        self.drives, self.count, many = drives, count, len(drives.value)
        if not many:
            return
        rank = np.empty(len(forest.parent), np.int64)  # leaves first
        rank[forest.upwards] = np.arange(len(rank))
        at, drive = drives.node, np.arange(2 * many) // 2
        keys = []
        while len(at):
            keys.append(rank[at] * many + drive)
            at, drive = forest.parent[at], drive[forest.parent[at] >= 0]
            at = at[at >= 0]
        key = np.unique(np.concatenate(keys))
        by_rank = np.argsort(rank)
        node, self.drive = by_rank[key // many], key % many
        above = forest.parent[node]
        self.up = np.where(above >= 0, np.searchsorted(key, rank[above] * many + self.drive), -1)
        self.node, first = np.unique(rank[node], return_index=True)
        self.node, self.node_ptr = by_rank[self.node], np.append(first, len(key))
        self.end_member = np.searchsorted(key, rank[drives.node] * many + np.arange(2 * many) // 2)
        self.vectors = np.zeros((len(key), size))
        self.rise = np.zeros((len(forest.parent), size))
        self.room = np.zeros(size), np.zeros(size)
        whole = -(-many // LANES) * LANES
        self.matrix, self.root = np.zeros((whole, whole)), np.zeros(packed_size(whole))

    def factor(self, nodes: Nodes, work: Work) -> None:
        """Factor the drives' system at the nodes' factors."""
        drives, slots = self.drives, nodes.slots
        if not len(drives.value):
            return
        drives.reach[:, self.count : self.count + len(slots)] = drives.reach[:, slots]
        self.vectors[:] = 0.0
        np.add.at(self.vectors, self.end_member, drives.reach)
        _own_matrix(drives, self.matrix)
        members = self.node_ptr, self.drive, self.up
        _subtract_tree(self.node, members, nodes, work, self.vectors, self.matrix, self.room)
        factor(self.matrix, 0, len(self.matrix))
        pack_upper(self.matrix, self.root, 0, len(self.matrix))

    def find_values(self, nodes: Nodes, work: Work) -> None:
        """Find the steps of the drives' values, and what they change of what the nodes have handed up."""
        drives = self.drives
        if not len(drives.value):
            return
        _hand_down(self.node, nodes, work, *self.room)
        right = np.zeros(len(self.matrix))
        right[: len(drives.value)] = drives.pull.sum(axis=1)
        answers = np.einsum("et,et->e", drives.reach, work.columns[drives.node, PRICE_STEP])
        right[: len(drives.value)] += answers[LEAVING::2] + answers[ARRIVING::2]
        solve_vector(self.root, right)
        drives.step[:] = right[: len(drives.value)]
        self.rise[:] = 0.0
        np.add.at(self.rise, drives.node, drives.reach * np.repeat(drives.step, 2)[:, None])
        _raise_nodes(self.node, nodes, work, self.rise, self.room[1])


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


@compiled
def _subtract_tree(
    some: Ints,
    members: tuple[Ints, Ints, Ints],
    nodes: Nodes,
    work: Work,
    vectors: Floats,
    matrix: Floats,
    room: tuple[Floats, Floats],
) -> None:
    """Subtract `B' A^-1 B`, leaves first.

    `members` say where those of some nodes begin, their drives and whom they are handed up to; `vectors` hold the ends'
    reaches, `room` is two vectors' to work in.
    """
    (node_ptr, drive, up), (x, y) = members, room
    for q in range(len(some)):
        k = some[q]
        for m in range(node_ptr[q], node_ptr[q + 1]):
            copy(vectors[m], x)
            solve_node(nodes, work, k, x, y)
            for p in range(m, node_ptr[q + 1]):
                matrix[drive[m], drive[p]] -= product_of(x, vectors[p])
            if up[m] >= 0:
                times_inverse(work, k, x, y)
                add(y, vectors[up[m]])


@compiled
def _hand_down(some: Ints, nodes: Nodes, work: Work, x: Floats, y: Floats) -> None:
    """Write the steps of prices while the drives' values stay, parents first."""
    for q in range(len(some) - 1, -1, -1):
        price_step_of(nodes, work, some[q], x, y)


@compiled
def _raise_nodes(some: Ints, nodes: Nodes, work: Work, rise: Floats, y: Floats) -> None:
    """Add to what nodes have handed up what the drives' values change of their vehicles' power, leaves first."""
    for k in some:
        solve_node(nodes, work, k, rise[k], y)
        add(rise[k], work.columns[k, FREE])
        times_inverse(work, k, rise[k], y)
        add(y, work.columns[k, GAMMA])
        if nodes.parent[k] >= 0:
            add(y, rise[nodes.parent[k]])
