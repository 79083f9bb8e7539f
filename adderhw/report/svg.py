"""Draws inline SVG: escaped elements, scales with round ticks, a frame with labelled axes."""

import math
from dataclasses import dataclass

from markupsafe import Markup, escape

TICK = 5  # units that a tick label stands off its axis


def element(name, *children, **attributes):
    """<name …>children</name> as Markup, text escaped; class_ is class, underscores are hyphens, None is left out."""
    stated = (
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    body = "".join(map(escape, children))
    opened = f"<{name}{''.join(stated)}"
    return Markup(f"{opened}>{body}</{name}>" if children else f"{opened}/>")


def chart(width, height, label, *children):
    """A drawing that fills its column; `label` tells what it shows to those who do not see it."""
    return element("svg", *children, class_="chart", viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=label)


def text(x, y, words, anchor="start", class_=None, **attributes):
    """One line of text."""
    return element("text", words, x=x, y=y, text_anchor=anchor, class_=class_, **attributes)


def line(x1, y1, x2, y2, class_):
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def rectangle(x, y, width, height, class_, title=None):
    """A filled rectangle, with a tooltip."""
    words = [element("title", title)] if title else []
    return element("rect", *words, x=x, y=y, width=max(width, 0), height=max(height, 0), class_=class_)


@dataclass(frozen=True)
class Linear:
    """A scale from low to high, which become 0 and 1."""

    low: float
    high: float

    def at(self, value):
        """Where a value lies."""
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most=6):
        """At most so many round numbers inside: multiples of 1, 2 or 5 times a power of ten."""
        step = round_up((self.high - self.low) / most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]


@dataclass(frozen=True)
class Logarithmic:
    """A logarithmic scale from low to high, both above 0."""

    low: float
    high: float

    def at(self, value):
        """Where a value lies."""
        return math.log(value / self.low) / math.log(self.high / self.low)

    def ticks(self, most=9):
        """Powers of ten, with 2 and 5 times each where those are no more than `most`."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for factors in ((1, 2, 5), (1,)):
            found = [
                factor * 10.0**power
                for power in range(first, last + 1)
                for factor in factors
                if self.low * (1 - 1e-9) <= factor * 10.0**power <= self.high * (1 + 1e-9)
            ]
            if len(found) <= most:
                break
        return found


def round_up(number):
    """The least of 1, 2, 5 times a power of ten that is not below `number`."""
    power = 10.0 ** math.floor(math.log10(number))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= number * (1 - 1e-9))


def rounded_top(most):
    """A Linear scale from 0 to a round number not below `most`."""
    step = round_up(most / 5) if most > 0 else 1.0
    return Linear(0.0, step * math.ceil(most / step - 1e-9) if most > 0 else 1.0)


@dataclass(frozen=True)
class Frame:
    """A plot's place in the drawing and its scales."""

    left: float
    top: float
    width: float
    height: float
    across: Linear | Logarithmic
    up: Linear | Logarithmic

    @property
    def bottom(self):
        """The y of the lower edge."""
        return self.top + self.height

    def x(self, value):
        """The x of a value."""
        return self.left + self.width * self.across.at(value)

    def y(self, value):
        """The y of a value."""
        return self.bottom - self.height * self.up.at(value)

    def x_axis(self, label, ticks=None, format_=None):
        """Labels, grid lines and the axis below the plot."""
        format_ = format_ or tick_text
        for tick in self.across.ticks() if ticks is None else ticks:
            yield line(self.x(tick), self.top, self.x(tick), self.bottom, "grid")
            yield text(self.x(tick), self.bottom + 16, format_(tick), "middle")
        yield line(self.left, self.bottom, self.left + self.width, self.bottom, "axis")
        yield text(self.left + self.width / 2, self.bottom + 36, label, "middle", "name")

    def y_axis(self, label):
        """Labels and grid lines on the left, and the label above the axis, where it reads level."""
        for tick in self.up.ticks():
            yield line(self.left, self.y(tick), self.left + self.width, self.y(tick), "grid")
            yield text(self.left - TICK - 2, self.y(tick) + 4, tick_text(tick), "end")
        yield text(0, self.top - 12, label, class_="name")


def tick_text(number):
    """'0.5', '20', '5,000' of a tick."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:g}"


def _number(value):
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
