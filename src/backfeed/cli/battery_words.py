"""What `backfeed battery` says to a person: losses, health, budgets and money in lines of text."""

from backfeed.battery.car_wear import CarBattery
from backfeed.battery.fleet_wear import FleetBattery
from backfeed.battery.record_cohort import RecordCohort

_WORLD_WORDS = {"unmanaged": "charging at once", "v1g": "V1G", "v2g": "V2G"}


def fleet_words(fleet: FleetBattery) -> str:
    """Return a fleet as a table: a line a car, most discharged first, then sums and percentiles."""
    others = list(fleet.counterfactuals)
    heads = "".join(f" {'+/- ' + _WORLD_WORDS[world]:>21}" for world in others)
    lines = [
        (
            f"{len(fleet.cars)} cars, {fleet.days} days from {fleet.start}; losses after {fleet.years:g} years like "
            "these, per cent of new (standing + cycling)"
        ),
        (
            f"{'car':16} {'EFC':>6} {'loss':>6} {'stand.':>6} {'cycl.':>6}{heads} {'health now (68 % band)':>27} "
            f"{'budget kWh':>10} {'for wear':>9} {'per kWh':>8}"
        ),
    ]
    lines += [_car_line(car, others) for car in sorted(fleet.cars, key=lambda car: (-car.discharged_kwh, car.car))]
    sums = fleet.sums
    lines.append(
        f"sum: {sums.full_cycles:.1f} full cycles, {sums.discharged_kwh:.0f} kWh discharged, paid for wear "
        f"{sums.wear_paid:.2f} {fleet.currency} of {sums.paid:.2f} paid in all"
    )
    lines += [
        f"{name:24} 10 % {spread.p10:10.4f}   half {spread.p50:10.4f}   90 % {spread.p90:10.4f}   ({spread.cars} cars)"
        for name, spread in fleet.spread.items()
    ]
    return "\n".join(
        [*lines, *cohort_lines(fleet), "", _RESTS_ON.format(value=fleet.value_per_kwh, warm=fleet.temperature_c)]
    )


_RESTS_ON = (
    "Losses are a law's, fitted to cells in a laboratory, at {warm:.0f} C in the cell; health `measured` comes from "
    "the car's own sessions, `law` does not. New capacity is worth {value:g} per kWh and used up when a fifth is gone."
)


def car_words(fleet: FleetBattery, car: CarBattery) -> str:
    """Return all that is known of one car's battery."""
    rows = [
        ("as it was used", car.loss_calendar, car.loss_cycling, car.loss_total),
        *(
            (_WORLD_WORDS[world], loss.loss_calendar, loss.loss_cycling, loss.loss_total)
            for world, loss in car.counterfactuals.items()
        ),
    ]
    table = [f"{name:18} {100 * a:8.2f} {100 * b:8.2f} {100 * c:8.2f}" for name, a, b, c in rows]
    gave = f"{car.discharged_kwh:.1f} kWh"
    lines = [
        (
            f"{car.car}: {car.model}, {car.chemistry.value}, {car.capacity_kwh:g} kWh; {car.sessions} sessions in "
            f"{fleet.days} days from {fleet.start}"
        ),
        (
            f"{car.full_cycles:.2f} equivalent full cycles; swings below 20 %: {car.swings.shallow:g}, to 50 %: "
            f"{car.swings.middle:g}, deeper: {car.swings.deep:g}"
        ),
        f"capacity lost after {fleet.years:g} years like these, per cent of new",
        f"{'':18} {'standing':>8} {'cycling':>8} {'total':>8}",
        *table,
        f"health now {_soh(car)}, {_health(car)}",
        f"warranty: {_budget(car)}",
        f"paid for wear {car.wear_paid:.2f} {fleet.currency} of {car.paid:.2f} paid in all, for {gave}",
    ]
    if car.marginal_wear_per_kwh is not None and car.wear_paid_per_kwh is not None:
        whole = ", ".join(f"{each.cost_per_kwh:.2f} over {each.cycle_life} cycles" for each in fleet.whole_pack)
        lines.append(
            f"a discharged kWh costs the battery {car.marginal_wear_per_kwh:.3f} (against V1G, at the horizon); paid "
            f"for it {car.wear_paid_per_kwh:.3f}; a whole pack written off would be {whole}"
        )
    return "\n".join(lines)


def cohort_lines(fleet: FleetBattery) -> list[str]:
    """Return how many cars a proof needs and what the fleet's own measurements show."""
    lines = []
    for plan in fleet.cohorts:
        need = "nothing to show" if plan.cars_per_arm is None else f"{plan.cars_per_arm} cars on either side"
        there = f"{plan.cars_discharging} discharged, {plan.cars_other} did not"
        lines.append(
            f"proof ({plan.chemistry.value}): a year of discharging wears {plan.difference_points:.2f} points more "
            f"than V1G; to show it takes {need}, here {there}. One car beside one other shows no less than "
            f"{plan.visible_one_car_points:.1f} points: a single battery proves nothing."
        )
    if fleet.comparison is None:
        lines.append("matched comparison: too few cars of either kind were measured")
    else:
        found = fleet.comparison
        lines.append(
            f"matched comparison: {found.pairs} pairs, discharging cars faded {found.difference:+.2f} points more "
            f"({found.low:+.2f} to {found.high:+.2f}); so many pairs can show {found.visible:.2f}"
        )
    return lines


def record_cohort_words(found: RecordCohort) -> str:
    """Return what charge records prove, and what they could."""
    lines = [
        f"{found.discharging} vehicles discharge, {found.others} do not, {found.not_measured} were not measured",
    ]
    if found.fade_sd_points is not None:
        lines.append(
            f"a car's fade is known to +- {found.fade_sd_points:.2f} points; to see {found.difference_points:g} takes "
            f"{found.cars_per_arm} cars on either side"
        )
    if found.visible_points is not None:
        lines.append(f"as many as there are can show {found.visible_points:.2f} points or more")
    if found.comparison is None:
        lines.append("no comparison: fewer than three pairs alike")
    else:
        pairs = found.comparison
        seen = "seen" if pairs.low > 0 or pairs.high < 0 else "not told from chance"
        lines.append(
            f"{pairs.pairs} pairs: vehicles that discharge faded {pairs.difference:+.2f} points more "
            f"({pairs.low:+.2f} to {pairs.high:+.2f}): {seen}"
        )
    return "\n".join(lines)


def _car_line(car: CarBattery, others: list[str]) -> str:
    extra = "".join(f" {100 * (car.extra_over(world) or 0.0):>+21.2f}" for world in others)
    budget = "-" if car.budget.energy_left_kwh is None else f"{car.budget.energy_left_kwh:.0f}"
    per_kwh = "-" if car.wear_paid_per_kwh is None else f"{car.wear_paid_per_kwh:.3f}"
    return (
        f"{car.car:16} {car.full_cycles:6.2f} {100 * car.loss_total:6.2f} {100 * car.loss_calendar:6.2f} "
        f"{100 * car.loss_cycling:6.2f}{extra} {_soh(car):>27} {budget:>10} {car.wear_paid:9.2f} {per_kwh:>8}"
    )


def _budget(car: CarBattery) -> str:
    left = car.budget.energy_left_kwh
    may = "nothing caps discharging" if left is None else f"{left:.0f} kWh left to discharge"
    return f"{may}, {car.budget.years_left:.1f} years left, {car.budget.virtual_km_used:.0f} km counted for discharging"


def _soh(car: CarBattery) -> str:
    soh = car.soh
    return f"{100 * soh.estimate:.2f} ({100 * soh.low:.2f}-{100 * soh.high:.2f}) {soh.basis}"


def _health(car: CarBattery) -> str:
    if car.health is None:
        return f"too few sessions to measure it ({car.records} with a state of charge)"
    health = car.health
    return (
        f"capacity measured {health.capacity_kwh:.1f} +- {health.capacity_sd_kwh:.1f} kWh, fade since enrolment "
        f"{100 * health.fade:.2f} +- {100 * health.fade_sd:.2f} points, wear x{health.scale:.2f} "
        f"({health.scale_low:.2f} to {health.scale_high:.2f}) from {health.sessions} sessions"
    )
