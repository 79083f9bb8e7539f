"""QONNX's count of multiply-accumulates, layer by layer (qonnx.analysis.inference_cost, A. Pappalardo et al., 2022)."""

from importlib.util import find_spec

from adderhw.errors import AdderHwError


def qonnx_macs(model):
    """{node name: multiply-accumulates} of a ModelProto of batch 1 by QONNX, zeros in weights counted too.

    Raises AdderHwError where qonnx is not installed.
    """
    if find_spec("qonnx") is None:
        raise AdderHwError("qonnx: found no such package, expected it installed: pip install adderhw[qonnx]")
    from qonnx.analysis.inference_cost import inference_cost
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.infer_shapes import InferShapes
    from qonnx.util.inference_cost import compute_bops_and_macs

    wrapped = ModelWrapper(model).transform(InferShapes())
    found = wrapped.analysis(lambda graph: inference_cost(graph, discount_sparsity=False, cost_breakdown=True))
    return {name: int(compute_bops_and_macs(cost)[1]) for name, cost in found["node_cost"].items()}
