"""What a lowering goes by tensor by tensor, beyond the settings that hold for the whole network."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from quant.grids import input_grid
from quant.groups import FilterGroup


@dataclass(frozen=True)
class Choices:
    """Found by searches or given by the user; a tensor without an entry goes by the settings and the calibration.

    ranges: tensor name → (low, high) of its grid. widths: tensor name → bits of its grid, and so of the adder layers
    that read it. groups: adder layer's output name → its FilterGroups, each with a grid of its own of the layer's
    input. corrections: layer output name → float64 (C,), added to that output.
    """

    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    widths: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, tuple[FilterGroup, ...]] = field(default_factory=dict)
    corrections: Mapping[str, np.ndarray] = field(default_factory=dict)


def source_grid(images, settings):
    """The Format of the network's input by calibration images: 8 bits unsigned, or 16 where edge_bits need them."""
    return input_grid(images, 8 if settings.edge_bits <= 8 else 16)
