"""Price rules: published points, a published formula, or derived from another kind; each says its ground.

The same rules hold a table's areas; what they give is then µm² instead of pJ.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

BASES = ("point", "formula", "interpolated", "derived", "extrapolated")
"""Grounds of a price, the strongest first; a price that rests on two grounds carries the weaker name."""


class Price(NamedTuple):
    """What one event costs: picojoules, and the basis (of BASES) the figure stands on."""

    picojoule: float
    basis: str

    def weakened(self, basis):
        """The same price, standing on the weaker of its own ground and `basis`."""
        return Price(self.picojoule, max(self.basis, basis, key=BASES.index))


@dataclass(frozen=True)
class Points:
    """Published (bits, pJ) pairs; between and beyond them linear or a power law in the width, or nothing.

    linear: proportional to the width below the first point, the last segment's slope above the last.
    power: the first and last segment's exponent carried on; one point alone needs `exponent`.
    nothing: only the published widths have a price.
    """

    points: tuple[tuple[int, float], ...]
    between: str
    exponent: float | None
    range: tuple[int, int]

    def covers(self, width):
        """Whether the rule prices `width` bits."""
        if self.between == "nothing":
            return any(width == bits for bits, _ in self.points)
        return self.range[0] <= width <= self.range[1]

    @property
    def widths(self):
        """The widths the rule prices, in words."""
        if self.between == "nothing":
            return " or ".join(str(bits) for bits, _ in self.points)
        return f"{self.range[0]} to {self.range[1]}"

    def price(self, width):
        """The Price at `width` bits, a real number that the rule covers."""
        for bits, picojoule in self.points:
            if width == bits:
                return Price(picojoule, "point")
        inside = self.points[0][0] < width < self.points[-1][0]
        estimate = self._linear(width) if self.between == "linear" else self._power(width)
        return Price(estimate, "interpolated" if inside else "extrapolated")

    def _linear(self, width):
        if width < self.points[0][0]:
            return self.points[0][1] * width / self.points[0][0]
        (b0, e0), (b1, e1) = self._segment(width)
        return e0 + (e1 - e0) * (width - b0) / (b1 - b0)

    def _power(self, width):
        if self.exponent is not None:
            (b0, e0), exponent = self.points[0], self.exponent
        else:
            (b0, e0), (b1, e1) = self._segment(width)
            exponent = math.log(e1 / e0) / math.log(b1 / b0)
        return e0 * (width / b0) ** exponent

    def _segment(self, width):
        """The two points around `width`, or the nearest two when it lies outside them."""
        upper = sum(bits < width for bits, _ in self.points)
        upper = min(max(upper, 1), len(self.points) - 1)
        return self.points[upper - 1], self.points[upper]


@dataclass(frozen=True)
class Formula:
    """linear·b + quadratic·b² picojoules for b bits, as the source states it."""

    linear: float
    quadratic: float
    range: tuple[int, int]

    def covers(self, width):
        """Whether the rule prices `width` bits."""
        return self.range[0] <= width <= self.range[1]

    @property
    def widths(self):
        """The widths the rule prices, in words."""
        return f"{self.range[0]} to {self.range[1]}"

    def price(self, width):
        """The Price at `width` bits, a real number that the rule covers."""
        return Price(self.linear * width + self.quadratic * width * width, "formula")


@dataclass(frozen=True)
class Derived:
    """Priced as another kind of the same width, or (per_bit) as that kind at one bit, once a bit."""

    kind: str
    per_bit: bool


@dataclass(frozen=True)
class Free:
    """Costs nothing; the table's reason says why."""
