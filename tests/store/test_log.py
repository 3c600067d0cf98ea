"""The event log keeps what it was told, in one order, and says so when it can not."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pysqlite3 import dbapi2 as sqlite3

from backfeed.app.loop import run_virtual
from backfeed.core.clock import LoopClock
from backfeed.core.problem import EnvironmentProblemError, InputError
from backfeed.fleet.event import PlanMade, Refused, StationBooted, StationConnected
from backfeed.store.log import SCHEMA_VERSION, WINDOW_MS, EventLog


def connected(at_ms: int, station: str) -> StationConnected:
    return StationConnected(at_ms=at_ms, station=station, subprotocol="ocpp2.1")


def clock() -> LoopClock:
    return LoopClock(asyncio.get_running_loop(), 0)


def test_a_committed_event_is_read_back(tmp_path):
    async def run():
        async with EventLog(tmp_path / "log.db", clock(), durable=False) as log:
            await log.commit(connected(0, "A"))
            await log.commit(StationBooted(at_ms=2, station="A", vendor="v", model="m", reason="PowerUp"))
            return list(log.read()), list(log.read(after=1)), log.sequence

    events, rest, sequence = run_virtual(run())
    assert [type(event) for event in events] == [StationConnected, StationBooted]
    assert rest == events[1:]
    assert sequence == 2


def test_a_commit_returns_after_its_window_and_after_the_subscribers(tmp_path):
    seen = []

    async def run():
        time = clock()
        async with EventLog(tmp_path / "log.db", time, durable=False) as log:
            log.subscribe(lambda event: seen.append((event.station, time.now_ms())))
            await log.commit(connected(0, "A"))
            assert seen == [("A", WINDOW_MS)]
            return time.now_ms()

    assert run_virtual(run()) == WINDOW_MS


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["", "A", "B", "C"]), st.booleans()), max_size=30),
    st.randoms(use_true_random=False),
)
def test_the_order_does_not_depend_on_which_station_came_first(tmp_path_factory, told, dice):
    """Shuffling the arrivals within one instant, each station's own order kept, changes no byte."""

    def by_station(order):
        rank = {station: place for place, station in enumerate(order)}
        return sorted(
            ((at_ms, rank[station], number, station, decided) for number, (at_ms, station, decided) in enumerate(told)),
        )

    async def run(order):
        time = clock()
        path = tmp_path_factory.mktemp("log") / "log.db"
        async with EventLog(path, time, durable=False) as log, asyncio.TaskGroup() as group:
            for at_ms, _, number, station, decided in by_station(order):
                await time.sleep_until(at_ms)
                if not station:
                    log.append_now(Refused(at_ms=at_ms, what=str(number), reason=""))
                elif decided:
                    log.append_now(StationBooted(at_ms=at_ms, station=station, vendor=str(number), model="", reason=""))
                else:
                    group.create_task(log.commit(connected(at_ms, station)))
        reader = EventLog(path, time, durable=False)
        events, digest = list(reader.read()), reader.hash()
        assert reader.first_broken() is None
        await reader.close()
        return events, digest

    order = ["", "A", "B", "C"]
    events, digest = run_virtual(run(order))
    dice.shuffle(order)
    shuffled, shuffled_digest = run_virtual(run(order))
    assert events == shuffled
    assert digest == shuffled_digest
    assert [event.at_ms for event in events] == sorted(at_ms for at_ms, _, _ in told)


def test_a_restart_continues_sequence_and_chain(tmp_path):
    async def write(path, *spans):
        for events in spans:
            async with EventLog(path, clock(), durable=False) as log:
                for event in events:
                    await log.commit(event)
                digest = log.hash()
        return digest

    events = [connected(0, name) for name in "ABCD"]
    at_once = run_virtual(write(tmp_path / "one.db", events))
    in_two = run_virtual(write(tmp_path / "two.db", events[:2], events[2:]))
    assert at_once == in_two


def test_a_flipped_byte_is_found(tmp_path):
    path = tmp_path / "log.db"

    async def run(check):
        async with EventLog(path, clock(), durable=False) as log:
            if check:
                return log.first_broken()
            for name in "ABC":
                await log.commit(connected(0, name))
            return None

    run_virtual(run(check=False))
    writer = sqlite3.connect(path)
    (body,) = writer.execute("SELECT body FROM event WHERE seq = 2").fetchone()
    writer.execute("UPDATE event SET body = ? WHERE seq = 2", (bytes(body).replace(b"B", b"X"),))
    writer.commit()
    writer.close()
    assert run_virtual(run(check=True)) == 2


def test_a_newer_schema_is_refused_with_a_word(tmp_path):
    path = tmp_path / "log.db"

    async def run():
        await EventLog(path, clock(), durable=False).close()
        writer = sqlite3.connect(path)
        writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        writer.commit()
        writer.close()
        EventLog(path, clock(), durable=False)

    with pytest.raises(EnvironmentProblemError, match="this version knows"):
        run_virtual(run())


@pytest.mark.parametrize("content", [b"not a database, but long enough to look like one" * 100, None])
def test_a_file_that_is_no_event_log_is_refused(tmp_path, content):
    path = tmp_path / "log.db"
    if content is None:
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE t (x)")
        other.commit()
        other.close()
    else:
        path.write_bytes(content)

    async def run():
        EventLog(path, clock(), durable=False)

    with pytest.raises(InputError, match="expected an event log"):
        run_virtual(run())


def test_a_folder_that_is_not_there_is_the_environments_problem(tmp_path):
    async def run():
        EventLog(tmp_path / "nowhere" / "log.db", clock(), durable=False)

    with pytest.raises(EnvironmentProblemError, match="can not be opened"):
        run_virtual(run())


def test_a_full_disk_acknowledges_nothing_and_heals_by_itself(tmp_path):
    path = tmp_path / "log.db"
    plan = PlanMade(
        at_ms=WINDOW_MS, plan="plan-1", method="m", status="s", objective=0, gap=0, vehicles=0, steps=0, shortfall_kwh=0
    )

    async def run():
        time = clock()
        log = EventLog(path, time, durable=False)
        await log.commit(connected(0, "A"))
        # SQLite's own limit stands for the disk's: the file may not grow, and then it may again.
        log._connection.execute("PRAGMA max_page_count = 1")
        large = StationBooted(at_ms=time.now_ms(), station="B", vendor="v" * 60_000, model="m", reason="r")
        log.append_now(plan)
        with pytest.raises(EnvironmentProblemError, match="full"):
            await log.commit(large)
        with pytest.raises(EnvironmentProblemError, match="full"):
            log.append_now(plan)
        assert log.sequence == 1
        log._connection.execute("PRAGMA max_page_count = 1000000")
        await time.sleep_until(time.now_ms() + 5_000)
        await log.commit(connected(time.now_ms(), "C"))
        log.append_now(plan)
        await log.close()
        return [type(event).__name__ for event in EventLog(path, time, durable=False).read()]

    assert run_virtual(run()) == ["StationConnected", "PlanMade", "StationConnected", "PlanMade"]


WRITER = """
import asyncio, sys
from pathlib import Path
from backfeed.core.clock import LoopClock
from backfeed.fleet.event import StationConnected
from backfeed.store.log import EventLog

async def main():
    clock = LoopClock(asyncio.get_running_loop(), 0)
    log = EventLog(Path(sys.argv[1]), clock, durable=True)
    async def station(name):
        number = 0
        while True:
            await log.commit(StationConnected(at_ms=clock.now_ms(), station=name, subprotocol=str(number)))
            print(name, number, flush=True)
            number += 1
    async with asyncio.TaskGroup() as group:
        for name in "ABCDEFGH":
            group.create_task(station(name))

asyncio.run(main())
"""


def killed_writer(path: Path, lines: int) -> list[str]:
    """Run a writer, kill it after some acknowledgements and return what it had acknowledged."""
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        acknowledged = [writer.stdout.readline().strip() for _ in range(lines)]
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in writer.stdout.read().split("\n")[:-1]]
    return acknowledged


@pytest.mark.parametrize("lines", [3, 40])
def test_what_was_acknowledged_survives_kill_9(tmp_path, lines):
    path = tmp_path / "log.db"
    acknowledged = killed_writer(path, lines)

    async def run():
        async with EventLog(path, clock(), durable=True) as log:
            assert log.first_broken() is None
            return [f"{event.station} {event.subprotocol}" for event in log.read()]

    kept = asyncio.run(run())
    assert set(acknowledged) <= set(kept)
    assert len(set(kept)) == len(kept)
