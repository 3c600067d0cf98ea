"""The yearly true-up: wear was paid by the law, the battery has been measured since.

Every discharged kilowatt-hour was paid at the closed form with the wear scale known then. Once a year the
scale measured on the car replaces it, and the difference is settled: what the car's own fade says its
discharges cost, less what was paid. An owner is never asked to give back; a car that fades slower than
the law keeps what it was paid, and the difference is named as the platform's.
"""

from dataclasses import dataclass

from backfeed.battery.health import HealthEstimate


@dataclass(frozen=True, slots=True)
class TrueUp:
    """A yearly settlement of wear [currency].

    Parameters
    ----------
    due
        To be paid to the owner now, at least 0.
    overpaid
        What the law paid beyond the measured wear; the platform's, at least 0.
    low, high
        What `due` would be at the ends of the band of the measured scale, at least 0.
    """

    due: float
    overpaid: float
    low: float
    high: float


def true_up(paid: float, scale_paid: float, measured: HealthEstimate) -> TrueUp:
    """Settle a year of wear payments against the measured scale.

    Parameters
    ----------
    paid
        Wear paid over the year [currency].
    scale_paid
        The scale it was priced at.
    measured
        The car's health, estimated from its sessions.
    """
    per_scale = paid / scale_paid
    owed = {scale: per_scale * scale - paid for scale in (measured.scale, measured.scale_low, measured.scale_high)}
    return TrueUp(
        due=max(owed[measured.scale], 0.0),
        overpaid=max(-owed[measured.scale], 0.0),
        low=max(owed[measured.scale_low], 0.0),
        high=max(owed[measured.scale_high], 0.0),
    )
