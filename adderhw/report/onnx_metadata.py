"""Writes a copy of the model whose nodes carry what the report says of them, where Netron shows it."""

from adderhw.errors import ModelError
from adderhw.files import write_atomic
from adderhw.onnx_reader import load_proto
from adderhw.report.figures import energy_text

PREFIX = "adderhw.report."
IR_VERSION = 10  # the first whose nodes have metadata


def write_annotated(document, path):
    """The document's model at `path`, its nodes with metadata; what they compute stays as it is.

    Each node gets taps, events, energy by table, accumulator and, with an accelerator, memory, as text under
    'adderhw.report.…'. Raises ModelError where the model is no longer the one that ran, AdderHwError when not writable.
    """
    model = load_proto(document["model"]["path"])
    layers = {layer["name"]: layer for layer in document["layers"]}
    model.ir_version = max(model.ir_version, IR_VERSION)
    for node in model.graph.node:
        layer = layers.get(node.name or node.output[0])
        if layer is None:
            raise ModelError(f"{document['model']['path']}: found node {node.name!r}, expected the nodes of the run")
        kept = [entry for entry in node.metadata_props if not entry.key.startswith(PREFIX)]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
        for key, value in metadata_of(layer).items():
            node.metadata_props.add(key=PREFIX + key, value=value)
    write_atomic(path, model.SerializeToString())


def metadata_of(layer):
    """{key: text} of one of the document's layers; a layer that does nothing has its energies alone."""
    found = {f"energy.{table}": energy_text(picojoule) for table, picojoule in layer["energy_pj"].items()}
    if layer["events"]:
        found["events"] = ", ".join(f"{event} {count:,}" for event, count in layer["events"].items())
    if layer["taps"]:
        found["taps"] = f"{layer['taps']:,}"
    if layer["accumulator"]:
        seen = layer["accumulator"]
        found["accumulator"] = f"{seen['observed_bits']} of {layer['bits']['accumulator']} bit observed"
    if layer["memory"]:
        for level, picojoule in layer["memory"]["energy_pj"].items():
            found[f"memory.{level}"] = energy_text(picojoule)
    return found
