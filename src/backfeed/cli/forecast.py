"""`backfeed forecast`: how well the departures of a session file can be forecast."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from backfeed.cli.outcome import write_result
from backfeed.core.problem import InputError, Problem
from backfeed.feeds.sessions import LAYOUT_NAMES, read_sessions
from backfeed.fleet.session import SessionTable
from backfeed.forecast.backtest import LEVELS, Score, backtest, fold_scores, score
from backfeed.forecast.history import Stay

FOLDS_MAX = 100
"""A fold more tells nobody anything."""


def command(
    file: Annotated[Path, typer.Argument(help="A session file, in Backfeed's schema or a known layout.")],
    timezone: Annotated[str, typer.Option(help="IANA zone by whose clock the drivers live.")] = "UTC",
    layout: Annotated[
        str | None, typer.Option("--format", help=f"One of {', '.join(LAYOUT_NAMES)}; found out by default.")
    ] = None,
    learn_share: Annotated[float, typer.Option(help="Share of the sessions that is only learnt from.")] = 0.4,
    folds: Annotated[int, typer.Option(help="Folds in the order of time.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,  # noqa: FBT002
) -> None:
    """Forecast the departures of FILE as a platform would have, every hour of every stay, and score them."""
    problems = []
    if not 0 <= learn_share < 1:
        problems.append(Problem("--learn-share", f"expected a fraction from 0 to below 1, found {learn_share}"))
    if not 1 <= folds <= FOLDS_MAX:
        problems.append(Problem("--folds", f"expected 1 to {FOLDS_MAX}, found {folds}"))
    if problems:
        raise InputError(problems)
    stays = stays_of(read_sessions(file, timezone, layout).table)
    first = int(learn_share * len(stays))
    if first >= len(stays):
        raise InputError([Problem(str(file), "expected sessions to forecast, found none")])
    cases = backtest(stays[:first], stays[first:], timezone)
    arrivals = cases.where(cases.is_arrival)
    told = {
        when: _scores_of([score(some), *fold_scores(some, folds)])
        for when, some in (("hourly", cases), ("arrivals", arrivals))
    }
    write_result({"file": str(file), "levels": LEVELS.tolist(), **told}, _score_lines(told), as_json=as_json)


def stays_of(table: SessionTable) -> list[Stay]:
    """Return the stays of a session file in the order of their arrivals."""
    stated = table.departure_stated_ms
    stays = [
        Stay(
            table.user_id[i],
            table.location[i],
            int(table.arrival_ms[i]),
            int(table.departure_ms[i]),
            float(table.energy_kwh[i]),
            None if math.isnan(stated[i]) else int(stated[i]),
        )
        for i in range(len(table))
    ]
    return sorted(stays, key=lambda stay: stay.arrival_ms)


def _scores_of(scores: list[Score]) -> list[dict[str, Any]]:
    """Return scores ready for JSON: all cases first, then the folds."""
    names = ["all", *(f"fold {number}" for number in range(1, len(scores)))]
    return [
        {
            "cases": name,
            "count": each.cases,
            "coverage": [round(float(share), 4) for share in each.coverage],
            "off_points": round(100 * each.off, 2),
            "width_h": round(each.width_h, 3),
            "pinball_h": round(each.pinball_h, 4),
            "naive_pinball_h": round(each.naive_h, 4),
            "stated_pinball_h": None if math.isnan(each.stated_h) else round(each.stated_h, 4),
            "soon_log_loss": round(each.soon_log_loss, 4),
            "soon_ranking": None if math.isnan(each.soon_ranking) else round(each.soon_ranking, 4),
        }
        for name, each in zip(names, scores, strict=True)
    ]


def _score_lines(told: dict[str, list[dict[str, Any]]]) -> str:
    lines = []
    for when, scores in told.items():
        lines.append(
            f"{when}: levels off by points, middle 80 % wide h, pinball h (last stay), soon: log loss, ranking"
        )
        lines += [
            f"  {each['cases']:8} {each['count']:7} {each['off_points']:6.1f} {each['width_h']:7.2f} "
            f"{each['pinball_h']:7.3f} ({each['naive_pinball_h']:.3f}) {each['soon_log_loss']:7.4f} "
            f"{each['soon_ranking'] or float('nan'):7.4f}"
            for each in scores
        ]
    return "\n".join(lines)
