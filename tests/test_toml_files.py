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
        (b"a" + b".a" * 20_000 + b" = 1", "a key of more than 32 parts"),
        (b"[x]\nb = {a" + b".a" * 32 + b" = 1}", "a key of more than 32 parts"),
        (b'["\\""' + b" . 'a.b'" * 32 + b"]", "a key of more than 32 parts"),
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


def test_keys_of_few_parts_and_rows_of_numbers_are_read(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("a" + ".a" * 31 + " = [" + "0.1, " * 1000 + "]\n")
    fields = read_toml(path, "a table", CostError)
    for _ in range(32):
        fields = fields["a"]
    assert fields == [0.1] * 1000


@pytest.mark.parametrize("text", ["a" * 10**6, '"' + '\\"' * 10**6, "a " * 10**6, '"a"' * 10**6, "a." * 31 * 10**4])
def test_a_long_text_is_searched_in_linear_time(text, tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(CostError, match=r"^a table: cannot read: "):
        read_toml(path, "a table", CostError)
