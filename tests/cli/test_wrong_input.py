"""Whatever is wrong with an input: a line that says where and what, the documented exit code, no traceback."""

import json
import re
import sqlite3

import pytest

from backfeed.cli.main import run
from backfeed.store.ledger_seal import open_ledger
from backfeed.store.log import APPLICATION_ID

SESSIONS = """session_id,station_id,user_id,arrival,departure,energy_kwh
s1,A,ann,2026-07-06T17:00:00,2026-07-07T07:00:00,12.0
"""
PILOT = """
[pilot]
name = "wrong"
timezone = "Asia/Shanghai"
start = 2026-07-06
days = 1

[sessions]
file = "sessions.csv"

[chargers]
power_kw = 7.4

[tariff]
preset = "guangdong-v2g"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sessions.csv").write_text(SESSIONS)
    (tmp_path / "pilot.toml").write_text(PILOT)
    (tmp_path / "empty").touch()
    (tmp_path / "syntax.toml").write_text("x = [")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    for name, old, new in (
        ("key", "days = 1", "days = 1\nsead = 1"),
        ("table", "[chargers]", "[charger]"),
        ("number", "7.4", '"fast"'),
        ("nan", "7.4", "nan"),
        ("zone", "Asia/Shanghai", "Mars/One"),
        ("tariff", "guangdong-v2g", "mars"),
        ("window", "2026-07-06", "2031-07-07"),
        ("lost", "sessions.csv", "nowhere.csv"),
        ("here", "sessions.csv", "."),
        ("expired", '"guangdong-v2g"', '"chengdu-2023"'),
        ("forecast", '"guangdong-v2g"', '"guangdong-v2g"\nforecast_file = "hot.csv"'),
        ("spot", '"guangdong-v2g"', '"shandong-v2g"\nbase_price_per_kwh = 0.5\nspot_file = "spot.csv"'),
        ("needs-spot", '"guangdong-v2g"', '"shandong-v2g"\nbase_price_per_kwh = 0.5'),
        ("euro", 'timezone = "Asia/Shanghai"', 'timezone = "Asia/Shanghai"\ncurrency = "EUR"'),
        ("dear", '"guangdong-v2g"', '"guangdong-v2g"\nbase_price_per_kwh = inf'),
        ("far-zone", '"guangdong-v2g"', '"guangdong-v2g"\nzone = "north"'),
    ):
        (tmp_path / f"{name}.toml").write_text(PILOT.replace(old, new, 1))
    (tmp_path / "hot.csv").write_text("day,max_c\n2026-07-05,hot\n")
    (tmp_path / "spot.csv").write_text("start,price_per_kwh\n2026-07-06T12:00:00+08:00,0.3\n")
    (tmp_path / "quick.csv").write_text("time,soc\n0,0.5\n1e-9,0.6\n")
    open_ledger(tmp_path / "newer.sqlite").close()
    newer(tmp_path / "newer.sqlite", 0)
    (tmp_path / "data").mkdir()
    newer(tmp_path / "data" / "events.sqlite", APPLICATION_ID)
    return tmp_path


def newer(path, application):
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE IF NOT EXISTS more (x)")
    database.execute(f"PRAGMA application_id = {application}")
    database.execute("PRAGMA user_version = 99")
    database.commit()
    database.close()


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("run none.toml --out o", 2, "none.toml: .*No such file"),
        ("run . --out o", 2, "directory"),
        ("run syntax.toml --out o", 2, "syntax.toml: expected TOML"),
        ("run bytes.toml --out o", 2, "bytes.toml: expected TOML in UTF-8"),
        ("run key.toml --out o", 2, "key.toml .*sead"),
        ("run table.toml --out o", 2, "table.toml: unknown table or key 'charger'"),
        ("run number.toml --out o", 2, "number.toml .*power_kw.*fast"),
        ("run nan.toml --out o", 2, "nan.toml .*power_kw: expected 0 to 1000, found nan"),
        ("run zone.toml --out o", 2, "zone.toml .*timezone: expected an IANA time zone.*Mars/One"),
        ("run tariff.toml --out o", 2, "tariff.toml .*preset.*guangdong-v2g.*found 'mars'"),
        ("run window.toml --out o", 2, "window.toml .*expected sessions that arrive.*found none"),
        ("run lost.toml --out o", 2, "nowhere.csv: .*No such file"),
        ("run here.toml --out o", 2, "directory"),
        ("run pilot.toml --out o --worlds mars", 2, "--worlds: expected some of .*found mars"),
        ("run pilot.toml --out empty/o", 4, "empty/o: the run folder can not be written: Not a directory"),
        ("run pilot.toml --out /proc/o", 4, "/proc/o: the run folder can not be written"),
        ("serve none.toml --data d", 2, "none.toml: .*No such file"),
        ("serve pilot.toml --data empty/d", 4, "empty/d: the data folder can not be written"),
        ("serve pilot.toml --data data --allow-expired", 4, "events.sqlite: .*schema 99, this version knows up to"),
        ("serve pilot.toml --data d --ocpp-port 99999", 2, "--ocpp-port"),
        ("serve expired.toml --data d", 2, "chengdu-2023: expired: valid until 2023-12-31, asked for"),
        ("run forecast.toml --out o", 2, "hot.csv: row 2, max_c: expected a number, found 'hot'"),
        ("run spot.toml --out o", 2, "spot.csv: expected prices from .*found the first at"),
        ("run needs-spot.toml --out o", 2, "discharge follows the spot price: expected .* found none"),
        ("run far-zone.toml --out o", 2, "zone: expected one of none, found 'north'"),
        ("run euro.toml --out o", 2, "currency: expected CNY, which tariff guangdong-v2g counts in, found 'EUR'"),
        ("run dear.toml --out o", 2, "base_price_per_kwh: expected 0 to 1000000, found inf"),
        ("sessions check none.csv", 2, "none.csv: .*No such file"),
        ("sessions check .", 2, "directory"),
        ("sessions check empty", 2, "empty: expected a header row"),
        ("sessions check sessions.csv --timezone Mars", 2, "timezone: expected an IANA time zone.*'Mars'"),
        ("pilot new --sessions none.csv --out p.toml", 2, "none.csv: .*No such file"),
        (
            "pilot new --sessions sessions.csv --timezone Asia/Shanghai --out empty/p.toml",
            4,
            "empty/p.toml: can not be written",
        ),
        ("pilot new --sessions sessions.csv --out p.toml --days 0", 2, "--days: expected 1 to 400, found 0"),
        ("plan none --out o", 2, "none: is not a folder"),
        ("plan . --out o", 2, "axis.json: the file is missing"),
        ("tariff show mars --day 2026-07-20", 2, "guangdong-v2g.*found 'mars'"),
        ("tariff show guangdong-v2g --day soon", 2, "--day: expected a day like .*'soon'"),
        ("tariff show guangdong-v2g --day 9999-12-31", 2, "--day: expected a day between .*'9999-12-31'"),
        ("tariff show guangdong-v2g --day 0001-01-01", 2, "--day: expected a day between .*'0001-01-01'"),
        ("tariff show guangdong-v2g --day 2026-07-20 --forecast-max-c nan", 2, "--forecast-max-c: expected .* nan"),
        ("tariff show guangdong-v2g --day 2026-07-20 --base-price=-1", 2, "--base-price: expected 0 or more.*'-1'"),
        ("tariff show guangdong-v2g --day 2026-07-20 --base-price 1e99", 2, "--base-price: expected a price like"),
        ("tariff check none", 2, "none: .*No such file"),
        ("tariff check syntax.toml", 2, "syntax.toml: is not TOML"),
        ("battery simulate --chemistry lfp --capacity-kwh 50 --profile none", 2, "none: .*No such file"),
        ("battery health empty --chemistry lfp --capacity-kwh -1", 2, "--capacity-kwh: expected 1 to 2000, found -1"),
        (
            "battery simulate --chemistry lfp --capacity-kwh 50 --profile quick.csv",
            2,
            "quick.csv: expected at least a min",
        ),
        ("forecast sessions.csv --folds 99999999", 2, "--folds: expected 1 to 100, found 99999999"),
        ("ledger verify none", 2, "none: expected a run folder"),
        ("ledger balances newer.sqlite", 4, "newer.sqlite has schema 99, this version knows up to"),
        ("ledger verify newer.sqlite", 4, "newer.sqlite has schema 99, this version knows up to .*: use a newer one"),
        ("ledger balances syntax.toml", 4, "syntax.toml can not be opened: file is not a database"),
        ("report targets none", 2, "none: expected the folder of a run or a service with project.json"),
        ("report targets data --requirements mars", 2, "requirements: expected a file or the notice 2024-09.*'mars'"),
        ("report targets data --projects none", 2, "none: can not be read"),
        ("report targets data --projects sessions.csv", 2, "sessions.csv row 2: run is missing"),
        ("report targets data --lang fr", 2, "--lang"),
        ("stations add CP/1 --site s --data d", 2, "station: expected 1 to 48 of the characters.*'CP/1'"),
        ("stations add CP-1 --site s --data d --password short", 2, "--password: expected 16 to 40"),
        ("stations add CP-1 --site s --data d --profile 3", 2, "--profile: expected 1 .*found 3"),
        ("stations add CP-1 --site s --data d --pilot pilot.toml", 2, "--site: expected a site of .*: A; found 's'"),
        ("stations add CP-1 --site s --data empty/d", 4, "stations.json: the register can not be written"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_mistake_is_told_in_a_line_and_as_one_document(capfd, line, code, told):
    assert run(line.split()) == code
    out, words = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in words
    *_, last = words.splitlines()
    assert last.startswith("backfeed: ")
    assert re.search(told, words), words
    assert run([*line.split(), "--json"]) == code
    document = json.loads(capfd.readouterr().out)
    assert document["error"]["kind"] in {"input", "usage", "environment"}
    assert document["error"]["problems"]
