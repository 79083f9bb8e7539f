"""The check runs the file itself: tapping never makes another network of it, and default options are judged too."""

import numpy as np
import onnx
import pytest
from onnx import helper

from adderhw import cli
from adderhw.errors import ModelError
from adderhw.foreign.check import ForeignCheck, with_own_initializers
from adderhw.foreign.exact import exact_network
from adderhw.foreign.graph import foreign_graph
from adderhw.ort_session import OrtSession
from adderhw.report.figures import check_words
from tests import models
from tests.foreign.models import model_of


def checked(proto, x, fault=None):
    """The ForeignCheck after one batch; fault(tensors) may change what was computed here."""
    network = exact_network(foreign_graph(proto, "m"), 1)
    check = ForeignCheck(proto, network, 1)
    tensors = network.run({"x": x})
    if fault:
        fault(tensors)
    check.compare({"x": x}, tensors)
    return check


def two_convolutions(kind, sizes=("N", 3, 6, 6)):
    """x → Conv → Conv between quantisers of `kind`, with weights of int8 that share one zero point."""
    rng = np.random.default_rng(3)
    zero = kind(128 if kind is np.uint8 else 0)
    constants = {
        "xs": np.float32(0.1), "ys": np.float32(0.16), "zs": np.float32(0.4), "z": zero, "ws": np.float32(0.02),
        "wz": np.int8(0), "w": rng.integers(-127, 128, (3, 3, 3, 3)).astype(np.int8),
        "v": rng.integers(-127, 128, (2, 3, 3, 3)).astype(np.int8),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "z"], ["q"], "enter"),
        helper.make_node("DequantizeLinear", ["q", "xs", "z"], ["d"], "codes"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], "w"),
        helper.make_node("Conv", ["d", "wd"], ["c"], "first", pads=[1] * 4),
        helper.make_node("QuantizeLinear", ["c", "ys", "z"], ["a"], "between"),
        helper.make_node("DequantizeLinear", ["a", "ys", "z"], ["ad"], "codes again"),
        helper.make_node("DequantizeLinear", ["v", "ws", "wz"], ["vd"], "v"),
        helper.make_node("Conv", ["ad", "vd"], ["e"], "second"),
        helper.make_node("QuantizeLinear", ["e", "zs", "z"], ["b"], "leave"),
        helper.make_node("DequantizeLinear", ["b", "zs", "z"], ["y"], "y"),
    ]
    out = [sizes[0], 2, 4, 4]
    return model_of(nodes, {"x": list(sizes)}, {"y": out}, constants)


X = (np.random.default_rng(0).integers(-128, 128, (20, 3, 6, 6)) * 0.1).astype(np.float32)


def test_signed_activations_are_compared_by_the_kernels_that_the_file_has():
    check = checked(two_convolutions(np.int8), X)
    assert check.mismatches == 0
    section = check.result()
    assert section["kernels"]["QLinearConv"] == 2
    assert "Conv" not in section["kernels"]
    assert section["tensors"] == {"outputs": 1, "inside": 0, "cut": 3, "unseen": 0}
    assert section["values"] == X.size + 20 * 3 * 36 + 2 * 20 * 2 * 16


def test_unsigned_activations_with_a_shared_zero_point_load_and_are_seen_inside():
    check = checked(two_convolutions(np.uint8), X)
    assert check.mismatches == 0
    assert check.result()["tensors"] == {"outputs": 1, "inside": 3, "cut": 0, "unseen": 0}


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("name", ["q", "a", "b", "y"])
def test_a_wrong_value_in_any_tensor_is_found(kind, name):
    def fault(tensors):
        tensors[name] = tensors[name].copy()
        value = tensors[name][5, 1, 2, 3]
        tensors[name][5, 1, 2, 3] = value - 1 if value > 0 else value + 1

    check = checked(two_convolutions(kind), X, fault)
    assert check.mismatches == 1
    assert check.first.tensor == name
    assert check.first.index == (5, 1, 2, 3)


def two_quantisers():
    constants = {"s": np.float32(0.1), "t": np.float32(0.13), "z": np.uint8(128)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["a"], "first"),
        helper.make_node("DequantizeLinear", ["a", "s", "z"], ["b"], "back"),
        helper.make_node("QuantizeLinear", ["b", "t", "z"], ["c"], "second"),
        helper.make_node("DequantizeLinear", ["c", "t", "z"], ["y"], "y"),
    ]
    return model_of(nodes, {"x": ["N", 3001]}, {"y": ["N", 3001]}, constants)


def test_what_default_options_do_otherwise_is_said_and_is_no_mismatch():
    section = checked(two_quantisers(), np.linspace(-15, 15, 3001, dtype=np.float32)[None]).result()
    assert section["mismatches"] == 0
    assert section["plain"]["values"] == 3001
    assert section["plain"]["mismatches"] > 500
    words = " ".join(check_words(section))
    assert "onnxruntime's default options give" in words
    assert "disabled_optimizers DoubleQDQPairsRemover" in words


def test_initializers_are_shared_by_no_two_nodes_and_keep_their_values():
    proto = two_convolutions(np.uint8)
    model = with_own_initializers(proto)
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    read = [name for node in model.graph.node for name in node.input if name in arrays]
    assert len(read) == len(set(read))
    for before, after in zip(proto.graph.node, model.graph.node, strict=True):
        for name, other in zip(before.input, after.input, strict=True):
            if other in arrays:
                original = next(tensor for tensor in proto.graph.initializer if tensor.name == name)
                assert np.array_equal(arrays[other], onnx.numpy_helper.to_array(original))


@pytest.mark.parametrize("images", [1, 4, 10])
def test_a_batch_that_the_file_fixes_is_filled_and_what_filled_it_is_dropped(images):
    check = checked(two_convolutions(np.uint8, sizes=(4, 3, 6, 6)), X[:images])
    assert check.mismatches == 0
    assert check.images == images


@pytest.mark.parametrize("batch", [1, 4])
def test_a_model_of_this_toolkit_with_a_fixed_batch_is_checked(monkeypatch, capsys, tmp_path, batch):
    model = models.digits_model()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    path = models.save(model, tmp_path / "model.onnx")
    monkeypatch.setattr("sys.argv", ["simulate", str(path), "--limit", "6", "--check", "ort"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    assert "of 6 images against onnxruntime, 0 mismatches" in capsys.readouterr().out


def test_what_onnxruntime_raises_in_a_run_is_one_line():
    session = OrtSession(two_quantisers(), 1)
    with pytest.raises(ModelError, match="check ort: onnxruntime cannot run the model") as caught:
        session.run(["y"], {"x": np.zeros((1, 7), np.float32)})
    assert "\n" not in str(caught.value)


def test_a_file_that_onnxruntime_does_not_load_is_one_line():
    proto = two_quantisers()
    proto.graph.node.append(helper.make_node("Nothing", ["y"], ["w"], domain="nobody"))
    proto.opset_import.append(helper.make_opsetid("nobody", 1))
    with pytest.raises(ModelError, match="onnxruntime cannot load the model"):
        OrtSession(proto, 1)
