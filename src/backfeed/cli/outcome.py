"""How commands end: exit codes, one JSON document on stdout, words on stderr.

A command writes its result with `write_result` and says everything else with `say`. Blame decides the
exit code, and only a broken invariant of our own shows a traceback:

====  ==========================================================  =========================
code  meaning                                                     raised as
====  ==========================================================  =========================
0     done                                                        nothing
1     internal error                                              any other exception
2     input or usage                                              `core.problem.InputError`
3     done and written, but the asked quality was not reached     `QualityMissedError`
4     environment: port, disk, database                           `EnvironmentProblemError`
130   interrupted                                                 `KeyboardInterrupt`
143   terminated; a service that stops in good order ends with 0  `SystemExit`
====  ==========================================================  =========================
"""

import sys
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells the shell."""

    DONE = 0
    INTERNAL = 1
    INPUT = 2
    QUALITY = 3
    ENVIRONMENT = 4
    SIGNALLED = 128
    INTERRUPTED = 130


class QualityMissedError(Exception):
    """The result is written, but it does not reach the quality that was asked for."""


def say(text: str) -> None:
    """Tell the person at the terminal; stdout stays free for the result."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 -- the command line is where words are printed


def write_result(document: object, words: str, *, as_json: bool) -> None:
    """Write a command's result to stdout, once.

    Parameters
    ----------
    document
        What a program reads: anything msgspec can encode; NaN becomes null.
    words
        What a person reads.
    as_json
        Which of the two was asked for.
    """
    if not as_json:
        print(words, flush=True)  # noqa: T201
        return
    from msgspec import json  # noqa: PLC0415 -- start-up stays under 0.3 s

    sys.stdout.buffer.write(json.encode(document) + b"\n")
    sys.stdout.flush()
