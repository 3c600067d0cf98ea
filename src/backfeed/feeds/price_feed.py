"""What tariffs ask of others: forecast maxima of the weather, and spot prices, from small tables."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeVar

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import format_instant, parse_instant
from backfeed.core.problem import InputError, Problem
from backfeed.feeds.delimited import read_delimited

Key = TypeVar("Key", date, int)


def read_forecast_max(path: Path) -> dict[date, float]:
    """Read the highest temperature forecast for each day.

    Parameters
    ----------
    path
        A CSV file with the columns `day` (the local day on which the forecast was published) and `max_c` [degrees
        Celsius].

    Raises
    ------
    InputError
        With every problem of the file.
    """
    found = _read(path, "day", "max_c", date.fromisoformat, "a day like 2026-06-20")
    return {day: float(value) for day, value in found.items()}


def read_spot(path: Path, axis: TimeAxis) -> tuple[Decimal, ...]:
    """Read spot prices and lay them onto an axis: each holds until the next.

    Parameters
    ----------
    path
        A CSV file with the columns `start` (an instant with its offset) and `price_per_kwh`.
    axis
        The steps that need a price.

    Raises
    ------
    InputError
        With every problem of the file, or if its first price comes after the first step.
    """
    found = _read(path, "start", "price_per_kwh", parse_instant, "an instant with its offset")
    starts = sorted(found)
    if not starts or starts[0] > axis.start_ms:
        told = format_instant(starts[0]) if starts else "none"
        what = f"expected prices from {format_instant(axis.start_ms)} on, found the first at {told}"
        raise InputError([Problem(str(path), what)])
    prices, at = [], 0
    for step_ms in axis:
        while at + 1 < len(starts) and starts[at + 1] <= step_ms:
            at += 1
        prices.append(found[starts[at]])
    return tuple(prices)


def _read(path: Path, key: str, value: str, parse: Callable[[str], Key], expected: str) -> dict[Key, Decimal]:
    table = read_delimited(path)
    missing = [name for name in (key, value) if name not in table.header]
    if missing:
        shown = ", ".join(table.header)
        raise InputError([Problem(f"{path}: header", f"expected a column {name!r}, found {shown}") for name in missing])
    column, amount = table.header.index(key), table.header.index(value)
    problems: list[Problem] = []
    found: dict[Key, Decimal] = {}
    for row, cells in zip(table.row, table.cells, strict=True):
        try:
            at = parse(cells[column])
        except ValueError:
            problems.append(Problem(f"{path}: row {row}, {key}", f"expected {expected}, found {cells[column]!r}"))
            continue
        try:
            number = Decimal(cells[amount])
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite():
            problems.append(Problem(f"{path}: row {row}, {value}", f"expected a number, found {cells[amount]!r}"))
        if at in found:
            problems.append(Problem(f"{path}: row {row}, {key}", f"{cells[column]} stands there twice"))
        found[at] = number
    if problems:
        raise InputError(problems)
    return found
