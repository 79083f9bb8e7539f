"""TOML files of others, and those that ship: whatever cannot be read is one line."""

import re
import tomllib

MOST_PARTS = 32
"""Of a dotted key: tomllib's memory grows with the square of their number, 20,000 in 40 kB of text take 2.5 GiB."""
_PART = r"""(?:[\w-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_LONG_KEY = re.compile(rf"(?<![\w.\\-]){_PART}(?:[ \t]*\.[ \t]*{_PART}){{{MOST_PARTS}}}")


def read_toml(file, what, error_class):
    """The fields of the TOML `file`, a Path or package resource; raises `error_class`, whose message begins `what`."""
    try:
        text = file.read_text(encoding="utf-8")
        if _LONG_KEY.search(text):
            raise ValueError(f"a key of more than {MOST_PARTS} parts")
        return tomllib.loads(text)
    except RecursionError:
        reason = "too many brackets inside each other"
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, no TOML, or a number of more than 4300 digits
        reason = error.strerror if isinstance(error, OSError) else error
    raise error_class(f"{what}: cannot read: {reason}")
