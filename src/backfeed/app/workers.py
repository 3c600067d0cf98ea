"""Workers: the port through which a job leaves the event loop.

Live, a job runs in a process of its own that is killed when its deadline passes: a solver that hangs
or eats the memory takes nothing with it. Simulated, it runs inline and then sleeps a modelled
latency, since a thread that works while virtual time runs would let hours go by.
"""

import asyncio
import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import TYPE_CHECKING, Protocol, TypeVar, TypeVarTuple, Unpack, cast

from backfeed.core.clock import Clock

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


class WorkerLostError(Exception):
    """The job gave no result: its deadline passed, its process died, or it raised."""


class Workers(Protocol):
    """Runs pure jobs away from the event loop."""

    async def run(
        self, job: Callable[[Unpack[_Arguments]], _Result], *arguments: *_Arguments, deadline_s: float
    ) -> _Result:
        """Return the job's result; raise `WorkerLostError` if there is none by the deadline."""
        ...

    def close(self) -> None:
        """Stop the workers."""
        ...


def worker_context() -> ForkServerContext:
    """Return where child processes come from: they leave Ctrl-C to their parent, which ends them itself.

    A terminal sends the interrupt to every process of the command. Children inherit from the server of
    forks that it is ignored, and that server from the moment in which it is started.
    """
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, before)
    return multiprocessing.get_context("forkserver")


class InlineWorkers:
    """Runs a job at once and lets a modelled time pass: for simulated runs."""

    def __init__(self, clock: Clock, latency_ms: int) -> None:
        """Model every job as taking `latency_ms`."""
        self._clock = clock
        self._latency_ms = latency_ms

    async def run(
        self,
        job: Callable[[Unpack[_Arguments]], _Result],
        *arguments: *_Arguments,
        deadline_s: float,  # noqa: ARG002 - an inline job can not be interrupted; its limits are iterations
    ) -> _Result:
        """Return the job's result after the modelled latency."""
        try:
            result = job(*arguments)
        except (ArithmeticError, ValueError, RuntimeError, MemoryError) as error:
            raise WorkerLostError(str(error)) from error
        await self._clock.sleep_until(self._clock.now_ms() + self._latency_ms)
        return result

    def close(self) -> None:
        """Nothing to stop."""


class KillableWorkers:
    """Runs one job at a time in a child process, which is killed when a deadline passes."""

    def __init__(self) -> None:
        """Start no process yet: the first job does."""
        self._context = worker_context()
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._turn = asyncio.Lock()

    async def run(
        self, job: Callable[[Unpack[_Arguments]], _Result], *arguments: *_Arguments, deadline_s: float
    ) -> _Result:
        """Return the job's result; raise `WorkerLostError` if there is none by the deadline."""
        async with self._turn:
            pipe = self._started()
            try:
                async with asyncio.timeout(deadline_s):
                    pipe.send((job, arguments))
                    await _readable(pipe)
                    succeeded, answer = pipe.recv()
            except (TimeoutError, OSError, EOFError) as error:
                self.close()
                message = f"the worker gave no answer in {deadline_s} s"
                raise WorkerLostError(message) from error
            except asyncio.CancelledError:
                self.close()
                raise
        if not succeeded:
            raise WorkerLostError(answer)
        return cast("_Result", answer)

    def _started(self) -> Connection:
        if self._process is None or not self._process.is_alive() or self._pipe is None:
            self.close()
            self._pipe, theirs = self._context.Pipe()
            self._process = self._context.Process(target=_work, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
        return self._pipe

    def close(self) -> None:
        """Kill the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None


async def _readable(pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(pipe.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(pipe.fileno())


def _work(pipe: Connection) -> None:
    """Answer jobs until the parent is gone."""
    while True:
        try:
            job, arguments = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            pipe.send((True, job(*arguments)))
        except Exception as error:  # noqa: BLE001 - whatever a job does wrong is an answer, not a crash
            pipe.send((False, f"{type(error).__name__}: {error}"))
