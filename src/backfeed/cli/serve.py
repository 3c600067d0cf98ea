"""`backfeed serve`: the same platform, live."""

from pathlib import Path
from typing import Annotated

import typer

from backfeed.api.http import create_api
from backfeed.app.live import Addresses, ServiceOptions, serve
from backfeed.cli.outcome import say, write_result


def command(
    pilot: Annotated[Path, typer.Argument(help="A pilot file (TOML).")],
    *,
    data: Annotated[Path, typer.Option(help="Folder of the event log and the ledger; made if missing.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    ocpp_port: Annotated[int, typer.Option(min=0, max=65535, help="Where chargers connect.")] = 9000,
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="Where people and programs look.")] = 8080,
    simulate: Annotated[bool, typer.Option("--simulate", help="Let the pilot's own cars come as well.")] = False,
    allow_expired: Annotated[bool, typer.Option("--allow-expired", help="Apply a tariff that has expired.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print where it listens as one JSON document.")] = False,
) -> None:
    """Run a pilot live until interrupted or terminated.

    Chargers connect to ws://HOST:OCPP-PORT/ocpp/STATION with subprotocol ocpp2.1; `backfeed stations add`
    registers them. With --simulate the pilot's own cars come as well. People look at http://HOST:HTTP-PORT/,
    programs at /healthz, /api/v1 and /openapi.json there. Started again on the same folder, a service goes on
    where the last one stopped. Port 0 takes a free one.
    """

    def listening(at: Addresses) -> None:
        say(f"chargers:  {at.ocpp}/STATION")
        say(f"people:    {at.http}")
        if as_json:
            write_result({"ocpp_url": at.ocpp, "http_url": at.http, "data": str(data)}, "", as_json=True)

    options = ServiceOptions(host, ocpp_port, http_port, simulate, allow_expired)
    serve(pilot, data, options, create_api, say, listening)
