"""Transfers: balances, promises, chains, corrections."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.settle.account import Instrument, Role, account, holder_of, instrument_unit
from backfeed.settle.transfer import (
    GENESIS,
    Code,
    Phase,
    Transfer,
    balances,
    chain_hash,
    corrections,
    faults,
    net_effect,
    original_id,
    reservations,
)


def pay(name, amount, debit="clearing:a:CNY", credit="owner:b:CNY", **more):
    return Transfer(f"2026-07-01/payout/{name}", debit, credit, amount, "CNY", Code.PAYOUT, 5, **more)


def test_a_pending_transfer_reserves_and_moves_nothing():
    promise = pay("p", 100, phase=Phase.PENDING)
    post = pay("q", 60, pending_id=promise.id, phase=Phase.POST)
    void = pay("r", 40, pending_id=promise.id, phase=Phase.VOID)
    assert balances([promise]) == {}
    assert reservations([promise, post]) == {promise.id: 40}
    assert balances([promise, post, void]) == {"clearing:a:CNY": -60, "owner:b:CNY": 60}
    assert reservations([promise, post, void]) == {promise.id: 0}


@pytest.mark.parametrize(
    "bad",
    [
        replace(pay("x", 1), id=""),
        pay("x", -1),
        pay("x", 1, debit="owner:b:CNY"),
        pay("x", 1, debit="clearing:a:EUR"),
        pay("x", 1, credit="owner:b:points"),
        pay("x", 1, pending_id="p"),
        pay("x", 1, phase=Phase.POST),
    ],
)
def test_what_is_malformed_says_why(bad):
    assert faults(bad)
    assert not faults(pay("x", 0))


def test_every_field_counts_in_the_chain():
    usual = pay("x", 1)
    others = [
        replace(usual, id="y"),
        replace(usual, debit="clearing:b:CNY"),
        replace(usual, credit="owner:c:CNY"),
        replace(usual, amount=2),
        replace(usual, unit="EUR"),
        replace(usual, code=Code.TOP_UP),
        replace(usual, at_ms=6),
        replace(usual, evidence="e"),
        replace(usual, pending_id="p"),
        replace(usual, phase=Phase.PENDING),
    ]
    assert len({chain_hash(GENESIS, transfer) for transfer in [usual, *others]}) == 11


def test_moving_text_from_field_to_field_changes_the_bytes():
    assert (
        pay("x", 1, evidence="ab", pending_id="c").canonical() != pay("x", 1, evidence="a", pending_id="bc").canonical()
    )


amounts = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 100), max_size=6)


@given(amounts, amounts, amounts)
def test_corrections_lead_to_the_books_that_should_have_been(first, second, third):
    def settled(found):
        return [pay(name, amount) for name, amount in sorted(found.items()) if amount]

    posted = settled(first)
    for revision, found in enumerate((second, third), 1):
        posted += corrections(net_effect(posted), settled(found), revision)
    wanted = {account: amount for account, amount in balances(settled(third)).items() if amount}
    assert {account: amount for account, amount in balances(posted).items() if amount} == wanted
    assert len({transfer.id for transfer in posted}) == len(posted)


def test_a_correction_may_turn_a_transfer_round():
    was, should = pay("x", 30), pay("x", 10, debit="owner:b:CNY", credit="clearing:a:CNY")
    made = corrections(net_effect([was]), [should], 1)
    assert balances([was, *made]) == {"clearing:a:CNY": 10, "owner:b:CNY": -10}
    assert made[0].evidence.startswith("corrects 2026-07-01/payout/x")
    assert original_id(made[0].id) == was.id
    assert net_effect([was, *made])[was.id].amount == 10
    assert corrections(net_effect([was, *made]), [should], 2) == []


def test_accounts_are_named_by_role_holder_and_unit():
    made = account(Role.OWNER, "a:b", instrument_unit("CNY", Instrument.CREDIT))
    assert made.id == "owner:a:b:CNY-credit"
    assert holder_of(made.id) == (Role.OWNER, "a:b", "CNY-credit")
