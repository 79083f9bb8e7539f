"""TOML files of others, and those that ship: whatever cannot be read is one line."""

import tomllib


def read_toml(file, what, error_class):
    """The fields of the TOML `file`, a Path or package resource; raises `error_class`, whose message begins `what`."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except RecursionError:
        reason = "too many brackets inside each other"
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, no TOML, or a number of more than 4300 digits
        reason = error.strerror if isinstance(error, OSError) else error
    raise error_class(f"{what}: cannot read: {reason}")
