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
    entries = entries_of(graph.metadata.get(KEY))
    computed = [node.output for node in graph.nodes]
    strangers = sorted(set(entries) - set(computed))
    if strangers:
        raise ModelError(f"metadata {KEY}: found tensor {strangers[0]!r}, expected only those that a node computes")
    return {name: counterpart(graph.tensors[name], entries[name]) for name in computed if name in entries}


def entries_of(text):
    """The JSON object in the metadata; raises ModelError unless it is one with an entry at least."""
    if text is None:
        raise ModelError(f"metadata {KEY}: found none, expected what this version of python -m quant writes")
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, dict) or not entries:
        raise ModelError(f"metadata {KEY}: found {text[:80]!r}, expected a JSON object with integer tensors")
    return entries


def counterpart(tensor, entry):
    """The Counterpart that `entry` states for an integer Tensor; raises ModelError where its parts do not fit."""
    where = f"metadata {KEY}: tensor {tensor.name!r}"
    if not isinstance(entry, dict) or not isinstance(entry.get("float"), str) or tensor.is_float:
        raise ModelError(f"{where}: found {str(entry)[:80]}, expected an integer tensor with the name of a float one")
    if "scale" not in entry:
        return on_grid(where, tensor.format, entry["float"])
    scale, offset = (numbers(where, entry, key, tensor.shape[1]) for key in ("scale", "offset"))
    if (scale == 0).any():
        raise ModelError(f"{where}: found scale 0, expected another number")
    return Counterpart(entry["float"], scale, offset, False)


def on_grid(where, grid, name):
    """The Counterpart `name` of a tensor whose Format is `grid`; raises ModelError where that states no scale."""
    if grid.scale is None:
        raise ModelError(f"{where}: found no scale in its format, expected that of its grid")
    scale = np.float64(grid.scale)
    return Counterpart(name, np.asarray(scale), np.asarray(-scale * grid.zero_point), True)


def numbers(where, entry, key, channels):
    """float64 () or (channels,) under `key`; raises ModelError for anything else."""
    try:
        values = np.asarray(entry.get(key), np.float64)
    except (ValueError, TypeError):
        values = np.asarray(np.nan)
    if values.shape not in ((), (channels,)) or not np.isfinite(values).all():
        raise ModelError(f"{where}: found {key} {str(entry.get(key))[:80]}, expected a number, or one a channel")
    return values
