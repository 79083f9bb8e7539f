"""Reads and checks one energy table file (TOML); every error names the file, the field, found and expected."""

import math
from itertools import pairwise

from adderhw.cost.events import KINDS, MAX_EVENT_BITS, MIN_EVENT_BITS
from adderhw.cost.prices import Derived, Formula, Free, Points
from adderhw.errors import CostError
from adderhw.toml_files import read_toml

_TEXT_FIELDS = ("name", "title", "source", "voltage", "unit")
_RULE_FIELDS = {
    "points": {"points", "between", "exponent", "range", "reason"},
    "formula": {"formula", "range", "reason"},
    "as": {"as", "per_bit", "reason"},
    "free": {"free", "reason"},
}


def read_fields(file, where):
    """The fields of an EnergyTable, read from the TOML `file` (a Path or package resource); `where` names it.

    Raises CostError for a file that cannot be read and for a field that is missing, unknown or out of range.
    """
    return _checked(read_toml(file, f"energy table {where}", CostError), where)


def _checked(fields, where):
    expected = {*_TEXT_FIELDS, "node_nm", "kinds"}
    _same_keys(fields, expected, {*expected, "areas", "area_source"}, f"energy table {where}")
    for field in _TEXT_FIELDS:
        _expect(isinstance(fields[field], str) and fields[field], where, field, fields[field], "a text")
    _expect(fields["unit"] == "pJ", where, "unit", fields["unit"], "'pJ'")
    node = fields["node_nm"]
    _expect(type(node) is int and node > 0, where, "node_nm", node, "a whole number above 0")
    text = {field: fields[field] for field in _TEXT_FIELDS}
    checked = {**text, "node_nm": node, **dict(zip(("rules", "reasons"), _rules(fields, where, "kinds"), strict=True))}
    both = ("areas" in fields) == ("area_source" in fields)
    _expect(both, where, "area_source", fields.get("area_source"), "a text if and only if there are areas")
    if "areas" in fields:
        source = fields["area_source"]
        _expect(isinstance(source, str) and source, where, "area_source", source, "a text")
        checked |= {"areas": _rules(fields, where, "areas")[0], "area_source": source}
    return checked


def _rules(fields, where, section):
    """({kind: rule}, {kind: reason}) of the table's prices (section 'kinds') or areas (section 'areas')."""
    kinds = fields[section]
    _expect(isinstance(kinds, dict) and kinds, where, section, kinds, f"a section [{section}.<kind>] for each kind")
    for kind in kinds:
        _expect(kind in KINDS, where, section, kind, f"one of {', '.join(KINDS)}")
    rules = {kind: _rule(rule, where, f"{section}.{kind}") for kind, rule in kinds.items()}
    _check_derived(rules, where, section)
    return rules, {kind: kinds[kind]["reason"] for kind in kinds}


def _rule(fields, where, at):
    _expect(isinstance(fields, dict), where, at, fields, "a section")
    forms = [form for form in _RULE_FIELDS if form in fields]
    _expect(len(forms) == 1, where, at, forms, f"exactly one of {', '.join(_RULE_FIELDS)}")
    (form,) = forms
    optional = {"exponent", "per_bit"}
    _same_keys(fields, _RULE_FIELDS[form] - optional, _RULE_FIELDS[form], f"energy table {where}: {at}")
    reason = fields["reason"]
    _expect(isinstance(reason, str) and reason, where, f"{at}.reason", reason, "a text")
    return {"points": _points, "formula": _formula, "as": _derived, "free": _free}[form](fields, where, at)


def _points(fields, where, at):
    points, between, exponent = fields["points"], fields["between"], fields.get("exponent")
    _expect(isinstance(points, list) and points, where, f"{at}.points", points, "a list of [bits, pJ]")
    for point in points:
        valid = isinstance(point, list) and len(point) == 2 and type(point[0]) is int and _positive(point[1])
        _expect(valid and point[0] > 0, where, f"{at}.points", point, "[bits, pJ], both above 0")
    rising = all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(points))
    _expect(rising, where, f"{at}.points", points, "widths and prices that rise")
    valid = between in ("linear", "power", "nothing")
    _expect(valid, where, f"{at}.between", between, "'linear', 'power' or 'nothing'")
    lone_power = between == "power" and len(points) == 1
    wanted = "a number above 0 (a power law through one point)" if lone_power else "no exponent"
    valid = _positive(exponent) if lone_power else exponent is None
    _expect(valid, where, f"{at}.exponent", exponent, wanted)
    _expect(between != "linear" or len(points) > 1, where, f"{at}.points", points, "two points or more for 'linear'")
    pairs = tuple((bits, float(picojoule)) for bits, picojoule in points)
    return Points(pairs, between, exponent, _range(fields, where, at))


def _formula(fields, where, at):
    formula = fields["formula"]
    _expect(isinstance(formula, dict), where, f"{at}.formula", formula, "{ linear, quadratic }")
    names = {"linear", "quadratic"}
    _same_keys(formula, names, names, f"energy table {where}: {at}.formula")
    for name, value in formula.items():
        _expect(
            _positive(value) or (value == 0 and value is not False),
            where,
            f"{at}.formula.{name}",
            value,
            "0 or a number above 0",
        )
    _expect(any(formula.values()), where, f"{at}.formula", formula, "a coefficient above 0")
    return Formula(formula["linear"], formula["quadratic"], _range(fields, where, at))


def _derived(fields, where, at):
    per_bit = fields.get("per_bit", False)
    _expect(isinstance(per_bit, bool), where, f"{at}.per_bit", per_bit, "true or false")
    return Derived(fields["as"], per_bit)


def _free(fields, where, at):
    _expect(fields["free"] is True, where, f"{at}.free", fields["free"], "true")
    return Free()


def _check_derived(rules, where, section):
    priced = [kind for kind, rule in rules.items() if isinstance(rule, Points | Formula)]
    for kind, rule in rules.items():
        if isinstance(rule, Derived):
            _expect(rule.kind in priced, where, f"{section}.{kind}.as", rule.kind, f"one of {', '.join(priced)}")


def _range(fields, where, at):
    found = fields["range"]
    valid = isinstance(found, list) and len(found) == 2 and all(type(bits) is int for bits in found)
    valid = valid and MIN_EVENT_BITS <= found[0] <= found[1] <= MAX_EVENT_BITS
    wanted = f"[low, high] inside {MIN_EVENT_BITS} to {MAX_EVENT_BITS}"
    _expect(valid, where, f"{at}.range", found, wanted)
    return tuple(found)


def _positive(number):
    return type(number) in (int, float) and math.isfinite(number) and number > 0


def _same_keys(fields, required, allowed, where):
    missing, unknown = required - fields.keys(), fields.keys() - allowed
    if missing:
        raise CostError(f"{where}: missing {', '.join(sorted(missing))}")
    if unknown:
        found = ", ".join(sorted(unknown))
        raise CostError(f"{where}: found unknown {found}, expected only {', '.join(sorted(allowed))}")


def _expect(valid, where, field, found, expected):
    if not valid:
        raise CostError(f"energy table {where}: {field}: found {found!r}, expected {expected}")
