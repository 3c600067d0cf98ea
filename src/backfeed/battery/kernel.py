"""The one compiled loop of the wear model: SoC paths in, the stress of every day of them out.

Kept apart because numba takes half a second to import; `backfeed.battery.stress` imports it when the
first path arrives. The loop is exact for paths that are straight lines between their samples: the
storage stress along a segment is a difference of its antiderivative, so adding a sample on a line
changes nothing.
"""

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from backfeed.core.instant import MS_PER_DAY, MS_PER_H

REST_C_RATE = 1e-2
"""Rates below this are rest, not cycling, when the mean C-rate is taken [1/h]; BLAST-Lite's threshold."""
HOURS, STRESS_HOURS, DEGREE_HOURS, LOWEST, HIGHEST, THROUGHPUT, MOTION, MOTION_HOURS = range(8)
"""The columns of the result. Motion is the throughput above the rest rate."""
COLUMNS = 8
_FLAT_SOC = 1e-7


@njit(cache=True, inline="always")
def _area(stress: NDArray[np.float64], area: NDArray[np.float64], soc: float) -> float:
    """Return the antiderivative of the tabulated stress at a state of charge."""
    cells = stress.size - 1
    cell = min(int(soc * cells), cells - 1)
    part = soc * cells - cell
    return float(area[cell] + part * (stress[cell] + 0.5 * part * (stress[cell + 1] - stress[cell])) / cells)


@njit(cache=True, inline="always")
def _mean_stress(stress: NDArray[np.float64], area: NDArray[np.float64], left: float, right: float) -> float:
    """Return the mean of the tabulated stress along a straight line of SoC."""
    if abs(right - left) < _FLAT_SOC:
        cells = stress.size - 1
        cell = min(int(left * cells), cells - 1)
        return float(stress[cell] + (left * cells - cell) * (stress[cell + 1] - stress[cell]))
    return float((_area(stress, area, right) - _area(stress, area, left)) / (right - left))


def _accumulate_stress(
    at_ms: NDArray[np.int64],
    soc: NDArray[np.float64],
    degrees: NDArray[np.float64],
    offsets: NDArray[np.int64],
    first_piece: NDArray[np.int64],
    day_start_ms: int,
    table: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Add every segment of every path to the pieces of the days it crosses.

    `table` holds the storage stress and its antiderivative over SoC, shape (2, temperature, SoC); `degrees`
    counts its rows and has one value, or one per sample; `out` has shape (piece, `COLUMNS`) and starts at
    zero.
    """
    stress, area = table[0], table[1]
    warmest = stress.shape[0] - 2
    for path in range(offsets.size - 1):
        start = offsets[path]
        piece = first_piece[path]
        border = ((at_ms[start] - day_start_ms) // MS_PER_DAY + 1) * MS_PER_DAY + day_start_ms
        out[piece, LOWEST] = out[piece, HIGHEST] = soc[start]
        for sample in range(start + 1, offsets[path + 1]):
            from_ms, until_ms = at_ms[sample - 1], at_ms[sample]
            if until_ms == from_ms:
                continue
            level = 0.5 * (degrees[sample - 1] + degrees[sample]) if degrees.size > 1 else degrees[0]
            row = min(int(level), warmest)
            slope = (soc[sample] - soc[sample - 1]) / (until_ms - from_ms)
            left_ms, left = from_ms, soc[sample - 1]
            while left_ms < until_ms:
                if left_ms == border:
                    piece += 1
                    border += MS_PER_DAY
                    out[piece, LOWEST] = out[piece, HIGHEST] = left
                right_ms = min(until_ms, border)
                right = soc[sample] if right_ms == until_ms else soc[sample - 1] + slope * (right_ms - from_ms)
                span_h = (right_ms - left_ms) / MS_PER_H
                cool = _mean_stress(stress[row], area[row], left, right)
                warm = _mean_stress(stress[row + 1], area[row + 1], left, right)
                change = abs(right - left)
                out[piece, HOURS] += span_h
                out[piece, STRESS_HOURS] += span_h * (cool + (level - row) * (warm - cool))
                out[piece, DEGREE_HOURS] += span_h * level
                out[piece, LOWEST] = min(out[piece, LOWEST], right)
                out[piece, HIGHEST] = max(out[piece, HIGHEST], right)
                out[piece, THROUGHPUT] += change
                if abs(slope) * MS_PER_H >= REST_C_RATE:
                    out[piece, MOTION] += change
                    out[piece, MOTION_HOURS] += span_h
                left_ms, left = right_ms, right


accumulate_stress: Callable[..., None] = njit(cache=True)(_accumulate_stress)
