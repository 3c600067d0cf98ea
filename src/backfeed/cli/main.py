"""The command `backfeed`: finds the sub-command, and turns how it ends into an exit code.

Only the module of the sub-command that was asked for is imported; the others are a name and a line of
help. That keeps `backfeed --help` quick and lets a command import whatever it needs at its top.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from backfeed import __version__
from backfeed.cli.outcome import ExitCode, QualityMissedError, say, write_result
from backfeed.core.problem import EnvironmentProblemError, InputError, Problem

COMMANDS = {
    "run": "Run a pilot on real sessions, in simulated worlds.",
    "serve": "Run a pilot live: chargers connect over OCPP.",
    "stations": "Register the chargers that may connect.",
    "tokens": "Issue tokens to programs that may do more than look.",
    "sessions": "Check session files.",
    "forecast": "Score forecasts of a session file's departures.",
    "pilot": "Make a pilot file for a session file.",
    "plan": "Solve a planner instance; check a schedule.",
    "tariff": "Show tariffs and what they charge.",
    "battery": "Car models, and what a day does to a battery.",
    "ledger": "Verify and read a ledger.",
    "report": "Report runs to the regulator.",
}
"""Sub-commands and their line of help, in the order of `--help`.

`backfeed.cli.NAME` has either a function `command` or a `typer.Typer` named `app`.
"""


def _show_version(asked: bool) -> None:  # noqa: FBT001 -- typer hands the flag over
    if asked:
        write_result(None, f"backfeed {__version__}", as_json=False)
        raise typer.Exit


def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Backfeed: parked electric vehicles as a power plant, from the charger's socket to the owner's payout."""


def _named_only() -> None:
    """Stand in for a command that is shown by name and not asked for."""


def build(asked: str | None) -> typer.Typer:
    """Return the command line with the one sub-command that is asked for imported."""
    root = typer.Typer(
        name="backfeed",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    root.callback()(_root)
    for name, told in COMMANDS.items():
        function: Callable[..., Any] = _named_only
        if name == asked:
            module = import_module(f"backfeed.cli.{name}")
            if not hasattr(module, "command"):
                root.add_typer(module.app, name=name, help=told, no_args_is_help=True)
                continue
            function = module.command
        root.command(name, help=None if name == asked else told)(function)
    return root


def _blame(error: Exception) -> tuple[ExitCode, str, Sequence[Problem]]:
    """Return the exit code, its kind in words and what to tell for an exception that a command ended with."""
    match error:
        case InputError():
            return ExitCode.INPUT, "input", error.problems
        case typer.TyperException():
            message = getattr(error, "format_message", lambda: str(error))()
            return ExitCode.INPUT, "usage", [Problem("", message)]
        case FileNotFoundError() | IsADirectoryError() | NotADirectoryError():
            return ExitCode.INPUT, "input", [Problem(str(error.filename), error.strerror or str(error))]
        case EnvironmentProblemError() | OSError():
            return ExitCode.ENVIRONMENT, "environment", [Problem("", str(error))]
        case _:
            return ExitCode.INTERNAL, "internal", [Problem("", f"{type(error).__name__}: {error}")]


def _tell(kind: str, problems: Sequence[Problem], *, as_json: bool) -> None:
    """Tell what went wrong: one JSON document for a program, a line a problem for a person."""
    if as_json:
        listed = [{"where": problem.where, "what": problem.what, "ids": problem.ids} for problem in problems]
        write_result({"error": {"kind": kind, "problems": listed}}, "", as_json=True)
    for problem in problems:
        say(f"backfeed: {problem}" if problem.where else f"backfeed: {problem.what}")


def end(command: Callable[[], object], *, as_json: bool) -> int:
    """Run a command to its end and return its exit code; nothing is raised."""
    try:
        value = command()
    except QualityMissedError as error:
        say(f"backfeed: {error}")
        return ExitCode.QUALITY
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except BrokenPipeError:
        # Whoever read our output has gone; keep Python from complaining about that at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.ENVIRONMENT
    except Exception as error:  # noqa: BLE001 -- the last place that can give the shell its code
        code, kind, problems = _blame(error)
        if code is ExitCode.INTERNAL:
            traceback.print_exc()
        _tell(kind, problems, as_json=as_json)
        return code
    if value == ExitCode.INTERRUPTED:  # what typer makes of a KeyboardInterrupt
        return _interrupted()
    return value if isinstance(value, int) else ExitCode.DONE


def _interrupted() -> int:
    say("backfeed: interrupted")
    return ExitCode.INTERRUPTED


def run(words: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    asked = next((word for word in words if not word.startswith("-")), None)

    def command() -> object:
        return build(asked)(list(words) or ["--help"], standalone_mode=False, prog_name="backfeed")

    return end(command, as_json="--json" in words)


def _terminated(number: int, _frame: object) -> None:
    sys.exit(ExitCode.SIGNALLED + number)


def main() -> None:
    """Run the command line of this process; terminated, it ends its own children before it goes."""
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(run(sys.argv[1:]))
