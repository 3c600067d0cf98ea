"""The page that opens offline, and the console table."""

import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest
from rich.console import Console

from backfeed.report.render import render_page, write_page
from backfeed.report.summary import AskedResult, PromptResult
from backfeed.report.table import print_report
from backfeed.report.words import _all_words

VOID = {"meta", "br", "hr", "img", "input", "link"}
MEBIBYTE = 1 << 20


class Balance(HTMLParser):
    """Checks that every element that is opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open, self.bad, self.seen = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.bad.append(tag)


@pytest.fixture(scope="module")
def page(example_report):
    return render_page(example_report)


def test_the_page_is_well_formed_and_small(page):
    checker = Balance()
    checker.feed(page)
    assert (checker.open, checker.bad) == ([], [])
    assert len(page.encode()) < 2 * MEBIBYTE


def test_the_page_asks_nothing_of_the_network(page):
    checker = Balance()
    checker.feed(page)
    assert not [attrs for _, attrs in checker.seen if {"src", "srcset", "action"} & set(attrs)]
    assert {attrs["href"] for _, attrs in checker.seen if "href" in attrs} <= {"batteries/index.html"}
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|import\(", page)
    assert set(re.findall(r"https?://[^\"' )]+", page)) <= {"http://www.w3.org/2000/svg"}


def test_every_picture_is_valid_xml_without_a_number_that_is_none(page):
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) >= 9
    for picture in pictures:
        root = ET.fromstring(picture)
        assert root.attrib["aria-label"]
        assert not re.search(r"\b(nan|inf)\b", picture)


def test_all_marks_lie_inside_their_picture(page):
    for picture in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        root = ET.fromstring(picture)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for rect in root.iter("rect"):
            x, y = float(rect.attrib["x"]), float(rect.attrib["y"])
            assert x >= 0
            assert y >= 0
            assert x + float(rect.attrib["width"]) <= width + 0.1
            assert y + float(rect.attrib["height"]) <= height + 0.1
        for text in root.iter("text"):
            assert 0 <= float(text.attrib["x"]) <= width
            assert 0 <= float(text.attrib["y"]) <= height


def test_both_languages_say_the_same_things(page):
    for key, text in _all_words().items():
        assert text.en, key
        assert text.zh, key
        assert set(re.findall(r"{(\w+)}", text.en)) == set(re.findall(r"{(\w+)}", text.zh)), key
    spans = re.findall(r'<span class="(en|zh)"', page)
    assert spans.count("en") == spans.count("zh") > 60


def test_a_delivery_is_told_beside_steered_charging_and_the_hours_around_it(page):
    for word in ("Against steered charging", "60.0 kWh more than usual", "5.0 kWh less than usual", "未受邀"):
        assert word in page
    # Charging ahead is preparing for a peak shave and nothing of the kind for a valley fill.
    assert page.count("A fleet that is told ahead prepares") == 1


def test_forecasts_are_shown_by_level_and_value_by_risk_and_what_was_missed_by_class(page):
    section = page[page.index("How well departures were known") :]
    assert "93.8" in section
    assert "stated_hourly" not in section
    assert "149.0" in section
    assert "已申报，每两小时" in section
    missed = page[page.index("What was missed, by what was known") : page.index("How well departures were known")]
    assert [f">{total}<" in missed for total in ("64.0", "188.0")] == [True, True]


def test_prompts_are_told_where_drivers_were_asked(example_report):
    kinds = {"departure": AskedResult(92, 37, 31, 31.0), "charge": AskedResult(28, 11, 7, 3.5)}
    asked = PromptResult(sent=111, answered=48, kept=38, bonus_cost=34.5, by_kind=kinds)
    summary = msgspec.structs.replace(example_report.summary, prompts=asked)
    page = render_page(replace(example_report, summary=summary))
    for word in ("asked 111 times", "paid 34.50", "<td>37</td><td>31</td><td>31.00", "插枪时电量"):
        assert word in page


def test_a_tariff_that_does_not_hold_is_told_before_any_figure(example_report):
    warned = render_page(replace(example_report, warnings=("old: expired: valid until 2023-12-31",)))
    assert warned.index("expired: valid until 2023-12-31") < warned.index('<div class="tiles">')


def test_the_same_report_gives_the_same_page(example_report, page, tmp_path):
    write_page(example_report, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page


def test_text_from_outside_can_not_break_the_page(example_report):
    nasty = "</script><script>alert('x')</script>\"'&"
    owners = (replace(example_report.owners[0], owner=nasty, payouts={nasty: 1.0}),)
    car = replace(example_report.car, label=nasty)
    report = replace(example_report, title=nasty, place=nasty, owners=owners, car=car, sources=(nasty,))
    page = render_page(report)
    assert "<script>alert" not in page
    checker = Balance()
    checker.feed(page)
    assert (checker.open, checker.bad) == ([], [])


def test_a_bare_run_still_has_a_page_and_a_table(example_report):
    summary = example_report.summary
    nothing = msgspec.structs.replace(
        summary.captured_detail.captured_share, share=None, reason="needs 200 sessions, found 3", by_statement={}
    )
    bare = replace(
        example_report,
        summary=msgspec.structs.replace(
            summary,
            worlds={"unmanaged": summary.worlds["unmanaged"]},
            captured_share=None,
            captured_v2g_share=None,
            captured_detail=msgspec.structs.replace(summary.captured_detail, captured_share=nothing),
            targets={},
        ),
        fleet=replace(
            example_report.fleet, power_kw={"unmanaged": np.zeros(example_report.fleet.axis.count)}
        ),
        site=None, car=None, owners=(), invitations=(), value_gap=None, alternatives=(), assumptions=(),
        next_steps=(), forecasts=None,
    )  # fmt: skip
    page = render_page(bare)
    assert "needs 200 sessions, found 3" in page
    print_report(bare, Console(file=io.StringIO(), width=80))


def test_the_console_shows_worlds_targets_and_next_steps_in_100_columns(example_report):
    out = io.StringIO()
    print_report(example_report, Console(file=out, width=100))
    shown = out.getvalue()
    for expected in ("Unmanaged", "Perfect foresight", "Net value, CNY", "88.3", "Combined discharge power", "missed"):
        assert expected in shown
    assert shown.rstrip().endswith("open runs/demo/report.html")
    assert max(len(line) for line in shown.splitlines()) <= 100
