"""Drawing with numbers: scales, ticks and the few marks that the report's pictures are made of.

Everything is inline SVG. Colours are classes that the page's style sheet defines, so that a picture
follows the reader's choice of dark or light. A y axis points upwards.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps `low .. high` onto pixels `start .. end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        return self.start + (value - self.low) * (self.end - self.start) / (self.high - self.low)

    def all(self, values: Floats) -> Floats:
        """Return the pixels of many values."""
        pixels: Floats = self.start + (values - self.low) * (self.end - self.start) / (self.high - self.low)
        return pixels


@dataclass(frozen=True, slots=True)
class Panel:
    """A rectangle with an x and a y scale."""

    x: Scale
    y: Scale

    @property
    def left(self) -> float:
        """The pixel of the left edge."""
        return self.x.start

    @property
    def right(self) -> float:
        """The pixel of the right edge."""
        return self.x.end

    @property
    def top(self) -> float:
        """The pixel of the upper edge."""
        return self.y.end

    @property
    def bottom(self) -> float:
        """The pixel of the lower edge."""
        return self.y.start


def ticks(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round values in `low .. high`.

    >>> ticks(-30, 105, 5)
    [0.0, 50.0, 100.0]
    """
    rough = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in _STEPS if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 10) + 0.0 for index in range(first, last + 1)]


def span(*series: Floats, room: float = 0.06, zero: bool = True) -> tuple[float, float]:
    """Return a range that holds all finite values with some room, and zero if asked; never empty."""
    finite = np.concatenate([each[np.isfinite(each)] for each in series] + ([np.zeros(1)] if zero else []))
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if high - low < 1e-9:  # noqa: PLR2004 - a flat series
        high = low + 1.0
    spare = room * (high - low)
    return (low - spare if low < 0 or not zero else low), (high + spare if high > 0 or not zero else high)


def number(value: float, digits: int = 0) -> str:
    """Format with narrow no-break spaces between thousands and a true minus sign.

    >>> number(1234.56, 1) == "1" + chr(0x202F) + "234.6"
    True
    """
    text = f"{abs(value):,.{digits}f}".replace(",", "\u202f")
    return ("\u2212" if value < 0 and float(f"{value:.{digits}f}") != 0 else "") + text


def percent(value: float | None, digits: int = 1) -> str:
    """Format a fraction as per cent; a dash where there is none."""
    return "\u2013" if value is None else f"{number(100 * value, digits)}\u202f%"


def step_path(x: Floats, y: Floats) -> str:
    """Return the path of a step function: `y[k]` holds from `x[k]` to `x[k + 1]`; gaps where `y` is NaN.

    Parameters
    ----------
    x
        Pixels of the edges, shape `(step + 1,)`.
    y
        Pixels of the values, shape `(step,)`.
    """
    parts: list[str] = []
    pen: float | None = None
    for k, value in enumerate(y.tolist()):
        if not math.isfinite(value):
            pen = None
            continue
        level = round(value, 1)
        if pen is None:
            parts.append(f"M{x[k]:.1f} {level:g}")
        elif level != pen:
            parts.append(f"H{x[k]:.1f}V{level:g}")
        if k + 1 == len(y) or not math.isfinite(y[k + 1]):
            parts.append(f"H{x[k + 1]:.1f}")
        pen = level
    return "".join(parts)


def area_path(x: Floats, y: Floats, zero: float) -> str:
    """Return the closed path between a step function and a horizontal line at pixel `zero`; NaN lies on the line."""
    parts, pen = [f"M{x[0]:.1f} {zero:.1f}"], zero
    for k, value in enumerate(np.where(np.isfinite(y), y, zero).tolist()):
        level = round(value, 1)
        if level != pen:
            parts.append(f"H{x[k]:.1f}V{level:g}")
            pen = level
    return "".join(parts) + f"H{x[-1]:.1f}V{zero:.1f}Z"


def path(shape: str, kind: str) -> str:
    """Return a `<path>`; `kind` names the class of its colour."""
    return f'<path class="{kind}" d="{shape}"/>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Return a straight line."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def rect(x: float, y: float, width: float, height: float, kind: str, title: str = "") -> str:
    """Return a rectangle, with a text that shows when pointed at."""
    hint = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}">'
        f"{hint}</rect>"
    )


def dot(x: float, y: float, kind: str) -> str:
    """Return a dot."""
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'


def text(x: float, y: float, content: str, kind: str = "label", anchor: str = "start") -> str:
    """Return a text whose content is ready markup (see `words.svg`) or plain."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{content}</text>'


def y_axis(panel: Panel, values: Sequence[float], title: str, digits: int = 0) -> str:
    """Return grid lines with their values on the left, and the axis title above them."""
    parts = []
    for value in values:
        at = panel.y.at(value)
        parts.append(line(panel.left, at, panel.right, at, "zero" if value == 0 else "grid"))
        parts.append(text(panel.left - 8, at + 4, number(value, digits), "tick", "end"))
    parts.append(text(panel.left - 48, panel.top - 10, title, "axis"))
    return "".join(parts)


def legend(x: float, y: float, entries: Sequence[tuple[str, str, int]]) -> str:
    """Return a row of legend entries: (class, ready markup, width in pixels of the entry)."""
    parts = []
    for kind, content, width in entries:
        swatch = rect(x, y - 9, 12, 10, kind) if kind.startswith("fill") else line(x, y - 4, x + 14, y - 4, kind)
        parts.append(swatch + text(x + 19, y, content, "label"))
        x += width
    return "".join(parts)


def readout(panel: Panel, start_ms: int, step_ms: int, series: Sequence[tuple[str, str, Floats, int]]) -> str:
    """Return the attribute from which the page's script shows values under the pointer.

    Parameters
    ----------
    panel
        The panel whose x axis carries the steps.
    start_ms, step_ms
        The time axis.
    series
        (English name, Chinese name, values, decimals).
    """
    content = {
        "left": round(panel.left, 1),
        "right": round(panel.right, 1),
        "start": start_ms,
        "step": step_ms,
        "series": [
            {
                "en": en,
                "zh": zh,
                "values": [round(v, digits) if math.isfinite(v) else None for v in values.tolist()],
            }
            for en, zh, values, digits in series
        ],
    }
    return f"data-readout='{escape(json.dumps(content, ensure_ascii=False, separators=(',', ':')), quote=True)}'"


def figure(width: int, height: int, content: str, label: str, attributes: str = "") -> str:
    """Return a whole picture; `label` tells in words what it shows."""
    return (
        f'<div class="scroll"><svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(label)}" {attributes}>{content}</svg></div>'
    )
