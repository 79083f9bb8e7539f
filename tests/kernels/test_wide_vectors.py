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
from tests.kernels.wide import emulated_avx512


@pytest.fixture
def wide():
    """The portable path is the 512-bit one."""
    with emulated_avx512():
        yield


@pytest.mark.slow
@pytest.mark.parametrize(("outputs", "groups"), [(16, 1), (21, 1), (40, 1), (6, 2)])
def test_512_bit_tiles_equal_the_oracles(wide, outputs, groups):
    rng = np.random.default_rng(outputs)
    x = rng.integers(0, 256, (2, 10, 5, 4)).astype(np.uint8)
    w = rng.integers(0, 256, (outputs, 10 // groups, 3, 2)).astype(np.uint8)
    geometry = Geometry((1, 1), (1, 0, 0, 1), (1, 2), groups)
    sums = adder_conv(nhwc(x), pack_adder_conv(w, geometry, "portable"), 3)
    assert (nchw(sums) == naive.adder_conv(x, w, zero_point=3, **geometry._asdict())).all()
    products = integer_conv(nhwc(x), pack_integer_conv(w, 9, geometry, "portable"), 3)
    expected = naive.integer_conv(x, w, x_zero_point=3, w_zero_point=9, **geometry._asdict())
    assert (nchw(products) == expected).all()


COMPILE_FOR_AVX512 = """
import numpy as np
from adderhw.kernels import Geometry, bind_conv, compiled, convolution, pack_adder_conv
convolution.ADDER_KINDS["portable"] = compiled.Sad512
packed = pack_adder_conv(np.zeros((16, 8, 3, 3), np.uint8), Geometry(), "portable")
bind_conv(packed, (1, 8, 8, 8), 0, threads=1)
(assembly,) = compiled.convolve.inspect_asm().values()
print(sum("vpsadbw" in line and "zmm" in line for line in assembly.splitlines()))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="compiles for an x86-64 processor")
def test_the_machine_code_for_avx512_has_the_512_bit_instruction(tmp_path):
    features = "+avx2,+avx512f,+avx512bw,+avx512vl,+avx512dq,+avx512cd"
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": "skylake-avx512",
        "NUMBA_CPU_FEATURES": features,
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", COMPILE_FOR_AVX512], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= compiled.Sad512.positions * compiled.Sad512.vectors
