"""Pictures of amounts: what worlds cost and earn, payouts, targets, where the rest of the value went."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from backfeed.report.chart import Scale, dot, figure, legend, line, number, rect, text, ticks
from backfeed.report.key_rows import is_share, target_amount
from backfeed.report.run_report import GapCause, OwnerRow
from backfeed.report.summary import Target, TargetName, WorldName, WorldResult
from backfeed.report.words import has_words, svg, words

WIDTH: Final = 1080
_NAMES: Final = 190
_RIGHT: Final = WIDTH - 24
_BAR: Final = 24

_PARTS: Final = (
    ("energy_cost", -1.0, "fill-energy"),
    ("wear_cost", -1.0, "fill-wear"),
    ("shortfall_cost", -1.0, "fill-shortfall"),
    ("discharge_revenue", 1.0, "fill-revenue"),
    ("dr_revenue", 1.0, "fill-dr"),
    ("terminal_adjustment", 1.0, "fill-terminal"),
)
_LEGEND_WIDTHS: Final = (125, 125, 185, 160, 155, 145)


def value_figure(worlds: Mapping[WorldName, WorldResult], currency: str, days: float) -> str:
    """Draw one bar a world: costs to the left, earnings to the right, the net value as a dot."""
    stacks = {name: _stack(world) for name, world in worlds.items()}
    low = min(min(left for _, left, _ in stack) for stack in stacks.values())
    high = max(max(right for _, _, right in stack) for stack in stacks.values())
    spare = 0.03 * max(high - low, 1.0)
    x = Scale(low - spare, high + spare, _NAMES, _RIGHT - 80)
    bottom = 66 + 52 * len(worlds)
    parts = []
    for value in ticks(x.low, x.high, 7):
        parts.append(line(x.at(value), 50, x.at(value), bottom, "zero" if value == 0 else "grid"))
        parts.append(text(x.at(value), bottom + 18, number(value), "tick", "middle"))
    for row, (name, stack) in enumerate(stacks.items()):
        y = 66 + 52 * row
        parts.append(text(_NAMES - 12, y + 17, svg(words(name)), "name", "end"))
        for (key, left, right), (_, _, kind) in zip(stack, _PARTS, strict=True):
            title = f"{words(key).en}: {number(right - left, 2)} {currency}"
            parts.append(rect(x.at(left), y, x.at(right) - x.at(left), _BAR, kind, title))
        net = worlds[name].net_value
        parts += [dot(x.at(net), y + _BAR / 2, "dot-net"), text(_RIGHT, y + 17, number(net), "value", "end")]
    entries = [(kind, svg(words(key)), width) for (key, _, kind), width in zip(_PARTS, _LEGEND_WIDTHS, strict=True)]
    parts += [legend(60, 24, entries), dot(60 + sum(_LEGEND_WIDTHS), 20, "dot-net")]
    parts.append(text(72 + sum(_LEGEND_WIDTHS), 24, svg(words("net_value")), "label"))
    parts.append(
        text(_NAMES - 12, bottom + 18, svg(words("value_axis", currency=currency, days=number(days))), "axis", "end")
    )
    return figure(WIDTH, bottom + 30, "".join(parts), words("value_title").en)


def _stack(world: WorldResult) -> list[tuple[str, float, float]]:
    """Return `(part, left, right)`: costs pile up to the left of zero, earnings to the right."""
    left, right, stack = 0.0, 0.0, []
    for key, sign, _ in _PARTS:
        amount = sign * float(getattr(world, key))
        if amount < 0:
            stack.append((key, left + amount, left))
            left += amount
        else:
            stack.append((key, right, right + amount))
            right += amount
    return stack


def payout_figure(owners: Sequence[OwnerRow], currency: str, instruments: Sequence[str]) -> str:
    """Draw the given owners' payouts as stacked bars, one colour an instrument."""
    largest = max((sum(owner.payouts.get(name, 0.0) for name in instruments) for owner in owners), default=1.0) or 1.0
    x = Scale(0, largest * 1.12, _NAMES, _RIGHT)
    bottom = 50 + 26 * len(owners)
    parts = [
        line(x.at(value), 42, x.at(value), bottom, "grid")
        + text(x.at(value), bottom + 18, number(value), "tick", "middle")
        for value in ticks(0, x.high, 8)
    ]
    for row, owner in enumerate(owners):
        y, done = 50 + 26 * row, 0.0
        parts.append(text(_NAMES - 12, y + 14, escape(owner.owner), "name", "end"))
        for index, instrument in enumerate(instruments):
            amount = owner.payouts.get(instrument, 0.0)
            title = f"{owner.owner}, {instrument}: {number(amount, 2)} {currency}"
            parts.append(rect(x.at(done), y, x.at(done + amount) - x.at(done), 18, f"fill-series-{index % 4}", title))
            done += amount
        parts.append(text(x.at(done) + 8, y + 14, number(done, 2), "value"))
    entries = [(f"fill-series-{index % 4}", _instrument(name), 150) for index, name in enumerate(instruments)]
    parts += [legend(_NAMES, 24, entries), text(_NAMES - 12, bottom + 18, currency, "axis", "end")]
    return figure(WIDTH, bottom + 28, "".join(parts), words("payouts_title").en)


def targets_figure(targets: Mapping[TargetName, Target]) -> str:
    """Draw one bullet a target: what was achieved, what is within reach, what is required, whose the gap is."""
    parts, x0, x1 = [], 260.0, 760.0
    for row, (name, target) in enumerate(targets.items()):
        y = 52 + 62 * row
        parts.append(text(x0 - 14, y + 17, svg(words(name)), "name", "end"))
        top = 1.0 if is_share(name) else 1.3 * max(target.required, target.achieved or 0.0)
        x = Scale(0, top, x0, x1)
        parts.append(rect(x0, y, x1 - x0, _BAR, "fill-track"))
        if target.achieved is None or target.reachable is None:
            parts.append(text(x1 + 20, y + 17, svg(words("not_known")), "label"))
            continue
        reach = x.at(min(target.reachable, top))
        parts.append(
            rect(
                x0,
                y,
                reach - x0,
                _BAR,
                "fill-reach",
                f"{words('reachable').en}: {target_amount(name, target.reachable)}",
            )
        )
        parts.append(
            rect(x0, y + 5, x.at(target.achieved) - x0, _BAR - 10, "fill-met" if target.met else "fill-missed")
        )
        need = x.at(target.required)
        parts += [line(need, y - 5, need, y + _BAR + 5, "mark")]
        parts.append(
            text(
                need,
                y + _BAR + 18,
                svg(words("required", value=target_amount(name, target.required))),
                "tick",
                "middle",
            )
        )
        verdict = svg(words("met" if target.met else "missed"))
        parts.append(text(x1 + 20, y + 8, f"{target_amount(name, target.achieved)} \u00b7 {verdict}", "value"))
        if not target.met:
            split = words(
                "gap_split",
                controllable=target_amount(name, target.controllable),
                structural=target_amount(name, target.structural),
            )
            parts.append(text(x1 + 20, y + 27, svg(split), "tick"))
    entries = [
        ("fill-met", svg(words("achieved")) + " \u2713", 110),
        ("fill-missed", svg(words("achieved")) + " \u2717", 110),
        ("fill-reach", svg(words("reachable")), 110),
    ]
    parts.append(legend(x0, 24, entries))
    return figure(WIDTH, 52 + 62 * len(targets), "".join(parts), words("targets_title").en)


def gap_figure(amounts: Mapping[GapCause, float], currency: str, title: str, kind: str) -> str:
    """Draw amounts of money as bars, one a cause."""
    width = 524
    low, high = min(0.0, *amounts.values()), max(1.0, *amounts.values())
    x = Scale(low, high, 236, width - 110)
    parts = [text(0, 18, svg(words(title)), "axis")]
    for row, (cause, amount) in enumerate(amounts.items()):
        y = 36 + 34 * row
        left, right = sorted((x.at(0), x.at(amount)))
        parts.append(text(224, y + 14, svg(words(f"gap_{cause}")), "name", "end"))
        parts.append(rect(left, y, right - left, 20, kind, f"{number(amount, 2)} {currency}"))
        parts.append(text(right + 8, y + 14, f"{number(amount, 0)} {currency}", "value"))
    bottom = 36 + 34 * len(amounts)
    parts.append(line(x.at(0), 30, x.at(0), bottom - 8, "zero"))
    return figure(width, bottom, "".join(parts), words(title).en)


def _instrument(name: str) -> str:
    return svg(words(name)) if has_words(name) else escape(name)
