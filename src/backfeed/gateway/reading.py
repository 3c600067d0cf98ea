"""Meter values of OCPP as readings: units, phases and the two unsigned directions undone.

One OCPP MeterValue holds many samples of one instant; a `Reading` holds the four that the platform uses.

===================================  ==============================================================
sample                               reading
===================================  ==============================================================
Energy.Active.Import.Register        `import_wh`, also when the measurand is left out (its default)
Energy.Active.Export.Register        `export_wh`
Power.Active.Import minus .Export    `power_kw`, charging positive; one alone will do
SoC                                  `soc`, a fraction
===================================  ==============================================================

Registers and powers count at the outlet (the default location), SoC wherever it was read. A sample without
a phase is the total; where there are only phases, their sum is. What a meter can not have measured (a
negative register, 101 %, a gigawatt, a unit of something else) is left out and reported, never guessed at.

Source: OCPP 2.1 Part 2, MeterValueType, SampledValueType, UnitOfMeasureType and the appendix of units.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from backfeed.core.instant import MS_PER_S, parse_instant
from backfeed.core.sign import power_from_import_export_kw
from backfeed.fleet.event import Reading
from backfeed.wire.ocpp21 import MeterValue, SampledValue

IMPORT_REGISTER = "Energy.Active.Import.Register"
EXPORT_REGISTER = "Energy.Active.Export.Register"
IMPORT_POWER = "Power.Active.Import"
EXPORT_POWER = "Power.Active.Export"
STATE_OF_CHARGE = "SoC"

POWER_MAX_W = 10e6
"""More than any charging station can carry: a claim beyond it is a fault, not a reading."""

REGISTER_MAX_WH = 1e13
MULTIPLIER_MAX = 12

_RULES: dict[str, tuple[dict[str, float], str, float]] = {
    # measurand: factor by unit, the unit when there is none, the greatest believable value
    IMPORT_REGISTER: ({"Wh": 1.0, "kWh": 1e3}, "Wh", REGISTER_MAX_WH),
    EXPORT_REGISTER: ({"Wh": 1.0, "kWh": 1e3}, "Wh", REGISTER_MAX_WH),
    IMPORT_POWER: ({"W": 1.0, "kW": 1e3}, "W", POWER_MAX_W),
    EXPORT_POWER: ({"W": 1.0, "kW": 1e3}, "W", POWER_MAX_W),
    STATE_OF_CHARGE: ({"Percent": 1.0}, "Percent", 100.0),
}

_PHASES = frozenset({"L1", "L2", "L3", "L1-N", "L2-N", "L3-N"})


@dataclass(slots=True)
class Readings:
    """The readings of a message, and what was wrong with the samples that were left out."""

    readings: tuple[Reading, ...] = ()
    faults: list[str] = field(default_factory=list)


def instant_of(text: str) -> int:
    """Return the milliseconds of an OCPP dateTime.

    A leap second counts as the last millisecond before it, as the clocks of computers do.

    Raises
    ------
    ValueError
        If there is no such day or time.

    >>> instant_of("2016-12-31T23:59:60Z") == instant_of("2016-12-31T23:59:59.999z")
    True
    """
    upper = text.upper()
    leap = upper[17:19] == "60"
    at_ms = parse_instant(upper[:17] + "59" + upper[19:] if leap else upper)
    return at_ms // MS_PER_S * MS_PER_S + MS_PER_S - 1 if leap else at_ms


def readings_of(meter_values: Iterable[MeterValue]) -> Readings:
    """Return what a message's meter values say, in their order.

    Raises
    ------
    ValueError
        If a timestamp names no instant.
    """
    result = Readings()
    kept = [_reading(value, result.faults) for value in meter_values]
    result.readings = tuple(reading for reading in kept if reading is not None)
    return result


def _reading(meter_value: MeterValue, faults: list[str]) -> Reading | None:
    measured_ms = instant_of(meter_value.timestamp)
    totals = _totals(meter_value.sampled_value, faults)
    if not totals:
        return None
    imported, exported = totals.get(IMPORT_REGISTER), totals.get(EXPORT_REGISTER)
    percent = totals.get(STATE_OF_CHARGE)
    power_kw = None
    if IMPORT_POWER in totals or EXPORT_POWER in totals:
        power_kw = power_from_import_export_kw(totals.get(IMPORT_POWER, 0.0), totals.get(EXPORT_POWER, 0.0))
    return Reading(
        measured_ms=measured_ms,
        import_wh=None if imported is None else round(imported),
        export_wh=None if exported is None else round(exported),
        power_kw=power_kw,
        soc=None if percent is None else percent / 100,
    )


def _totals(samples: Sequence[SampledValue], faults: list[str]) -> dict[str, float]:
    """Return the measurands that are used, each in its base unit and over all phases."""
    totals: dict[str, float] = {}
    by_phase: dict[str, dict[str, float]] = {}
    for sample in samples:
        measurand = sample.measurand or IMPORT_REGISTER
        if measurand not in _RULES:
            continue
        if measurand != STATE_OF_CHARGE and (sample.location or "Outlet") != "Outlet":
            continue
        value = _value(measurand, sample, faults)
        if value is None:
            continue
        if not sample.phase:
            totals[measurand] = value
        elif sample.phase in _PHASES:
            by_phase.setdefault(measurand, {})[sample.phase[:2]] = value
    for measurand, phases in by_phase.items():
        totals.setdefault(measurand, sum(phases[phase] for phase in sorted(phases)))
    return totals


def _value(measurand: str, sample: SampledValue, faults: list[str]) -> float | None:
    factors, default_unit, greatest = _RULES[measurand]
    unit, multiplier = default_unit, 0
    if sample.unit_of_measure:
        unit = sample.unit_of_measure.unit or default_unit
        multiplier = sample.unit_of_measure.multiplier or 0
    if unit not in factors:
        faults.append(f"{measurand} in {unit!r}, expected one of {', '.join(factors)}")
        return None
    if abs(multiplier) > MULTIPLIER_MAX:
        faults.append(f"{measurand} with a multiplier of 10^{multiplier}")
        return None
    value = sample.value * factors[unit] * 10.0**multiplier if multiplier else sample.value * factors[unit]
    if not 0 <= value <= greatest:
        faults.append(f"{measurand} of {sample.value:g} {unit}, expected 0 to {greatest:g} {default_unit}")
        return None
    return value
