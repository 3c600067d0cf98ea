"""Problems: bad input as values, collected to the last row before anybody is told.

Blame decides the form. Our own broken invariant is an assertion; the failing world is an exception
at the edge that can retry; bad input is a `Problem`, and a reader returns all of them at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an input.

    Parameters
    ----------
    where
        The place a person can open: file, and row and column or key.
    what
        What was expected and what was found, in one sentence.
    ids
        The offending ids, if there are many of one kind.
    """

    where: str
    what: str
    ids: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        """Return `where: what`, with the first few ids."""
        shown = ", ".join(self.ids[:5]) + (" ..." if len(self.ids) > 5 else "")  # noqa: PLR2004
        return f"{self.where}: {self.what}" + (f" ({shown})" if shown else "")


class InputError(Exception):
    """Input that cannot be used; carries every problem found. The command line exits with 2."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep the problems and show them one a line."""
        assert problems, "an InputError needs at least one problem"
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class EnvironmentProblemError(Exception):
    """The machine cannot do it: port in use, disk full, not writable. The command line exits with 4."""
