"""Descriptions of accelerators and memories are read whole, and each mistake is one line."""

import pytest

from adderhw.cost.accelerator import ACCELERATORS, load_accelerator
from adderhw.cost.memory_table import load_memory_table
from adderhw.errors import CostError

GOOD = """
name = "mine"
title = "Mine"
source = "a guess"
dataflow = "weight_stationary"
memory = "horowitz45"
[array]
rows = 4
columns = 8
[buffers]
weights_kib = 8
activations_kib = 16
partial_sums_kib = 32
[registers]
weights = 1
[words]
activations = [8, 16]
weights = [8]
partial_sums = [16, 32]
[dram]
bits_per_cycle = 64
"""


def written(folder, text):
    path = folder / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ACCELERATORS)
def test_what_ships_is_described_and_priced(name):
    accelerator = load_accelerator(name)
    table = load_memory_table(accelerator.memory)
    assert accelerator.name == name
    assert all(table.buffer_pj_per_bit(kib) > 0 for kib in accelerator.buffers_kib.values())


def test_ones_own_is_read_from_its_file_and_stores_in_the_narrowest_word(tmp_path):
    accelerator = load_accelerator(written(tmp_path, GOOD))
    assert (accelerator.rows, accelerator.columns, accelerator.buffers_kib["activations"]) == (4, 8, 16)
    assert [accelerator.word("activations", bits, "a") for bits in (1, 8, 9)] == [8, 8, 16]
    with pytest.raises(CostError, match="accelerator mine: layer stem: found weights of 9 bits, expected at most 8"):
        accelerator.word("weights", 9, "stem")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rows = 4", "rows = 4\nheight = 2", ": array: found unknown height, expected only rows, columns"),
        ('title = "Mine"', 'title = "Mine"\ncolour = 1', ": found unknown colour, expected only name, title, source"),
        ("columns = 8\n", "", ": array: missing columns"),
        ("rows = 4", "rows = 0", ": array.rows: found 0, expected a whole number above 0"),
        ('"weight_stationary"', '"stationary"', ": dataflow: found 'stationary', expected one of weight_stationary"),
        ("[8, 16]", "[16, 8]", ": words.activations: found [16, 8], expected a list of rising widths in bits"),
        ("[dram]\nbits_per_cycle = 64\n", "", ": missing dram"),
        ('source = "a guess"', 'source = ""', ": source: found '', expected a text"),
        ("[array]", "[array", ": cannot read: "),
    ],
)
def test_a_mistake_is_one_line_that_names_file_and_field(tmp_path, old, new, message):
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(CostError) as error:
        load_accelerator(path)
    assert str(error.value).startswith(f"accelerator {path}{message}")
    assert "\n" not in str(error.value)


def test_an_unknown_name_lists_what_ships():
    with pytest.raises(CostError, match="accelerator: found 'eyeriss', expected one of eyeriss_like, systolic_like"):
        load_accelerator("eyeriss")
    with pytest.raises(CostError, match="memory table: found 'hbm', expected one of horowitz45 or a"):
        load_memory_table("hbm")


def test_the_published_sizes_cost_what_is_published_and_a_power_law_lies_between():
    table = load_memory_table("horowitz45")
    assert [64 * table.buffer_pj_per_bit(kib) for kib in (8, 32, 1024)] == pytest.approx([10, 20, 100])
    assert 64 * table.buffer_pj_per_bit(16) == pytest.approx(10 * 2**0.5)  # 4 times the size, twice the energy
    assert [64 * pj for pj in table.dram_pj_per_bit()] == pytest.approx([1300, 2600])


@pytest.mark.parametrize("kib", [7, 1025])
def test_a_size_outside_the_published_ones_is_an_error(kib):
    message = f"memory table horowitz45: found a buffer of {kib} KiB, expected 8 to 1024 KiB"
    with pytest.raises(CostError, match=message):
        load_memory_table("horowitz45").buffer_pj_per_bit(kib)


MEMORY = """
name = "m"
title = "M"
source = "s"
node_nm = 7
voltage = "not stated"
unit = "pJ"
[sram]
points = [[8, 1.0], [32, 2.0]]
word_bits = 64
reason = "r"
[dram]
low = 1.0
high = 2.0
word_bits = 64
reason = "r"
[registers]
pj_per_bit = 0.1
reason = "r"
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('unit = "pJ"\n', "", ": missing unit"),
        ('unit = "pJ"', 'unit = "nJ"', ": unit: found 'nJ', expected 'pJ'"),
        ("high = 2.0", "high = 0.5", ": dram.high: found 0.5, expected a number of at least dram.low"),
        ("[32, 2.0]", "[32, 0.5]", ": sram.points: found [[8, 1.0], [32, 0.5]], expected two or more [KiB, pJ]"),
        ("pj_per_bit = 0.1", "pj_per_bit = -1", ": registers.pj_per_bit: found -1, expected a number above 0"),
    ],
)
def test_a_mistake_in_a_memory_table_is_one_line(tmp_path, old, new, message):
    assert old in MEMORY
    path = written(tmp_path, MEMORY.replace(old, new, 1))
    with pytest.raises(CostError) as error:
        load_memory_table(path)
    assert str(error.value).startswith(f"memory table {path}{message}")
