"""Asking drivers: in the log, in the books, and nothing of it when nobody is asked."""

import asyncio
import shutil

import msgspec
import pytest

from backfeed.app.assembly import EVENTS_FILE, LEDGER_FILE, assemble
from backfeed.app.config import load_pilot
from backfeed.app.dispatching import Policy
from backfeed.app.knowledge import STATEMENT_TOLERANCE_MS
from backfeed.app.prompting import LATER_MS
from backfeed.app.report_books import books_of
from backfeed.app.scene import load_scene
from backfeed.app.workers import InlineWorkers
from backfeed.core.clock import LoopClock
from backfeed.core.money import MICRO
from backfeed.core.problem import InputError
from backfeed.fleet.event import AnyEvent, ChargeAnswered, ChargeShown, DepartureAnswered, DriverPrompted
from backfeed.forecast.charge_word import ChargeRecord
from backfeed.settle.account import Role, holder_of
from backfeed.settle.transfer import Code, balances
from backfeed.sim.controller import transaction_id
from backfeed.store.ledger_seal import open_ledger, verify_file

ASKING = "\n[prompts]\nbonus = 0.5\ncharge_bonus = 0.25\nanswer_curve = [[0.0, 0.9]]\n"


@pytest.fixture(scope="module")
def asking(small_pilot):
    silent = small_pilot.with_text("[pilot]", ASKING + "[pilot]")
    head, _, tail = silent.text.partition("[drivers]\n")
    kept = [line for line in tail.splitlines() if not line.startswith("statement_share")]
    drivers = "[drivers]\nstatement_share = 0.4\nsoc_reported_share = 0.0\n"
    return silent.with_text(silent.text, head + drivers + "\n".join(kept))


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


def by_transaction(events, kind):
    return {event.transaction: event for event in events if isinstance(event, kind)}


def test_silent_drivers_and_those_of_hiding_cars_are_asked_and_their_answers_are_events(asked):
    scene, run = asked
    events = events_of(run.folder)
    questions = by_transaction(events, DriverPrompted)
    departures, charges = by_transaction(events, DepartureAnswered), by_transaction(events, ChargeAnswered)
    index = {transaction_id(name): number for number, name in enumerate(scene.sessions.session_id)}
    silent = {name for name, asked in questions.items() if "departure" in asked.asks}
    hidden = {name for name, asked in questions.items() if "charge" in asked.asks}
    assert run.prompts.sent == len(questions) > 5
    assert silent
    assert hidden
    assert (run.prompts.departure.sent, run.prompts.charge.sent) == (len(silent), len(hidden))
    assert (run.prompts.departure.answered, run.prompts.charge.answered) == (len(departures), len(charges))
    assert set(departures) <= silent
    assert set(charges) <= hidden
    assert len(departures) + len(charges) > 0.6 * (len(silent) + len(hidden))
    assert all(scene.sessions.statement_ms[index[name]] < 0 for name in silent)
    assert not any(scene.sessions.reports_soc[index[name]] for name in hidden)
    assert all(event.at_ms - questions[event.transaction].at_ms >= 5 * 60_000 for event in departures.values())
    came = scene.sessions.energy_arrival_kwh / scene.sessions.capacity_kwh
    assert sorted(abs(event.soc - came[index[name]]) for name, event in charges.items())[len(charges) // 2] < 0.03


def test_what_proved_right_is_paid_from_the_platforms_own_funds_and_the_books_balance(asked):
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
    of_charge = [transfer for transfer in paid if transfer.id.endswith("/charge")]
    amounts = {each.id.rpartition("/")[2]: each.amount for each in paid if each not in of_charge}
    charged = {each.id.split("/")[3]: each.amount for each in of_charge}
    assert {name for name, amount in amounts.items() if amount == MICRO // 2} == kept
    assert set(amounts) == {name for name in answers if name in left}
    events = events_of(run.folder)
    said, shown = by_transaction(events, ChargeAnswered), by_transaction(events, ChargeShown)
    assert set(charged) == {name for name in said if name in left}
    right = {name for name in charged if name in shown and round(abs(said[name].soc - shown[name].soc), 6) <= 0.05}
    assert charged == {name: (name in right) * MICRO // 4 for name in charged}
    assert set(shown) <= {
        name for name, each in by_transaction(events, DriverPrompted).items() if "charge" in each.asks
    }
    assert {holder_of(transfer.debit)[0] for transfer in paid} == {Role.AGGREGATOR}
    assert {holder_of(transfer.credit)[0] for transfer in paid} == {Role.OWNER}
    departure, charge = run.prompts.departure, run.prompts.charge
    assert (departure.kept, departure.bonus_micro) == (len(kept), len(kept) * MICRO // 2)
    assert (charge.kept, charge.bonus_micro) == (len(right), len(right) * MICRO // 4)
    assert right
    assert sum(amounts.values()) < departure.bonus_micro + charge.bonus_micro == sum(each.amount for each in paid)
    assert books_of(transfers, scene.prices, (), ()).bonuses == sum(each.amount for each in paid) / MICRO
    assert verify_file(run.folder / LEDGER_FILE).verified
    by_unit = {}
    for account, amount in balances(transfers).items():
        by_unit.setdefault(account.rpartition(":")[2], []).append(amount)
    assert all(sum(amounts) == 0 for amounts in by_unit.values())


def test_what_a_car_has_shown_is_near_what_it_truly_came_with(asked):
    scene, run = asked
    came = scene.sessions.energy_arrival_kwh / scene.sessions.capacity_kwh
    index = {transaction_id(name): number for number, name in enumerate(scene.sessions.session_id)}
    shown = by_transaction(events_of(run.folder), ChargeShown)
    assert shown
    assert all(abs(event.soc - came[index[name]]) < 0.03 for name, event in shown.items())


def test_asking_over_sockets_gives_the_same_bytes(asking, asked, play, tmp_path):
    _, run = asked
    again = play(asking.write(tmp_path), tmp_path, Policy.V2G, "socket")
    assert (again.log_hash, again.ledger_hash, again.prompts) == (run.log_hash, run.ledger_hash, run.prompts)


def test_a_restart_knows_whom_it_has_asked_and_what_they_said(asked, tmp_path):
    scene, run = asked
    shutil.copytree(run.folder, tmp_path / "again")

    async def read_again():
        clock = LoopClock(asyncio.get_running_loop(), scene.pilot.end_ms)
        async with assemble(scene, Policy.V2G, tmp_path / "again", clock, InlineWorkers(clock, 0)) as parts:
            records = parts.knowledge.charge_words
            return parts.platform.prompting.counts(), parts.platform.prompting.bonuses, records.spread("")

    counts, bonuses, spread = asyncio.run(read_again())
    assert counts == run.prompts
    assert sum(each.amount_micro for each in bonuses) == counts.departure.bonus_micro + counts.charge.bonus_micro
    assert spread != ChargeRecord().spread("")


@pytest.mark.nightly
def test_a_question_that_gains_less_than_its_bonus_is_not_asked(asking, play, tmp_path):
    dear = asking.with_text("bonus = 0.5", "bonus = 500.0").with_text("charge_bonus = 0.25\n", "")
    run = play(dear.write(tmp_path), tmp_path)
    assert run.prompts.sent == 0


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("bonus = -1.0", "bonus"),
        ("per_driver_week = 0\nbonus = 1.0", "per_driver_week"),
        ("bonus = 1.0\nanswer_curve = [[1.0, 0.5], [0.0, 0.6]]", "answer_curve"),
        ("bonus = 1.0\nanswer_curve = []", "answer_curve"),
        ("bonus = 1.0\nanswer_spread = -0.1", "answer_spread"),
        ("bonus = 1.0\nanswer_delay_min = 2000.0", "answer_delay_min"),
        ("bonus = 1.0\ncharge_bonus = -0.1", "charge_bonus"),
        ("bonus = 1.0\nanswer_charge_sd = -0.1", "answer_charge_sd"),
        ("bonus = 1.0\nanswer_charge_wrong_share = 1.1", "answer_charge_wrong_share"),
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
