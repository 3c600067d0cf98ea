"""Time axes: half-open steps labelled by their start.

Two arrays may only be combined when they stand on the same axis; `require_same` raises otherwise,
because silent alignment is how a quarter-hour gets lost. A delivery day has 92, 96 or 100 quarter
hours, depending on the clock change, so an axis is counted in UTC and never in wall-clock steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.core.instant import MS_PER_H, format_instant, local_datetime


class AxisMismatchError(ValueError):
    """Two arrays that do not share an axis were about to be combined."""


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """`count` half-open steps of `step_ms` milliseconds from `start_ms` on.

    >>> axis = TimeAxis(start_ms=0, step_ms=900_000, count=4)
    >>> axis.end_ms, axis.index_of(900_000), axis.step_h
    (3600000, 1, 0.25)
    """

    start_ms: int
    step_ms: int
    count: int

    def __post_init__(self) -> None:
        """Refuse an axis that has no step or no width."""
        if self.step_ms <= 0 or self.count < 0:
            message = f"an axis needs step_ms > 0 and count >= 0, found {self.step_ms} and {self.count}"
            raise ValueError(message)

    @property
    def end_ms(self) -> int:
        """The first instant after the last step."""
        return self.start_ms + self.step_ms * self.count

    @property
    def step_h(self) -> float:
        """The length of a step in hours."""
        return self.step_ms / MS_PER_H

    @property
    def starts_ms(self) -> NDArray[np.int64]:
        """The start of every step, shape `(step,)`."""
        return self.start_ms + self.step_ms * np.arange(self.count, dtype=np.int64)

    def __iter__(self) -> Iterator[int]:
        """Iterate over the starts of the steps."""
        return iter(range(self.start_ms, self.end_ms, self.step_ms))

    def index_of(self, at_ms: int) -> int:
        """Return the step that contains an instant.

        Raises
        ------
        IndexError
            If the instant lies outside the axis.
        """
        if not self.start_ms <= at_ms < self.end_ms:
            message = (
                f"{format_instant(at_ms)} lies outside {format_instant(self.start_ms)} .. {format_instant(self.end_ms)}"
            )
            raise IndexError(message)
        return (at_ms - self.start_ms) // self.step_ms

    def overlap_h(self, from_ms: int, until_ms: int) -> NDArray[np.float64]:
        """Return how many hours of every step lie in `[from_ms, until_ms)`, shape `(step,)`."""
        starts = self.starts_ms
        shared = np.minimum(starts + self.step_ms, until_ms) - np.maximum(starts, from_ms)
        return np.asarray(np.maximum(shared, 0) / MS_PER_H, dtype=np.float64)

    def require_same(self, other: "TimeAxis") -> None:
        """Raise `AxisMismatchError` unless `other` is this very axis."""
        if self != other:
            message = f"axes differ: {self} and {other}"
            raise AxisMismatchError(message)


def covering(from_ms: int, until_ms: int, step_ms: int) -> TimeAxis:
    """Return the axis on the grid of `step_ms` that covers `[from_ms, until_ms)`.

    The grid is counted from 1970 UTC, so every axis of one step length shares its boundaries.

    >>> covering(60_000, 960_000, 900_000)
    TimeAxis(start_ms=0, step_ms=900000, count=2)
    """
    start = from_ms // step_ms * step_ms
    return TimeAxis(start, step_ms, max(0, -(-(until_ms - start) // step_ms)))


def utc_offset_ms(axis: TimeAxis, zone: ZoneInfo) -> NDArray[np.int64]:
    """Return how far a zone's wall clock is ahead of UTC at the steps of an axis [ms], shape `(step,)`."""
    return np.array([_offset_ms(at_ms, zone) for at_ms in axis], dtype=np.int64)


@lru_cache(maxsize=4096)
def _offset_ms(at_ms: int, zone: ZoneInfo) -> int:
    """Return the offset at an instant; the same instants are asked for plan after plan."""
    return (local_datetime(at_ms, zone).utcoffset() or timedelta()) // timedelta(milliseconds=1)
