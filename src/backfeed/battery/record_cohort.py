"""A matched cohort out of charge records: cars that discharge beside cars alike that do not.

Cars are matched by how long they have been seen and what they use for driving each day: what discharging does not
change. What is compared is the fade since enrolment from each car's own sessions; what so many pairs could have shown
at all stands beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backfeed.battery.cohort import CohortComparison, cars_per_arm, compare_cohorts, match_cars, visible_difference
from backfeed.battery.fleet_health import estimate_fleet
from backfeed.battery.health import CarRecords
from backfeed.battery.law import Floats, WearLaw
from backfeed.core.instant import MS_PER_DAY

LEAST_SHARE = 0.02
"""A car that gives less than this share of what it takes does not count as one that discharges."""
WIDEST_MATCH = 1.0
"""The farthest a match may be, in standard deviations of the traits."""


@dataclass(frozen=True, slots=True)
class RecordCohort:
    """What the records show, and what they could show.

    Parameters
    ----------
    discharging, others
        Vehicles of either kind whose fade could be measured.
    not_measured
        Vehicles with too few good sessions.
    fade_sd_points
        How well their fade is known: the root mean square of its standard errors [points]; None without a car.
    difference_points
        The difference that should be seen.
    cars_per_arm
        How many cars on either side that takes.
    visible_points
        What as many as there are could show; None where a side is empty.
    comparison
        The matched pairs; None for fewer than three.
    """

    discharging: int
    others: int
    not_measured: int
    fade_sd_points: float | None
    difference_points: float
    cars_per_arm: int | None
    visible_points: float | None
    comparison: CohortComparison | None


def compare_records(
    records: Mapping[str, CarRecords],
    law: WearLaw,
    capacity_kwh: float,
    difference_points: float,
    temperature_c: float,
) -> RecordCohort:
    """Compare the vehicles that discharge with those that do not.

    Parameters
    ----------
    records
        Sessions by vehicle, all of one model.
    law, capacity_kwh
        The model's cell and capacity when new [kWh].
    difference_points
        The difference of fade that should be seen [points of capacity].
    temperature_c
        Cell temperature over the records [degrees C].
    """
    health = estimate_fleet(dict(records), law, capacity_kwh, temperature_c=temperature_c)
    measured = [(records[vehicle], each) for vehicle, each in health.items() if each is not None]
    fade = np.array([100 * each.fade for _, each in measured])
    gives = np.array([_discharges(each) for each, _ in measured], dtype=np.bool_)
    treated, others = int(gives.sum()), int((~gives).sum())
    spread = float(np.sqrt(np.mean([(100 * each.fade_sd) ** 2 for _, each in measured]))) if measured else None
    comparison = None
    if treated and others:
        traits = np.array([_traits(each) for each, _ in measured])
        matches = match_cars(traits[gives], traits[~gives], widest=WIDEST_MATCH)
        paired = matches >= 0
        comparison = compare_cohorts(fade[gives][paired], fade[~gives][matches[paired]])
    return RecordCohort(
        discharging=treated,
        others=others,
        not_measured=len(records) - len(measured),
        fade_sd_points=spread,
        difference_points=difference_points,
        cars_per_arm=None if spread is None else cars_per_arm(difference_points, spread),
        visible_points=visible_difference(min(treated, others), spread) if spread and treated and others else None,
        comparison=comparison,
    )


def _discharges(records: CarRecords) -> bool:
    given = -float(records.energy_kwh[records.energy_kwh < 0].sum())
    return given > LEAST_SHARE * float(np.abs(records.energy_kwh).sum())


def _traits(records: CarRecords) -> Floats:
    """Return years seen and energy used for driving a day [kWh]: what discharging does not change."""
    days = max(float(records.at_ms.max() - records.at_ms.min()) / MS_PER_DAY, 1.0)
    return np.array([days / 365, float(records.energy_kwh.sum()) / days])
