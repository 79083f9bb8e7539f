"""Which ops of a float graph are layers that multiply or add, pools, or mere carriers of a grid."""

MULTIPLYING = ("Conv", "Gemm", "MatMul")
ADDING = ("AdderConv", "AdderGemm")
LAYERS = (*MULTIPLYING, *ADDING)
POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean")
# Ops that only carry a tensor's grid on to the next layer.
CARRIERS = ("MaxPool", "Flatten", "Reshape")


def edge_layers(nodes):
    """Names of the first and the last layer, where they multiply."""
    layers = [node for node in nodes if node.op in LAYERS]
    ends = (layers[0], layers[-1]) if layers else ()
    return {node.name for node in ends if node.op in MULTIPLYING}
