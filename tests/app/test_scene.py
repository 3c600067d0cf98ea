"""The scene: what a pilot file names and its window never meets is told."""

import pytest

from backfeed.app.scene import load_scene

SESSIONS = """session_id,station_id,user_id,arrival,departure,energy_kwh
s1,A,ann,2026-07-06T17:00:00,2026-07-07T07:00:00,12.0
"""
PILOT = """
[pilot]
name = "Told"
timezone = "Asia/Shanghai"
start = 2026-07-06
days = 1
[sessions]
file = "sessions.csv"
[tariff]
preset = "guangdong-v2g"
[[sites]]
id = "home"
stations = ["A"]
[[events]]
id = "noon"
kind = "peak_shave"
invited_at = 2026-07-06T08:00:00+08:00
start = 2026-07-06T12:00:00+08:00
end = 2026-07-06T13:00:00+08:00
power_kw = 5.0
price_per_kwh = 0.5
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("", "", ()),
        ('["A"]', '["A", "a"]', ("[[sites]] home: a is no location of the session file",)),
        ("2026-07-06T1", "2026-07-07T1", ("[[events]] noon: lies outside the window",)),
    ],
)
def test_a_location_without_sessions_and_an_event_of_another_day_are_told(tmp_path, old, new, told):
    (tmp_path / "sessions.csv").write_text(SESSIONS)
    path = tmp_path / "pilot.toml"
    path.write_text(PILOT.replace(old, new))
    remarks = load_scene(path).remarks
    assert len(remarks) == len(told)
    for remark, words in zip(remarks, told, strict=True):
        assert words in str(remark)
