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

from backfeed.battery.columns import REST_C_RATE
from backfeed.core.instant import MS_PER_H

_FLAT_SOC = 1e-7
_H_PER_MS = 1 / MS_PER_H
_REST_PER_MS = REST_C_RATE / MS_PER_H


@njit(cache=True, inline="always")
def _area(stress: NDArray[np.float64], area: NDArray[np.float64], soc: float) -> float:
    """Return the antiderivative of the tabulated stress at a state of charge, in cells of the table."""
    cells = stress.size - 1
    at = soc * cells
    cell = min(int(at), cells - 1)
    part = at - cell
    return float(area[cell] + part * (stress[cell] + 0.5 * part * (stress[cell + 1] - stress[cell])))


@njit(cache=True, inline="always")
def _mean_stress(stress: NDArray[np.float64], area: NDArray[np.float64], left: float, right: float) -> float:
    """Return the mean of the tabulated stress along a straight line of SoC."""
    if abs(right - left) < _FLAT_SOC:
        cells = stress.size - 1
        cell = min(int(left * cells), cells - 1)
        return float(stress[cell] + (left * cells - cell) * (stress[cell + 1] - stress[cell]))
    return float((_area(stress, area, right) - _area(stress, area, left)) / ((right - left) * (stress.size - 1)))


def _accumulate_stress(
    samples: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
    offsets: NDArray[np.int64],
    first_piece: NDArray[np.int64],
    grid: tuple[int, int],
    table: NDArray[np.float64],
    stretch: tuple[float, NDArray[np.float64]],
    out: NDArray[np.float64],
) -> None:
    """Add every segment of every path to the pieces it crosses.

    Parameters
    ----------
    samples
        Instants [ms], state of charge, and temperature counted in rows of the table, which has one value
        or one per sample.
    offsets, first_piece
        Where every path starts among the samples and among the pieces.
    grid
        An instant at which a piece starts and the length of pieces [ms]: a day, or a part of it.
    table
        Storage stress and its antiderivative over SoC, shape (2, temperature, SoC).
    stretch
        A factor by which every path is stretched, and the SoC about which, shape (path,).
    out
        Shape (piece, `COLUMNS`); filled.
    """
    at_ms, soc, degrees = samples
    stress, area = table[0], table[1]
    grid_start_ms, piece_ms = grid
    factor, middle = stretch
    warmest = stress.shape[0] - 2
    for path in range(offsets.size - 1):
        start = offsets[path]
        piece = first_piece[path]
        border = ((at_ms[start] - grid_start_ms) // piece_ms + 1) * piece_ms + grid_start_ms
        base = (1.0 - factor) * middle[path]
        until_ms = at_ms[start]
        soc_until = min(max(base + factor * soc[start], 0.0), 1.0)
        lowest = highest = soc_until
        hours = stress_hours = level_hours = throughput = motion = motion_hours = soc_hours = 0.0
        for sample in range(start + 1, offsets[path + 1]):
            from_ms, until_ms = until_ms, at_ms[sample]
            soc_from, soc_until = soc_until, min(max(base + factor * soc[sample], 0.0), 1.0)
            if until_ms == from_ms:
                continue
            level = 0.5 * (degrees[sample - 1] + degrees[sample]) if degrees.size > 1 else degrees[0]
            row = min(int(level), warmest)
            warmth = level - row
            slope = (soc_until - soc_from) / (until_ms - from_ms) if soc_until != soc_from else 0.0
            moves = abs(slope) >= _REST_PER_MS
            left_ms, left = from_ms, soc_from
            while left_ms < until_ms:
                if left_ms == border:
                    out[piece] = (
                        hours, stress_hours, level_hours, lowest, highest, throughput, motion, motion_hours, soc_hours,
                    )  # fmt: skip
                    piece += 1
                    border += piece_ms
                    lowest = highest = left
                    hours = stress_hours = level_hours = throughput = motion = motion_hours = soc_hours = 0.0
                right_ms = min(until_ms, border)
                right = soc_until if right_ms == until_ms else soc_from + slope * (right_ms - from_ms)
                span_h = (right_ms - left_ms) * _H_PER_MS
                mean = _mean_stress(stress[row], area[row], left, right)
                if warmth > 0.0:
                    mean += warmth * (_mean_stress(stress[row + 1], area[row + 1], left, right) - mean)
                change = abs(right - left)
                hours += span_h
                stress_hours += span_h * mean
                level_hours += span_h * level
                soc_hours += span_h * 0.5 * (left + right)
                lowest, highest = min(lowest, right), max(highest, right)
                throughput += change
                if moves:
                    motion += change
                    motion_hours += span_h
                left_ms, left = right_ms, right
        out[piece] = (hours, stress_hours, level_hours, lowest, highest, throughput, motion, motion_hours, soc_hours)


accumulate_stress: Callable[..., None] = njit(cache=True)(_accumulate_stress)
