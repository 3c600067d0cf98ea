"""The report page in a real browser, without a network. Run by `./dev browser-test`."""

import re
import shutil
import subprocess

import pytest

from backfeed.report.render import render_page

pytestmark = pytest.mark.browser

QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--virtual-time-budget=5000",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
PNG_MAGIC = b"\x89PNG"


@pytest.fixture(scope="module")
def chromium():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.fail("no Chromium on the PATH: install your system's package `chromium`")


def browse(chromium, folder, page, *options):
    command = [chromium, *QUIET, f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.fixture(scope="module")
def page(example_report, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_page(example_report), encoding="utf-8")
    return path


def test_the_page_opens_offline_without_a_word_of_complaint(chromium, page, tmp_path):
    seen = browse(chromium, tmp_path, page, "--enable-logging=stderr", "--dump-dom")
    complaints = [line for line in seen.stderr.splitlines() if "CONSOLE" in line]
    assert not complaints
    assert seen.stdout.count("<svg") >= 5
    assert re.search(r"<h1[^>]*>[^<]*\S", seen.stdout)


@pytest.mark.parametrize("size", ["1280,1600", "390,844"])
def test_the_page_is_drawn_wide_and_narrow(chromium, page, tmp_path, size):
    picture = tmp_path / "page.png"
    browse(chromium, tmp_path, page, f"--window-size={size}", f"--screenshot={picture}")
    content = picture.read_bytes()
    assert content.startswith(PNG_MAGIC)
    assert len(content) > 20_000, "an empty page is small"
