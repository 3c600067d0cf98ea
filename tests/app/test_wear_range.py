"""What left the tested range of the wear laws is told once, with what was found."""

import numpy as np

from backfeed.app.dispatching import Policy
from backfeed.app.wear_range import left_range, said_of
from backfeed.battery.temperature import CellTemperature


def test_clamped_temperatures_and_shallow_swings_are_told(worlds):
    truth = worlds[Policy.V2G].truth
    warm = {each.quantity: each for each in left_range(truth, CellTemperature(25.0), 0)}
    assert "temperature_c" not in warm
    assert warm["depth"].treatment == "extrapolated"
    cold = {each.quantity: each for each in left_range(truth, CellTemperature(2.0), 0)}["temperature_c"]
    assert (cold.lowest, cold.found_lowest, cold.treatment) == (10.0, 2.0, "clamped")
    assert cold.count == len(truth.segments) + len(truth.sessions)
    said = said_of(cold)
    assert "cell temperature" in said.en
    assert "2-2" in said.en
    assert "电芯温度" in said.zh


def test_a_feed_has_gaps_in_which_the_default_holds():
    hour = 3_600_000
    feed = CellTemperature(20.0, np.array([0, 6 * hour, 13 * hour]), np.array([4.0, 10.0, 17.0]))
    assert feed.over(np.array([3, 6, 7, 13, 14]) * hour).tolist() == [7.0, 10.0, 20.0, 17.0, 20.0]
    assert feed.now_c(3 * hour) == 7.0
