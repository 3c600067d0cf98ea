"""Delimited text as people send it: any common encoding, delimiter, line end and quoting.

A reader of real files meets byte order marks, Windows line ends, semicolons from spreadsheets of
half the world, gb18030 from the other half, trailing blanks and tabs, and rows cut short. None of
that is a reason to refuse a file, and none of it may shift a row number: rows are counted as an
editor or a spreadsheet counts them, the header being row 1.

A quotation mark that nobody closes would make one cell of all that follows it. It is taken for the
fault of its own line alone: that line is a row which can not be read, and the next line is read anew.
"""

import csv
import io
from collections.abc import Iterator, Sequence
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
    unreadable
        Row numbers of rows that can not be taken apart, with the reason: more cells than the header,
        a quotation mark that nobody closes.
    delimiter
        What separated the cells.
    """

    header: tuple[str, ...]
    row: list[int]
    cells: list[list[str]]
    unreadable: dict[int, str]
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
    except (OSError, ValueError) as error:  # a ValueError where the name is none
        reason = getattr(error, "strerror", None) or str(error)
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
    header: tuple[str, ...] = ()
    rows: list[int] = []
    cells: list[list[str]] = []
    unreadable: dict[int, str] = {}
    first = 0
    for number, (record, is_whole) in enumerate(_records(text, delimiter), start=1):
        if not any(record):
            continue
        if not header:
            header = _without_trailing_blanks(record)
            first = number
            continue
        row = number - first + 1
        if not is_whole:
            unreadable[row] = "expected every quotation mark to be closed in its row, found one that is not"
        elif _is_overlong(record, len(header)):
            unreadable[row] = f"expected {len(header)} cells as in the header, found more"
        rows.append(row)
        cells.append(record[: len(header)] + [""] * (len(header) - len(record)))
    if not header:
        raise InputError([Problem(str(path), "expected a header row, found an empty file")])
    return Delimited(header, rows, cells, unreadable, delimiter)


def _records(text: str, delimiter: str) -> Iterator[tuple[list[str], bool]]:
    """Yield the cells of every record without their outer blanks, and whether the record could be taken apart.

    A record over several lines is one only if its quotation marks are closed as RFC 4180 wants it and it has no
    more cells than the header. Otherwise its first line stands alone, and the next is read anew.
    """
    lines = list(io.StringIO(text, newline=""))
    begin = width = 0
    while begin < len(lines):
        for record, end in _parsed(lines, begin, delimiter):
            if record is None or (end - begin > 1 and not _is_closed(lines[begin:end], delimiter, width)):
                alone = next(csv.reader([lines[begin].replace('"', "")], delimiter=delimiter))
                yield _stripped(alone), False
                begin += 1
                break
            cells = _stripped(record)
            width = width or len(_without_trailing_blanks(cells))
            yield cells, True
            begin = end


def _parsed(lines: Sequence[str], begin: int, delimiter: str) -> Iterator[tuple[list[str] | None, int]]:
    """Yield records from a line on and the line behind each; None at the end for one that is beyond all measure."""
    rest = (lines[number] for number in range(begin, len(lines)))
    reader = csv.reader(rest, delimiter=delimiter, skipinitialspace=True)
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield None, begin + reader.line_num
            return
        yield record, begin + reader.line_num


def _is_closed(lines: Sequence[str], delimiter: str, width: int) -> bool:
    """Say whether lines are one whole record that is no wider than the header."""
    try:
        records = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error:
        return False
    return not width or not _is_overlong(_stripped(records[0]), width)


def _is_overlong(cells: Sequence[str], width: int) -> bool:
    return any(cells[width:])


def _stripped(record: Sequence[str]) -> list[str]:
    return [cell.strip(_BLANKS) for cell in record]


def _delimiter_of(text: str) -> str:
    first = next((line for line in text.splitlines() if line.strip(_BLANKS)), "")
    return max(_DELIMITERS, key=first.count)


def _without_trailing_blanks(record: list[str]) -> tuple[str, ...]:
    while record and not record[-1]:
        record = record[:-1]
    return tuple(record)
