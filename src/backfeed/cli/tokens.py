"""`backfeed tokens`: what programs show that may do more than look."""

from pathlib import Path
from typing import Annotated

import typer

from backfeed.app.tokens import TokenRegister, TokenRole
from backfeed.cli.outcome import write_result

app = typer.Typer(no_args_is_help=True)


@app.callback()
def tokens() -> None:
    """Issue tokens to programs that may do more than look."""


@app.command()
def add(
    *,
    role: Annotated[TokenRole, typer.Option(help="driver-app: read questions to drivers, hand in their answers.")],
    data: Annotated[Path, typer.Option(help="Data folder of the service; made if missing.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Issue a token; it is shown once.

    A program sends it as `Authorization: Bearer TOKEN`. A service that runs on the data folder knows it at once.
    """
    token = TokenRegister(data).add(role)
    write_result({"role": role.value, "token": token}, f"{role.value} token: {token}", as_json=as_json)
