"""What the Numba kernels of training are made of: float32 vectors in registers, by LLVM, and work shared by threads."""

import llvmlite.binding
import numba
from llvmlite import ir
from numba.core import cgutils


def _cpu_features():
    """{feature: whether Numba compiles for it}: the processor's own unless NUMBA_CPU_FEATURES says others."""
    if numba.config.CPU_FEATURES is None:
        return dict(llvmlite.binding.get_host_cpu_features())
    return {feature[1:]: feature[0] == "+" for feature in numba.config.CPU_FEATURES.split(",") if feature}


FEATURES = _cpu_features()
LANES = 16 if FEATURES.get("avx512f") else 8
TILE = 8
FLOAT_BYTES = 4

FLOAT, INT32, INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)


def run(kernel, parallel, count, threads, operands):
    """kernel(0, count, …), or its parallel twin; with one thread serially, so that no idle worker spins beside it."""
    parts = min(threads, count)
    if parts <= 1:
        kernel(0, count, *operands)
    else:
        numba.set_num_threads(min(parts, numba.config.NUMBA_NUM_THREADS))
        parallel(parts, count, *operands)


def hidden(builder, value):
    """The same vector, in a register of its own, of which LLVM knows nothing; of x86, as are the features asked for."""
    return builder.asm(ir.FunctionType(VECTOR, [VECTOR]), "", "=v,0", [value], side_effect=False)


def constant(value):
    return ir.Constant(VECTOR, [value] * LANES)


def load(builder, address, kind, index=0):
    """The value of type `kind` at an integer address, `index` elements on; floats need only float alignment."""
    size = 8 if kind is INT64 else FLOAT_BYTES * (LANES if kind is VECTOR else 1)
    pointer = builder.inttoptr(builder.add(address, INT64(index * size)), kind.as_pointer())
    return builder.load(pointer, align=8 if kind is INT64 else FLOAT_BYTES)


def load_at(builder, address, kind, index):
    """The value of type `kind` at `address` + index elements, index a run-time integer."""
    size = 8 if kind is INT64 else FLOAT_BYTES * LANES
    return load(builder, builder.add(address, builder.mul(index, INT64(size))), kind)


def store(builder, value, address):
    builder.store(value, builder.inttoptr(address, VECTOR.as_pointer()), align=FLOAT_BYTES)


def lane_mask(builder, lanes):
    """True in the first `lanes` lanes."""
    count = splat(builder, builder.trunc(lanes, INT32), INT32)
    return builder.icmp_signed("<", ir.Constant(ir.VectorType(INT32, LANES), list(range(LANES))), count)


def load_lanes(builder, address, lanes):
    """A vector whose first `lanes` lanes are read and whose others are 0."""
    return load_masked(builder, address, lane_mask(builder, lanes))


def load_masked(builder, address, mask):
    kind = ir.FunctionType(VECTOR, [VECTOR.as_pointer(), INT32, _MASK, VECTOR])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.v{LANES}f32.p0")
    pointer = builder.inttoptr(address, VECTOR.as_pointer())
    return builder.call(function, (pointer, INT32(FLOAT_BYTES), mask, constant(0.0)))


def store_lanes(builder, value, address, lanes):
    """Writes the first `lanes` lanes."""
    kind = ir.FunctionType(ir.VoidType(), [VECTOR, VECTOR.as_pointer(), INT32, _MASK])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.v{LANES}f32.p0")
    pointer = builder.inttoptr(address, VECTOR.as_pointer())
    builder.call(function, (value, pointer, INT32(FLOAT_BYTES), lane_mask(builder, lanes)))


def broadcast(builder, scalar):
    return splat(builder, scalar, FLOAT)


def splat(builder, scalar, kind):
    """A vector of LANES copies of a scalar of type `kind`."""
    undefined = ir.Constant(ir.VectorType(kind, LANES), ir.Undefined)
    one = builder.insert_element(undefined, scalar, INT32(0))
    return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(INT32, LANES), [0] * LANES))


def call(builder, name, *operands):
    kind = ir.FunctionType(VECTOR, [VECTOR] * len(operands))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"{name}.v{LANES}f32"), operands)
