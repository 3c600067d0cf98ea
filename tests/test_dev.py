"""The command `./dev`: one file on the standard library that knows what to install."""

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DEV = ROOT / "dev"


@pytest.fixture(scope="module")
def dev():
    return runpy.run_path(str(DEV))


def test_it_is_executable_and_needs_the_standard_library_only():
    assert DEV.stat().st_mode & 0o111
    imported = set()
    for node in ast.walk(ast.parse(DEV.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert imported <= sys.stdlib_module_names


def test_help_tells_every_command(dev):
    shown = subprocess.run([sys.executable, DEV, "--help"], capture_output=True, text=True, check=True).stdout
    for name, command in dev["COMMANDS"].items():
        assert re.search(rf"^  {name} +\S", shown, re.MULTILINE), name
        assert command.__doc__


def test_a_command_that_it_does_not_know_is_a_usage_error():
    done = subprocess.run([sys.executable, DEV, "nonsense"], capture_output=True, check=False)
    assert done.returncode == 2


def test_uv_is_taken_from_the_lock_with_its_hashes_and_nothing_else(dev):
    version, requirement = dev["locked_uv"]()
    lines = requirement.splitlines()
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert lines[0].startswith(f"uv=={version} ")
    assert all("--hash=sha256:" in line or line.lstrip().startswith("#") for line in lines[1:])


def test_the_stamp_depends_on_the_lock_and_the_metadata(dev):
    assert dev["fingerprint"]() == dev["fingerprint"]()
    assert len(dev["fingerprint"]()) == 64


def test_ci_runs_what_a_developer_runs():
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] == "exec ./dev test"
