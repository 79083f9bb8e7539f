"""The most memory that a model's tensors may take, so that a model that asks for more is refused before it gets it."""

import os
import re

from adderhw.errors import AdderHwError

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([A-Za-z]*)")


def memory_limit(text=None):
    """The bytes that `text` says ('2GiB', '500 MB', '1000000'), or this machine's memory; raises AdderHwError."""
    if text is None:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    match = SIZE.fullmatch(text.strip())
    unit = UNITS.get(match[2].upper()) if match else None
    size = float(match[1]) * unit if unit else 0.0
    if not 1 <= size < 1 << 63:
        raise AdderHwError(f"max memory: found {text[:40]!r}, expected a size such as 2GiB or 500MB, below 2^63 bytes")
    return int(size)
