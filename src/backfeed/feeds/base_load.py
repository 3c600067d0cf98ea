"""A building's load over the local day, from a small table."""

import math
from pathlib import Path

from backfeed.core.problem import InputError, Problem
from backfeed.feeds.delimited import read_delimited

QUARTER_HOURS = 96
_MINUTES = 15


def read_base_load(path: str | Path) -> tuple[float, ...]:
    """Read a building's load, one value a quarter-hour of the local day.

    Parameters
    ----------
    path
        A CSV file with the columns `time` (00:00, 00:15, ... 23:45, in this order) and
        `base_load_kw` (0 or more).

    Returns
    -------
    tuple of float
        96 values [kW].

    Raises
    ------
    InputError
        With every problem of the file.
    """
    found = read_delimited(Path(path))
    missing = [name for name in ("time", "base_load_kw") if name not in found.header]
    if missing:
        shown = ", ".join(found.header)
        raise InputError([Problem(f"{path}: header", f"expected a column {name!r}, found {shown}") for name in missing])
    time, load = found.header.index("time"), found.header.index("base_load_kw")
    problems: list[Problem] = []
    if len(found.cells) != QUARTER_HOURS:
        problems.append(Problem(str(path), f"expected {QUARTER_HOURS} rows, found {len(found.cells)}"))
    loads: list[float] = []
    for quarter, (row, cells) in enumerate(zip(found.row, found.cells, strict=True)):
        hour, minute = divmod(quarter * _MINUTES, 60)
        if cells[time] != f"{hour:02d}:{minute:02d}":
            problems.append(
                Problem(f"{path}: row {row}, time", f"expected {hour:02d}:{minute:02d}, found {cells[time]!r}")
            )
        loads.append(_load(cells[load]))
        if math.isnan(loads[-1]):
            problems.append(
                Problem(f"{path}: row {row}, base_load_kw", f"expected 0 kW or more, found {cells[load]!r}")
            )
    if problems:
        raise InputError(problems)
    return tuple(loads)


def _load(text: str) -> float:
    """Return a load in kW, NaN where the text is none."""
    try:
        load = float(text)
    except ValueError:
        return math.nan
    return load if 0 <= load < math.inf else math.nan
