"""The simulated operator: calls by the programme's clock, clears offers in time, confirms, verifies."""

import asyncio
from dataclasses import dataclass, field, replace
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from backfeed.app.calling import rules_of
from backfeed.app.loop import run_virtual
from backfeed.core.clock import LoopClock
from backfeed.core.instant import MS_PER_DAY, MS_PER_H, MS_PER_MIN, parse_instant
from backfeed.core.rng import Streams
from backfeed.market.programme import load_programme, programme_names
from backfeed.sim.operator import Call, SimulatedOperator, Temper, draw_answers, draw_calls
from backfeed.sim.verification import METHODS, Meters
from backfeed.wire.link import Traffic

BEGIN = parse_instant("2026-07-06T00:00:00+08:00")
WINDOW = (BEGIN, BEGIN + 14 * MS_PER_DAY)
EAGER = Temper(7.0, 40.0, 60, Decimal("0.8"), Decimal("0.4"), 0.0, 1.0)
JIANGSU = rules_of(load_programme("jiangsu"))
START = parse_instant("2026-07-08T18:00:00+08:00")
CALL = Call("c", "peak_shave", START - 28 * MS_PER_H, START, START + MS_PER_H, 40.0, Decimal("0.8"), "mean-5-workdays")


@dataclass
class Scribe:
    """A participant that offers what it is told and writes down what it hears."""

    offers: list[tuple[float, int]]
    clock: LoopClock
    operator: SimulatedOperator | None = None
    heard: list[tuple[int, str, object]] = field(default_factory=list)

    def note(self, what, said):
        self.heard.append((self.clock.now_ms(), what, said))

    def invited(self, call):
        self.note("invited", call.id)

    async def awarded(self, _call_id, power_kw):
        self.note("awarded", power_kw)

    def declined(self, _call_id, reason):
        self.note("declined", reason)

    def metered(self):
        return Meters([START], [0], [40_000])

    def verified(self, _call_id, statement):
        self.note("verified", statement)


def conduct(offers, rules=JIANGSU, temper=EAGER, call=CALL, seed=1):
    """Play one call with offers made at instants, and return what the participant heard."""

    async def play():
        clock = LoopClock(asyncio.get_running_loop(), BEGIN)
        scribe = Scribe(offers, clock)
        operator = SimulatedOperator(rules, temper, (call,), scribe, clock, Streams(seed), lambda _d: True, BEGIN)

        async def offering():
            for power_kw, at_ms in offers:
                await clock.sleep_until(at_ms)
                operator.offer("c", power_kw, clock.now_ms())

        async with asyncio.TaskGroup() as group:
            group.create_task(operator.run())
            group.create_task(offering())
        operator.finish()
        return scribe.heard

    return run_virtual(play(), Traffic())


def test_a_call_lives_by_the_programmes_clock():
    gate = parse_instant("2026-07-07T16:00:00+08:00")
    heard = conduct([(25.0, gate)])
    assert [what for _, what, _ in heard] == ["invited", "awarded", "verified"]
    assert [at for at, _, _ in heard] == [
        CALL.invited_at_ms,
        gate + 30 * MS_PER_MIN,
        parse_instant("2026-07-09T01:00:00+08:00"),
    ]
    statement = heard[-1][2]
    assert (statement.promised_wh, statement.delivered_wh) == (25_000, 40_000)
    assert statement.revenue_micro == 24_000_000  # 120 % of 25 kWh at 0.80


def test_an_offer_after_the_gate_is_not_looked_at():
    gate = parse_instant("2026-07-07T16:00:00+08:00")
    assert conduct([(25.0, gate + 1)])[-1][1:] == ("declined", "no offer came before the gate closed")
    assert conduct([(25.0, gate), (30.0, gate + 1)])[1][1:] == ("awarded", 25.0)


def test_more_than_was_asked_is_not_awarded_and_less_than_the_least_neither():
    at = CALL.invited_at_ms
    assert conduct([(400.0, at)])[1][1:] == ("awarded", 40.0)
    small = conduct([(4.0, at)], replace(JIANGSU, power_min_kw=5.0))
    assert small[1][1] == "declined"
    assert "less than may be awarded" in small[1][2]


def test_some_offers_are_refused_and_others_awarded_in_part():
    at = CALL.invited_at_ms
    choosy = replace(EAGER, refused_share=0.3, award_share_min=0.5)
    answers = [conduct([(40.0, at)], temper=choosy, seed=seed)[1] for seed in range(40)]
    declined = [said for _, what, said in answers if what == "declined"]
    powers = [said for _, what, said in answers if what == "awarded"]
    assert 4 <= len(declined) <= 20
    assert set(declined) == {"others offered for less"}
    assert all(20.0 <= power <= 40.0 and round(power * 10) == pytest.approx(power * 10) for power in powers)
    assert len(set(powers)) > 5


def test_a_confirmation_named_by_the_programme_is_when_it_comes():
    vpp = replace(rules_of(load_programme("guangdong-vpp")), power_min_kw=0.0)
    heard = conduct([(25.0, START - 60 * MS_PER_MIN)], vpp, call=replace(CALL, invited_at_ms=START - 3 * MS_PER_H))
    assert heard[1][0] == START - 30 * MS_PER_MIN


@pytest.mark.parametrize("name", [name for name in programme_names() if load_programme(name).baseline in METHODS])
def test_calls_obey_their_programme(name):
    rules = rules_of(load_programme(name))
    calls = draw_calls(rules, EAGER, WINDOW, Streams(3))
    assert len(calls) >= 9
    for call in calls:
        assert WINDOW[0] <= call.invited_at_ms < call.start_ms < call.end_ms <= WINDOW[1]
        assert call.direction in rules.directions
        cap = dict(rules.price_cap_per_kwh).get(call.direction)
        assert cap is None or call.price_per_kwh <= cap
        assert call.end_ms - call.start_ms >= rules.duration_min_min * MS_PER_MIN
        if rules.invitation is not None:
            assert call.invited_at_ms <= rules.invitation.before(call.start_ms, ZoneInfo(rules.timezone))


def test_the_same_seed_draws_the_same_calls_and_a_longer_window_only_adds():
    rarely = replace(EAGER, calls_per_week=3.0)
    calls = draw_calls(JIANGSU, rarely, WINDOW, Streams(5))
    assert calls == draw_calls(JIANGSU, rarely, WINDOW, Streams(5))
    assert calls != draw_calls(JIANGSU, rarely, WINDOW, Streams(6))
    longer = draw_calls(JIANGSU, rarely, (BEGIN, WINDOW[1] + 7 * MS_PER_DAY), Streams(5))
    assert longer[: len(calls)] == calls


def test_owners_say_yes_no_or_nothing_whoever_else_is_asked():
    owners = [f"o{k}" for k in range(400)]
    answers = draw_answers(owners, 0.5, 0.2, Streams(1))
    assert 160 < sum(answers.values()) < 240
    assert 50 < sum(not yes for yes in answers.values()) < 110
    assert draw_answers(owners[7:8], 0.5, 0.2, Streams(1)) == {k: v for k, v in answers.items() if k == "o7"}
