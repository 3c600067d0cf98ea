"""The door: who may come in over a real websocket, and what happens to all others."""

import asyncio
import base64
import contextlib
import json

import pytest
import websockets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backfeed.core.clock import LoopClock
from backfeed.core.problem import EnvironmentProblemError
from backfeed.fleet.event import StationBooted
from backfeed.gateway.server import Gateway
from backfeed.gateway.socket import identity_of, serve

PASSWORD = "a password of 24 letters"


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@contextlib.asynccontextmanager
async def open_door(make_list_sink):
    clock = LoopClock(asyncio.get_running_loop(), 1_780_000_000_000)
    sink = make_list_sink(clock)
    known = {"CP-1", "CP 2", "*+=:|@._-", "x" * 48}

    def authenticate(station, password):
        return station in known and password == PASSWORD

    gateway = Gateway(clock, sink, authenticate, lambda *_: "Accepted")
    async with serve(gateway, "127.0.0.1", 0) as port:
        yield gateway, sink, f"ws://127.0.0.1:{port}"


def connect(url, headers=None, subprotocols=("ocpp2.1",), **options):
    return websockets.connect(url, additional_headers=headers or {}, subprotocols=subprotocols, proxy=None, **options)


async def heartbeat(socket, message_id="h"):
    await socket.send(json.dumps([2, message_id, "Heartbeat", {}]))
    async with asyncio.timeout(5):
        return json.loads(await socket.recv())


@pytest.mark.parametrize(
    ("path", "identity"),
    [
        ("/ocpp/CP-1", "CP-1"),
        ("/ocpp/%43P-1", "CP-1"),
        ("/ocpp/*+=:|@._-", "*+=:|@._-"),
        ("/ocpp/" + "x" * 48, "x" * 48),
        ("/ocpp/" + "x" * 49, None),
        ("/ocpp/", None),
        ("/ocpp", None),
        ("/", None),
        ("/ocpp/.", None),
        ("/ocpp/..", None),
        ("/ocpp/%2e%2e", None),
        ("/ocpp/a%2fb", None),
        ("/ocpp/../CP-1", None),
        ("/ocpp/CP-1/", None),
        ("/ocpp/CP-1?x=1", None),
        ("/ocpp/CP-1%00", None),
        ("/ocpp/CP-1%0d%0aX:", None),
        ("/ocpp/CP-1'%20OR%201=1", None),
        ("/ocpp/%ff", None),
        ("/OCPP/CP-1", None),
    ],
)
def test_a_path_names_one_station_or_none(path, identity):
    assert identity_of(path) == identity


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/ocpp/CP-1", {}, 401),
        ("/ocpp/CP-1", basic("CP-1", "wrong"), 401),
        ("/ocpp/CP-1", basic("CP-2", PASSWORD), 401),
        ("/ocpp/CP-9", basic("CP-9", PASSWORD), 401),
        ("/ocpp/CP-1", {"Authorization": "Bearer abc"}, 401),
        ("/ocpp/CP-1", {"Authorization": "Basic !!!"}, 401),
        ("/ocpp/..", basic("..", PASSWORD), 404),
        ("/other/CP-1", basic("CP-1", PASSWORD), 404),
    ],
)
def test_whoever_is_not_let_in_is_refused_before_the_upgrade_and_nothing_is_written(
    make_list_sink, path, headers, status
):
    async def scenario():
        async with open_door(make_list_sink) as (gateway, sink, url):
            with pytest.raises(websockets.InvalidStatus) as refusal:
                await connect(url + path, headers)
            assert refusal.value.response.status_code == status
            assert ("WWW-Authenticate" in refusal.value.response.headers) == (status == 401)
            assert gateway.connected_stations() == ()
            assert sink.events == []

    asyncio.run(scenario())


def test_an_unknown_identity_and_a_wrong_password_get_the_same_answer(make_list_sink):
    async def scenario():
        async with open_door(make_list_sink) as (_, _, url):
            answers = []
            for path, headers in (("/ocpp/CP-1", basic("CP-1", "no")), ("/ocpp/CP-9", basic("CP-9", "no"))):
                with pytest.raises(websockets.InvalidStatus) as refusal:
                    await connect(url + path, headers)
                response = refusal.value.response
                answers.append((response.status_code, response.body, sorted(response.headers)))
            assert answers[0] == answers[1]

    asyncio.run(scenario())


@pytest.mark.parametrize("offered", [None, ("ocpp1.6",)])
def test_without_the_subprotocol_the_connection_is_closed_at_once(make_list_sink, offered):
    async def scenario():
        async with open_door(make_list_sink) as (_, sink, url):
            async with connect(f"{url}/ocpp/CP-1", basic("CP-1", PASSWORD), offered) as socket:
                assert socket.subprotocol is None
                with pytest.raises(websockets.ConnectionClosed):
                    await socket.recv()
                assert socket.close_code == 1002
            assert sink.events == []

    asyncio.run(scenario())


def test_of_several_subprotocols_ours_is_chosen(make_list_sink):
    async def scenario():
        async with (
            open_door(make_list_sink) as (_, _, url),
            connect(f"{url}/ocpp/CP-1", basic("CP-1", PASSWORD), ("ocpp1.6", "ocpp2.1")) as socket,
        ):
            assert socket.subprotocol == "ocpp2.1"
            assert (await heartbeat(socket))[0] == 3

    asyncio.run(scenario())


def test_a_newcomer_without_proof_never_displaces_a_live_station_and_one_with_proof_does(make_list_sink):
    async def scenario():
        async with (
            open_door(make_list_sink) as (gateway, _, url),
            connect(f"{url}/ocpp/CP-1", basic("CP-1", PASSWORD)) as old,
        ):
            for headers in ({}, basic("CP-1", "wrong")):
                with pytest.raises(websockets.InvalidStatus):
                    await connect(f"{url}/ocpp/CP-1", headers)
            assert (await heartbeat(old))[0] == 3
            async with connect(f"{url}/ocpp/CP-1", basic("CP-1", PASSWORD)) as new:
                assert (await heartbeat(new))[0] == 3
                with pytest.raises(websockets.ConnectionClosed):
                    await asyncio.wait_for(old.recv(), 60)
                assert gateway.connected_stations() == ("CP-1",)

    asyncio.run(scenario())


def test_a_killed_charger_comes_back_and_tells_again_what_was_not_acknowledged(make_list_sink):
    async def scenario():
        boot = {"reason": "PowerUp", "chargingStation": {"model": "M", "vendorName": "V"}}
        async with open_door(make_list_sink) as (_, sink, url):
            for _ in range(5):
                socket = await connect(f"{url}/ocpp/CP-1", basic("CP-1", PASSWORD))
                await socket.send(json.dumps([2, "b", "BootNotification", boot]))
                socket.transport.abort()
            async with connect(f"{url}/ocpp/CP-1", basic("CP-1", PASSWORD)) as socket:
                await socket.send(json.dumps([2, "b", "BootNotification", boot]))
                assert json.loads(await socket.recv())[:2] == [3, "b"]
            assert sink.of(StationBooted)

    asyncio.run(scenario())


def test_a_frame_that_is_too_long_closes_the_connection_only(make_list_sink):
    async def scenario():
        async with open_door(make_list_sink) as (_, _, url):
            async with connect(f"{url}/ocpp/CP-1", basic("CP-1", PASSWORD)) as socket:
                await socket.send("x" * 65_537)
                with pytest.raises(websockets.ConnectionClosed):
                    await socket.recv()
                assert socket.close_code == 1009
            async with connect(f"{url}/ocpp/CP-1", basic("CP-1", PASSWORD)) as socket:
                assert (await heartbeat(socket))[0] == 3

    asyncio.run(scenario())


def test_stopping_closes_every_connection_in_good_order(make_list_sink):
    async def scenario():
        async with contextlib.AsyncExitStack() as stack:
            _, _, url = await stack.enter_async_context(open_door(make_list_sink))
            socket = await connect(f"{url}/ocpp/CP-1", basic("CP-1", PASSWORD))
            await heartbeat(socket)
            await stack.aclose()
            with pytest.raises(websockets.ConnectionClosedOK):
                await socket.recv()

    asyncio.run(scenario())


def test_a_port_in_use_is_the_environments_problem(make_list_sink):
    async def scenario():
        async with open_door(make_list_sink) as (gateway, _, url):
            with pytest.raises(EnvironmentProblemError, match="can not listen"):
                async with serve(gateway, "127.0.0.1", int(url.rsplit(":", 1)[1])):
                    pass

    asyncio.run(scenario())


texts = st.text(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
).map(json.dumps)
calls = st.tuples(
    st.sampled_from([2, 3, 4, 5, 6, 7]),
    st.text(max_size=40),
    st.sampled_from(["Heartbeat", "TransactionEvent", "MeterValues", "StatusNotification", "Nonsense"]),
    st.dictionaries(st.sampled_from(["evseId", "meterValue", "timestamp", "seqNo"]), st.none() | st.integers()),
).map(json.dumps)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(texts | calls | st.binary(max_size=60), max_size=12))
def test_no_frames_bring_the_gateway_down(make_list_sink, frames):
    """Whatever comes: an error, a close code or silence, and the next station is served."""

    async def scenario():
        async with open_door(make_list_sink) as (_, _, url):
            async with connect(f"{url}/ocpp/CP-1", basic("CP-1", PASSWORD)) as socket:
                with contextlib.suppress(websockets.ConnectionClosed):
                    for each in frames:
                        await socket.send(each)
                    await socket.send(json.dumps([2, "the last", "Heartbeat", {}]))
                    async with asyncio.timeout(5):
                        while (told := json.loads(await socket.recv()))[1] != "the last":
                            assert told[0] in (3, 4)
            async with connect(f"{url}/ocpp/CP-1", basic("CP-1", PASSWORD)) as socket:
                assert (await heartbeat(socket))[0] == 3

    asyncio.run(scenario())
