"""The structs are what the official schemas say, and what the generator would write today."""

import runpy
import subprocess
import sys
from pathlib import Path

from backfeed.wire.ocpp21 import REQUESTS, RESPONSES

GENERATOR = Path(__file__).parents[2] / "tools" / "generate_ocpp.py"


def test_generating_again_gives_the_same_bytes():
    generator = runpy.run_path(str(GENERATOR))
    for name, text in generator["generate"]().items():
        assert (generator["TARGET"] / name).read_text("utf-8") == text, name


def test_every_schema_has_a_struct():
    schemas = runpy.run_path(str(GENERATOR))["read_schemas"]()
    made = {f"{a}Request" for a in REQUESTS} | {f"{a}Response" for a in RESPONSES}
    assert {name if name.endswith(("Request", "Response")) else f"{name}Request" for name in schemas} == made


def test_attribute_names_are_unambiguous_and_legal():
    for table in (REQUESTS, RESPONSES):
        for message in table.values():
            names = message.__struct_fields__
            assert len(set(names)) == len(names)
            assert all(name.isidentifier() for name in names)
            assert len(set(message.__struct_encode_fields__)) == len(names)


def test_the_messages_are_imported_in_a_moment():
    # CPU time of the import alone, in a fresh interpreter: generous, since machines differ.
    program = (
        "import msgspec, typing, time; start = time.process_time(); import backfeed.wire.ocpp21;"
        "print(time.process_time() - start)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.5
