"""Backup, restore, upgrade: the same books elsewhere, and older files made new."""

import pysqlite3
import pytest

from backfeed.core.problem import InputError
from backfeed.settle.transfer import GENESIS, Code, Transfer, chain_hash
from backfeed.store.ledger_backup import Mirror, copy_ledger
from backfeed.store.ledger_seal import open_ledger, seal_ledger, verify_file
from backfeed.store.ledger_sqlite import _STEPS, SCHEMA_VERSION


def pays(first, last):
    return [
        Transfer(f"2026-07-01/payout/{n}", "clearing:a:CNY", f"owner:{n % 7}:CNY", n, "CNY", Code.PAYOUT, n)
        for n in range(first, last)
    ]


def test_a_copy_has_the_same_head_and_goes_on_where_it_stopped(tmp_path):
    with open_ledger(tmp_path / "a.sqlite") as source, open_ledger(tmp_path / "b.sqlite") as target:
        source.post(pays(0, 1_500))
        assert copy_ledger(source, target) == 1_500
        source.post(pays(1_500, 1_600))
        assert copy_ledger(source, target) == 100
        assert copy_ledger(source, target) == 0
        assert (target.hash(), target.balances()) == (source.hash(), source.balances())
    assert verify_file(tmp_path / "b.sqlite").verified


def test_a_copy_onto_other_books_is_refused(tmp_path):
    with open_ledger(tmp_path / "a.sqlite") as source, open_ledger(tmp_path / "b.sqlite") as target:
        source.post(pays(0, 10))
        target.post(pays(5, 10))
        with pytest.raises(InputError, match="not the beginning"):
            copy_ledger(source, target)


def test_a_broken_source_is_found_while_copying(tmp_path):
    with open_ledger(tmp_path / "a.sqlite") as source:
        source.post(pays(0, 10))
    raw = pysqlite3.connect(str(tmp_path / "a.sqlite"))
    raw.executescript("DROP TRIGGER transfers_are_never_updated; UPDATE transfers SET amount = 99 WHERE seq = 4;")
    raw.close()
    with (
        open_ledger(tmp_path / "a.sqlite") as source,
        open_ledger(tmp_path / "b.sqlite") as target,
        pytest.raises(InputError, match="chain is broken"),
    ):
        copy_ledger(source, target)


def test_what_a_mirror_acknowledged_is_in_both(tmp_path):
    with open_ledger(tmp_path / "a.sqlite") as first, open_ledger(tmp_path / "b.sqlite") as second:
        first.post(pays(0, 20))
        mirror = Mirror(first, second)
        assert mirror.post(pays(10, 30)) == 10
        assert first.hash() == second.hash()
        first.post(pays(30, 31))  # the second failed at this moment
        assert Mirror(first, second).post(pays(30, 32)) == 1
        assert first.hash() == second.hash()


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_every_older_schema_is_upgraded_with_the_same_trial_balance(tmp_path, version):
    path = tmp_path / "old.sqlite"
    old = pysqlite3.connect(str(path), isolation_level=None)
    for step in _STEPS[:version]:
        old.executescript(step)
    old.execute(f"PRAGMA user_version = {version}")
    link = GENESIS
    for t in pays(1, 40):
        link = chain_hash(link, t)
        row = (t.id, t.debit, t.credit, t.amount, t.unit, t.code.value, t.at_ms, "", "", "single", link)
        old.execute(
            "INSERT INTO transfers (id, debit, credit, amount, unit, code, at_ms, evidence, pending_id, phase, link) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
    old.close()
    with open_ledger(path) as ledger:
        assert ledger.hash() == link.hex()
        assert ledger.balances()["clearing:a:CNY"] == -sum(range(1, 40))
        assert ledger.post(pays(1, 41)) == 1
    upgraded = pysqlite3.connect(str(path))
    assert upgraded.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    upgraded.close()
    seal_ledger(path)
    assert verify_file(path).verified
