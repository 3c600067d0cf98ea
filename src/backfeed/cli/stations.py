"""`backfeed stations`: the chargers from outside that may connect."""

from pathlib import Path
from typing import Annotated

import typer

from backfeed.app.config import load_pilot
from backfeed.app.scene import set_scene
from backfeed.app.stations import StationRegister
from backfeed.cli.outcome import write_result
from backfeed.core.problem import InputError, Problem

app = typer.Typer(no_args_is_help=True)


@app.callback()
def stations() -> None:
    """Register the chargers that may connect to a service."""


@app.command()
def add(
    station: Annotated[str, typer.Argument(help="The charger's OCPP identity.")],
    *,
    site: Annotated[str, typer.Option(help="The pilot's site at which it stands.")],
    data: Annotated[Path, typer.Option(help="The service's data folder.")] = Path("data"),
    pilot: Annotated[Path | None, typer.Option(help="The pilot file, to check that it has the site.")] = None,
    profile: Annotated[int, typer.Option(help="OCPP security profile.")] = 1,
    password: Annotated[str | None, typer.Option(help="16 to 40 characters; one is made if none is given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Register a charger, or give it another password; its password is shown once.

    The charger connects to ws://HOST:OCPP-PORT/ocpp/STATION with its identity and this password as HTTP
    Basic authentication. A service that runs on the data folder knows it at once.
    """
    if pilot is not None:
        _check_site(pilot, site)
    secret = StationRegister(data).add(station, site, profile, password)
    words = f"{station} may connect with the password {secret}"
    write_result({"station": station, "site": site, "profile": profile, "password": secret}, words, as_json=as_json)


def _check_site(pilot: Path, site: str) -> None:
    """Refuse a site that the pilot has not; a location that no site names is a site of its own."""
    sites = set_scene(load_pilot(pilot), needs_sessions=False).enrolment.sites
    if site not in sites:
        raise InputError([Problem("--site", f"expected a site of {pilot}: {', '.join(sites)}; found {site!r}")])
