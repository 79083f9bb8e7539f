"""The command on models of other tools: what was done is said in text and JSON, and mistakes are one line."""

import json
import subprocess
import sys
from html import unescape

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.cost.test_command import call
from tests.foreign.models import float_cnn, one_op, plain_cnn, quantised


@pytest.fixture
def float_path(tmp_path):
    onnx.save(float_cnn(), tmp_path / "f.onnx")
    return tmp_path / "f.onnx"


def test_a_float_model_is_tallied_and_the_reason_is_told(monkeypatch, capsys, float_path, tmp_path):
    outputs = [tmp_path / name for name in ("r.json", "r.csv", "r.html")]
    arguments = [text for pair in zip(("--json", "--csv", "--report"), outputs, strict=True) for text in pair]
    code, out, _ = call(monkeypatch, capsys, float_path, *arguments)
    reason = "node 'stem' (Conv) reads 'x', which is not quantised"
    assert code == 0
    assert f"{float_path} as CNN, fp32\ntally only, nothing was simulated: {reason}\n" in out
    document = json.loads(outputs[0].read_text())
    assert document["tally_only"] == reason
    assert reason in unescape(outputs[2].read_text())
    assert outputs[1].read_text().count("\n") == 1 + len(document["layers"])


def test_a_determined_model_is_simulated_and_checked(monkeypatch, capsys, tmp_path):
    path = quantised(plain_cnn(), tmp_path, "QDQ")
    x = np.random.default_rng(0).standard_normal((20, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(20) % 5)
    code, out, _ = call(monkeypatch, capsys, path, "--data", tmp_path / "x.npz", "--check", "ort", "--batch-size", 7)
    assert code == 0
    assert "tally only" not in out
    assert "values of 20 images against onnxruntime, 0 mismatches" in out


def test_without_data_a_determined_model_says_that_it_could_be_simulated(monkeypatch, capsys, tmp_path):
    code, out, _ = call(monkeypatch, capsys, quantised(plain_cnn(), tmp_path, "QOperator"))
    assert code == 0
    assert "tally only, nothing was simulated: no --data was given" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--check", "ort"], "check: found 'ort', expected none here: a tally only (node 'stem' (Conv)"),
        (["--trace", "t"], "trace: found PosixPath('t'), expected none here: the model is not one of this toolkit"),
        (["--as", "snn"], "as: found 'snn', expected one of adder, cnn, bnn"),
        (["--bits", "1"], "bits: found 1, expected 2 to 16"),
        (["--energy", "aladdin40"], "aladdin40: found event f"),
        (
            ["--accelerator", "eyeriss_like", "--energy", "mine.toml"],
            "energy table mine.toml: cannot read: No such file",
        ),
    ],
)
def test_a_mistake_is_one_line(monkeypatch, capsys, float_path, tmp_path, arguments, message):
    code, out, err = call(monkeypatch, capsys, float_path, *arguments, "--json", tmp_path / "r.json")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1
    assert not (tmp_path / "r.json").exists()


def test_an_op_without_a_cost_is_one_line(monkeypatch, capsys, tmp_path):
    proto = one_op("CumSum", ["N", 2, 4, 4], constants={"axis": np.int64(1)})
    onnx.save(proto, tmp_path / "t.onnx")
    code, out, err = call(monkeypatch, capsys, tmp_path / "t.onnx", "--json", tmp_path / "r.json")
    assert (code, out) == (2, "")
    assert "node 'n' (CumSum): found op ai.onnx::CumSum, which has no cost here, expected one of" in err
    assert err.count("\n") == 1


def test_a_model_with_functions_of_its_own_is_tallied_by_a_fresh_process(tmp_path):
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    body = [helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Neg", ["b"], ["c"])]
    proto = one_op("Both", [1, 3, 4, 4], domain="mine")
    proto.functions.append(helper.make_function("mine", "Both", ["a"], ["c"], body, opsets[:1]))
    proto.opset_import.append(opsets[1])
    onnx.save(proto, tmp_path / "m.onnx")
    command = [sys.executable, "-m", "adderhw.simulate", "m.onnx", "--json", "r.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [layer["op"] for layer in json.loads((tmp_path / "r.json").read_text())["layers"]] == ["Relu", "Neg"]
