"""The command line: a table and a file, or one line and exit code 2."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from adderhw import simulation
from adderhw.onnx_reader import read_graph
from quant.__main__ import main
from tests.quant.networks import Network


def digits_model(path):
    """A small float network on the digits."""
    net = Network(shape=(1, 8, 8))
    x = net.node("Flatten", [net.relu(net.conv("image", "stem", 1, 4))], "flat")
    preprocess = {"dataset": "digits", "mean": [0.0], "std": [16.0]}
    model = net.model(net.gemm(x, "logits", 256, 10), metadata={"adderhw.preprocess": json.dumps(preprocess)})
    onnx.save(model, path)
    return path


def call(monkeypatch, capfd, *arguments):
    """(exit code, stdout, stderr) of the command."""
    monkeypatch.setattr("sys.argv", ["quant", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit:
        main()
    return exit.value.code, *capfd.readouterr()


def test_a_model_is_quantised_on_training_images(tmp_path, monkeypatch, capfd):
    model, output = digits_model(tmp_path / "float.onnx"), tmp_path / "integer.onnx"
    arguments = (model, "--calibrate", "digits", "--samples", 50, "-o", output)
    code, out, err = call(monkeypatch, capfd, *arguments)
    assert code == 0, err
    assert "stem_node" in out
    assert "top-1 on the 50 calibration images: float" in out
    assert err == f"{output}: written\n"
    graph = read_graph(output)
    assert graph.formats["image_q"].scale == 1 / 16
    first = output.read_bytes()
    call(monkeypatch, capfd, *arguments)
    assert output.read_bytes() == first


def test_the_multiplication_free_flag_leaves_no_multiplication(tmp_path, monkeypatch, capfd):
    model, output = digits_model(tmp_path / "float.onnx"), tmp_path / "integer.onnx"
    code, _, err = call(
        monkeypatch, capfd, model, "--calibrate", "digits", "--samples", 50, "--multiplication-free", "-o", output
    )
    assert code == 0, err
    document = simulation.simulate(output, data="digits", limit=64, check="ort")
    assert document["check"]["mismatches"] == 0
    assert not any(event.startswith("mul") for event in document["totals"]["events"])


def test_widths_from_a_file_are_those_of_the_grids(tmp_path, monkeypatch, capfd):
    model, output, widths = (tmp_path / name for name in ("float.onnx", "integer.onnx", "widths.json"))
    digits_model(model)
    widths.write_text('{"stem_relu": 5}')
    arguments = (model, "--calibrate", "digits", "--samples", 50, "--widths", widths, "-o", output)
    code, _, err = call(monkeypatch, capfd, *arguments)
    assert code == 0, err
    assert {fmt.bits for name, fmt in read_graph(output).formats.items() if name.startswith("stem_relu")} == {5}


def test_help_shows_examples(monkeypatch, capfd):
    code, out, _ = call(monkeypatch, capfd, "--help")
    assert code == 0
    assert "python -m quant ann.onnx --calibrate digits -o ann_int8.onnx" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bits", "1"], "bits: found 1, expected 2 to 16"),
        (["--bits", "many"], "bits"),
        (["--samples", "0"], "samples: found 0"),
        (["--calibrate", "letters"], "data set: found 'letters'"),
        (["--range", "all"], "range: found 'all'"),
        (["--weight-realisation", "shifts"], "weight_realisation: found 'shifts'"),
        (["--max-error", "0"], "max_error: found 0.0"),
        (["--realisation", "shift", "--max-error", "0.01"], "no shift of 14 bits within"),
        (["--filter-groups", "0"], "filter_groups: found 0, expected 1 to 64"),
        (["--filter-groups", "2", "--range", "max"], "expected error or regions with filter_groups above 1"),
        (["-o", "no/such/folder/x.onnx"], "no/such/folder/x.onnx: cannot write"),
        (["--calibrate", "wrong.npy"], "expected [N, 1, 8, 8]"),
        (["--widths", "none.json"], "none.json: cannot read"),
        (["--widths", "list.json"], "list.json: found a list, expected an object of tensor name to bits"),
        (["--widths", "wrong.npy"], "wrong.npy: found no JSON"),
        (["--widths", "wide.json"], "width of 'stem_relu': found 17, expected 2 to 16"),
        (["--widths", "unknown.json"], "widths: found 'stem', expected tensors with a grid: stem_relu"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(arguments, words, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    np.save("wrong.npy", np.zeros((4, 3, 8, 8), np.float32))
    for name, value in (("list", [8]), ("wide", {"stem_relu": 17}), ("unknown", {"stem": 4})):
        Path(f"{name}.json").write_text(json.dumps(value))
    model, output = digits_model(tmp_path / "float.onnx"), tmp_path / "integer.onnx"
    code, out, err = call(monkeypatch, capfd, model, "--calibrate", "digits", "-o", output, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert not output.exists()


def test_a_model_without_normalisation_is_an_error(tmp_path, monkeypatch, capfd):
    path = digits_model(tmp_path / "float.onnx")
    model = onnx.load(path)
    helper.set_model_props(model, {})
    onnx.save(model, path)
    code, _, err = call(monkeypatch, capfd, path, "--calibrate", "digits", "-o", tmp_path / "integer.onnx")
    assert code == 2
    assert "adderhw.preprocess" in err


def test_test_data_are_the_models_own_inputs_and_outputs(monkeypatch, tmp_path):
    model = tmp_path / "int8.onnx"
    source = Path(simulation.SHIPPED_MODEL).with_name("digits.onnx")
    arguments = ["quant", str(source), "--calibrate", "digits", "--samples", "64", "--test-data", "3", "-o", str(model)]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    x, y = (
        onnx.numpy_helper.to_array(onnx.load_tensor(tmp_path / "test_data_set_0" / name))
        for name in ("input_0.pb", "output_0.pb")
    )
    assert len(x) == 3
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, {session.get_inputs()[0].name: x})[0], y)
