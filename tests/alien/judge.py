"""Judges one ONNX file in a process of its own and prints a JSON line: `python -m tests.alien.judge FILE`."""

import contextlib
import io
import json
import re
import resource
import sys

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from adderhw.cli import main
from adderhw.errors import AdderHwError
from adderhw.foreign.check import ForeignCheck
from adderhw.foreign.exact import exact_network
from adderhw.foreign.integers import InexactError
from adderhw.foreign.network import count_network
from adderhw.foreign.tally import is_foreign, load_foreign
from tests.alien.counting import macs

IMAGES = 4
MEMORY = 8 << 30  # bytes of address space
OWN_OPS = re.compile(r"No Op registered for|No opset import")  # of a format that ONNX does not define: no fault


def judged(path, seed=0):
    """What the toolkit does with the file, as a dict of JSON values."""
    found = {"file": str(path)}
    code, words = command(path)
    found |= {"exit": code, "words": words, "invalid": invalid(path)}
    if code == 0:
        found |= inside(path, seed)
    return found


def command(path):
    """(exit code, last line of stderr) of the command line on the file."""
    errors, argv = io.StringIO(), sys.argv
    sys.argv = ["simulate", str(path)]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            main()
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    finally:
        sys.argv = argv
    return code, (errors.getvalue().strip().splitlines() or [""])[-1]


def invalid(path):
    """Why ONNX's checker or its shape inference does not take the file, or None; ops of other formats are none."""
    try:
        proto = onnx.load(str(path))
        onnx.checker.check_model(proto)
        onnx.shape_inference.infer_shapes(proto, strict_mode=True)
    except Exception as error:  # protobuf, checker, shape inference and files each raise their own
        reason = " ".join(str(error).split())
        return None if OWN_OPS.search(reason) else reason[:200]
    return None


def inside(path, seed):
    """MACs here and counted apart, and where the network is determined what other implementations say of it."""
    proto = onnx.load(str(path))
    if not is_foreign(proto):
        return {"own": True}
    model = load_foreign(path, proto)
    counted = sum(layer.work.taps for layer in count_network(model.graph))
    found = {"macs": counted, "macs_apart": macs(proto)}
    try:
        network = exact_network(model.graph, 1)
    except InexactError as error:
        return found | {"exact": False, "inexact": str(error)}
    return found | {"exact": True} | compared(proto, network, seed)


def compared(proto, network, seed):
    """Values and mismatches against onnxruntime on the file as it is, and against ONNX's reference implementation."""
    rng = np.random.default_rng(seed)
    feeds = {tensor.name: drawn(rng, (IMAGES, *tensor.shape[1:]), tensor.dtype) for tensor in network.inputs}
    tensors = network.run(feeds)
    result = {}
    try:
        check = ForeignCheck(proto, network, 1)
        check.compare(feeds, tensors)
        said = check.result()
        result |= {"values": said["values"], "mismatches": said["mismatches"]}
    except AdderHwError as error:
        result["no_onnxruntime"] = str(error)
    try:
        outputs = ReferenceEvaluator(proto).run(list(network.outputs), feeds)
    except Exception as error:  # each op of the reference implementation raises what it likes
        return result | {"no_reference": " ".join(str(error).split())[:200]}
    pairs = list(zip(network.outputs, outputs, strict=True))
    result["reference_values"] = sum(np.size(array) for _, array in pairs)
    result["reference_mismatches"] = sum(int(np.sum(tensors[name] != array)) for name, array in pairs)
    return result


def drawn(rng, shape, dtype):
    """Random numbers of the dtype: a normal distribution, or all codes."""
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 2, shape).astype(dtype)
    ends = np.iinfo(dtype)
    return rng.integers(max(ends.min, -128), min(ends.max, 255) + 1, shape).astype(dtype)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    print(json.dumps(judged(sys.argv[1])))
