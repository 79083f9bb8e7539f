"""Options that several commands of quantisation share: what Settings calls them, with the words of their help."""

from typing import Annotated

import typer

from quant.settings import Settings

DEFAULTS = Settings()
Bits = Annotated[int, typer.Option(help="Width of adder layers and activations, 2 to 16.")]
EdgeBits = Annotated[int, typer.Option(help="Width of the first and the last layer where they multiply, 2 to 16.")]
Range = Annotated[
    str | None,
    typer.Option(
        "--range",
        help="Range of a tensor: max, quantile, error (least error of the layers that read it), regions (least error "
        "averaged over quarters of images), or divergence (the default, then least divergence of the network's "
        "outputs); default by --bits: error from 8 on, regions below.",
    ),
]
MultiplierBits = Annotated[int, typer.Option(help="Width of the signed requantisation multiplier, 3 to 24.")]
Realisation = Annotated[str, typer.Option(help="Hardware of the requantisation: multiplier, shift or shift_add:K.")]
Rounding = Annotated[str, typer.Option(help="Rounding: half_up, floor, half_even or half_away.")]
WeightRealisation = Annotated[
    str, typer.Option(help="Hardware of layers that multiply by weights: multiplier, shift or shift_add:K.")
]
MultiplicationFree = Annotated[
    bool, typer.Option("--multiplication-free", help="Shifts and adds in place of every multiplier.")
]
WideResiduals = Annotated[
    bool, typer.Option(help="Residual sums take a branch with its guard bits, not as its layers read it.")
]
