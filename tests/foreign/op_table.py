"""The table of docs/foreign-ops.md, made of what the code honours and counts: python -m tests.foreign.op_table."""

import onnx

from adderhw.foreign.counts import COUNTS
from adderhw.foreign.exact.registry import RULES
from adderhw.foreign.exact.rules import ANY

NEWEST = 23  # of the opsets of ONNX's own domain that the table shows; older releases of onnx know them all
HEADER = ("op", "simulated: attributes that are honoured", "taken at these values alone", "inputs", "tallied")


def attributes_of(domain, op):
    """{attribute: the opsets that have it} of an op by ONNX's schemas; {} of a domain that is not ONNX's."""
    found = {}
    for version in range(1, NEWEST + 1) if not domain else ():
        if onnx.defs.has(op, version, ""):
            for name in onnx.defs.get_schema(op, version, "").attributes:
                found.setdefault(name, []).append(version)
    return found


def table():
    """The lines of the table."""
    rows = [_row(*key) for key in sorted({*RULES, *COUNTS})]
    return [_line(HEADER), _line(["---"] * len(HEADER)), *map(_line, rows)]


def _row(domain, op):
    rule, title = RULES.get((domain, op)), f"`{domain}::{op}`" if domain else f"`{op}`"
    tallied = "yes" if (domain, op) in COUNTS else "no"
    if rule is None:
        return title, "not simulated", "", "", tallied
    opsets = attributes_of(domain, op)
    honoured = [_named(name, opsets) for name, value in sorted(rule.attributes.items()) if value is ANY]
    neutral = [
        f"{_named(name, opsets)}: {' or '.join(f'`{each!r}`' for each in value)}"
        for name, value in sorted(rule.attributes.items()) if value is not ANY
    ]  # fmt: skip
    return title, ", ".join(honoured) or "it has none", ", ".join(neutral), _span(rule.inputs), tallied


def _named(name, opsets):
    versions = opsets.get(name, [])
    since = f" from {versions[0]}" if versions and versions[0] > 1 else ""
    until = f" to {versions[-1]}" if versions and versions[-1] < NEWEST else ""
    return f"`{name}`{since}{until}"


def _span(pair):
    least, most = pair
    return str(least) if least == most else f"{least} or more" if most > 100 else f"{least} to {most}"


def _line(cells):
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print("\n".join(table()))
