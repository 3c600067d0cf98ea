"""Tables of an instance: CSV or Parquet, read as typed columns, every bad cell reported.

A table is a file `<name>.csv` or `<name>.parquet` in the instance's folder. Rows of Parquet files are
counted as those of CSV files, from 2, so that a problem names the same row in both.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from backfeed.core.problem import Problem
from backfeed.plan.problem import Floats, Ints
from backfeed.plan.validate import at

UNREADABLE = -1
"""Stands in for an index that could not be read, until the problems are reported."""


class Table:
    """One table: columns by name, problems collected on the way.

    Parameters
    ----------
    folder
        Where the table stands.
    name
        `vehicles` for `vehicles.csv` or `vehicles.parquet`.
    required
        Columns that must be there.
    problems
        The list that every finding is appended to.
    optional
        Whether the table may be missing; it is then empty.
    """

    def __init__(
        self, folder: Path, name: str, required: tuple[str, ...], problems: list[Problem], *, optional: bool = False
    ) -> None:
        import polars as pl  # noqa: PLC0415 loads slowly, and only files need it

        self._pl: Any = pl
        self.problems = problems
        self.file = f"{name}.csv"
        self.frame: Any = None
        text, parquet = folder / f"{name}.csv", folder / f"{name}.parquet"
        try:
            if text.exists():
                self.frame = pl.read_csv(text, infer_schema=False)
            elif parquet.exists():
                self.file = f"{name}.parquet"
                self.frame = pl.read_parquet(parquet)
            elif not optional:
                problems.append(Problem(self.file, "the file is missing (nor is there a .parquet)"))
        except (pl.exceptions.PolarsError, OSError) as failure:
            problems.append(_widest(text) or Problem(self.file, f"can not be read: {str(failure).splitlines()[0]}"))
        if self.frame is not None:
            missing = [column for column in required if column not in self.frame.columns]
            problems += [Problem(self.file, f"the column {column} is missing") for column in missing]
            if missing:
                self.frame = None

    @property
    def there(self) -> bool:
        """Whether the table was read and has the columns it needs."""
        return self.frame is not None

    def __len__(self) -> int:
        """Return the number of rows."""
        return 0 if self.frame is None else len(self.frame)

    def has(self, column: str) -> bool:
        """Whether the table has a column."""
        return self.frame is not None and column in self.frame.columns

    def texts(self, column: str, default: str | None = None) -> Any:  # noqa: ANN401 a polars series
        """Return a column as text; an empty cell is the default or a problem."""
        pl = self._pl
        if not self.has(column):
            return pl.Series(column, [default] * len(self), dtype=pl.String)
        series = self.frame[column].cast(pl.String).str.strip_chars()
        empty = (series.is_null() | (series == "")).to_numpy()
        if default is None:
            self.report(column, empty, "the cell is empty")
            return series.fill_null("")
        return series.fill_null(default).replace("", default)

    def floats(self, column: str, empty: float | None = None) -> Floats:
        """Return a column as numbers; an empty cell is `empty`, or a problem where that is None."""
        pl = self._pl
        if not self.has(column):
            return np.full(len(self), np.nan if empty is None else empty)
        series = self.frame[column]
        if series.dtype == pl.String:
            series = series.str.strip_chars().replace("", None)
        blank = series.is_null().to_numpy()
        numbers = series.cast(pl.Float64, strict=False)
        values = np.array(numbers.fill_null(float("nan")).to_numpy(), np.float64)
        bad = np.isnan(values) & ~blank
        for row in np.flatnonzero(bad):
            self.problems.append(Problem(at(self.file, int(row), column), f"not a number: {series[int(row)]!r}"))
        if empty is None:
            self.report(column, blank, "the cell is empty")
        else:
            values[blank] = empty
        return values

    def ints(self, column: str) -> Ints:
        """Return a column as whole numbers."""
        values = self.floats(column)
        broken = np.isfinite(values) & (values != np.floor(values)) | np.isinf(values)
        self.report(column, broken, "not a whole number")
        return np.where(np.isfinite(values) & ~broken, values, UNREADABLE).astype(np.int64)

    def indices(self, column: str, names: Any, what: str, *, empty_is: int | None = None) -> Ints:  # noqa: ANN401
        """Return where each cell's name stands among `names`; an unknown name is a problem."""
        pl = self._pl
        texts = self.texts(column, default=None if empty_is is None else "")
        index = pl.DataFrame({"name": pl.Series(names, dtype=pl.String), "index": np.arange(len(names))})
        index = index.unique("name", keep="first")
        found = pl.DataFrame({"name": texts}).join(index, on="name", how="left", maintain_order="left")["index"]
        known = found.is_not_null().to_numpy()
        blank = (texts == "").to_numpy()
        for row in np.flatnonzero(~known & ~blank):
            self.problems.append(Problem(at(self.file, int(row), column), f"{what} {texts[int(row)]!r} is unknown"))
        values = np.array(found.fill_null(UNREADABLE).to_numpy(), np.int64)
        if empty_is is not None:
            values[blank & ~known] = empty_is
        return values

    def once(self, keys: tuple[Ints, ...], column: str, what: str) -> None:
        """Report every row whose key stands in an earlier row."""
        if len(self):
            _, first = np.unique(np.column_stack(keys), axis=0, return_index=True)
            again = np.ones(len(self), np.bool_)
            again[first] = False
            self.report(column, again, what)

    def report(self, column: str, wrong: Any, what: str) -> None:  # noqa: ANN401
        """Append one problem per wrong row."""
        self.problems += [Problem(at(self.file, int(row), column), what) for row in np.flatnonzero(wrong)]


def _widest(file: Path) -> Problem | None:
    """Return the first row of a file that has more cells than its header; None where that is not what is wrong."""
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            rows = csv.reader(lines)
            expected = len(next(rows, []))
            for row in rows:
                if len(row) > expected:
                    where = f"{file.name}, row {rows.line_num}"
                    return Problem(where, f"has {len(row)} cells, expected the {expected} of the header")
    except (OSError, ValueError, csv.Error):
        pass
    return None
