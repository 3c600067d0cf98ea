"""A driver's app and the platform: open questions, answers that count and answers that do not."""

import asyncio
from types import SimpleNamespace

import pytest

from backfeed.app.answering import Answering
from backfeed.app.prompting import Prompting, PromptTerms
from backfeed.app.tokens import TOKENS_FILE, TokenRegister, TokenRole
from backfeed.app.view import AnswerView, Refusal
from backfeed.cli.main import run
from backfeed.core.clock import LoopClock
from backfeed.core.instant import MS_PER_DAY, MS_PER_H, format_instant
from backfeed.core.problem import InputError
from backfeed.fleet.event import ChargeAnswered, ChargeShown, DepartureAnswered, DriverPrompted, TransactionChanged
from backfeed.store.log import EventLog

NOW_MS = 1_783_300_000_000


class Asked:
    """A platform whose only business is one question, over a log of its own."""

    def __init__(self, folder, asks=("departure",)):
        self.folder, self.asks = folder, asks

    async def __aenter__(self):
        clock = LoopClock(asyncio.get_running_loop(), NOW_MS)
        self.log = EventLog(self.folder / "events.sqlite", clock, durable=False)
        enrolment = SimpleNamespace(owner_of=lambda token: SimpleNamespace(owner_id=f"owner of {token}"))
        self.prompting = Prompting(PromptTerms(500_000, 5, 250_000), enrolment, None, lambda *_: None, self.log)
        self.log.subscribe(self.prompting.learn)
        prompt = DriverPrompted(
            at_ms=NOW_MS,
            station="A-1",
            evse=1,
            transaction="t",
            token="card",
            asks=self.asks,
            bonus_micro=500_000,
            charge_bonus_micro=250_000,
        )
        await self.log.commit(prompt)
        parts = SimpleNamespace(log=self.log, clock=clock, platform=SimpleNamespace(prompting=self.prompting))
        self.desk = Answering(parts, TokenRegister(self.folder))
        return self

    async def __aexit__(self, *_):
        await self.log.close()

    def answers(self):
        return [event for event in self.log.read() if isinstance(event, DepartureAnswered | ChargeAnswered)]


def given(departure_ms, transaction="t"):
    return AnswerView(station="A-1", transaction=transaction, departure=format_instant(departure_ms))


def test_a_question_is_open_until_it_is_answered_and_the_answer_is_an_event_of_the_log(tmp_path):
    async def play():
        async with Asked(tmp_path) as asked:
            [question] = asked.desk.questions()
            refusal = await asked.desk.answer(given(NOW_MS + MS_PER_H))
            again = await asked.desk.answer(given(NOW_MS + 2 * MS_PER_H))
            return question, refusal, again, asked.desk.questions(), asked.answers()

    question, refusal, again, left, answers = asyncio.run(play())
    assert (question.transaction, question.token, question.bonus) == ("t", "card", 0.5)
    assert (refusal, again, left) == (None, Refusal.NOT_ASKED, ())
    assert [(each.station, each.evse, each.departure_ms) for each in answers] == [("A-1", 1, NOW_MS + MS_PER_H)]


def test_of_two_answers_at_once_the_first_counts(tmp_path):
    async def play():
        async with Asked(tmp_path) as asked:
            told = await asyncio.gather(*(asked.desk.answer(given(NOW_MS + n * MS_PER_H)) for n in (1, 2)))
            return told, asked.answers()

    told, answers = asyncio.run(play())
    assert told == [None, Refusal.NOT_ASKED]
    assert [each.departure_ms for each in answers] == [NOW_MS + MS_PER_H]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (given(NOW_MS + MS_PER_H, "another"), Refusal.NOT_ASKED),
        (given(NOW_MS - MS_PER_H), Refusal.NO_DEPARTURE),
        (given(NOW_MS + 32 * MS_PER_DAY), Refusal.NO_DEPARTURE),
        (AnswerView(station="A-1", transaction="t", departure="at noon"), Refusal.NO_DEPARTURE),
        (AnswerView(station="A-1", transaction="t", departure="2026-07-06T19:00:00"), Refusal.NO_DEPARTURE),
        (AnswerView(station="A-1", transaction="t"), Refusal.NO_ANSWER),
        (AnswerView(station="A-1", transaction="t", charge_percent=40.0), Refusal.NOT_ASKED),
    ],
)
def test_an_answer_that_nobody_asked_for_or_that_names_no_departure_changes_nothing(tmp_path, answer, why):
    async def play():
        async with Asked(tmp_path) as asked:
            return await asked.desk.answer(answer), asked.answers(), len(asked.desk.questions())

    assert asyncio.run(play()) == (why, [], 1)


def test_what_was_asked_can_be_answered_in_parts_and_each_part_once(tmp_path):
    def charge(percent):
        return AnswerView(station="A-1", transaction="t", charge_percent=percent)

    async def play():
        async with Asked(tmp_path, ("departure", "charge")) as asked:
            [both] = asked.desk.questions()
            told = [await asked.desk.answer(charge(percent)) for percent in (101.0, -1.0, 40.0, 50.0)]
            [left] = asked.desk.questions()
            told.append(await asked.desk.answer(given(NOW_MS + MS_PER_H)))
            return both, told, left, asked.desk.questions(), asked.answers()

    both, told, left, none, answers = asyncio.run(play())
    assert told == [Refusal.NO_CHARGE, Refusal.NO_CHARGE, None, Refusal.NOT_ASKED, None]
    assert (both.asks, both.bonus, both.charge_bonus) == (("departure", "charge"), 0.5, 0.25)
    assert (left.asks, left.bonus, left.charge_bonus, none) == (("departure",), 0.5, 0.0, ())
    assert "When will you leave?" in both.words
    assert "battery" in both.words
    assert "电量" in both.words_zh
    assert "电量" not in left.words_zh
    assert [(type(each), getattr(each, "soc", None)) for each in answers] == [
        (ChargeAnswered, 0.4),
        (DepartureAnswered, None),
    ]


def test_both_answers_can_come_at_once(tmp_path):
    async def play():
        async with Asked(tmp_path, ("departure", "charge")) as asked:
            told = AnswerView(
                station="A-1", transaction="t", charge_percent=40, departure=format_instant(NOW_MS + MS_PER_H)
            )
            return await asked.desk.answer(told), asked.desk.questions(), asked.answers()

    refusal, left, answers = asyncio.run(play())
    assert (refusal, left) == (None, ())
    assert {type(each) for each in answers} == {ChargeAnswered, DepartureAnswered}


def shown(soc):
    """The car has ended at 85 %, and so shown what it came with."""
    moved = {"limit_soc": 0.85, "taken_wh": 20_000, "given_wh": 0, "unread_wh": 0}
    return ChargeShown(at_ms=NOW_MS, station="A-1", evse=1, transaction="t", measured_ms=NOW_MS, soc=soc, **moved)


def left():
    what = {"sequence": 9, "phase": "ended", "trigger": "EVDeparted"}
    return TransactionChanged(at_ms=NOW_MS, station="A-1", evse=1, transaction="t", measured_ms=NOW_MS, **what)


@pytest.mark.parametrize(
    ("came_soc", "verdict", "paid", "words", "words_zh"),
    [
        (0.35, "charge_right", 0.25, "come with 35 %: right within 5 points", "误差在5个百分点以内"),
        (0.45, "charge_right", 0.25, "come with 45 %: right within 5 points", "误差在5个百分点以内"),
        (0.3499, "charge_wrong", 0.0, "come with 34.99 %: more than 5 points off", "误差超过5个百分点"),
        (None, "charge_unproven", 0.0, "left before it had charged to its limit", "在充至上限之前离开"),
    ],
)
def test_an_app_can_read_why_an_answer_is_paid_or_not_once_the_car_has_left(
    tmp_path, came_soc, verdict, paid, words, words_zh
):
    async def play():
        async with Asked(tmp_path, ("departure", "charge")) as asked:
            told = AnswerView(
                station="A-1",
                transaction="t",
                charge_percent=40.0,
                departure=format_instant(NOW_MS + MS_PER_H),
            )
            await asked.desk.answer(told)
            if came_soc is not None:
                await asked.log.commit(shown(came_soc))
            before = asked.desk.judged()
            await asked.log.commit(left())
            return before, asked.desk.judged(), asked.prompting.bonuses

    before, (charge, departure), bonuses = asyncio.run(play())
    assert before == ()
    assert (charge.asks, charge.verdict, charge.bonus, charge.owner) == ("charge", verdict, paid, "owner of card")
    assert "40 %" in charge.words
    assert words in charge.words
    assert words_zh in charge.words_zh
    assert (departure.asks, departure.verdict, departure.bonus) == ("departure", "left_early", 0.0)
    assert "60 minutes before" in departure.words
    assert "提前60分钟" in departure.words_zh
    assert [each.amount_micro for each in bonuses] == [round(paid * 1e6), 0]


def test_a_platform_that_asks_nobody_has_no_questions(tmp_path):
    parts = SimpleNamespace(platform=SimpleNamespace(prompting=None))
    desk = Answering(parts, TokenRegister(tmp_path))
    assert (desk.questions(), desk.judged()) == ((), ())


def test_a_token_is_known_at_once_to_a_service_that_runs_and_is_kept_nowhere(tmp_path, capsys):
    desk = Answering(None, TokenRegister(tmp_path))
    assert not desk.admits("")
    assert run(["tokens", "add", "--role", "driver-app", "--data", str(tmp_path)]) == 0
    token = capsys.readouterr().out.split()[-1]
    assert desk.admits(token)
    assert not desk.admits(token[:-1])
    assert all(token.encode() not in file.read_bytes() for file in tmp_path.iterdir())
    assert (tmp_path / "server.key").stat().st_mode & 0o777 == 0o600


def test_a_register_of_tokens_that_is_none_is_told(tmp_path):
    (tmp_path / TOKENS_FILE).write_text('{"x": {"role": "king"}}')
    with pytest.raises(InputError, match="expected a register of tokens"):
        TokenRegister(tmp_path).role_of("any")
    assert TokenRole("driver-app") is TokenRole.DRIVER_APP
