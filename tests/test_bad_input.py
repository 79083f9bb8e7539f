"""Bad input ends with one line that says what is wrong, exit code 2, no traceback and no output file."""

import os
import subprocess
import sys

import numpy as np
import onnx
import pytest

from adderhw import cli
from tests import models


def run(monkeypatch, capsys, *arguments):
    """(exit code, stdout, stderr) of the simulator's command line, in this process."""
    monkeypatch.setattr(sys, "argv", ["simulate", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code, *capsys.readouterr()


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """Runs the command with every kind of output asked for, and checks how it refuses."""

    def check(*arguments, words):
        outputs = tmp_path / "outputs"
        outputs.mkdir(exist_ok=True)
        wanted = ["--report", "r.html", "--json", "r.json", "--csv", "r.csv", "--trace", "trace"]
        wanted = [str(outputs / text) if not text.startswith("--") else text for text in wanted]
        code, out, err = run(monkeypatch, capsys, *arguments, *wanted)
        assert code == 2, err
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1, err
        assert "Traceback" not in err
        for word in words:
            assert word in err
        assert list(outputs.iterdir()) == []

    return check


def changed(tmp_path, change):
    """Path of the tiny digits model after change(model)."""
    model = models.digits_model()
    change(model)
    return models.save(model, tmp_path / "model.onnx")


def test_no_file(refused, tmp_path):
    refused(tmp_path / "none.onnx", words=["none.onnx", "no such file"])


def test_a_folder(refused, tmp_path):
    refused(tmp_path, words=["found a folder"])


def test_an_empty_file(refused, tmp_path):
    (tmp_path / "empty.onnx").write_bytes(b"")
    refused(tmp_path / "empty.onnx", words=["empty.onnx", "an empty file"])


def test_a_text_file(refused, tmp_path):
    (tmp_path / "text.onnx").write_text("This is not a model.\n" * 50)
    refused(tmp_path / "text.onnx", words=["text.onnx", "expected an ONNX file"])


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_truncated_file(refused, tmp_path, share):
    data = models.digits_model().SerializeToString()
    (tmp_path / "cut.onnx").write_bytes(data[: int(share * len(data))])
    refused(tmp_path / "cut.onnx", words=["cut.onnx"])


def test_an_input_that_is_a_batch_of_nothing(refused, tmp_path):
    def change(model):
        del model.graph.input[0].type.tensor_type.shape.dim[1:]

    refused(changed(tmp_path, change), words=["input 'image'", "expected a batch axis and sizes above 0 after it"])


def test_a_constant_in_place_of_an_activation(refused, tmp_path):
    def change(model):
        (mean,) = (node for node in model.graph.node if node.name == "mean")
        mean.input[0], mean.input[1] = mean.input[1], mean.input[0]

    words = "node 'mean' (Requantize): found a constant input 'one', expected an activation"
    refused(changed(tmp_path, change), words=[words])


def test_a_name_that_is_no_text(refused, tmp_path):
    data = models.digits_model().SerializeToString()
    (tmp_path / "names.onnx").write_bytes(data.replace(b"adder", b"add\xc9r"))
    refused(tmp_path / "names.onnx", words=["names.onnx: ModelProto", "xc9", "expected text in UTF-8"])


def test_an_unknown_op(refused, tmp_path):
    def change(model):
        models.node(model, "adder").op_type = "Softsign"
        models.node(model, "adder").domain = ""

    refused(changed(tmp_path, change), words=["'adder'", "ai.onnx::Softsign", "AdderConvInteger"])


def test_an_unknown_domain(refused, tmp_path):
    refused(
        changed(tmp_path, lambda model: setattr(models.node(model, "adder"), "domain", "com.example")),
        words=["com.example::AdderConvInteger"],
    )


def test_an_unknown_domain_version(refused, tmp_path):
    def change(model):
        next(entry for entry in model.opset_import if entry.domain == "adderhw").version = 2

    refused(changed(tmp_path, change), words=["domain adderhw", "version 2", "expected 1"])


def test_an_unknown_attribute(refused, tmp_path):
    def change(model):
        models.node(model, "adder").attribute.append(onnx.helper.make_attribute("auto_pad", "SAME_UPPER"))

    refused(changed(tmp_path, change), words=["'adder'", "auto_pad"])


@pytest.mark.parametrize("kind", [-1, 8, 11, 16, 99])
def test_an_input_of_another_type(refused, tmp_path, kind):
    def change(model):
        model.graph.input[0].type.tensor_type.elem_type = kind

    refused(changed(tmp_path, change), words=["input 'image'", f"element type {kind}", "float, "])


def test_a_float_model_is_told_to_be_quantised(refused, tmp_path):
    refused(models.save(models.float_model(), tmp_path / "f.onnx"), words=["AdderConv", "quantise it first"])


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"mean": [NaN], "std": [16.0]}', '{"mean": [0.0], "std": [0]}'])
def test_a_normalisation_that_is_none(text, refused, tmp_path):
    def change(model):
        onnx.helper.set_model_props(model, {"adderhw.preprocess": text})

    refused(changed(tmp_path, change), "--data", "digits", words=["metadata adderhw.preprocess: found "])


def test_missing_external_data(refused, tmp_path):
    def change(model):
        tensor = models.initializer(model, "w")
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="gone.bin")

    refused(changed(tmp_path, change), words=["external data", "gone.bin"])


@pytest.mark.parametrize(
    "location",
    [
        "../secret.bin",
        "/etc/hostname",
        "link.bin",
        "linked/secret.bin",
        "../sub/inside.bin",
        "pipe",
        "linked",
        "",
        "a" * 999,
    ],
)
def test_external_data_outside_the_folder_or_in_no_file(refused, tmp_path, location):
    def change(model):
        tensor = models.initializer(model, "w")
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    (tmp_path / "sub").mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(36))
    (tmp_path / "sub" / "inside.bin").write_bytes(bytes(36))
    (tmp_path / "sub" / "link.bin").symlink_to("../secret.bin")
    (tmp_path / "sub" / "linked").symlink_to("..")
    os.mkfifo(tmp_path / "sub" / "pipe")
    refused(changed(tmp_path / "sub", change), words=["external data"])


def calls(depth, count, *, loop=False, domain="calls"):
    """A model that calls a function which calls the next one `count` times, `depth` deep or in a loop."""
    model = models.digits_model()
    opsets = [*model.opset_import, onnx.helper.make_opsetid(domain, 1)]
    for i in range(depth):
        last = i + 1 == depth
        op, where = ("Identity", "") if last and not loop else (f"f{(i + 1) % depth}", domain)
        nodes = [onnx.helper.make_node(op, [f"a{k}"], [f"a{k + 1}"], domain=where) for k in range(count)]
        model.functions.append(onnx.helper.make_function(domain, f"f{i}", ["a0"], [f"a{count}"], nodes, opsets))
    model.graph.node.append(onnx.helper.make_node("f0", ["output"], ["called"], "call", domain=domain))
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (calls(60, 2), ["nodes with functions inlined, expected at most 50,000"]),
        (calls(60, 2, domain="adderhw"), ["nodes with functions inlined, expected at most 50,000"]),
        (calls(1, 1, loop=True), ["function 'f0': found calls of itself or more than 64 deep"]),
        (calls(3, 1, loop=True), ["found calls of itself or more than 64 deep"]),
        (calls(65, 1), ["found calls of itself or more than 64 deep"]),
    ],
)
def test_functions_without_end(model, words, refused, tmp_path):
    refused(models.save(model, tmp_path / "m.onnx"), words=words)


def test_a_chain_of_too_many_nodes(refused, tmp_path):
    def change(model):
        model.graph.node.extend(onnx.helper.make_node("Relu", ["output"], [f"t{i}"]) for i in range(50_000))

    refused(changed(tmp_path, change), words=["found 50,008 nodes", "expected at most 50,000"])


@pytest.mark.parametrize("shape", [(20, 1, 9, 8), (20, 3, 8, 8), (20, 64), (0, 1, 8, 8)])
def test_a_wrong_input_shape(refused, tmp_path, shape):
    np.save(tmp_path / "x.npy", np.zeros(shape, np.float32))
    path = changed(tmp_path, lambda model: None)
    refused(path, "--data", tmp_path / "x.npy", words=["x.npy", "expected [N, 1, 8, 8]"])


def test_a_wrong_input_dtype(refused, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 1, 8, 8), np.float64))
    refused(changed(tmp_path, lambda m: None), "--data", tmp_path / "x.npy", words=["float64", "expected float32"])


def test_input_out_of_range(refused, tmp_path):
    np.save(tmp_path / "x.npy", np.full((2, 1, 8, 8), np.nan, np.float32))
    refused(changed(tmp_path, lambda m: None), "--data", tmp_path / "x.npy", words=["NaN or infinity"])


def test_an_array_of_objects_is_never_unpickled(refused, tmp_path):
    np.save(tmp_path / "x.npy", np.asarray([{}], object), allow_pickle=True)
    refused(changed(tmp_path, lambda m: None), "--data", tmp_path / "x.npy", words=["no readable array file"])


def test_a_dimension_of_size_zero(refused, tmp_path):
    def change(model):
        models.initializer(model, "w").dims[0] = 0

    refused(changed(tmp_path, change), words=["'w'", "size 0"])


def test_an_input_dimension_of_size_zero(refused, tmp_path):
    def change(model):
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 0

    refused(changed(tmp_path, change), words=["'image'", "sizes above 0"])


def test_a_weight_of_more_digits_than_its_realisation_has(refused, tmp_path):
    def change(model):
        models.set_initializer(model, "v", np.full((4, 10), 85, np.int8))
        linear = models.node(model, "linear")
        next(entry for entry in linear.attribute if entry.name == "realisation").s = b"shift_add:3"

    refused(changed(tmp_path, change), words=["'linear'", "a weight with 4 signed digits", "at most 3"])


@pytest.mark.parametrize("scale", [np.nan, np.inf, 0.0, -1.0])
def test_a_scale_that_is_no_positive_number(refused, tmp_path, scale):
    path = changed(tmp_path, lambda m: models.set_initializer(m, "scale", np.float32(scale)))
    refused(path, words=["scale"])


def test_a_bound_that_overflows_its_accumulator(refused, tmp_path):
    def change(model):
        models.set_initializer(model, "m", np.full((4, 1, 1), 2**60, np.int64))

    refused(changed(tmp_path, change), words=["'norm'", "overflowing"])


def test_an_unknown_data_set(refused, tmp_path):
    refused(changed(tmp_path, lambda m: None), "--data", "imagenet21k", words=["imagenet21k", "digits"])


def test_an_unknown_split(refused, tmp_path):
    refused(changed(tmp_path, lambda m: None), "--split", "validation", words=["validation", "train, test"])


def test_an_unknown_energy_table(refused, tmp_path):
    refused(changed(tmp_path, lambda m: None), "--energy", "dream3nm", words=["dream3nm", "horowitz45"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--limit", "0"], ["limit", "found 0"]),
        (["--limit", "many"], ["--limit", "valid integer"]),
        (["--batch-size", "0"], ["batch size"]),
        (["--threads", "0"], ["threads"]),
        (["--threads", "4096"], ["threads", "4096"]),
        (["--kernel", "sse9"], ["sse9", "portable"]),
        (["--check", "tvm"], ["tvm", "ort"]),
        (["--overflow", "explode"], ["explode", "wrap, saturate"]),
        (["--accumulator-bits", "1"], ["accumulator bits", "found 1"]),
        (["--accumulator-bits", "99"], ["accumulator bits", "found 99"]),
        (["--accumulator-bits", "8", "--check", "ort"], ["check", "narrowed"]),
        (["--accumulator-bits", "8", "--overflow", "saturate", "--accumulate-all"], ["saturating", "'linear'"]),
        (["--colour"], ["--colour"]),
    ],
)
def test_a_bad_option(refused, tmp_path, arguments, words):
    refused(changed(tmp_path, lambda m: None), *arguments, words=words)


@pytest.mark.parametrize("option", ["--report", "--json", "--csv"])
def test_an_unwritable_output_is_refused_before_the_run(monkeypatch, capsys, tmp_path, option):
    code, out, err = run(monkeypatch, capsys, changed(tmp_path, lambda m: None), option, tmp_path / "no" / "file")
    assert (code, out) == (2, "")
    assert "cannot write" in err
    assert err.count("\n") == 1


def test_a_trace_folder_that_holds_something_is_refused(monkeypatch, capsys, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("keep")
    code, _, err = run(monkeypatch, capsys, changed(tmp_path, lambda m: None), "--trace", tmp_path / "full")
    assert code == 2
    assert "new or empty folder" in err
    assert (tmp_path / "full" / "precious").read_text() == "keep"


def test_two_outputs_of_one_name_are_refused(monkeypatch, capsys, tmp_path):
    path = tmp_path / "same"
    code, _, err = run(monkeypatch, capsys, changed(tmp_path, lambda m: None), "--json", path, "--csv", path)
    assert code == 2
    assert "same" in err


def test_the_real_command_exits_with_2_and_one_line():
    done = subprocess.run(
        [sys.executable, "-m", "adderhw.simulate", "nothing.onnx"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "error: nothing.onnx: found no such file, expected an ONNX file\n"
    assert done.stdout == ""


def add_node_of_the_same_name(model):
    last = model.graph.node[-1]
    model.graph.node.add().CopyFrom(last)
    model.graph.node[-1].output[0] = "again"


def give_out_a_constant(model):
    model.graph.output[0].name = model.graph.initializer[0].name


def reshape_by_a_scalar(model):
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.int64(4), "sizes"))
    last = model.graph.node[-1]
    model.graph.node.append(onnx.helper.make_node("Reshape", [last.output[0], "sizes"], ["shaped"], "shaping"))


def attribute_of_bytes(model):
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("realisation", b"\xff\xfe"))


def attribute_twice(model):
    node = next(node for node in model.graph.node if node.attribute)
    node.attribute.add().CopyFrom(node.attribute[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (add_node_of_the_same_name, "found another node of that name before it, expected a name of its own"),
        (give_out_a_constant, "found a constant, expected what a node computes"),
        (reshape_by_a_scalar, "found shape 'sizes' of int64 and shape [], expected int64 of rank 1"),
        (attribute_of_bytes, "found bytes that are no UTF-8, expected text"),
        (attribute_twice, "found it twice, expected it once"),
    ],
)
def test_a_changed_structure(refused, tmp_path, change, words):
    refused(changed(tmp_path, change), words=[words, "model.onnx"])


def test_too_little_memory_is_one_line(monkeypatch, capsys):
    def exhausted(*_, **__):
        raise MemoryError("Unable to allocate 512. GiB")

    monkeypatch.setattr("adderhw.simulation.simulate", exhausted)
    code, _, err = run(monkeypatch, capsys)
    assert code == 1
    assert err.startswith("error: memory: found too little of it (Unable to allocate 512. GiB), expected enough")
    assert err.count("\n") == 1
