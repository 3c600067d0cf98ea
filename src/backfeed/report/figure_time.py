"""Pictures over time: the fleet, the mean day, a connection point, a car, an invitation."""

from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_DAY, MS_PER_H, local_datetime, local_midnight_ms
from backfeed.report.chart import (
    Floats,
    Panel,
    Scale,
    area_path,
    dot,
    figure,
    legend,
    line,
    number,
    path,
    percent,
    readout,
    rect,
    span,
    step_path,
    text,
    ticks,
    y_axis,
)
from backfeed.report.run_report import CarSeries, FleetSeries, InvitationSeries, SiteSeries, Words
from backfeed.report.summary import WORLD_NAMES
from backfeed.report.words import svg, words

WIDTH: Final = 1080
_LEFT: Final = 60
_RIGHT: Final = WIDTH - 16
_SHORT_TITLE: Final = 12
_QUARTERS_PER_DAY: Final = 96


def fleet_figure(fleet: FleetSeries, zone: ZoneInfo, currency: str) -> str:
    """Draw the fleet's power in the V2G world over the unmanaged one, above the prices."""
    axis = fleet.axis
    power = fleet.power_kw["v2g" if "v2g" in fleet.power_kw else list(fleet.power_kw)[-1]]
    idle = fleet.power_kw.get("unmanaged")
    low, high = span(power, *([] if idle is None else [idle]))
    x = _time_scale(axis)
    upper = Panel(x, Scale(low, high, 300, 52))
    lower = Panel(x, Scale(*span(fleet.buy_per_kwh, fleet.sell_per_kwh), 436, 346))
    edges = x.all(_edges(axis))
    zero = upper.y.at(0)
    level = upper.y.all(power)
    parts = [
        _valleys(fleet.valley, edges, upper, lower),
        day_lines(upper, axis, zone),
        day_lines(lower, axis, zone, named=True),
    ]
    parts += [
        y_axis(upper, ticks(low, high, 6), svg(words("power_axis"))),
        path(area_path(edges, np.minimum(level, zero), zero), "fill-charge"),
        path(area_path(edges, np.maximum(level, zero), zero), "fill-discharge"),
    ]
    entries = [
        ("fill-charge", svg(words("charging")), 140),
        ("fill-discharge", svg(words("discharging")), 155),
    ]
    shown = [("V2G", "V2G", power, 1)]
    if idle is not None:
        parts.append(path(step_path(edges, upper.y.all(idle)), "line-unmanaged thin"))
        entries.append(("line-unmanaged", svg(words("unmanaged")), 120))
        shown.append(("Unmanaged", "无序充电", idle, 1))
    parts += [legend(_LEFT + 120, 24, entries), _prices(lower, edges, fleet.buy_per_kwh, fleet.sell_per_kwh, currency)]
    shown += [("buy", "购电价", fleet.buy_per_kwh, 4), ("sell", "放电价", fleet.sell_per_kwh, 4)]
    return figure(
        WIDTH, 470, "".join(parts), words("fleet_title").en, readout(upper, axis.start_ms, axis.step_ms, shown)
    )


def day_figure(fleet: FleetSeries, zone: ZoneInfo, currency: str) -> str:
    """Draw every world's mean day beside the mean price."""
    quarter = _local_quarters(fleet.axis, zone)
    means = {name: _mean_day(fleet.power_kw[name], quarter) for name in WORLD_NAMES if name in fleet.power_kw}
    buy, sell = _mean_day(fleet.buy_per_kwh, quarter), _mean_day(fleet.sell_per_kwh, quarter)
    low, high = span(*means.values())
    x = Scale(0, 24, _LEFT, _RIGHT)
    upper, lower = Panel(x, Scale(low, high, 270, 52)), Panel(x, Scale(*span(buy, sell), 386, 316))
    edges = x.all(np.arange(_QUARTERS_PER_DAY + 1) / 4)
    parts = [_valleys(_mean_day(fleet.valley.astype(float), quarter) > 0.5, edges, upper, lower)]  # noqa: PLR2004 - most days
    parts.append(y_axis(upper, ticks(low, high, 6), svg(words("power_axis"))))
    parts += [path(step_path(edges, upper.y.all(values)), f"line-{name} thick") for name, values in means.items()]
    parts.append(legend(_LEFT + 120, 24, [(f"line-{name} thick", svg(words(name)), 150) for name in means]))
    parts.append(_prices(lower, edges, buy, sell, currency))
    parts += [text(x.at(hour), 404, f"{hour}:00", "tick", "middle") for hour in range(0, 25, 3)]
    shown = [(words(name).en, words(name).zh, values, 1) for name, values in means.items()]
    midnight = local_midnight_ms(local_datetime(fleet.axis.start_ms, zone).date(), zone)
    return figure(WIDTH, 416, "".join(parts), words("day_title").en, readout(upper, midnight, MS_PER_DAY // 96, shown))


def site_figure(site: SiteSeries, zone: ZoneInfo) -> str:
    """Draw a connection point: building, unmanaged cars, V2G cars, and what the connection allows."""
    axis = site.axis
    limits = np.array([site.import_limit_kw, -site.export_limit_kw])
    low, high = span(site.base_load_kw, *site.power_kw.values(), limits[np.isfinite(limits)], room=0.1)
    x = _time_scale(axis)
    panel = Panel(x, Scale(low, high, 292, 52))
    edges = x.all(_edges(axis))
    parts = [day_lines(panel, axis, zone, named=True), y_axis(panel, ticks(low, high, 6), svg(words("power_axis")))]
    parts.append(path(area_path(edges, panel.y.all(site.base_load_kw), panel.y.at(0)), "fill-base"))
    entries = [("fill-base", svg(words("building")), 130)]
    shown = [(words("building").en, words("building").zh, site.base_load_kw, 1)]
    for name in ("unmanaged", "v2g"):
        if name in site.power_kw:
            thick = "thin" if name == "unmanaged" else "medium"
            parts.append(path(step_path(edges, panel.y.all(site.power_kw[name])), f"line-{name} {thick}"))
            entries.append((f"line-{name}", svg(words(name)), 150))
            shown.append((words(name).en, words(name).zh, site.power_kw[name], 1))
    parts.append(legend(_LEFT + 120, 24, entries))
    for limit, key in zip(limits.tolist(), ("import_limit", "export_limit"), strict=True):
        if np.isfinite(limit):
            at = panel.y.at(limit)
            parts.append(line(panel.left, at, panel.right, at, "limit"))
            label = svg(words(key, value=number(abs(limit), 0)))
            parts.append(text(panel.right - 4, at - 6 if limit >= 0 else at + 15, label, "limit-label", "end"))
    return figure(
        WIDTH, 326, "".join(parts), f"Power at {site.site_id}", readout(panel, axis.start_ms, axis.step_ms, shown)
    )


def car_figure(car: CarSeries, zone: ZoneInfo, currency: str) -> str:
    """Draw one car's week: state of charge with reserve and target, power, prices, departures."""
    axis, x = car.axis, _time_scale(car.axis)
    edges = x.all(_edges(axis))
    soc = Panel(x, Scale(0, 100, 222, 52))
    low, high = span(car.power_kw, room=0.1)
    power = Panel(x, Scale(low, high, 360, 262))
    price = Panel(x, Scale(*span(car.buy_per_kwh, car.sell_per_kwh), 468, 400))
    parts = [day_lines(panel, axis, zone, named=panel is price) for panel in (soc, power, price)]
    parts.append(y_axis(soc, [0, 25, 50, 75, 100], svg(words("soc_axis"))))
    # Discharging never goes below the reserve, so there is room for its name.
    for share, key, below in ((car.reserve_soc, "reserve", 15), (car.target_soc, "target", -5)):
        at = soc.y.at(100 * share)
        label = svg(words(key, value=percent(share, 0)))
        parts += [
            line(soc.left, at, soc.right, at, "limit"),
            text(soc.right - 4, at + below, label, "limit-label", "end"),
        ]
    parts.append(path(step_path(edges, soc.y.all(100 * car.soc)), "line-v2g thick"))
    for at_ms, fine in zip(car.departures_ms, car.departures_met, strict=True):
        step = min(max(axis.index_of(at_ms - 1), 0), axis.count - 1)
        if np.isfinite(car.soc[step]):
            parts.append(dot(x.at(at_ms), soc.y.at(100 * car.soc[step]), "dot-met" if fine else "dot-short"))
    zero, level = power.y.at(0), power.y.all(car.power_kw)
    parts += [
        y_axis(power, ticks(low, high, 4), svg(words("power_axis"))),
        path(area_path(edges, np.fmin(level, zero), zero), "fill-charge"),
        path(area_path(edges, np.fmax(level, zero), zero), "fill-discharge"),
        _prices(price, edges, car.buy_per_kwh, car.sell_per_kwh, currency),
        legend(
            _LEFT + 160,
            24,
            [
                ("line-v2g thick", svg(words("state_of_charge")), 150),
                ("fill-charge", svg(words("charging")), 140),
                ("fill-discharge", svg(words("discharging")), 155),
            ],
        ),
        dot(_LEFT + 625, 20, "dot-met"),
        text(_LEFT + 636, 24, svg(words("departure_met")), "label"),
        dot(_LEFT + 805, 20, "dot-short"),
        text(_LEFT + 816, 24, svg(words("departure_short")), "label"),
    ]
    shown = [("SoC %", "荷电状态 %", 100 * car.soc, 0), ("kW", "功率 kW", car.power_kw, 1)]
    shown += [("buy", "购电价", car.buy_per_kwh, 4), ("sell", "放电价", car.sell_per_kwh, 4)]
    return figure(
        WIDTH, 502, "".join(parts), f"A week of car {car.label}", readout(soc, axis.start_ms, axis.step_ms, shown)
    )


def invitation_figure(event: InvitationSeries, zone: ZoneInfo) -> str:
    """Draw an invitation: baseline, promise, what was metered."""
    axis, width = event.axis, 524
    sign = -1.0 if event.direction == "peak_shave" else 1.0
    goal = event.baseline_kw + sign * event.promised_kw
    others = () if event.v1g_kw is None else (event.v1g_kw,)
    low, high = span(event.metered_kw, event.baseline_kw, goal, *others)
    x = Scale(axis.start_ms, axis.end_ms, 52, width - 24)
    panel = Panel(x, Scale(low, high, 236, 62))
    edges = x.all(_edges(axis))
    left, right = x.at(event.start_ms), x.at(event.end_ms)
    parts = [rect(left, panel.top, right - left, panel.bottom - panel.top, "event")]
    parts.append(y_axis(panel, ticks(low, high, 5), svg(words("power_axis"))))
    band = ~np.isnan(event.baseline_kw)
    for k in np.flatnonzero(band):
        ends = sorted((panel.y.at(event.baseline_kw[k]), panel.y.at(goal[k])))
        parts.append(rect(edges[k], ends[0], edges[k + 1] - edges[k], ends[1] - ends[0], "promise"))
    parts += [path(step_path(edges, panel.y.all(series)), "line-v1g medium") for series in others]
    parts += [
        path(step_path(edges, panel.y.all(event.metered_kw)), "line-v2g thick"),
        path(step_path(edges, panel.y.all(event.baseline_kw)), "line-baseline"),
        path(step_path(edges, panel.y.all(goal)), "limit"),
        legend(
            120 if event.v1g_kw is None else 52,
            24,
            [
                ("line-v2g thick", svg(words("metered")), 95),
                ("line-baseline", svg(words("baseline")), 100),
                ("fill-promise", svg(words("promised")), 90),
                *([("line-v1g medium", svg(words("merely_steered")), 110)] if event.v1g_kw is not None else []),
            ],
        ),
    ]
    hour = MS_PER_H
    first = -(-axis.start_ms // hour) * hour
    parts += [
        text(x.at(at), 254, local_datetime(at, zone).strftime("%H:%M"), "tick", "middle")
        for at in range(first, axis.end_ms + 1, hour)
        if axis.start_ms <= at <= axis.end_ms
    ]
    shown = [("metered", "实测", event.metered_kw, 1), ("baseline", "基线", event.baseline_kw, 1)]
    shown += [("V1G, not invited", "未受邀 V1G", series, 1) for series in others]
    return figure(
        width, 262, "".join(parts), f"Invitation {event.invitation}",
        readout(panel, axis.start_ms, axis.step_ms, shown),
    )  # fmt: skip


def date_words(at_ms: int, zone: ZoneInfo) -> Words:
    """Return a local date with its weekday."""
    day = local_datetime(at_ms, zone)
    return Words(f"{day:%a} {day.day} {day:%b}", f"{day.month}月{day.day}日")


def _time_scale(axis: TimeAxis) -> Scale:
    return Scale(axis.start_ms, axis.end_ms, _LEFT, _RIGHT)


def _edges(axis: TimeAxis) -> Floats:
    return np.append(axis.starts_ms, axis.end_ms).astype(np.float64)


def day_lines(panel: Panel, axis: TimeAxis, zone: ZoneInfo, *, named: bool = False) -> str:
    """Draw a line at every local midnight, and the dates below where they fit."""
    parts = []
    days = axis.count * axis.step_ms / MS_PER_DAY
    every = max(1, round(days / 15))
    day = local_datetime(axis.start_ms, zone).date()
    index = 0
    while (midnight := local_midnight_ms(day, zone)) < axis.end_ms:
        if midnight >= axis.start_ms:
            at = panel.x.at(midnight)
            parts.append(line(at, panel.top, at, panel.bottom, "grid"))
            middle = panel.x.at(min(midnight + MS_PER_DAY // 2, axis.end_ms))
            if named and index % every == 0:
                parts.append(text(middle, panel.bottom + 18, svg(date_words(midnight, zone)), "tick", "middle"))
        day = type(day).fromordinal(day.toordinal() + 1)
        index += 1
    return "".join(parts)


def _valleys(valley: "np.ndarray[tuple[int], np.dtype[np.bool_]]", edges: Floats, upper: Panel, lower: Panel) -> str:
    """Shade the valley hours across two panels."""
    change = np.flatnonzero(np.diff(np.concatenate([[False], valley, [False]]).astype(int)))
    return "".join(
        rect(edges[a], upper.top, edges[b] - edges[a], lower.bottom - upper.top, "valley")
        for a, b in zip(change[::2], change[1::2], strict=True)
    )


def _prices(panel: Panel, edges: Floats, buy: Floats, sell: Floats, currency: str) -> str:
    parts = [y_axis(panel, ticks(panel.y.low, panel.y.high, 3), svg(words("price_axis", currency=currency)), 2)]
    parts.append(path(step_path(edges, panel.y.all(buy)), "line-buy medium"))
    parts.append(path(step_path(edges, panel.y.all(sell)), "line-sell medium"))
    names = [("line-buy", svg(words("buy")), 90), ("line-sell", svg(words("sell")), 90)]
    parts.append(legend(panel.left + 60, panel.top - 10, names))
    return "".join(parts)


def _local_quarters(axis: TimeAxis, zone: ZoneInfo) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    moments = [local_datetime(at_ms, zone) for at_ms in axis]
    return np.array([moment.hour * 4 + moment.minute // 15 for moment in moments], dtype=np.intp)


def _mean_day(values: Floats, quarter: "np.ndarray[tuple[int], np.dtype[np.intp]]") -> Floats:
    count = np.bincount(quarter, minlength=_QUARTERS_PER_DAY)
    mean: Floats = np.bincount(quarter, weights=values, minlength=_QUARTERS_PER_DAY) / np.maximum(count, 1)
    return mean
