"""Threads that share independent nodes.

Compiled functions release the interpreter's lock, so plain threads run them side by side. Each takes the next
few nodes of a level until none are left; nodes do not read what others of their level write, and sums over nodes are
taken afterwards in the order of nodes. So the result has the same bits whatever the number of threads.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from backfeed.plan.problem import Ints

PORTIONS_PER_THREAD = 8
NODES_MIN = 4
"""Fewer nodes than this are not worth handing over."""


class Threads:
    """A number of threads; one thread runs everything in the caller's.

    Parameters
    ----------
    count
        How many.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool = ThreadPoolExecutor(count) if count > 1 else None

    def share(self, function: Callable[..., None], nodes: Ints, *arguments: Any) -> None:  # noqa: ANN401
        """Call `function(some of the nodes, *arguments)` until all nodes have been given."""
        if self._pool is None or len(nodes) < 2 * NODES_MIN:
            function(nodes, *arguments)
            return
        portion = max(NODES_MIN, -(-len(nodes) // (self._count * PORTIONS_PER_THREAD)))
        portions = [nodes[i : i + portion] for i in range(0, len(nodes), portion)]
        for done in [self._pool.submit(function, some, *arguments) for some in portions]:
            done.result()

    def joined(self, levels: Sequence[Ints]) -> tuple[Ints, ...]:
        """Return levels to share one after the other: a single one where nothing will be handed over, all in order."""
        if self._pool is None or sum(map(len, levels)) < 2 * NODES_MIN:
            return (np.concatenate(levels),) if levels else ()
        return tuple(levels)
