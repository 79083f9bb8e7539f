"""Runs the integer nodes of a lowering in the making, on some images, as far as it has come."""

import numpy as np

from adderhw.kernels import Program, choose_path
from adderhw.layouts import channels_last_shape
from adderhw.ops import BY_NAME
from adderhw.ops.base import RunOptions
from adderhw.plan import stats_size


class Stepwise:
    """Images on their way through the nodes that a Builder has emitted so far; computed in the thread that calls.

    images: what the network's input takes, (N, …). arrays: tensor name → (N, …) as the kernels hold it, NHWC.
    """

    def __init__(self, builder, images):
        self.builder, self.images = builder, images
        self.options = RunOptions(choose_path(None))
        self.restart()

    def restart(self):
        """Forgets everything but the images: the next advance begins with the first node."""
        self.arrays, self.done = {self.builder.inputs[0].name: self.images}, 0

    def branch(self, builder):
        """The same images, as far as they are, on the way through a copy of the builder."""
        other = Stepwise(builder, self.images)
        other.arrays, other.done = dict(self.arrays), self.done
        return other

    def advance(self, kept):
        """Runs the nodes emitted since; of what was computed, only the tensors `kept` stay."""
        nodes = self.builder.nodes[self.done :]
        last = {name: at for at, node in enumerate(nodes) for name in node.inputs}
        for at, node in enumerate(nodes):
            self.arrays[node.output] = self.run(node)
            for name in {*node.inputs, node.output}:
                if last.get(name, at) == at and name not in kept:
                    self.arrays.pop(name, None)
        self.arrays = {name: array for name, array in self.arrays.items() if name in kept}
        self.done = len(self.builder.nodes)

    def run(self, node):
        """The output of one node."""
        args, out = self.builder.args(node), self.builder.tensors[node.output]
        bind = BY_NAME[node.op].compile(node, args, out, self.options)
        inputs = [self.arrays[arg.name] for arg in args if arg is not None and arg.value is None]
        target = np.empty((len(self.images), *channels_last_shape(out.shape[1:])), out.dtype)
        Program([bind(inputs, target, 1, np.zeros((1, stats_size(node)), np.int64))]).run()
        return target

    @property
    def held(self):
        """Bytes of the tensors that are kept, without the images."""
        return sum(array.nbytes for array in self.arrays.values() if array is not self.images)
