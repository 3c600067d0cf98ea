"""What a driver's word for the state of charge is worth, given how right such words have proved.

A driver who is asked how full the car came reads it off the dashboard, and is off by a few points: the word is rounded,
remembered, and on the scale of a battery whose true capacity nobody has enrolled. A few say something else altogether.
So a word is **read**, with an error that scatters normally, or **wrong**, and tells nothing. Which one is inferred by
Bayes: a word that fits what the driver usually needs is believed, one that would be rare is doubted. What the stay
takes is then the one or the other, with these odds.

Spread and share of wrong words are pooled over all drivers, with a prior, and a driver's own outweigh them after some
words. They are learnt where a car has shown itself at its driver's limit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from backfeed.forecast.energy_need import EnergyDistribution

PRIOR_SPREAD = 0.03
PRIOR_WRONG = 0.05
PRIOR_WORDS = 20.0
"""What is believed of all words before any was proved, as shares of a capacity and of words, and what that is worth."""

DRIVER_PSEUDO_COUNT = 8.0
"""How many words of his own move a driver half way from the average driver to himself."""

WRONG_BEYOND = 0.10
"""A word further off than this share of the capacity was not read off the dashboard."""

UNHEARD_SHARE = 0.15
"""How much of what is expected of a driver is spread evenly over all states of charge: he may have been further away
than ever before."""

_ABOUT = 0.05
"""How far about a word it is looked how usual such a need is, as a share of the capacity."""

_LEVELS: NDArray[np.float64] = (np.arange(40) + 0.5) / 40
_NORMAL: NDArray[np.float64] = np.asarray(ndtri(_LEVELS), dtype=np.float64)


@dataclass(slots=True)
class _Tally:
    read: int = 0
    wrong: int = 0
    squares: float = 0.0


class ChargeRecord:
    """How right drivers' words for the state of charge have proved.

    >>> record = ChargeRecord()
    >>> record.shown("u", 0.3)
    >>> record.wrong_share("u") > ChargeRecord().wrong_share("u")
    True
    """

    def __init__(self) -> None:
        """Begin with the prior."""
        self._all = _Tally()
        self._drivers: dict[str, _Tally] = {}

    def shown(self, driver: str, too_much: float) -> None:
        """Count a word that was so much above what the car has shown, as a share of its capacity."""
        for tally in (self._all, self._drivers.setdefault(driver, _Tally())):
            if abs(too_much) > WRONG_BEYOND:
                tally.wrong += 1
            else:
                tally.read += 1
                tally.squares += too_much**2

    def spread(self, driver: str) -> float:
        """Return the standard deviation of a word that was read, as a share of the capacity."""
        own, total = self._drivers.get(driver, _Tally()), self._all
        average = (total.squares + PRIOR_WORDS * PRIOR_SPREAD**2) / (total.read + PRIOR_WORDS)
        return float(np.sqrt((own.squares + DRIVER_PSEUDO_COUNT * average) / (own.read + DRIVER_PSEUDO_COUNT)))

    def wrong_share(self, driver: str) -> float:
        """Return the chance that a word is wrong."""
        own, total = self._drivers.get(driver, _Tally()), self._all
        average = (total.wrong + PRIOR_WORDS * PRIOR_WRONG) / (total.read + total.wrong + PRIOR_WORDS)
        return (own.wrong + DRIVER_PSEUDO_COUNT * average) / (own.read + own.wrong + DRIVER_PSEUDO_COUNT)

    def weigh(self, driver: str, need: EnergyDistribution, needs_soc: float, full_kwh: float) -> EnergyDistribution:
        """Return what a stay takes, now that its driver has said how full the car came.

        Parameters
        ----------
        driver
            Who has said it.
        need
            What the stay was expected to take.
        needs_soc
            What the car lacks of its target by the driver's word, as a share of its capacity.
        full_kwh
            What an empty battery takes in all [kWh AC].
        """
        window = full_kwh * (needs_soc + np.array([-_ABOUT, _ABOUT]))
        usual = float(np.diff(np.interp(window, need.energy_kwh, need.level, left=0.0, right=1.0))[0]) / (2 * _ABOUT)
        density = (1 - UNHEARD_SHARE) * usual + UNHEARD_SHARE
        wrong = self.wrong_share(driver)
        # A wrong word names any state of charge: its density is one.
        wrong /= wrong + (1 - wrong) * density
        read_kwh = full_kwh * (needs_soc + self.spread(driver) * _NORMAL)
        energy = np.unique(np.concatenate([read_kwh, need.energy_kwh]))
        if_read = np.interp(energy, read_kwh, _LEVELS, left=0.0, right=1.0)
        if_wrong = np.interp(energy, need.energy_kwh, need.level, left=0.0, right=1.0)
        return EnergyDistribution(energy, (1 - wrong) * if_read + wrong * if_wrong)
