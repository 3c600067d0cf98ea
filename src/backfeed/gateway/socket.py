"""The websocket door: who may come in, and over what.

A station connects to `/ocpp/{identity}` with HTTP Basic authentication (security profile 1, or 2 when an `ssl`
context is given) and the subprotocol `ocpp2.1`. Whoever is not let in is refused before the upgrade, and
nothing is written about it:

==========================================  =========================================================
what is wrong                               answer
==========================================  =========================================================
another path, an identity with other        404
characters than OCPP allows, or `.`, `..`
no password, a wrong one, another user,     401, the same for all
an unknown identity
no `ocpp2.1` among the subprotocols         the handshake without a subprotocol, then a close (Part 4)
==========================================  =========================================================
"""

import http
import re
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import unquote

from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.exceptions import InvalidHeader
from websockets.frames import CloseCode
from websockets.headers import build_www_authenticate_basic, parse_authorization_basic
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from backfeed.core.problem import EnvironmentProblemError
from backfeed.gateway.server import Gateway
from backfeed.wire.link import Traffic
from backfeed.wire.websocket_link import OCPP21, WebsocketLink, counted_server, websocket_options

OPEN_TIMEOUT_S = 10.0
"""How long a stranger may take over the handshake."""

_PATH = re.compile(r"/ocpp/([^/?#]*)")
_IDENTITY = re.compile(r"[A-Za-z0-9*+=:|@._-]{1,48}")


def identity_of(path: str) -> str | None:
    """Return the station that a request path names, or None if it names none.

    >>> identity_of("/ocpp/CP%2D1"), identity_of("/ocpp/%2e%2e"), identity_of("/ocpp/a/b"), identity_of("/ocpp/x%00")
    ('CP-1', None, None, None)
    """
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    identity = unquote(match[1], errors="replace")
    return identity if is_identity(identity) else None


def is_identity(text: str) -> bool:
    """Return whether a text can name a station: OCPP's identifierString, and no path."""
    return _IDENTITY.fullmatch(text) is not None and text not in {".", ".."}


def password_of(request: Request, station: str) -> str | None:
    """Return the password that a request brings for a station, or None if there is none that can be used."""
    headers = request.headers.get_all("Authorization")
    if len(headers) != 1:
        return None
    try:
        user, password = parse_authorization_basic(headers[0])
    except InvalidHeader:
        return None
    return password if user == station else None


class _Door:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        station = identity_of(request.path)
        if station is None:
            return connection.respond(http.HTTPStatus.NOT_FOUND, "no such station\n")
        if not self._gateway.authenticate(station, password_of(request, station)):
            response = connection.respond(http.HTTPStatus.UNAUTHORIZED, "who are you?\n")
            response.headers["WWW-Authenticate"] = build_www_authenticate_basic("ocpp")
            return response
        return None

    def select_subprotocol(self, _: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return OCPP21 if OCPP21 in offered else None

    async def serve(self, connection: ServerConnection) -> None:
        if connection.subprotocol is None:
            await connection.close(CloseCode.PROTOCOL_ERROR, "subprotocol ocpp2.1 is needed")
            return
        assert connection.request is not None
        station = identity_of(connection.request.path)
        assert station is not None, "the door let a nameless station in"
        await self._gateway.run_link(station, WebsocketLink(connection))


@asynccontextmanager
async def serve(
    gateway: Gateway,
    host: str,
    port: int,
    traffic: Traffic | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """Listen for stations while the context is open; it gives the port.

    Parameters
    ----------
    gateway
        Who serves the links.
    host, port
        Where to listen; port 0 takes a free one.
    traffic
        The account of a simulated run; None for a live service.
    tls
        The server's certificate and rules (security profile 2); None for plain websockets.

    Raises
    ------
    EnvironmentProblemError
        If nothing can listen there.
    """
    door = _Door(gateway)
    try:
        server: Server = await serve_websockets(
            door.serve,
            host,
            port,
            process_request=door.process_request,
            select_subprotocol=door.select_subprotocol,
            open_timeout=OPEN_TIMEOUT_S,
            create_connection=None if traffic is None else counted_server(traffic),
            ssl=tls,
            **websocket_options(traffic, gateway.config.ping_interval_s),
        )
    except OSError as failure:
        message = f"can not listen on {host}:{port}: {failure}"
        raise EnvironmentProblemError(message) from failure
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await gateway.close()
        server.close()
        await server.wait_closed()
