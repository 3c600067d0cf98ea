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
_ONE = np.uintp(1)
"""Indices are unsigned: a signed one may count from the end, and numba looks for that every time."""
_H_PER_MS = 1 / MS_PER_H
_REST_PER_MS = REST_C_RATE / MS_PER_H


@njit(cache=True, inline="always", error_model="numpy")
def _cell_stress(
    table: NDArray[np.float64], row: np.uintp, warmth: float, cell: np.uintp
) -> tuple[float, float, float]:
    """Return the stress at a cell and at the next one, and the antiderivative, at a share between two rows."""
    stress, after, area = table[0, row, cell], table[0, row, cell + _ONE], table[1, row, cell]
    if warmth == 0.0:
        return stress, after, area
    warmer = row + _ONE
    stress += warmth * (table[0, warmer, cell] - stress)
    after += warmth * (table[0, warmer, cell + _ONE] - after)
    area += warmth * (table[1, warmer, cell] - area)
    return stress, after, area


@njit(cache=True, inline="always", error_model="numpy")
def _standing_stress(table: NDArray[np.float64], row: np.uintp, warmth: float, at: float) -> float:
    """Return the stress at one SoC, counted in cells."""
    whole = min(int(at), table.shape[2] - 2)
    stress, after, _ = _cell_stress(table, row, warmth, np.uintp(whole))
    return float(stress + (at - whole) * (after - stress))


@njit(cache=True, inline="always", error_model="numpy")
def _moving_stress(table: NDArray[np.float64], row: np.uintp, warmth: float, at: float, to: float) -> float:
    """Return the mean stress along a straight line of SoC, counted in cells."""
    whole = min(int(at), table.shape[2] - 2)
    part = at - whole
    stress, after, area = _cell_stress(table, row, warmth, np.uintp(whole))
    if abs(to - at) < _FLAT_SOC * (table.shape[2] - 1):
        return float(stress + part * (after - stress))
    area += part * (stress + 0.5 * part * (after - stress))
    whole = min(int(to), table.shape[2] - 2)
    part = to - whole
    stress, after, until = _cell_stress(table, row, warmth, np.uintp(whole))
    until += part * (stress + 0.5 * part * (after - stress))
    return float((until - area) / (to - at))


@njit(cache=True, inline="always", error_model="numpy")
def _time_mean(at_ms: NDArray[np.int64], soc: NDArray[np.float64], start: int, end: int) -> float:
    """Return the mean state of charge of a path over time."""
    total = 0.0
    before_ms, before = at_ms[start], soc[start]
    for number in range(start + 1, end):
        sample = np.uintp(number)
        total += (at_ms[sample] - before_ms) * (soc[sample] + before)
        before_ms, before = at_ms[sample], soc[sample]
    span = at_ms[end - 1] - at_ms[start]
    return float(0.5 * total / span) if span > 0 else float(soc[start])


@njit(cache=True, inline="always", error_model="numpy")
def _clipped(soc: float) -> float:
    return float(min(max(soc, 0.0), 1.0))


def _accumulate_stress(  # noqa: PLR0915 - one pass; handing its sums from function to function halves its speed
    samples: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
    offsets: NDArray[np.int64],
    first_piece: NDArray[np.int64],
    grid: tuple[int, int],
    table: NDArray[np.float64],
    span_c: tuple[float, float],
    stretch: float,
    out: NDArray[np.float64],
) -> None:
    """Add every segment of every path to the pieces it crosses.

    Parameters
    ----------
    samples
        Instants [ms], state of charge, and temperature [degrees C], which has one value or one per sample.
    offsets, first_piece
        Where every path starts among the samples and among the pieces.
    grid
        An instant at which a piece starts and the length of pieces [ms]: a day, or a part of it.
    table
        Storage stress and its antiderivative over SoC, shape (2, temperature, SoC).
    span_c
        The temperatures of the table's first and last row [degrees C], to which temperature is clamped.
    stretch
        A factor; where it is not 1, the stress is also taken of every path stretched by it about its mean.
    out
        Shape (piece, `COLUMNS`); filled.
    """
    at_ms, soc, degrees = samples
    grid_start_ms, piece_ms = grid
    coldest, warmest = span_c
    rows_per_c = (table.shape[1] - 1) / (warmest - coldest)
    cells, last_row = table.shape[2] - 1, table.shape[1] - 2
    for path in range(offsets.size - 1):
        start, end = offsets[path], offsets[path + 1]
        piece = first_piece[path]
        base = (1.0 - stretch) * _time_mean(at_ms, soc, start, end) if stretch != 1.0 else 0.0
        border = ((at_ms[start] - grid_start_ms) // piece_ms + 1) * piece_ms + grid_start_ms
        until_ms, soc_until = at_ms[start], _clipped(soc[start])
        lowest = highest = soc_until
        at, wider_at = cells * soc_until, cells * _clipped(base + stretch * soc_until)
        hours = stress_hours = level_hours = throughput = motion = motion_hours = wider_hours = 0.0
        warm = degrees[start] if degrees.size > 1 else degrees[0]
        for number in range(start + 1, end):
            sample = np.uintp(number)
            from_ms, until_ms = until_ms, at_ms[sample]
            soc_from, soc_until = soc_until, _clipped(soc[sample])
            was_warm, warm = warm, degrees[sample] if degrees.size > 1 else warm
            if until_ms == from_ms:
                at, wider_at = cells * soc_until, cells * _clipped(base + stretch * soc_until)
                continue
            celsius = 0.5 * (was_warm + warm)
            level = (min(max(celsius, coldest), warmest) - coldest) * rows_per_c
            whole = min(int(level), last_row)
            warmth, row = level - whole, np.uintp(whole)
            if soc_until == soc_from and from_ms < border and until_ms <= border:
                # Most samples: the battery stands, within one piece.
                span_h = (until_ms - from_ms) * _H_PER_MS
                hours += span_h
                level_hours += span_h * level
                stress_hours += span_h * _standing_stress(table, row, warmth, at)
                if stretch != 1.0:
                    wider_hours += span_h * _standing_stress(table, row, warmth, wider_at)
                continue
            slope = (soc_until - soc_from) / (until_ms - from_ms)
            moves = abs(slope) >= _REST_PER_MS
            left_ms, left = from_ms, soc_from
            while left_ms < until_ms:
                if left_ms == border:
                    out[piece] = (
                        hours, stress_hours, level_hours, lowest, highest, throughput, motion, motion_hours,
                        wider_hours,
                    )  # fmt: skip
                    piece += 1
                    border += piece_ms
                    lowest = highest = left
                    hours = stress_hours = level_hours = throughput = motion = motion_hours = wider_hours = 0.0
                right_ms = min(until_ms, border)
                right = soc_until if right_ms == until_ms else soc_from + slope * (right_ms - from_ms)
                span_h = (right_ms - left_ms) * _H_PER_MS
                change = abs(right - left)
                hours += span_h
                level_hours += span_h * level
                to = cells * right
                stress_hours += span_h * _moving_stress(table, row, warmth, at, to)
                at = to
                if stretch != 1.0:
                    to = cells * _clipped(base + stretch * right)
                    wider_hours += span_h * _moving_stress(table, row, warmth, wider_at, to)
                    wider_at = to
                lowest, highest = min(lowest, right), max(highest, right)
                throughput += change
                if moves:
                    motion += change
                    motion_hours += span_h
                left_ms, left = right_ms, right
        out[piece] = (hours, stress_hours, level_hours, lowest, highest, throughput, motion, motion_hours, wider_hours)


accumulate_stress: Callable[..., None] = njit(cache=True, error_model="numpy")(_accumulate_stress)
