"""Proof for owners: matched cohorts, and how many cars such a proof needs.

What a year of discharging wears is invisible in one car: its fade is known to half a point, the wear is a
third of one. Over many cars it shows. Each car that discharged is matched with one that did not, alike in
model, age, distance and use; the difference of the pairs, with its confidence interval, is what owners
are shown. `cars_per_arm` says beforehand how many pairs make a difference visible, so that nobody
promises a proof from a dozen cars.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from backfeed.battery.chemistry import Chemistry
from backfeed.battery.law import Floats

FADE_SD_POINTS = {Chemistry.LFP: 0.80, Chemistry.NMC_A: 0.41, Chemistry.NMC_B1: 0.41, Chemistry.NCA: 0.41}
"""How well a car's fade since enrolment is known after three years of 110 sessions each [points]: the mean errors of
the synthetic fleet of known truth, 0.64 for the flat voltage of LFP and 0.33 for the others, as standard deviations."""


def cars_per_arm(difference: float, fade_sd: float, *, power: float = 0.8, significance: float = 0.05) -> int:
    """Return how many cars each arm needs for a difference of fade to show.

    Parameters
    ----------
    difference
        The difference that should be seen, in points of capacity.
    fade_sd
        Standard deviation of a car's measured fade about its truth, in the same points.
    power
        Probability of seeing it if it is there.
    significance
        Probability, two-sided, of seeing one that is not.

    Notes
    -----
    n = 2 (z(1 - significance/2) + z(power))**2 (sd / difference)**2, the two-sample normal approximation.

    >>> cars_per_arm(0.35, 0.8), cars_per_arm(0.35, 0.414)
    (83, 22)
    """
    normal = NormalDist()
    reach = normal.inv_cdf(1 - significance / 2) + normal.inv_cdf(power)
    return int(np.ceil(2 * (reach * fade_sd / difference) ** 2))


def visible_difference(cars: int, fade_sd: float, *, power: float = 0.8, significance: float = 0.05) -> float:
    """Return the smallest difference that so many cars per arm can show; the inverse of `cars_per_arm`."""
    normal = NormalDist()
    reach = normal.inv_cdf(1 - significance / 2) + normal.inv_cdf(power)
    return float(reach * fade_sd * (2 / cars) ** 0.5)


def match_cars(treated: Floats, others: Floats, *, widest: float = 1.0) -> NDArray[np.int64]:
    """Match every treated car with the nearest other one, each used once.

    Parameters
    ----------
    treated, others
        What the cars should be alike in (age, distance, capacity, mean SoC ...), shape `(car, trait)`,
        all of one chemistry.
    widest
        The farthest a match may be, in standard deviations of the traits over all cars.

    Returns
    -------
    Index into `others` for every treated car, -1 where none is near enough. The closest pairs are
    matched first, so the result does not depend on the order of the cars, ties aside.
    """
    matches = np.full(len(treated), -1, dtype=np.int64)
    if not len(treated) or not len(others):
        return matches
    spread = np.concatenate([treated, others]).std(axis=0)
    gaps = (treated[:, None, :] - others[None, :, :]) / np.where(spread > 0, spread, 1)
    distance = np.sqrt((gaps**2).mean(axis=2))
    taken = np.zeros(len(others), dtype=np.bool_)
    for pair in np.argsort(distance, axis=None, kind="stable"):
        car, other = divmod(int(pair), len(others))
        if distance[car, other] > widest:
            break
        if matches[car] < 0 and not taken[other]:
            matches[car], taken[other] = other, True
    return matches


@dataclass(frozen=True, slots=True)
class CohortComparison:
    """Fade of cars that discharged less that of their matches, in points of capacity.

    Parameters
    ----------
    pairs
        How many pairs were compared.
    difference, low, high
        Mean difference and its confidence interval.
    visible
        The smallest difference that so many pairs could have shown.
    """

    pairs: int
    difference: float
    low: float
    high: float
    visible: float


def compare_cohorts(fade_treated: Floats, fade_matched: Floats, *, confidence: float = 0.95) -> CohortComparison | None:
    """Compare the measured fades of matched pairs [points]; None for fewer than three pairs."""
    pairs = fade_treated.size
    if pairs < 3:  # noqa: PLR2004 - two pairs have no spread worth the name
        return None
    gaps = fade_treated - fade_matched
    spread = float(gaps.std(ddof=1))
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * spread / pairs**0.5
    mean = float(gaps.mean())
    visible = visible_difference(pairs, spread / 2**0.5, significance=1 - confidence)
    return CohortComparison(pairs, mean, mean - half, mean + half, visible)


@dataclass(frozen=True, slots=True)
class CohortPlan:
    """What a proof would need, said beforehand.

    Parameters
    ----------
    chemistry
        Cars of one cell family are compared.
    difference_points
        What a year of discharging wears more than charging just in time, by the law, mean over the cars that
        discharged [points of capacity].
    fade_sd_points
        How well one car's fade can be measured.
    cars_per_arm
        Cars needed on either side to show it; None where there is no difference to show.
    cars_discharging, cars_other
        How many there are.
    visible_points
        The smallest difference that as many as there are can show; None where a side is empty.
    visible_one_car_points
        What one car beside one other could show: why a single battery proves nothing.
    """

    chemistry: Chemistry
    difference_points: float
    fade_sd_points: float
    cars_per_arm: int | None
    cars_discharging: int
    cars_other: int
    visible_points: float | None
    visible_one_car_points: float


_LEAST_DIFFERENCE = 1e-3
"""Points below which there is nothing to show."""


def plan_cohort(chemistry: Chemistry, difference_points: float, discharging: int, other: int) -> CohortPlan:
    """Return what it takes to show a difference, and what the cars that are there can show.

    >>> plan = plan_cohort(Chemistry.LFP, 0.35, discharging=40, other=12)
    >>> plan.cars_per_arm, round(plan.visible_points, 2), round(plan.visible_one_car_points, 1)
    (83, 0.91, 3.2)
    """
    spread = FADE_SD_POINTS[chemistry]
    pairs = min(discharging, other)
    return CohortPlan(
        chemistry=chemistry,
        difference_points=difference_points,
        fade_sd_points=spread,
        cars_per_arm=cars_per_arm(difference_points, spread) if difference_points >= _LEAST_DIFFERENCE else None,
        cars_discharging=discharging,
        cars_other=other,
        visible_points=visible_difference(pairs, spread) if pairs else None,
        visible_one_car_points=visible_difference(1, spread),
    )
