"""The fleet's batteries: a section of the report, and the page that leads to every car's own."""

from html import escape
from typing import Final

from backfeed.battery.car_wear import CarBattery
from backfeed.battery.fleet_wear import FleetBattery, Spread
from backfeed.report.chart import number, percent
from backfeed.report.frame import header, section, whole_page
from backfeed.report.run_report import Words
from backfeed.report.words import html, html_of, words

PAGES_FOLDER: Final = "batteries"
INDEX_FILE: Final = "index.html"

_PLAIN: Final = "-_"
_SPREADS: Final = {
    "full_cycles": ("bat_cycles", "cycles"),
    "loss_total": ("bat_loss", "share"),
    "extra_over_unmanaged": ("bat_extra_unmanaged", "points"),
    "extra_over_v1g": ("bat_extra_v1g", "points"),
    "soh": ("bat_health", "share"),
    "budget_left_kwh": ("bat_budget", "kwh"),
    "wear_paid": ("bat_paid", "money"),
    "wear_paid_per_kwh": ("bat_paid_way", "money"),
    "marginal_wear_per_kwh": ("bat_marginal", "money"),
}
"""The quantities whose spread is shown, with their words and how they are written."""


def page_name(car: str) -> str:
    """Return the file of a car's page: everything in its name that could lead elsewhere is escaped.

    >>> page_name("AdO1-4"), page_name("../x")
    ('car-AdO1-4.html', 'car-=2e=2e=2fx.html')
    """
    safe = "".join(c if (c.isascii() and c.isalnum()) or c in _PLAIN else f"={ord(c):x}" for c in car)
    return f"car-{safe}.html"


def points(share: float | None, digits: int = 2) -> str:
    """Return a difference of shares in points with its sign; a dash where there is none.

    >>> points(0.0123)
    '+1.23'
    """
    return "\u2013" if share is None else ("+" if share > 0 else "") + number(100 * share, digits)


def batteries_section(fleet: FleetBattery | None) -> str:
    """Return the report's section: how batteries fared over the fleet, with the way to every car's page."""
    if fleet is None or not fleet.cars:
        return ""
    link = f'<p><a href="{PAGES_FOLDER}/{INDEX_FILE}">{html_of("bat_link")}</a></p>'
    return section(html_of("bat_title"), _note(fleet), _spread_table(fleet) + link)


def render_index(fleet: FleetBattery, title: str, timezone: str, report: str, back: Words | None = None) -> str:
    """Return the page of all cars; `report` is the way back to the run's report, `back` what else it is called."""
    rows = "".join(_row(car, fleet) for car in sorted(fleet.cars, key=lambda car: (-car.discharged_kwh, car.car)))
    sums = fleet.sums
    heads = [html_of("bat_car"), html_of("discharged_kwh"), html_of("bat_cycles")]
    heads.append(html_of("bat_extra", years=f"{fleet.years:g}") + f"<small>{html_of('bat_loss')}</small>")
    heads += [f"<small>{html_of(f'bat_extra_{world}')}</small>" for world in fleet.counterfactuals]
    heads += [html_of("bat_health"), html_of("bat_budget"), html_of("bat_paid"), html_of("bat_per_kwh")]
    empty = "<td></td>" * len(fleet.counterfactuals)
    total = (
        f'<tr class="strong"><td>{html_of("bat_total_row")}</td><td>{number(sums.discharged_kwh, 1)} kWh</td>'
        f"<td>{number(sums.full_cycles, 1)}</td><td></td>{empty}<td></td><td></td>"
        f"<td>{number(sums.wear_paid, 2)}</td><td></td></tr>"
    )
    table = (
        f'<div class="scroll"><table><thead><tr>{"".join(f"<th>{head}</th>" for head in heads)}</tr></thead>'
        f"<tbody>{rows}{total}</tbody></table></div>"
    )
    body = [
        header(
            f"{html_of('bat_title')} \u00b7 {escape(title)}",
            f'{_note(fleet)}<br><a href="{report}">{html(back or words("bat_back"))}</a>',
        ),
        section(html_of("bat_all_cars"), "", table),
        section(html_of("bat_spread"), "", _spread_table(fleet)),
        section(html_of("bat_proof_title"), html_of("bat_proof_note"), proof_lines(fleet)),
        section(html_of("bat_rests_title"), html_of("bat_rests", warm=number(fleet.temperature_c)), ""),
    ]
    return whole_page(f"{title} \u2013 Backfeed", timezone, body)


def proof_lines(fleet: FleetBattery) -> str:
    """Return how many cars a proof needs, and what the fleet's own measurements show."""
    lines = [
        html_of(
            "bat_proof_line",
            chemistry=plan.chemistry.value.upper(),
            difference=number(plan.difference_points, 2),
            need="\u2013" if plan.cars_per_arm is None else number(plan.cars_per_arm),
            discharging=str(plan.cars_discharging),
            other=str(plan.cars_other),
            one=number(plan.visible_one_car_points, 1),
        )
        for plan in fleet.cohorts
    ]
    found = fleet.comparison
    lines.append(
        html_of("bat_no_pairs")
        if found is None
        else html_of(
            "bat_pairs_line",
            pairs=str(found.pairs),
            difference=number(found.difference, 2),
            low=number(found.low, 2),
            high=number(found.high, 2),
            visible=number(found.visible, 2),
        )
    )
    return "".join(f"<p>{each}</p>" for each in lines)


def _note(fleet: FleetBattery) -> str:
    return html_of("bat_note", cars=str(len(fleet.cars)), years=f"{fleet.years:g}")


def _row(car: CarBattery, fleet: FleetBattery) -> str:
    soh = f"{percent(car.soh.estimate, 2)}<small> {html_of(_basis(car))}</small>"
    budget = car.budget.energy_left_kwh
    cells = [
        f'<a href="{page_name(car.car)}">{escape(car.car)}</a><br><small>{escape(car.model)}</small>',
        f"{number(car.discharged_kwh, 1)} kWh",
        number(car.full_cycles, 2),
        percent(car.loss_total, 2),
        *(points(car.extra_over(world)) for world in fleet.counterfactuals),
        soh,
        html_of("bat_budget_none") if budget is None else f"{number(budget)} kWh",
        number(car.wear_paid, 2),
        "\u2013" if car.wear_paid_per_kwh is None else number(car.wear_paid_per_kwh, 3),
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _basis(car: CarBattery) -> str:
    return "bat_measured_short" if car.soh.basis == "measured" else "bat_by_law_short"


def _spread_table(fleet: FleetBattery) -> str:
    heads = "".join(f"<th>{html_of(key)}</th>" for key in ("bat_tenth", "bat_half", "bat_ninth"))
    rows = "".join(
        f'<tr><td class="words">{html_of(key)}</td>{_spread_cells(fleet.spread[name], kind, fleet.currency)}</tr>'
        for name, (key, kind) in _SPREADS.items()
        if name in fleet.spread
    )
    return f"<table><thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _spread_cells(spread: Spread, kind: str, currency: str) -> str:
    return "".join(f"<td>{_written(value, kind, currency)}</td>" for value in (spread.p10, spread.p50, spread.p90))


def _written(value: float, kind: str, currency: str) -> str:
    match kind:
        case "cycles":
            return number(value, 2)
        case "share":
            return percent(value, 2)
        case "points":
            return points(value)
        case "kwh":
            return f"{number(value)} kWh"
        case _:
            return f"{number(value, 3)} {escape(currency)}"
