"""One car's battery as a page for its owner, and all pages of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from zoneinfo import ZoneInfo

from backfeed.battery.car_wear import CarBattery
from backfeed.battery.fleet_wear import FleetBattery
from backfeed.core.axis import TimeAxis
from backfeed.report.battery_index import INDEX_FILE, PAGES_FOLDER, page_name, points, proof_lines, render_index
from backfeed.report.chart import number, percent
from backfeed.report.figure_battery import Stay, loss_figure, soc_figure
from backfeed.report.frame import header, section, whole_page, write_text
from backfeed.report.run_report import Words
from backfeed.report.words import html, html_of, svg, words

_WORLD_KEYS = {"unmanaged": "bat_at_once", "v1g": "bat_just_v1g"}


@dataclass(frozen=True)
class CarHistory:
    """A car's states of charge over its stays, as it was used and charged at once, and its owner's reserve."""

    stays: tuple[Stay, ...]
    unmanaged: tuple[Stay, ...]
    reserve_soc: float


@dataclass(frozen=True)
class PagesHead:
    """What all pages of a run share: its title, time zone, time axis, the file name of its report, a note."""

    title: str
    timezone: str
    axis: TimeAxis
    report: str
    note: Words | None = None


def write_battery_pages(
    fleet: FleetBattery, histories: Mapping[str, CarHistory], head: PagesHead, folder: Path
) -> None:
    """Write the page of all cars and one for each car into a run folder."""
    pages = folder / PAGES_FOLDER
    pages.mkdir(exist_ok=True)
    for car in fleet.cars:
        write_text(render_car(fleet, car, histories[car.car], head), pages / page_name(car.car))
    write_text(render_index(fleet, head.title, head.timezone, f"../{head.report}"), pages / INDEX_FILE)


def render_car(fleet: FleetBattery, car: CarBattery, history: CarHistory, head: PagesHead) -> str:
    """Return a car's page; the same values give the same text."""
    told = html_of(
        "bat_model",
        model=car.model,
        chemistry=car.chemistry.value.upper(),
        capacity=number(car.capacity_kwh, 1),
        sessions=str(car.sessions),
        days=str(fleet.days),
    )
    note = f"<br>{html(head.note)}" if head.note is not None else ""
    figure = soc_figure(
        car.car, history.stays, history.unmanaged, history.reserve_soc, head.axis, ZoneInfo(head.timezone)
    )
    body = [
        header(html_of("bat_of", car=car.car), f'{told}{note}<br><a href="{INDEX_FILE}">{html_of("bat_all_cars")}</a>'),
        _tiles(fleet, car),
        section(html_of("bat_history"), html_of("bat_history_note"), figure),
        _lost_section(fleet, car),
        _money_section(fleet, car),
        section(html_of("bat_known_title"), "", _health_words(car) + f"<p>{html_of('bat_proof_note')}</p>"),
        section(html_of("bat_proof_title"), "", proof_lines(fleet)) if fleet.cohorts else "",
        section(html_of("bat_rests_title"), html_of("bat_rests", warm=number(fleet.temperature_c)), ""),
    ]
    return whole_page(f"{words('bat_of', car=car.car).en} \u2013 Backfeed", head.timezone, body)


def _tiles(fleet: FleetBattery, car: CarBattery) -> str:
    soh, budget = car.soh, car.budget
    years = f"{fleet.years:g}"
    band = {"low": percent(soh.low, 2), "high": percent(soh.high, 2)}
    cycles = {world: number(car.counterfactual_cycles.get(world, 0.0), 1) for world in _WORLD_KEYS}
    tiles = [
        _tile(
            percent(soh.estimate, 2),
            html_of("bat_health_tile"),
            html_of("bat_measured" if soh.basis == "measured" else "bat_by_law", **band),
        ),
        _tile(
            number(car.full_cycles, 1),
            html_of("bat_cycles_tile", days=str(fleet.days)),
            html_of("bat_cycles_note", **cycles) if fleet.counterfactuals else "",
        ),
    ]
    if "unmanaged" in car.counterfactuals:
        note = html_of("bat_extra_tile_note", v1g=points(car.extra_over("v1g"))) if "v1g" in car.counterfactuals else ""
        tiles.append(_tile(points(car.extra_over("unmanaged")), html_of("bat_extra_tile", years=years), note))
    paid = html_of("bat_paid_note", paid=f"{number(car.paid, 2)} {fleet.currency}", kwh=number(car.discharged_kwh, 1))
    tiles.append(_tile(f"{number(car.wear_paid, 2)} {escape(fleet.currency)}", html_of("bat_paid_tile"), paid))
    left, pace = budget.energy_left_kwh, budget.pace_kwh_per_day
    note = html_of(
        "bat_budget_note",
        pace="\u2013" if pace is None else number(pace, 1),
        years=number(budget.years_left, 1),
        km=number(budget.virtual_km_used),
    )
    value = html_of("bat_budget_none") if left is None else f"{number(left)} kWh"
    tiles.append(_tile(value, html_of("bat_budget_tile"), note if left is not None else ""))
    return f'<div class="tiles five">{"".join(tiles)}</div>'


def _tile(value: str, what: str, note: str) -> str:
    return f'<div class="tile"><b>{value}</b>{what}' + (f"<small>{note}</small>" if note else "") + "</div>"


def _lost_section(fleet: FleetBattery, car: CarBattery) -> str:
    rows = [(words("bat_as_used"), car.loss_calendar, car.loss_cycling, car.loss_total)]
    rows += [
        (words(key), loss.loss_calendar, loss.loss_cycling, loss.loss_total)
        for world, key in _WORLD_KEYS.items()
        if (loss := car.counterfactuals.get(world)) is not None
    ]
    heads = "".join(f"<th>{html_of(key)}</th>" for key in ("bat_standing", "bat_cycling", "total"))
    body = "".join(
        f'<tr><td class="words">{html(name)}</td>' + "".join(f"<td>{percent(part, 2)}</td>" for part in parts) + "</tr>"
        for name, *parts in rows
    )
    title = words("bat_lost_title", years=f"{fleet.years:g}")
    swings = html_of(
        "bat_swings",
        shallow=number(car.swings.shallow, 1),
        middle=number(car.swings.middle, 1),
        deep=number(car.swings.deep, 1),
    )
    picture = loss_figure([(svg(name), standing, cycling) for name, standing, cycling, _ in rows], title.en)
    table = f"<table><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table><p>{swings}</p>"
    return section(html(title), html_of("bat_lost_note"), picture + table)


def _money_section(fleet: FleetBattery, car: CarBattery) -> str:
    """Return both conventions for what a discharged kWh costs, beside what was paid."""
    marginal, paid = car.marginal_wear_per_kwh, car.wear_paid_per_kwh
    rows = [
        (html_of("bat_marginal"), "\u2013" if marginal is None else number(marginal, 3)),
        (html_of("bat_paid_way"), "\u2013" if paid is None else number(paid, 3)),
    ]
    for each in fleet.whole_pack:
        price = f"{number(each.pack_price_per_kwh)} {fleet.currency}"
        what = html_of("bat_whole", price=price, cycles=str(each.cycle_life))
        rows.append((what, number(each.cost_per_kwh, 2)))
    body = "".join(f'<tr><td class="words">{what}</td><td>{value}</td></tr>' for what, value in rows)
    heads = f'<th class="words">{html_of("bat_way")}</th><th>{escape(fleet.currency)} {html_of("bat_per_kwh")}</th>'
    note = html_of("bat_money_note", value=f"{number(fleet.value_per_kwh)} {fleet.currency}")
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    return section(html_of("bat_money_title"), note, table)


def _health_words(car: CarBattery) -> str:
    """Return what the car's own sessions say of its health."""
    health = car.health
    if health is None:
        return f"<p>{html_of('bat_too_few', records=str(car.records))}</p>"
    lines = [
        html_of(
            "bat_capacity_line",
            sessions=str(health.sessions),
            capacity=number(health.capacity_kwh, 1),
            sd=number(health.capacity_sd_kwh, 1),
            fade=number(100 * health.fade, 2),
            fade_sd=number(100 * health.fade_sd, 2),
            scale=number(health.scale, 2),
            low=number(health.scale_low, 2),
            high=number(health.scale_high, 2),
        )
    ]
    if health.efficiency_cancelled:
        lines.append(html_of("bat_cancelled"))
    if health.resets_ms:
        lines.append(html_of("bat_resets", count=str(len(health.resets_ms))))
    return "".join(f"<p>{each}</p>" for each in lines)
