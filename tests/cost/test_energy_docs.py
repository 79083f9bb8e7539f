"""docs/energy.md says what the code does: its example table loads, its prices and its fields are the real ones."""

import re
from pathlib import Path

import pytest

from adderhw.cost.accelerator import ACCELERATORS, DATAFLOWS, load_accelerator
from adderhw.cost.baselines import BASELINES
from adderhw.cost.energy import load_table, table_names
from adderhw.cost.events import KIND_MEANING, Event
from adderhw.cost.prices import BASES
from tests.report.example import document

TEXT = (Path(__file__).parents[2] / "docs" / "energy.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


def test_the_example_table_loads(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(EXAMPLES[0], encoding="utf-8")
    assert load_table(path).price(Event.parse("sub:8")) == (0.02, "derived")


def test_the_example_accelerator_loads(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(EXAMPLES[1], encoding="utf-8")
    accelerator = load_accelerator(path)
    assert document(accelerator=accelerator)["memory"]["accelerator"]["title"] == "Mine, 8 × 8"
    assert accelerator.dataflow in DATAFLOWS


@pytest.mark.parametrize("text", ["add:8", "mul:8"])
def test_the_compared_prices_are_those_of_the_tables(text):
    (row,) = re.findall(rf"^\| `{text}` \|(.*)\|$", TEXT, re.MULTILINE)
    prices = [load_table(name).price(Event.parse(text)).picojoule for name in table_names()]
    assert [float(cell) for cell in row.split("|")] == [pytest.approx(price, abs=5e-5) for price in prices]


def test_every_kind_basis_and_table_is_described():
    for name in (*KIND_MEANING, *BASES, *table_names()):
        assert f"| `{name}` |" in TEXT


def test_every_rival_dataflow_and_accelerator_is_described():
    for name in (*(baseline.name for baseline in BASELINES), *DATAFLOWS, *ACCELERATORS):
        assert f"`{name}`" in TEXT


def test_the_hand_computed_ratio_is_right():
    assert "= 2.44." in TEXT
    assert document()["ratios"]["horowitz45"]["adder_layers_cnn_over_ann"] == pytest.approx(2.44, abs=0.005)
