"""`backfeed ledger`: whether the books are sound, and what they say about whom."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backfeed.cli.outcome import QualityMissedError, write_result
from backfeed.core.problem import EnvironmentProblemError, InputError, Problem

if TYPE_CHECKING:
    from backfeed.store.ledger import Verification

LEDGER_NAME = "ledger.sqlite"
"""What the ledger of a run folder is called."""

app = typer.Typer(help="Verify and read a ledger.", no_args_is_help=True)

Run = Annotated[Path, typer.Argument(help="A run folder, or a ledger file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
KeyFile = Annotated[Path | None, typer.Option(help="File with the key that signs the seal.")]


@app.command()
def verify(run: Run, *, key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """Prove that every unit sums to zero and that no byte was changed."""
    from backfeed.store.ledger_seal import verify_file  # noqa: PLC0415 -- keeps --help quick

    found = verify_file(_ledger_file(run), _key(key_file))
    write_result(_verification(found), _verification_words(found), as_json=as_json)
    if not found.verified:
        message = f"the ledger of {run} is not sound: {len(found.problems)} problems"
        raise QualityMissedError(message)


@app.command()
def balances(run: Run, *, as_json: AsJson = False) -> None:
    """Show what every account holds: received less given."""
    from backfeed.settle.format import format_amount  # noqa: PLC0415
    from backfeed.store.ledger_seal import open_ledger  # noqa: PLC0415

    with open_ledger(_ledger_file(run)) as ledger:
        held = ledger.balances()
    words = "\n".join(
        f"{account:48}{format_amount(amount, account.rpartition(':')[2]):>20}" for account, amount in held.items()
    )
    write_result({"balances": held}, words, as_json=as_json)


def _ledger_file(run: Path) -> Path:
    path = run / LEDGER_NAME if run.is_dir() else run
    if not path.is_file():
        raise InputError([Problem(str(run), f"expected a run folder with {LEDGER_NAME}, or a ledger file")])
    return path


def _key(key_file: Path | None) -> bytes:
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


def _verification(found: "Verification") -> dict[str, Any]:
    return {
        "verified": found.verified,
        "transfers": found.transfers,
        "head": found.head,
        "units": {
            unit: {"debits": sums.debits, "credits": sums.credits, "balance": sums.balance}
            for unit, sums in found.units.items()
        },
        "problems": [{"where": problem.where, "what": problem.what} for problem in found.problems],
    }


def _verification_words(found: "Verification") -> str:
    lines = [f"{found.transfers} transfers, head {found.head}"]
    lines += [
        f"{unit:14} debits {sums.debits:>20} credits {sums.credits:>20} balance {sums.balance}"
        for unit, sums in found.units.items()
    ]
    lines += [str(problem) for problem in found.problems]
    lines.append("verified: every unit sums to zero and the chain holds" if found.verified else "NOT VERIFIED")
    return "\n".join(lines)
