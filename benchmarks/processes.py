"""Whole processes: CIFAR-10's test images from files to a report, the digits' second start, QONNX's executor.

    python -m benchmarks.processes

Needs ADDERHW_DATA with CIFAR-10 for the first row. Targets: 10,000 images with accuracy, tallies and JSON within 6 s
and 500 MB; the second start with the digits, 100 images, within 1.5 s. ResNet-18 takes no more memory for four times
as many JPEG files (needs adderhw[images]). QONNX (pip install adderhw[qonnx]) runs the
same integer network image by image, each custom op as its function body in onnxruntime, in a process that has loaded
it already; the ratio is of images per second, and its outputs are compared with ours.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import onnx
import onnxruntime
from PIL import Image

from adderhw import simulation
from adderhw.plan import Plan
from adderhw.simulation import load
from benchmarks.networks import adder_network
from benchmarks.timing import cpu_name, median_ratio, paired, print_table, write_json
from export.writer import write_graph

SHIPPED = Path(simulation.SHIPPED_MODEL).parent
JPEGS = (128, 512)  # 500×375, the usual size of ImageNet's
ANN20 = SHIPPED / "cifar10_ann20_int8.onnx"
MEASURED = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "MiB": peak, "code": done.returncode, "error": done.stderr[-500:]}))
"""


def measured(arguments, runs, data=None):
    """(median seconds, most MiB) of `runs` processes of adderhw.simulate, after one that is not counted.

    data: the folder of data sets, where it is another than ADDERHW_DATA. Python keeps its bytecode, as it does unless
    PYTHONDONTWRITEBYTECODE forbids it.
    """
    command = [sys.executable, "-c", MEASURED, sys.executable, "-m", "adderhw.simulate", *arguments]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    if data:
        environment["ADDERHW_DATA"] = data
    found = [json.loads(subprocess.check_output(command, env=environment)) for _ in range(runs + 1)]
    for each in found:
        if each["code"]:
            raise SystemExit(f"simulate {' '.join(arguments)}: {each['error']}")
    return median(each["seconds"] for each in found[1:]), max(each["MiB"] for each in found[1:])


def process_rows(runs):
    """A row for each kind of process; the first only where CIFAR-10 is."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = {"digits, 100 images, second start": (["--limit", "100"], 1.5, None)}
        if "ADDERHW_DATA" in os.environ:
            arguments = [str(ANN20), "--data", "cifar10", "--json", str(Path(folder) / "report.json")]
            jobs["ANN-20, 10,000 images, JSON"] = (arguments, 6.0, 500e6 / (1 << 20))
        rows = []
        for name, (arguments, most_seconds, most_memory) in jobs.items():
            seconds, peak = measured(arguments, runs)
            rows.append({"process": name, "runs": runs, "s": seconds, "at most s": most_seconds, "MiB": peak,
                         "at most MiB": "" if most_memory is None else round(most_memory)})  # fmt: skip
    return rows


def streaming_rows(runs):
    """A row for ResNet-18 on few and on four times as many JPEG files: memory must not grow with them."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        graph = replace(adder_network("resnet18"), metadata={"adderhw.preprocess": '{"mean": [128], "std": [64]}'})
        model = Path(folder) / "resnet18.onnx"
        write_graph(graph, model)
        classes = [Path(folder) / "imagenet" / "val" / f"n{label}" for label in range(4)]
        for each in classes:
            each.mkdir(parents=True)
        draw = np.random.default_rng(0)
        for index in range(max(JPEGS)):
            coarse = Image.fromarray(draw.integers(0, 256, (15, 20, 3)).astype(np.uint8))
            coarse.resize((500, 375)).save(classes[index % 4] / f"{index:04}.jpg", quality=90)
        for images in JPEGS:
            arguments = [str(model), "--data", "imagenet", "--batch-size", "32", "--limit", str(images)]
            seconds, peak = measured(arguments, runs, folder)
            rows.append({"network": "resnet18", "JPEG files": images, "runs": runs, "s": seconds, "MiB": peak})
    return rows


def qonnx_row(images, runs):
    """A row of QONNX's executor beside the simulator on ANN-20, one image at a time; checks that outputs are equal."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx

    graph = load(ANN20).graph
    name, output = graph.inputs[0].name, graph.outputs[0]
    plan, x = Plan(graph), np.random.default_rng(0).normal(size=(images, *graph.inputs[0].shape[1:])).astype(np.float32)
    model = onnx.load(ANN20)
    teach_qonnx(model)
    wrapped = ModelWrapper(for_one_image(model, graph))
    ours = plan.run({name: x})[output]
    theirs = np.concatenate([execute_onnx(wrapped, {name: image[None]})[output] for image in x])
    if not np.array_equal(ours, theirs):
        raise SystemExit("QONNX: found other outputs than the simulator's")
    singles = [x[at : at + 1] for at in range(images)]
    calls = [
        partial(each_of, singles, lambda image: plan.run({name: image})),
        partial(each_of, singles, lambda image: execute_onnx(wrapped, {name: image})),
    ]
    own, other = paired(calls, runs)
    return {"images": images, "simulator images/s": images / median(own), "QONNX images/s": images / median(other),
            "ratio": median_ratio(other, own)}  # fmt: skip


def teach_qonnx(model):
    """Gives QONNX every custom op of the model: its function body in onnxruntime, as QONNX runs ONNX's own ops."""
    from qonnx.custom_op.base import CustomOp
    from qonnx.custom_op.registry import add_op_to_domain

    def execute(self, context, graph):
        node = self.onnx_node
        values = {name: context[name] for name in node.input if name}
        inputs = [value_of(name, value) for name, value in values.items()]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
        body = onnx.helper.make_graph([node], node.op_type, inputs, outputs)
        single = onnx.helper.make_model(
            body, functions=model.functions, opset_imports=model.opset_import, ir_version=model.ir_version
        )
        session = onnxruntime.InferenceSession(single.SerializeToString(), providers=["CPUExecutionProvider"])
        context.update(zip(node.output, session.run(None, values), strict=True))

    methods = {"execute_node": execute}
    for name in ("get_nodeattr_types", "make_shape_compatible_op", "infer_node_datatype", "verify_node"):
        methods[name] = lambda self, *arguments: {}
    for function in model.functions:
        add_op_to_domain(function.domain, type(function.name, (CustomOp,), dict(methods)))


def value_of(name, value):
    """The ValueInfoProto of an array."""
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)


def each_of(images, call):
    """Calls it with every image."""
    for image in images:
        call(image)


def for_one_image(model, graph):
    """The model for batches of one image, the shape and type of every tensor of its Graph stated."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]
    ends = {*graph.outputs, *(tensor.name for tensor in graph.inputs)}
    for name, tensor in graph.tensors.items():
        value = graph.parameters.get(name)
        if value is None:
            value = np.empty((1, *tensor.shape[1:]), tensor.dtype)
        if name not in ends:
            model.graph.value_info.append(value_of(name, value))
    return model


def main():
    """Measures and prints each table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9, help="processes of each kind (default 9)")
    parser.add_argument("--qonnx-images", type=int, default=100, help="images for QONNX's executor (default 100)")
    parser.add_argument("--json", help="also write the rows to this file")
    arguments = parser.parse_args()
    print(f"{cpu_name()}, medians; memory is the most of all runs")
    result = {"cpu": cpu_name(), "processes": process_rows(arguments.runs)}
    print_table(result["processes"])
    result["streaming"] = streaming_rows(min(arguments.runs, 3))
    print_table(result["streaming"])
    if find_spec("qonnx"):
        result["qonnx"] = qonnx_row(arguments.qonnx_images, 1)
        print_table([result["qonnx"]])
    else:
        print("QONNX is not installed: not measured")
    write_json(arguments.json, result)


if __name__ == "__main__":
    main()
