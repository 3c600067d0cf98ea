"""What a kilowatt-hour costs a battery: the face that other rooms use.

`law` has the published laws, `stress` cuts SoC paths into days, `pricing` turns damage into money,
`linear` gives the planner its prices, `lifetime` repeats a profile for years.
"""

from backfeed.battery.law import LFP, NCA, NMC_A, NMC_B1, WEAR_LAWS, WearLaw
from backfeed.battery.lifetime import LifetimeLoss, lifetime_loss
from backfeed.battery.linear import LinearWear, linear_coefficients, relinearise
from backfeed.battery.pricing import (
    DEFAULT_REFERENCE,
    DEFAULT_VALUE_PER_KWH,
    END_OF_LIFE_LOSS,
    DischargeWear,
    PathCost,
    PathCosts,
    PricingOptions,
    ReferenceUse,
    damage_price,
    discharge_wear_floor,
    horizon_cost,
    path_cost,
    path_costs,
    reference_damage,
    whole_pack_cost_per_kwh,
    without_discharge,
)
from backfeed.battery.stress import DEFAULT_TEMPERATURE_C, DayStress, SocPaths, day_damage, day_stress, path_damage

__all__ = [
    "DEFAULT_REFERENCE",
    "DEFAULT_TEMPERATURE_C",
    "DEFAULT_VALUE_PER_KWH",
    "END_OF_LIFE_LOSS",
    "LFP",
    "NCA",
    "NMC_A",
    "NMC_B1",
    "WEAR_LAWS",
    "DayStress",
    "DischargeWear",
    "LifetimeLoss",
    "LinearWear",
    "PathCost",
    "PathCosts",
    "PricingOptions",
    "ReferenceUse",
    "SocPaths",
    "WearLaw",
    "damage_price",
    "day_damage",
    "day_stress",
    "discharge_wear_floor",
    "horizon_cost",
    "lifetime_loss",
    "linear_coefficients",
    "path_cost",
    "path_costs",
    "path_damage",
    "reference_damage",
    "relinearise",
    "whole_pack_cost_per_kwh",
    "without_discharge",
]
