"""The ledger's tables in PostgreSQL (15 or later), for operators that have a server.

The same rows, the same chain and the same rules as in a file: triggers refuse every UPDATE, DELETE and
TRUNCATE, and a posting locks out other writers. Needs the `psycopg` package, version 3.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast

from backfeed.core.problem import EnvironmentProblemError
from backfeed.store.ledger import Ledger

_SCHEMA = """
CREATE TABLE IF NOT EXISTS transfers (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    debit TEXT COLLATE "C" NOT NULL,
    credit TEXT COLLATE "C" NOT NULL,
    amount BIGINT NOT NULL CHECK (amount >= 0),
    unit TEXT NOT NULL,
    code TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    evidence TEXT NOT NULL,
    pending_id TEXT COLLATE "C" NOT NULL,
    phase TEXT NOT NULL CHECK (phase IN ('single', 'pending', 'post', 'void')),
    link BYTEA NOT NULL
);
CREATE INDEX IF NOT EXISTS transfers_of_promise ON transfers (pending_id) WHERE pending_id <> '';
CREATE INDEX IF NOT EXISTS transfers_of_months ON transfers (code) WHERE code IN ('month_close', 'month_reopen');
CREATE OR REPLACE FUNCTION refuse_to_change_the_ledger() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$;
CREATE OR REPLACE TRIGGER transfers_are_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON transfers
FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_the_ledger();
"""


class PostgresTables:
    """A connection to the ledger's tables in a PostgreSQL database.

    Parameters
    ----------
    address
        A connection string like `postgresql://user@host/database`.

    Raises
    ------
    EnvironmentProblemError
        If `psycopg` is not installed, the server does not answer, or the tables can not be made.
    """

    def __init__(self, address: str) -> None:
        self._driver = _load_driver()
        try:
            self._db = self._driver.connect(address, autocommit=True)
            self._db.execute(_SCHEMA)
        except self._driver.Error as error:
            message = f"ledger in PostgreSQL can not be opened: {error}"
            raise EnvironmentProblemError(message) from error

    def run(self, sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Run one statement with `?` for values and return its rows.

        Raises
        ------
        EnvironmentProblemError
            If the database refuses.
        """
        try:
            cursor = self._db.execute(sql.replace("?", "%s"), tuple(values))
            return cast("list[tuple[object, ...]]", cursor.fetchall()) if cursor.description else []
        except self._driver.Error as error:
            message = f"ledger in PostgreSQL: {error}"
            raise EnvironmentProblemError(message) from error

    def begin(self) -> None:
        """Begin a transaction that no other writer can overtake; readers go on."""
        self.run("BEGIN")
        self.run("LOCK TABLE transfers IN EXCLUSIVE MODE")

    def commit(self) -> None:
        """Make the transaction last."""
        self.run("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction, if one is under way."""
        self._db.rollback()

    def faults(self) -> list[str]:
        """Return nothing: PostgreSQL checks its pages as it reads them."""
        return []

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


def open_postgres_ledger(address: str) -> Ledger:
    """Open the ledger in a PostgreSQL database, making its table if there is none; see `PostgresTables`."""
    return Ledger(PostgresTables(address))


def _load_driver() -> Any:  # noqa: ANN401 -- an optional package without a place in our types
    try:
        return import_module("psycopg")
    except ImportError as error:
        message = "a ledger in PostgreSQL needs the package psycopg (version 3), which is not installed"
        raise EnvironmentProblemError(message) from error
