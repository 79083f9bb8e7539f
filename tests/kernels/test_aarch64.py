"""What the portable path becomes on a 64-bit Arm processor: instructions that take absolute differences."""

import re

import pytest
from llvmlite import binding, ir

from adderhw.kernels import compiled

TRIPLE = "aarch64-unknown-linux-gnu"
I64 = ir.IntType(64)


def inner_loop(kind, operand):
    """A module: sums[v] of one position += |x[k] − w[k, v]| over k, by the Tile class `kind`, operands of a type."""
    module = ir.Module("tile")
    vector, weights = ir.VectorType(kind.lane, kind.lanes), ir.VectorType(operand, kind.lanes)
    arguments = [vector.as_pointer(), operand.as_pointer(), weights.as_pointer(), I64]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), "tile")
    sums, x, w, count = function.args
    entry, loop, end = (function.append_basic_block(name) for name in ("entry", "loop", "end"))
    builder = ir.IRBuilder(entry)
    start = builder.load(sums)
    builder.branch(loop)
    builder.position_at_end(loop)
    k, total = builder.phi(I64), builder.phi(vector)
    lane_zero = builder.insert_element(ir.Constant(weights, ir.Undefined), builder.load(builder.gep(x, [k])), I64(0))
    every_lane = builder.shuffle_vector(lane_zero, lane_zero, ir.Constant(ir.VectorType(ir.IntType(32), kind.lanes), 0))
    more = kind.accumulate(builder, kind, total, every_lane, builder.load(builder.gep(w, [k])))
    following = builder.add(k, I64(1))
    for phi, first, later in ((k, I64(0), following), (total, start, more)):
        phi.add_incoming(first, entry)
        phi.add_incoming(later, loop)
    builder.cbranch(builder.icmp_unsigned("<", following, count), loop, end)
    builder.position_at_end(end)
    builder.store(more, sums)
    builder.ret_void()
    return module


def assembly(module):
    """A module's assembly for Armv8 with nothing but its base instructions, at -O3."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple(TRIPLE).create_target_machine(cpu="generic", opt=3)
    module.triple, module.data_layout = TRIPLE, str(machine.target_data)
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    return machine.emit_assembly(parsed)


def instructions(text):
    """The names of the instructions on vectors."""
    return set(re.findall(r"^\s+(\w+)(?:\.\w+)?\s+v\d", text, re.MULTILINE))


@pytest.mark.parametrize("kind", [compiled.Distance32, compiled.Distance64], ids=lambda kind: kind.__name__)
def test_the_portable_tiles_are_absolute_differences_on_arm(kind):
    found = instructions(assembly(inner_loop(kind, ir.IntType(32))))
    assert found & {"saba", "sabd", "sabal", "sabal2", "sabdl", "sabdl2"}, found
    assert not found & {"abs", "neg", "cmgt", "bsl", "smax"}, found


def test_bytes_widened_to_sums_are_absolute_differences_on_arm():
    found = instructions(assembly(inner_loop(compiled.Distance32, ir.IntType(16))))
    assert found & {"saba", "sabd", "sabal", "sabdl"}, found
