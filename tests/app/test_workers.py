"""Workers: a job's result, its exception, its deadline, its death."""

import asyncio
import os
import time

import pytest

from backfeed.app.loop import run_virtual
from backfeed.app.workers import InlineWorkers, KillableWorkers, WorkerLostError
from backfeed.core.clock import LoopClock


@pytest.fixture
def workers():
    made = KillableWorkers()
    yield made
    made.close()


def test_a_job_gives_its_result_and_the_process_is_kept(workers):
    async def main():
        return [await workers.run(os.getpid, deadline_s=60) for _ in range(3)]

    processes = asyncio.run(main())
    assert len(set(processes)) == 1
    assert processes[0] != os.getpid()


def test_an_exception_is_told_with_its_name(workers):
    async def main():
        with pytest.raises(WorkerLostError, match="ZeroDivisionError"):
            await workers.run(divmod, 1, 0, deadline_s=60)
        return await workers.run(divmod, 7, 2, deadline_s=60)

    assert asyncio.run(main()) == (3, 1)


def test_a_job_that_hangs_is_killed_at_its_deadline_and_the_next_one_runs(workers):
    async def main():
        hung = await workers.run(os.getpid, deadline_s=60)
        began = asyncio.get_running_loop().time()
        with pytest.raises(WorkerLostError, match="no answer"):
            await workers.run(time.sleep, 600, deadline_s=0.3)  # noqa: TID251 - a job that hangs
        took = asyncio.get_running_loop().time() - began
        return hung, took, await workers.run(os.getpid, deadline_s=60)

    hung, took, next_one = asyncio.run(main())
    assert took < 10
    assert next_one != hung
    with pytest.raises(ProcessLookupError):
        os.kill(hung, 0)


def test_a_process_that_dies_is_an_answer_too(workers):
    async def main():
        with pytest.raises(WorkerLostError):
            await workers.run(os._exit, 3, deadline_s=60)
        return await workers.run(abs, -4, deadline_s=60)

    assert asyncio.run(main()) == 4


def test_what_can_not_be_sent_back_is_a_lost_job(workers):
    async def main():
        with pytest.raises(WorkerLostError):
            await workers.run(open, os.devnull, deadline_s=60)
        return await workers.run(abs, -5, deadline_s=60)

    assert asyncio.run(main()) == 5


def test_jobs_take_turns(workers):
    async def main():
        return await asyncio.gather(*(workers.run(abs, -number, deadline_s=60) for number in range(8)))

    assert asyncio.run(main()) == list(range(8))


def test_an_inline_job_takes_its_modelled_time():
    async def main():
        clock = LoopClock(asyncio.get_running_loop(), 0)
        result = await InlineWorkers(clock, 50).run(divmod, 7, 2, deadline_s=1)
        return result, clock.now_ms()

    assert run_virtual(main()) == ((3, 1), 50)


def test_an_inline_job_that_fails_is_lost():
    async def main():
        clock = LoopClock(asyncio.get_running_loop(), 0)
        with pytest.raises(WorkerLostError, match="division"):
            await InlineWorkers(clock, 50).run(divmod, 1, 0, deadline_s=1)

    run_virtual(main())
