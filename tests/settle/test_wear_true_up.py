"""Wear on statements, and the yearly true-up of what the law paid to what the batteries showed."""

import csv
import io
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.battery.health import HealthEstimate
from backfeed.cli.main import run
from backfeed.settle.account import Role
from backfeed.settle.bank import owed
from backfeed.settle.document import statement_csv, statement_html, statement_json
from backfeed.settle.statement import make_statement
from backfeed.settle.transfer import Code, Transfer, balances
from backfeed.settle.wear_true_up import owner_true_ups, true_up_transfers
from backfeed.store.ledger_seal import open_ledger, seal_ledger, verify_file

AT_MS = 1_800_000_000_000


def posted(what, debit, credit, amount, unit, code):
    return Transfer(f"{what}/{code.value}/ann", f"{debit}:{unit}", f"{credit}:{unit}", amount, unit, code, AT_MS)


def a_day(day, wh, wear):
    return [
        posted(day, "owner:ann", "grid:grid", wh, "Wh", Code.ENERGY_DISCHARGED),
        posted(day, "owner:ann", "wear:battery", wear, "CNY-wear", Code.WEAR),
        posted(day, "clearing:backfeed", "owner:ann", 3 * wear, "CNY", Code.PAYOUT),
    ]


BOOKS = [*a_day("2026-07-06", 20_000, 1_500_000), *a_day("2026-12-31", 10_000, 700_000), *a_day("2027-01-01", 9, 5)]


def measured(scale, low=0.8, high=2.0):
    return HealthEstimate(60.0, 0.3, 0.01, 0.003, scale, low, high, 200, (), (), efficiency_cancelled=True)


def test_every_line_of_discharged_energy_carries_its_wear():
    made = make_statement(BOOKS, Role.OWNER, "ann", "2026")
    worn = {line.day: line.wear_micro for line in made.lines if line.code is Code.ENERGY_DISCHARGED}
    assert worn == {"2026-07-06": 1_500_000, "2026-12-31": 700_000}
    assert all(line.wear_micro is None for line in made.lines if line.code is not Code.ENERGY_DISCHARGED)
    assert all(line.wear_micro is None for line in make_statement(BOOKS, Role.GRID, "grid").lines)
    rows = list(csv.DictReader(io.StringIO(statement_csv(made).decode())))
    assert {row["day"]: float(row["wear"]) for row in rows if row["wear"]} == {"2026-07-06": 1.5, "2026-12-31": 0.7}
    lines = json.loads(statement_json(made))["lines"]
    assert [line["wear_micro"] for line in lines if line["code"] == "energy_discharged"] == [1_500_000, 700_000]
    for language, word in (("en", "Battery wear"), ("zh", "电池损耗")):
        page = statement_html(made, "", language).decode()
        assert word in page
        assert "1.500000" in page


def test_a_car_that_faded_faster_is_paid_the_difference_of_its_year_alone():
    owners = owner_true_ups(BOOKS, {"ann": measured(1.25)}, 2026)
    (made,) = true_up_transfers(owners, 2026, "2027-01-15", AT_MS, "CNY")
    assert (made.debit, made.credit, made.amount) == ("aggregator:backfeed:CNY", "owner:ann:CNY", 550_000)
    assert "measured 1.25" in made.evidence
    assert owed([*BOOKS, made], "CNY")["ann"] == 3 * 2_200_005 + 550_000
    assert sum(balances([*BOOKS, made]).values()) == 0


def test_nobody_gives_back_and_nobody_is_paid_twice():
    slow = owner_true_ups(BOOKS, {"ann": measured(0.7)}, 2026)
    assert true_up_transfers(slow, 2026, "2027-01-15", AT_MS, "CNY") == ()
    assert slow[0].settled.overpaid == pytest.approx(0.66)
    first = true_up_transfers(owner_true_ups(BOOKS, {"ann": measured(1.25)}, 2026), 2026, "2027-01-15", AT_MS, "CNY")
    books = [*BOOKS, *first]
    assert true_up_transfers(owner_true_ups(books, {"ann": measured(1.2)}, 2026), 2026, "2027-02-15", 1, "CNY") == ()
    more = true_up_transfers(owner_true_ups(books, {"ann": measured(1.5)}, 2026), 2026, "2027-02-15", 1, "CNY")
    assert [transfer.amount for transfer in more] == [550_000]
    assert more[0].id != first[0].id
    assert owner_true_ups(books, {"ann": measured(1.25)}, 2027)[0].before_micro == 0


@given(st.lists(st.floats(0.3, 3.0), min_size=1, max_size=5))
def test_whatever_is_measured_one_after_the_other_the_year_is_paid_at_the_highest_scale(scales):
    books = list(BOOKS)
    for scale in scales:
        found = owner_true_ups(books, {"ann": measured(scale)}, 2026)
        books += true_up_transfers(found, 2026, "2027-01-15", AT_MS, "CNY")
    paid = sum(transfer.amount for transfer in books if transfer.code is Code.WEAR_TRUE_UP)
    assert paid == pytest.approx(max(0, 2_200_000 * (max(scales) - 1)), abs=len(scales))
    assert len({transfer.id for transfer in books}) == len(books)


def test_the_command_posts_once_and_names_what_is_wrong(tmp_path, capsys):
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.post(BOOKS)
    seal_ledger(tmp_path / "ledger.sqlite")
    file = tmp_path / "health.json"

    def asked(*more, year="2026"):
        words = ["--year", year, "--day", "2027-01-15", "--at", "2027-01-15T09:00:00+08:00", "--json"]
        code = run(["ledger", "true-up", str(tmp_path), *words, *more])
        return code, json.loads(capsys.readouterr().out)

    assert asked()[0] == 2, "the run has no health of its own"
    for body in ("", "[]", "{}", '{"vehicles": {"ann": {"scale": "fast"}}}', '{"vehicles": {"bob": null}}'):
        file.write_text(body)
        code, said = asked("--health", str(file))
        assert code == 2
        assert str(file) in said["error"]["problems"][0]["where"]
    file.write_bytes(msgspec.json.encode({"vehicles": {"ann": measured(1.25), "bob": None}}))
    code, said = asked("--health", str(file))
    assert (code, said["total_micro"]) == (0, 550_000)
    assert asked("--health", str(file))[1]["total_micro"] == 0
    assert asked("--health", str(file), year="2031")[0] == 2
    assert asked("--health", str(file), year="31")[0] == 2
    assert verify_file(tmp_path / "ledger.sqlite").verified
    file.write_bytes(msgspec.json.encode({"cars": [{"car": "ann", "model": "x", "health": measured(1.5)}]}))
    assert asked("--health", str(file))[1]["total_micro"] == 550_000
