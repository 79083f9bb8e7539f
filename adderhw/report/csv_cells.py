"""Cells of CSV files as a spreadsheet may read them: text that it would run as a formula begins with an apostrophe."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cells(row):
    """The values of a row, or of a dictionary of it, with text that begins like a formula quoted; numbers stay."""
    return {name: _cell(value) for name, value in row.items()} if isinstance(row, dict) else [*map(_cell, row)]


def _cell(value):
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
