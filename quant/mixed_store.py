"""What a search has found so far, as JSON lines that a kill at any moment leaves usable."""

import contextlib
import json
import os
from pathlib import Path

from adderhw.errors import AdderHwError
from adderhw.files import check_regular, check_writable, write_error
from adderhw.json_files import parse_json

try:
    from fcntl import LOCK_EX, flock
except ImportError:  # no such locks on Windows: one process at a time there
    LOCK_EX, flock = None, lambda file, operation: None


class Store:
    """A file of a header and records, dicts of plain JSON values; `records` has those that were there when it opened.

    header: what the records depend on. Processes may share a store: each line is written whole, under a lock.
    Raises AdderHwError for a file with another header, or of another kind, WriteError when the disk is full.
    """

    def __init__(self, path, header):
        self.path = Path(path)
        header = json.loads(json.dumps(header))
        first = json.dumps(header).encode() + b"\n"
        check_regular(self.path)
        if not self.path.exists():
            check_writable(self.path)
        with self.locked() as file:
            data = file.read()
            if len(data) < len(first) and first.startswith(data):  # empty, or its first line was never finished
                self.write_line(file, 0, first)
                data = first
            whole = data[: data.rfind(b"\n") + 1]
            found, *self.records = [self.parsed(at, line) for at, line in enumerate((whole or data).splitlines(), 1)]
            self.check(found, header)
            if len(whole) < len(data):  # what was being written when a search was killed
                file.truncate(len(whole))

    @contextlib.contextmanager
    def locked(self):
        """The file, open without a buffer to read and write, while no other process has it so."""
        try:
            with open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0) as file:
                flock(file, LOCK_EX)
                yield file
        except IsADirectoryError as error:
            raise AdderHwError(f"{self.path}: cannot read: {error.strerror}") from None
        except OSError as error:
            raise write_error(self.path, error) from None

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

    def append(self, record):
        """Adds a record, a line that has reached the disk when this returns; a full disk leaves the lines before."""
        with self.locked() as file:
            self.write_line(file, file.seek(0, os.SEEK_END), json.dumps(record).encode() + b"\n")
        self.records.append(record)

    @staticmethod
    def write_line(file, start, line):
        """Writes a line from the byte `start` on to the end of the file, or leaves the file as long as it was."""
        try:
            file.seek(start)
            rest = memoryview(line)
            while rest:  # a write may take a part of it, and say so only by its length
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(start)
            raise
