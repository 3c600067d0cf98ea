"""Links over websockets, and the account of what is under way on them.

Both ends of a simulated run live in one process and on one event loop whose clock may jump only when
nothing is under way. A frame between two sockets is bytes in the kernel, where the loop can not see
it, so both ends keep one account per connection, a `Conversation` in the run's `Traffic`:

- a data frame counts from `send` until the other end's library has taken all of it off the socket;
- after an `abort` nothing that is still under way arrives, as on a pipe in memory, though the kernel
  may well have kept it;
- closing counts from the first `close`, `abort` or loss at either end until both ends have seen the
  connection go;
- when both have, the frames that never arrived are written off, so that the count comes back to zero
  whatever was lost, and no frame is written off that may still arrive.

The two ends find their common account by the addresses of the connection, which no two live
connections share. Opening is counted by whoever opens, around the call of `websockets.connect`: when that
returns or raises, the other end has an answer of its own ready to run. An end whose other end lives in
another process would wait for it forever; such runs are live, and live runs count nothing.
"""

import asyncio
from collections.abc import Hashable
from typing import ClassVar, TypedDict

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import DATA_OPCODES, CloseCode, Frame
from websockets.protocol import Event
from websockets.typing import Subprotocol

from backfeed.wire.link import Conversation, LinkClosedError, Traffic

OCPP21 = Subprotocol("ocpp2.1")

FRAME_MAX_BYTES = 65_536
"""The longest frame that either end takes: far above any legal message, far below what could hurt."""

_QUEUE_FRAMES = 16


CLOSE_TIMEOUT_S = 3.0
"""How long the other end may take to agree to a close: a service that stops does not wait for the dead."""


class WebsocketOptions(TypedDict):
    """Options that `websockets.connect` and `websockets.serve` share."""

    compression: None
    max_size: int
    max_queue: int | None
    ping_interval: float | None
    close_timeout: float


def websocket_options(traffic: Traffic | None, ping_interval_s: float | None) -> WebsocketOptions:
    """Return the options of an end: as a live one, or for a simulated run if there is `traffic`.

    In a simulated run nothing may hold frames back, because the clock stands still while they are under
    way, and there are no pings, because the library would send them behind the account's back.
    """
    live = traffic is None
    return WebsocketOptions(
        compression=None,
        max_size=FRAME_MAX_BYTES,
        max_queue=_QUEUE_FRAMES if live else None,
        ping_interval=ping_interval_s if live else None,
        close_timeout=CLOSE_TIMEOUT_S,
    )


class _CountedConnection(Connection):
    """A websocket connection that keeps the account of its conversation."""

    traffic: ClassVar[Traffic]
    _key: Hashable
    _conversation: Conversation

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        ends = [transport.get_extra_info("sockname"), transport.get_extra_info("peername")]
        self._key = frozenset(tuple(address[:2]) if address else id(self) for address in ends)
        self._conversation = self.traffic.conversations.setdefault(self._key, Conversation(self.traffic))
        self._conversation.join()

    def process_event(self, event: Event) -> None:
        if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            if event.fin:
                self._conversation.frame_arrived()
            if self._conversation.broken:
                return
        super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._conversation.leave():
            self.traffic.conversations.pop(self._key, None)
        super().connection_lost(exc)

    async def close(self, code: CloseCode | int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        self._conversation.closing()
        await super().close(code, reason)

    def abort(self) -> None:
        self._conversation.break_off()
        self.transport.abort()

    def frame_sent(self) -> None:
        self._conversation.frame_sent()


def counted_client(traffic: Traffic) -> type[ClientConnection]:
    """Return the class of connections that a counted client makes (`create_connection`)."""
    return type("CountedClient", (_CountedConnection, ClientConnection), {"traffic": traffic})


def counted_server(traffic: Traffic) -> type[ServerConnection]:
    """Return the class of connections that a counted server makes (`create_connection`)."""
    return type("CountedServer", (_CountedConnection, ServerConnection), {"traffic": traffic})


class WebsocketLink:
    """A `Link` over an open websocket connection."""

    def __init__(self, connection: Connection) -> None:
        """Speak over a connection; it keeps the account if its class is a counted one."""
        self._connection = connection
        self._counted = connection if isinstance(connection, _CountedConnection) else None

    async def send(self, frame: bytes) -> None:
        """Send a frame; raise `LinkClosedError` if the other end is gone."""
        if self._counted is not None:
            self._counted.frame_sent()
        try:
            await self._connection.send(frame, text=True)
        except ConnectionClosed as closed:
            raise LinkClosedError(str(closed)) from closed

    async def receive(self) -> bytes:
        """Return the next frame; raise `LinkClosedError` when there will be none."""
        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosed as closed:
            raise LinkClosedError(str(closed)) from closed

    async def close(self) -> None:
        """Close in good order; closing twice is harmless."""
        await self._connection.close()

    def abort(self) -> None:
        """Drop the connection at once; frames under way are lost."""
        if self._counted is not None:
            self._counted.abort()
        else:
            self._connection.transport.abort()


async def open_websocket(
    url: str, authorization: str | None, traffic: Traffic | None = None, ping_interval_s: float | None = None
) -> WebsocketLink:
    """Connect to a platform as a charging station does.

    Parameters
    ----------
    url
        `ws://host:port/ocpp/{station}`.
    authorization
        The value of the Authorization header, if there is to be one.
    traffic
        The account of a simulated run; None for a live station.
    ping_interval_s
        How often a live station pings; None for never.

    Raises
    ------
    LinkClosedError
        If the platform can not be reached or refuses the connection.
    """
    if traffic is not None:
        traffic.begin()
    try:
        connection = await connect(
            url,
            subprotocols=[OCPP21],
            additional_headers={} if authorization is None else {"Authorization": authorization},
            proxy=None,
            create_connection=None if traffic is None else counted_client(traffic),
            **websocket_options(traffic, ping_interval_s),
        )
    except (OSError, WebSocketException) as refusal:
        raise LinkClosedError(str(refusal)) from refusal
    finally:
        if traffic is not None:
            traffic.end()
    return WebsocketLink(connection)
