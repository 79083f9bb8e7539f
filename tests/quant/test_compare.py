"""Comparison: every figure is what whole arrays from onnxruntime give, and the layer that is wrong is the one named."""

import tracemalloc

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from adderhw.errors import AdderHwError, DataError, ModelError
from adderhw.graph import Graph
from adderhw.onnx_reader import read_graph
from adderhw.plan import Plan
from export.writer import write_graph
from quant import Settings, compare, quantise
from quant.compare import Signal, Top1
from quant.counterparts import read_counterparts
from tests.quant.networks import Network, adder_layer, adder_network, images, mixed_cnn, ordinary_cnn

FINE = Settings(bits=16, edge_bits=16, range="max")


def pair(folder, model, settings=Settings(), x=None):  # noqa: B008 - frozen
    """(float path, integer path, images path) of a model quantised on `x`, which are also the images to compare on."""
    x = images(24) if x is None else x
    paths = folder / "float.onnx", folder / "integer.onnx", folder / "x.npy"
    onnx.save(model, paths[0])
    write_graph(quantise(model, x, settings), paths[1])
    np.save(paths[2], x)
    return paths


def signed_network():
    """A convolution and a batch norm without ReLU before an adder layer: a grid with a zero point inside."""
    net = Network()
    x = net.batch_norm(net.conv("image", "stem", 3, 6), "stem_bn", 6)
    x = adder_layer(net, x, "only", 6, 4)
    return net.model(net.node("Flatten", [net.node("GlobalAveragePool", [x], "pooled")], "logits"))


def whole_arrays(model, path, x):
    """(float, integer) tensors by name, each from one call of onnxruntime or the simulator on all of `x`."""
    wanted = onnx.ModelProto()
    wanted.CopyFrom(model)
    del wanted.graph.output[:]
    names = [node.output[0] for node in model.graph.node]
    wanted.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = ort.InferenceSession(wanted.SerializeToString())
    reals = dict(zip(names, session.run(None, {"image": x}), strict=True)) | {"image": x}
    return reals, Plan(read_graph(path), keep_all=True).run({"image": x})


@pytest.mark.parametrize("batch_size", [1, 7, 24])
@pytest.mark.parametrize("make", [adder_network, signed_network])
def test_every_figure_is_that_of_whole_arrays(make, batch_size, tmp_path):
    model, x = make(), images(24)
    float_path, integer_path, data = pair(tmp_path, model, Settings(bits=5, quantile=0.95))
    found = compare(float_path, integer_path, data=data, batch_size=batch_size)
    reals, integers = whole_arrays(model, integer_path, x)
    counterparts, graph = read_counterparts(read_graph(integer_path)), read_graph(integer_path)
    assert [tensor.name for tensor in found.tensors] == list(counterparts)
    clipped = np.zeros(2)
    for tensor in found.tensors:
        real = reals[tensor.tensor].astype(np.float64)
        error = counterparts[tensor.name].real(integers[tensor.name]) - real
        axes = (0, *range(2, real.ndim))
        signal = ((real - real.mean(axis=axes, keepdims=True)) ** 2).mean()
        assert tensor.signal_power == pytest.approx(signal, rel=1e-9)
        assert tensor.noise_power == pytest.approx((error**2).mean(), rel=1e-9)
        assert tensor.sqnr == pytest.approx(10 * np.log10(signal / (error**2).mean()), abs=1e-6)
        assert (tensor.low, tensor.high) == (real.min(), real.max())
        quantile = np.quantile(real, 0.75, method="inverted_cdf")
        assert tensor.quantiles[0.75] == pytest.approx(quantile, rel=2**-7, abs=1e-30)
        if tensor.on_grid:
            grid = graph.tensors[tensor.name].format
            low, high = (grid.scale * (end - grid.zero_point) for end in (grid.min - 0.5, grid.max + 0.5))
            assert tensor.largest_error == pytest.approx(np.abs(error).max() / grid.scale, rel=1e-9)
            q = np.clip(np.rint(real / grid.scale) + grid.zero_point, grid.min, grid.max)
            alone = ((grid.scale * (q - grid.zero_point) - real) ** 2).mean()
            assert tensor.grid_noise_power == pytest.approx(alone, rel=1e-9)
            assert tensor.grid_sqnr == pytest.approx(10 * np.log10(signal / alone), abs=1e-6)
            assert tensor.grid_noise_power <= tensor.noise_power * (1 + 1e-9)
            shares = (real < low).mean(), (real > high).mean()
            assert (tensor.clipped_low, tensor.clipped_high) == pytest.approx(shares, abs=1e-12)
            clipped += shares
        else:
            assert tensor.clipped_low is tensor.clipped_high is tensor.representable is tensor.grid_sqnr is None
    assert clipped[1] > 0.02
    assert clipped[0] > 0.02 or make is adder_network


# Measured when written, the worst tensor of each: 67.0, 70.8 and 65.6 dB. A wrong counterpart gives about 0 dB.
@pytest.mark.parametrize(("make", "least"), [(adder_network, 60), (ordinary_cnn, 64), (mixed_cnn, 59)])
def test_with_16_bits_every_tensor_is_close_to_its_counterpart(make, least, tmp_path):
    float_path, integer_path, data = pair(tmp_path, make(), FINE)
    found = compare(float_path, integer_path, data=data)
    assert min(tensor.sqnr for tensor in found.tensors) > least
    assert found.first_divergence is None


@pytest.mark.parametrize(
    ("parameter", "first"),
    [("stem_w", "stem_sum"), ("second_adder_w", "second_adder_sum"), ("third_bn_mean", "third_bn_guard")],
)
def test_the_first_tensor_that_diverges_is_where_the_models_differ(parameter, first, tmp_path):
    model = adder_network()
    float_path, integer_path, data = pair(tmp_path, model, FINE)
    (wrong,) = (entry for entry in model.graph.initializer if entry.name == parameter)
    wrong.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(wrong), parameter))
    onnx.save(model, float_path)
    assert compare(float_path, integer_path, data=data).first_divergence.name == first


def test_the_threshold_decides_what_diverges(tmp_path):
    float_path, integer_path, data = pair(tmp_path, adder_network(), Settings(bits=4))
    found = compare(float_path, integer_path, data=data, diverges_below=-100)
    assert found.first_divergence is None
    least = min(tensor.sqnr for tensor in found.tensors)
    above = compare(float_path, integer_path, data=data, diverges_below=np.nextafter(least, 100))
    assert above.first_divergence.sqnr == least
    assert compare(float_path, integer_path, data=data, diverges_below=least).first_divergence is None


def test_top1_counts_both_models_and_where_they_agree(tmp_path):
    model, x = ordinary_cnn(), images(24)
    float_path, integer_path, _ = pair(tmp_path, model, Settings(bits=3, edge_bits=3))
    reals, integers = whole_arrays(model, integer_path, x)
    float_classes, integer_classes = reals["logits"].argmax(1), integers["logits"].argmax(1)
    agreeing = int((float_classes == integer_classes).sum())
    assert 0 < agreeing < 24
    np.savez(tmp_path / "x.npz", x=x, y=float_classes)
    top1 = compare(float_path, integer_path, data=tmp_path / "x.npz", batch_size=5).top1
    assert top1 == Top1(agreeing, 24, agreeing, agreeing)
    unlabelled = compare(float_path, integer_path, data=tmp_path / "x.npy", limit=3).top1
    assert unlabelled == Top1((float_classes == integer_classes)[:3].sum(), None, None, None)


def test_the_difference_of_top1_is_that_of_the_images(tmp_path):
    model, x = ordinary_cnn(), images(24)
    float_path, integer_path, _ = pair(tmp_path, model, Settings(bits=3, edge_bits=3))
    reals, integers = whole_arrays(model, integer_path, x)
    classes = [each["logits"].argmax(1) for each in (reals, integers)]
    labels = np.where(np.arange(24) % 3 == 0, classes[0], classes[1])
    labels[1::4] = (classes[0][1::4] + 1) % 5
    np.savez(tmp_path / "x.npz", x=x, y=labels)
    first, second = (each == labels for each in classes)
    found = compare(float_path, integer_path, data=tmp_path / "x.npz", batch_size=5)
    assert found.top1 == Top1(int((classes[0] == classes[1]).sum()), first.sum(), second.sum(), (first & second).sum())
    each = second.astype(float) - first
    assert {*each} == {-1, 0, 1}
    assert found.top1_difference == pytest.approx((each.mean(), each.std() / np.sqrt(24)))
    np.save(tmp_path / "x.npy", x)
    assert compare(float_path, integer_path, data=tmp_path / "x.npy").top1_difference is None


def test_outputs_that_are_no_logits_have_no_top1(tmp_path):
    net = Network()
    model = net.model(net.conv("image", "map", 3, 4))
    float_path, integer_path, data = pair(tmp_path, model)
    assert compare(float_path, integer_path, data=data).top1 is None


def test_memory_does_not_grow_with_the_images(tmp_path):
    x = images(16)
    float_path, integer_path, data = pair(tmp_path, adder_network(), x=x)

    def peak(count):
        np.save(data, np.tile(x, (count // 16, 1, 1, 1)))
        tracemalloc.start()
        compare(float_path, integer_path, data=data, batch_size=8)
        used = tracemalloc.get_traced_memory()[1] - count * x[0].nbytes
        tracemalloc.stop()
        return used

    peak(16)
    assert peak(256) < peak(32) + 200_000


def test_progress_ends_with_all_images(tmp_path):
    float_path, integer_path, data = pair(tmp_path, ordinary_cnn())
    seen = []
    compare(float_path, integer_path, data=data, batch_size=10, progress=lambda *done: seen.append(done))
    assert seen == [(10, 24), (20, 24), (24, 24)]


def test_a_large_mean_costs_the_signal_no_digits():
    values = np.random.default_rng(0).normal(1e4, 0.5, (40, 3, 5, 5)).astype(np.float32)
    signal = Signal()
    for start in range(0, 40, 6):
        signal.add(values[start : start + 6])
    exact = values.astype(np.float64)
    assert signal.power == pytest.approx(exact.var(axis=(0, 2, 3)).mean(), rel=1e-12)


def test_a_constant_has_a_power_of_exactly_zero():
    signal = Signal()
    signal.add(np.full((5, 2, 3, 3), 0.1, np.float32))
    assert signal.power == 0


def test_values_without_variance_have_no_ratio_and_do_not_diverge(tmp_path):
    float_path, integer_path, data = pair(tmp_path, ordinary_cnn(), Settings(bits=4))
    logits = compare(float_path, integer_path, data=data, limit=1, diverges_below=1e3).tensors[-1]
    assert logits.signal_power == 0 < logits.noise_power
    assert logits.sqnr is None


def renamed(model, old, new):
    """The model with the tensor `old` called `new`."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
    for value in (*model.graph.output, *model.graph.input):
        value.name = new if value.name == old else value.name
    return model


def other_shape():
    """adder_network with a stem of other strides."""
    model = adder_network()
    strides = next(a for a in model.graph.node[0].attribute if a.name == "strides")
    strides.ints[:] = [2, 2]
    return model


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (renamed(adder_network(), "residual", "other"), r"other\.onnx: found no tensor 'residual', expected the float"),
        (renamed(adder_network(), "logits", "scores"), r"other\.onnx: found outputs \['scores'\], expected the float"),
        (
            renamed(adder_network(), "image", "x"),
            r"other\.onnx: found inputs \[\('x', 3, 8, 8, 'float32'\)\], expected",
        ),
        (other_shape(), r"float tensor 'stem': found shape \[8, 4, 4\], expected \[8, 8, 8\] as 'stem_sum' has"),
    ],
)
def test_files_that_do_not_belong_together_are_an_error(other, message, tmp_path):
    _, integer_path, data = pair(tmp_path, adder_network())
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match=message):
        compare(tmp_path / "other.onnx", integer_path, data=data)


def test_models_in_the_wrong_place_are_an_error(tmp_path):
    float_path, integer_path, data = pair(tmp_path, adder_network())
    with pytest.raises(
        ModelError, match=r"integer\.onnx: .*found the integer op QuantizeLinear, expected a float model"
    ):
        compare(integer_path, integer_path, data=data)
    with pytest.raises(ModelError, match=r"float\.onnx: .*found the float op Conv, expected an integer model"):
        compare(float_path, float_path, data=data)


def test_an_integer_model_without_counterparts_is_an_error_that_names_its_file(tmp_path):
    float_path, integer_path, data = pair(tmp_path, adder_network())
    graph = read_graph(integer_path)
    stripped = Graph(graph.name, graph.inputs, graph.outputs, graph.nodes, graph.parameters, graph.formats)
    write_graph(stripped, integer_path)
    with pytest.raises(ModelError, match=r"integer\.onnx: metadata adderhw\.float_tensors: found none"):
        compare(float_path, integer_path, data=data)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"batch_size": 0}, AdderHwError, "batch size: found 0, expected at least 1"),
        ({"diverges_below": float("nan")}, AdderHwError, "diverges below: found nan"),
        ({"limit": 0}, DataError, "limit: found 0"),
        ({"data": "nothing.npy"}, DataError, r"nothing\.npy: found no such file"),
    ],
)
def test_a_bad_call_is_an_error(changes, error, message, tmp_path):
    float_path, integer_path, data = pair(tmp_path, ordinary_cnn())
    with pytest.raises(error, match=message):
        compare(float_path, integer_path, **{"data": data, **changes})
