"""Delimited text as people send it: any common encoding, delimiter, line end and quoting.

A reader of real files meets byte order marks, Windows line ends, semicolons from spreadsheets of
half the world, gb18030 from the other half, trailing blanks and tabs, and rows cut short. None of
that is a reason to refuse a file, and none of it may shift a row number: rows are counted as an
editor or a spreadsheet counts them, the header being row 1.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from backfeed.core.problem import InputError, Problem

_DELIMITERS = (",", ";", "\t", "|")
_BYTE_ORDER_MARKS_16 = (b"\xff\xfe", b"\xfe\xff")
_ZIP_MAGIC = b"PK\x03\x04"
_BLANKS = " \t\r\n\v\f\u00a0\u3000\ufeff"


@dataclass(frozen=True, slots=True)
class Delimited:
    """A delimited file as columns of text.

    Parameters
    ----------
    header
        The names of the columns as the file has them, outer blanks removed.
    row
        The row number of every data row in the file, the header being row 1.
    cells
        The data rows, outer blanks removed from every cell; rows that are blank throughout are
        left out, short rows are filled with "".
    overlong
        Row numbers of rows that have more cells than the header.
    delimiter
        What separated the cells.
    """

    header: tuple[str, ...]
    row: list[int]
    cells: list[list[str]]
    overlong: frozenset[int]
    delimiter: str


def read_bytes(path: Path) -> bytes:
    """Return the bytes of an input file.

    Raises
    ------
    InputError
        If there is no such file or it can not be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError([Problem(str(path), f"expected a readable file, found: {reason}")]) from error


def decode(raw: bytes) -> str:
    r"""Decode text as UTF-8 or UTF-16 with or without a byte order mark, else gb18030, else Latin-1.

    >>> decode(b"\xef\xbb\xbfa"), decode("充电".encode("gb18030"))
    ('a', '充电')
    """
    if raw.startswith(_BYTE_ORDER_MARKS_16):
        return raw.decode("utf-16", errors="replace")
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")


def read_delimited(path: Path) -> Delimited:
    """Read a delimited file with a header row.

    Raises
    ------
    InputError
        If the file can not be read or has no header.
    """
    raw = read_bytes(path)
    if raw.startswith(_ZIP_MAGIC):
        raise InputError(
            [Problem(str(path), "expected delimited text, found a workbook or an archive: save it as CSV")]
        )
    text = decode(raw).replace("\0", "")
    delimiter = _delimiter_of(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    header: tuple[str, ...] = ()
    rows: list[int] = []
    cells: list[list[str]] = []
    overlong: set[int] = set()
    try:
        for number, found in enumerate(reader, start=1):
            record = [cell.strip(_BLANKS) for cell in found]
            if not any(record):
                continue
            if not header:
                header = _without_trailing_blanks(record)
                first = number
                continue
            if len(record) > len(header) and any(record[len(header) :]):
                overlong.add(number - first + 1)
            rows.append(number - first + 1)
            cells.append(record[: len(header)] + [""] * (len(header) - len(record)))
    except csv.Error as error:
        problem = Problem(f"{path}: row {len(rows) + 2}", f"expected delimited text, found: {error}")
        raise InputError([problem]) from error
    if not header:
        raise InputError([Problem(str(path), "expected a header row, found an empty file")])
    return Delimited(header, rows, cells, frozenset(overlong), delimiter)


def _delimiter_of(text: str) -> str:
    first = next((line for line in text.splitlines() if line.strip(_BLANKS)), "")
    return max(_DELIMITERS, key=first.count)


def _without_trailing_blanks(record: list[str]) -> tuple[str, ...]:
    while record and not record[-1]:
        record = record[:-1]
    return tuple(record)
