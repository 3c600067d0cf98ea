"""Reading rule files: typed keys of a TOML table, every problem collected, unknown keys refused.

A `Table` hands out values by key and type. A value that is missing or of the wrong kind becomes a
`Problem` and a harmless stand-in, so that reading goes on and one pass finds everything. Numbers are
`Decimal` from the first character on: TOML is parsed with `parse_float=Decimal`.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from backfeed.core.problem import InputError, Problem

T = TypeVar("T")

_CURRENCY = re.compile("[A-Z]{3}")

NUMBER_MAX = Decimal(10) ** 12
"""No price, power or yearly cap comes near it; beyond it products would leave the 28 digits of a `Decimal`."""

WHOLE_MAX = 100_000
"""Minutes and days beyond it lead out of the calendar."""

PLACES_MAX = 12
"""More decimal places than this has no published price, and their products would be cut."""


class Table:
    """One TOML table, the place it stands at, and the list that problems are added to."""

    def __init__(self, values: Mapping[str, object], where: str, problems: list[Problem]) -> None:
        """Read from `values`; `where` names file and table in every problem."""
        self._values = values
        self._seen: set[str] = set()
        self.where = where
        self.problems = problems

    def problem(self, what: str) -> None:
        """Record that something about this table is wrong."""
        self.problems.append(Problem(self.where, what))

    def has(self, key: str) -> bool:
        """Say whether the table has a key."""
        return key in self._values

    def read(self, key: str, expected: str, accept: Callable[[object], T | None], default: T | None) -> T | None:
        """Return the value that `accept` makes of a key; a refused value is a problem."""
        self._seen.add(key)
        if key not in self._values:
            return default
        found = self._values[key]
        accepted = accept(found)
        if accepted is None:
            self.problem(f"{key}: expected {expected}, found {found!r}")
            return default
        return accepted

    def require(self, key: str) -> None:
        """Record a problem if a key is missing."""
        if key not in self._values:
            self.problem(f"{key} is missing")

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text; without a default it has to be there, and must not be empty."""
        if default is None:
            self.require(key)
            return self.read(key, "a text", lambda v: v if isinstance(v, str) and v.strip() else None, "") or ""
        return self.read(key, "a text", lambda v: v if isinstance(v, str) else None, default) or ""

    def currency(self, key: str) -> str:
        """Return the three letters of a currency: accounts and statements are named by them."""
        text = self.text(key)
        if text and not _CURRENCY.fullmatch(text):
            self.problem(f"{key}: expected the three letters of ISO 4217 like CNY, found {text!r}")
        return text

    def choice(self, key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """Return one of a few words."""
        if default is None:
            self.require(key)
        first = default or allowed[0]
        words = "one of " + ", ".join(allowed)
        return self.read(key, words, lambda v: v if isinstance(v, str) and v in allowed else None, first) or first

    def number(self, key: str, *, least: Decimal | None = None) -> Decimal | None:
        """Return a number, or none where the table has none; see `NUMBER_MAX` and `PLACES_MAX`."""
        expected = "a number" if least is None else f"a number of at least {least}"

        def accept(found: object) -> Decimal | None:
            number = _decimal(found)
            return None if number is None or (least is not None and number < least) else number

        return self.read(key, expected, accept, None)

    def required_number(self, key: str, *, least: Decimal | None = None) -> Decimal:
        """Return a number that has to be there."""
        self.require(key)
        return self.number(key, least=least) or Decimal(0)

    def whole(self, key: str, default: int, *, least: int = 0) -> int:
        """Return a whole number of at least `least`."""

        def accept(found: object) -> int | None:
            whole = isinstance(found, int) and not isinstance(found, bool)
            return found if whole and isinstance(found, int) and least <= found <= WHOLE_MAX else None

        value = self.read(key, f"a whole number from {least} to {WHOLE_MAX}", accept, default)
        return default if value is None else value

    def truth(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self.read(key, "true or false", lambda v: v if isinstance(v, bool) else None, default)
        return default if value is None else value

    def day(self, key: str) -> date | None:
        """Return a local date, or none where the table has none."""

        def accept(found: object) -> date | None:
            return found if isinstance(found, date) and not isinstance(found, datetime) else None

        return self.read(key, "a date like 2026-07-01", accept, None)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, empty where the table has none."""

        def accept(found: object) -> tuple[str, ...] | None:
            if isinstance(found, list) and all(isinstance(item, str) for item in found):
                return tuple(found)
            return None

        return self.read(key, "a list of texts", accept, ()) or ()

    def table(self, key: str) -> "Table":
        """Return a table inside this one, empty where there is none."""

        def accept(found: object) -> dict[str, object] | None:
            return found if isinstance(found, dict) else None

        found = self.read(key, "a table", accept, None) or {}
        return Table(found, f"{self.where} [{key}]", self.problems)

    def tables(self, key: str) -> tuple["Table", ...]:
        """Return a list of tables inside this one, empty where there is none."""

        def accept(found: object) -> list[dict[str, object]] | None:
            return found if isinstance(found, list) and all(isinstance(item, dict) for item in found) else None

        found = self.read(key, "a list of tables", accept, None) or []
        return tuple(Table(item, f"{self.where} [{key} {i}]", self.problems) for i, item in enumerate(found, 1))

    def names(self) -> tuple[str, ...]:
        """Return all keys, for tables whose keys are names that the file gives."""
        self._seen.update(self._values)
        return tuple(self._values)

    def finish(self) -> None:
        """Record every key that nobody asked for."""
        for key in self._values:
            if key not in self._seen:
                self.problem(f"{key} is not a key of this table; known are {', '.join(sorted(self._seen))}")


def _decimal(found: object) -> Decimal | None:
    if isinstance(found, bool):
        return None
    number = Decimal(found) if isinstance(found, int) else found
    if not isinstance(number, Decimal) or not number.is_finite() or abs(number) > NUMBER_MAX:
        return None
    exponent = number.normalize().as_tuple().exponent
    return number if isinstance(exponent, int) and exponent >= -PLACES_MAX else None


def read_rule_file(path: Path, build: Callable[[Table], T]) -> T:
    """Read a TOML file and build a value from it.

    Raises
    ------
    InputError
        With every problem of the file: not readable, not TOML, wrong keys or values.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(str(path), f"can not be read: {error}")]) from error
    return build_rule(text, str(path.name), build)


def build_rule(text: str, where: str, build: Callable[[Table], T]) -> T:
    """Build a value from the text of a TOML rule file; see `read_rule_file`."""
    problems: list[Problem] = []
    try:
        values = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise InputError([Problem(where, f"is not TOML: {error}")]) from error
    table = Table(values, where, problems)
    built = build(table)
    table.finish()
    if problems:
        raise InputError(problems)
    return built
