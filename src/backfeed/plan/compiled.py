"""How the loops of planner and dispatch are compiled: numba, cached on disk, arithmetic that is reproducible.

Sums may be reassociated and multiplications contracted, which makes loops vectorise; the machine code
is then fixed, so the same input gives the same bits whatever the number of threads. The planner's compiled code
is given finite numbers only, and its callers look for what is not. The first call after an installation compiles
for about half a minute.

Numba's own cache looks at a function's file only, not at the files of what it calls. Compiled functions of a room
call each other across files, so the cache stands in a folder named after the contents of all of them.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite.binding
import numba

Function = TypeVar("Function", bound=Callable[..., Any])

# Loops over eight rows of one matrix vectorise only if LLVM may compare all their addresses first.
llvmlite.binding.set_option("", "--runtime-memory-check-threshold=100000")
llvmlite.binding.set_option("", "--memory-check-merge-threshold=100000")

_REORDERED = {"contract", "reassoc", "nsz", "arcp"}
_FINITE = {"nnan", "ninf"}


@cache
def _cache_folder(here: Path) -> str:
    """Return the folder for this version of a room's sources, "" (numba's own choice) where it can not be made."""
    digest = hashlib.sha256(numba.__version__.encode())
    for file in sorted(here.glob("*.py")):
        digest.update(file.read_bytes())
    folder = here / "__pycache__" / f"compiled-{digest.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return ""
    return str(folder)


def compiled(function: Function) -> Function:
    """Compile a function that is given finite numbers only; while it runs, other threads may run too."""
    return _compile(function, _REORDERED | _FINITE)


def compiled_for_any(function: Function) -> Function:
    """Compile a function that may meet NaN and infinity, else as `compiled`."""
    return _compile(function, _REORDERED)


def _compile(function: Function, arithmetic: set[str]) -> Function:
    config: Any = numba.config
    usual = config.CACHE_DIR
    config.CACHE_DIR = _cache_folder(Path(function.__code__.co_filename).parent) or usual
    try:
        made: Any = numba.njit(cache=True, nogil=True, fastmath=arithmetic, error_model="numpy")(function)
    finally:
        config.CACHE_DIR = usual
    return cast("Function", made)
