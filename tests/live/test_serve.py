"""`backfeed serve` as a stranger tries it: start, look, connect a charger, stop, start again."""

import asyncio
import signal
import socket

import pytest
import websockets

from backfeed.cli.main import run

PASSWORD = "a password of 24 letters"


def register(data, station, *more):
    assert run(["stations", "add", station, "--data", str(data), "--password", PASSWORD, *more]) == 0


def test_a_charger_from_outside_is_steered_and_nothing_is_lost_by_a_restart(tmp_path, start, charger):
    data = tmp_path / "data"
    register(data, "CP-1", "--site", "garage")
    register(data, "CP-9", "--site", "elsewhere")
    service = start(data)
    assert "CP-9: site 'elsewhere' is not one of the pilot's" in service.told
    assert service.get("/healthz")[0] == 200
    assert service.json("/healthz")["status"] == "ok"

    async def strangers():
        for station, password in (("CP-1", "wrong"), ("CP-1", None), ("CP-2", PASSWORD), ("CP-9", PASSWORD)):
            with pytest.raises(websockets.InvalidStatus) as refused:
                await charger.connect(service.ocpp, station, password)
            assert refused.value.response.status_code == 401

    async def plugs_in():
        outside = await charger.connect(service.ocpp, "CP-1", PASSWORD)
        await outside.boot()
        await outside.plug_in()
        power_kw, mode = await outside.setpoint()
        await outside.report("Updated", "Charging", 1500)
        shown = service.json("/api/v1/sessions")
        assert service.json("/healthz")["stations_connected"] == 1
        await outside.vanish()
        return outside.now, power_kw, mode, shown

    asyncio.run(strangers())
    now, power_kw, mode, [session] = asyncio.run(plugs_in())
    assert -7.4 <= power_kw <= 7.4
    assert mode in {"CentralSetpoint", "ChargingOnly"}
    assert (session["station"], session["site"], session["transaction"]) == ("CP-1", "garage", "outside-1")
    assert session["ordered_kw"] == pytest.approx(power_kw)
    assert session["soc_low"] == pytest.approx(0.55, abs=0.02)
    assert session["reason"]
    assert session["reason_zh"]
    assert service.stop(signal.SIGTERM) == 0
    assert "station CP-1 is refused: its password is wrong" in service.told
    assert "station CP-2 is refused: it is not registered" in service.told
    assert "station CP-9 is refused: its site 'elsewhere'" in service.told
    assert "Traceback" not in service.told

    again = start(data)
    assert [each["transaction"] for each in again.json("/api/v1/sessions")] == ["outside-1"]
    assert not again.json("/api/v1/stations")[0]["connected"]

    async def leaves():
        outside = await charger.connect(again.ocpp, "CP-1", PASSWORD)
        outside.now, outside._sequence = now, 2
        await outside.report("Ended", "Idle", 2500, evse={"id": 1})
        await outside.close()

    asyncio.run(leaves())
    assert again.json("/api/v1/sessions") == []
    assert again.stop(signal.SIGINT) == 130
    assert "Traceback" not in again.told
    assert "interrupted" in again.told


def test_the_pilots_own_cars_come_and_stop_with_the_service(tmp_path, start):
    service = start(tmp_path, "--simulate")
    for path in ("/", "/live.js", "/live.css", "/openapi.json", "/api/v1/sites", "/batteries/index.html"):
        status, headers, body = service.get(path)
        assert (status, bool(body)) == (200, True)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert service.stop() == 0
    assert service.told.splitlines()[-1] == "stopping"


@pytest.mark.parametrize("option", ["--ocpp-port", "--http-port"])
def test_a_port_in_use_is_the_environments_problem(tmp_path, pilot, capsys, option):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ports = {"--ocpp-port": "0", "--http-port": "0", option: port}
        options = [word for pair in ports.items() for word in pair]
        assert run(["serve", str(pilot), "--data", str(tmp_path), "--allow-expired", *options]) == 4
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"backfeed: can not listen on 127.0.0.1:{port}: ")
    assert "in use" in last


def test_two_services_never_share_a_data_folder(tmp_path, pilot, start, capsys):
    start(tmp_path)
    assert run(["serve", str(pilot), "--data", str(tmp_path), "--http-port", "0", "--ocpp-port", "0"]) == 4
    assert capsys.readouterr().err == f"backfeed: {tmp_path}: another service runs on this data folder\n"
