"""The command of quantisation-aware training: a file and two figures, or one line and exit code 2."""

from pathlib import Path

import pytest

from adderhw import simulation
from adderhw.onnx_reader import read_graph
from tests.quant.test_main import call

DIGITS = Path(simulation.SHIPPED_MODEL).with_name("digits.onnx")
SHORT = ("--data", "digits", "--bits", 3, "--steps", 2, "--batch-size", 8, "--samples", 8, "--limit", 200)


def test_it_writes_a_model_that_the_simulator_and_onnxruntime_run_alike(tmp_path, monkeypatch, capfd):
    output = tmp_path / "integer.onnx"
    code, out, err = call(monkeypatch, capfd, "qat", DIGITS, *SHORT, "--save-minutes", 0, "-o", output)
    assert code == 0, err
    assert out.startswith("validation top-1: ")
    assert " % before training, " in out
    assert err == f"{output}: written\n"
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    assert '"qat": {' in read_graph(output).metadata["adderhw.quantisation"]
    document = simulation.simulate(output, data="digits", limit=32, check="ort")
    assert document["check"]["mismatches"] == 0


def test_help_shows_examples(monkeypatch, capfd):
    code, out, _ = call(monkeypatch, capfd, "qat", "--help")
    assert code == 0
    assert "python -m quant qat ann20.onnx --data cifar10 --bits 4 -o ann20_int4.onnx" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bits", "1"], "bits: found 1, expected 2 to 16"),
        (["--lr", "0"], "lr: found 0.0"),
        (["--data", "letters"], "data set: found 'letters'"),
        (["--teacher", "no.pt"], "no.pt: found no such file"),
        (["-o", "no/such/folder/x.onnx"], "no/such/folder/x.onnx: cannot write"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(arguments, words, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(monkeypatch, capfd, "qat", DIGITS, *SHORT, "-o", "integer.onnx", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_not_there_is_one_line(monkeypatch, capfd):
    code, _, err = call(monkeypatch, capfd, "qat", "no.onnx", *SHORT, "-o", "x.onnx")
    assert code == 2
    assert err == "error: no.onnx: found no such file, expected a float ONNX file or a checkpoint (.pt)\n"
