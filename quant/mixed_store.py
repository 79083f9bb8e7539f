"""What a search has found so far, as JSON lines that a kill at any moment leaves usable."""

import json
import os
from pathlib import Path

from adderhw.errors import AdderHwError
from adderhw.files import write_atomic
from adderhw.json_files import parse_json


class Store:
    """A file of a header and records, dicts of plain JSON values; `records` has those that are there already.

    header: what the records depend on. Raises AdderHwError for a file with another header, or of another kind.
    """

    def __init__(self, path, header):
        self.path = Path(path)
        header = json.loads(json.dumps(header))
        data = self.read() if self.path.exists() else b""
        if not data:
            data = json.dumps(header).encode() + b"\n"
            write_atomic(self.path, data)
        whole = data[: data.rfind(b"\n") + 1]
        found, *self.records = [self.parsed(at, line) for at, line in enumerate((whole or data).splitlines(), 1)]
        self.check(found, header)
        if len(whole) < len(data):
            self.cut(len(whole))

    def read(self):
        """The bytes of the file; raises AdderHwError where it cannot be read."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise AdderHwError(f"{self.path}: cannot read: {error.strerror or error}") from None

    def parsed(self, number, line):
        """The dict in a line; raises AdderHwError where there is none."""
        try:
            record = parse_json(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise AdderHwError(
                f"{self.path}: line {number}: found {line[:40]!r}, expected a search's store (JSON lines)"
            )
        return record

    def expect(self, valid, record, expected):
        """Raises AdderHwError that shows a record, and says what was `expected` of it, unless it is `valid`."""
        if not valid:
            raise AdderHwError(f"{self.path}: found record {json.dumps(record)[:80]}, expected {expected}")

    def check(self, found, header):
        """Raises AdderHwError that names the first field in which the header found is another."""
        for key in {**header, **found}:
            if found.get(key) != header.get(key):
                there, here = (json.dumps(each.get(key))[:80] for each in (found, header))
                raise AdderHwError(f"{self.path}: found a store of another search, {key} {there}, expected {here}")

    def cut(self, size):
        """Leaves the first `size` bytes: what was being written when the search was killed goes."""
        with open(self.path, "r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())

    def append(self, record):
        """Adds a record in one write that has reached the disk when this returns."""
        try:
            with open(self.path, "ab", buffering=0) as file:
                file.write(json.dumps(record).encode() + b"\n")
                os.fsync(file.fileno())
        except OSError as error:
            raise AdderHwError(f"{self.path}: cannot write: {error.strerror or error}") from None
        self.records.append(record)
