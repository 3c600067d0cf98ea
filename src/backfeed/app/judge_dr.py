"""Invitations, judged: what a world delivered against the baseline that the V2G world froze.

The baseline is taken once, from the V2G world's metered past, and holds for every world that delivers;
otherwise a world could earn by having taken more before.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from backfeed.app.foresight_program import ForesightEvent
from backfeed.app.judge import DemandResponseOutcome
from backfeed.core.axis import TimeAxis
from backfeed.core.money import MICRO, WH_PER_KWH
from backfeed.market.demand_response import Award, delivered_wh, payment_micro
from backfeed.sim.truth import Truth

_DECIMALS: Final = 6


@dataclass(frozen=True)
class FrozenEvent:
    """An accepted invitation with the baseline that the V2G world froze for it.

    Parameters
    ----------
    award
        The promise.
    axis
        The quarter-hours of the event.
    baseline_wh
        Net energy the fleet would have taken [Wh], charging positive, shape `(step,)`.
    """

    award: Award
    axis: TimeAxis
    baseline_wh: NDArray[np.int64]


def net_wh(truth: Truth, axis: TimeAxis) -> NDArray[np.int64]:
    """Return the fleet's net energy in every step of an axis [Wh], charging positive, shape `(step,)`.

    The steps are quarter-hours of UTC or whole numbers of them, so that every segment lies in one step.
    """
    segments = truth.segments
    step = (segments.from_ms - axis.start_ms) // axis.step_ms
    inside = (step >= 0) & (step < axis.count)
    kwh = np.bincount(step[inside], weights=segments.energy_kwh[inside], minlength=axis.count)
    return np.rint(np.round(kwh * WH_PER_KWH, _DECIMALS)).astype(np.int64)


def judge_event(truth: Truth, event: FrozenEvent) -> DemandResponseOutcome:
    """Measure what a world delivered on an event and what the programme pays for it, penalties taken off."""
    award = event.award
    kind, promised = award.invitation.kind, award.promised_wh
    delivered = int(delivered_wh(event.baseline_wh, net_wh(truth, event.axis), kind).sum())
    return DemandResponseOutcome(
        invitation=award.invitation.id,
        promised_kwh=promised / WH_PER_KWH,
        delivered_kwh=delivered / WH_PER_KWH,
        paid=payment_micro(award.programme, promised, delivered, award.price_per_kwh) / MICRO,
    )


def foresight_event(event: FrozenEvent) -> ForesightEvent:
    """Return an event as the foresight program takes it: the payment curve from its last jump on."""
    award = event.award
    curve = [(float(ratio), float(multiple)) for ratio, multiple in award.programme.payment_curve]
    jumps = [index + 1 for index, (before, after) in enumerate(pairwise(curve)) if before[0] == after[0]]
    return ForesightEvent(
        invitation=award.invitation.id,
        direction=award.invitation.kind.value,
        start_ms=event.axis.start_ms,
        end_ms=event.axis.end_ms,
        baseline_kwh=float(event.baseline_wh.sum()) / WH_PER_KWH,
        promised_kwh=award.promised_wh / WH_PER_KWH,
        price_per_kwh=float(award.price_per_kwh),
        curve=tuple(curve[jumps[-1] if jumps else 0 :]),
    )
