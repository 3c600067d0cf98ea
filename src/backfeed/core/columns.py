"""Columns: a fleet, a session file, a world as equal-length columns of which some rows can be taken."""

from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

Rows = NDArray[np.bool_] | NDArray[np.int64]
"""Which rows: true for each that is taken, or their numbers in the order wanted."""


class Columns:
    """A dataclass whose fields are columns of one length: arrays, and tuples of text."""

    def select(self, rows: Rows) -> Self:
        """Return the rows where a mask is true, or those of an order as it stands."""
        chosen = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        make: Callable[..., Self] = type(self)
        return make(
            **{
                name: tuple(column[row] for row in chosen) if isinstance(column, tuple) else column[chosen]
                for name, column in vars(self).items()
            }
        )
