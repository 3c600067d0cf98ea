"""`backfeed ledger`: whether the books are sound, what they say about whom, closing months, paying, backing up."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backfeed.cli.books import (
    DETAIL_FOLDER,
    AsJson,
    At,
    KeyFile,
    Run,
    check_day,
    currency_of,
    is_server,
    ledger_file,
    open_books,
    parse_at,
    seal_again,
    signing_key,
)
from backfeed.cli.cases import app as cases_app
from backfeed.cli.outcome import QualityMissedError, write_result
from backfeed.cli.redeem import redeem
from backfeed.cli.true_up import true_up
from backfeed.core.problem import EnvironmentProblemError, InputError, Problem

if TYPE_CHECKING:
    from backfeed.settle.bank import BankAccount
    from backfeed.settle.statement import Statement
    from backfeed.store.ledger import Verification

app = typer.Typer(help="Verify and read a ledger.", no_args_is_help=True)

app.add_typer(cases_app, name="cases")
app.command()(redeem)
app.command("true-up")(true_up)


class RoleName(StrEnum):
    """Whose statements."""

    OWNER = "owner"
    SITE = "site"
    AGGREGATOR = "aggregator"
    RETAILER = "retailer"
    GRID = "grid"


class Form(StrEnum):
    """What a statement is written as."""

    JSON = "json"
    CSV = "csv"
    HTML = "html"


class Language(StrEnum):
    """What a statement to print is written in."""

    ENGLISH = "en"
    CHINESE = "zh"


@app.command()
def verify(run: Run, *, key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """Prove that every unit sums to zero and that no byte was changed; exits with 3 if not."""
    from backfeed.store.ledger_seal import verify_file  # noqa: PLC0415 -- keeps --help quick

    if is_server(run):
        with open_books(run) as ledger:
            found = ledger.verify()
    else:
        found = verify_file(ledger_file(run), signing_key(key_file))
        found = _with_details(run, found)
    write_result(_verification(found), _verification_words(found), as_json=as_json)
    if not found.verified:
        message = f"the ledger of {run} is not sound: {len(found.problems)} problems"
        raise QualityMissedError(message)


@app.command()
def seal(run: Run, *, key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """Seal a closed ledger file: from then on any flipped byte of it is found."""
    from backfeed.store.ledger_seal import seal_ledger, seal_path  # noqa: PLC0415

    path = ledger_file(run)
    made = seal_ledger(path, signing_key(key_file))
    document = {"seal": str(seal_path(path)), "head": made.head, "signed": bool(made.signature)}
    write_result(document, f"{seal_path(path)}: head {made.head}", as_json=as_json)


@app.command()
def balances(run: Run, *, as_json: AsJson = False) -> None:
    """Show what every account holds: received less given."""
    from backfeed.settle.format import format_amount  # noqa: PLC0415

    with open_books(run, readonly=True) as ledger:
        held = ledger.balances()
    words = "\n".join(
        f"{account:48}{format_amount(amount, account.rpartition(':')[2]):>20}" for account, amount in held.items()
    )
    write_result({"balances": held}, words, as_json=as_json)


@app.command()
def statement(
    run: Run,
    holder: Annotated[str, typer.Argument(help="Name of the owner, site or other holder.")],
    *,
    role: Annotated[RoleName, typer.Option(help="What the holder is.")] = RoleName.OWNER,
    period: Annotated[str, typer.Option(help="A month or day, like 2026-07; all by default.")] = "",
    form: Annotated[Form, typer.Option("--format", help="What to write.")] = Form.CSV,
    language: Annotated[Language, typer.Option(help="Of a statement to print.")] = Language.ENGLISH,
    as_json: AsJson = False,
) -> None:
    """Write one holder's statement to stdout."""
    from backfeed.settle.account import Role  # noqa: PLC0415
    from backfeed.settle.statement import make_statement  # noqa: PLC0415

    with open_books(run, readonly=True) as ledger:
        made = make_statement(ledger.transfers(), Role(role.value), holder, period)
        head = ledger.hash()
    if not made.lines:
        raise InputError([Problem(run, f"says nothing about {role.value} {holder!r} in {period or 'all days'}")])
    typer.echo(_written(made, head, Form.JSON if as_json else form, language), nl=False)


@app.command()
def statements(
    run: Run,
    *,
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    role: Annotated[RoleName, typer.Option(help="Whose statements.")] = RoleName.OWNER,
    period: Annotated[str, typer.Option(help="A month or day, like 2026-07; all by default.")] = "",
    language: Annotated[Language, typer.Option(help="Of statements to print.")] = Language.ENGLISH,
    as_json: AsJson = False,
) -> None:
    """Write the statements of all holders of a role, as JSON, CSV and HTML each."""
    from backfeed.settle.account import Role  # noqa: PLC0415
    from backfeed.settle.statement import make_statements  # noqa: PLC0415

    with open_books(run, readonly=True) as ledger:
        made = make_statements(ledger.transfers(), Role(role.value), period)
        head = ledger.hash()
    files = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for one in made:
            for form in Form:
                path = out / f"{_file_name(one.holder)}.{form.value}"
                path.write_bytes(_written(one, head, form, language))
                files.append(path.name)
    except OSError as error:
        message = f"{out}: can not be written: {error.strerror}"
        raise EnvironmentProblemError(message) from error
    write_result({"folder": str(out), "files": files}, f"{len(made)} statements in {out}", as_json=as_json)


@app.command("close-month")
def close_month(
    run: Run,
    month: Annotated[str, typer.Argument(help="Like 2026-07.")],
    *,
    at: At,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Close a month: nothing new may be posted to it from then on."""
    from backfeed.settle.month import close_month as closing  # noqa: PLC0415

    with open_books(run) as ledger:
        mark = closing(ledger.transfers(), month, currency_of(ledger), parse_at(at))
        ledger.post([mark])
    seal_again(run, key_file)
    document = {"closed": month, "transfer": mark.id, "trial_balance": mark.evidence}
    write_result(document, f"{month} is closed, trial balance {mark.evidence}", as_json=as_json)


@app.command("reopen-month")
def reopen_month(
    run: Run,
    month: Annotated[str, typer.Argument(help="Like 2026-07.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; it stands in the books.")],
    at: At,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Reopen a closed month, on the record."""
    from backfeed.settle.month import reopen_month as reopening  # noqa: PLC0415

    with open_books(run) as ledger:
        mark = reopening(ledger.transfers(), month, currency_of(ledger), parse_at(at), reason)
        ledger.post([mark])
    seal_again(run, key_file)
    write_result({"reopened": month, "transfer": mark.id}, f"{month} is open again", as_json=as_json)


@app.command()
def pay(
    run: Run,
    *,
    name: Annotated[str, typer.Option(help="Name of the payment run, used once.")],
    accounts: Annotated[Path, typer.Option(help="CSV: owner,name,number,bank_id; the row of owner `payer` pays.")],
    day: Annotated[str, typer.Option(help="When the bank is to pay, like 2026-08-05.")],
    at: At,
    out: Annotated[Path, typer.Option(help="File for the bank, ISO 20022 pain.001.")],
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Pay all owners what they are owed in whole cents: post it and write the bank's file."""
    from backfeed.settle.bank import bank_file, bank_payments  # noqa: PLC0415

    check_day(day)
    known = _bank_accounts(accounts)
    payer = known.pop("payer", None)
    if payer is None:
        raise InputError([Problem(str(accounts), "expected a row whose owner is `payer`, found none")])
    with open_books(run) as ledger:
        payments = bank_payments(ledger.transfers(), currency_of(ledger), name, parse_at(at))
        unposted = out.with_name(f"{out.name}.unposted")
        unposted.write_bytes(bank_file(payments, known, payer, name, day))
        ledger.post(payments)
    unposted.replace(out)
    seal_again(run, key_file)
    document = {"file": str(out), "payments": len(payments), "total_micro": sum(p.amount for p in payments)}
    write_result(document, f"{len(payments)} payments in {out}", as_json=as_json)


@app.command()
def backup(
    run: Run,
    target: Annotated[str, typer.Argument(help="A ledger file or a postgresql:// address; it is brought up to date.")],
    *,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Copy a ledger, or what is new in it, proving every link; restoring is the same the other way round."""
    from backfeed.store.ledger_backup import copy_ledger  # noqa: PLC0415
    from backfeed.store.ledger_seal import open_ledger, seal_ledger  # noqa: PLC0415

    with (
        open_books(run, readonly=True) as source,
        open_books(target) if is_server(target) else open_ledger(Path(target)) as copy,
    ):
        copied, head = copy_ledger(source, copy), source.hash()
    if not is_server(target):
        seal_ledger(Path(target), signing_key(key_file))
    write_result({"copied": copied, "head": head}, f"{copied} transfers copied, head {head}", as_json=as_json)


def _written(made: "Statement", head: str, form: Form, language: Language) -> bytes:
    from backfeed.settle.document import statement_csv, statement_html, statement_json  # noqa: PLC0415

    if form is Form.JSON:
        return statement_json(made, head)
    if form is Form.CSV:
        return statement_csv(made)
    return statement_html(made, head, language.value)


def _file_name(holder: str) -> str:
    """Return a holder's name as the name of a file: everything that could lead elsewhere is escaped."""
    return "".join(c if c.isalnum() or c in "-_" else f"%{ord(c):x}" for c in holder) or "%"


def _bank_accounts(file: Path) -> "dict[str, BankAccount]":
    import csv  # noqa: PLC0415

    from backfeed.settle.bank import BankAccount  # noqa: PLC0415

    with file.open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    columns = ("owner", "name", "number", "bank_id")
    problems = [
        Problem(f"{file} row {number}", f"{column} is missing")
        for number, row in enumerate(rows, 2)
        for column in columns
        if not row.get(column)
    ]
    if problems or not rows:
        raise InputError(problems or [Problem(str(file), "expected rows of owner,name,number,bank_id, found none")])
    return {row["owner"]: BankAccount(row["name"], row["number"], row["bank_id"]) for row in rows}


def _with_details(run: str, found: "Verification") -> "Verification":
    """Check the interval detail of a run folder as well, where there is some."""
    from dataclasses import replace  # noqa: PLC0415

    folder = Path(run) / DETAIL_FOLDER
    if not folder.is_dir():
        return found
    from backfeed.store.ledger_detail import verify_details  # noqa: PLC0415

    try:
        with open_books(run, readonly=True) as ledger:
            problems = verify_details(folder, ledger.transfers())
    except EnvironmentProblemError as error:
        problems = [Problem(str(folder), str(error))]
    return replace(found, problems=(*found.problems, *problems))


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
