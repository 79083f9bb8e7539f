"""Which arithmetic a topology is priced with (--as), and which others stand beside it."""

from dataclasses import replace

from adderhw.cost.baselines import ANN, BASELINES, BNN, CNN, FLOAT16, FLOAT32, HARD_WIRED, assumptions_over
from adderhw.errors import AdderHwError
from adderhw.foreign.network import Layer, count_network, is_float, with_inner
from adderhw.report.document import LayerResult, Network

NETWORKS = {"adder": ANN, "cnn": CNN, "bnn": BNN}
FLOATS = {"float32": FLOAT32, "float16": FLOAT16}
DEFAULT_BITS = 8
_FILE = (
    "The operations of the file itself. Rivals have other layers in place of every convolution and linear layer but "
    "the first and the last."
)
_FLOAT = (
    " Integer rivals have {bits}-bit activations and weights: behind each layer a multiplication by a 14-bit constant, "
    "an addition, a shift and a clip, as python -m quant makes them."
)
_WHOLE = (
    " Every weight is a whole number held in a float, as some tools write integer networks; it is priced as the float "
    "that the file states."
)
UNSTATED = (
    "The file states no formats (no quantization annotations, no metadata adderhw.formats; some tools drop both): "
    "numbers are priced at the widths of their stored types, 8 or 16 bits, whatever they were quantised to."
)
_REPRICED = "Not the file's network but its topology as {title}: {words}"


def priced_as(layers, integer, name):
    """([LayerResult], Network) of the topology `layers` with the arithmetic called `name`; None: as it is.

    integer: the layers that integer arithmetic is rewritten from: `layers`, or a float network's at stated width.
    """
    floating = integer is not layers
    if name is None:
        own, title = float_title(layers) if floating else (CNN.name, CNN.title)
        results = [
            LayerResult(layer.work, operands=layer.operands, integer=as_integers.work)
            for layer, as_integers in zip(layers, integer, strict=True)
        ]
        return results, own, title
    if not any(layer.work.rewritten for layer in integer):
        taps = sum(bool(layer.work.taps) for layer in integer)
        raise AdderHwError(
            f"as: found {taps} layer(s) with weights, of which the first and the last are kept, expected one between "
            f"them to rewrite as {NETWORKS[name].title}"
        )
    baseline = NETWORKS[name]
    works = baseline.layers([layer.work for layer in integer], [layer.operands for layer in integer])
    results = [
        LayerResult(replace(work, inner=layer.work.rewritten), operands=layer.operands, integer=layer.work)
        for work, layer in zip(works, integer, strict=True)
    ]
    return results, baseline.name, baseline.title


def float_title(layers):
    """(name, title) of a network that multiplies floats, by their type."""
    types = sorted({layer.floats for layer in layers if layer.floats})
    known = FLOATS.get(types[0]) if len(types) == 1 else None
    return (known.name, known.title) if known else ("float", f"CNN, {' and '.join(types)}")


def whole_weights(layers):
    """Whether the network multiplies floats and every weight that it multiplies by is a whole number."""
    return all(layer.whole for layer in layers if layer.floats) and any(layer.floats for layer in layers)


def rivals_of(name):
    """The Baselines that stand beside a network called `name`: every programmable one but itself."""
    return tuple(rival for rival in (ANN, *BASELINES) if rival.weights != HARD_WIRED and rival.name != name)


def topology(graph, bits):
    """(layers, integer layers) of a ForeignGraph; the same list twice where the file is an integer network.

    bits: width of the integer layers of a float network, None for DEFAULT_BITS. Raises AdderHwError where it is given
    for an integer network, whose widths the file states.
    """
    layers = count_network(graph)
    if not is_float(layers):
        if bits is not None:
            raise AdderHwError(f"bits: found {bits} for an integer model, expected none (the file states its widths)")
        return layers, layers
    return layers, count_network(graph, bits or DEFAULT_BITS)


def own_topology(works, operands):
    """The layers of a Graph of this toolkit: every adder layer is one that rivals rewrite.

    A network without any is a CNN: there it is every layer of taps but the first and the last.
    """
    layers = [Layer(work, operands.get(work.name)) for work in works]
    return layers if any(layer.work.kind == "adder" for layer in layers) else with_inner(layers)


def own_network(results, unstated):
    """(results, Network) of a run of this toolkit's model: an adder network, or a CNN where it has no adder layer.

    unstated: whether the file states no formats.
    """
    if any(result.work.kind == "adder" for result in results):
        return results, Network(assumptions=UNSTATED if unstated else None)
    operands = {result.work.name: result.operands for result in results}
    works = [layer.work for layer in own_topology([result.work for result in results], operands)]
    results = [replace(result, work=work) for result, work in zip(results, works, strict=True)]
    return results, network_of(
        CNN.name, CNN.title, repriced=None, floating=False, bits=None, tally_only=None, unstated=unstated
    )


def network_of(name, title, *, repriced, floating, bits, tally_only, whole=False, unstated=False, adder=False):
    """The Network of a document, with its assumptions in words.

    whole: see whole_weights. unstated: see own_network. adder: whether the file has adder layers.
    """
    text = _repriced_words(NETWORKS[repriced], adder) if repriced else _FILE + _WHOLE * whole
    if floating:
        text += _FLOAT.format(bits=bits or DEFAULT_BITS)
    if unstated:
        text += f" {UNSTATED}"
    return Network(name, title, text, rivals_of(name), tally_only)


def _repriced_words(baseline, adder):
    """What the topology of a file is assumed to be, in words that follow whether it has adder layers or products."""
    if adder and baseline is ANN:
        return "The operations of the file itself, whose adder layers stay as they are."
    return _REPRICED.format(title=baseline.title, words=assumptions_over(baseline, adder))
