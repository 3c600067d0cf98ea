"""What is compiled at the first call says so, once, and leaves no old caches."""

import ast
import importlib
import os
import pkgutil
import resource
import subprocess
import sys
from pathlib import Path

from numba.core.registry import CPUDispatcher

import backfeed.battery
import backfeed.dispatch
import backfeed.forecast
import backfeed.plan
from backfeed.plan.compiled import first_call
from backfeed.plan.linking import on_a_wide_stretch
from backfeed.plan.structured import solve_structured

ROOT = Path(__file__).parent.parent.parent

EVERY_KERNEL = """
import importlib, pkgutil
from numba.core.registry import CPUDispatcher
import backfeed.plan
from backfeed.plan.warm import warm
warm()
modules = [importlib.import_module(f"backfeed.plan.{one.name}") for one in pkgutil.iter_modules(backfeed.plan.__path__)]
kernels = {made for module in modules for made in vars(module).values() if isinstance(made, CPUDispatcher)}
called = [kernel for kernel in kernels if not kernel.targetoptions.get("no_cpython_wrapper")]
print(*sorted(kernel.__name__ for kernel in called if not kernel.signatures))
"""

CALLS_IN_CALLS = """
from backfeed.plan.compiled import compiled, nested

@nested
def square(x):
    return x * x

@nested
def fourth_power(x):
    return square(square(x))

@compiled
def entry(x):
    return fourth_power(x) + square(x)

@compiled
def other(x):
    return fourth_power(x)
"""

ENTERED = """
import kernels
print(kernels.entry(3.0), kernels.other(2.0))
one = kernels.entry.stats
print(len(one.cache_hits), len(one.cache_misses), len(kernels.square.signatures))
"""


def room_at(folder, text):
    """Write a room of one file that compiles functions."""
    folder.mkdir(exist_ok=True)
    (folder / "kernel.py").write_text(f"from backfeed.plan.compiled import compiled\n{text}\n")
    return folder


def test_the_first_call_is_announced_and_later_ones_are_not(tmp_path, capsys):
    room = room_at(tmp_path / "room", "A = 1")
    with first_call("the room", room):
        pass
    assert "compiling the room" in capsys.readouterr().err
    with first_call("the room", room):
        pass
    assert not capsys.readouterr().err


def test_caches_of_older_sources_are_dropped(tmp_path):
    room = room_at(tmp_path / "room", "A = 1")
    complete, left_alone, being_written = (room / "__pycache__" / f"compiled-{k}" for k in range(3))
    for old in (complete, left_alone, being_written):
        old.mkdir(parents=True)
    (complete / "complete").touch()
    os.utime(left_alone, (0, 0))
    with first_call("the room", room):
        assert complete.exists()
    left = set((room / "__pycache__").iterdir())
    assert not left & {complete, left_alone}
    assert being_written in left
    assert [(one / "complete").exists() for one in left - {being_written}] == [True]


def test_a_cache_that_newer_sources_drop_meanwhile_is_no_failure(tmp_path):
    room = room_at(tmp_path / "room", "A = 1")
    with first_call("the room", room):
        for folder in (room / "__pycache__").iterdir():
            folder.rmdir()
    assert not list((room / "__pycache__").iterdir())


def kernels_of(*rooms):
    """Return the compiled functions of some rooms."""
    modules = [
        importlib.import_module(module.name)
        for room in rooms
        for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}.")
    ]
    return {made for module in modules for made in vars(module).values() if isinstance(made, CPUDispatcher)}


def test_warming_compiles_all_that_python_calls():
    """Else somebody waits at his first plan with drives, with peaks, over hard prices or under limits."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", EVERY_KERNEL]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert not shown.split()


def test_no_problem_is_laid_out_so_that_kernels_are_compiled_again(random_problem):
    for seed in range(12):
        solve_structured(random_problem(seed), 1e-3)
    again = {kernel.__name__: kernel.signatures for kernel in kernels_of(backfeed.plan) if takes_calls(kernel)}
    assert not {name for name, signatures in again.items() if len(signatures) > 1}


def takes_calls(kernel):
    """Tell whether a kernel may be called from Python."""
    return not kernel.targetoptions.get("no_cpython_wrapper")


def test_only_compiled_functions_call_nested_ones():
    """A call from Python would end the process without a word."""
    calls = []
    for path in sorted((ROOT / "src" / "backfeed" / "plan").glob("*.py")):
        known = vars(importlib.import_module(f"backfeed.plan.{path.stem}"))
        nested = {name for name, one in known.items() if isinstance(one, CPUDispatcher) and not takes_calls(one)}
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not any(name_of(by) in COMPILING for by in getattr(node, "decorator_list", ())):
                calls += [
                    (path.name, one.id) for one in ast.walk(node) if isinstance(one, ast.Name) and one.id in nested
                ]
    assert not calls


COMPILING = ("allocating", "compiled", "compiled_for_any", "nested")


def said_by(command, folder):
    """Return what a new process says that also finds a folder's modules."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(folder)))}
    done = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_nested_functions_are_kept_within_those_that_python_calls(tmp_path):
    """Neither they nor what they would be compiled from are needed by a later process."""
    (tmp_path / "kernels.py").write_text(CALLS_IN_CALLS)
    assert said_by(ENTERED, tmp_path) == ["90.0", "16.0", "0", "1", "1"]
    files = {file.name.split("-")[0] for file in (tmp_path / "__pycache__").glob("compiled-*/*/*.nb?")}
    assert files == {"kernels.entry", "kernels.other"}
    assert said_by(ENTERED, tmp_path) == ["90.0", "16.0", "1", "0", "0"]


def hungry():
    """Return nothing; a frame of it takes a tenth of a chunk of Python's stack."""


hungry = type(hungry)(hungry.__code__.replace(co_stacksize=200), globals())


def pages_at(depth):
    """Return how many pages the system maps meanwhile, where a function is called often at a depth of calls."""
    if depth:
        return pages_at(depth - 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(200):
        hungry()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_no_call_within_the_compiler_stands_at_an_edge_of_the_stack():
    """Else the system may map a chunk of it at every call, and unmap it after."""
    assert max(on_a_wide_stretch(pages_at, depth) for depth in range(400)) < 100
    if sys.version_info[:2] == (3, 11):
        assert max(pages_at(depth) for depth in range(400)) > 100


def name_of(decorator):
    """Return a decorator's name."""
    return decorator.id if isinstance(decorator, ast.Name) else ""


def test_no_compiled_function_may_reorder_or_contract_arithmetic():
    """What a compiler may reorder, it reorders here and not there: bits then hang on where arrays lie in memory."""
    kernels = kernels_of(backfeed.battery, backfeed.dispatch, backfeed.forecast, backfeed.plan)
    assert len(kernels) > 50
    for kernel in kernels:
        allowed = kernel.targetoptions.get("fastmath", set()) or set()
        assert set(allowed) <= {"nnan", "ninf"}, kernel
