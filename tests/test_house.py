"""The house keeps its own rules: what imports whom, how large files grow, what no file may name.

Import contracts are in `pyproject.toml` and checked by import-linter, banned calls by ruff; both run in
`./dev check`. Here stands what they can not see.
"""

import ast
import doctest
import importlib
import pkgutil
import re
import subprocess
from pathlib import Path

import pytest

import backfeed

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "backfeed"
MODULES = sorted(module.name for module in pkgutil.walk_packages(backfeed.__path__, "backfeed."))
PYTHON_FILES = sorted(
    [*SOURCE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "tools").rglob("*.py"), ROOT / "dev"]
)

LINES_MAX = 400
"""Past this a file is split by noun."""
LONGER = {
    "src/backfeed/wire/ocpp21/": "generated from the official schemas",
    "src/backfeed/plan/vehicle.py": "the compiled elimination of a vehicle: loops that inline into one kernel",
    "tests/app/recompute.py": "a whole run's money by other means, in one file that can be read and run alone",
    "tests/settle/test_postings.py": "the laws of one settled day, over one set of strategies and helpers",
}
FUNCTION_LINES_MAX = 55
"""Docstring not counted."""
LONGER_FUNCTIONS = {
    "src/backfeed/app/assembly.py assemble": "the one place that names all parts and joins them",
    "src/backfeed/battery/kernel.py _accumulate_stress": "one compiled loop",
}

EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc", "core_utils"}

PURE_ROOMS = ("core", "battery", "wire", "fleet", "forecast", "plan", "market", "dispatch", "meter", "settle", "report")

TEXT_ENDINGS = {".py", ".toml", ".md", ".json", ".csv", ".lock", ".txt", ".yml", ".yaml", ".html", ".js", ".css", ""}


def tracked_texts():
    """Every text file that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    paths = [ROOT / name for name in listed if name]
    return [path for path in paths if path.is_file() and path.suffix in TEXT_ENDINGS and path.name != "LICENSE"]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def is_longer_for_a_reason(path):
    return any(name_of(path).startswith(prefix) for prefix in LONGER)


def test_no_file_grows_uncomfortable():
    long = {}
    for path in PYTHON_FILES:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LINES_MAX * 1.1 and not is_longer_for_a_reason(path):
            long[name_of(path)] = lines
    assert not long, f"split by noun, or name the reason in LONGER: {long}"


def test_no_function_grows_uncomfortable():
    long = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = ast.get_docstring(node, clean=False)
                told = len(docstring.splitlines()) if docstring else 0
                length = node.end_lineno - node.lineno + 1 - told
                if length > FUNCTION_LINES_MAX and f"{name_of(path)} {node.name}" not in LONGER_FUNCTIONS:
                    long.append(f"{name_of(path)}:{node.lineno} {node.name}: {length} lines")
    assert not long, "\n".join(long)


def test_every_module_is_named_for_what_it_holds():
    empty = [name_of(path) for path in SOURCE.rglob("*.py") if path.stem in EMPTY_NAMES]
    assert not empty


def test_rooms_are_two_floors_deep():
    deep = [name_of(path) for path in SOURCE.rglob("*.py") if len(path.relative_to(SOURCE).parts) > 3]
    assert not deep


@pytest.mark.parametrize("module", [name for name in MODULES if not name.endswith("__main__")])
def test_every_example_in_a_docstring_is_true(module):
    found = doctest.testmod(importlib.import_module(module))
    assert found.failed == 0


def test_every_package_and_module_says_what_it_is_for():
    silent = [name_of(path) for path in SOURCE.rglob("*.py") if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not silent


def test_pure_rooms_keep_no_state_between_calls():
    # A module global that a function rebinds is a hidden input of the next call.
    stateful = []
    for room in PURE_ROOMS:
        for path in (SOURCE / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Global):
                    stateful.append(f"{name_of(path)}:{node.lineno}")  # noqa: PERF401
    assert not stateful


def test_no_file_names_a_registry_or_this_machine():
    # Spelled apart, so that this file does not name them either.
    hosts = [
        "py" + r"pi\.org",
        "python" + r"hosted\.org",
        "registry" + r"\.npmjs",
        "deb" + r"ian\.org/debian",
        "crates" + r"\.io",
    ]
    places = [r"/wo" + "rk/", r"/ro" + "ot/", r"/ho" + r"me/\w"]
    forbidden = re.compile("|".join([*hosts, *places]))
    named = []
    for path in tracked_texts():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if forbidden.search(line):
                named.append(f"{name_of(path)}:{number}: {line.strip()[:100]}")
    assert not named, "\n".join(named)


def test_nothing_is_left_to_do_later():
    marks = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b")
    left = []
    for path in PYTHON_FILES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if marks.search(line):
                left.append(f"{name_of(path)}:{number}")
    assert not left


def test_the_lock_has_hashes_and_no_addresses():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "--hash=sha256:" in text
    assert "://" not in text
    assert "--index-url" not in text
    assert "\nuv==" in text


def test_tests_use_no_patching():
    patched = [
        name_of(path)
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(r"unittest" + r"\.mock|monkey" + r"patch\.(setattr|setitem)|\bMagic" + r"Mock\b", path.read_text())
    ]
    assert not patched


def test_every_link_in_the_documents_leads_somewhere():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))]
    assert not [
        (name_of(page), link) for page, link in links if "://" not in link and not (page.parent / link).exists()
    ]
