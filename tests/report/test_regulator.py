"""The regulator's report: pooling, roll-ups, regions, tables in two languages, metered stays."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.instant import MS_PER_H, MS_PER_MIN, parse_instant
from backfeed.core.problem import InputError
from backfeed.report.metered import Metered, StayFacts, hours_inside, metered_stays
from backfeed.report.regulator import DayRow, MeterRow, Place, Proof, RunFigures, regulator_report
from backfeed.report.regulator_files import days_csv, meters_csv, regulator_document, targets_csv
from backfeed.report.regulator_page import regulator_page
from backfeed.report.requirements import load_notice
from backfeed.report.targets import ShareSums

NOTICE = load_notice()
BEGIN = parse_instant("2026-07-06T00:00:00+08:00")
QUARTER = 15 * MS_PER_MIN


def run(
    project, city="Guangzhou", province="Guangdong", *, charged=100.0, valley=70.0, days=2, export=(50_000, 0), at=0
):
    sums = ShareSums(charged, valley, 100.0, 90.0)
    kept = ShareSums(charged - 10, valley - 10, 100.0, 80.0)
    back = np.array([wh for wh in export if wh], dtype=np.int64)
    return RunFigures(
        run=f"runs/{project}",
        place=Place(project, city, province),
        simulated=True,
        tariff="guangdong-v2g",
        warnings=(),
        shares={
            "offpeak_share": sums,
            "offpeak_share_net": kept,
            "offpeak_share_private": sums,
            "offpeak_share_private_net": kept,
        },
        reachable_discharge_kwh=2000.0,
        quarter_ms=BEGIN + QUARTER * (at + np.arange(len(back))),
        export_wh=back,
        days=tuple(
            DayRow(
                f"2026-07-{6 + k:02d}", f"{project}{k}", 96, charged / days, valley / days, sum(export) / 1000 / days
            )
            for k in range(days)
        ),
        meters=(meter(f"{project}-cp", 96 * days, charged, valley, sum(export) / 1000),),
        proof=Proof(f"log {project}", f"ledger {project}", ()),
    )


def meter(station, intervals, charged, valley, discharged):
    return MeterRow(
        "site", station, 1, private=True, intervals=intervals, charged_kwh=charged, valley_kwh=valley,
        discharged_kwh=discharged, discharge_rated_kw=300.0,
    )  # fmt: skip


def row_of(report, level, name=""):
    return next(row for row in report.rows if (row.level, row.name) == (level, name))


def test_a_project_of_several_runs_adds_its_meters_up_quarter_by_quarter():
    one = run("homes", export=(100_000, 50_000))
    other = replace(run("homes", export=(20_000, 90_000)), run="runs/other")
    other = replace(other, meters=(replace(other.meters[0], station="other-cp"),))
    row = row_of(regulator_report([one, other], NOTICE), "project", "homes")
    assert row.discharge_power_kw == (50 + 90) * 4  # the second quarter-hour, in kWh times four
    assert row.peak.start_ms == BEGIN + QUARTER
    assert row.targets["discharge_power_kw"].met
    assert row.discharge_rated_kw == 600.0
    assert row.discharged_kwh_per_year == pytest.approx(260 * 365 / 2)  # both runs are of the same two days


def test_shares_are_pooled_and_not_averaged():
    report = regulator_report(
        [run("large", charged=900.0, valley=450.0), run("small", "Shenzhen", charged=100.0, valley=90.0)], NOTICE
    )
    assert row_of(report, "country").targets["offpeak_share"].achieved == pytest.approx(0.54)
    assert row_of(report, "province", "Guangdong").targets["offpeak_share_net"].achieved == pytest.approx(520 / 980)
    assert row_of(report, "city", "Shenzhen").targets["offpeak_share"].met


def test_cities_and_projects_are_counted_over_the_country():
    runs = [run(f"p{k}", f"city {k % 3}", ("Guangdong", "Jiangsu")[k % 2]) for k in range(7)]
    report = regulator_report(runs, NOTICE)
    # The same name in two provinces is two cities.
    assert (report.projects, report.cities) == (7, 6)
    assert row_of(report, "country").projects == 7
    assert sum(row.projects for row in report.rows if row.level == "city") == 7
    assert sum(row.projects for row in report.rows if row.level == "province") == 7
    assert row_of(report, "country").discharged_kwh == pytest.approx(7 * 50)
    assert row_of(report, "country").energy_met == 0


def test_one_project_alone_is_not_rolled_up():
    assert [row.level for row in regulator_report([run("alone")], NOTICE).rows] == ["project"]


def test_a_western_project_is_told_that_less_may_be_asked_and_no_figure_is_made_up():
    row = row_of(regulator_report([run("west", "Chengdu", "Sichuan")], NOTICE), "project", "west")
    assert row.region_named is False
    assert row.targets["discharge_power_kw"].required == 500.0


def test_a_notice_of_ones_own_names_the_figures_of_a_region(tmp_path):
    file = tmp_path / "west.toml"
    file.write_text(
        'id = "west"\ntitle = { en = "West", zh = "西部" }\nsource = "here"\nmark = "u"\n'
        '[[regions]]\nname = { en = "west", zh = "西部" }\nprovinces = ["Sichuan"]\ndischarge_power_kw = 190\n'
    )
    report = regulator_report([run("west", "Chengdu", "Sichuan"), run("east")], load_notice(file))
    assert row_of(report, "project", "west").region_named
    assert row_of(report, "project", "west").targets["discharge_power_kw"].met
    assert row_of(report, "project", "east").targets["discharge_power_kw"].required == 500.0
    assert row_of(report, "project", "west").targets["discharged_kwh_per_year"].required == 100_000.0


def test_every_fault_of_a_notice_is_told(tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text('id = "x"\nsource = "y"\nmark = "s"\noffpeak_share = 60\nprojets = 3\n')
    with pytest.raises(InputError) as caught:
        load_notice(file)
    told = "\n".join(map(str, caught.value.problems))
    for word in ("a share of at most 1", "projets is not a key", "en is missing"):
        assert word in told
    with pytest.raises(InputError, match="expected a file or the notice"):
        load_notice("2030-01")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_tables_and_page_are_whole_in_both_languages(language):
    report = regulator_report([run("homes"), run("<west>", "Chengdu", "Sichuan")], NOTICE)
    rows = list(csv.reader(io.StringIO(targets_csv(report, language).removeprefix("\ufeff"))))
    assert len(rows) == 1 + 2 * 6 + 5 * 4  # two projects; two cities, two provinces, the country
    assert {len(row) for row in rows} == {len(rows[0])}
    assert rows[0][4] == {"en": "Target", "zh": "指标"}[language]
    assert len(days_csv(report, language).splitlines()) == 1 + 4
    assert len(meters_csv(report, language).splitlines()) == 1 + 2
    page = regulator_page(report, "Asia/Shanghai", language)
    assert f'data-asked="{language}"' in page
    for word in ("ledger homes", "log homes", "&lt;west&gt;", "监管目标", "2026-07-06 00:00"):
        assert word in page
    assert "<west>" not in page


def test_the_document_carries_evidence_and_verdicts():
    document = regulator_document(regulator_report([run("homes")], NOTICE))
    level = document["levels"][0]
    assert level["targets"]["offpeak_share"]["met"]
    assert document["runs"][0]["ledger_hash"] == "ledger homes"
    assert document["projects"] == {"found": 1, "required": 50}


@given(
    st.lists(st.integers(1, 30), min_size=2, max_size=12).map(lambda gaps: np.cumsum(gaps).tolist()),
    st.integers(0, 200),
    st.integers(0, 200),
)
def test_hours_inside_stretches_agree_with_counting(edges, one, other):
    stretches = [(a * MS_PER_H, b * MS_PER_H) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    begin, end = sorted((one, other))
    counted = sum(any(a <= hour * MS_PER_H < b for a, b in stretches) for hour in range(begin, end))
    found = hours_inside(stretches, np.array([begin * MS_PER_H]), np.array([end * MS_PER_H]))
    assert found[0] == pytest.approx(counted)


def test_what_was_charged_last_is_discharged_first():
    # Valley charge, then dear charge, then a discharge that takes all of the dear one and half of the cheap one.
    metered = Metered(
        stay=np.zeros(4, np.int64),
        start_ms=BEGIN + QUARTER * np.arange(4),
        import_wh=np.array([1000, 500, 0, 0]),
        export_wh=np.array([0, 0, 800, 0]),
        valley=np.array([True, False, False, False]),
    )
    one = np.array
    facts = StayFacts(
        one([BEGIN]), one([BEGIN + MS_PER_H]), one([7.0]), one([7.0]), one([50.0]), one([np.nan]), one([True])
    )
    stays = metered_stays(metered, facts, [(BEGIN, BEGIN + QUARTER)], reserve_soc=0.2, round_trip=0.8)
    assert stays.cycled_kwh.tolist() == [1.0]
    assert stays.cycled_valley_kwh.tolist() == [0.5]
    assert (stays.charged_kwh[0], stays.valley_kwh[0], stays.discharged_kwh[0]) == (1.5, 1.0, 0.8)
    assert stays.need_kwh[0] == pytest.approx(0.5)
    assert (stays.stay_h[0], stays.stay_valley_h[0]) == (1.0, 0.25)
    assert stays.arrival_spare_kwh[0] == stays.cycle_kwh[0] == pytest.approx(0.8 * 50 * 0.8**0.5)
