"""JSON files of others: finite numbers of 64 bits at most, values of stated kinds; whatever is wrong is one line."""

import json
from math import isfinite
from pathlib import Path

from adderhw.errors import AdderHwError

MOST = 2**63


def read_json(path, expected):
    """The value in the JSON file `path`; raises AdderHwError, which says what was `expected` of the file."""
    try:
        return parse_json(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise AdderHwError(f"{path}: cannot read: {error.strerror or error}") from None
    except ValueError as error:
        raise AdderHwError(f"{path}: found no JSON ({error}), expected {expected}") from None


def parse_json(text):
    """The value in a JSON text (str or bytes); raises ValueError for anything that JSON, or 64 bits, cannot hold."""
    try:
        return json.loads(text, parse_float=_real, parse_int=_whole, parse_constant=_real)
    except RecursionError:
        raise ValueError("too many brackets inside each other") from None


def fits(value, kind):
    """Whether a JSON value is of a kind.

    kind: a type, where float takes whole numbers too and int no booleans; None; a tuple of kinds, one of which it is;
    [kind] for a list of any length; {key: kind} for an object with exactly these keys.
    """
    if isinstance(kind, tuple):
        return any(fits(value, each) for each in kind)
    if isinstance(kind, list):
        return isinstance(value, list) and all(fits(item, kind[0]) for item in value)
    if isinstance(kind, dict):
        return (
            isinstance(value, dict) and value.keys() == kind.keys() and all(fits(value[key], kind[key]) for key in kind)
        )
    if kind is None:
        return value is None
    return type(value) is kind or (kind is float and type(value) is int)


def misfit(value, kind, at=""):
    """Where in a JSON value, as `.key[3]`, the first part lies that is not of its kind; None where all are.

    Kinds as `fits` takes them. An object whose keys are not those of its kind is named, not the keys.
    """
    if isinstance(kind, list) and isinstance(value, list):
        found = (misfit(item, kind[0], f"{at}[{number}]") for number, item in enumerate(value))
    elif isinstance(kind, dict) and isinstance(value, dict) and value.keys() == kind.keys():
        found = (misfit(value[key], kind[key], f"{at}.{key}") for key in kind)
    else:
        return None if fits(value, kind) else at
    return next((each for each in found if each is not None), None)


def _real(text):
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"found {text[:20]}, expected finite numbers")
    return value


def _whole(text):
    value = int(text)
    if not -MOST <= value < MOST:
        raise ValueError(f"found the whole number {text[:20]}…, expected 64 bits at most")
    return value
