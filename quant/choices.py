"""What a lowering goes by tensor by tensor, beyond the settings that hold for the whole network."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from adderhw.errors import AdderHwError
from adderhw.fixed import MAX_BITS, MIN_BITS
from adderhw.json_files import read_json
from quant.grids import input_grid
from quant.groups import FilterGroup


@dataclass(frozen=True)
class Choices:
    """Found by searches or given by the user; a tensor without an entry goes by the settings and the calibration.

    ranges: tensor name → (low, high) of its grid. widths: tensor name → bits of its grid, and so of the adder layers
    that read it. groups: adder layer's output name → its FilterGroups, each with a grid of its own of the layer's
    input. corrections: layer output name → float64 (C,), added to that output. Raises AdderHwError for a width outside
    2…16.
    """

    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    widths: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, tuple[FilterGroup, ...]] = field(default_factory=dict)
    corrections: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        for name, bits in self.widths.items():
            if isinstance(bits, bool) or not isinstance(bits, int) or not MIN_BITS <= bits <= MAX_BITS:
                raise AdderHwError(f"width of {name!r}: found {bits!r}, expected {MIN_BITS} to {MAX_BITS}")


def check_widths(widths, names):
    """Raises AdderHwError unless all `widths` are those of tensors in `names`, which have grids of their own."""
    for name in widths:
        if name not in names:
            raise AdderHwError(f"widths: found {name!r}, expected tensors with a grid: {', '.join(names)}")


def read_widths(path):
    """Tensor name → bits from a JSON file; raises AdderHwError for anything else."""
    widths = read_json(path, "an object of tensor name to bits")
    if not isinstance(widths, dict):
        raise AdderHwError(f"{path}: found a {type(widths).__name__}, expected an object of tensor name to bits")
    return Choices(widths=widths).widths


def source_grid(images, settings):
    """The Format of the network's input by calibration images: 8 bits unsigned, or 16 where edge_bits need them."""
    return input_grid(images, 8 if settings.edge_bits <= 8 else 16)
