"""Cell temperatures from a small table of readings."""

import math
from pathlib import Path

import numpy as np

from backfeed.battery.temperature import CellTemperature
from backfeed.core.instant import parse_instant
from backfeed.core.problem import InputError, Problem
from backfeed.feeds.delimited import read_delimited

_COLUMNS = ("time", "temperature_c")
COLDEST_C, WARMEST_C = -60.0, 90.0
"""No cell that is in a car and works is colder or warmer."""


def read_temperature(path: str | Path, default_c: float) -> CellTemperature:
    """Read cell temperatures.

    Parameters
    ----------
    path
        A CSV file with the columns `time` (ISO 8601 with an offset, rising) and `temperature_c`.
    default_c
        What holds where the file has no reading [degrees C].

    Raises
    ------
    InputError
        With every problem of the file.
    """
    found = read_delimited(Path(path))
    missing = [name for name in _COLUMNS if name not in found.header]
    if missing:
        shown = ", ".join(found.header)
        raise InputError([Problem(f"{path}: header", f"expected a column {name!r}, found {shown}") for name in missing])
    time, degrees = (found.header.index(name) for name in _COLUMNS)
    problems: list[Problem] = []
    at_ms: list[int] = []
    reading_c: list[float] = []
    for row, cells in zip(found.row, found.cells, strict=True):
        try:
            at_ms.append(parse_instant(cells[time]))
        except ValueError:
            what = f"expected an instant with an offset, found {cells[time]!r}"
            problems.append(Problem(f"{path}: row {row}, time", what))
            continue
        if len(at_ms) > 1 and at_ms[-1] <= at_ms[-2]:
            what = f"expected an instant after that of the row before, found {cells[time]!r}"
            problems.append(Problem(f"{path}: row {row}, time", what))
        reading_c.append(_degrees(cells[degrees]))
        if math.isnan(reading_c[-1]):
            what = f"expected {COLDEST_C:g} to {WARMEST_C:g} degrees C, found {cells[degrees]!r}"
            problems.append(Problem(f"{path}: row {row}, temperature_c", what))
    if not found.row:
        problems.append(Problem(str(path), "expected readings, found none"))
    if problems:
        raise InputError(problems)
    return CellTemperature(default_c, np.array(at_ms, dtype=np.int64), np.array(reading_c))


def _degrees(text: str) -> float:
    """Return a temperature, NaN where the text is none."""
    try:
        degrees = float(text)
    except ValueError:
        return math.nan
    return degrees if COLDEST_C <= degrees <= WARMEST_C else math.nan
