"""How much of what was possible was captured.

    captured share      = (V2G - unmanaged) / (foresight - unmanaged)
    captured V2G share  = (V2G - V1G) / (foresight - V1G)

in net value. Demand response counts in both of V2G and foresight or in neither. A share of a small
gain says nothing, so it is given only where the gain is at least half a currency unit per session and
there are at least 200 sessions; otherwise the reason stands in its place.

The split by departure statements uses the sessions' own accounts and leaves demand response out: an
event is won by a fleet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from backfeed.app.judge_account import SessionAccounts
from backfeed.report.summary import (
    STATEMENT_KINDS,
    CapturedDetail,
    CapturedDetails,
    StatementKind,
    StatementShare,
    WorldName,
    WorldResult,
)
from backfeed.sim.columns import WorldSessions

Bools = NDArray[np.bool_]

GAIN_PER_SESSION_MIN: Final = 0.5
SESSIONS_MIN: Final = 200


@dataclass(frozen=True)
class JudgedWorld:
    """A world with its verdict: the result for the summary, and the accounts of its sessions."""

    result: WorldResult
    sessions: SessionAccounts


def statement_masks(sessions: WorldSessions) -> dict[StatementKind, Bools]:
    """Return which sessions had a kept statement, a broken or wrong one, or none; shape `(session,)` each."""
    stated = sessions.statement_ms >= 0
    return {"kept": stated & sessions.statement_kept, "broken": stated & ~sessions.statement_kept, "none": ~stated}


def captured(worlds: Mapping[WorldName, JudgedWorld], sessions: WorldSessions) -> CapturedDetails:
    """Compute both captured shares, with the reason where one can not be given."""
    return CapturedDetails(
        captured_share=_captured(worlds, "unmanaged", sessions),
        captured_v2g_share=_captured(worlds, "v1g", sessions),
    )


def _captured(worlds: Mapping[WorldName, JudgedWorld], base: WorldName, sessions: WorldSessions) -> CapturedDetail:
    missing = [name for name in (base, "v2g", "foresight") if name not in worlds]
    if missing:
        return _not_given(f"needs the worlds that did not run: {', '.join(missing)}", len(sessions), None)
    low, reached, best = worlds[base], worlds["v2g"], worlds["foresight"]
    with_dr = {entry.id for entry in reached.result.dr} == {entry.id for entry in best.result.dr}
    gain = _value(best, with_dr=with_dr) - _value(low, with_dr=with_dr)
    reason = _reason(gain, len(sessions), base)
    if reason is not None:
        return _not_given(reason, len(sessions), gain)
    share = (_value(reached, with_dr=with_dr) - _value(low, with_dr=with_dr)) / gain
    free = {
        world: _value(judged, with_dr=with_dr) + judged.result.shortfall_cost
        for world, judged in (("low", low), ("reached", reached), ("best", best))
    }
    masks = statement_masks(sessions)
    return CapturedDetail(
        share=share,
        share_without_shortfalls=_ratio(free["reached"] - free["low"], free["best"] - free["low"]),
        foresight_gain=gain,
        foresight_gain_per_session=gain / len(sessions),
        sessions=len(sessions),
        reason=None,
        by_statement={kind: _split(low, reached, best, masks[kind]) for kind in STATEMENT_KINDS},
    )


def _value(world: JudgedWorld, *, with_dr: bool) -> float:
    return world.result.net_value - (0.0 if with_dr else world.result.dr_revenue)


def _reason(gain: float, sessions: int, base: str) -> str | None:
    if sessions < SESSIONS_MIN:
        return f"needs {SESSIONS_MIN} sessions, found {sessions}"
    if gain < GAIN_PER_SESSION_MIN * sessions:
        return (
            f"foresight gains {gain / sessions:.2f} per session over {base}; below {GAIN_PER_SESSION_MIN} "
            "a share of it says nothing"
        )
    return None


def _not_given(reason: str, sessions: int, gain: float | None) -> CapturedDetail:
    return CapturedDetail(
        share=None,
        share_without_shortfalls=None,
        foresight_gain=gain,
        foresight_gain_per_session=None if gain is None or not sessions else gain / sessions,
        sessions=sessions,
        reason=reason,
        by_statement={},
    )


def _split(low: JudgedWorld, reached: JudgedWorld, best: JudgedWorld, who: Bools) -> StatementShare:
    priced = [float(world.sessions.net_value[who].sum()) for world in (low, reached, best)]
    free = [float(world.sessions.net_value_without_shortfalls[who].sum()) for world in (low, reached, best)]
    return StatementShare(
        sessions=int(who.sum()),
        share=_ratio(priced[1] - priced[0], priced[2] - priced[0]),
        share_without_shortfalls=_ratio(free[1] - free[0], free[2] - free[0]),
    )


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
