"""Streaming rainflow: how deep the swings of a battery were, counted as they close.

The three-point method of ASTM E1049-85, 5.4.4. Reversals wait on a stack until a later swing encloses
them; an enclosed swing is a full cycle, one that holds the first reversal a half. What waits is a few
numbers, so the count survives a restart and never needs the history again.
"""

from dataclasses import dataclass, replace

BINS = 20
"""Depth bins of 5 % each."""
_LEAST_SWING = 0.005
"""Swings below half a per cent are noise of the gauge."""


@dataclass(frozen=True, slots=True)
class Rainflow:
    """Swings counted so far.

    Parameters
    ----------
    waiting
        Reversals not yet enclosed, oldest first; the last one is where the path is now.
    cycles
        Closed cycles by depth bin, shape `(BINS,)`; a half cycle counts 0.5.
    closed_depth
        The same cycles, each counted as its depth: equivalent full cycles of what is closed.
    """

    waiting: tuple[float, ...] = ()
    cycles: tuple[float, ...] = (0.0,) * BINS
    closed_depth: float = 0.0

    @property
    def full_cycles(self) -> float:
        """Equivalent full cycles if the path ended now: every swing as its depth, without the gauge's noise."""
        waiting = sum(abs(after - before) for before, after in zip(self.waiting, self.waiting[1:], strict=False))
        return self.closed_depth + waiting / 2

    def counted(self) -> tuple[float, ...]:
        """Return the cycles by depth with what still waits as half cycles: the count if the path ended now."""
        cycles = list(self.cycles)
        for before, after in zip(self.waiting, self.waiting[1:], strict=False):
            cycles[_bin(abs(after - before))] += 0.5
        return tuple(cycles)


def follow(count: Rainflow, soc: list[float]) -> Rainflow:
    """Go on counting along more states of charge (0-1).

    >>> sum(follow(Rainflow(), [0.8, 0.5, 0.7, 0.3, 0.8]).cycles)
    1.5
    """
    waiting, cycles, depth = list(count.waiting), list(count.cycles), count.closed_depth
    for level in soc:
        _extend(waiting, level)
        depth += _close(waiting, cycles)
    return replace(count, waiting=tuple(waiting), cycles=tuple(cycles), closed_depth=depth)


def _extend(waiting: list[float], level: float) -> None:
    """Put the path's next level on the stack, moving the end if it goes on in the same direction."""
    if len(waiting) > 1 and (waiting[-1] - waiting[-2]) * (level - waiting[-1]) >= 0:
        waiting[-1] = level
    elif not waiting or abs(level - waiting[-1]) >= _LEAST_SWING:
        waiting.append(level)


def _close(waiting: list[float], cycles: list[float]) -> float:
    """Take every enclosed swing off the stack and return their full cycles. The last range may still grow."""
    depth = 0.0
    while len(waiting) > 2:  # noqa: PLR2004 - a range needs three points to enclose another
        inner, outer = abs(waiting[-2] - waiting[-3]), abs(waiting[-1] - waiting[-2])
        if outer < inner:
            break
        if len(waiting) == 3:  # noqa: PLR2004 - the swing holds the first reversal
            cycles[_bin(inner)] += 0.5
            depth += inner / 2
            del waiting[0]
        else:
            cycles[_bin(inner)] += 1.0
            depth += inner
            del waiting[-3:-1]
    return depth


def _bin(depth: float) -> int:
    return min(int(depth * BINS), BINS - 1)
