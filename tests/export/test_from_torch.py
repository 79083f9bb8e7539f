"""A torch module becomes a float ONNX file with adder nodes, readable names and nothing that torch needs itself."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from torch import nn  # noqa: E402

from adderhw.errors import AdderHwError, ModelError  # noqa: E402
from adderhw.onnx_reader import read_graph  # noqa: E402
from export.from_torch import MismatchError, compare, export_module  # noqa: E402
from export.schema import register_schemas  # noqa: E402
from quant.float_graph import read_float_graph  # noqa: E402
from training.layers import AdderConv2d, AdderLinear  # noqa: E402

METADATA = {
    "preprocess": {"dataset": "digits", "mean": [4.9], "std": [6.0]},
    "network": {"name": "branches", "kind": "ann"},
    "training": {"seed": 1},
    "metrics": {"test_top1": 1.0},
}


class Branches(nn.Module):
    """Every layer that a float model may have: both adder layers, a residual, both poolings, a linear layer."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.body = nn.Sequential(
            AdderConv2d(6, 6, (3, 2), padding=(1, 0, 1, 1), groups=2), nn.BatchNorm2d(6), nn.ReLU(),
            AdderConv2d(6, 6, 3, padding=2, dilation=2), nn.BatchNorm2d(6),
        )  # fmt: skip
        self.relu = nn.ReLU()
        self.max_pool, self.average = nn.MaxPool2d(2), nn.AvgPool2d(2)
        self.hidden, self.hidden_bn = AdderLinear(24, 12), nn.BatchNorm1d(12)
        self.classifier = nn.Linear(12, 5)

    def forward(self, x):
        x = self.relu(self.bn(self.stem(x)))
        x = self.relu(self.body(x) + x)
        x = self.average(self.max_pool(x)).flatten(1)
        return self.classifier(self.relu(self.hidden_bn(self.hidden(x))))


@pytest.fixture(scope="module")
def network():
    """A Branches network whose batch norms have seen data, in training mode."""
    torch.manual_seed(0)
    network = Branches()
    with torch.no_grad():
        for _ in range(30):
            network(torch.randn(32, 2, 8, 8))
    return network


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    """(path, Exported) of the network; torch's exporter takes seconds, so it runs once."""
    path = tmp_path_factory.mktemp("float") / "model.onnx"
    return path, export_module(network, torch.zeros(1, 2, 8, 8), path, metadata=METADATA)


def test_module_is_left_as_it_was(network, exported):
    assert network.training
    assert next(network.parameters()).requires_grad


def test_onnxruntime_gives_torchs_output_at_any_batch_size(network, exported, rng):
    path, result = exported
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    network.eval()
    for batch in (1, 5):
        x = rng.standard_normal((batch, 2, 8, 8)).astype(np.float32)
        with torch.no_grad():
            expected = network(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(session.run(None, {"image": x})[0], expected, rtol=1e-3, atol=1e-4)
    network.train()
    assert expected.std(axis=0).min() > 0
    assert result.difference < 1e-3


def test_nodes_are_named_after_modules_and_adder_layers_are_adder_nodes(exported):
    nodes = {node.name: node for node in exported[1].model.graph.node}
    assert list(nodes) == [
        *("stem", "relu", "body.0", "body.1", "body.2", "body.3", "body.4", "add", "relu_1"),
        *("max_pool", "average", "reshape", "hidden", "hidden_bn", "relu_2", "classifier"),
    ]
    assert {(n.domain, n.op_type) for n in nodes.values() if n.domain} == {
        ("adderhw", "AdderConv"),
        ("adderhw", "AdderGemm"),
    }
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in nodes["body.0"].attribute}
    assert attributes == {
        "kernel_shape": [3, 2],
        "strides": [1, 1],
        "pads": [1, 0, 1, 1],
        "dilations": [1, 1],
        "group": 2,
    }
    assert list(nodes["body.0"].input) == ["relu", "body.0.weight"]
    assert nodes["body.4"].op_type == "BatchNormalization"
    assert "bn" not in nodes


def test_file_is_checked_small_and_says_how_images_are_preprocessed(exported, network):
    path, result = exported
    model = onnx.load(path)
    register_schemas()
    onnx.checker.check_model(model, full_check=True, check_custom_domain=True)
    assert (model.ir_version, {e.domain: e.version for e in model.opset_import}) == (10, {"": 21, "adderhw": 1})
    metadata = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert metadata == {f"adderhw.{key}": METADATA[key] for key in ("preprocess", "network", "training")}
    assert {function.name for function in model.functions} == {"AdderConv", "AdderGemm"}
    weights = 4 * sum(value.numel() for value in network.state_dict().values())
    assert result.size == path.stat().st_size < weights + 16000
    assert b"torch" not in path.read_bytes()
    assert [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == ["N", 2, 8, 8]
    assert {v.name for v in model.graph.value_info} == {n.output[0] for n in model.graph.node[:-1]}


def test_quantiser_reads_the_file(exported):
    graph = read_float_graph(exported[0])
    assert [node.name for node in graph.nodes] == [node.name for node in exported[1].model.graph.node]


def test_reader_says_that_a_float_model_must_be_quantised(exported):
    with pytest.raises(ModelError, match="found the float op Conv, expected an integer model"):
        read_graph(exported[0])


def test_module_with_an_unknown_op_is_refused_and_nothing_is_written(tmp_path):
    module = nn.Sequential(nn.Flatten(), nn.Softsign())
    with pytest.raises(ModelError, match=r"found op ai.onnx::\w+, expected a module that needs only Add, AdderConv"):
        export_module(module, torch.zeros(1, 2), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_folder_that_does_not_exist_is_found_before_the_work(tmp_path):
    with pytest.raises(AdderHwError, match="cannot write"):
        export_module(None, None, tmp_path / "none" / "m.onnx")


def test_outputs_that_differ_are_refused(network, exported, monkeypatch):
    wrong = onnx.ModelProto()
    wrong.CopyFrom(exported[1].model)
    name = wrong.graph.node[-1].input[2]
    (bias,) = (t for t in wrong.graph.initializer if t.name == name)
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + 1, name))
    network.eval()
    with pytest.raises(MismatchError, match=r"differ from torch's by (1|0\.999)"):
        compare(wrong, network, torch.zeros(1, 2, 8, 8))
    network.train()


def test_a_network_in_channels_last_memory_pools_without_computing_strides(tmp_path):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = layers.to(memory_format=torch.channels_last)
    exported = export_module(network, torch.zeros(1, 2, 8, 8), tmp_path / "cnn.onnx")
    ops = {node.op_type for node in exported.model.graph.node}
    assert ops <= {"Conv", "Relu", "ReduceMean", "GlobalAveragePool", "Reshape", "Flatten"}
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
