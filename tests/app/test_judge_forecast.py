"""The judge on forecasts: what was missed adds up, and every session of the window is in one band of risk."""

import numpy as np
import pytest

from backfeed.app.dispatching import Policy
from backfeed.app.judge_forecast import BANDS, departure_forecasts, missed_rows
from backfeed.app.judge_series import missed_value
from backfeed.app.judging import judge_run
from backfeed.app.scene import load_scene


@pytest.fixture(scope="module")
def judged(small_path, worlds):
    scene = load_scene(small_path)
    return scene, judge_run(scene, worlds, foresight=True)


def test_what_was_missed_adds_up_by_class(judged):
    scene, judgement = judged
    missed = missed_value(judgement.worlds, judgement.truths["foresight"])
    rows = missed_rows(judgement.worlds, scene.sessions)
    assert sum(row.sessions for row in rows) == len(scene.sessions)
    for kind in ("kept", "broken", "none"):
        mine = [row.energy + row.shortfall + row.wear + row.leftover for row in rows if row.statement == kind]
        assert sum(mine) == pytest.approx(missed[kind], abs=1e-9)


def test_every_session_is_in_one_band_and_their_values_add_up(judged):
    scene, judgement = judged
    told = departure_forecasts(scene.history, scene.sessions, scene.pilot.pilot.timezone, judgement.worlds)
    assert told is not None
    assert [band.low for band in told.bands] == list(BANDS[:-1])
    assert sum(band.sessions for band in told.bands) == len(scene.sessions)
    base, best = (judgement.worlds[name].sessions.net_value for name in ("unmanaged", "foresight"))
    assert sum(band.possible for band in told.bands) == pytest.approx(float((best - base).sum()))
    for group in told.groups:
        assert (np.diff(group.coverage) >= 0).all()


def test_without_foresight_there_is_no_value_by_risk(judged):
    scene, judgement = judged
    few = {Policy.V2G.value: judgement.worlds["v2g"]}
    told = departure_forecasts(scene.history, scene.sessions, scene.pilot.pilot.timezone, few)
    assert told is not None
    assert told.bands == ()
    assert missed_rows(few, scene.sessions) == ()
