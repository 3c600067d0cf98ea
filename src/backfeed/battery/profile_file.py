"""Reader of SoC profiles: a table `time,soc` that a person wrote, as a profile to repeat.

`time` is hours (0, 0.25, ...) or ISO 8601 text, rising; `soc` a fraction. The period after which the
profile repeats is the time from first to last row, or one step more where only that makes whole days:
a table from 0:00 to 23:45 is a day.
"""

import csv
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import numpy as np

from backfeed.battery.counterfactual import Profile
from backfeed.core.instant import MS_PER_H, to_ms
from backfeed.core.problem import InputError, Problem

_HOURS_PER_DAY = 24.0
_TOLERANCE_H = 1e-6
_SHORTEST_H = 1 / 60
"""A shorter profile would be repeated without end."""
_LONGEST_H = 366 * _HOURS_PER_DAY


def read_profile(lines: Iterable[str], where: str) -> tuple[Profile, float]:
    """Read a profile.

    Parameters
    ----------
    lines
        The file's lines, the first one naming the columns.
    where
        The file's name, for problems.

    Returns
    -------
    The profile from hour 0 on, and its period [h].

    Raises
    ------
    InputError
        With every problem found, each with its row.
    """
    rows = csv.reader(lines)
    header = [name.strip().lstrip("\ufeff").casefold() for name in next(rows, [])]
    missing = [name for name in ("time", "soc") if name not in header]
    if missing:
        raise InputError([Problem(f"{where} row 1", f"expected the columns time and soc, found {', '.join(header)}")])
    problems: list[Problem] = []
    hours: list[float] = []
    levels: list[float] = []
    at = header.index("time"), header.index("soc")
    for number, row in enumerate(rows, start=2):
        if not any(cell.strip() for cell in row):
            continue
        sample = _sample(row, at)
        wrong = _wrong(sample, hours[-1] if hours else -math.inf)
        if sample is None or wrong:
            problems.append(Problem(f"{where} row {number}", f"{wrong}, found {','.join(row)}"))
        else:
            hours.append(sample[0])
            levels.append(sample[1])
    if not problems and len(hours) < 2:  # noqa: PLR2004 - a path needs two points
        problems.append(Problem(where, f"expected at least two rows, found {len(hours)}"))
    if not problems and hours[-1] - hours[0] > _LONGEST_H:
        problems.append(Problem(where, f"expected at most a year, found {(hours[-1] - hours[0]) / 24:.0f} days"))
    if not problems and hours[-1] - hours[0] < _SHORTEST_H:
        problems.append(Problem(where, f"expected at least a minute, found {3600 * (hours[-1] - hours[0]):g} s"))
    if problems:
        raise InputError(problems)
    at_h = np.array(hours) - hours[0]
    return Profile(at_h, np.array(levels)), _period_h(at_h)


def _sample(row: Sequence[str], at: tuple[int, int]) -> tuple[float, float] | None:
    """Return the time [h] and the state of charge of a row, None where it has none."""
    try:
        return _hour(row[at[0]].strip()), float(row[at[1]])
    except (ValueError, IndexError):
        return None


def _wrong(sample: tuple[float, float] | None, after_h: float) -> str:
    """Say what was expected of a sample and is not so; nothing if it is good."""
    if sample is None or not all(map(math.isfinite, sample)):
        return "expected a time and a number"
    if not 0 <= sample[1] <= 1:
        return "expected soc between 0 and 1"
    return "" if sample[0] > after_h else "expected a later time than in the row before"


def _hour(text: str) -> float:
    """Return a time in hours, from a number or ISO 8601 text."""
    try:
        return float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC)) / MS_PER_H


def _period_h(at_h: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    span = float(at_h[-1])
    step = float(np.median(np.diff(at_h)))
    closed = abs(span / _HOURS_PER_DAY - round(span / _HOURS_PER_DAY)) < _TOLERANCE_H
    with_step = (span + step) / _HOURS_PER_DAY
    return span if closed or abs(with_step - round(with_step)) > _TOLERANCE_H else span + step
