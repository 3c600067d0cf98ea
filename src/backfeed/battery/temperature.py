"""How warm the cells are: a constant, or readings with lines between them and a default where they are missing.

A feed has gaps. Between two readings that lie further apart than `GAP_MS`, before the first and after the last, nobody
knows, and the default stands in.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backfeed.battery.law import Floats
from backfeed.battery.stress import DEFAULT_TEMPERATURE_C
from backfeed.core.instant import MS_PER_H

GAP_MS = 6 * MS_PER_H
"""Readings further apart than this say nothing about what lies between."""


@dataclass(frozen=True)
class CellTemperature:
    """Cell temperature over time.

    Parameters
    ----------
    default_c
        Where no reading tells it [degrees C].
    at_ms, reading_c
        Readings, rising in time [ms], [degrees C]; empty for a constant.
    """

    default_c: float = DEFAULT_TEMPERATURE_C
    at_ms: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    reading_c: Floats = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        """Refuse readings that are none."""
        assert self.at_ms.shape == self.reading_c.shape, "every reading has an instant"
        assert (np.diff(self.at_ms) > 0).all(), "readings rise in time"
        assert np.isfinite(self.reading_c).all(), "a reading is a number"

    @property
    def is_constant(self) -> bool:
        """Whether there are no readings."""
        return len(self.at_ms) == 0

    def now_c(self, now_ms: int) -> float:
        """Return the temperature at an instant [degrees C]."""
        return self.default_c if self.is_constant else float(self.over(np.array([now_ms]))[0])

    def over(self, at_ms: NDArray[np.int64]) -> Floats:
        """Return the temperature at instants, of their shape [degrees C].

        >>> feed = CellTemperature(25.0, np.array([0, 3_600_000]), np.array([4.0, 8.0]))
        >>> feed.over(np.array([-1, 0, 1_800_000, 3_600_000, 3_600_001])).tolist()
        [25.0, 4.0, 6.0, 8.0, 25.0]
        """
        if self.is_constant:
            return np.full(np.shape(at_ms), self.default_c)
        after = np.searchsorted(self.at_ms, at_ms, "left")
        before = np.searchsorted(self.at_ms, at_ms, "right") - 1
        inside = (before >= 0) & (after < len(self.at_ms))
        gap_ms = self.at_ms[np.minimum(after, len(self.at_ms) - 1)] - self.at_ms[np.maximum(before, 0)]
        known: Floats = np.interp(at_ms, self.at_ms, self.reading_c)
        return np.where(inside & (gap_ms <= GAP_MS), known, self.default_c)

    def along(self, at_ms: NDArray[np.int64]) -> float | Floats:
        """Return what the wear law takes: one value for a constant, else one per sample."""
        return self.default_c if self.is_constant else self.over(at_ms)
