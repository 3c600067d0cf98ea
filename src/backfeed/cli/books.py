"""The books that a `backfeed ledger` command works on: found, opened, sealed again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backfeed.cli.outcome import say
from backfeed.core.problem import EnvironmentProblemError, InputError, Problem

if TYPE_CHECKING:
    from backfeed.store.ledger import Ledger

LEDGER_NAME = "ledger.sqlite"
"""What the ledger of a run folder is called."""

DETAIL_FOLDER = "days"
"""Where a run folder keeps the interval detail of settled days."""

Run = Annotated[str, typer.Argument(help="A run folder, a ledger file, or a postgresql:// address.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
KeyFile = Annotated[Path | None, typer.Option(help="File with the key that signs the seal.")]
At = Annotated[str, typer.Option("--at", help="When it takes effect, like 2026-08-01T09:00:00+08:00.")]


def is_server(run: str) -> bool:
    """Return whether books are on a server."""
    return run.startswith(("postgresql://", "postgres://"))


def open_books(run: str, *, readonly: bool = False) -> "Ledger":
    """Open the ledger of a run folder, in a file or on a server."""
    if is_server(run):
        from backfeed.store.ledger_postgres import open_postgres_ledger  # noqa: PLC0415

        return open_postgres_ledger(run)
    from backfeed.store.ledger_seal import open_ledger  # noqa: PLC0415

    return open_ledger(ledger_file(run), readonly=readonly)


def currency_of(ledger: "Ledger") -> str:
    """Return the currency that the books are cleared in."""
    from backfeed.settle.account import Role, holder_of  # noqa: PLC0415

    held = (holder_of(account) for account in ledger.balances())
    units = sorted({unit for role, _, unit in held if role is Role.CLEARING})
    if len(units) != 1:
        raise InputError([Problem("ledger", f"expected one currency in its clearing accounts, found {units}")])
    return units[0]


def ledger_file(run: str) -> Path:
    """Return the ledger file of a run folder, or the file itself."""
    path = Path(run) / LEDGER_NAME if Path(run).is_dir() else Path(run)
    if not path.is_file():
        raise InputError([Problem(run, f"expected a run folder with {LEDGER_NAME}, or a ledger file")])
    return path


def seal_again(run: str, key_file: Path | None) -> None:
    """Renew the seal of a file that has one; a seal that was signed needs its key for that."""
    from backfeed.store.ledger_seal import seal_ledger, seal_path  # noqa: PLC0415

    if is_server(run):
        return
    path, key = ledger_file(run), signing_key(key_file)
    if seal_path(path).is_file():
        if not key and b'"signature":""' not in seal_path(path).read_bytes():
            say(f"warning: {seal_path(path)} was signed and is now stale: seal again with --key-file")
            return
        seal_ledger(path, key)


def signing_key(key_file: Path | None) -> bytes:
    """Return the key that signs seals, empty where no file is given."""
    if key_file is None:
        return b""
    try:
        key = key_file.read_bytes().strip()
    except OSError as error:
        message = f"key {key_file} can not be read: {error}"
        raise EnvironmentProblemError(message) from error
    if not key:
        raise InputError([Problem(str(key_file), "expected a key, found an empty file")])
    return key


def check_day(text: str) -> None:
    """Refuse what is no day; raises `InputError`."""
    from datetime import date  # noqa: PLC0415

    try:
        date.fromisoformat(text)
    except ValueError as error:
        raise InputError([Problem("--day", f"expected a day like 2026-07-20, found {text!r}")]) from error


def parse_at(text: str) -> int:
    """Return the instant that `--at` gives."""
    from backfeed.core.instant import parse_instant  # noqa: PLC0415

    try:
        return parse_instant(text)
    except ValueError as error:
        raise InputError([Problem("--at", f"expected an instant with an offset, found {text!r}")]) from error
