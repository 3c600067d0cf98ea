"""How the planner's loops are compiled: numba, cached on disk, arithmetic that is reproducible.

Sums may be reassociated and multiplications contracted, which makes loops vectorise; the machine code
is then fixed, so the same input gives the same bits whatever the number of threads. NaN and infinity keep
their meaning. The first call after an installation compiles for about half a minute.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import llvmlite.binding
import numba

Function = TypeVar("Function", bound=Callable[..., Any])

# Loops over eight rows of one matrix vectorise only if LLVM may compare all their addresses first.
llvmlite.binding.set_option("", "--runtime-memory-check-threshold=100000")
llvmlite.binding.set_option("", "--memory-check-merge-threshold=100000")

_ARITHMETIC = {"contract", "reassoc", "nsz", "arcp"}


def compiled(function: Function) -> Function:
    """Compile a function; while it runs, other threads may run too."""
    return numba.njit(cache=True, nogil=True, fastmath=_ARITHMETIC, error_model="numpy")(function)  # type: ignore[no-any-return]
