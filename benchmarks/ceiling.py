"""What the core can do at most: the instructions of a register tile on registers only, no loads, no stores."""

from concurrent.futures import ThreadPoolExecutor
from statistics import median
from threading import Barrier
from time import perf_counter

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from adderhw.kernels.compiled import I64, Distance32, Max512, Sad256, Sad512

KINDS = {"vnni": Max512, "avx512": Sad512, "avx2": Sad256, "portable": Distance32}


@intrinsic
def _tile_on_registers(typing_context, kind, rounds):
    """`rounds` times what one step of the kind's tile computes."""
    signature = types.int64(kind, types.int64)

    def generate(context, builder, signature, values):
        kind = signature.args[0].instance_class
        lanes, vector = ir.VectorType(kind.lane, kind.lanes), ir.VectorType(kind.unit, kind.lanes)
        tile = [(p, q) for p in range(kind.positions) for q in range(kind.vectors)]
        weights = [ir.Constant(vector, [0x01020304 + q] * kind.lanes) for q in range(kind.vectors)]
        entry, loop, done = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        t, sums = builder.phi(I64), {at: builder.phi(lanes) for at in tile}
        x, new = ir.Constant(vector, [0x05060708] * kind.lanes), {}
        for p in range(kind.positions):
            x = _unknown(builder, x)
            for q in range(kind.vectors):
                new[p, q] = kind.accumulate(builder, kind, sums[p, q], x, weights[q])
        following = builder.add(t, I64(1))
        builder.cbranch(builder.icmp_signed("<", following, values[1]), loop, done)
        t.add_incoming(I64(0), entry)
        t.add_incoming(following, loop)
        for at in tile:
            sums[at].add_incoming(ir.Constant(lanes, [0] * kind.lanes), entry)
            sums[at].add_incoming(new[at], loop)
        builder.position_at_end(done)
        total = new[0, 0]
        for at in tile[1:]:
            total = builder.add(total, new[at])
        total = builder.extract_element(total, ir.Constant(ir.IntType(32), 0))
        return total if total.type == I64 else builder.sext(total, I64)

    return signature, generate


def _unknown(builder, value):
    """The same register, of which the compiler must think that it holds something new; no instruction."""
    return builder.asm(ir.FunctionType(value.type, [value.type]), "", "=v,0", [value], side_effect=True)


@njit(cache=True, nogil=True)
def run(kind, rounds):
    """Runs the loop; returns something that depends on all of it."""
    return _tile_on_registers(kind, rounds)


def differences_per_round(kind):
    """Absolute differences in one round of `run`."""
    return kind.positions * kind.vectors * kind.lanes * kind.unit.width // (8 * np.dtype(kind.scratch).itemsize)


def rate(path, threads, rounds=1_000_000, repeats=9):
    """Median absolute differences per second of `threads` threads together."""
    kind = KINDS[path]
    start_all = Barrier(threads)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: start_all.wait() + run(kind(), 1), range(threads)))
        times = []
        for _ in range(repeats):
            start = perf_counter()
            list(pool.map(lambda _: run(kind(), rounds), range(threads)))
            times.append(perf_counter() - start)
    return threads * rounds * differences_per_round(kind) / median(times)
