"""Golden vectors: what goes into each adder layer and what must come out, as .npy and hex files with a manifest."""

import hashlib
import io
import json
import shutil

import numpy as np

from adderhw import rtl
from adderhw.errors import AdderHwError
from adderhw.files import new_folder
from adderhw.fixed import Format
from adderhw.hardware.elements import DEFAULT_LANES
from adderhw.hardware.hex_files import digit_codes, hex_text
from adderhw.hardware.layers import adder_layers
from adderhw.hardware.testbench import all_testbenches, layer_testbench, module_name
from adderhw.kernels import Accumulator, adder_conv, pack_adder_conv
from adderhw.plan import Plan
from adderhw.samples import batches, open_samples
from adderhw.simulation import check_call
from adderhw.trace import file_names

SCHEMA = 1
MANIFEST = "manifest.json"
BATCH = 64
ORDER = {
    "x": "N, C, H, W",
    "w": "O, C/groups, kh, kw",
    "m": "O",
    "m_digits": "O",
    "c": "O",
    "n": "O",
    "accumulators": "N, O, H', W'",
    "overflows": "N, O, H', W'",
    "outputs": "N, O, H', W'",
}


def write_vectors(
    model,
    folder,
    *,
    data="digits",
    split="test",
    limit=None,
    layers=None,
    accumulator_bits=0,
    overflow="wrap",
    lanes=DEFAULT_LANES,
):
    """Writes the vectors of `model` (a Model) on the first `limit` images of `data` and returns the manifest as a dict.

    folder: new or empty; it appears whole or not at all. layers: names of nodes, None for every adder layer.
    accumulator_bits, overflow: the adder layers' accumulators (0: as wide as the exact bound; 'wrap' or 'saturate').
    lanes: processing elements of the testbenches' arrays, at most.
    Raises AdderHwError subclasses for whatever does not fit.
    """
    check_call(BATCH, None, None, accumulator_bits, overflow)
    if lanes < 1:
        raise AdderHwError(f"lanes: found {lanes}, expected at least 1")
    saturate = overflow == "saturate"
    chosen = adder_layers(model.graph, layers, accumulator_bits, saturate)
    samples = open_samples(model.graph, data, split, limit)
    with new_folder(folder, "vectors") as partial:
        tensors, overflows = run_layers(model.graph, chosen, samples, Accumulator(accumulator_bits, saturate))
        manifest = {
            "schema": SCHEMA,
            "model": {"name": model.graph.name, "file": model.path.name, "sha256": model.sha256},
            "data": {"name": samples.name, "split": samples.split, "images": len(samples)},
            "hex": "one element a line in C order of the shape, two's complement of `bits` bits, for $readmemh",
            "layers": [
                write_layer(partial, f"layers/{name}", layer, tensors, overflows[layer.name], lanes)
                for layer, name in zip(chosen, layer_folders(chosen), strict=True)
            ],
        }
        folders = [entry["folder"] for entry in manifest["layers"]]
        (partial / "all_layers.sv").write_text(all_testbenches(folders), encoding="utf-8")
        (partial / "rtl").mkdir()
        for source in rtl.sources():
            shutil.copyfile(source, partial / "rtl" / source.name)
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def layer_folders(layers):
    """A folder name for each layer, safe on every file system."""
    return [name.removesuffix(".npy") for name in file_names([layer.name for layer in layers]).values()]


def run_layers(graph, layers, samples, accumulator):
    """(tensor name → array (N, …) of what the layers read and write on all samples, layer name → its overflows)."""
    wanted = {layer.x for layer in layers} | {layer.node.output for layer in layers}
    wanted |= {layer.requantise.node.output for layer in layers if layer.requantise}
    plan, parts = Plan(graph, accumulator=accumulator, keep_all=True), []
    for _, values in batches(samples, BATCH):
        inputs = {graph.inputs[0].name: values}
        tensors = {**inputs, **plan.run(inputs)}
        parts.append({name: tensors[name] for name in wanted})
    counts = {layer.name: int(plan.stats(layer.node)[-1]) for layer in layers}
    return {name: np.concatenate([part[name] for part in parts]) for name in wanted}, counts


def layer_arrays(layer, tensors):
    """Tensor → (array, Format): what write_layer writes for an AdderLayer."""
    images = len(tensors[layer.x])
    out_shape = (images, len(layer.weight), *layer.output_hw)
    arrays = {
        "x": (tensors[layer.x].reshape(images, *layer.shape), layer.operands),
        "w": (layer.weight, layer.operands),
        "accumulators": (tensors[layer.node.output].reshape(out_shape), Format(layer.accumulator_bits, False)),
    }
    if layer.narrow:
        arrays["overflows"] = (overflow_flags(layer, arrays["x"][0]), Format(1, False))
    if layer.requantise:
        constants, digits = layer.requantise.constants, layer.requantise.digits
        arrays["m"] = (constants.m, Format(layer.requantise.m_bits, True))
        arrays["c"] = (constants.c, Format(layer.requantise.c_bits, True))
        arrays["n"] = (constants.n, Format(6, False))
        arrays["outputs"] = (tensors[layer.requantise.node.output].reshape(out_shape), layer.requantise.output)
        if digits:
            codes = np.array([list(digit_codes(m, digits).to_bytes(digits, "little")) for m in constants.m], np.uint8)
            arrays["m_digits"] = (codes, Format(8, False))
    return arrays


def overflow_flags(layer, x):
    """uint8 (N, O, H', W'): 1 where the exact sum of the inputs x (N, C, H, W) does not fit the accumulator."""
    packed = pack_adder_conv(layer.weight, layer.geometry)
    sums = adder_conv(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), packed, layer.zero_point, out_dtype=np.int64)
    return (sums.transpose(0, 3, 1, 2) >> layer.accumulator_bits > 0).astype(np.uint8)


def write_layer(root, folder, layer, tensors, overflows, lanes):
    """Writes one layer's arrays and testbench below `root` and returns its entry of the manifest."""
    (root / folder).mkdir(parents=True)
    arrays = layer_arrays(layer, tensors)
    source = layer_testbench(layer, folder, len(tensors[layer.x]), lanes)
    (root / folder / "testbench.sv").write_text(source, encoding="utf-8")
    return {
        "name": layer.name,
        "op": layer.node.op,
        "folder": folder,
        "testbench": f"{folder}/testbench.sv",
        "module": module_name(folder),
        "strides": list(layer.geometry.strides),
        "pads": list(layer.geometry.pads),
        "dilations": list(layer.geometry.dilations),
        "groups": layer.geometry.groups,
        "x_zero_point": layer.zero_point,
        "accumulator": {
            "bits": layer.accumulator_bits,
            "bound_bits": layer.bound_bits,
            "overflow": "saturate" if layer.saturate else "wrap",
            "overflows": overflows,
        },
        "requantise": layer.requantise and describe(layer.requantise),
        "files": [write_array(root, folder, name, *arrays[name]) for name in ORDER if name in arrays],
    }


def describe(requantise):
    """A Requantisation's entry of the manifest."""
    return {
        "rounding": requantise.rounding.name.lower(),
        "qmin": requantise.constants.qmin,
        "qmax": requantise.constants.qmax,
        "realisation": requantise.node.attributes["realisation"],
        "product_bits": requantise.t_bits,
    }


def write_array(root, folder, name, array, fmt):
    """Writes an array as .npy and .hex and returns its entry of the manifest."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    per_line = fmt.bits
    values = array
    if name == "m_digits":  # one line holds the digits of one constant
        per_line, values = 8 * array.shape[1], [int.from_bytes(row.tobytes(), "little") for row in array]
        values = np.array(values, object)
    contents = {"npy": buffer.getvalue(), "hex": hex_text(values, per_line).encode()}
    entry = {"tensor": name, "shape": list(array.shape), "order": ORDER[name], "bits": per_line, "signed": fmt.signed}
    for suffix, data in contents.items():
        (root / folder / f"{name}.{suffix}").write_bytes(data)
        entry[suffix] = f"{folder}/{name}.{suffix}"
        entry[f"{suffix}_sha256"] = hashlib.sha256(data).hexdigest()
    return entry
