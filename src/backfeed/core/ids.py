"""Ids: handed in like time and dice, so that a run can be repeated to the byte."""

from typing import Protocol


class IdSource(Protocol):
    """Gives ids that are unique within a run."""

    def next_id(self) -> str:
        """Return an id that this source has not given before."""
        ...


class CountingIds:
    """Counts upwards behind a prefix.

    >>> ids = CountingIds("plan")
    >>> ids.next_id(), ids.next_id()
    ('plan-1', 'plan-2')
    """

    def __init__(self, prefix: str, start: int = 1) -> None:
        """Count from `start`; a restarted service passes a prefix that it has not used before."""
        self._prefix = prefix
        self._next = start

    def next_id(self) -> str:
        """Return the next id."""
        number, self._next = self._next, self._next + 1
        return f"{self._prefix}-{number}"
