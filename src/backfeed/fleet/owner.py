"""Owners: who a token belongs to, what they have asked for, and the car they enrolled."""

from dataclasses import dataclass

from backfeed.battery.chemistry import Chemistry
from backfeed.battery.warranty import WarrantyUse

RESERVE_CERTAINTY = 0.9
"""How certain a reserve is kept in a car that hides its state of charge, if its owner has not said otherwise."""

RESERVE_CERTAINTY_RANGE = (0.5, 0.99)
"""What an owner may ask for: nobody's habits tell more than the one, and with less a reserve is none."""


@dataclass(frozen=True, slots=True)
class EnrolledVehicle:
    """What the platform assumes of a car: the nameplate, not the truth.

    Parameters
    ----------
    model
        Name of the car model.
    chemistry
        Which wear law applies.
    capacity_kwh
        Nominal usable energy of the battery.
    charge_max_kw, discharge_max_kw
        Magnitudes at the EVSE; `discharge_max_kw` is 0 for a car that can not discharge.
    charge_efficiency, discharge_efficiency
        Assumed one-way efficiencies between EVSE and battery.
    age_years, odometer_km, driving_km_per_year
        The car's papers at enrolment, and what its owner expects to drive: what its warranty counts by.
    """

    model: str
    chemistry: Chemistry
    capacity_kwh: float
    charge_max_kw: float
    discharge_max_kw: float
    charge_efficiency: float
    discharge_efficiency: float
    age_years: float = 0.0
    odometer_km: float = 0.0
    driving_km_per_year: float = 12_000.0

    def warranty_use(self, discharged_kwh: float, discharged_h: float) -> WarrantyUse:
        """Return what its warranty counts: the papers, and what it has discharged for others [kWh AC, h]."""
        return WarrantyUse(
            age_years=self.age_years,
            odometer_km=self.odometer_km,
            driving_km_per_year=self.driving_km_per_year,
            discharged_kwh=discharged_kwh,
            discharged_hours=discharged_h,
        )


@dataclass(frozen=True, slots=True)
class Owner:
    """A driver as enrolled: the standing wishes that the platform has promised to keep.

    `reserve_soc` is never gone below by discharging; `target_soc` is what the car is to have when it
    leaves. Both are fractions of the capacity. Where a car hides its state of charge, the reserve is kept with the
    chance `reserve_certainty`, by what its driver usually takes.
    """

    owner_id: str
    reserve_soc: float
    target_soc: float
    vehicle: EnrolledVehicle
    reserve_certainty: float = RESERVE_CERTAINTY
