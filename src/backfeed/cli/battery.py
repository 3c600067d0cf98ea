"""`backfeed battery`: what a profile does to a battery, what charge records say of one, which cars there are."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backfeed.battery.chemistry import Chemistry
from backfeed.cli.outcome import say, write_result
from backfeed.core.problem import InputError, Problem

if TYPE_CHECKING:
    from backfeed.battery.simulate import SimulatedWear

app = typer.Typer(help="Car models, and what a day does to a battery.", no_args_is_help=True)

_LEAST_SHOWN_KWH = 0.05
"""What a figure with one digit can tell apart."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def simulate(  # noqa: PLR0913 -- options of a command
    *,
    chemistry: Annotated[Chemistry, typer.Option(help="Cell family.")],
    capacity_kwh: Annotated[float, typer.Option(help="Capacity when new.")],
    profile: Annotated[Path, typer.Option(help="CSV with the columns time (hours or ISO 8601) and soc (0-1).")],
    temperature_c: Annotated[float, typer.Option(help="Cell temperature.")] = 25.0,
    years: Annotated[float, typer.Option(help="For how long the profile repeats.")] = 8.0,
    v2g: Annotated[float, typer.Option(help="Discharge for others to add, kWh per day.")] = 0.0,
    power_kw: Annotated[float, typer.Option(help="Charging and discharging power of the counterfactuals.")] = 7.0,
    value_per_kwh: Annotated[float, typer.Option(help="Worth of new battery capacity, currency per kWh.")] = 600.0,
    scale: Annotated[float, typer.Option(help="How many times the law's loss this car loses.")] = 1.0,
    active_c_rate: Annotated[
        bool, typer.Option("--active-c-rate", help="Mean C-rate over the hours in motion: the cautious choice.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Repeat a profile for years: capacity lost, against charging at once and just in time, and the cost per kWh."""
    from backfeed.battery.profile_file import read_profile  # noqa: PLC0415 -- keeps --help quick
    from backfeed.battery.simulate import SimulatedCar  # noqa: PLC0415
    from backfeed.battery.simulate import simulate as run  # noqa: PLC0415
    from backfeed.battery.wear import WEAR_LAWS  # noqa: PLC0415

    _require(
        {
            "--capacity-kwh": (capacity_kwh, 1.0, 2_000.0),
            "--temperature-c": (temperature_c, -60.0, 90.0),
            "--years": (years, 0.01, 50.0),
            "--v2g": (v2g, 0.0, 500.0),
            "--power-kw": (power_kw, 0.1, 1_000.0),
            "--value-per-kwh": (value_per_kwh, 0.0, 1e6),
            "--scale": (scale, 0.01, 100.0),
        }
    )
    path, period_h = read_profile(_lines(profile), str(profile))
    car = SimulatedCar(
        WEAR_LAWS[chemistry],
        capacity_kwh,
        temperature_c=temperature_c,
        years=years,
        discharge_kwh_per_day=v2g,
        power_kw=power_kw,
        value_per_kwh=value_per_kwh,
        scale=scale,
        active_c_rate=active_c_rate,
    )
    wear = run(path, period_h, car)
    for each in wear.out_of_range:
        say(
            f"note: {each.quantity} {each.found_lowest:g} to {each.found_highest:g} lies outside the tested "
            f"{each.lowest:g} to {each.highest:g} and was {each.treatment}"
        )
    write_result(_document(chemistry, car.capacity_kwh, years, wear), _words(years, v2g, wear), as_json=as_json)


@app.command()
def models(*, as_json: AsJson = False) -> None:
    """List the car models that ship with Backfeed and where their numbers come from."""
    from backfeed.battery.catalogue import CATALOGUE  # noqa: PLC0415

    words = "\n".join(
        f"{model.name:20} {model.chemistry:7} {model.capacity_kwh:5.1f} kWh  {model.charge_max_kw:4.1f} kW in  "
        f"{model.discharge_max_kw:4.1f} kW out"
        for model in CATALOGUE.models
    )
    write_result(CATALOGUE, f"{words}\n\n{CATALOGUE.source}", as_json=as_json)


@app.command()
def health(
    file: Annotated[Path, typer.Argument(help="Charge records.")],
    *,
    chemistry: Annotated[Chemistry, typer.Option(help="Cell family.")],
    capacity_kwh: Annotated[float, typer.Option(help="Capacity when new.")],
    layout: Annotated[str, typer.Option(help="sessions, or baic-20.")] = "sessions",
    temperature_c: Annotated[float, typer.Option(help="Cell temperature.")] = 25.0,
    as_json: AsJson = False,
) -> None:
    """Estimate capacity, fade since enrolment and wear scale of every vehicle in FILE."""
    from backfeed.battery.charge_records import read_charge_records  # noqa: PLC0415
    from backfeed.battery.fleet_health import estimate_fleet  # noqa: PLC0415
    from backfeed.battery.wear import WEAR_LAWS  # noqa: PLC0415

    _require({"--capacity-kwh": (capacity_kwh, 1.0, 2_000.0), "--temperature-c": (temperature_c, -60.0, 90.0)})
    records, problems = read_charge_records(_lines(file), file.name, layout)
    for problem in problems:
        say(f"set aside: {problem}")
    found = estimate_fleet(
        records, WEAR_LAWS[chemistry], capacity_kwh, temperature_c=temperature_c, at_battery=layout == "baic-20"
    )
    words = "\n".join(
        f"{vehicle:20} too few good sessions"
        if each is None
        else f"{vehicle:20} {each.capacity_kwh:6.1f} kWh  fade {100 * each.fade:5.2f} "
        f"+- {100 * each.fade_sd:.2f} points  wear x{each.scale:.2f} ({each.scale_low:.2f} to {each.scale_high:.2f})"
        for vehicle, each in found.items()
    )
    document = {"vehicles": found, "rows_set_aside": [{"where": p.where, "what": p.what} for p in problems]}
    write_result(document, words, as_json=as_json)


@app.command()
def fleet(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    *,
    car: Annotated[str, typer.Option(help="Show only this car.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show what a run did to every car's battery: cycles, loss beside charging at once and V1G, health, money."""
    from backfeed.cli.battery_words import car_words, fleet_words  # noqa: PLC0415
    from backfeed.report.battery_file import read_battery  # noqa: PLC0415

    found = read_battery(run)
    if not car:
        write_result(found, fleet_words(found), as_json=as_json)
        return
    by_name = {each.car: each for each in found.cars}
    if car not in by_name:
        known = tuple(sorted(by_name))
        raise InputError([Problem("--car", f"expected a car of {run}, found {car!r}", known)])
    write_result(by_name[car], car_words(found, by_name[car]), as_json=as_json)


@app.command()
def cohort(
    file: Annotated[Path, typer.Argument(help="Charge records of many vehicles, some of which discharge.")],
    *,
    chemistry: Annotated[Chemistry, typer.Option(help="Cell family.")],
    capacity_kwh: Annotated[float, typer.Option(help="Capacity when new.")],
    difference: Annotated[float, typer.Option(help="Points of capacity that should be seen.")] = 0.35,
    temperature_c: Annotated[float, typer.Option(help="Cell temperature.")] = 25.0,
    as_json: AsJson = False,
) -> None:
    """Compare vehicles of FILE that discharge with those alike that do not, and say how many a proof takes."""
    from backfeed.battery.charge_records import read_charge_records  # noqa: PLC0415
    from backfeed.battery.record_cohort import compare_records  # noqa: PLC0415
    from backfeed.battery.wear import WEAR_LAWS  # noqa: PLC0415
    from backfeed.cli.battery_words import record_cohort_words  # noqa: PLC0415

    _require(
        {
            "--capacity-kwh": (capacity_kwh, 1.0, 2_000.0),
            "--temperature-c": (temperature_c, -60.0, 90.0),
            "--difference": (difference, 0.001, 100.0),
        }
    )
    records, problems = read_charge_records(_lines(file), file.name)
    for problem in problems:
        say(f"set aside: {problem}")
    if not records:
        raise InputError([Problem(str(file), "expected rows of vehicles, found none that can be used")])
    found = compare_records(records, WEAR_LAWS[chemistry], capacity_kwh, difference, temperature_c)
    write_result(found, record_cohort_words(found), as_json=as_json)


def _require(limits: dict[str, tuple[float, float, float]]) -> None:
    """Refuse numbers outside their limits, all at once."""
    problems = [
        Problem(name, f"expected {low:g} to {high:g}, found {value:g}")
        for name, (value, low, high) in limits.items()
        if not low <= value <= high
    ]
    if problems:
        raise InputError(problems)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError([Problem(str(path), "expected text in UTF-8")]) from error
    except OSError as error:
        raise InputError([Problem(str(path), f"expected a readable file: {error.strerror or error}")]) from error


def _document(chemistry: Chemistry, capacity_kwh: float, years: float, wear: "SimulatedWear") -> dict[str, object]:
    from backfeed.battery.fleet_wear import whole_pack_costs  # noqa: PLC0415

    return {
        "chemistry": chemistry.value,
        "capacity_kwh": capacity_kwh,
        "years": years,
        "loss_calendar": wear.loss.loss_calendar,
        "loss_cycling": wear.loss.loss_cycling,
        "loss_total": wear.loss.loss_total,
        "full_cycles": wear.full_cycles,
        "discharged_kwh_per_day": wear.discharged_kwh_per_day,
        "counterfactuals": {"unmanaged": wear.unmanaged, "v1g": wear.v1g},
        "marginal_wear_per_kwh": wear.marginal_wear_per_kwh,
        "marginal_at_kwh_per_day": wear.marginal_at_kwh_per_day,
        "whole_pack": whole_pack_costs(),
        "out_of_range": wear.out_of_range,
        "too_cold": wear.too_cold,
    }


def _discharge_words(asked_kwh: float, wear: "SimulatedWear") -> str:
    """Say what was discharged and what a kilowatt-hour of it costs, or why nothing was."""
    from backfeed.battery.limits import DISCHARGE_LEAST_TEMPERATURE_C  # noqa: PLC0415

    if wear.too_cold:
        return f"Nothing is discharged for others below {DISCHARGE_LEAST_TEMPERATURE_C:g} C in the cell."
    if math.isnan(wear.marginal_wear_per_kwh):
        return "No stay of this profile leaves time and charge to discharge anything for others."
    of = f" of the {asked_kwh:g} asked for" if wear.discharged_kwh_per_day < asked_kwh - _LEAST_SHOWN_KWH else ""
    return (
        f"Discharged {wear.discharged_kwh_per_day:.1f} kWh a day{of}. A kWh discharged costs the battery "
        f"{wear.marginal_wear_per_kwh:.3f} (at {wear.marginal_at_kwh_per_day:.1f} kWh a day, against V1G)."
    )


def _words(years: float, asked_kwh: float, wear: "SimulatedWear") -> str:
    from backfeed.battery.fleet_wear import whole_pack_costs  # noqa: PLC0415

    rows = (("this profile", wear.loss), ("unmanaged", wear.unmanaged), ("V1G", wear.v1g))
    table = "\n".join(
        f"{name:14} {100 * loss.loss_calendar:8.2f} {100 * loss.loss_cycling:8.2f} {100 * loss.loss_total:8.2f}"
        for name, loss in rows
    )
    whole = ", ".join(
        f"{each.cost_per_kwh:.2f} over {each.cycle_life} cycles at {each.pack_price_per_kwh:g} per kWh"
        for each in whole_pack_costs()
    )
    return (
        f"Capacity lost after {years:g} years, per cent of new\n"
        f"{'':14} {'standing':>8} {'cycling':>8} {'total':>8}\n{table}\n"
        f"{_discharge_words(asked_kwh, wear)}\n"
        f"The other convention writes the whole pack off over its cycle life: {whole}."
    )
