"""The ledger: whole or not at all, once, never changed, and any flipped byte is found."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pysqlite3
import pytest

from backfeed.core.problem import EnvironmentProblemError, InputError
from backfeed.settle.transfer import GENESIS, Code, Phase, Transfer, balances
from backfeed.store.ledger_seal import open_ledger, seal_ledger, seal_path, verify_file


def pay(name, amount, unit="CNY", **more):
    day = "2026-07-01/payout"
    return Transfer(f"{day}/{name}", f"clearing:a:{unit}", f"owner:{name}:{unit}", amount, unit, Code.PAYOUT, 5, **more)


def many(count):
    return [pay(f"user-{n}", 1_000 + n, evidence=f"sha256:{n:04x}") for n in range(count)]


@pytest.fixture
def books(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with open_ledger(path, durable=False) as ledger:
        ledger.post(many(40))
        promise = pay("p", 100, phase=Phase.PENDING)
        ledger.post([promise, replace(promise, id="q", amount=70, phase=Phase.POST, pending_id=promise.id)])
    return path


def test_posting_again_changes_nothing(books):
    with open_ledger(books) as ledger:
        before = ledger.hash(), ledger.count()
        assert ledger.post(many(40)) == 0
        assert (ledger.hash(), ledger.count()) == before
        assert ledger.post([*many(40), pay("late", 1)]) == 1


def test_a_batch_with_a_fault_is_not_posted_at_all(books):
    with open_ledger(books) as ledger:
        before = ledger.hash(), ledger.count()
        for bad in (pay("user-1", 7), pay("x", -1), replace(pay("y", 1), pending_id="nothing", phase=Phase.POST)):
            with pytest.raises(InputError):
                ledger.post([pay("good", 1), bad])
            assert (ledger.hash(), ledger.count()) == before


def test_a_promise_is_not_settled_beyond_what_it_reserves(books):
    void = replace(pay("p", 40), id="v", pending_id="2026-07-01/payout/p", phase=Phase.VOID)
    with open_ledger(books) as ledger:
        with pytest.raises(InputError, match="40 is more than the 30"):
            ledger.post([void])
        with pytest.raises(InputError, match="accounts are not those"):
            ledger.post([replace(void, amount=30, debit="clearing:b:CNY")])
        assert ledger.post([replace(void, amount=30)]) == 1


def test_balances_are_those_of_the_transfers(books):
    with open_ledger(books) as ledger:
        assert ledger.balances() == balances(ledger.transfers())
        assert sum(ledger.balances().values()) == 0


def test_two_ledgers_with_one_history_have_one_head(books, tmp_path):
    with open_ledger(books) as ledger, open_ledger(tmp_path / "other.sqlite") as other:
        assert other.hash() == GENESIS.hex()
        for transfer in ledger.transfers():
            other.post([transfer])
        assert other.hash() == ledger.hash()


def test_rows_can_not_be_changed_or_deleted(books):
    raw = pysqlite3.connect(str(books))
    for statement in ("UPDATE transfers SET amount = 0", "DELETE FROM transfers", "UPDATE transfers SET link = x'00'"):
        with pytest.raises(pysqlite3.DatabaseError, match="append-only"):
            raw.execute(statement)
    raw.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE transfers SET amount = amount + 1 WHERE seq = 7",
        "UPDATE transfers SET credit = 'owner:thief:CNY' WHERE seq = 7",
        "UPDATE transfers SET link = zeroblob(32) WHERE seq = 7",
        "UPDATE transfers SET code = 'gift' WHERE seq = 7",
        "UPDATE transfers SET credit = 'thief' WHERE seq = 7",
        "DELETE FROM transfers WHERE seq = 7",
        "UPDATE transfers SET seq = seq + 1000 WHERE seq = 7",
        "UPDATE transfers SET amount = 150 WHERE id = 'q'",
    ],
)
def test_who_gets_past_the_triggers_is_found_by_the_chain(books, statement):
    raw = pysqlite3.connect(str(books))
    raw.executescript(
        f"DROP TRIGGER transfers_are_never_updated; DROP TRIGGER transfers_are_never_deleted; {statement};"
    )
    raw.close()
    assert not verify_file(books).verified


def test_the_last_transfer_cut_off_is_found_by_the_seal(books):
    seal_ledger(books)
    assert verify_file(books).verified
    raw = pysqlite3.connect(str(books))
    raw.executescript("DROP TRIGGER transfers_are_never_deleted; DELETE FROM transfers WHERE id = 'q';")
    raw.close()
    told = "; ".join(map(str, verify_file(books).problems))
    assert "not the one that was sealed" in told
    assert "sealed with 42 transfers" in told


@pytest.mark.parametrize("share", [60, pytest.param(1, marks=pytest.mark.nightly)])
def test_any_flipped_byte_of_a_sealed_file_is_found(books, share):
    seal_ledger(books)
    whole = books.read_bytes()
    generator = np.random.Generator(np.random.PCG64(share))
    places = generator.choice(len(whole), len(whole) // share if share == 1 else 60, replace=False)
    for place in places.tolist():
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(generator.integers(8))
        books.write_bytes(flipped)
        assert not verify_file(books).verified, place
    books.write_bytes(whole)
    assert verify_file(books).verified


def test_any_flipped_byte_of_sealed_detail_is_found(books):
    detail = books.parent / "days" / "2026-07-01.parquet"
    detail.parent.mkdir()
    detail.write_bytes(bytes(range(200)))
    seal_ledger(books, b"key")
    assert verify_file(books, b"key").verified
    for at in range(0, 200, 7):
        raw = bytearray(range(200))
        raw[at] ^= 1
        detail.write_bytes(raw)
        [problem] = verify_file(books, b"key").problems
        assert "2026-07-01.parquet: is not as it was sealed" in str(problem)
    detail.unlink()
    assert "is missing" in str(verify_file(books, b"key").problems[0])


def test_any_flipped_bit_of_a_seal_is_found(books):
    seal_ledger(books)
    place = seal_path(books)
    whole = place.read_bytes()
    for at in range(len(whole.rstrip())):
        for bit in (0, 5, 7):
            raw = bytearray(whole)
            raw[at] ^= 1 << bit
            place.write_bytes(raw)
            assert not verify_file(books).verified, (at, bit)


def test_a_seal_is_signed_by_its_key_and_no_other(books):
    seal_ledger(books, b"key")
    assert verify_file(books, b"key").verified
    assert not verify_file(books, b"other").verified
    forged = json.loads(seal_path(books).read_bytes()) | {"transfers": 1}
    seal_path(books).write_text(json.dumps(forged))
    assert not verify_file(books, b"key").verified
    seal_path(books).write_text("{")
    assert not verify_file(books).verified
    seal_path(books).unlink()
    assert not verify_file(books, b"key").verified
    assert verify_file(books).verified


def test_verifying_changes_no_byte(books):
    seal_ledger(books)
    before = books.read_bytes()
    verify_file(books)
    assert books.read_bytes() == before


def test_verification_gives_the_sums_of_every_unit(books):
    with open_ledger(books) as ledger:
        ledger.post([pay("e", 5, unit="Wh")])
    found = verify_file(books)
    assert found.units["Wh"].debits == found.units["Wh"].credits == 5
    assert found.units["CNY"].balance == 0
    assert found.transfers == 43


def test_what_is_no_ledger_is_the_environments_fault(tmp_path):
    with pytest.raises(EnvironmentProblemError):
        verify_file(tmp_path / "none.sqlite")
    with pytest.raises(EnvironmentProblemError):
        open_ledger(tmp_path / "no" / "folder.sqlite")
    text = tmp_path / "text.sqlite"
    text.write_text("this is no database, and long enough that it can not be taken for an empty one" * 20)
    with pytest.raises(EnvironmentProblemError):
        open_ledger(text)
    newer = pysqlite3.connect(str(tmp_path / "newer.sqlite"))
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(EnvironmentProblemError, match="schema 99"):
        open_ledger(tmp_path / "newer.sqlite")


def test_two_writers_do_not_break_the_chain(books):
    with open_ledger(books) as one, open_ledger(books) as other:
        one.post([pay("one", 1)])
        other.post([pay("other", 2)])
        one.post([pay("again", 3)])
        assert one.hash() == other.hash()
    assert verify_file(books).verified


def test_a_file_without_books_is_not_read_as_an_empty_ledger(tmp_path):
    (tmp_path / "ledger.sqlite").touch()
    with pytest.raises(EnvironmentProblemError, match="holds no books"):
        open_ledger(tmp_path / "ledger.sqlite", readonly=True)


def test_a_full_disk_refuses_the_batch_and_the_next_one_goes_on(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with open_ledger(path) as ledger:
        ledger.post(many(10))
        pages = ledger._tables.run("PRAGMA page_count")[0][0]
        ledger._tables.run(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(EnvironmentProblemError, match="full"):
            ledger.post([pay(f"big-{n}", n, evidence="e" * 500) for n in range(100)])
        assert ledger.count() == 10
        ledger._tables.run(f"PRAGMA max_page_count = {pages + 1000}")
        assert ledger.post([pay(f"big-{n}", n, evidence="e" * 500) for n in range(100)]) == 100
        assert ledger.verify().verified


WRITER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from backfeed.settle.transfer import Code, Transfer
    from backfeed.store.ledger_seal import open_ledger

    with open_ledger(Path(sys.argv[1])) as ledger:
        for batch in range(10**9):
            ledger.post(
                Transfer(f"{batch}/{n}", "clearing:a:CNY", f"owner:{n}:CNY", 100 + n, "CNY", Code.PAYOUT, batch)
                for n in range(20)
            )
            print(batch, flush=True)
""")


def killed_writer(path, batches):
    """Start a writer, kill it when it has acknowledged some batches, and return the last acknowledged one."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    lines = iter(writer.stdout.readline, "")
    for line in lines:
        if int(line) >= batches:
            break
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged = [int(line) for line in writer.stdout.read().split()]
    writer.wait()
    writer.stdout.close()
    return max([batches, *acknowledged])


@pytest.mark.parametrize("kills", [3, pytest.param(1_000, marks=pytest.mark.nightly)])
def test_a_writer_killed_in_the_middle_loses_nothing_and_posts_nothing_twice(tmp_path: Path, kills):
    """Every writer begins again at batch 0: all that was posted before is known and posted once."""
    path = tmp_path / "ledger.sqlite"
    generator = np.random.Generator(np.random.PCG64(kills))
    for _ in range(kills):
        acknowledged = killed_writer(path, int(generator.integers(0, 60)))
        found = verify_file(path)
        assert found.verified, found.problems
        assert found.transfers % 20 == 0
        assert found.transfers >= 20 * (acknowledged + 1)
    with open_ledger(path) as ledger:
        assert len({transfer.id for transfer in ledger.transfers()}) == ledger.count()


def test_a_ledger_of_a_newer_version_is_nobodys_fault_unless_its_seal_is_broken(books):
    database = pysqlite3.connect(books)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(EnvironmentProblemError, match="use a newer one"):
        verify_file(books)
    seal_path(books).write_text(json.dumps({"head": "", "transfers": 0, "file_sha256": ""}))
    assert "the file is not the one that was sealed" in [problem.what for problem in verify_file(books).problems]
