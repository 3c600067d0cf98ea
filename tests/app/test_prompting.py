"""Asking silent drivers: in the log, in the books, and nothing of it when nobody is asked."""

import msgspec
import pytest

from backfeed.app.assembly import EVENTS_FILE, LEDGER_FILE
from backfeed.app.config import load_pilot
from backfeed.app.dispatching import Policy
from backfeed.app.knowledge import STATEMENT_TOLERANCE_MS
from backfeed.app.prompting import LATER_MS
from backfeed.app.scene import load_scene
from backfeed.core.money import MICRO
from backfeed.core.problem import InputError
from backfeed.fleet.event import AnyEvent, DepartureAnswered, DriverPrompted
from backfeed.settle.account import Role, holder_of
from backfeed.settle.transfer import Code, balances
from backfeed.sim.controller import transaction_id
from backfeed.store.ledger_seal import open_ledger, verify_file

ASKING = "\n[prompts]\nbonus = 0.5\nanswer_curve = [[0.0, 0.9]]\n"


@pytest.fixture(scope="module")
def asking(small_day):
    silent = small_day.with_text("[pilot]", ASKING + "[pilot]")
    head, _, tail = silent.text.partition("[drivers]\n")
    kept = [line for line in tail.splitlines() if not line.startswith("statement_share")]
    return silent.with_text(silent.text, head + "[drivers]\nstatement_share = 0.2\n" + "\n".join(kept))


@pytest.fixture(scope="module")
def asked(asking, play, tmp_path_factory):
    folder = tmp_path_factory.mktemp("asked")
    path = asking.write(folder)
    return load_scene(path), play(path, folder)


def events_of(folder):
    import pysqlite3.dbapi2 as sqlite3  # noqa: PLC0415 - read as it lies on disk

    connection = sqlite3.connect(folder / EVENTS_FILE)
    bodies = [row[0] for row in connection.execute("SELECT body FROM event ORDER BY seq")]
    connection.close()
    return [msgspec.json.decode(body, type=AnyEvent) for body in bodies]


def test_silent_drivers_are_asked_and_their_answers_are_events(asked):
    scene, run = asked
    events = events_of(run.folder)
    questions = {event.transaction: event for event in events if isinstance(event, DriverPrompted)}
    answers = {event.transaction: event for event in events if isinstance(event, DepartureAnswered)}
    index = {transaction_id(name): number for number, name in enumerate(scene.sessions.session_id)}
    assert run.prompts.sent == len(questions) > 5
    assert run.prompts.answered == len(answers) > 0.6 * len(questions)
    assert all(scene.sessions.statement_ms[index[name]] < 0 for name in questions)
    assert all(answers[name].at_ms - questions[name].at_ms >= 5 * 60_000 for name in answers)


def test_what_was_kept_is_paid_from_the_platforms_own_funds_and_the_books_balance(asked):
    scene, run = asked
    answers = {e.transaction: e.departure_ms for e in events_of(run.folder) if isinstance(e, DepartureAnswered)}
    left = {
        transaction_id(name): int(ms)
        for name, ms in zip(scene.sessions.session_id, scene.sessions.departure_ms, strict=True)
        if ms < scene.pilot.end_ms
    }
    late_ms = {name: left[name] - said for name, said in answers.items() if name in left}
    kept = {name for name, late in late_ms.items() if -STATEMENT_TOLERANCE_MS <= late <= LATER_MS}
    with open_ledger(run.folder / LEDGER_FILE, readonly=True) as book:
        transfers = list(book.transfers())
    paid = [transfer for transfer in transfers if transfer.code is Code.PROMPT_BONUS]
    assert kept
    assert {transfer.id.rpartition("/")[2] for transfer in paid} == kept
    assert all(transfer.amount == MICRO // 2 for transfer in paid)
    assert {holder_of(transfer.debit)[0] for transfer in paid} == {Role.AGGREGATOR}
    assert {holder_of(transfer.credit)[0] for transfer in paid} == {Role.OWNER}
    assert (run.prompts.kept, run.prompts.bonus_micro) == (len(kept), len(kept) * MICRO // 2)
    assert verify_file(run.folder / LEDGER_FILE).verified
    by_unit = {}
    for account, amount in balances(transfers).items():
        by_unit.setdefault(account.rpartition(":")[2], []).append(amount)
    assert all(sum(amounts) == 0 for amounts in by_unit.values())


def test_asking_over_sockets_gives_the_same_bytes(asking, asked, play, tmp_path):
    _, run = asked
    again = play(asking.write(tmp_path), tmp_path, Policy.V2G, "socket")
    assert (again.log_hash, again.ledger_hash, again.prompts) == (run.log_hash, run.ledger_hash, run.prompts)


@pytest.mark.nightly
def test_a_question_that_gains_less_than_its_bonus_is_not_asked(asking, play, tmp_path):
    dear = asking.with_text("bonus = 0.5", "bonus = 500.0")
    run = play(dear.write(tmp_path), tmp_path)
    assert run.prompts.sent == run.prompts.answered == 0


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("bonus = -1.0", "bonus"),
        ("per_driver_week = 0\nbonus = 1.0", "per_driver_week"),
        ("bonus = 1.0\nanswer_curve = [[1.0, 0.5], [0.0, 0.6]]", "answer_curve"),
        ("bonus = 1.0\nanswer_curve = []", "answer_curve"),
        ("bonus = 1.0\nanswer_spread = -0.1", "answer_spread"),
        ("bonus = 1.0\nanswer_delay_min = 2000.0", "answer_delay_min"),
        ("bonus = 1.0\nanswer = 1", "answer"),
        ("per_driver_week = 3", "bonus"),
    ],
)
def test_every_fault_of_the_table_is_named(small_day, tmp_path, table, key):
    path = small_day.with_text("[pilot]", f"[prompts]\n{table}\n[pilot]").write(tmp_path)
    with pytest.raises(InputError) as caught:
        load_pilot(path)
    assert [f"[prompts] {key}" in str(problem) for problem in caught.value.problems] == [True]


def test_without_the_table_nobody_is_asked(worlds):
    assert {run.prompts for run in worlds.values()} == {None}
