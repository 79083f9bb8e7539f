"""What several tables say of one tally: each table's energy or why it has none, and the band they span."""

from typing import NamedTuple

from adderhw.cost.energy import energy, load_table, table_names
from adderhw.errors import CostError


class End(NamedTuple):
    """One end of a band: the figure and the name of the table that gives it."""

    value: float
    table: str


class Band(NamedTuple):
    """The least and the most of a figure over the tables that price it."""

    low: End
    high: End


def all_tables(tables):
    """`tables` and every table that ships and is not among them, by name."""
    names = {table.name for table in tables}
    return (*tables, *(load_table(name) for name in table_names() if name not in names))


def energies(tally, tables):
    """({table: pJ}, {table: why it prices no such tally}) of a Tally."""
    priced, unpriced = {}, {}
    for table in tables:
        try:
            priced[table.name] = energy(tally, table)
        except CostError as error:
            unpriced[table.name] = str(error)
    return priced, unpriced


def band(figures):
    """The Band of {table: figure}, None of none."""
    ends = [End(value, table) for table, value in figures.items()]
    return Band(min(ends), max(ends)) if ends else None


def ratios_by_table(above, below):
    """{table: above / below} of two {table: pJ}, for the tables that price both and where below is not 0."""
    return {table: picojoule / below[table] for table, picojoule in above.items() if below.get(table)}


def pe_area(work, table):
    """µm² of one processing element of a layer: the hardware of one tap.

    None where the table has no areas for it, or the layer is not made of equal taps (no taps, or constants wired in).
    """
    if not work.taps or any(count != work.taps for count in work.events.values()):
        return None
    try:
        return sum(table.area(counted) for counted in work.events)
    except CostError:
        return None
