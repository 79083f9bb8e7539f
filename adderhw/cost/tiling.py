"""How a layer is cut to fit an accelerator's buffers, by the stated rule: channels first, then rows, then the order."""

from adderhw.cost.traffic import Layer, Mapping, dram_reads
from adderhw.errors import CostError

KIB_BITS = 8 * 1024


def layer_of(operands, output_hw):
    """The Layer of an Operands whose outputs are (P, Q)."""
    outputs, channels, *kernel = operands.weight.shape
    return Layer(
        outputs // operands.groups, channels, tuple(kernel), operands.input_shape[1:], tuple(output_hw),
        operands.strides, operands.pads[:2], operands.dilations, operands.groups,
    )  # fmt: skip


def choose_mapping(name, layer, words, accelerator):
    """The Mapping of a Layer on an Accelerator; words: bits stored for {activations, weights, partial_sums}.

    The block is the most output channels whose weights fit their buffer, the strip the most output rows whose image
    rows fit theirs; then first the strip, then the block shrinks until their sums fit. Of the two loop orders that with
    fewer bits from DRAM is taken, blocks outermost where both are equal. Raises CostError where one channel or row does
    not fit, naming the layer.
    """
    room = {operand: kib * KIB_BITS // words[operand] for operand, kib in accelerator.buffers_kib.items()}
    kernel_row = layer.kernel[1]
    filters = accelerator.weight_registers // kernel_row if accelerator.dataflow == "row_stationary" else 1
    _fits(name, accelerator, filters, f"a filter row of {kernel_row} weights", "a register for each")
    block = min(layer.outputs, room["weights"] // layer.reduction)
    _fits(name, accelerator, block, f"{layer.reduction} weights of an output channel", f"at most {room['weights']}")
    strip = _strip(layer, room["activations"])
    need = layer.channels * image_rows(layer, 1) * layer.image[1]
    _fits(name, accelerator, strip, f"{need} activations of an output row", f"at most {room['activations']}")
    row = layer.output[1]
    _fits(name, accelerator, room["partial_sums"] // row, f"{row} partial sums", f"at most {room['partial_sums']}")
    strip = min(strip, max(1, room["partial_sums"] // (row * block)))
    block = min(block, room["partial_sums"] // (row * strip))
    mapping = Mapping(accelerator.dataflow, accelerator.rows, accelerator.columns, filters, block, strip, True)
    orders = (mapping, mapping._replace(weights_outer=False))
    return min(orders, key=lambda order: _dram_bits(layer, order, words))


def image_rows(layer, rows):
    """At most so many image rows lie under `rows` output rows."""
    span = (rows - 1) * layer.stride[0] + (layer.kernel[0] - 1) * layer.dilation[0] + 1
    return min(layer.image[0], span)


def _strip(layer, room):
    """The most output rows whose image rows fit `room` activations, 0 where one does not."""
    sizes = range(1, layer.output[0] + 1)
    return max((n for n in sizes if layer.channels * image_rows(layer, n) * layer.image[1] <= room), default=0)


def _dram_bits(layer, mapping, words):
    activations, weights = dram_reads(layer, mapping)
    return activations * words["activations"] + weights * words["weights"]


def _fits(name, accelerator, count, found, expected):
    if count < 1:
        raise CostError(f"accelerator {accelerator.name}: layer {name}: found {found}, expected {expected}")
