"""What a layer moves, in bits, cycles and picojoules, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from adderhw.cost.accelerator import load_accelerator
from adderhw.cost.baselines import FLOAT32, SHIFT_ADD, own_pass
from adderhw.cost.events import LayerWork, PaperCount, Tally, event
from adderhw.cost.memory import NOTHING, fields_of, moved_by
from adderhw.cost.memory_table import load_memory_table
from adderhw.cost.operands import Operands
from adderhw.errors import CostError

ARRAY, TABLE = load_accelerator("output_like"), load_memory_table("horowitz45")
OPERANDS = Operands((4, 2, 2), np.ones((3, 4, 1, 1), np.int64), (0, 255))
EVENTS = Tally({event("sub", 8): 48, event("abs", 9): 48, event("add", 11): 48})
WORK = LayerWork("a", "AdderConvInteger", "adder", (3, 2, 2), 48, 4, 12, 8, 8, 11, EVENTS, PaperCount(add=96))
ADDITION = LayerWork("r", "Add", "other", (12,), 0, 0, 12, 0, 0, 0, Tally({event("add", 12): 12}), PaperCount())


def test_a_small_layer_by_hand():
    moved = moved_by(WORK, OPERANDS, own_pass, ARRAY, TABLE)
    assert moved.cycles == moved.dram_cycles == 5  # 40 bytes at 64 bits a cycle; the array needs 4 cycles
    assert moved.array_cycles == 4
    assert moved.bits["dram"] == 8 * (16 + 12 + 12)
    activations, weights, sums = 16 + 16, 12 + 12, 12 + 12  # filled and read; sums of 11 bits in words of 16
    assert moved.bits["buffer"] == 8 * (activations + weights) + 16 * sums
    assert moved.bits["registers"] == 8 * 4 * 48 + 16 * 2 * 48
    per_bit = {kib: TABLE.buffer_pj_per_bit(kib) for kib in (32, 64)}
    by_hand = 8 * (activations * per_bit[64] + weights * per_bit[32]) + 16 * sums * per_bit[32]
    assert moved.energy.buffer == pytest.approx(by_hand)
    assert moved.energy.registers == pytest.approx(0.009 * moved.bits["registers"])
    assert moved.energy.dram_low == pytest.approx(320 * 1300 / 64)
    assert moved.energy.ends["DRAM high"] == pytest.approx(
        moved.energy.registers + moved.energy.buffer + 2 * moved.energy.dram_low
    )


def test_the_roofline_of_the_small_layer():
    fields = fields_of(moved_by(WORK, OPERANDS, own_pass, ARRAY, TABLE), ARRAY)
    assert fields["utilisation"] == pytest.approx(48 / (256 * 4))
    assert fields["taps_per_dram_byte"] == pytest.approx(48 / 40)
    assert fields["bound"] == "dram"


@pytest.mark.parametrize(("stored", "word"), [({"input_bits": 7}, 8), ({"stored_bits": 13}, 16)])
def test_a_residual_addition_reads_one_operand_as_wide_as_it_is_stored(stored, word):
    moved = moved_by(replace(ADDITION, **stored), None, own_pass, ARRAY, TABLE)
    assert moved.accesses == {("dram", "activations", "read"): 12}
    assert moved.bits == {"dram": word * 12}
    assert moved.cycles == moved.dram_cycles == -(-word * 12 // 64)
    (in_float,) = FLOAT32.layers([replace(ADDITION, **stored)], [None])
    assert (in_float.input_bits, in_float.stored_bits) == (32, 0)
    assert moved_by(in_float, None, FLOAT32.passes, ARRAY, TABLE).bits == {"dram": 32 * 12}


def test_an_addition_whose_operand_has_no_width_is_refused():
    with pytest.raises(CostError, match=r"layer r: found no width of what Add reads from memory, expected one"):
        moved_by(ADDITION, None, own_pass, ARRAY, TABLE)


def test_a_layer_stores_its_output_at_another_width_than_it_reads():
    plain, wide = (moved_by(replace(WORK, stored_bits=n), OPERANDS, own_pass, ARRAY, TABLE) for n in (0, 13))
    assert wide.accesses == plain.accesses
    assert wide.bits["dram"] == plain.bits["dram"] + (16 - 8) * 12
    assert [wide.bits[level] for level in ("buffer", "registers")] == [plain.bits["buffer"], plain.bits["registers"]]
    for network, passes in ((FLOAT32, FLOAT32.passes), (SHIFT_ADD, SHIFT_ADD.passes)):
        (narrow,), (rewritten,) = (network.layers([replace(WORK, stored_bits=n)], [OPERANDS]) for n in (0, 13))
        more = (16 - 8) * 12 if network is SHIFT_ADD else 0  # of the last of its layers; floats have one width
        dram = [moved_by(work, OPERANDS, passes, ARRAY, TABLE).bits["dram"] for work in (narrow, rewritten)]
        assert dram[1] - dram[0] == more


def test_layers_without_weights_work_on_the_stream():
    pool = LayerWork("p", "SumPool", "other", (12,), 0, 0, 12, 0, 0, 0, Tally({event("add", 12): 48}), PaperCount())
    assert moved_by(pool, None, own_pass, ARRAY, TABLE) is NOTHING


def test_a_branch_that_is_stored_beside_the_layers_input_is_written():
    branch = LayerWork("b", "Requantize", "other", (12,), 0, 0, 12, 0, 0, 0, Tally(), PaperCount(), stored_bits=12)
    moved = moved_by(branch, None, own_pass, ARRAY, TABLE)
    assert moved.accesses == {("dram", "activations", "write"): 12}
    assert moved.bits == {"dram": 16 * 12}
    assert moved.energy.dram_low == pytest.approx(16 * 12 * 1300 / 64)
    (in_float,) = FLOAT32.layers([branch], [None])  # where nothing has a grid, nothing is stored twice
    assert moved_by(in_float, None, FLOAT32.passes, ARRAY, TABLE) is NOTHING


def test_a_shift_add_layer_moves_both_its_layers():
    (rewritten,) = SHIFT_ADD.layers([WORK], [OPERANDS])
    moved = moved_by(rewritten, OPERANDS, SHIFT_ADD.passes, ARRAY, TABLE)
    assert moved.taps == 48 + 12 * 3
    assert moved.accesses["dram", "weights", "read"] == 12 + 9
    assert moved.accesses["dram", "activations", "write"] == 24
