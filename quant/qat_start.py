"""What training starts from: grids and steps that post-training quantisation found, and the names of what learns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from adderhw.fixed import Format
from quant.choices import Choices
from quant.settings import Settings


class Seen(NamedTuple):
    """What a lowering on given grids needs of quant.ranges.Observed."""

    shape: tuple[int, ...]
    low: float
    high: float
    mean: np.ndarray


@dataclass(frozen=True)
class Start:
    """What post-training quantisation found, from which training starts and by which every step lowers.

    observed: tensor name → Seen. source: Format of the input. grids: tensor name → Format; learning: names of the
    tensors whose step learns. weight_steps: name of a multiplying layer → float64 (O,), the steps of its weight, which
    learn too; none where its weights have few signed digits, whose step is searched.
    """

    observed: Mapping[str, Seen]
    source: Format
    settings: Settings
    choices: Choices
    grids: Mapping[str, Format]
    learning: tuple[str, ...]
    weight_steps: Mapping[str, np.ndarray]


def step_of(tensor):
    """The name of the parameter that is the logarithm of a tensor's step."""
    return f"step of {tensor}"


def weight_step_of(layer):
    """The name of the parameter that is the logarithm of the steps of a multiplying layer's weight."""
    return f"weight step of {layer}"
