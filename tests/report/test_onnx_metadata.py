"""The annotated copy computes the same and says of each node what the document says."""

import copy

import onnx
import pytest

from adderhw.errors import ModelError
from adderhw.report.onnx_metadata import PREFIX, metadata_of, write_annotated
from adderhw.simulation import simulate


@pytest.fixture(scope="module")
def ran():
    return simulate(limit=4, threads=1, accelerator="eyeriss_like")


def test_the_copy_computes_the_same_and_may_be_annotated_again(ran, tmp_path):
    path = tmp_path / "a.onnx"
    write_annotated(ran, path)
    again = simulate(path, limit=4, threads=1, accelerator="eyeriss_like", check="ort")
    assert again["check"]["mismatches"] == 0
    assert again["layers"] == ran["layers"]
    onnx.checker.check_model(onnx.load(path), full_check=True)
    write_annotated(again, tmp_path / "b.onnx")
    assert (tmp_path / "b.onnx").read_bytes() == path.read_bytes()


def test_every_node_carries_its_layers_figures(ran, tmp_path):
    write_annotated(ran, tmp_path / "a.onnx")
    nodes = onnx.load(tmp_path / "a.onnx").graph.node
    assert len(nodes) == len(ran["layers"])
    for node, layer in zip(nodes, ran["layers"], strict=True):
        found = {entry.key: entry.value for entry in node.metadata_props if entry.key.startswith(PREFIX)}
        assert found == {PREFIX + key: value for key, value in metadata_of(layer).items()}
        assert f"{PREFIX}energy.qtools45" in found
        assert (f"{PREFIX}memory.dram_high" in found) == (layer["memory"] is not None)


def test_another_model_is_refused_and_nothing_is_written(ran, tmp_path):
    other = copy.deepcopy(ran)
    other["layers"] = other["layers"][1:]
    with pytest.raises(ModelError, match=r"expected the nodes of the run"):
        write_annotated(other, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())
