"""What the core can do at most: the kernel's two instructions on registers only, no loads, no stores."""

from concurrent.futures import ThreadPoolExecutor
from statistics import median
from time import perf_counter

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from adderhw.kernels.compiled import I8, I64, Sad256, Sad512

ACCUMULATORS = {"Sad256": 12, "Sad512": 24}  # independent chains: more than latency 4 × 2 per cycle needs


@intrinsic
def _absolute_differences(typing_context, kind, rounds):
    """`rounds` times: each accumulator += sum of absolute differences of itself and a constant."""
    signature = types.int64(kind, types.int64)

    def generate(context, builder, signature, values):
        kind = signature.args[0].instance_class
        lanes, count = ir.VectorType(I64, kind.lanes), ACCUMULATORS[kind.__name__]
        w = builder.bitcast(ir.Constant(lanes, [0x0102030405060708] * kind.lanes), ir.VectorType(I8, 8 * kind.lanes))
        entry, loop, done = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        t, sums = builder.phi(I64), [builder.phi(lanes) for _ in range(count)]
        new = [builder.add(s, kind.emit(builder, kind, s, w)) for s in sums]
        following = builder.add(t, ir.Constant(I64, 1))
        builder.cbranch(builder.icmp_signed("<", following, values[1]), loop, done)
        t.add_incoming(ir.Constant(I64, 0), entry)
        t.add_incoming(following, loop)
        for k, (phi, value) in enumerate(zip(sums, new, strict=True)):
            phi.add_incoming(ir.Constant(lanes, [77 * k + lane for lane in range(kind.lanes)]), entry)
            phi.add_incoming(value, loop)
        builder.position_at_end(done)
        total = new[0]
        for value in new[1:]:
            total = builder.add(total, value)
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return signature, generate


@njit(cache=True, nogil=True)
def run(kind, rounds):
    """Runs the loop; returns something that depends on all of it."""
    return _absolute_differences(kind, rounds)


def differences_per_round(kind):
    """Absolute differences in one round of `run`."""
    return ACCUMULATORS[kind.__name__] * 8 * kind.lanes


def rate(path, threads, rounds=1_000_000, repeats=9):
    """Median absolute differences per second of `threads` threads together; None for a path without SAD tiles."""
    kind = KINDS.get(path)
    if kind is None:
        return None
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: run(kind(), 1), range(threads)))
        times = []
        for _ in range(repeats):
            start = perf_counter()
            list(pool.map(lambda _: run(kind(), rounds), range(threads)))
            times.append(perf_counter() - start)
    return threads * rounds * differences_per_round(kind) / median(times)


KINDS = {"avx2": Sad256, "avx512": Sad512}
