"""The runner over foreign files judges a right file, a refused one and a broken one, and goes on from its lines."""

import json

import numpy as np
import onnx

from tests.alien.__main__ import COLUMNS, main, row_of
from tests.alien.counting import macs
from tests.foreign.models import float_cnn, one_op


def test_a_folder_is_judged_file_by_file_and_not_again(tmp_path, capsys):
    onnx.save(float_cnn(), tmp_path / "cnn.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    lines = tmp_path / "judged.jsonl"
    assert main([str(tmp_path), "--lines", str(lines), "--seconds", "60"]) == 0
    printed = capsys.readouterr().out
    found = {json.loads(line)["file"].rsplit("/", 1)[1]: json.loads(line) for line in lines.read_text().splitlines()}
    assert found["cnn.onnx"]["exit"] == 0
    assert found["cnn.onnx"]["macs"] == found["cnn.onnx"]["macs_apart"] > 0
    assert found["broken.onnx"]["exit"] == 2
    assert found["broken.onnx"]["invalid"]
    assert "broken.onnx: error: " in printed
    before = lines.read_text()
    main([str(tmp_path), "--lines", str(lines)])
    assert lines.read_text() == before


def test_a_wrong_value_or_another_count_is_a_number_of_its_own():
    row = row_of([{"exit": 0, "macs": 3, "macs_apart": 4, "exact": True, "mismatches": 2}, {"fault": "took long"}])
    assert [row[column] for column in COLUMNS] == [2, 2, 1, 1, 2, 0, 1, 1]


def test_the_counter_apart_knows_groups_and_turned_products():
    assert macs(one_op("Conv", ["N", 2, 4, 4], constants={"w": _ones(4, 1, 3, 3)}, group=2)) == 144
    assert macs(one_op("Gemm", ["N", 6], constants={"w": _ones(4, 6)}, transB=1)) == 24


def _ones(*shape):
    return np.ones(shape, np.float32)
