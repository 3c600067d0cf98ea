"""What is compiled at the first call says so, once, and leaves no old caches."""

import importlib
import pkgutil

from numba.core.registry import CPUDispatcher

import backfeed.battery
import backfeed.dispatch
import backfeed.forecast
import backfeed.plan
from backfeed.plan.compiled import first_call


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
    old = room / "__pycache__" / "compiled-0123456789abcdef"
    old.mkdir(parents=True)
    with first_call("the room", room):
        assert old.exists()
    left = list((room / "__pycache__").iterdir())
    assert len(left) == 1
    assert (left[0] / "complete").exists()


def test_no_compiled_function_may_reorder_or_contract_arithmetic():
    """What a compiler may reorder, it reorders here and not there: bits then hang on where arrays lie in memory."""
    modules = [
        importlib.import_module(module.name)
        for room in (backfeed.battery, backfeed.dispatch, backfeed.forecast, backfeed.plan)
        for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}.")
    ]
    kernels = {made for module in modules for made in vars(module).values() if isinstance(made, CPUDispatcher)}
    assert len(kernels) > 50
    for kernel in kernels:
        allowed = kernel.targetoptions.get("fastmath", set()) or set()
        assert set(allowed) <= {"nnan", "ninf"}, kernel
