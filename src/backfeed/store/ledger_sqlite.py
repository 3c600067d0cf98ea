"""The ledger's tables in one SQLite file: one writer, rows that triggers keep from ever changing.

A new file keeps a write-ahead log, so that a service can write while somebody reads. A file that is sealed gives
that up: it then lies alone, and opening it to read changes nothing beside it either.
"""

from collections.abc import Sequence
from pathlib import Path

import pysqlite3

from backfeed.core.problem import EnvironmentProblemError

_STEPS = (
    """
CREATE TABLE transfers (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    debit TEXT NOT NULL,
    credit TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount >= 0),
    unit TEXT NOT NULL,
    code TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    evidence TEXT NOT NULL,
    pending_id TEXT NOT NULL,
    phase TEXT NOT NULL CHECK (phase IN ('single', 'pending', 'post', 'void')),
    link BLOB NOT NULL
) STRICT;
CREATE INDEX transfers_of_promise ON transfers (pending_id) WHERE pending_id <> '';
CREATE TRIGGER transfers_are_never_updated BEFORE UPDATE ON transfers
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER transfers_are_never_deleted BEFORE DELETE ON transfers
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
""",
    """
CREATE INDEX transfers_of_months ON transfers (code) WHERE code IN ('month_close', 'month_reopen');
""",
)
"""How the schema grew: each step leads from one version to the next, and none is ever altered."""

SCHEMA_VERSION = len(_STEPS)


_FAILURES = (pysqlite3.Error, UnicodeDecodeError)
"""What the driver raises; a damaged file can break even the text of an error message."""


class NewerSchemaError(EnvironmentProblemError):
    """The file was written by a newer version: nothing is wrong with it, and this version can not judge it."""


class SqliteTables:
    """A connection to the ledger's tables in a SQLite file.

    Parameters
    ----------
    path
        The file; it is made if it does not exist.
    durable
        Wait for the disk at every commit.
    readonly
        Look and change nothing, not even an old schema.

    Raises
    ------
    EnvironmentProblemError
        If the file can not be opened, is no ledger or was written by a newer version (`NewerSchemaError`).
    """

    def __init__(self, path: Path, *, durable: bool = True, readonly: bool = False) -> None:
        self._where = str(path)
        self._readonly = readonly
        address = f"{path.absolute().as_uri()}?mode={'ro' if readonly else 'rwc'}"
        try:
            self._db = pysqlite3.connect(address, isolation_level=None, timeout=30, uri=True)
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                known = f"this version knows up to {SCHEMA_VERSION}: use a newer one"
                message = f"ledger {path} has schema {version}, {known}"
                raise NewerSchemaError(message)
            if readonly and version == 0:
                message = f"ledger {path} holds no books: expected a ledger's tables, found an empty or another file"
                raise EnvironmentProblemError(message)
            if not readonly:
                if version == 0:
                    self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
                self._upgrade(version)
        except _FAILURES as error:
            message = f"ledger {path} can not be opened: {error}"
            raise EnvironmentProblemError(message) from error

    def _upgrade(self, version: int) -> None:
        """Take the steps that lead from a version of the schema to the present one, each whole or not at all."""
        for step in range(version, SCHEMA_VERSION):
            self._db.executescript(f"BEGIN IMMEDIATE; {_STEPS[step]} PRAGMA user_version = {step + 1}; COMMIT;")

    def run(self, sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Run one statement with `?` for values and return its rows.

        Raises
        ------
        EnvironmentProblemError
            If the database refuses: disk full, not writable, not a database.
        """
        try:
            rows: list[tuple[object, ...]] = self._db.execute(sql, tuple(values)).fetchall()
        except _FAILURES as error:
            message = f"ledger {self._where}: {error}"
            raise EnvironmentProblemError(message) from error
        return rows

    def begin(self) -> None:
        """Begin a transaction that no other writer can overtake."""
        self.run("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make the transaction last."""
        self.run("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction, if one is under way."""
        if self._db.in_transaction:
            self.run("ROLLBACK")

    def faults(self) -> list[str]:
        """Return what the database itself finds wrong with its pages."""
        try:
            found = [str(row[0]) for row in self.run("PRAGMA integrity_check")]
        except EnvironmentProblemError as error:
            return [str(error)]
        return [fault for fault in found if fault != "ok"]

    def lie_alone(self) -> None:
        """Give up the write-ahead log: the file holds everything, and readers leave no other beside it."""
        self.run("PRAGMA journal_mode = DELETE")

    def close(self) -> None:
        """Move everything from the write-ahead log into the file and close it."""
        try:
            if not self._readonly:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except _FAILURES as error:
            message = f"ledger {self._where}: {error}"
            raise EnvironmentProblemError(message) from error
        finally:
            self._db.close()
