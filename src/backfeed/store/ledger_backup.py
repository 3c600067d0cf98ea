"""Backup and restore: the same transfers in another ledger, link by link.

A copy is made row by row through the books and not by copying files, so it works between a file and
PostgreSQL in both directions, proves every link on the way, and can go on from where it stopped. A mirror
posts everything to two ledgers before it acknowledges: what was acknowledged is then in both.
"""

from collections.abc import Iterable
from itertools import islice

from backfeed.core.problem import InputError, Problem
from backfeed.settle.transfer import Transfer
from backfeed.store.ledger import Ledger

BATCH = 1_000
"""Transfers copied in one transaction."""


def copy_ledger(source: Ledger, target: Ledger) -> int:
    """Copy what `target` does not have yet and return how many transfers that was.

    Raises
    ------
    InputError
        If `target` holds something else than the beginning of `source`, or the source's chain is broken.
    """
    known = target.count()
    if known > source.count() or source.hash_at(known) != target.hash():
        raise InputError([Problem("backup", "the target is not the beginning of the source")])
    missing = islice(source.transfers(), known, None)
    copied = 0
    while batch := list(islice(missing, BATCH)):
        target.post(batch)
        copied += len(batch)
    if source.hash() != target.hash():
        raise InputError([Problem("backup", "the copy has another head: the source's chain is broken")])
    return copied


class Mirror:
    """Posts to two ledgers and acknowledges when both have it."""

    def __init__(self, first: Ledger, second: Ledger) -> None:
        """Bring the second up to the first and begin.

        Raises
        ------
        InputError
            If the second is not the beginning of the first.
        """
        copy_ledger(first, second)
        self._first, self._second = first, second

    def post(self, transfers: Iterable[Transfer]) -> int:
        """Post to both; see `Ledger.post`.

        Should the second fail, the first has posted and nothing is acknowledged: posting the same again, or opening
        the mirror anew, brings both together.
        """
        batch = list(transfers)
        new = self._first.post(batch)
        self._second.post(batch)
        return new
