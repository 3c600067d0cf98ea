"""Commitments: what the fleet has promised to a demand-response programme, quarter-hour by quarter-hour."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backfeed.core.axis import TimeAxis
from backfeed.market.demand_response import Direction, Invitation
from backfeed.plan.rolling import FleetCommitment


@dataclass(frozen=True)
class Commitment:
    """An accepted invitation.

    Parameters
    ----------
    invitation
        What was asked.
    award_kw
        What was promised, a magnitude against the baseline.
    axis
        The quarter-hours of delivery.
    baseline_kw
        The net power of those who take part had they not been invited, charging positive, shape `(step,)`.
    takes_part
        Whether an owner takes part; all by default.
    """

    invitation: Invitation
    award_kw: float
    axis: TimeAxis
    baseline_kw: NDArray[np.float64]
    takes_part: Callable[[str], bool] = lambda _owner: True

    def part_of(self, owners: Sequence[str]) -> NDArray[np.bool_]:
        """Return which of some owners take part, shape `(owner,)`."""
        return np.array([self.takes_part(owner) for owner in owners], dtype=np.bool_)

    @property
    def is_upper(self) -> bool:
        """Whether the promise bounds the fleet's net power from above (a shaved peak)."""
        return self.invitation.kind is Direction.PEAK_SHAVE

    @property
    def target_kw(self) -> NDArray[np.float64]:
        """The bound on the net power of those who take part, charging positive, shape `(step,)`."""
        return self.baseline_kw - self.award_kw if self.is_upper else self.baseline_kw + self.award_kw

    def target_at(self, now_ms: int) -> float | None:
        """Return the bound that holds now, None outside the delivery."""
        if not self.axis.start_ms <= now_ms < self.axis.end_ms:
            return None
        return float(self.target_kw[self.axis.index_of(now_ms)])

    def over(self, axis: TimeAxis) -> FleetCommitment | None:
        """Return the part of the promise that lies on a plan's axis, None if there is none.

        A plan's step is bound by the quarter-hour in which it starts.
        """
        starts = axis.starts_ms
        inside = np.flatnonzero((starts >= self.axis.start_ms) & (starts < self.axis.end_ms))
        if not len(inside):
            return None
        quarter = (starts[inside] - self.axis.start_ms) // self.axis.step_ms
        return FleetCommitment(inside, self.target_kw[quarter], self.is_upper, float(self.invitation.price_per_kwh))
