"""A sweep as its TOML file describes it: the network, the images, and the axes whose every combination is a point."""

import itertools
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from adderhw.cost.accelerator import load_accelerator
from adderhw.cost.energy import load_table
from adderhw.errors import AdderHwError
from adderhw.toml_files import read_toml
from quant.settings import Settings

NO_ACCELERATOR = "none"
FREE = "multiplication_free"
EXACT = "exact"
AXES = {
    "bits": [8],
    "realisation": ["multiplier"],
    "accumulator": [EXACT],
    "accelerator": [NO_ACCELERATOR],
    "energy": ["horowitz45"],
}
TEXTS = {"model": None, "data": None, "split": "test", "calibrate": None}
COUNTS = {"samples": 256, "limit": None}
ACCUMULATOR = re.compile(r"(wrap|saturate):([1-9]\d*)")


class Point(NamedTuple):
    """One combination. bits, realisation: of Settings, or 'multiplication_free'. accumulator: 'exact', 'wrap:P' or
    'saturate:P'. accelerator: a name or .toml file, or 'none'. energy: a table's name or .toml file."""

    bits: int
    realisation: str
    accumulator: str
    accelerator: str
    energy: str


@dataclass(frozen=True)
class Sweep:
    """What docs/report.md says of each field. settings: fixed fields of quant.settings.Settings."""

    model: Path
    data: str
    split: str
    limit: int | None
    calibrate: str
    samples: int
    settings: dict
    axes: dict[str, tuple]

    def points(self):
        """Every Point, the last axis fastest: neighbours share their network."""
        return [Point(*values) for values in itertools.product(*(self.axes[name] for name in Point._fields))]


def read_sweep(path):
    """The Sweep in the TOML file `path`; relative files in it are beside it. Raises AdderHwError, one line."""
    path = Path(path)
    found = read_toml(path, str(path), AdderHwError)
    known = {*TEXTS, *COUNTS, "settings", "axes"}
    found = {"calibrate": found.get("data"), **found}
    for name in found:
        _expect(name in known, path, name, "an unknown field", f"only {', '.join(sorted(known))}")
    texts = {name: _text(found.get(name, default), path, name) for name, default in TEXTS.items()}
    counts = {name: _count(found.get(name, default), path, name) for name, default in COUNTS.items()}
    texts["data"], texts["calibrate"] = (_beside(path, texts[name]) for name in ("data", "calibrate"))
    texts["model"] = path.parent / texts["model"]
    settings = _section(found.get("settings", {}), path, "settings", [f.name for f in fields(Settings)])
    for name in {"bits", "realisation", FREE} & settings.keys():
        raise AdderHwError(f"{path}: settings.{name}: found it fixed, expected it as an axis")
    sweep = Sweep(**texts, **counts, settings=settings, axes=_axes(found.get("axes", {}), path))
    for point in sweep.points():
        _checked(path, point, sweep)
    return sweep


def settings_of(sweep_settings, point):
    """The Settings of a Point with the fixed ones."""
    free = point.realisation == FREE
    choice = {FREE: True} if free else {"realisation": point.realisation}
    return Settings(**sweep_settings, bits=point.bits, **choice)


def accumulator_of(point):
    """(bits, overflow) of a Point as adderhw.simulate takes them."""
    if point.accumulator == EXACT:
        return 0, "wrap"
    overflow, bits = ACCUMULATOR.fullmatch(point.accumulator).groups()
    return int(bits), overflow


def _axes(found, path):
    axes = {**AXES, **_section(found, path, "axes", AXES)}
    for name, values in axes.items():
        listed = isinstance(values, list) and values and len({str(value) for value in values}) == len(values)
        _expect(listed, path, f"axes.{name}", repr(values), "a list of different values")
        kind = int if name == "bits" else str
        for value in values:
            _expect(type(value) is kind, path, f"axes.{name}", repr(value), f"a {kind.__name__}")
            if name == "accumulator":
                _check_accumulator(value, path)
        axes[name] = tuple(_beside(path, value) if name in ("energy", "accelerator") else value for value in values)
    return axes


def _check_accumulator(value, path):
    found = ACCUMULATOR.fullmatch(value)
    valid = value == EXACT or (found and 2 <= int(found[2]) <= 63)
    _expect(valid, path, "axes.accumulator", repr(value), "exact, wrap:P or saturate:P with P of 2 to 63")


def _checked(path, point, sweep):
    """Raises AdderHwError, naming the file, where a Point cannot be measured by what its words say."""
    try:
        settings_of(sweep.settings, point)
        load_table(point.energy)
        if point.accelerator != NO_ACCELERATOR:
            load_accelerator(point.accelerator)
    except (AdderHwError, TypeError) as error:
        raise AdderHwError(f"{path}: {error}") from None


def _section(found, path, name, known):
    _expect(isinstance(found, dict), path, name, repr(found), "a section")
    for field in found:
        _expect(field in known, path, f"{name}.{field}", "an unknown field", f"only {', '.join(known)}")
    return found


def _text(value, path, name):
    _expect(isinstance(value, str) and value, path, name, repr(value), "a text")
    return value


def _count(value, path, name):
    valid = value is None or (type(value) is int and value > 0)
    _expect(valid, path, name, repr(value), "a whole number above 0")
    return value


def _beside(path, text):
    """A file's path from the sweep's own folder; names stay as they are."""
    return str(path.parent / text) if text.endswith((".toml", ".npy", ".npz")) else text


def _expect(valid, path, field, found, expected):
    if not valid:
        raise AdderHwError(f"{path}: {field}: found {found}, expected {expected}")
