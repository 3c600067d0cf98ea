"""Knowing: what it is worth that a driver tells what he and his car have not.

Found by planning the car alone. A departure: the expected cost of the best plan over the odds, less the mean of those
over the odds that the driver's word would leave, for words spread over his departure.

A state of charge: not knowing it holds back the energy between the lower edge of what the car may have and what it
has, which may not be discharged, though it need not be bought either. So for states of charge spread over what the
driver may need, the car is planned once with that energy added to its reserve and once with no more than a driver's
word leaves in doubt. That the former ends when the car shows itself is left out.
"""

from dataclasses import dataclass, replace

from scipy.special import ndtri

from backfeed.app.knowledge import Car, Knowledge
from backfeed.app.planning import Planning
from backfeed.fleet.belief import stored_kwh
from backfeed.fleet.event import Asks
from backfeed.plan.rolling import LEVELS

ASKED_LEVELS = (0.2, 0.6, 0.95)
"""The departures, as quantiles of the odds, for which it is found what the driver's word would be worth."""

CHARGE_LEVELS = (1 / 6, 1 / 2, 5 / 6)
"""The states of charge, as quantiles of what the stay takes, for which the same is found."""


@dataclass(frozen=True)
class Knowing:
    """Prices what is not known of a car.

    Parameters
    ----------
    knowledge, planning
        What is known, and what a plan costs.
    """

    knowledge: Knowledge
    planning: Planning

    def unknown(self, car: Car) -> Asks:
        """Return what a driver could tell of a stay that neither he nor his car has told."""
        asks: Asks = ("departure",) if car.plug.departure_stated_ms < 0 else ()
        return (*asks, "charge") if car.plug.soc_ms < 0 and not car.is_energy_known else asks

    async def worth(self, now_ms: int, car: Car, unknown: Asks) -> dict[Asks, float]:
        """Return how much less the best plan costs once the driver has told each of these, and both [currency].

        What a state of charge is worth to one whose departure is known is found for the middle one.
        """
        found: dict[Asks, float] = {}
        words = [self._if_stated(now_ms, car, level) for level in ASKED_LEVELS] if "departure" in unknown else []
        if words:
            knowing = await self._mean_cost(now_ms, words)
            found["departure",] = await self.planning.cost_alone(now_ms, car) - knowing
        if "charge" in unknown:
            found["charge",] = await self._worth_of_charge(now_ms, car)
            if words:
                middle = words[len(words) // 2]
                found["departure", "charge"] = found["departure",] + await self._worth_of_charge(now_ms, middle)
        return found

    async def _worth_of_charge(self, now_ms: int, car: Car) -> float:
        charges = self._charges_kwh(car)
        hidden = await self._mean_cost(now_ms, [self._holding(car, kwh, car.energy_low_kwh) for kwh in charges])
        told = await self._mean_cost(now_ms, [self._told(car, kwh) for kwh in charges])
        return (1 - self.knowledge.charge_words.wrong_share(car.plug.token)) * (hidden - told)

    async def _mean_cost(self, now_ms: int, cars: list[Car]) -> float:
        costs = [await self.planning.cost_alone(now_ms, car) for car in cars]
        return sum(costs) / len(costs)

    def _if_stated(self, now_ms: int, car: Car, level: float) -> Car:
        word_ms = int(car.left_by_ms[LEVELS.index(level)])
        left_by_ms = self.knowledge.outlook.left_by_if_stated_ms(car.plug, car.location, now_ms, word_ms)
        return replace(car, left_by_ms=left_by_ms)

    def _charges_kwh(self, car: Car) -> list[float]:
        """Return what a car may hold now, at `CHARGE_LEVELS` of what its stay takes [kWh in the battery]."""
        stored = stored_kwh(car.plug, car.owner)
        efficiency = car.owner.vehicle.charge_efficiency
        need = self.knowledge.need(car.plug).quantiles_kwh(CHARGE_LEVELS, max(stored, 0.0) / efficiency)
        likely = car.owner.target_soc * car.owner.vehicle.capacity_kwh - need * efficiency + stored
        return [max(float(kwh), car.energy_low_kwh) for kwh in likely]

    def _told(self, car: Car, charge_kwh: float) -> Car:
        """Return a car that holds so much, as its driver's word would leave it."""
        edge = float(ndtri(car.owner.reserve_certainty))
        doubt_kwh = edge * self.knowledge.charge_words.spread(car.plug.token) * car.owner.vehicle.capacity_kwh
        sure = replace(car, edge_gap_kwh=0.0)
        return self._holding(sure, charge_kwh, max(car.energy_low_kwh, charge_kwh - doubt_kwh))

    @staticmethod
    def _holding(car: Car, charge_kwh: float, low_kwh: float) -> Car:
        """Return a car that holds so much, of which what lies above an edge of doubt is held back."""
        held_kwh = charge_kwh - low_kwh
        reserve_soc = car.owner.reserve_soc + held_kwh / car.owner.vehicle.capacity_kwh
        return replace(
            car,
            energy_low_kwh=charge_kwh,
            energy_high_kwh=charge_kwh + min(2 * held_kwh, car.energy_high_kwh - car.energy_low_kwh),
            owner=replace(car.owner, reserve_soc=reserve_soc),
        )
