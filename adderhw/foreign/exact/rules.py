"""What the handler of an op honours: attributes, numbers of inputs and outputs, and versions of its opset."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

ANY = object()  # the handler reads the attribute, whatever its value


class Only(tuple):
    """The values of an attribute that change nothing, and so are all that is taken."""

    def __new__(cls, *values):
        """Only of the values."""
        return super().__new__(cls, values)


class Rule(NamedTuple):
    """handler(builder, node) adds the node's steps to the builder, or refuses it.

    attributes: name → ANY, or the values that are taken (Only). inputs, outputs: the least and the most that the
    handler reads, trailing ones that are left out not counted. opset: the least version of the domain.
    """

    handler: Callable
    attributes: Mapping[str, Any] = {}
    inputs: tuple[int, int] = (1, 1)
    outputs: tuple[int, int] = (1, 1)
    opset: int = 1

    def check(self, node, builder):
        """Refuses a node whose attributes, inputs or opset the handler does not honour."""
        for name, value in node.attributes.items():
            taken = self.attributes.get(name, Only())
            if taken is not ANY and value not in taken:
                expected = f"expected {' or '.join(map(repr, taken))}" if taken else "which is not known here"
                builder.refuse(node, f"has attribute {name} = {value!r}, {expected}")
        for what, names, (least, most) in (
            ("inputs", node.inputs, self.inputs), ("outputs", node.outputs, self.outputs),
        ):  # fmt: skip
            count = max((i + 1 for i, name in enumerate(names) if name), default=0)
            if not least <= count <= most:
                builder.refuse(node, f"has {count} {what}, where {_span(least, most)} are known here")
        version = builder.opset(node.domain)
        if version < self.opset:
            builder.refuse(node, f"is of opset {version}, which is not simulated here (from {self.opset} on it is)")


def _span(least, most):
    return str(least) if least == most else f"{least} to {most}"
