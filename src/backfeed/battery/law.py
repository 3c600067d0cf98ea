"""The wear laws: how stress becomes capacity loss, from published ageing experiments.

NREL's BLAST-Lite fits the capacity a cell loses in storage and in cycling as power laws whose small
steps are

    dq = k p (q / k)**((p - 1) / p) dx,

where x is days (storage) or equivalent full cycles (cycling) and k depends on the stress of the
moment. Substituting the *damage* D = q**(1/p) gives

    dD = k**(1/p) dx,        q = D_calendar**p_calendar + D_cycling**p_cycling.

Damage is additive: the order of days does not matter, two floats are the whole memory of a battery,
and any difference between two ways of using a car is a difference of two sums.

The storage stress depends on state of charge and temperature, mostly through the potential of the
graphite anode; the cycling stress on the depth of the day's swing, the mean C-rate and temperature.

Limits, to be told whenever a result is shown. The cycling experiments ran at depths of 0.8 to 1, so
shallow cycles are an extrapolation. There is no lithium plating and no knee in these laws, which is
why temperatures are clamped to the tested range (`backfeed.battery.limits`) and discharge is blocked
in the cold. Real fleets can fade several times faster than cells in a laboratory: calibrate each car
on its measured fade (`scale`).

References
----------
.. [1] P. Gasper, N. Prakash, K. Smith, BLAST-Lite 1.1.1, BSD-3-Clause, github.com/NatLabRockies/BLAST-Lite.
.. [2] P. Gasper et al., J. Energy Storage 73 (2023) 109042, doi:10.1016/j.est.2023.109042 (LFP, NMC-A, NMC-B1).
.. [3] P. Keil et al., J. Electrochem. Soc. 163 (2016) A1872, doi:10.1149/2.0411609jes (NCA in storage).
.. [4] Y. Preger et al., J. Electrochem. Soc. 167 (2020) 120532, doi:10.1149/1945-7111/abae37 (NCA in cycling).
.. [5] M. Safari, C. Delacourt, J. Electrochem. Soc. 158 (2011) A562, doi:10.1149/1.3567007 (anode potential).
.. [6] M. Schimpe et al., J. Electrochem. Soc. 165 (2018) A181, doi:10.1149/2.1181714jes (anode stoichiometry).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backfeed.battery.chemistry import Chemistry

Floats: TypeAlias = NDArray[np.float64]

KELVIN_AT_ZERO_C = 273.15
_WARM_K = 308.15
"""The temperature the NMC fits are normalised by [K]: 35 degrees."""
_ANODE_HALF_FULL_V = 0.123
"""The anode potential the NMC fits are normalised by [V], reached near half charge."""


@dataclass(frozen=True)
class WearLaw:
    """One cell's law of capacity loss.

    Parameters
    ----------
    chemistry
        The cell family the law stands for.
    cell
        The cell that was tested and its class in BLAST-Lite.
    source
        Where the experiment is published.
    calendar_power, cycling_power
        The exponents p of the two terms.
    calendar_unit_days, cycling_unit_efc
        The units in which the fits count x: days and equivalent full cycles.
    calendar_stress
        k of storage from SoC (0-1) and temperature [K].
    cycling_stress
        k of cycling from the depth of the swing (0-1), the mean C-rate [1/h] and temperature [K].
    calendar_temperature_c, cycling_temperature_c
        The ranges temperature is clamped to [degrees C].
    depth_tested
        Depths of the cycling experiments; a shallower swing is an extrapolation.
    c_rate_charge_max, c_rate_discharge_max
        The fastest tested rates [1/h].
    """

    chemistry: Chemistry
    cell: str
    source: str
    calendar_power: float
    cycling_power: float
    calendar_unit_days: float
    cycling_unit_efc: float
    calendar_stress: Callable[[Floats, Floats], Floats]
    cycling_stress: Callable[[Floats, Floats, Floats], Floats]
    calendar_temperature_c: tuple[float, float]
    cycling_temperature_c: tuple[float, float]
    depth_tested: tuple[float, float]
    c_rate_charge_max: float
    c_rate_discharge_max: float

    def calendar_damage(self, stress: Floats, days: Floats) -> Floats:
        """Return the damage of storing for some days at a mean stress k: `k**(1/p) days`."""
        damage: Floats = stress ** (1 / self.calendar_power) * (days / self.calendar_unit_days)
        return damage

    def cycling_damage(self, depth: Floats, c_rate: Floats, temperature_c: Floats, full_cycles: Floats) -> Floats:
        """Return the damage of some equivalent full cycles at a depth, mean C-rate and temperature.

        Temperature and C-rate are clamped to the tested range, depth to 0-1.
        """
        temperature_k = np.clip(temperature_c, *self.cycling_temperature_c) + KELVIN_AT_ZERO_C
        c_rate = np.clip(c_rate, 0, max(self.c_rate_charge_max, self.c_rate_discharge_max))
        stress = self.cycling_stress(np.clip(depth, 0, 1), c_rate, temperature_k)
        damage: Floats = stress ** (1 / self.cycling_power) * (full_cycles / self.cycling_unit_efc)
        return damage

    def loss(self, calendar_damage: ArrayLike, cycling_damage: ArrayLike) -> tuple[Floats, Floats]:
        """Return the capacity lost in storage and in cycling, as fractions of the new capacity."""
        stored, cycled = np.asarray(calendar_damage, dtype=np.float64), np.asarray(cycling_damage, dtype=np.float64)
        return stored**self.calendar_power, cycled**self.cycling_power


def anode_potential_v(soc: Floats) -> Floats:
    """Return the potential of a graphite anode against lithium [V] at a state of charge (0-1) [5]_ [6]_.

    >>> round(float(anode_potential_v(np.float64(0.5))), 3)
    0.123
    """
    x = 8.5e-3 + soc * (0.78 - 8.5e-3)
    potential: Floats = (
        0.6379
        + 0.5416 * np.exp(-305.5309 * x)
        + 0.044 * np.tanh(-(x - 0.1958) / 0.1088)
        - 0.1978 * np.tanh((x - 1.0571) / 0.0854)
        - 0.6875 * np.tanh((x + 0.0117) / 0.0529)
        - 0.0175 * np.tanh((x - 0.5692) / 0.0875)
    )
    return potential


def _lfp_calendar(soc: Floats, temperature_k: Floats) -> Floats:
    stress: Floats = 8.37e4 * np.exp(-5210 / temperature_k) * np.exp(-3560 * anode_potential_v(soc) / temperature_k)
    return stress


def _lfp_cycling(depth: Floats, c_rate: Floats, temperature_k: Floats) -> Floats:
    thermal = np.exp(2190 / temperature_k) + np.exp(-1.55e5 / temperature_k)
    stress: Floats = (4.38e-8 + 1.55e-8 * depth + 1.68e-7 * c_rate) * thermal
    return stress


def _nmc_a_calendar(soc: Floats, temperature_k: Floats) -> Floats:
    warmth = temperature_k / _WARM_K
    return 8.71e-7 * np.exp(10 * warmth**3 / np.cbrt(anode_potential_v(soc) / _ANODE_HALF_FULL_V))


def _nmc_a_cycling(depth: Floats, c_rate: Floats, temperature_k: Floats) -> Floats:
    warmth = temperature_k / _WARM_K
    root = np.sqrt(depth)
    return np.abs(
        0.0267
        + 1.64 * warmth**3 * root
        + 0.011 * np.exp(c_rate**2 / np.sqrt(warmth))
        - 0.44 * np.exp(root * warmth**2 * np.sqrt(c_rate))
    )


def _nmc_b1_calendar(soc: Floats, temperature_k: Floats) -> Floats:
    warmth = temperature_k / _WARM_K
    return 36.2 * np.exp(-4.4 / warmth**3 * np.cbrt(anode_potential_v(soc) / _ANODE_HALF_FULL_V))


def _nmc_b1_cycling(depth: Floats, c_rate: Floats, temperature_k: Floats) -> Floats:
    warmth = temperature_k / _WARM_K
    stress: Floats = 0.844 * (depth**2 * warmth**3 * np.sqrt(c_rate)) ** 0.458
    return stress


def _nca_calendar(soc: Floats, temperature_k: Floats) -> Floats:
    return 75.4 * np.exp(-3340 / temperature_k) * np.exp(353 * soc / temperature_k)


def _nca_cycling(depth: Floats, c_rate: Floats, temperature_k: Floats) -> Floats:
    thermal = np.exp(3.34e-11 / temperature_k) + np.exp(-2.81e-9 / temperature_k)
    stress: Floats = (1.86e-6 + 4.74e-11 * c_rate + 1.77e-4 * depth) * thermal
    return stress


_GASPER = "Gasper et al. 2023, doi:10.1016/j.est.2023.109042; fit of BLAST-Lite 1.1.1"

LFP = WearLaw(
    chemistry=Chemistry.LFP,
    cell="prismatic LFP-graphite, more than 250 Ah (Lfp_Gr_250AhPrismatic)",
    source=_GASPER,
    calendar_power=0.526,
    cycling_power=0.828,
    calendar_unit_days=1.0,
    cycling_unit_efc=1.0,
    calendar_stress=_lfp_calendar,
    cycling_stress=_lfp_cycling,
    calendar_temperature_c=(10.0, 45.0),
    cycling_temperature_c=(10.0, 45.0),
    depth_tested=(0.8, 1.0),
    c_rate_charge_max=0.65,
    c_rate_discharge_max=1.0,
)
"""Large-format LFP, the default for Chinese cars. The tests held SoC, depth, rate and 10-45 degrees apart only
weakly in cycling: the fitted cycling wear falls with warmth, to balance the storage term. Charging was slow
(0.16 C at 10 degrees, else up to 0.65 C); fast charging is not covered.

k_cal = 8.37e4 exp(-5210/T) exp(-3560 Ua/T), p = 0.526, x in days;
k_cyc = (4.38e-8 + 1.55e-8 depth + 1.68e-7 C) (exp(2190/T) + exp(-1.55e5/T)), p = 0.828, x in full cycles.
"""

NMC_A = WearLaw(
    chemistry=Chemistry.NMC_A,
    cell="pouch NMC-graphite, about 75 Ah, the paper's 'NMC-Gr A' (NMC_Gr_75Ah_A)",
    source=_GASPER,
    calendar_power=0.578,
    cycling_power=1.11,
    calendar_unit_days=1e3,
    cycling_unit_efc=1e4,
    calendar_stress=_nmc_a_calendar,
    cycling_stress=_nmc_a_cycling,
    calendar_temperature_c=(10.0, 45.0),
    cycling_temperature_c=(10.0, 45.0),
    depth_tested=(0.8, 1.0),
    c_rate_charge_max=2.0,
    c_rate_discharge_max=2.0,
)
"""The NMC cell that minds cycling. Its fitted cycling stress passes through zero at a depth near 0.06 and is
taken by its magnitude, as the source does: below that depth it means nothing.

k_cal = 8.71e-7 exp(10 N**3 / cbrt(Ua/0.123)), N = T/308.15 K, p = 0.578, x in 1000 days;
k_cyc = |0.0267 + 1.64 N**3 sqrt(depth) + 0.011 exp(C**2/sqrt(N)) - 0.44 exp(sqrt(depth) N**2 sqrt(C))|, p = 1.11,
x in 10,000 full cycles.
"""

NMC_B1 = WearLaw(
    chemistry=Chemistry.NMC_B1,
    cell="pouch NMC-graphite, about 50 Ah, the paper's 'NMC-Gr B1' (NMC_Gr_50Ah_B1)",
    source=_GASPER,
    calendar_power=0.708,
    cycling_power=0.467,
    calendar_unit_days=1e4,
    cycling_unit_efc=1e5,
    calendar_stress=_nmc_b1_calendar,
    cycling_stress=_nmc_b1_cycling,
    calendar_temperature_c=(10.0, 45.0),
    cycling_temperature_c=(10.0, 45.0),
    depth_tested=(0.8, 1.0),
    c_rate_charge_max=1.75,
    c_rate_discharge_max=1.75,
)
"""The NMC cell that minds storage: the upper bound for a car that stands full. Charging at 10 degrees was limited
to 0.3 C.

k_cal = 36.2 exp(-4.4/N**3 cbrt(Ua/0.123)), N = T/308.15 K, p = 0.708, x in 10,000 days;
k_cyc = 0.844 (depth**2 N**3 sqrt(C))**0.458, p = 0.467, x in 100,000 full cycles.
"""

NCA = WearLaw(
    chemistry=Chemistry.NCA,
    cell="18650 NCA-graphite, 3.2 Ah (Nca_Gr_Panasonic3Ah_Battery)",
    source="Keil et al. 2016, doi:10.1149/2.0411609jes; Preger et al. 2020, doi:10.1149/1945-7111/abae37; "
    "fit of BLAST-Lite 1.1.1",
    calendar_power=0.512,
    cycling_power=0.699,
    calendar_unit_days=1.0,
    cycling_unit_efc=1.0,
    calendar_stress=_nca_calendar,
    cycling_stress=_nca_cycling,
    calendar_temperature_c=(10.0, 50.0),
    cycling_temperature_c=(15.0, 35.0),
    depth_tested=(0.8, 1.0),
    c_rate_charge_max=0.5,
    c_rate_discharge_max=2.0,
)
"""Small cylindrical NCA. Stored at 25, 40 and 50 degrees for up to 300 days; below 25 degrees the storage term is
its Arrhenius law continued to 10 degrees. Cycled at 15 to 35 degrees; the dependence on depth is assumed linear,
and there is no knee.

k_cal = 75.4 exp(-3340/T) exp(353 soc/T), p = 0.512, x in days;
k_cyc = (1.86e-6 + 4.74e-11 C + 1.77e-4 depth) (exp(3.34e-11/T) + exp(-2.81e-9/T)), p = 0.699, x in full cycles.
"""

WEAR_LAWS = {law.chemistry: law for law in (LFP, NMC_A, NMC_B1, NCA)}
