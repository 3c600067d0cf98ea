"""Steering: who is asked first, what lapses when, and what a silent station may be doing."""

import asyncio
import gc
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfeed.app.loop import run_virtual
from backfeed.app.steering import DEADBAND_KW, LONG_WATCHDOG_MS, Steering, Wish
from backfeed.core.clock import LoopClock
from backfeed.core.instant import MS_PER_MIN, MS_PER_S
from backfeed.core.problem import EnvironmentProblemError
from backfeed.fleet.event import SetpointAnswered, SetpointOrdered
from backfeed.fleet.order import Mode, OrderStatus

INTERVAL_MS = 5 * MS_PER_MIN
RATED_KW = 7.4
ANSWER_MS = 100
ROUND = st.fixed_dictionaries({name: st.floats(-RATED_KW, RATED_KW) for name in "abcd"})


@dataclass
class Stations:
    """Stations that take a moment to answer and do what they are told, unless they are said to fail."""

    clock: LoopClock
    failing: dict[str, OrderStatus] = field(default_factory=dict)
    asked: list[tuple[int, str]] = field(default_factory=list)
    orders: dict[str, object] = field(default_factory=dict)

    async def apply(self, order):
        self.asked.append((self.clock.now_ms(), order.station))
        await self.clock.sleep_until(self.clock.now_ms() + ANSWER_MS)
        status = self.failing.get(order.station, OrderStatus.ACCEPTED)
        if status is OrderStatus.ACCEPTED:
            self.orders[order.station] = order
        return status

    async def set_default(self, station, _evse, _charge_max_kw):
        return self.failing.get(station, OrderStatus.ACCEPTED)


class Bench:
    """Steering over such stations, with its journal."""

    def __init__(self):
        self.clock = LoopClock(asyncio.get_running_loop(), 0)
        self.stations = Stations(self.clock)
        self.journal = []
        self.steering = Steering(self.stations, self, self.clock, INTERVAL_MS, RATED_KW)

    def append_now(self, event):
        self.journal.append(event)

    async def follow(self, **power_kw):
        """Wish for powers by station and return who was asked, phase by phase."""
        self.stations.asked.clear()
        await self.steering.follow([wish(station, power) for station, power in power_kw.items()])
        began = sorted({at_ms for at_ms, _ in self.stations.asked})
        return [[station for at_ms, station in self.stations.asked if at_ms == moment] for moment in began]


def wish(station, power_kw, lapses_ms=-1):
    return Wish(station, 1, "home", f"t-{station}", power_kw, Mode.SETPOINT, "schedule", lapses_ms)


def on_bench(scenario):
    async def main():
        return await scenario(Bench())

    return run_virtual(main())


def test_room_is_made_before_it_is_used():
    async def scenario(bench):
        await bench.follow(a=5.0, b=1.0, c=3.0)
        return await bench.follow(a=1.0, b=5.0, c=-2.0)

    assert on_bench(scenario) == [["a"], ["c"], ["b"]]


def test_nobody_takes_more_where_somebody_did_not_confirm_to_take_less():
    async def scenario(bench):
        for station in ("a", "b"):
            bench.steering.expect_at(station, 1, "home", 2.0)
            await bench.steering.set_default(station, 1, 2.0)
        await bench.follow(a=5.0, b=1.0)
        bench.stations.failing["a"] = OrderStatus.TIMED_OUT
        asked = await bench.follow(a=1.0, b=5.0)
        return (
            asked,
            bench.steering.is_confirmed("a", 1),
            bench.steering.exposure_kw("a", 1),
            bench.stations.orders["b"],
        )

    asked, confirmed, exposure_kw, order = on_bench(scenario)
    assert asked == [["a"]]
    assert not confirmed
    assert exposure_kw == (5.0, 0.0)
    assert order.power_kw == 1.0


def test_a_silent_station_is_counted_at_its_worst_until_its_order_lapses_and_then_at_its_default():
    async def scenario(bench):
        bench.steering.expect_at("a", 1, "home", 2.0)
        await bench.steering.set_default("a", 1, 2.0)
        await bench.follow(a=-6.0)
        bench.stations.failing["a"] = OrderStatus.OFFLINE
        await bench.follow(a=4.0)
        early = bench.steering.exposure_kw("a", 1)
        await bench.clock.sleep_until(bench.clock.now_ms() + LONG_WATCHDOG_MS)
        return early, bench.steering.exposure_kw("a", 1)

    assert on_bench(scenario) == ((4.0, 6.0), (2.0, 0.0))


def test_a_change_inside_the_deadband_is_not_worth_a_message():
    async def scenario(bench):
        await bench.follow(a=3.0)
        inside = await bench.follow(a=3.0 + DEADBAND_KW / 2)
        return inside, await bench.follow(a=3.0 + 2 * DEADBAND_KW)

    assert on_bench(scenario) == ([], [["a"]])


def test_an_order_is_renewed_before_its_watchdog_lapses():
    async def scenario(bench):
        renewed, gaps = 0, []
        for tick in range(25):
            await bench.clock.sleep_until(tick * INTERVAL_MS)
            if tick:
                gaps += [bench.stations.orders[name].until_ms - bench.clock.now_ms() for name in ("a", "b")]
            renewed += len(await bench.follow(a=-3.0, b=3.0))
        return renewed, min(gaps)

    renewed, shortest_ms = on_bench(scenario)
    assert shortest_ms >= INTERVAL_MS
    assert 10 < renewed < 25


def test_what_is_above_the_default_lapses_within_minutes_and_the_rest_within_the_hour():
    async def scenario(bench):
        for station in ("export", "below", "above"):
            bench.steering.expect_at(station, 1, "home", 4.0)
        await bench.follow(export=-3.0, below=3.0, above=5.0)
        return [
            (order.until_ms, order.end_ms) for order in map(bench.stations.orders.get, ("export", "below", "above"))
        ]

    export, below, above = on_bench(scenario)
    short_ms = 3 * INTERVAL_MS
    assert export[0] == above[0] == above[1] == short_ms
    assert export[1] == LONG_WATCHDOG_MS
    assert below == (LONG_WATCHDOG_MS, LONG_WATCHDOG_MS)


@settings(max_examples=25)
@given(st.lists(ROUND, min_size=1, max_size=9))
def test_nobody_gets_his_default_back_before_the_others_have_left_what_is_above_theirs(rounds):
    """Were the platform to die after any tick."""
    share_kw = 3.0

    async def scenario(bench):
        for name in "abcd":
            bench.steering.expect_at(name, 1, "home", share_kw)
        for powers in rounds:
            await bench.follow(**powers)
            orders = bench.stations.orders.values()
            above_ms = [order.end_ms for order in orders if order.power_kw > share_kw]
            below_ms = [order.end_ms for order in orders if order.power_kw <= share_kw]
            assert not above_ms or not below_ms or max(above_ms) + INTERVAL_MS <= min(below_ms)
            await bench.clock.sleep_until(bench.clock.now_ms() + INTERVAL_MS)

    on_bench(scenario)


def test_a_discharge_ends_where_the_reserve_is_reached():
    async def scenario(bench):
        await bench.steering.follow([wish("a", -3.0, lapses_ms=7 * MS_PER_S)])
        return bench.stations.orders["a"].until_ms

    assert on_bench(scenario) == 7 * MS_PER_S


@settings(max_examples=25)
@given(st.floats(-50, 50))
def test_an_order_is_a_whole_watt_and_never_larger_than_the_wish(power_kw):
    async def scenario(bench):
        await bench.follow(a=power_kw)
        return bench.stations.orders["a"].power_kw

    ordered_kw = on_bench(scenario)
    assert abs(ordered_kw) <= abs(power_kw)
    assert abs(ordered_kw - power_kw) < 1e-3
    assert ordered_kw * 1000 == pytest.approx(round(ordered_kw * 1000), abs=1e-6)


@settings(max_examples=25)
@given(st.lists(st.tuples(ROUND, st.sets(st.sampled_from("abcd"))), min_size=1, max_size=6))
def test_what_stations_do_is_always_within_what_they_are_counted_at(rounds):
    """Whoever fails or not: an order in force is never above the exposure."""

    async def scenario(bench):
        for powers, failing in rounds:
            bench.stations.failing = dict.fromkeys(failing, OrderStatus.TIMED_OUT)
            await bench.follow(**powers)
            for name, order in bench.stations.orders.items():
                if order.until_ms > bench.clock.now_ms():
                    exposed_import, exposed_export = bench.steering.exposure_kw(name, 1)
                    assert -exposed_export <= order.power_kw <= exposed_import
            await bench.clock.sleep_until(bench.clock.now_ms() + INTERVAL_MS)

    on_bench(scenario)


@settings(max_examples=25)
@given(st.lists(st.tuples(ROUND, st.sets(st.sampled_from("abcd"))), min_size=1, max_size=5))
def test_a_restart_reads_in_the_log_what_stands(rounds):
    async def scenario(bench):
        for powers, failing in rounds:
            bench.stations.failing = dict.fromkeys(failing, OrderStatus.TIMED_OUT)
            await bench.follow(**powers)
            await bench.clock.sleep_until(bench.clock.now_ms() + INTERVAL_MS)
        successor = Steering(bench.stations, bench, bench.clock, INTERVAL_MS, RATED_KW)
        for event in bench.journal:
            successor.recall(event)
        for name in "abcd":
            assert successor.is_confirmed(name, 1) == bench.steering.is_confirmed(name, 1)
        for name, order in bench.stations.orders.items():
            if order.until_ms > bench.clock.now_ms():
                exposed_import, exposed_export = successor.exposure_kw(name, 1)
                assert -exposed_export <= order.power_kw <= exposed_import

    on_bench(scenario)


def test_a_restarted_station_is_not_believed_until_it_confirms_again():
    async def scenario(bench):
        bench.steering.expect_at("a", 1, "home", 2.0)
        await bench.steering.set_default("a", 1, 2.0)
        await bench.follow(a=0.0)
        bench.steering.doubt("a")
        doubted = bench.steering.is_confirmed("a", 1), bench.steering.exposure_kw("a", 1)
        await bench.steering.set_default("a", 1, 2.0)
        await bench.follow(a=1.0)
        return doubted, bench.steering.is_confirmed("a", 1), bench.steering.default_kw("a", 1)

    assert on_bench(scenario) == ((False, (RATED_KW, 0.0)), True, 2.0)


def test_every_order_and_its_answer_is_written_down():
    async def scenario(bench):
        bench.stations.failing["b"] = OrderStatus.REJECTED
        await bench.follow(a=3.0, b=3.0)
        return bench.journal, bench.steering.rejected

    journal, rejected = on_bench(scenario)
    ordered = {event.station for event in journal if isinstance(event, SetpointOrdered)}
    answered = {event.station: event.status for event in journal if isinstance(event, SetpointAnswered)}
    assert ordered == {"a", "b"}
    assert answered == {"a": "Accepted", "b": "Rejected"}
    assert rejected == 1


def test_an_answer_that_can_not_be_written_down_leaves_its_order_in_doubt_and_nothing_else():
    async def scenario(bench):
        troubles = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: troubles.append(context))
        journal = bench.append_now

        def full(event):
            if isinstance(event, SetpointAnswered):
                message = "disk full"
                raise EnvironmentProblemError(message)
            journal(event)

        bench.append_now = full
        await bench.follow(a=3.0)
        gc.collect()
        doubted = bench.steering.is_confirmed("a", 1)
        bench.append_now = journal
        await bench.follow(a=3.0)
        return troubles, doubted, bench.steering.is_confirmed("a", 1)

    assert on_bench(scenario) == ([], False, True)
