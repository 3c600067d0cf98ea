"""`backfeed serve`: the same platform, live."""

from pathlib import Path
from typing import Annotated

import typer

from backfeed.app.live import serve


def command(
    pilot: Annotated[Path, typer.Argument(help="A pilot file (TOML).")],
    *,
    data: Annotated[Path, typer.Option(help="Folder of the event log and the ledger; made if missing.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    ocpp_port: Annotated[int, typer.Option(min=0, max=65535, help="Where chargers connect.")] = 9000,
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="Where people and programs look.")] = 8080,
    simulate: Annotated[bool, typer.Option("--simulate", help="Let the pilot's own cars come as well.")] = False,
) -> None:
    """Run a pilot live until interrupted or terminated.

    Chargers connect to ws://HOST:OCPP-PORT/ocpp/STATION with subprotocol ocpp2.1. Without --simulate only
    chargers from outside are served.
    """
    serve(pilot, data, host, ocpp_port, http_port, simulate)
