"""Every statement of a run, recomputed from its meter readings by code that shares nothing with the settlement."""

import shutil

import pysqlite3
import pytest
from tests.app.recompute import compare

from backfeed.store.ledger_seal import open_ledger

OFFERS = """
[[offers]]
id = "coupons"
owner_share = 0.9
points_per_kwh = 10
paid_in = { cash = 0.4, coupon = 0.6 }
expires_after_days = 1
valid_until = 2026-07-13

[[offers]]
id = "credit"
owner_share = 0.8
paid_in = { credit = 1 }

[[offers]]
id = "hours"
per_plugged_h = 0.02
per_kwh = 0.21
share_of = "revenue"
per_event = 0.5

[[offers]]
id = "fleet"
owner_share = 0.6
site_share = 0.25
"""
ASKING = "[prompts]\nbonus = 0.5\ncharge_bonus = 0.1\nanswer_curve = [[0.0, 0.9]]\nanswer_charge_sd = 0.04\n\n"
CONTRACTS = """
[offers]
file = "offers.toml"

[[contracts]]
owners = ["AsO10-1", "AsO10-2"]
offer = "coupons"
since = 2026-07-13

[[contracts]]
owners = ["AsO8-3", "AsO8-4"]
offer = "credit"
since = 2026-07-01

[[contracts]]
sites = ["garage-ut"]
offer = "hours"
since = 2026-07-13

[[contracts]]
holder = "shared"
owners = ["Share-17", "Share-18", "Share-20", "Share-22", "Share-25"]
offer = "fleet"
since = 2026-07-01

[[contracts]]
owners = ["UT7-1"]
offer = ""
since = 2026-07-14

[[sites]]
id = "garage-as"
"""


@pytest.fixture(scope="module")
def run(small_pilot, play, tmp_path_factory):
    """The small pilot with every kind of offer and a subsidy whose cap is reached."""
    folder = tmp_path_factory.mktemp("recomputed")
    changed = small_pilot.with_text('[[sites]]\nid = "garage-as"\n', CONTRACTS.strip() + "\n").with_text(
        'preset = "guangdong-v2g"',
        'preset = "guangdong-v2g"\nbase_price_per_kwh = 0.62\ngrants = { guangzhou-v2g = 0.05 }\n'
        "grant_caps = { guangzhou-v2g = 1 }",
    )
    # Cars are drawn so that a stay comes out dearer than charging at once would have been.
    changed = changed.with_text("seed = 1", "seed = 12").with_text("[pilot]", ASKING + "[pilot]")
    path = changed.write(folder)
    (folder / "offers.toml").write_text(OFFERS)
    return path, play(path, folder / "run").folder


def held(folder):
    with open_ledger(folder / "ledger.sqlite", readonly=True) as ledger:
        return ledger.balances()


def test_every_statement_agrees_to_the_last_millionth(run):
    statements, lines, wrong = compare(*run)
    assert wrong == []
    assert statements > 15
    assert lines > 100


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE event SET body = json_set(body, '$.soc', 0.01) WHERE kind = 'charge_answered'", "prompt_bonus"),
        ("UPDATE event SET body = json_set(body, '$.soc', 0.01) WHERE kind = 'charge_shown'", "charge_shown soc"),
        (
            "UPDATE event SET body = json_set(body, '$.unread_wh', 7) WHERE kind = 'charge_shown'",
            "charge_shown unread_wh",
        ),
        ("DELETE FROM event WHERE kind = 'charge_shown'", "charge_shown soc"),
    ],
)
def test_the_recomputation_finds_another_answer_and_what_no_car_has_shown(run, tmp_path, change, code):
    path, folder = run
    shutil.copytree(folder, tmp_path / "run")
    database = pysqlite3.connect(tmp_path / "run" / "events.sqlite")
    assert database.execute(change).rowcount >= 1
    database.commit()
    database.close()
    assert code in {line[2] for line in compare(path, tmp_path / "run")[2]}


def test_the_books_say_of_every_answer_whether_it_was_right(run, tmp_path):
    path, folder = run
    shutil.copytree(folder, tmp_path / "run")
    database = pysqlite3.connect(tmp_path / "run" / "ledger.sqlite")
    database.execute("DROP TRIGGER transfers_are_never_updated")
    changed = database.execute(
        "UPDATE transfers SET evidence = replace(evidence, 'charge_right', 'charge_wrong') WHERE id LIKE '%/charge'"
    )
    assert changed.rowcount >= 1
    database.commit()
    database.close()
    assert {line[2:] for line in compare(path, tmp_path / "run")[2]} == {("verdict", "charge_wrong", "charge_right")}


def test_the_run_holds_what_the_contracts_say(run):
    balances = held(run[1])
    assert balances["subsidy:guangzhou-v2g:CNY"] == -1_000_000
    assert "owner:shared:CNY" in balances
    assert not any(account.startswith(("owner:Share-17:", "owner:Share-18:")) for account in balances)
    assert balances["clearing:backfeed:CNY"] == 0
    assert {a.rpartition(":")[2] for a in balances} >= {"CNY", "CNY-coupon", "CNY-credit", "points", "CNY-wear", "Wh"}


def test_a_car_that_has_opted_out_discharges_no_more(run):
    with open_ledger(run[1] / "ledger.sqlite", readonly=True) as ledger:
        days = {t.id[:10] for t in ledger.transfers() if t.code == "energy_discharged" and t.debit == "owner:UT7-1:Wh"}
    assert "2026-07-14" not in days


@pytest.mark.parametrize(
    "code", ["payout", "charging_bill", "guarantee", "dr_revenue", "redemption", "expiry", "subsidy", "prompt_bonus"]
)
def test_the_recomputation_finds_a_transfer_that_is_a_millionth_off(run, tmp_path, code):
    path, folder = run
    shutil.copytree(folder, tmp_path / "run")
    database = pysqlite3.connect(tmp_path / "run" / "ledger.sqlite")
    database.execute("DROP TRIGGER transfers_are_never_updated")
    asked = "SELECT seq FROM transfers WHERE code = ? AND phase IN ('single', 'post') LIMIT 1"
    found = database.execute(asked, (code,)).fetchall()
    database.execute("UPDATE transfers SET amount = amount + 1 WHERE seq = ?", found[0])
    database.commit()
    database.close()
    assert code in {line[2] for line in compare(path, tmp_path / "run")[2]}
