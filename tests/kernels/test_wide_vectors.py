"""The 512-bit tiles' layout equals the oracles, on any CPU."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from adderhw.kernels import Geometry, adder_conv, compiled, integer_conv, pack_adder_conv, pack_integer_conv
from tests import naive
from tests.kernels.cases import nchw, nhwc
from tests.kernels.wide import EmulatedDot, EmulatedMax, EmulatedMultiply, emulated_avx512


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="sums of windows are made for x86-64 alone")
@pytest.mark.parametrize("vnni", [False, True])
@pytest.mark.parametrize(
    ("outputs", "groups", "dilations"), [(16, 1, (1, 2)), (21, 1, (2, 1)), (64, 1, (1, 1)), (60, 2, (1, 2))]
)
def test_512_bit_tiles_equal_the_oracles(vnni, outputs, groups, dilations):
    rng = np.random.default_rng(outputs)
    x = rng.integers(0, 256, (2, 10, 5, 4)).astype(np.uint8)
    w = rng.integers(0, 256, (outputs, 10 // groups, 3, 2)).astype(np.uint8)
    geometry = Geometry((1, 1), (1, 0, 0, 1), dilations, groups)
    with emulated_avx512(vnni):
        packed = pack_adder_conv(w, geometry, "portable")
        assert (packed.kind is EmulatedMax) == (vnni and outputs == 64)
        sums = adder_conv(nhwc(x), packed, 3)
        assert (nchw(sums) == naive.adder_conv(x, w, zero_point=3, **geometry._asdict())).all()
        for weights, kind in ((w, EmulatedMultiply), (w // 2, EmulatedDot if vnni else EmulatedMultiply)):
            packed = pack_integer_conv(weights, 0, geometry, "portable")
            assert packed.kind is kind
            products = integer_conv(nhwc(x), packed, 3)
            expected = naive.integer_conv(x, weights, x_zero_point=3, w_zero_point=0, **geometry._asdict())
            assert (nchw(products) == expected).all()


MACHINE_CODE = """
import numpy as np
from adderhw.kernels import compiled
code = compiled.convolve_step(compiled.{tile}, np.uint8, np.int32)
lines = code._library.get_asm_str().splitlines()
print(*(sum(name in line and "zmm" in line for line in lines) for name in {instructions}))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="compiles for an x86-64 processor")
@pytest.mark.parametrize(
    ("tile", "instructions"),
    [("Sad512", ["vpsadbw"]), ("Max512", ["vpmaxub", "vpdpbusd"]), ("Dot512", ["vpdpbusd"])],
)
def test_the_machine_code_for_avx512_has_the_512_bit_instructions(tile, instructions, tmp_path):
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": "skylake-avx512",
        "NUMBA_CPU_FEATURES": "+avx2,+avx512f,+avx512bw,+avx512vl,+avx512dq,+avx512cd,+avx512vnni",
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    program = MACHINE_CODE.format(tile=tile, instructions=instructions)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    kind = getattr(compiled, tile)
    assert [int(count) >= kind.positions * kind.vectors for count in done.stdout.split()] == [True] * len(instructions)
