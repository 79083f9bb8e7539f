"""TOML of others: what cannot be read is one line of the caller's own kind of error."""

import pytest

from adderhw.errors import CostError
from adderhw.toml_files import read_toml


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "No such file"),
        (b"a = ", "Invalid value"),
        (b"a = '\xff'", "can't decode byte 0xff"),
        (b"a = " + b"[" * 100_000, "too many brackets inside each other"),
        (b"a = " + b"9" * 5000, "4300"),
    ],
)
def test_what_cannot_be_read_is_one_line(data, words, tmp_path):
    path = tmp_path / "a.toml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(CostError, match=r"^a table: cannot read: ") as error:
        read_toml(path, "a table", CostError)
    assert words in str(error.value)


def test_fields_are_read(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("a = [1, 2]\n")
    assert read_toml(path, "a table", CostError) == {"a": [1, 2]}
