"""The ledger: append-only, idempotent, chained, and found out if a byte is flipped.

Transfers stand in one table in the order in which they were posted. A posting is one transaction: all
transfers of a batch are there or none. Every row carries the SHA-256 of the link before it and its own
canonical bytes, so the last link, the head, stands for the whole history: two runs have the same books if
and only if they have the same head.

`verify` recomputes the chain, the sums and the promises from the rows. The file itself is proved by its seal,
see `store.ledger_seal`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, cast

from backfeed.core.problem import EnvironmentProblemError, InputError, Problem
from backfeed.settle.account import holder_of
from backfeed.settle.month import closed_months, month_of
from backfeed.settle.transfer import GENESIS, Code, Phase, Transfer, chain_hash, faults

_COLUMNS = "id, debit, credit, amount, unit, code, at_ms, evidence, pending_id, phase"


class Tables(Protocol):
    """A database that holds the table of transfers; statements use `?` for values."""

    def run(self, sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Run one statement and return its rows."""
        ...

    def begin(self) -> None:
        """Begin a transaction that no other writer can overtake."""
        ...

    def commit(self) -> None:
        """Make the transaction last."""
        ...

    def rollback(self) -> None:
        """Undo the transaction, if one is under way."""
        ...

    def faults(self) -> list[str]:
        """Return what the database itself finds wrong with its pages."""
        ...

    def close(self) -> None:
        """Close the connection in good order."""
        ...


@dataclass(frozen=True, slots=True)
class UnitSums:
    """What all accounts of a unit gave, received, and hold together; the last is 0 in sound books."""

    debits: int
    credits: int
    balance: int


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found: sums by unit, and every reason not to believe the books."""

    transfers: int
    head: str
    units: dict[str, UnitSums]
    problems: tuple[Problem, ...]

    @property
    def verified(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class Ledger:
    """The books, over the tables of a database; `store.ledger_seal.open_ledger` opens one in a file."""

    def __init__(self, tables: Tables) -> None:
        """Keep the books in `tables`."""
        self._tables = tables

    def __enter__(self) -> Self:
        """Return the ledger itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the ledger."""
        self.close()

    def post(self, transfers: Iterable[Transfer]) -> int:
        """Post transfers in one transaction and return how many were new.

        Raises
        ------
        InputError
            If transfers are malformed, differ from what is already posted under their ids, settle more of a promise
            than it still reserves, or belong to a closed month. Nothing of the batch is posted then.
        EnvironmentProblemError
            If the database refuses: disk full, not writable.
        """
        batch = list(transfers)
        malformed = [Problem(t.id, fault) for t in batch for fault in faults(t)]
        if malformed:
            raise InputError(malformed)
        self._tables.begin()
        try:
            new = self._append(batch)
            self._tables.commit()
        except BaseException:
            self._tables.rollback()
            raise
        return new

    def _append(self, batch: Sequence[Transfer]) -> int:
        link = self._last_link()
        closed = self.closed_months()
        problems: list[Problem] = []
        new = 0
        for transfer in batch:
            known = self._tables.run(f"SELECT {_COLUMNS} FROM transfers WHERE id = ?", (transfer.id,))  # noqa: S608
            if known:
                if _transfer(known[0]) != transfer:
                    problems.append(Problem(transfer.id, "another transfer is posted under this id"))
                continue
            problem = self._promise_problem(transfer) or _month_problem(transfer, closed)
            if problem is not None:
                problems.append(problem)
                continue
            link = chain_hash(link, transfer)
            new += 1
            self._tables.run(
                f"INSERT INTO transfers ({_COLUMNS}, link) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (*_row(transfer), link),
            )
        if problems:
            raise InputError(problems)
        return new

    def _promise_problem(self, transfer: Transfer) -> Problem | None:
        if not transfer.pending_id:
            return None
        promise = self._tables.run(
            "SELECT amount, debit, credit FROM transfers WHERE id = ? AND phase = 'pending'", (transfer.pending_id,)
        )
        if not promise:
            return Problem(transfer.id, f"there is no promise {transfer.pending_id}")
        amount, debit, credit = promise[0]
        if (debit, credit) != (transfer.debit, transfer.credit):
            return Problem(transfer.id, f"its accounts are not those of the promise {transfer.pending_id}")
        settled = self._tables.run("SELECT amount FROM transfers WHERE pending_id = ?", (transfer.pending_id,))
        left = cast("int", amount) - sum(cast("int", row[0]) for row in settled)
        if transfer.amount > left:
            return Problem(
                transfer.id, f"{transfer.amount} is more than the {left} that {transfer.pending_id} reserves"
            )
        return None

    def _last_link(self) -> bytes:
        last = self._tables.run("SELECT link FROM transfers ORDER BY seq DESC LIMIT 1")
        return bytes(cast("bytes", last[0][0])) if last else GENESIS

    def closed_months(self) -> frozenset[str]:
        """Return the months that nothing new may be posted to, as `YYYY-MM`."""
        rows = self._tables.run("SELECT id FROM transfers WHERE code IN ('month_close', 'month_reopen') ORDER BY seq")
        return closed_months(cast("str", row[0]) for row in rows)

    def transfers(self) -> Iterator[Transfer]:
        """Give every transfer in the order in which it was posted.

        Raises
        ------
        EnvironmentProblemError
            If a row can not be read: the ledger is damaged, `verify` says where.
        """
        for number, (*row, _) in enumerate(self._rows(), 1):
            try:
                yield _transfer(row)
            except (ValueError, TypeError) as error:
                message = f"transfer {number} of the ledger can not be read, verify it: {error}"
                raise EnvironmentProblemError(message) from error

    def _rows(self) -> list[tuple[object, ...]]:
        return self._tables.run(f"SELECT {_COLUMNS}, link FROM transfers ORDER BY seq")  # noqa: S608

    def balances(self) -> dict[str, int]:
        """Return every account's credits less debits, by account id, sorted."""
        rows = self._tables.run(
            "SELECT account, CAST(SUM(amount) AS BIGINT) FROM ("
            "SELECT credit AS account, amount FROM transfers WHERE phase IN ('single', 'post') UNION ALL "
            "SELECT debit, -amount FROM transfers WHERE phase IN ('single', 'post')) AS moves GROUP BY account"
        )
        return dict(sorted(cast("list[tuple[str, int]]", rows)))

    def count(self) -> int:
        """Return how many transfers were posted."""
        return cast("int", self._tables.run("SELECT COUNT(*) FROM transfers")[0][0])

    def hash(self) -> str:
        """Return the head of the chain as hex: equal for equal histories."""
        return self._last_link().hex()

    def hash_at(self, count: int) -> str:
        """Return the head as it was after the first `count` transfers."""
        row = (
            self._tables.run("SELECT link FROM transfers ORDER BY seq LIMIT 1 OFFSET ?", (count - 1,)) if count else []
        )
        return bytes(cast("bytes", row[0][0])).hex() if row else GENESIS.hex()

    def verify(self) -> Verification:
        """Recompute the chain, the sums and the promises, and ask the database about its own pages."""
        problems = [Problem("database", fault) for fault in self._tables.faults()]
        books = _Audit()
        try:
            for *row, link in self._rows():
                books.take(row, link)
        except EnvironmentProblemError as error:
            problems.append(Problem("database", str(error)))
        return books.result(problems)

    def close(self) -> None:
        """Close the database."""
        self._tables.close()


def _month_problem(transfer: Transfer, closed: frozenset[str]) -> Problem | None:
    month = month_of(transfer)
    if month not in closed or transfer.code in (Code.MONTH_CLOSE, Code.MONTH_REOPEN):
        return None
    return Problem(transfer.id, f"belongs to {month}, which is closed: reopen it, or book a correction on a later day")


class _Audit:
    """Reads the books from the first row to the last and notes what does not fit."""

    def __init__(self) -> None:
        self._link = GENESIS
        self._count = 0
        self._sums: dict[str, list[int]] = {}
        self._reserved: dict[str, int] = {}
        self._problems: list[Problem] = []

    def take(self, row: Sequence[object], link: object) -> None:
        self._count += 1
        where = f"transfer {self._count}"
        before = self._link
        self._link = bytes(link) if isinstance(link, bytes | memoryview) else b""
        try:
            transfer = _transfer(row)
        except (ValueError, TypeError) as error:
            self._problems.append(Problem(where, f"can not be read: {error}"))
            return
        self._problems += [Problem(f"{where} {transfer.id}", fault) for fault in faults(transfer)]
        if chain_hash(before, transfer) != self._link:
            self._problems.append(Problem(f"{where} {transfer.id}", "its link does not follow from its content"))
        self._take_promise(transfer, where)
        if transfer.phase in (Phase.SINGLE, Phase.POST):
            for account, given, received in ((transfer.debit, 1, 0), (transfer.credit, 0, 1)):
                sums = self._sums.setdefault(account.rpartition(":")[2], [0, 0])
                sums[0] += given * transfer.amount
                sums[1] += received * transfer.amount

    def _take_promise(self, transfer: Transfer, where: str) -> None:
        if transfer.phase is Phase.PENDING:
            self._reserved[transfer.id] = transfer.amount
        elif transfer.phase in (Phase.POST, Phase.VOID):
            left = self._reserved.get(transfer.pending_id, 0) - transfer.amount
            self._reserved[transfer.pending_id] = left
            if left < 0:
                self._problems.append(Problem(f"{where} {transfer.id}", "settles more than its promise reserves"))

    def result(self, problems: list[Problem]) -> Verification:
        units = {
            unit: UnitSums(debits, received, received - debits)
            for unit, (debits, received) in sorted(self._sums.items())
        }
        unbalanced = [
            Problem(f"unit {unit}", f"sums to {sums.balance} instead of 0")
            for unit, sums in units.items()
            if sums.balance
        ]
        return Verification(self._count, self._link.hex(), units, (*problems, *self._problems, *unbalanced))


def _row(transfer: Transfer) -> tuple[object, ...]:
    return (
        transfer.id,
        transfer.debit,
        transfer.credit,
        transfer.amount,
        transfer.unit,
        transfer.code.value,
        transfer.at_ms,
        transfer.evidence,
        transfer.pending_id,
        transfer.phase.value,
    )


def _transfer(row: Sequence[object]) -> Transfer:
    identity, debit, credit, amount, unit, code, at_ms, evidence, pending_id, phase = row
    texts = (identity, debit, credit, unit, evidence, pending_id, code, phase)
    if not all(isinstance(text, str) for text in texts) or not isinstance(amount, int) or not isinstance(at_ms, int):
        message = f"expected texts and whole numbers, found {row!r}"
        raise TypeError(message)
    for account_id in (debit, credit):
        holder_of(cast("str", account_id))
    return Transfer(
        id=cast("str", identity),
        debit=cast("str", debit),
        credit=cast("str", credit),
        amount=amount,
        unit=cast("str", unit),
        code=Code(cast("str", code)),
        at_ms=at_ms,
        evidence=cast("str", evidence),
        pending_id=cast("str", pending_id),
        phase=Phase(cast("str", phase)),
    )
