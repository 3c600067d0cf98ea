"""How the loops of planner and dispatch are compiled: numba, cached on disk, arithmetic that is reproducible.

Arithmetic is IEEE 754's, operation by operation: no sum is reassociated, no product contracted. A compiler that may
do so does it in a vectorised loop and not in its scalar twin, and which of the two runs depends on where arrays happen
to lie in memory and on which of several compiled copies of a function is loaded first. So a sum that is to be fast is
written in several parts, and the same input gives the same bits in every process and with any number of threads. The
planner's compiled code is given finite numbers only, and its callers look for what is not; no finite result hangs on
that. The first call after an installation compiles for half a minute or so.

Numba's own cache looks at a function's file only, not at the files of what it calls. Compiled functions of a room
call each other across files, so the cache stands in a folder named after the contents of all of them, and of what
they take from the room. Folders of older sources are dropped once a newer one is complete.
"""

import gc
import hashlib
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite.binding
import numba

from backfeed.plan import linking

Function = TypeVar("Function", bound=Callable[..., Any])

# Loops over eight rows of one matrix vectorise only if LLVM may compare all their addresses first.
llvmlite.binding.set_option("", "--runtime-memory-check-threshold=100000")
llvmlite.binding.set_option("", "--memory-check-merge-threshold=100000")

_FINITE = {"nnan", "ninf"}

GARBAGE = (2_000_000, 10, 10)
"""Thresholds of Python's collector while functions are compiled, which makes many objects and leaves little garbage."""

CALLED = re.compile(r"from backfeed\.plan\.(?!compiled |threads )\w+ import")
"""What a file of another room takes of the planner's compiled functions."""

UNTOUCHED_S = 3_600.0
"""A folder of functions that nobody has added to for so long is not being written."""


@cache
def _cache_folder(here: Path) -> str:
    """Return the folder for this version of a room's sources, "" (numba's own choice) where it can not be made."""
    digest = hashlib.sha256(numba.__version__.encode())
    how = (Path(file).read_text(encoding="utf-8") for file in (__file__, linking.__file__))
    for text in (*how, *_sources(here)):
        digest.update(text.encode())
    folder = here / "__pycache__" / f"compiled-{digest.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return ""
    return str(folder)


def _sources(here: Path) -> list[str]:
    """Return the texts of a room's files that compile functions, and of those that they import.

    Where another room calls the planner's compiled functions, as tests do, those of the planner are among them.
    """
    texts = {file.stem: file.read_text(encoding="utf-8") for file in sorted(here.glob("*.py"))}
    compiling = {name for name, text in texts.items() if "plan.compiled import" in text}
    imported = re.compile(rf"from backfeed\.{here.name}\.(\w+) import")
    taken = {name for file in compiling for name in imported.findall(texts[file])}
    planner = Path(__file__).parent
    calls = here != planner and any(CALLED.search(texts[name]) for name in compiling)
    return [texts[name] for name in sorted(compiling | taken) if name in texts] + (_sources(planner) if calls else [])


@contextmanager
def first_call(what: str, here: Path) -> Iterator[None]:
    """Say on stderr that what runs inside is compiled first, if it is; afterwards drop the caches of older sources.

    Folders that another process may be writing are left alone: they are neither complete nor long untouched.

    Parameters
    ----------
    what
        Whose functions they are.
    here
        The folder of their room.
    """
    folder = Path(_cache_folder(here))
    complete = folder / "complete"
    if not folder.name or complete.exists():
        yield
        return
    sys.stderr.write(f"backfeed: compiling {what}, once after an installation (half a minute or so) ...\n")
    usual = gc.get_threshold()
    gc.set_threshold(*GARBAGE)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
    with suppress(FileNotFoundError):  # dropped meanwhile, by newer sources
        complete.touch()
        for old in here.glob("__pycache__/compiled-*"):
            untouched = complete.stat().st_mtime - old.stat().st_mtime > UNTOUCHED_S
            if old != folder and ((old / "complete").exists() or untouched):
                shutil.rmtree(old, ignore_errors=True)


def compiled(function: Function) -> Function:
    """Compile a function that is given finite numbers only; while it runs, other threads may run too.

    It makes no arrays, so it need not count who holds those that it is given. Counting is what handing on the
    problem's sixty arrays else costs, in time and, at every function, in what there is to compile.
    """
    return _compile(function, _FINITE, _nrt=False)


def nested(function: Function) -> Function:
    """Compile a function that only compiled ones call, else as `compiled`; from Python it can not be called.

    What takes many arrays apart for a call from Python may take longer to compile than what is called. And it is
    compiled as far only as its callers need it, in whose machine code and files it stands (`plan/linking.py`).
    """
    without: Any = {"cache": False, "no_cpython_wrapper": True, "pipeline_class": linking.Nested}
    return _compile(function, _FINITE, _nrt=False, **without)


def allocating(function: Function) -> Function:
    """Compile a function that makes arrays to work in, else as `compiled`."""
    return _compile(function, _FINITE)


def compiled_for_any(function: Function) -> Function:
    """Compile a function that may meet NaN and infinity, else as `compiled`."""
    return _compile(function, set())


def entry_of(function: Function) -> Function:
    """Return how to enter a function again with arguments of the same types, which are not looked at any more.

    Looking at sixty arrays takes some ten microseconds a call. A function compiled for several kinds of arguments, or
    for none yet, is returned as it is.
    """
    overloads: Any = getattr(function, "overloads", {})
    return cast("Function", _only_entry(function)) if len(overloads) == 1 else function


@cache
def _only_entry(function: Any) -> Any:  # noqa: ANN401
    """Return the entry of a function that is compiled for one kind of arguments, which takes long to look up."""
    return next(iter(function.overloads.values())).entry_point


def _compile(function: Function, arithmetic: set[str], **how: Any) -> Function:  # noqa: ANN401
    config: Any = numba.config
    usual = config.CACHE_DIR
    config.CACHE_DIR = _cache_folder(Path(function.__code__.co_filename).parent) or usual
    try:
        usually = {"cache": True, "pipeline_class": linking.Entered, "no_cfunc_wrapper": True}
        options: Any = {"nogil": True, "error_model": "numpy", **usually, **how}
        made: Any = numba.njit(fastmath=arithmetic, **options)(function)
    finally:
        config.CACHE_DIR = usual
    return cast("Function", made)
