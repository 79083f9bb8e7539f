"""The document of a network of which only a tally is made: a foreign one, or a topology with other arithmetic."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from adderhw.errors import AdderHwError
from adderhw.foreign.graph import ForeignGraph, foreign_graph
from adderhw.foreign.repricing import NETWORKS, network_of, own_topology, priced_as, topology
from adderhw.onnx_reader import load_proto
from adderhw.ops.base import DOMAIN, DOMAIN_VERSION
from adderhw.report.document import build_document

NO_DATA = {"name": "none", "split": None, "count": 0}
NO_TIME = {"threads": 0, "images": 0, "seconds": 0.0, "images_per_second": 0.0, "compile_seconds": 0.0}
OTHER_ARITHMETIC = "its topology is priced with other arithmetic than the file's"


@dataclass(frozen=True)
class ForeignModel:
    """A model of other tools as read from a file. reason: why its integers are not simulated."""

    graph: ForeignGraph
    path: Path
    sha256: str
    reason: str


def is_foreign(proto):
    """Whether a ModelProto holds no op of this toolkit's domain."""
    return not any(node.domain == DOMAIN for node in proto.graph.node)


def load_foreign(path, reason):
    """The ForeignModel in the ONNX file `path`; raises ModelError, naming the file."""
    try:
        graph = foreign_graph(load_proto(path), Path(path).stem)
    except AdderHwError as error:
        where = "" if str(error).startswith(str(path)) else f"{path}: "
        raise type(error)(f"{where}{error}") from None
    return ForeignModel(graph, Path(path), hashlib.sha256(Path(path).read_bytes()).hexdigest(), reason)


def check_as(name, bits):
    """Raises AdderHwError for an unknown arithmetic or a width out of range."""
    if name is not None and name not in NETWORKS:
        raise AdderHwError(f"as: found {name!r}, expected one of {', '.join(NETWORKS)}")
    if bits is not None and not 2 <= bits <= 16:
        raise AdderHwError(f"bits: found {bits}, expected 2 to 16")


def refuse_simulation(reason, **options):
    """Raises AdderHwError where an option asks for what only a simulation gives."""
    for name, value in options.items():
        if value:
            raise AdderHwError(
                f"{name}: found {value!r} for a tally only ({reason}), expected a model that is simulated"
            )


def foreign_document(model, *, arithmetic, bits, tables, accelerator, command):
    """The document of a ForeignModel, in the arithmetic called `arithmetic` (None: its own)."""
    layers, integer = topology(model.graph, bits)
    reason = OTHER_ARITHMETIC if arithmetic else model.reason
    described = {"path": str(model.path), "name": model.graph.name, "sha256": model.sha256, "domain_version": 0}
    return _document(layers, integer, arithmetic, bits, reason, described, tables, accelerator, command)


def repriced_document(model, operands, *, arithmetic, bits, tables, accelerator, command):
    """The document of a Model of this toolkit whose adder layers have the arithmetic called `arithmetic`."""
    if bits is not None:
        raise AdderHwError(f"bits: found {bits} for an integer model, expected none (the file states its widths)")
    layers = own_topology(model.graph.work(), operands)
    described = {"path": str(model.path), "name": model.graph.name, "sha256": model.sha256}
    described["domain_version"] = DOMAIN_VERSION
    return _document(
        layers, layers, arithmetic, None, OTHER_ARITHMETIC, described, tables, accelerator, command,
        parameters=model.graph.parameter_count,
    )  # fmt: skip


def _document(layers, integer, arithmetic, bits, reason, described, tables, accelerator, command, parameters=None):
    results, name, title = priced_as(layers, integer, arithmetic)
    floating = integer is not layers
    count = sum(layer.parameters for layer in layers) if parameters is None else parameters
    return build_document(
        model={**described, "parameters": count},
        data=NO_DATA,
        accuracy=None,
        layers=results,
        tables=tables,
        timing=NO_TIME,
        check=None,
        command=command,
        accelerator=accelerator,
        network=network_of(name, title, repriced=arithmetic, floating=floating, bits=bits, tally_only=reason),
    )
