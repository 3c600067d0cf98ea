"""Which cars are there: models as data, weighted by how many of them are registered.

The table is `data/car_models.json`. It says of itself where its numbers come from and which of them
are assumptions; `CATALOGUE` carries both, so that a report can repeat them.
"""

from dataclasses import dataclass
from importlib import resources

import msgspec

from backfeed.battery.chemistry import Chemistry


@dataclass(frozen=True, slots=True)
class CarModel:
    """One car model that can charge and discharge on AC.

    Parameters
    ----------
    name
        Make and model.
    chemistry
        Cell family, which chooses the wear law.
    capacity_kwh
        Usable battery energy when new [kWh], in the battery.
    charge_max_kw, discharge_max_kw
        Largest power the car takes and gives [kW], AC at the EVSE, both positive.
    charge_efficiency
        Battery energy gained per AC energy taken.
    discharge_efficiency
        AC energy given per battery energy lost.
    weight
        Registrations: how often the model is drawn, relative to the others.
    """

    name: str
    chemistry: Chemistry
    capacity_kwh: float
    charge_max_kw: float
    discharge_max_kw: float
    charge_efficiency: float
    discharge_efficiency: float
    weight: float


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The car models, with the source of the table and its assumptions in words."""

    source: str
    assumptions: tuple[str, ...]
    models: tuple[CarModel, ...]


def load_catalogue() -> Catalogue:
    """Read the shipped table of car models."""
    body = resources.files("backfeed.battery").joinpath("data", "car_models.json").read_bytes()
    return msgspec.json.decode(body, type=Catalogue)


CATALOGUE = load_catalogue()
CAR_MODELS = CATALOGUE.models
