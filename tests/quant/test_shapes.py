"""Shape arithmetic of exporters is folded: views, squeezes and unsqueezes are reshapes that keep the batch."""

import contextlib
import io

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import quant
from quant.float_graph import read_float_graph
from quant.shapes import with_constant_shapes


class Viewed(nn.Module):
    """A network that flattens by a view of its own sizes, in one of the ways that people write."""

    def __init__(self, way):
        super().__init__()
        self.way, self.conv, self.linear = way, nn.Conv2d(1, 8, 3), nn.Linear(8 * (1 if "pool" in way else 36), 10)

    def forward(self, x):
        x = torch.relu(self.conv(x))
        if self.way == "view":
            return self.linear(x.view(x.size(0), -1))
        if self.way == "reshape by sizes":
            return self.linear(x.reshape(x.shape[0], x.shape[1] * x.shape[2] * x.shape[3]))
        pooled = nn.functional.adaptive_avg_pool2d(x, 1)
        return self.linear(pooled.squeeze(-1).squeeze(-1) if self.way == "pool, squeeze" else pooled.view(-1, 8))


def exported(module, path):
    """The file that torch's older exporter writes, its batch dynamic."""
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        torch.onnx.export(
            module.eval(), (torch.zeros(2, 1, 8, 8),), str(path), dynamo=False, input_names=["x"],
            dynamic_axes={"x": {0: "N"}},
        )  # fmt: skip
    return onnx.load(str(path))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["view", "reshape by sizes", "pool, squeeze", "pool, view"])
def test_a_view_of_the_older_exporter_is_quantised(tmp_path, way):
    torch.manual_seed(0)
    proto = exported(Viewed(way), tmp_path / "m.onnx")
    x = np.random.default_rng(0).standard_normal((8, 1, 8, 8)).astype(np.float32)
    folded = with_constant_shapes(proto)
    assert {node.op_type for node in folded.graph.node} <= {
        "Conv", "Relu", "Reshape", "Gemm", "GlobalAveragePool", "Constant",
    }  # fmt: skip
    sessions = [
        onnxruntime.InferenceSession(each.SerializeToString(), providers=["CPUExecutionProvider"])
        for each in (proto, folded)
    ]
    before, after = (session.run(None, {"x": x})[0] for session in sessions)
    assert np.array_equal(before, after)
    model = quant.quantise(str(tmp_path / "m.onnx"), x)
    assert model is not None


def reshaping(shape):
    """x (N, 4) → Unsqueeze → Reshape to `shape`."""
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axes"], ["u"], "unsqueeze"),
        helper.make_node("Reshape", ["u", "shape"], ["y"], "reshape"),
    ]
    constants = {"axes": np.array([1]), "shape": np.array(shape)}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_reshape_into_the_batch_stays_as_it_was():
    model = with_constant_shapes(reshaping([-1, 2]))
    assert [node.op_type for node in model.graph.node] == ["Reshape", "Reshape"]
    assert list(model.graph.node[1].input) == ["u", "shape"]


def test_a_model_without_shape_arithmetic_is_left_alone():
    proto = reshaping([0, 4])
    del proto.graph.node[0]
    proto.graph.node[0].input[0] = "x"
    assert with_constant_shapes(proto) is proto
    assert read_float_graph(proto).nodes
