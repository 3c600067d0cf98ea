"""Reading an event log that may be anybody's: nothing is written, and every link of its chain is proved."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from pysqlite3 import dbapi2 as sqlite3

from backfeed.core.problem import InputError, Problem
from backfeed.fleet.event import AnyEvent
from backfeed.store.log import GENESIS

_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


@dataclass(frozen=True)
class LogFile:
    """What a log file holds: its events of some kinds, its head, and the first row that the chain contradicts."""

    events: tuple[AnyEvent, ...]
    head: str
    first_broken: int | None


def read_log_file(path: Path, kinds: frozenset[str]) -> LogFile:
    """Read the events of some kinds from a log, whole or not.

    Raises
    ------
    InputError
        If there is no event log at `path`.
    """
    if not path.is_file():
        raise InputError([Problem(str(path), "expected an event log, found no such file")])
    events: list[AnyEvent] = []
    chain, expected, broken = GENESIS, 1, None
    try:
        for sequence, kind, body, link in _rows(path):
            chain = hashlib.sha256(chain + body).digest()
            if broken is None and (sequence != expected or link != chain):
                broken = expected
            expected += 1
            if kind in kinds:
                events.append(_decoder.decode(body))
    except (sqlite3.DatabaseError, msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InputError([Problem(str(path), f"expected an event log, found something else: {error}")]) from error
    return LogFile(tuple(events), chain.hex(), broken)


def _rows(path: Path) -> Iterator[tuple[int, str, bytes, bytes]]:
    reader = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        yield from reader.execute("SELECT seq, kind, body, chain FROM event ORDER BY seq")
    finally:
        reader.close()
