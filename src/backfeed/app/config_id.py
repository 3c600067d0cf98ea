"""Names of the rows of a table of the pilot file: each has one, and no other has the same."""

from collections.abc import Iterable
from pathlib import Path

from backfeed.core.problem import Problem


def row_name(path: Path, table: str, number: int, name: str) -> str:
    """Return where a row stands, counted from 1, as problems name it."""
    return f"{path} [[{table}]] {name or number}"


def id_problems(path: Path, table: str, what: str, names: Iterable[str]) -> list[Problem]:
    """Return which rows have no name or one that a row before has; `what` they name, like "a site id"."""
    found: list[Problem] = []
    seen: set[str] = set()
    for number, name in enumerate(names, 1):
        where = row_name(path, table, number, name)
        if not name:
            found.append(Problem(f"{where} id", "expected a name, found none"))
        if name in seen:
            found.append(Problem(where, f"expected {what} once, found it twice"))
        seen.add(name)
    return found
