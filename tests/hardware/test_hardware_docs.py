"""The commands of docs/hardware.md run, one after the other, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from adderhw.hardware.areas import BITS, load_table, side_by_side
from adderhw.hardware.elements import ADDER, ELEMENTS, MULTIPLY_ACCUMULATE, XNOR
from adderhw.synthesis import share, three
from tests.hardware.needs import needs

ROOT = Path(__file__).parent.parent.parent


PAGE = (ROOT / "docs" / "hardware.md").read_text()


@needs("iverilog")
def test_the_commands_of_the_hardware_page_run_and_print_what_it_shows(tmp_path):
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 7
    script = f'set -e\npython() {{ "{sys.executable}" "$@"; }}\n' + "".join(blocks)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"It prints `(RESULT .*)`\.", PAGE)[1] in done.stdout
    for block in re.findall(r"```\n((?:vectors, |mismatch: ).*?)```", PAGE, re.DOTALL):
        for line in block.splitlines():
            assert line in (done.stdout + done.stderr).splitlines()
    assert "exit code 1" in done.stdout
    assert "; noticed by comparison with .hex, SHA-256: layers/blocks.2.shortcut.0/x.npy element " in done.stdout
    assert "self-test: 15 files changed, 0 went unnoticed" in done.stdout


def assert_others_on_page(table, bits):
    """The row of the elements beside those three."""
    shown = [row for row in PAGE.splitlines() if row.startswith(f"| {bits} | ")][1]
    for element in ELEMENTS:
        if element not in (ADDER, MULTIPLY_ACCUMULATE, XNOR):
            parameters = dict(element.parameters(bits, 8))
            rows = [row for row in table["areas"] if (row["element"], row["parameters"]) == (element.name, parameters)]
            assert three(rows[0]) in shown


@pytest.mark.parametrize("library", ["osu018", "osu035"])
def test_the_areas_on_the_page_are_those_of_the_table_that_ships(library):
    for bits, adder, product, xnor in side_by_side(load_table(library), 8):
        if bits in BITS:
            if library == "osu018":
                row = [str(bits), *map(three, (adder, product, xnor)), share(adder, product), share(xnor, product)]
                assert f"| {' | '.join(row)} |" in PAGE
                assert_others_on_page(load_table(library), bits)
            elif bits == 8:
                assert f"{adder['area']:,.0f} against {product['area']:,.0f} µm²" in PAGE
