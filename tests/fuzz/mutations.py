"""Broken copies of a file: bytes changed blindly, or one field or value changed where a reader will meet it."""

import json
import re
from copy import deepcopy

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

SIZES = (-1, 0, 1, 2, 3, 7, 64, 255, 256, 65_537, 2**31 - 1, 2**31, 2**40, 2**63 - 1, -(2**63))
NUMBERS = (0.0, -1.0, 1e-45, 1e38, float("inf"), float("-inf"), float("nan"))
TEXTS = ("", "x", "../x", "/etc/hostname", "\x00", "é" * 200, "<script>alert(1)</script>", "{}", "[", "NaN", "1e999")
TOKENS = (
    b"-1",
    b"0",
    b"1e308",
    b"nan",
    b"inf",
    b"[]",
    b"{}",
    b'""',
    b"true",
    b"999999999999",
    b"\n",
    b"=",
    b"[[",
    b"'",
    b"[" * 20_000,
    b"a." * 20_000,
)
VALUES = (
    None, True, False, 0, 1, -1, 2, 17, 10**6, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "x", "../x", "é", "\x00", "<script>alert(1)</script>", "[red]", "9" * 5000, [], {}, [[]], [None], [0], {"": 0},
)  # fmt: skip
WORDS = (
    "1", "-1", "0", "1e308", "nan", "inf", "-inf", "9" * 400, "true", '""', '"x"', '"../x"', '"none"', "[]", "[1]",
    '["x"]', "{}", "{x = 1}", "1979-05-27", '"\\u0000"', "[8, 8]", "[2, 3, 4, 5, 6, 7, 8, 9, 10]",
)  # fmt: skip


def mutate_bytes(rng, data):
    """`data` after one to four blind changes."""
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        data = BYTE_CHANGES[rng.integers(len(BYTE_CHANGES))](rng, data)
    return bytes(data)


def flip(rng, data):
    """One bit of `data`, or one byte, is another."""
    if data:
        at = rng.integers(len(data))
        data[at] ^= 1 << int(rng.integers(8)) if rng.integers(2) else int(rng.integers(1, 256))
    return data


def cut(rng, data):
    """A part is missing, often all that follows."""
    first = int(rng.integers(len(data) + 1))
    last = len(data) if rng.integers(2) else first + int(rng.integers(1, 64))
    return data[:first] + data[last:]


def insert(rng, data):
    """A few bytes, or a word that means something to a parser, come in between."""
    at = int(rng.integers(len(data) + 1))
    new = TOKENS[rng.integers(len(TOKENS))] if rng.integers(2) else rng.bytes(int(rng.integers(1, 16)))
    return data[:at] + new + data[at:]


def overwrite(rng, data):
    """A word, or the largest numbers there are, in place of what was there."""
    at = int(rng.integers(len(data) + 1))
    new = TOKENS[rng.integers(len(TOKENS))] if rng.integers(2) else b"\xff" * int(rng.integers(1, 10))
    return data[:at] + new + data[at + len(new) :]


def repeat(rng, data):
    """A part comes twice."""
    first = int(rng.integers(len(data) + 1))
    last = first + int(rng.integers(1, 256))
    return data[:last] + data[first:last] + data[last:]


def swap_lines(rng, data):
    """Two lines of a text change places, or one goes."""
    lines = bytes(data).split(b"\n")
    a, b = rng.integers(len(lines), size=2)
    lines[a], lines[b] = lines[b], lines[a]
    if rng.integers(2):
        del lines[a]
    return bytearray(b"\n".join(lines))


BYTE_CHANGES = (flip, flip, cut, insert, overwrite, repeat, swap_lines)


def mutate_fields(rng, data):
    """A TOML file after one to three values were replaced, or lines moved."""
    lines = data.decode().split("\n")
    at = [i for i, line in enumerate(lines) if re.search(r"=\s*\S", line)]
    for _ in range(int(rng.integers(1, 4))):
        i, kind = at[rng.integers(len(at))], rng.integers(4)
        if kind == 0:
            lines[i], lines[at[0]] = lines[at[0]], lines[i]
        elif kind == 1:
            lines[i] = ""
        else:
            lines[i] = re.sub(r"=.*", lambda _: f"= {WORDS[rng.integers(len(WORDS))]}", lines[i])
    return "\n".join(lines).encode()


def mutate_json_lines(rng, data):
    """A file of JSON lines, of which one was changed, left out, cut or repeated."""
    lines = data.splitlines(keepends=True)
    at = int(rng.integers(len(lines)))
    kind = rng.integers(8)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines[at] = lines[at][: int(rng.integers(len(lines[at])))]
    elif kind == 2:
        lines.insert(int(rng.integers(len(lines))), lines[at])
    else:
        lines[at] = mutate_json(rng, lines[at]) + b"\n"
    return b"".join(lines)


def mutate_json(rng, data):
    """A JSON file after one to three values were replaced, or keys or items went or came."""
    found = json.loads(data)
    for _ in range(int(rng.integers(1, 4))):
        found = change_value(rng, found)
    return json.dumps(found).encode()


def change_value(rng, value):
    """`value` with something in it changed, or another value in its place."""
    if not isinstance(value, (dict, list)) or not value or rng.integers(10) == 0:
        return deepcopy(VALUES[rng.integers(len(VALUES))])
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key, kind = keys[rng.integers(len(keys))], rng.integers(12)
    if kind == 0:
        del value[key]
    elif kind == 1 and isinstance(value, dict):
        value["<b>new</b>"] = value.pop(key)
    elif kind == 1:
        value.append(deepcopy(value[key]))
    else:
        value[key] = change_value(rng, value[key])
    return value


def mutate_model(rng, data):
    """The bytes of an ONNX model after one to three changes of fields; blind changes of what is no model."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        return mutate_bytes(rng, data)
    for _ in range(int(rng.integers(1, 4))):
        change_field(rng, model)
    return model.SerializeToString()


def change_field(rng, message, depth=0):
    """Walks down to a random field that is set, and changes, clears, repeats or moves its value."""
    fields = [each for each in message.ListFields() if each[0].name != "doc_string"]
    if not fields:
        return
    field, value = fields[rng.integers(len(fields))]
    is_message, repeated = field.type == FieldDescriptor.TYPE_MESSAGE, field.is_repeated
    if repeated and rng.integers(6) == 0:
        rearrange(rng, value)
    elif is_message and (depth < 1 or rng.integers(8)):
        change_field(rng, value[rng.integers(len(value))] if repeated else value, depth + 1)
    elif is_message:
        message.ClearField(field.name)
    elif repeated:
        at = int(rng.integers(len(value)))
        value[at] = another(rng, field, value[at])
    elif rng.integers(8) == 0:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, another(rng, field, value))


def rearrange(rng, values):
    """An item of a repeated field goes, comes twice, or comes at another place."""
    items, at = list(values), int(rng.integers(len(values)))
    kind = rng.integers(3)
    item = items[at] if kind == 1 else items.pop(at)
    if kind:
        items.insert(int(rng.integers(len(items) + 1)), item)
    del values[:]
    values.extend(items)


def another(rng, field, value):
    """A value of a field's type that is not, or hardly, what was there."""
    if isinstance(value, bytes):
        return mutate_bytes(rng, value)
    if isinstance(value, str):
        if rng.integers(2):
            return TEXTS[rng.integers(len(TEXTS))]
        return mutate_bytes(rng, value.encode()).decode(errors="replace")
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return float(NUMBERS[rng.integers(len(NUMBERS))])
    return number_for(rng, field, value)


def number_for(rng, field, value):
    """An integer near `value` or at an edge, within what the field can hold."""
    if field.type == FieldDescriptor.TYPE_ENUM:
        known = [each.number for each in field.enum_type.values]
        return known[rng.integers(len(known))]
    found = value + int(rng.integers(-3, 4)) if rng.integers(2) else SIZES[rng.integers(len(SIZES))]
    bits = 64 if field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64) else 32
    if field.cpp_type in (FieldDescriptor.CPPTYPE_UINT64, FieldDescriptor.CPPTYPE_UINT32):
        return int(np.clip(found, 0, 2**bits - 1))
    return max(-(2 ** (bits - 1)), min(found, 2 ** (bits - 1) - 1))
