"""Which compiled instructions this machine can run."""

from functools import cache

from llvmlite import binding
from numba import config

from adderhw.errors import AdderHwError

NEEDS = {
    "vnni": ("avx512f", "avx512bw", "avx512vnni"),
    "avx512": ("avx512f", "avx512bw"),
    "avx2": ("avx2",),
    "portable": (),
}


@cache
def paths():
    """Names of the kernel paths this machine can run, best first; "portable" runs on any CPU."""
    features = cpu_features()
    return tuple(name for name, needed in NEEDS.items() if all(features.get(feature) for feature in needed))


def cpu_features():
    """{feature: whether Numba compiles for it}: this machine's, or what NUMBA_CPU_FEATURES says ('generic': none)."""
    if config.CPU_FEATURES is None:
        return binding.get_host_cpu_features()
    return {each[1:]: each[0] == "+" for each in config.CPU_FEATURES.split(",") if each}


def choose_path(name=None):
    """The kernel path called `name`, or the best one for None; raises AdderHwError if this machine cannot run it."""
    if name is None:
        return paths()[0]
    if name not in paths():
        raise AdderHwError(f"kernel path: found {name!r}, expected one of {', '.join(paths())}")
    return name
