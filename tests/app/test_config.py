"""The pilot file: every table is checked, and everything wrong with a file is told at once."""

import pytest

from backfeed.app.config import load_pilot
from backfeed.core.instant import parse_instant
from backfeed.core.problem import InputError

GOOD = """
[pilot]
name = "P"
timezone = "Europe/Oslo"
start = 2026-03-28
days = 2
[sessions]
file = "s.csv"
[tariff]
preset = "guangdong-v2g"
"""
SITE = '[[sites]]\nid = "home"\nstations = ["A"]\n'
EVENT = """
[[events]]
id = "e"
kind = "peak_shave"
invited_at = 2026-03-28T10:00:00+01:00
start = 2026-03-28T18:00:00+01:00
end = 2026-03-28T19:00:00+01:00
power_kw = 5.0
price_per_kwh = 0.5
"""


@pytest.fixture
def problems(tmp_path):
    """Return the problems of a pilot file with this text, as text."""

    def find(text):
        path = tmp_path / "pilot.toml"
        path.write_text(text)
        with pytest.raises(InputError) as caught:
            load_pilot(path)
        return [str(problem) for problem in caught.value.problems]

    return find


def test_a_good_file_is_read(tmp_path):
    path = tmp_path / "pilot.toml"
    path.write_text(GOOD + SITE + EVENT)
    pilot = load_pilot(path, seed=9)
    assert pilot.pilot.seed == 9
    assert pilot.start_ms == parse_instant("2026-03-28T00:00:00+01:00")
    assert pilot.end_ms == parse_instant("2026-03-30T00:00:00+02:00")  # 47 hours: the clocks change
    assert pilot.resolve("s.csv") == tmp_path.resolve() / "s.csv"
    assert pilot.chargers.power_kw == 7.4


TABLES = {
    "pilot": GOOD.replace("days = 2", "days = 2\nbogus = 1"),
    "sessions": GOOD.replace('file = "s.csv"', 'file = "s.csv"\nbogus = 1'),
    "tariff": GOOD + "bogus = 1",
    "chargers": GOOD + "[chargers]\nbogus = 1",
    "drivers": GOOD + "[drivers]\nbogus = 1",
    "owner_defaults": GOOD + "[owner_defaults]\nbogus = 1",
    "plan": GOOD + "[plan]\nbogus = 1",
    "sites": GOOD + SITE + "bogus = 1",
    "events": GOOD + EVENT + "bogus = 1",
}


@pytest.mark.parametrize("table", TABLES)
def test_an_unknown_key_is_refused_with_its_table(problems, table):
    [problem] = problems(TABLES[table])
    assert "pilot.toml" in problem
    assert f"[{table}]" in problem
    assert "bogus" in problem


WRONG = [
    ("pilot", "days", GOOD.replace("days = 2", 'days = "many"')),
    ("pilot", "days", GOOD.replace("days = 2", "days = 0")),
    ("pilot", "days", GOOD.replace("days = 2", "days = 401")),
    ("pilot", "timezone", GOOD.replace("Europe/Oslo", "Europe/Atlantis")),
    ("pilot", "currency", GOOD.replace("days = 2", 'days = 2\ncurrency = "yuan"')),
    ("pilot", "start", GOOD.replace("2026-03-28", '"soon"')),
    ("sessions", "history_days", GOOD.replace('"s.csv"', '"s.csv"\nhistory_days = -1')),
    ("sessions", "file", GOOD.replace('file = "s.csv"', "")),
    ("tariff", "preset | file", GOOD.replace('preset = "guangdong-v2g"', "")),
    ("tariff", "preset | file", GOOD + 'file = "t.toml"'),
    ("chargers", "power_kw", GOOD + "[chargers]\npower_kw = 0"),
    ("chargers", "power_kw", GOOD + "[chargers]\npower_kw = nan"),
    ("chargers", "power_kw", GOOD + '[chargers]\npower_kw = "strong"'),
    ("chargers", "v2g_share", GOOD + "[chargers]\nv2g_share = 1.5"),
    ("chargers", "evse_per_location", GOOD + "[chargers]\nevse_per_location = 0"),
    ("chargers", "meter_interval_s", GOOD + "[chargers]\nmeter_interval_s = 7"),
    ("chargers", "control_interval_s", GOOD + "[chargers]\ncontrol_interval_s = 3"),
    ("drivers", "statement_share", GOOD + "[drivers]\nstatement_share = -0.1"),
    ("drivers", "statement_wrong_share", GOOD + "[drivers]\nstatement_wrong_share = nan"),
    ("drivers", "statement_sd_min", GOOD + "[drivers]\nstatement_sd_min = -1"),
    ("drivers", "soc_reported_share", GOOD + "[drivers]\nsoc_reported_share = 2"),
    ("owner_defaults", "reserve_soc", GOOD + "[owner_defaults]\nreserve_soc = 0.9"),
    ("owner_defaults", "target_soc", GOOD + "[owner_defaults]\ntarget_soc = 1.1"),
    ("owner_defaults", "reserve_certainty", GOOD + "[owner_defaults]\nreserve_certainty = 1.0"),
    ("plan", "interval_minutes", GOOD + "[plan]\ninterval_minutes = 7"),
    ("plan", "horizon_h", GOOD + "[plan]\nhorizon_h = 0.5"),
    ("plan", "shortfall_per_kwh", GOOD + "[plan]\nshortfall_per_kwh = -3"),
    ("sites", "import_limit_kw", GOOD + SITE + "import_limit_kw = -1"),
    ("sites", "export_limit_kw", GOOD + SITE + "export_limit_kw = nan"),
    ("sites", "base_load_kw or base_load_file", GOOD + SITE + 'base_load_kw = 1.0\nbase_load_file = "b.csv"'),
    ("sites", "twice", GOOD + SITE + SITE.replace('"A"', '"B"')),
    ("sites", "already belongs", GOOD + SITE + SITE.replace("home", "work")),
    ("events", "kind", GOOD + EVENT.replace("peak_shave", "party")),
    ("events", "offset", GOOD + EVENT.replace("10:00:00+01:00", "10:00:00")),
    ("events", "invited_at < start < end", GOOD + EVENT.replace("T19", "T17")),
    ("events", "quarter-hours", GOOD + EVENT.replace("T18:00", "T18:05")),
    ("events", "power_kw", GOOD + EVENT.replace("power_kw = 5.0", "power_kw = 0.0")),
    ("events", "twice", GOOD + EVENT + EVENT),
]


@pytest.mark.parametrize(("table", "key", "text"), WRONG)
def test_a_wrong_value_is_refused_with_file_table_key_expected_and_found(problems, table, key, text):
    found = problems(text)
    assert any("pilot.toml" in problem and f"[{table}]" in problem and key in problem for problem in found), found
    assert all("expected" in problem or "already" in problem for problem in found)


@pytest.mark.parametrize("table", ["pilot", "sessions", "tariff"])
def test_a_table_that_is_needed_is_missed(problems, table):
    head, _, tail = GOOD.partition(f"[{table}]")
    rest = tail[tail.find("\n[") :] if "\n[" in tail else ""
    assert any(f"[{table}]" in problem and "missing" in problem for problem in problems(head + rest))


def test_an_unknown_table_is_refused(problems):
    [problem] = problems(GOOD + "[bogus]\n")
    assert "bogus" in problem
    assert "chargers" in problem


def test_a_table_where_a_list_is_expected_is_refused(problems):
    [problem] = problems(GOOD + '[sites]\nid = "home"\n')
    assert "[[sites]]" in problem
    assert "expected a list" in problem


def test_all_problems_of_a_file_are_told_at_once(problems):
    text = GOOD.replace("days = 2", "days = 0").replace("Europe/Oslo", "Nowhere")
    text += "[chargers]\npower_kw = -1\nmeter_interval_s = 7\n[plan]\nhorizon_h = 0\n" + SITE + SITE
    found = problems(text)
    assert len(found) == 7
    for part in ("days", "timezone", "power_kw", "meter_interval_s", "horizon_h", "twice", "already"):
        assert any(part in problem for problem in found), part


def test_two_wrong_keys_of_one_table_are_both_told(problems):
    found = problems(GOOD + '[chargers]\npower_kw = "strong"\nv2g_share = "all"\nbogus = 1')
    assert len(found) == 3
    assert "expected float, got str, found 'strong'" in " ".join(found)


def test_a_file_that_is_no_toml_or_not_there_is_told(problems, tmp_path):
    assert "expected TOML" in problems("this is no pilot")[0]
    with pytest.raises(InputError, match="readable"):
        load_pilot(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("start = 2026-03-28", "start = 9999-12-30", "[pilot] start: expected a day of the years 1970 to 2200"),
        ('name = "P"', 'name = " "', "[pilot] name: expected a name"),
        (
            "[sessions]",
            "[drivers]\nstatement_sd_min = inf\n[sessions]",
            "statement_sd_min: expected 0 to 10080, found inf",
        ),
        (
            "[sessions]",
            "[plan]\nshortfall_per_kwh = inf\n[sessions]",
            "shortfall_per_kwh: expected 0 to 1000000, found inf",
        ),
        ("[tariff]", "[tariff]\nbase_price_per_kwh = 1e30", "base_price_per_kwh: expected 0 to 1000000, found 1e+30"),
        ("[sessions]", "[prompts]\nbonus = 1e30\n[sessions]", "[prompts] bonus: expected 0 to 1000000, found 1e+30"),
        ("[sessions]", f"{SITE}base_load_kw = nan\n[sessions]", "[[sites]] home base_load_kw: expected a number of kW"),
        ("[sessions]", "[[sites]]\nid = ''\n[sessions]", "[[sites]] 1 id: expected a name, found none"),
        (
            "[sessions]",
            f"{EVENT.replace('5.0', 'inf')}[sessions]",
            "[[events]] e power_kw: expected above 0, found inf",
        ),
        ("[sessions]", f"{EVENT.replace('0.5', 'nan')}[sessions]", "price_per_kwh: expected 0 to 1000000, found nan"),
        ("[sessions]", EVENT.replace('"e"', '""') + "[sessions]", "[[events]] 1 id: expected a name"),
    ],
)
def test_numbers_that_nothing_can_carry_are_refused_where_they_stand(problems, old, new, told):
    assert any(told in problem for problem in problems(GOOD.replace(old, new, 1)))


def test_a_name_that_no_file_can_bear_is_bad_input(tmp_path):
    path = tmp_path / "pilot.toml"
    path.write_text(GOOD)
    with pytest.raises(InputError, match="expected the name of a file"):
        load_pilot(path).resolve("a\0b")
