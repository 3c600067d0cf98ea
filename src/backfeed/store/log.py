"""The event log: what the platform has learned and decided, in one order, on disk before anybody is told.

The log is the platform's memory; state is what folding it gives, and a station is told that its message
was received only when the event lies here. Events of a short window are written together (group commit),
because forcing one write to the disk costs as much as forcing a hundred.

**Order.** Within a millisecond the order in which messages reach the platform depends on the sockets below
it; the log must not. Events are written in the order of `(at_ms, station, who, arrival)`: instant, then
station (the platform's own events that belong to no station come first), then what the station reported
before what the platform decided about it, then the order in which that station's events came. A window takes
the events up to its end and leaves later ones to the next, so where windows begin and end changes nothing.

**Hash.** Each row carries `sha256(chain of the row before + body)`. The body is the event as JSON: it holds
instants of the run's clock and no wall time, process id or port, so equal runs have equal hashes, and a
flipped byte anywhere breaks the chain behind it.

**Failure.** If the disk is full or fails, nothing of the window was written: whoever waits in `commit` gets an
`EnvironmentProblemError`, and no message is acknowledged. What the platform decided itself is kept and tried
again every second; until that has succeeded `append_now` refuses, so that the platform does not act on what it
can not record.

A durable log is for live runs: it writes in a thread of its own and waits for the disk. In a simulated run
the clock stands still while the loop's own thread writes, and nothing is forced to disk.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from pysqlite3 import dbapi2 as sqlite3

from backfeed.core.clock import Clock
from backfeed.core.instant import MS_PER_S
from backfeed.core.problem import EnvironmentProblemError, InputError, Problem
from backfeed.fleet.event import AnyEvent, StationEvent

WINDOW_MS = 2
"""How long the first event of a window waits for others: short beside any network, long beside a write."""

RETRY_MS = 1 * MS_PER_S
SCHEMA_VERSION = 1
APPLICATION_ID = 0x0BACFEED & 0x7FFFFFFF

_SCHEMA = """
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body BLOB NOT NULL,
    chain BLOB NOT NULL
)
"""
GENESIS = bytes(hashlib.sha256().digest_size)
_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)

_REPORTED, _DECIDED = 0, 1


@dataclass(frozen=True, slots=True)
class _Waiting:
    event: AnyEvent
    order: tuple[int, str, int, int]
    written: asyncio.Future[None] | None


class EventLog:
    """An append-only log of events in an SQLite file.

    Parameters
    ----------
    path
        The file; it is made if there is none, and continued if there is one.
    clock
        Times the windows.
    durable
        Whether an event is on the disk, and not only in the machine's memory, before `commit` returns.

    Raises
    ------
    InputError
        If the file is no event log.
    EnvironmentProblemError
        If the file can not be opened or written, or a newer version has written it.
    """

    def __init__(self, path: Path, clock: Clock, *, durable: bool) -> None:
        """Open the log and find its end."""
        self._path = path
        self._clock = clock
        self._connection = _open(path, durable=durable)
        self._sequence, self._chain = _end_of(self._connection)
        self._thread = ThreadPoolExecutor(1, "event-log") if durable else None
        self._waiting: list[_Waiting] = []
        self._arrivals = 0
        self._writer: asyncio.Task[None] | None = None
        self._subscribers: list[Callable[[AnyEvent], None]] = []
        self._failure = ""
        self._refused_until_ms = 0

    def subscribe(self, on_committed: Callable[[AnyEvent], None]) -> None:
        """Have every event passed on after its commit, in the order of the log."""
        self._subscribers.append(on_committed)

    async def commit(self, event: AnyEvent) -> None:
        """Write an event that a station has reported and return when it is committed.

        Raises
        ------
        EnvironmentProblemError
            If it could not be written; then it is not in the log.
        """
        written = asyncio.get_running_loop().create_future()
        self._append(event, _REPORTED, written)
        await written

    def append_now(self, event: AnyEvent) -> None:
        """Put what the platform itself has decided in line, without waiting for its commit.

        Raises
        ------
        EnvironmentProblemError
            If the log can not be written at present.
        """
        if self._clock.now_ms() < self._refused_until_ms:
            raise EnvironmentProblemError(self._failure)
        self._append(event, _DECIDED, None)

    def hash(self) -> str:
        """Return the chain's last link in hexadecimal: equal for equal logs."""
        return self._chain.hex()

    @property
    def sequence(self) -> int:
        """The number of the last event committed; 0 if there is none."""
        return self._sequence

    def read(self, after: int = 0) -> Iterator[AnyEvent]:
        """Yield the committed events behind a sequence number, in the order of the log."""
        reader = sqlite3.connect(self._path)
        try:
            for (body,) in reader.execute("SELECT body FROM event WHERE seq > ? ORDER BY seq", (after,)):
                yield _decoder.decode(body)
        finally:
            reader.close()

    def reasons(self) -> tuple[str, ...]:
        """Return why nothing can be written at present; empty while all is well."""
        return (self._failure,) if self._refused_until_ms else ()

    def begins_ms(self) -> int | None:
        """Return the instant of the first event, None if there is none."""
        first = self._connection.execute("SELECT at_ms FROM event ORDER BY seq LIMIT 1").fetchone()
        return None if first is None else int(first[0])

    def first_broken(self) -> int | None:
        """Return the sequence number of the first row that the chain contradicts, if any."""
        reader = sqlite3.connect(self._path)
        try:
            chain, expected = GENESIS, 1
            for seq, body, link in reader.execute("SELECT seq, body, chain FROM event ORDER BY seq"):
                chain = hashlib.sha256(chain + body).digest()
                if seq != expected or link != chain:
                    return expected
                expected += 1
        finally:
            reader.close()
        return None

    async def close(self) -> None:
        """Write what is waiting and close the file; events that can not be written are lost."""
        try:
            if self._writer is not None:
                if self._refused_until_ms:
                    self._writer.cancel()
                await asyncio.wait([self._writer])
        finally:
            if self._thread is not None:
                self._thread.shutdown()
            self._connection.close()

    async def __aenter__(self) -> Self:
        """Return the log itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the log."""
        await self.close()

    def _append(self, event: AnyEvent, who: int, written: asyncio.Future[None] | None) -> None:
        self._arrivals += 1
        station = event.station if isinstance(event, StationEvent) else ""
        self._waiting.append(_Waiting(event, (event.at_ms, station, who, self._arrivals), written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write_windows())

    async def _write_windows(self) -> None:
        while self._waiting:
            end_ms = min(waiting.order[0] for waiting in self._waiting) + WINDOW_MS
            await self._clock.sleep_until(end_ms)
            window = sorted((each for each in self._waiting if each.order[0] < end_ms), key=lambda each: each.order)
            self._waiting = [each for each in self._waiting if each.order[0] >= end_ms]
            try:
                await self._write(window)
            except sqlite3.Error as failure:
                self._fail(window, f"{self._path}: the event log can not be written: {failure}")
                await self._clock.sleep_until(self._clock.now_ms() + RETRY_MS)
            else:
                self._refused_until_ms = 0
                self._announce(window)

    async def _write(self, window: list[_Waiting]) -> None:
        rows, chain = [], self._chain
        for sequence, waiting in enumerate(window, self._sequence + 1):
            body = _encode(waiting.event)
            chain = hashlib.sha256(chain + body).digest()
            rows.append((sequence, waiting.event.at_ms, _kind(waiting.event), body, chain))
        if self._thread is None:
            self._insert(rows)
        else:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._insert, rows)
        self._sequence += len(rows)
        self._chain = chain

    def _insert(self, rows: list[tuple[int, int, str, bytes, bytes]]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _announce(self, window: list[_Waiting]) -> None:
        try:
            for waiting in window:
                for on_committed in self._subscribers:
                    on_committed(waiting.event)
        except Exception as broken:
            # The event is on disk, but nobody may go on as if it had been understood: whoever waits is told.
            for waiting in window:
                if waiting.written is not None and not waiting.written.done():
                    waiting.written.set_exception(broken)
            raise
        for waiting in window:
            if waiting.written is not None and not waiting.written.done():
                waiting.written.set_result(None)

    def _fail(self, window: list[_Waiting], reason: str) -> None:
        self._failure = reason
        self._refused_until_ms = self._clock.now_ms() + 2 * RETRY_MS
        for waiting in window:
            if waiting.written is None:
                self._waiting.append(waiting)
            elif not waiting.written.done():
                waiting.written.set_exception(EnvironmentProblemError(reason))


def _kind(event: AnyEvent) -> str:
    tag = event.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def _open(path: Path, *, durable: bool) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        version = _version(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        if version == 0:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
    except sqlite3.OperationalError as failure:
        message = f"{path}: the event log can not be opened: {failure}"
        raise EnvironmentProblemError(message) from failure
    except sqlite3.DatabaseError as failure:
        raise InputError([Problem(str(path), f"expected an event log, found something else: {failure}")]) from failure
    return connection


def _version(connection: sqlite3.Connection, path: Path) -> int:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != APPLICATION_ID:
        raise InputError([Problem(str(path), "expected an event log, found another database")])
    if version > SCHEMA_VERSION:
        message = f"{path}: the event log has schema {version}, this version knows up to {SCHEMA_VERSION}"
        raise EnvironmentProblemError(message)
    return int(version)


def _end_of(connection: sqlite3.Connection) -> tuple[int, bytes]:
    last = connection.execute("SELECT seq, chain FROM event ORDER BY seq DESC LIMIT 1").fetchone()
    return (0, GENESIS) if last is None else (int(last[0]), bytes(last[1]))
