"""The command line: quick to answer, and it ends by blame."""

import errno
import json
import resource
import subprocess
import sys

import pytest

from backfeed import __version__
from backfeed.cli.main import COMMANDS, end, run
from backfeed.cli.outcome import ExitCode, QualityMissedError, write_result
from backfeed.core.problem import EnvironmentProblemError, InputError, Problem

HEAVY = ("numpy", "polars", "scipy", "numba", "fastapi", "duckdb", "msgspec", "asyncio", "rich", "websockets")


def ending(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError([Problem("file", "wrong")]), 2),
        (FileNotFoundError(errno.ENOENT, "No such file", "x.csv"), 2),
        (QualityMissedError("gap"), 3),
        (EnvironmentProblemError("port 9000 is in use"), 4),
        (OSError(errno.ENOSPC, "No space left on device"), 4),
        (KeyboardInterrupt(), 130),
    ],
)
def test_blame_decides_the_exit_code_and_shows_no_traceback(capsys, error, code):
    assert end(ending(error), as_json=False) == code
    out, told = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in told
    assert told.startswith("backfeed: ")


def test_our_own_mistake_shows_where_it_was(capsys):
    assert end(ending(AssertionError("broken")), as_json=False) == ExitCode.INTERNAL
    assert "Traceback" in capsys.readouterr().err


def test_every_problem_is_told_and_as_json_in_one_document(capsys):
    problems = [Problem("a.csv, row 2", "no energy", ("s1",)), Problem("b.toml", "unknown key")]
    assert end(ending(InputError(problems)), as_json=True) == 2
    out, told = capsys.readouterr()
    assert json.loads(out) == {
        "error": {
            "kind": "input",
            "problems": [
                {"where": "a.csv, row 2", "what": "no energy", "ids": ["s1"]},
                {"where": "b.toml", "what": "unknown key", "ids": []},
            ],
        }
    }
    assert len(told.splitlines()) == 2


def test_a_command_that_returns_ends_well():
    assert end(lambda: None, as_json=False) == ExitCode.DONE


@pytest.mark.parametrize("words", [["nonsense"], ["--nonsense"], ["sessions", "nonsense"], ["sessions", "check"]])
def test_a_command_line_that_nobody_understands_is_a_usage_error(capsys, words):
    assert run(words) == ExitCode.INPUT
    out, told = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in told
    assert run([*words, "--json"]) == ExitCode.INPUT
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "usage"


def test_the_version_is_the_packages(capsys):
    assert run(["--version"]) == ExitCode.DONE
    assert capsys.readouterr().out == f"backfeed {__version__}\n"


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_help_names_every_command(capsys, words):
    assert run(words) == ExitCode.DONE
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(capsys, name):
    assert run([name, "--help"]) == ExitCode.DONE
    assert capsys.readouterr().out.startswith(f"Usage: backfeed {name}")


def test_help_answers_before_anything_heavy_is_imported():
    script = f"""
import sys
from backfeed.cli.main import run
run(["--help"])
sys.exit(any(module in sys.modules for module in {HEAVY}))
"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr.decode()
    # Processor time, since the machine that tests may be busy with others.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3


def test_a_result_is_words_or_one_json_document(capsys):
    write_result({"a": float("nan")}, "words", as_json=False)
    assert capsys.readouterr().out == "words\n"


def test_a_json_result_has_no_nan(capfdbinary):
    write_result({"a": float("nan"), "b": [1.5, "谷"]}, "words", as_json=True)
    assert json.loads(capfdbinary.readouterr().out) == {"a": None, "b": [1.5, "谷"]}
