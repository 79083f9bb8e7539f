"""What a quantisation depends on: widths, ranges, multipliers and rounding, checked when made."""

import re
from dataclasses import dataclass, replace
from functools import cache

from adderhw.errors import AdderHwError
from adderhw.fixed import MAX_BITS, MIN_BITS, Rounding

RANGES = ("max", "quantile", "error", "regions", "divergence")
BY_LAYERS = ("error", "regions")  # those that layers' outputs decide
# From each width on (docs/quantisation.md has the measurements): the range, and the share inside it; the fewer the
# steps, the more is gained by cutting the tail.
DEFAULTS = {
    "range": ((8, "error"), (MIN_BITS, "regions")),
    "quantile": ((9, 1.0), (8, 0.9999), (5, 0.9997), (MIN_BITS, 0.999)),
}
MOST_MULTIPLIER_BITS = 24
MOST_FILTER_GROUPS = 64
# A multiplier of b + 6 bits is within 1/32 step of a b-bit output, far below any bound worth asking for.
ERROR_BITS = 6
# The multiplication-free preset (docs/quantisation.md has the measurements).
MULTIPLICATION_FREE_ERROR = 0.5
MULTIPLICATION_FREE_WEIGHTS = "shift_add:3"
REALISATIONS = re.compile(r"multiplier|shift|shift_add:[1-9]\d*")


@dataclass(frozen=True)
class Settings:
    """The settings of one quantisation; raises AdderHwError for a value outside its range.

    bits: width of adder layers and activations, 2…16. edge_bits: width of the weights and input of the first and
    the last layer where those multiply. range: 'max', or 'quantile' with the share `quantile` of the values
    inside the range (None: by the width, DEFAULTS), or 'error': for what adder layers read, the range of
    the least error of their outputs, for the rest as 'quantile', or 'regions': the same with errors averaged over
    quarters of images, or 'divergence': from the default of the width on, the ranges of the least divergence of the
    network's outputs. None: by the width, DEFAULTS. bias_correction: whether each layer's constant
    takes up what quantisation did to its channels' means. guard_bits: extra bits below the output's step in
    which a residual sum is taken. wide_residuals: whether a branch that layers read too, such as an identity, goes into
    it from the sum it was computed in, with those guard bits, instead of from the grid that the layers read.
    multiplier_bits: width of the signed multiplier M. realisation: 'multiplier',
    'shift' or 'shift_add:K'. rounding: a name of adderhw.fixed.Rounding. weight_realisation: the same for the weights
    of multiplying layers, whose digits it limits. max_error: with it a multiplier has the fewest digits and then the
    fewest bits whose error is at most so many steps of the output before rounding, instead of all it may have.
    multiplication_free: what is left to a multiplier becomes shift_add, and max_error MULTIPLICATION_FREE_ERROR.
    filter_groups: of so many groups of an adder layer's filters each has its own grid of the layer's input; above 1
    only with ranges 'error' and 'regions', for the other ranges are one for all filters.
    """

    bits: int = 8
    edge_bits: int = 8
    range: str | None = None
    quantile: float | None = None
    bias_correction: bool = True
    guard_bits: int = 4
    wide_residuals: bool = False
    multiplier_bits: int = 14
    realisation: str = "multiplier"
    rounding: str = "half_up"
    weight_realisation: str = "multiplier"
    max_error: float | None = None
    multiplication_free: bool = False
    filter_groups: int = 1

    def __post_init__(self):
        if self.multiplication_free:
            self._leave_no_multiplier()
        for name, least, most in (
            ("bits", MIN_BITS, MAX_BITS),
            ("edge_bits", MIN_BITS, MAX_BITS),
            ("guard_bits", 0, 12),
            ("multiplier_bits", 3, MOST_MULTIPLIER_BITS),
            ("filter_groups", 1, MOST_FILTER_GROUPS),
        ):
            require(least <= getattr(self, name) <= most, name, getattr(self, name), f"{least} to {most}")
        for name in DEFAULTS:
            if getattr(self, name) is None:
                object.__setattr__(self, name, default_at(self.bits, name))
        require(self.range in RANGES, "range", self.range, " or ".join(RANGES))
        grouped = self.filter_groups > 1
        require(
            not grouped or self.range in BY_LAYERS, "range", self.range, "error or regions with filter_groups above 1"
        )
        require(0.5 < self.quantile <= 1, "quantile", self.quantile, "above 0.5, at most 1")
        expected = "multiplier, shift or shift_add:K with K of at least 1"
        for name in ("realisation", "weight_realisation"):
            require(REALISATIONS.fullmatch(getattr(self, name)), name, getattr(self, name), expected)
        bound = self.max_error
        require(bound is None or 0 < bound < float("inf"), "max_error", bound, "a finite number above 0")
        Rounding.parse(self.rounding)

    def _leave_no_multiplier(self):
        """Multipliers become shift-adds, wide enough for max_error at this width and of as many digits as that has."""
        width = max(self.multiplier_bits, min(self.bits + ERROR_BITS, MOST_MULTIPLIER_BITS))
        preset = {"multiplier_bits": width}
        if self.realisation == "multiplier":
            preset["realisation"] = f"shift_add:{(width + 1) // 2}"
            preset["max_error"] = self.max_error or MULTIPLICATION_FREE_ERROR
        if self.weight_realisation == "multiplier":
            preset["weight_realisation"] = MULTIPLICATION_FREE_WEIGHTS
        for name, value in preset.items():
            object.__setattr__(self, name, value)

    def at_width(self, bits):
        """The same settings for a tensor of so many bits: range and share inside it are its width's, unless stated."""
        unstated = [name for name in DEFAULTS if getattr(self, name) == default_at(self.bits, name)]
        return replace(self, bits=bits, **dict.fromkeys(unstated))

    def by_regions(self, bits):
        """Whether a tensor of so many bits gets, or is refined from, the range of the least error over regions."""
        stated = self.at_width(bits).range
        return (default_at(bits, "range") if stated == "divergence" else stated) == "regions"

    @property
    def signed_digits(self):
        """How many non-zero signed digits a multiplier may have; None where any number may."""
        return most_digits(self.realisation)

    @property
    def weight_digits(self):
        """How many non-zero signed digits a weight of a multiplying layer may have; None where any number may."""
        return most_digits(self.weight_realisation)


def default_at(bits, name):
    """The default of the field `name` at this width: of pairs (from so many bits on, default), the first that holds."""
    return next(default for width, default in DEFAULTS[name] if bits >= width)


@cache
def most_digits(realisation):
    """The K of a realisation; None for 'multiplier'."""
    kind, _, digits = realisation.partition(":")
    return {"multiplier": None, "shift": 1}.get(kind, int(digits or 0))


def require(holds, name, found, expected):
    """Raises AdderHwError unless `holds`."""
    if not holds:
        raise AdderHwError(f"{name}: found {found!r}, expected {expected}")
