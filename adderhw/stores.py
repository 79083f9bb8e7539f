"""Which results of an integer network lie in memory between its layers, and how wide: for the memory's tallies."""

from adderhw.ops import BY_NAME

ON_GRIDS = ("Requantize", "QuantizeLinear")
KEEP_GRIDS = ("MaxPoolInteger", "Concat", "Gather", "Flatten", "Reshape")


def stored_widths(graph):
    """{node name: the fields input_bits or stored_bits of its LayerWork, where they say what lies in memory}.

    What these fields leave out is stored at the width of a layer's input. Sums that several Requantize nodes read are
    stored by each of them, by the one of fewest bits as the layer's output. An addition's second operand, the one that
    was made first, is read: it is stored beside an output, or is an output itself, requantised if need be when it is
    read, or is all that becomes of a layer's sums, which are then stored as wide as the addition takes them.
    """
    return _Stores(graph).fields


class _Stores:
    def __init__(self, graph):
        self.graph = graph
        self.makers = {node.output: node for node in graph.nodes}
        self.on_grids = _on_grids(graph)
        self.fields = {}
        requantising = {}
        for node in graph.nodes:
            if node.op == "Requantize" and node.inputs[0] not in self.on_grids:
                requantising.setdefault(node.inputs[0], []).append(node)
        for nodes in requantising.values():
            again = sorted(nodes, key=lambda node: graph.tensors[node.output].format.bits)[1:]
            self.fields |= {node.name: {"stored_bits": graph.tensors[node.output].format.bits} for node in again}
        beside, depths = set(self.fields), _depths(graph)
        self.stream = {node.name: max(node.inputs, key=depths.get) for node in graph.nodes if node.op == "Add"}
        for node in graph.nodes:
            if node.op == "Add":
                self._read(node, min(node.inputs, key=depths.get), beside)

    def _read(self, node, operand, beside):
        """`node` reads `operand` from memory; beside: names of the nodes that store something beside an output."""
        while self._requantised(operand) and self.makers[operand].inputs[0] in self.on_grids:
            operand = self.makers[operand].inputs[0]
        bits, layers = self.graph.tensors[operand].format.bits, self._layers_behind(operand)
        only = bool(layers) and self._for_additions_only(operand)
        if only:
            self.fields |= {layer: {"stored_bits": bits} for layer in layers}
        wide = only or (self._requantised(operand) and self.makers[operand].name in beside)
        self.fields[node.name] = {"stored_bits" if wide else "input_bits": bits}

    def _layers_behind(self, name):
        """Names of the layers with taps whose sums `name` is made of, on the stream."""
        found, seen, names = set(), set(), [name]
        while names:
            maker = self.makers.get(names.pop())
            if maker is None or maker.name in seen:
                continue
            seen.add(maker.name)
            if BY_NAME[maker.op].sums:
                found.add(maker.name)
            else:
                names += [self.stream[maker.name]] if maker.op == "Add" else maker.inputs
        return found

    def _for_additions_only(self, name):
        """Whether additions alone read what becomes of a layer's sums, or `name` is such sums as they are."""
        if not self._requantised(name):
            return name not in self.on_grids
        readers = self.graph.consumers[name]
        return len(self.graph.consumers[self.makers[name].inputs[0]]) == 1 and all(node.op == "Add" for node in readers)

    def _requantised(self, name):
        return name in self.makers and self.makers[name].op == "Requantize"


def _on_grids(graph):
    """Names of the tensors that hold integers of a grid, which layers read, and not sums."""
    found = {tensor.name for tensor in graph.inputs}
    for node in graph.nodes:
        kept = node.op in KEEP_GRIDS and found.issuperset(set(node.inputs) - graph.parameters.keys())
        if node.op in ON_GRIDS or kept:
            found.add(node.output)
    return found


def _depths(graph):
    """{tensor name: position among the nodes of the last layer with taps that it depends on, −1 where on none}."""
    found = dict.fromkeys([*graph.parameters, *(tensor.name for tensor in graph.inputs)], -1)
    for position, node in enumerate(graph.nodes):
        before = max(found[name] for name in node.inputs if name)
        found[node.output] = position if BY_NAME[node.op].sums else before
    return found
