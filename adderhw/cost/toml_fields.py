"""Reads a description in TOML and checks its fields: each mistake is one line of what, where, found and expected."""

from importlib.resources import files
from pathlib import Path

from adderhw.errors import CostError
from adderhw.toml_files import read_toml


def read_description(name_or_path, what, folder, shipped):
    """(the fields of a shipped description or of a .toml file, what it is called in messages).

    what: 'accelerator', 'memory table'. folder: where the package holds the shipped ones. Raises CostError.
    """
    text = str(name_or_path)
    if text in shipped:
        file, where = files("adderhw.cost") / folder / f"{text}.toml", f"{what} {text}.toml"
    elif text.endswith(".toml"):
        file, where = Path(text), f"{what} {text}"
    else:
        raise CostError(f"{what}: found {text!r}, expected one of {', '.join(shipped)} or a .toml file")
    return read_toml(file, where, CostError), where


def same_fields(fields, expected, where):
    """Checks that `fields` is a section with exactly the names `expected`; raises CostError."""
    if not isinstance(fields, dict):
        raise CostError(f"{where}: found {fields!r}, expected a section")
    missing, unknown = set(expected) - fields.keys(), fields.keys() - set(expected)
    if missing:
        raise CostError(f"{where}: missing {', '.join(sorted(missing))}")
    if unknown:
        raise CostError(f"{where}: found unknown {', '.join(sorted(unknown))}, expected only {', '.join(expected)}")


def expect(valid, where, field, found, expected):
    """Raises CostError unless `valid`."""
    if not valid:
        raise CostError(f"{where}: {field}: found {found!r}, expected {expected}")


def texts(fields, names, where):
    """Checks that each of `names` is a text that says something."""
    for name in names:
        expect(isinstance(fields[name], str) and fields[name], where, name, fields[name], "a text")


def positive_integers(section, where, name):
    """Checks that every field of a section is a whole number above 0."""
    for field, value in section.items():
        expect(type(value) is int and value > 0, where, f"{name}.{field}", value, "a whole number above 0")
