"""`backfeed ledger` and `backfeed tariff` as a user meets them."""

import json
from pathlib import Path

import pytest

from backfeed.cli.main import run
from backfeed.settle.transfer import Code, Phase, Transfer
from backfeed.store.ledger_seal import open_ledger, seal_ledger

CLEARING, ANN = "clearing:backfeed:CNY", "owner:ann:CNY"
BOOKS = [
    Transfer("2026-07-01/revenue/ann", "grid:g:CNY", CLEARING, 15_402_007, "CNY", Code.DISCHARGE_REVENUE, 0),
    Transfer("2026-07-01/payout/ann", CLEARING, ANN, 15_402_007, "CNY", Code.PAYOUT, 0),
]
AT = "2026-08-01T09:00:00+08:00"


@pytest.fixture
def folder(tmp_path: Path):
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.post(BOOKS)
    seal_ledger(tmp_path / "ledger.sqlite")
    return tmp_path


def asked(capfdbinary, *words):
    code = run([str(word) for word in words])
    said = capfdbinary.readouterr()
    return code, said.out.decode(), said.err.decode()


def test_a_sound_ledger_verifies_and_a_flipped_byte_exits_with_3(folder, capfdbinary):
    code, out, _ = asked(capfdbinary, "ledger", "verify", folder, "--json")
    assert code == 0
    assert json.loads(out)["units"]["CNY"] == {"debits": 30_804_014, "credits": 30_804_014, "balance": 0}
    path = folder / "ledger.sqlite"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    code, out, err = asked(capfdbinary, "ledger", "verify", folder, "--json")
    assert code == 3
    assert json.loads(out)["verified"] is False
    assert "not sound" in err


def test_a_sealed_ledger_lies_alone_and_reading_it_or_failing_at_it_changes_nothing(folder, capfdbinary):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(before) == ["ledger.sqlite", "ledger.sqlite.seal"]
    for words in (
        ("verify", folder),
        ("balances", folder),
        ("statement", folder, "ann"),
        ("close-month", folder, "2026-06", "--at", AT),
        ("reopen-month", folder, "2026-07", "--reason", "x", "--at", AT),
        ("backup", folder, folder.parent / f"{folder.name}.copy"),
    ):
        asked(capfdbinary, "ledger", *words)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_month_is_closed_once_and_the_seal_follows(folder, capfdbinary):
    assert asked(capfdbinary, "ledger", "close-month", folder, "2026-07", "--at", AT)[0] == 0
    assert asked(capfdbinary, "ledger", "verify", folder)[0] == 0
    code, _, err = asked(capfdbinary, "ledger", "close-month", folder, "2026-07", "--at", AT)
    assert (code, "closed already" in err) == (2, True)
    assert asked(capfdbinary, "ledger", "reopen-month", folder, "2026-07", "--reason", "meter", "--at", AT)[0] == 0


def test_statements_are_written_in_every_form(folder, capfdbinary):
    code, out, _ = asked(capfdbinary, "ledger", "statement", folder, "ann", "--period", "2026-07")
    assert (code, out.splitlines()[1]) == (0, "owner,ann,2026-07-01,payout,CNY,15.402007,")
    assert (
        "收益发放"
        in asked(capfdbinary, "ledger", "statement", folder, "ann", "--format", "html", "--language", "zh")[1]
    )
    assert asked(capfdbinary, "ledger", "statement", folder, "nobody")[0] == 2
    assert asked(capfdbinary, "ledger", "statements", folder, "--out", folder / "out")[0] == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["ann.csv", "ann.html", "ann.json"]


def test_owners_are_paid_once(folder, capfdbinary):
    accounts = folder / "accounts.csv"
    accounts.write_text("owner,name,number,bank_id\npayer,Backfeed,1,ICBKCNBJ\nann,Ann,2,ICBKCNBJ\n", encoding="utf-8")
    words = ("--accounts", accounts, "--day", "2026-08-05", "--at", AT, "--out", folder / "bank.xml")
    code, out, _ = asked(capfdbinary, "ledger", "pay", folder, "--name", "2026-07", *words, "--json")
    assert (code, json.loads(out)["total_micro"]) == (0, 15_400_000)
    assert b"15.40" in (folder / "bank.xml").read_bytes()
    assert asked(capfdbinary, "ledger", "pay", folder, "--name", "2026-08", *words)[0] == 2
    assert asked(capfdbinary, "ledger", "verify", folder)[0] == 0


def test_a_case_is_listed_rejected_once_and_the_seal_follows(folder, capfdbinary):
    head = Transfer(
        "2026-07-01/quarantine/eve@g", "owner:eve:Wh", "quarantine:eve@g:Wh", 9, "Wh", Code.QUARANTINE, 0, "ghost; x"
    )
    promise = Transfer(
        f"{head.id}|payout/eve@g", CLEARING, "owner:eve:CNY", 70, "CNY", Code.PAYOUT, 0, phase=Phase.PENDING
    )
    with open_ledger(folder / "ledger.sqlite") as ledger:
        ledger.post([head, promise])
    seal_ledger(folder / "ledger.sqlite")
    [case] = json.loads(asked(capfdbinary, "ledger", "cases", "list", folder, "--json")[1])["cases"]
    assert (case["name"], case["reason"], case["owners"], case["state"]) == (
        "2026-07-01/eve@g",
        "ghost",
        {"CNY": 70},
        "open",
    )
    words = ("ledger", "cases", "reject", folder, case["name"], "--reason", "no car", "--at", AT)
    assert asked(capfdbinary, *words)[0] == 0
    assert asked(capfdbinary, "ledger", "verify", folder)[0] == 0
    assert "rejected: no car" in asked(capfdbinary, "ledger", "cases", "list", folder)[1]
    code, _, err = asked(capfdbinary, *words)
    assert (code, "was rejected before: no car" in err) == (2, True)


def test_a_coupon_is_redeemed_as_far_as_it_is_held(folder, capfdbinary):
    issued = "aggregator:backfeed:CNY-coupon", "owner:ann:CNY-coupon"
    backed = CLEARING, "aggregator:backfeed/reserve:CNY"
    with open_ledger(folder / "ledger.sqlite") as ledger:
        ledger.post([Transfer("2026-07-01/payout/c", *issued, 2_500_000, "CNY-coupon", Code.PAYOUT, 0)])
        ledger.post([Transfer("2026-07-01/payout_backing/c", *backed, 2_500_000, "CNY", Code.PAYOUT_BACKING, 0)])
    seal_ledger(folder / "ledger.sqlite")
    for amount, code in (("1.5", 0), ("1.5", 2), ("1", 0), ("x", 2), ("0.0000001", 2)):
        words = ("ledger", "redeem", folder, "ann", amount, "--day", "2026-07-09", "--at", AT)
        assert asked(capfdbinary, *words)[0] == code, amount
    assert asked(capfdbinary, "ledger", "redeem", folder, "ann", "1", "--day", "soon", "--at", AT)[0] == 2
    held = json.loads(asked(capfdbinary, "ledger", "balances", folder, "--json")[1])["balances"]
    assert (held["owner:ann:CNY-coupon"], held["aggregator:backfeed/reserve:CNY"]) == (0, 0)
    assert asked(capfdbinary, "ledger", "verify", folder)[0] == 0


def test_a_backup_verifies_on_its_own(folder, capfdbinary):
    target = folder / "backup.sqlite"
    assert asked(capfdbinary, "ledger", "backup", folder, target)[0] == 0
    assert asked(capfdbinary, "ledger", "verify", target)[0] == 0


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "nowhere"),
        ("balances", "nowhere"),
        ("close-month", ".", "2026-07", "--at", AT),
        ("statement", "x", "y"),
    ],
)
def test_what_is_no_ledger_is_an_input_problem(words, tmp_path, monkeypatch, capfdbinary):
    monkeypatch.chdir(tmp_path)
    assert asked(capfdbinary, "ledger", *words)[0] == 2


def test_a_tariff_day_is_the_promised_document(capfdbinary):
    code, out, _ = asked(capfdbinary, "tariff", "show", "guangdong-v2g", "--day", "2026-07-20", "--json")
    document = json.loads(out)
    assert (code, document["day"], document["timezone"], len(document["steps"])) == (
        0,
        "2026-07-20",
        "Asia/Shanghai",
        96,
    )
    first = document["steps"][0]
    assert (first["start"], first["period"]) == ("2026-07-20T00:00:00+08:00", "valley")
    assert (first["buy_per_kwh"], first["sell_per_kwh"]) == (0.17214, 0.17214)


def test_a_tariff_day_is_plotted_and_an_expired_one_warns(capfdbinary):
    code, out, err = asked(capfdbinary, "tariff", "show", "guangdong-v2g", "--day", "2027-07-20")
    assert code == 0
    assert "11:00-12:00  critical" in out
    assert "█" in out
    assert "expired" in err


def test_presets_are_listed_with_their_marks(capfdbinary):
    listed = json.loads(asked(capfdbinary, "tariff", "list", "--json")[1])["tariffs"]
    assert {"guangdong-v2g", "zhejiang-2026"} <= {tariff["id"] for tariff in listed}
    assert all(tariff["mark"] in "swu" and tariff["source"] for tariff in listed)


def test_rule_files_are_checked(tmp_path, capfdbinary):
    bad = tmp_path / "bad.toml"
    bad.write_text("id = 1\n", encoding="utf-8")
    code, out, _ = asked(capfdbinary, "tariff", "check", bad, "--json")
    assert code == 2
    assert len(json.loads(out)["error"]["problems"]) > 4
    data = Path(__file__).parents[2] / "src" / "backfeed" / "market" / "data"
    for folder in ("tariffs", "programmes"):
        for file in sorted((data / folder).iterdir()):
            assert asked(capfdbinary, "tariff", "check", file)[0] == 0
    for words in (
        ("show", "guangdong-v2g", "--day", "yesterday"),
        ("show", "wuhan-2025", "--day", "2026-01-05", "--base-price", "x"),
    ):
        assert asked(capfdbinary, "tariff", *words)[0] == 2


def test_a_folder_of_statements_that_can_not_be_written_is_the_environments_problem(folder, capfdbinary):
    (folder / "taken").touch()
    code, _, err = asked(capfdbinary, "ledger", "statements", folder, "--out", folder / "taken")
    assert code == 4
    assert "taken: can not be written" in err
