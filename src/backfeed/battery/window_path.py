"""A car's state of charge over a window of days, from its stays at chargers.

Between stays the car is driven: the path is straight from one departure to the next arrival. The window is taken
for one turn of a car's life that repeats, so what lies before the first arrival follows on from the last departure,
and a path always covers whole days of 24 hours from the window's start.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backfeed.battery.law import Floats
from backfeed.battery.stress import SocPaths
from backfeed.core.instant import MS_PER_DAY

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Window:
    """Whole days from an instant."""

    start_ms: int
    days: int

    @property
    def end_ms(self) -> int:
        """The instant after the last day."""
        return self.start_ms + self.days * MS_PER_DAY

    @classmethod
    def within(cls, start_ms: int, end_ms: int) -> "Window":
        """Return the whole days that fit, at least one."""
        return cls(start_ms, max(1, (end_ms - start_ms) // MS_PER_DAY))


def window_path(window: Window, at_ms: Ints, soc: Floats) -> tuple[Ints, Floats]:
    """Return a path over the whole window.

    Parameters
    ----------
    window
        The days.
    at_ms, soc
        Samples of the car's stays in order of time [ms, 0-1], at least one.

    Returns
    -------
    Instants and states of charge from the window's start to its end, with a sample at both.

    >>> day = Window(0, 1)
    >>> at_ms, soc = window_path(day, np.array([43_200_000, 64_800_000]), np.array([0.4, 0.8]))
    >>> at_ms.tolist(), [round(float(each), 3) for each in soc]
    ([0, 43200000, 64800000, 86400000], [0.667, 0.4, 0.8, 0.667])
    """
    turn_ms = int(at_ms[0]) + max(window.end_ms - window.start_ms, int(at_ms[-1] - at_ms[0]))
    once_ms, once = np.append(at_ms, turn_ms), np.append(soc, soc[0])
    end = np.interp(window.end_ms, once_ms, once)
    start = end if at_ms[0] > window.start_ms else np.interp(window.start_ms, once_ms, once)
    inside = (at_ms > window.start_ms) & (at_ms < window.end_ms)
    return (
        np.concatenate([[window.start_ms], at_ms[inside], [window.end_ms]]).astype(np.int64),
        np.concatenate([[start], soc[inside], [end]]).astype(np.float64),
    )


def as_paths(paths: list[tuple[Ints, Floats]]) -> SocPaths:
    """Return many paths as columns."""
    offsets = np.concatenate([[0], np.cumsum([at_ms.size for at_ms, _ in paths])]).astype(np.int64)
    return SocPaths(np.concatenate([path[0] for path in paths]), np.concatenate([path[1] for path in paths]), offsets)
