"""What layers work on, as read from graphs: geometry, weights without their zero point, the range of x."""

import numpy as np

import adderhw
from adderhw.cost.operands import operands_of


def test_every_layer_with_taps_of_the_shipped_network_has_operands_that_give_its_taps():
    graph = adderhw.load().graph
    found = operands_of(graph)
    works = {work.name: work for work in graph.work() if work.taps}
    assert found.keys() == works.keys()
    for name, operands in found.items():
        outputs, *kernel = operands.weight.shape
        assert works[name].output_shape[0] == outputs
        assert works[name].reduction == np.prod(kernel)
        assert operands.input_shape[0] == kernel[0] * operands.groups
        low, high = operands.input_ends
        assert low <= 0 <= high
