"""The document of a network of other tools, or of a topology with other arithmetic than the file's."""

from dataclasses import dataclass
from pathlib import Path

from adderhw.annotations import FORMATS_KEY
from adderhw.cost.operands import operands_of
from adderhw.errors import AdderHwError, ModelError
from adderhw.files import file_digest
from adderhw.foreign.exact import exact_network, inputs_of
from adderhw.foreign.graph import ForeignGraph, foreign_graph
from adderhw.foreign.integers import InexactError
from adderhw.foreign.parameters import parameter_count
from adderhw.foreign.repricing import NETWORKS, network_of, own_topology, priced_as, topology, whole_weights
from adderhw.foreign.run import run_exact
from adderhw.onnx_reader import load_proto
from adderhw.ops.base import DOMAIN, DOMAIN_VERSION
from adderhw.report.document import build_document
from adderhw.samples import check_data

NOTHING_RAN = {
    "data": {"name": "none", "split": None, "count": 0},
    "accuracy": None,
    "timing": {"threads": 0, "images": 0, "seconds": 0.0, "images_per_second": 0.0, "compile_seconds": 0.0},
    "check": None,
}
DETERMINED = "no --data was given; the network's integers are determined and can be simulated"
OTHER_ARITHMETIC = "its topology is priced with other arithmetic than the file's"


@dataclass(frozen=True)
class ForeignModel:
    """A model of other tools as read from a file."""

    graph: ForeignGraph
    path: Path
    sha256: str


def is_foreign(proto):
    """Whether a ModelProto holds no op of this toolkit's domain."""
    return not any(node.domain == DOMAIN for node in proto.graph.node)


def check_inlined(proto):
    """Raises ModelError for an integer model of this toolkit whose functions a tool has inlined."""
    if any(entry.key == FORMATS_KEY for entry in proto.metadata_props):
        raise ModelError(
            f"model: found the metadata {FORMATS_KEY} of an integer model of this toolkit, no op of domain {DOMAIN}: "
            "its functions were inlined by another tool, expected the file as it was before"
        )


def load_foreign(path, proto=None):
    """The ForeignModel in the ONNX file `path`, or of its ModelProto; raises ModelError, naming the file."""
    try:
        proto = load_proto(path) if proto is None else proto
        check_inlined(proto)
        graph = foreign_graph(proto, Path(path).stem)
    except AdderHwError as error:
        where = "" if str(error).startswith(str(path)) else f"{path}: "
        raise type(error)(f"{where}{error}") from None
    return ForeignModel(graph, Path(path), file_digest(path))


def check_as(name, bits):
    """Raises AdderHwError for an unknown arithmetic or a width out of range."""
    if name is not None and name not in NETWORKS:
        raise AdderHwError(f"as: found {name!r}, expected one of {', '.join(NETWORKS)}")
    if bits is not None and not 2 <= bits <= 16:
        raise AdderHwError(f"bits: found {bits}, expected 2 to 16")


def refuse(reason, options):
    """Raises AdderHwError where an option asks for what the run does not give."""
    for name, value in options.items():
        if value:
            raise AdderHwError(f"{name}: found {value!r}, expected none here: {reason}")


def foreign_document(model, *, arithmetic, bits, tables, accelerator, command, running, refused):
    """The document of a ForeignModel, in the arithmetic called `arithmetic` (None: its own).

    running: the Running of a simulation, made where the integers are determined and data is given. refused: options
    that no network of other tools takes, by name.
    """
    layers, integer = topology(model.graph, bits)
    refuse("the model is not one of this toolkit", refused)
    reason, ran = tally_reason(model, arithmetic, running)
    described = {"path": str(model.path), "name": model.graph.name, "sha256": model.sha256, "domain_version": 0}
    described["parameters"] = parameter_count(model.graph, layers)
    if reason:
        refuse(f"a tally only ({reason})", {"check": running.check, "leave_out": running.leave_out})
    if reason and running.data is not None:
        classes = model.graph.shapes[model.graph.outputs[0]]
        check_data(inputs_of(model.graph), classes, running.data, running.split, running.limit)
    return _document(layers, integer, arithmetic, bits, reason, described, tables, accelerator, command, ran)


def tally_reason(model, arithmetic, running):
    """(why only a tally is made, None) or (None, what run_exact gives)."""
    if arithmetic:
        return OTHER_ARITHMETIC, None
    try:
        if running.data is None:
            exact_network(model.graph, 1)
            return DETERMINED, None
        return None, run_exact(model.graph, running)
    except InexactError as error:
        return str(error), None


def repriced_document(model, *, arithmetic, bits, tables, accelerator, command, refused):
    """The document of a Model of this toolkit whose adder layers have the arithmetic called `arithmetic`."""
    if bits is not None:
        raise AdderHwError(f"bits: found {bits} for an integer model, expected none (the file states its widths)")
    refuse(f"a tally only ({OTHER_ARITHMETIC})", refused)
    layers = own_topology(model.graph.work(), operands_of(model.graph))
    described = {"path": str(model.path), "name": model.graph.name, "sha256": model.sha256}
    described |= {"domain_version": DOMAIN_VERSION, "parameters": model.graph.parameter_count}
    return _document(
        layers, layers, arithmetic, None, OTHER_ARITHMETIC, described, tables, accelerator, command, None,
        unstated=not model.graph.formats,
    )  # fmt: skip


def _document(
    layers, integer, arithmetic, bits, reason, described, tables, accelerator, command, ran, unstated=False
):  # fmt: skip
    results, name, title = priced_as(layers, integer, arithmetic)
    floating = integer is not layers
    return build_document(
        model=described,
        **(ran or NOTHING_RAN),
        layers=results,
        tables=tables,
        command=command,
        accelerator=accelerator,
        network=network_of(
            name,
            title,
            repriced=arithmetic,
            floating=floating,
            bits=bits,
            tally_only=reason,
            whole=whole_weights(layers),
            unstated=unstated,
            adder=any(layer.work.kind == "adder" for layer in layers),
        ),
    )
