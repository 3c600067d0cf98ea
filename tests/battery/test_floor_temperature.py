"""The wear floor of a discharge takes one temperature or one per sample."""

import numpy as np
import pytest

from backfeed.battery.wear import LFP, SocPaths, discharge_wear_floor

HOUR_MS = 3_600_000


def floor_at(temperature_c):
    paths = SocPaths(np.array([0, 2, 8, 0, 3]) * HOUR_MS, np.array([0.8, 0.5, 0.5, 0.7, 0.4]), np.array([0, 3, 5]))
    return discharge_wear_floor(LFP, paths, 60.0, [16.0, 16.0], temperature_c=temperature_c).floor_per_kwh


def test_equal_readings_are_a_constant():
    assert floor_at(np.full(5, 15.0)) == pytest.approx(floor_at(15.0))


def test_what_is_charged_back_is_charged_as_warm_as_the_path_ended():
    mixed = floor_at(np.array([15.0, 15.0, 15.0, 35.0, 35.0]))
    assert mixed.tolist() == pytest.approx([floor_at(15.0)[0], floor_at(35.0)[1]])
