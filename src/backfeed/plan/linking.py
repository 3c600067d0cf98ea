"""How far numba takes a function: to machine code only where Python enters it.

Numba compiles every function whole. What it calls is linked in, everything is optimised, made into machine code and
written to the cache; then its caller does the same with all of it again, and the caller's caller. Here a nested
function is linked with what it calls and no more. It is optimised, and becomes machine code, within the functions
that Python enters, where it stands in the end anyway.

Compiling also runs on a wide stretch of Python's stack. CPython 3.11 takes frames from chunks of 16 kB. A call that
does not fit into what is left of one has the system map another, which its return unmaps, and where a loop in numba
calls across such an edge it does so at every call: a million pages, a fifth of the time that compiling took.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any, cast

from numba._dynfunc import make_function
from numba.core import codegen, compiler, compiler_machinery, typed_passes

WIDE = 70_000
"""Places on Python's stack that one call takes: 560 kB of a chunk of 1,024, whose rest is for what it calls."""


def _call(function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
    """Call a function."""
    return function(*arguments)


on_a_wide_stretch = FunctionType(_call.__code__.replace(co_stacksize=WIDE), globals())
"""Calls a function from a frame that has a chunk to itself, with room for all the frames of what is called."""


class Entered(compiler.Compiler):
    """Compiles what Python enters, on a wide stretch of the stack."""

    def compile_extra(self, function: Callable[..., Any]) -> Any:  # noqa: ANN401 numba's own
        """Compile a function and what it calls."""
        return on_a_wide_stretch(cast("Any", super()).compile_extra, function)


class _Linked(codegen.JITCodeLibrary):
    """A function's code and that of all it calls, for the callers to optimise and to make machine code of."""

    def _optimize_final_module(self) -> None:
        """Leave that to the callers."""

    def _finalize_final_module(self) -> None:
        """Keep the code out of the engine that makes machine code."""
        self._finalized = True


class _Callable(compiler_machinery.LoweringPass):
    """Makes a function known to its callers that has no machine code."""

    _name = "callable_when_linked"

    def __init__(self) -> None:
        """Take part in numba's list of passes."""
        cast("Any", compiler_machinery.LoweringPass).__init__(self)

    def run_pass(self, state: Any) -> bool:  # noqa: ANN401 numba's own
        """Link the function, and have calls of what stands for it in Python compiled as calls of its code."""
        made, library = state["cr"], state.library
        library.finalize()
        name = made.fndesc.qualname
        entry = make_function(made.fndesc.lookup_module(), name, name, 0, made.env, (library,))
        state.targetctx.insert_user_function(entry, made.fndesc, [library])
        state["cr"] = made._replace(cfunc=entry)
        return True


cast("Any", compiler_machinery).register_pass(mutates_CFG=False, analysis_only=False)(_Callable)


class Nested(compiler.Compiler):
    """Compiles what only compiled functions call, as far as they need it."""

    def __init__(
        self,
        typing: Any,  # noqa: ANN401
        target: Any,  # noqa: ANN401
        _library: Any,  # noqa: ANN401
        arguments: Any,  # noqa: ANN401
        returned: Any,  # noqa: ANN401
        flags: Any,  # noqa: ANN401
        known: Any,  # noqa: ANN401
    ) -> None:
        """Begin with a library that ends at linking; `no_compile` is numba's word for machine code made elsewhere."""
        flags.no_compile = True
        library = cast("Any", _Linked)(target.codegen(), "nested")
        cast("Any", super()).__init__(typing, target, library, arguments, returned, flags, known)

    def define_pipelines(self) -> list[Any]:
        """Return numba's passes, and the one above after its lowering."""
        (passes,) = cast("Any", super()).define_pipelines()
        passes.add_pass_after(_Callable, typed_passes.NativeLowering)
        passes.finalize()
        return [passes]
