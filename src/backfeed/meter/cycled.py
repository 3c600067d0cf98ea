"""What was charged only to be discharged again: the last energy in is the first out."""

from collections.abc import Iterable


def cycled_kwh(flows: Iterable[tuple[float, bool]], round_trip: float) -> tuple[float, float]:
    """Return how much of what a stay charged it discharged again: of all, and of marked energy [kWh AC].

    Parameters
    ----------
    flows
        In order of time: energy at the meter [kWh], charging positive, and whether it is marked (of the valley).
    round_trip
        What comes out of a charged kWh.
    """
    cycled = cycled_marked = 0.0
    layers: list[tuple[float, bool]] = []
    for kwh, is_marked in flows:
        if kwh >= 0:
            layers.append((kwh, is_marked))
            continue
        wanted = -kwh / round_trip
        while wanted > 0 and layers:
            held, was_marked = layers.pop()
            taken = min(held, wanted)
            wanted -= taken
            cycled += taken
            cycled_marked += taken if was_marked else 0.0
            if held > taken:
                layers.append((held - taken, was_marked))
    return cycled, cycled_marked
