"""Months: what closing asks for, what it forbids, how it is undone."""

from dataclasses import replace

import pytest

from backfeed.core.problem import InputError
from backfeed.settle.month import balance_hash, close_month, closed_months, reopen_month, trial_balance
from backfeed.settle.transfer import Code, Phase, Transfer, corrections, net_effect, transfer_day
from backfeed.store.ledger_seal import open_ledger


def pay(day, amount, name="ann"):
    return Transfer(
        f"{day}/payout/{name}", "aggregator:backfeed:CNY", f"owner:{name}:CNY", amount, "CNY", Code.PAYOUT, 0
    )


JULY = [pay("2026-07-30", 5), pay("2026-07-31", 7)]


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "ledger.sqlite") as made:
        made.post([*JULY, pay("2026-08-01", 9)])
        yield made


def test_a_closed_month_takes_nothing_new_and_knows_what_it_had(ledger):
    ledger.post([close_month(ledger.transfers(), "2026-07", "CNY", 10)])
    assert ledger.closed_months() == {"2026-07"}
    with pytest.raises(InputError, match="2026-07, which is closed"):
        ledger.post([pay("2026-07-31", 1, "late")])
    assert ledger.post(JULY) == 0
    assert ledger.post([pay("2026-08-02", 1)]) == 1


def test_closing_states_the_trial_balance(ledger):
    mark = close_month(ledger.transfers(), "2026-07", "CNY", 10)
    assert mark.evidence == balance_hash({"aggregator:backfeed:CNY": -12, "owner:ann:CNY": 12})
    assert mark.amount == 0
    assert trial_balance(ledger.transfers(), "2026-08") == {"aggregator:backfeed:CNY": -9, "owner:ann:CNY": 9}


def test_a_late_correction_is_booked_on_an_open_day(ledger):
    ledger.post([close_month(ledger.transfers(), "2026-07", "CNY", 10)])
    again = [pay("2026-07-30", 6), JULY[1]]
    posted = {name: t for name, t in net_effect(ledger.transfers()).items() if name.startswith("2026-07")}
    [late] = corrections(posted, again, 1, booked_on="2026-08-03")
    assert transfer_day(late) == "2026-08-03"
    assert ledger.post([late]) == 1
    assert trial_balance(ledger.transfers(), "2026-07")["owner:ann:CNY"] == 12
    assert ledger.balances()["owner:ann:CNY"] == 22


def test_reopening_is_on_the_record(ledger):
    for round_ in (1, 2):
        ledger.post([close_month(ledger.transfers(), "2026-07", "CNY", 10)])
        with pytest.raises(InputError, match="reason"):
            reopen_month(ledger.transfers(), "2026-07", "CNY", 11, " ")
        ledger.post([reopen_month(ledger.transfers(), "2026-07", "CNY", 11, f"meter {round_} replaced")])
        assert ledger.post([pay("2026-07-31", 1, f"late-{round_}")]) == 1
    assert [t.evidence for t in ledger.transfers() if t.code is Code.MONTH_REOPEN] == [
        "meter 1 replaced",
        "meter 2 replaced",
    ]
    assert ledger.verify().verified


def test_what_is_unfinished_can_not_be_closed():
    left = Transfer("2026-07-02/x/1", "grid:g:CNY", "clearing:backfeed:CNY", 3, "CNY", Code.DR_REVENUE, 0)
    promise = replace(left, id="2026-07-02/p", phase=Phase.PENDING)
    with pytest.raises(InputError) as caught:
        close_month([left, promise], "2026-07", "CNY", 1)
    assert "holds 3 and should hold 0" in str(caught.value)
    assert "2026-07-02/p" in str(caught.value)
    with pytest.raises(InputError, match="no transfers"):
        close_month(JULY, "2026-06", "CNY", 1)
    closed = [*JULY, close_month(JULY, "2026-07", "CNY", 1)]
    with pytest.raises(InputError, match="closed already"):
        close_month(closed, "2026-07", "CNY", 1)
    with pytest.raises(InputError, match="not closed"):
        reopen_month(JULY, "2026-07", "CNY", 1, "why")


def test_marks_are_read_in_the_order_of_the_books():
    assert closed_months(["close/2026-07/1", "reopen/2026-07/1", "close/2026-07/2"]) == {"2026-07"}
