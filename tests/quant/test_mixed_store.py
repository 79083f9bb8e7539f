"""The store of a search: appended line by line, usable after a kill, refused with another header."""

import json

import pytest

from adderhw.errors import AdderHwError
from quant.mixed_store import Store

HEADER = {"schema": 1, "model": "abc", "settings": {"bits": 8, "quantile": 0.9999}}
RECORDS = [{"widths": [8, 4], "loss": 0.1 + 0.2}, {"ranges": [["x", 4, 0.0, 1 / 3]]}]


def filled(path):
    store = Store(path, HEADER)
    for record in RECORDS:
        store.append(record)
    return path


def test_records_come_back_as_they_were_written(tmp_path):
    path = filled(tmp_path / "s.jsonl")
    assert Store(path, HEADER).records == RECORDS
    assert [json.loads(line) for line in path.read_text().splitlines()] == [HEADER, *RECORDS]


def test_a_kill_inside_a_write_loses_that_record_alone(tmp_path):
    data = filled(tmp_path / "s.jsonl").read_bytes()
    second = data.index(b"\n", data.index(b"\n") + 1) + 1
    for size in range(second, len(data)):
        path = tmp_path / "torn.jsonl"
        path.write_bytes(data[:size])
        store = Store(path, HEADER)
        assert store.records == RECORDS[:1]
        store.append(RECORDS[1])
        assert path.read_bytes() == data


def test_an_empty_file_becomes_a_store(tmp_path):
    path = tmp_path / "s.jsonl"
    path.touch()
    Store(path, HEADER).append(RECORDS[0])
    assert Store(path, HEADER).records == RECORDS[:1]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({**HEADER, "model": "def"}, 'found a store of another search, model "abc", expected "def"'),
        ({**HEADER, "seed": 1}, "another search, seed null, expected 1"),
        ({"schema": 1, "model": "abc"}, "another search, settings"),
    ],
)
def test_another_header_is_refused_and_the_file_left_alone(header, words, tmp_path):
    path = filled(tmp_path / "s.jsonl")
    data = path.read_bytes()
    with pytest.raises(AdderHwError, match=r"s\.jsonl") as error:
        Store(path, header)
    assert words in str(error.value)
    assert path.read_bytes() == data


@pytest.mark.parametrize("text", ["no store\n", "[1]\n", '{"schema": 1}\n7\n', "no line end"])
def test_a_file_of_another_kind_is_refused(text, tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_text(text)
    with pytest.raises(AdderHwError, match="expected a search's store"):
        Store(path, {"schema": 1})
    assert path.read_text() == text


def test_a_store_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(AdderHwError, match="cannot write"):
        Store(tmp_path / "no" / "s.jsonl", HEADER)
    with pytest.raises(AdderHwError, match="cannot read"):
        Store(tmp_path, HEADER)
