"""Statements and the bank's file: what people and banks read is what the books say."""

import csv
import io
import json
from xml.etree import ElementTree as ET

import pytest

from backfeed.core.problem import InputError
from backfeed.settle.account import Role
from backfeed.settle.bank import BankAccount, bank_file, bank_payments, owed
from backfeed.settle.bonus import WORDS, Bonus, Reason, Verdict, bonus_transfers
from backfeed.settle.document import CODE_WORDS, TITLES, statement_csv, statement_html, statement_json
from backfeed.settle.statement import make_statement, make_statements
from backfeed.settle.transfer import Code, Transfer, balances


def move(what, debit, credit, amount, code, unit="CNY"):
    return Transfer(what, f"{debit}:{unit}", f"{credit}:{unit}", amount, unit, code, 0)


BOOKS = [
    move("2026-07-01/charging_bill/ann", "owner:ann", "retailer:r", 2_000_000, Code.CHARGING_BILL),
    move("2026-07-01/payout/ann", "clearing:a", "owner:ann", 15_402_007, Code.PAYOUT),
    move("2026-07-01/energy/ann", "owner:ann", "grid:g", 20_000, Code.ENERGY_DISCHARGED, "Wh"),
    move("2026-08-02/payout/ann", "clearing:a", "owner:ann", 1_000_000, Code.PAYOUT),
    move("2026-07-01/payout/=bob<script>", "clearing:a", "owner:=bob<script>", 3, Code.PAYOUT),
    move("2026-07-01/site_share/ann", "clearing:a", "site:garage", 5, Code.SITE_SHARE),
]


def test_a_statement_sums_what_was_posted_by_day_code_and_unit():
    statement = make_statement(BOOKS, Role.OWNER, "ann", "2026-07")
    assert [(line.code, line.unit, line.amount) for line in statement.lines] == [
        (Code.CHARGING_BILL, "CNY", -2_000_000),
        (Code.ENERGY_DISCHARGED, "Wh", -20_000),
        (Code.PAYOUT, "CNY", 15_402_007),
    ]
    assert dict(statement.totals) == {"CNY": 13_402_007, "Wh": -20_000}
    assert statement.transfers == 3


def test_statements_of_all_holders_add_up_to_the_balances():
    held = balances(BOOKS)
    for role in (Role.OWNER, Role.SITE, Role.CLEARING, Role.RETAILER, Role.GRID):
        for statement in make_statements(BOOKS, role):
            for unit, amount in statement.totals:
                assert held[f"{role}:{statement.holder}:{unit}"] == amount


def test_a_holder_without_transfers_has_an_empty_statement():
    assert make_statement(BOOKS, Role.OWNER, "nobody").lines == ()


def test_json_and_csv_hold_the_same_lines():
    statement = make_statement(BOOKS, Role.OWNER, "ann")
    document = json.loads(statement_json(statement, "abc"))
    rows = list(csv.DictReader(io.StringIO(statement_csv(statement).decode())))
    assert document["ledger_head"] == "abc"
    assert len(rows) == len(document["lines"]) == 4
    for row, line in zip(rows, document["lines"], strict=True):
        assert (row["day"], row["code"], row["unit"]) == (line["day"], line["code"], line["unit"])
        amount = line["amount"] if line["unit"] == "Wh" else line["amount"] / 1e6
        assert float(row["amount"]) == amount


@pytest.mark.parametrize("language", ["en", "zh"])
def test_html_is_one_page_that_runs_nothing(language):
    page = statement_html(make_statement(BOOKS, Role.OWNER, "=bob<script>"), "abc", language).decode()
    assert "<script" not in page
    assert "=bob&lt;script&gt;" in page
    assert "0.000003" in page
    assert "http" not in page


ANSWERS = [
    Bonus("A-1", "t", "ann", 0, 1_000_000, Reason(Verdict.DEPARTURE_KEPT, (-3.0,))),
    Bonus("A-1", "t", "ann", 0, 0, Reason(Verdict.CHARGE_WRONG, (42.0, 55.25, 85.0))),
    Bonus("A-1", "u", "ann", 0, 0, Reason(Verdict.CHARGE_UNPROVEN, (30.0,))),
    Bonus("A-1", "v", "ann", 0, 500_000, Reason(Verdict.CHARGE_RIGHT, (41.0, 38.11, 85.0))),
    Bonus("A-2", "w", "ben", 0, 0, Reason(Verdict.LEFT_EARLY, (95.5,))),
]


def test_an_owner_reads_of_every_answer_what_it_was_paid_and_why():
    books = bonus_transfers(ANSWERS, "2026-07-01", 0, "CNY", "a")
    assert [each.amount for each in books] == [1_000_000, 0, 0, 500_000, 0]
    assert len({each.id for each in books}) == 5
    statement = make_statement(books, Role.OWNER, "ann")
    [line] = statement.lines
    assert (line.amount, [amount for amount, _ in line.reasons]) == (1_500_000, [1_000_000, 0, 0, 500_000])
    assert [reason for _, reason in line.reasons] == [each.reason for each in ANSWERS[:4]]
    english, chinese = (statement_html(statement, "", language).decode() for language in ("en", "zh"))
    for words in ("0.000000: you said that your car came with 42 %", "had come with 55.25 %: more than 5 points off"):
        assert words in english
    assert "0.500000: you said that your car came with 41 %" in english
    assert "left before it had charged to its limit" in english
    assert "1.000000: 您告知了离开时间并如约离开" in chinese
    assert "按电表推算到达时为55.25%：误差超过5个百分点" in chinese
    told = json.loads(statement_json(statement))["lines"][0]["answers"]
    assert [each["verdict"] for each in told] == [each.reason.verdict for each in ANSWERS[:4]]
    early = make_statement(books, Role.OWNER, "ben").lines[0].reasons[0][1]
    assert "95.5 minutes before" in early.words("en")


def test_a_bonus_that_an_older_version_has_paid_is_shown_without_its_reason():
    older = move("2026-07-01/prompt_bonus/A-1/t", "aggregator:a", "owner:ann", 1_000_000, Code.PROMPT_BONUS)
    statement = make_statement([older], Role.OWNER, "ann")
    assert statement.lines[0].reasons == ()
    assert "you were asked in the app" in statement_html(statement).decode()
    assert b"answers" not in statement_json(statement)


def test_both_languages_know_every_word():
    assert TITLES["en"].keys() == TITLES["zh"].keys()
    assert set(CODE_WORDS["en"]) == set(CODE_WORDS["zh"]) == set(Code)
    assert set(WORDS["en"]) == set(WORDS["zh"]) == set(Verdict)


def test_no_name_becomes_a_formula_in_a_spreadsheet():
    assert b"'=bob" in statement_csv(make_statement(BOOKS, Role.OWNER, "=bob<script>"))


ANN, PAYER = BankAccount("Ann & Co", "6222-1", "ICBKCNBJ"), BankAccount("Backfeed", "6222-9", "ICBKCNBJ")


def test_owners_are_paid_in_whole_cents_and_the_rest_waits():
    assert owed(BOOKS, "CNY") == {"=bob<script>": 3, "ann": 16_402_007}
    payments = bank_payments(BOOKS, "CNY", "2026-08", 9)
    assert [(p.debit, p.amount) for p in payments] == [("owner:ann:CNY", 16_400_000)]
    assert owed([*BOOKS, *payments], "CNY")["ann"] == 2_007
    assert bank_payments([*BOOKS, *payments], "CNY", "2026-09", 9) == ()


def test_the_bank_file_names_every_payment_and_their_sum():
    payments = bank_payments(BOOKS, "CNY", "2026-08", 9)
    root = ET.fromstring(bank_file(payments, {"ann": ANN}, PAYER, "2026-08", "2026-08-05"))
    name = "{urn:iso:std:iso:20022:tech:xsd:pain.001.001.03}"
    assert [e.text for e in root.iter(f"{name}InstdAmt")] == ["16.40"]
    assert {e.text for e in root.iter(f"{name}CtrlSum")} == {"16.40"}
    assert "Ann & Co" in [e.text for e in root.iter(f"{name}Nm")]
    assert all(len(e.text or "") <= 35 for e in root.iter(f"{name}EndToEndId"))


def test_an_owner_without_a_bank_account_is_named():
    payments = bank_payments(BOOKS, "CNY", "2026-08", 9)
    with pytest.raises(InputError, match="ann"):
        bank_file(payments, {}, PAYER, "2026-08", "2026-08-05")
    with pytest.raises(InputError, match="nothing to pay"):
        bank_file((), {}, PAYER, "2026-08", "2026-08-05")
    with pytest.raises(InputError, match="28 characters"):
        bank_file(payments, {"ann": ANN}, PAYER, "x" * 29, "2026-08-05")
