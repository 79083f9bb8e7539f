"""Cited energy tables: the picojoules of each event, and on what ground each price stands."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from adderhw.cost.events import event
from adderhw.cost.prices import Derived, Formula, Free, Points, Price
from adderhw.cost.table_file import read_fields
from adderhw.errors import CostError

TABLES = ("horowitz45", "qtools45", "aladdin40")


@dataclass(frozen=True)
class EnergyTable:
    """Prices of one published source, in picojoules per event.

    source is the full citation; node_nm the process node in nanometres; voltage as the source gives
    it, or 'not stated'; rules the price rule and reasons the stated reason of each kind. areas: the rule that
    gives the µm² of each kind, empty where the source has no areas; area_source: where they come from.
    """

    name: str
    title: str
    source: str
    node_nm: int
    voltage: str
    unit: str
    rules: Mapping[str, Points | Formula | Derived | Free]
    reasons: Mapping[str, str]
    areas: Mapping[str, Points | Formula | Derived | Free] = field(default_factory=dict)
    area_source: str = ""

    def price(self, priced):
        """The Price of one Event; unequal multiplier widths cost as the square multiplier of equal product.

        Raises CostError for a kind without a rule or a width outside the rule's range.
        """
        return self._apply(self.rules, "event", priced)

    def area(self, counted):
        """The µm² of the hardware of one Event, by the same rules; raises CostError where the table has none."""
        return self._apply(self.areas, "area of event", counted).picojoule

    def _apply(self, rules, what, priced):
        kind, bits = event(priced.kind, *priced.bits)
        if kind not in rules:
            expected = ", ".join(rules) or "none, the source gives none"
            raise CostError(f"{self.name}: found {what} {priced}, expected one of the kinds {expected}")
        width = math.sqrt(bits[0] * bits[1]) if len(bits) == 2 else bits[0]
        price = self._apply_rule(rules, kind, width, priced)
        return price.weakened("derived") if len(bits) == 2 else price

    def _apply_rule(self, rules, kind, width, priced):
        rule = rules[kind]
        if isinstance(rule, Free):
            return Price(0.0, "derived")
        if isinstance(rule, Derived):
            base = self._apply_rule(rules, rule.kind, 1 if rule.per_bit else width, priced)
            picojoule = base.picojoule * width if rule.per_bit else base.picojoule
            return Price(picojoule, base.basis).weakened("derived")
        if not rule.covers(width):
            raise CostError(f"{self.name}: found event {priced}, expected {kind} of {rule.widths} bits")
        return rule.price(width)


def energy_per_event(tally, table):
    """{event: picojoules} of a Tally under `table`; raises CostError for an event without a price."""
    return {counted: count * table.price(counted).picojoule for counted, count in tally.items()}


def energy(tally, table):
    """The picojoules of a whole Tally under `table`; raises CostError for an event without a price."""
    return math.fsum(energy_per_event(tally, table).values())


def table_names():
    """The names of the tables that ship with the package."""
    return TABLES


def load_table(name_or_path):
    """The EnergyTable called `name_or_path`, or read from that .toml file.

    Raises CostError, one line, for a name that does not exist (it lists those that do), a file that
    cannot be read, or a field that is missing, unknown or out of range.
    """
    text = str(name_or_path)
    if text in TABLES:
        return EnergyTable(**read_fields(files("adderhw.cost") / "tables" / f"{text}.toml", f"{text}.toml"))
    if not text.endswith(".toml"):
        raise CostError(f"energy table: found {text!r}, expected one of {', '.join(TABLES)} or a .toml file")
    return EnergyTable(**read_fields(Path(text), text))
