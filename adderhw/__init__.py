"""Bit-exact simulation, tallies and energy of integer adder networks: `adderhw.load`, `adderhw.simulate`."""

from importlib import import_module

from adderhw.starting import watch

_LAZY = {"load": "adderhw.simulation", "simulate": "adderhw.simulation", "AdderHwError": "adderhw.errors"}
__all__ = ["AdderHwError", "load", "simulate"]
__version__ = "0.1.0"
watch()


def __getattr__(name):
    """Loads numba and onnx only when the simulator is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module 'adderhw' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
