"""docs/foreign.md says what the code does: every op with a cost, the widths, the counts of what ships."""

import re
from pathlib import Path

import pytest

from adderhw.external.subject import subject_of
from adderhw.foreign.counts import COUNTS
from adderhw.foreign.function_counts import ELEMENTWISE, POWER, QUOTIENT
from adderhw.foreign.values import FLOAT32_MANTISSA, QUANT_MULTIPLIER_BITS
from adderhw.simulation import SHIPPED_MODEL
from quant.settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "foreign.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("op", sorted({op for _, op in COUNTS}))
def test_every_op_with_a_cost_is_in_the_table(op):
    (table,) = re.findall(r"\| ops \|.*?\n\n", TEXT, re.DOTALL)
    assert f"`{op}`" in table


@pytest.mark.parametrize("name", [*ELEMENTWISE, "Div", "Pow"])
def test_every_function_has_its_program_in_the_table(name):
    program = {**ELEMENTWISE, "Div": QUOTIENT, "Pow": POWER}[name]
    assert f"| `{name}` | {program.fmul} | {program.fadd} | {program.cmp} |" in TEXT


@pytest.mark.parametrize("name", ["digits_int8.onnx", "cifar10_ann20_int8.onnx"])
def test_the_counts_that_are_shown_are_those_of_the_networks_that_ship(name):
    works = subject_of(SHIPPED_MODEL.parent / name).works
    taps = f"{sum(work.taps for work in works):,}"
    (row,) = re.findall(rf"^{name} +(.*)$", TEXT, re.MULTILINE)[:1]
    assert row.split() == [str(len(works)), taps, taps, taps, "0"]


def test_the_widths_of_multipliers_are_those_of_the_code():
    assert f"`mul:P×{FLOAT32_MANTISSA}`" in TEXT
    assert f"a {QUANT_MULTIPLIER_BITS}-bit multiplier" in TEXT
    assert Settings().multiplier_bits == QUANT_MULTIPLIER_BITS
