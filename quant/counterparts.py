"""Which float tensor each integer tensor stands for: how the integer file states it in its metadata.

Under `adderhw.float_tensors` lies a JSON object, integer tensor → {"float": name} for a tensor on a grid, whose scale
and zero point its format states, or {"float": name, "scale": a, "offset": b} for a sum S, which stands for a·S + b;
a and b are a number each, or a list with one number a channel.
"""

import json
from dataclasses import dataclass

import numpy as np

from adderhw.errors import ModelError

KEY = "adderhw.float_tensors"


@dataclass(frozen=True)
class Counterpart:
    """The float tensor `tensor` that an integer tensor q stands for: scale·q + offset.

    scale, offset: float64 (), or (C,) with one entry a channel (axis 1). on_grid: whether q lies on a grid, outside
    whose range it clips; else it is an exact sum.
    """

    tensor: str
    scale: np.ndarray
    offset: np.ndarray
    on_grid: bool

    def real(self, integers):
        """float64, what the integers (N, C, …) stand for."""
        return along_channels(self.scale, integers.ndim) * integers + along_channels(self.offset, integers.ndim)


def along_channels(values, rank):
    """() as it is, (C,) as an array that broadcasts along axis 1 of `rank` axes."""
    return values.reshape(-1, *[1] * (rank - 2)) if values.ndim else values


def stated(tensor, scale=None, offset=None):
    """The JSON entry of an integer tensor; scale and offset, a number or float64 (C,), are those of a sum."""
    if scale is None:
        return {"float": tensor}
    return {"float": tensor, "scale": compact(scale), "offset": compact(offset)}


def compact(values):
    """A float where all channels agree, else a list of floats; both read back exactly."""
    values = np.asarray(values, np.float64)
    return float(values.flat[0]) if (values == values.flat[0]).all() else values.tolist()


def read_counterparts(graph):
    """Integer tensor name → Counterpart, in topological order, of a Graph; raises ModelError where it states none."""
    text = graph.metadata.get(KEY)
    where = f"metadata {KEY}"
    if text is None:
        raise ModelError(f"{where}: found none, expected an integer model that this version of python -m quant wrote")
    try:
        entries = json.loads(text)
        found = {node.output: entries[node.output] for node in graph.nodes if node.output in entries}
        counterparts = {name: counterpart(graph.tensors[name], entry) for name, entry in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"{where}: found {text[:80]!r}, expected JSON with a float tensor for each name") from None
    strangers = [name for name in entries if name not in counterparts]
    if strangers or not counterparts:
        raise ModelError(f"{where}: found tensors {strangers[:3]} that no node computes, expected the model's own")
    return counterparts


def counterpart(tensor, entry):
    """The Counterpart that `entry` states for an integer Tensor; raises ModelError where its parts do not fit."""
    if "scale" not in entry:
        grid = tensor.format
        if grid is None or grid.scale is None:
            raise ModelError(f"tensor {tensor.name!r}: found no scale in its format, expected the one of its grid")
        scale = np.float64(grid.scale)
        return Counterpart(entry["float"], np.asarray(scale), np.asarray(-scale * grid.zero_point), True)
    scale, offset = (np.asarray(entry[key], np.float64) for key in ("scale", "offset"))
    for what, values in (("scale", scale), ("offset", offset)):
        if values.shape not in ((), (tensor.shape[1],)) or not np.isfinite(values).all():
            expected = f"finite numbers, one or {tensor.shape[1]}"
            raise ModelError(f"tensor {tensor.name!r}: found {what} of shape {list(values.shape)}, expected {expected}")
    if (scale == 0).any():
        raise ModelError(f"tensor {tensor.name!r}: found scale 0, expected another number")
    return Counterpart(entry["float"], scale, offset, False)
