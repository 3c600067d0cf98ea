"""A station's websocket to the platform: OCPP-J's subprotocol and HTTP Basic authentication."""

import base64
from urllib.parse import quote

from backfeed.wire.link import Link, Traffic
from backfeed.wire.websocket_link import open_websocket


async def connect_websocket(url: str, station: str, password: str | None, traffic: Traffic | None = None) -> Link:
    """Open a link as a charging station does (security profile 1 or 2, OCPP 2.1 Part 4 and A00).

    Parameters
    ----------
    url
        Where the platform listens, without the station: `ws://host:port/ocpp`.
    station
        The identity, which is also the user name.
    password
        None to send no credentials.
    traffic
        The account of a simulated run.

    Raises
    ------
    backfeed.wire.link.LinkClosedError
        If the platform can not be reached or refuses the connection.
    """
    authorization = None
    if password is not None:
        authorization = "Basic " + base64.b64encode(f"{station}:{password}".encode()).decode()
    return await open_websocket(f"{url.rstrip('/')}/{quote(station, safe='')}", authorization, traffic)
