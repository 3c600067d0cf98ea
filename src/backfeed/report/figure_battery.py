"""Pictures of a battery: its state of charge over the run, and what is lost in each way of using it."""

from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.core.axis import TimeAxis
from backfeed.report.chart import Floats, Panel, Scale, figure, legend, line, path, percent, rect, text, y_axis
from backfeed.report.figure_time import day_lines
from backfeed.report.words import svg, words

WIDTH: Final = 1080
_LEFT: Final = 60
_RIGHT: Final = WIDTH - 16
_TOLERANCE_PX: Final = 0.6
"""Corners nearer than this to a straight line are left out: nobody sees them, and a page stays light."""

Stay = tuple[NDArray[np.int64], Floats]
"""Instants and states of charge of one stay at a charger."""


def soc_figure(
    car: str, stays: tuple[Stay, ...], beside: tuple[Stay, ...], reserve_soc: float, axis: TimeAxis, zone: ZoneInfo
) -> str:
    """Draw a car's state of charge over the run above that of the same car charged at once; gaps where it is away."""
    x = Scale(axis.start_ms, axis.end_ms, _LEFT, _RIGHT)
    panel = Panel(x, Scale(0, 100, 262, 52))
    at = panel.y.at(100 * reserve_soc)
    label = svg(words("reserve", value=percent(reserve_soc, 0)))
    entries = [("line-v2g thick", svg(words("bat_history_label")), 130)]
    parts = [day_lines(panel, axis, zone, named=True), y_axis(panel, [0, 25, 50, 75, 100], svg(words("soc_axis")))]
    if beside:
        parts.append(path(_lines(panel, beside), "line-unmanaged thin"))
        entries.append(("line-unmanaged", svg(words("unmanaged")), 120))
    parts += [
        path(_lines(panel, stays), "line-v2g thick"),
        line(panel.left, at, panel.right, at, "limit"),
        text(panel.right - 4, at + 15, label, "limit-label", "end"),
        legend(_LEFT + 160, 24, entries),
    ]
    return figure(WIDTH, 296, "".join(parts), f"State of charge of {car}")


def loss_figure(rows: list[tuple[str, float, float]], label: str) -> str:
    """Draw what standing and cycling take in each way of using a car; rows are (ready markup, standing, cycling)."""
    most = max(standing + cycling for _, standing, cycling in rows)
    x = Scale(0, max(100 * most, 0.1), 330, WIDTH - 90)
    parts = [
        legend(
            330,
            20,
            [("fill-unmanaged", svg(words("bat_standing")), 110), ("fill-wear", svg(words("bat_cycling")), 110)],
        )
    ]
    for number, (name, standing, cycling) in enumerate(rows):
        top = 36 + 34 * number
        middle, end = x.at(100 * standing), x.at(100 * (standing + cycling))
        parts += [
            text(320, top + 16, name, "label", "end"),
            rect(x.start, top, middle - x.start, 22, "fill-unmanaged"),
            rect(middle, top, end - middle, 22, "fill-wear"),
            text(end + 8, top + 16, percent(standing + cycling, 2), "value"),
        ]
    return figure(WIDTH, 44 + 34 * len(rows), "".join(parts), label)


def _lines(panel: Panel, stays: tuple[Stay, ...]) -> str:
    return "".join(_line(panel.x.all(at_ms.astype(np.float64)), panel.y.all(100 * soc)) for at_ms, soc in stays)


def _line(x: Floats, y: Floats) -> str:
    keep = corners(x, y, _TOLERANCE_PX)
    points = [f"{a:.1f} {b:.1f}" for a, b in zip(x[keep].tolist(), y[keep].tolist(), strict=True)]
    return "M" + "L".join(points)


def corners(x: Floats, y: Floats, tolerance: float) -> NDArray[np.intp]:
    """Return the points of a polyline that it can not do without (Ramer, Douglas and Peucker), ends included.

    >>> corners(np.arange(5.0), np.array([0.0, 1, 2, 1, 0]), 0.1).tolist()
    [0, 2, 4]
    """
    kept = {0, x.size - 1}
    open_pieces = [(0, x.size - 1)]
    while open_pieces:
        first, last = open_pieces.pop()
        if last - first < 2:  # noqa: PLR2004 - nothing between neighbours
            continue
        run, rise = x[last] - x[first], y[last] - y[first]
        length = max(float(np.hypot(run, rise)), 1e-9)
        between = slice(first + 1, last)
        off = np.abs(run * (y[between] - y[first]) - rise * (x[between] - x[first])) / length
        farthest = first + 1 + int(np.argmax(off))
        if off[farthest - first - 1] > tolerance:
            kept.add(farthest)
            open_pieces += [(first, farthest), (farthest, last)]
    return np.array(sorted(kept), dtype=np.intp)
