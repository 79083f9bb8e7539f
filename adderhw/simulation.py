"""The Python API: load an integer model, run it on arrays, simulate it on a data set with tallies and energies."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from adderhw.cost.accelerator import load_accelerator
from adderhw.cost.baselines import ANN
from adderhw.cost.cnn_weights import cnn_weights
from adderhw.cost.energy import load_table
from adderhw.cost.operands import operands_of
from adderhw.errors import AdderHwError, ModelError
from adderhw.files import file_digest
from adderhw.foreign.repricing import own_network
from adderhw.foreign.run import Running
from adderhw.foreign.tally import (
    ForeignModel,
    check_as,
    foreign_document,
    is_foreign,
    load_foreign,
    repriced_document,
)
from adderhw.graph import Graph
from adderhw.hardware.areas import DEFAULT_LIBRARY
from adderhw.hardware.areas import load_table as load_area_table
from adderhw.inference import accuracy, infer, infer_on_cluster, layer_results
from adderhw.kernels import Accumulator
from adderhw.onnx_reader import load_proto, read_graph
from adderhw.ops.base import DOMAIN_VERSION
from adderhw.plan import Plan
from adderhw.report.document import OWN_WEIGHTS, build_document
from adderhw.report.reader import read_earlier, read_sqnr
from adderhw.samples import check_data, open_samples

DEFAULT_TABLES = ("horowitz45", "qtools45")
SHIPPED_MODEL = Path(__file__).parent / "models" / "digits_int8.onnx"
OVERFLOWS = ("wrap", "saturate")


@dataclass(frozen=True)
class Model:
    """An integer model as read from a file: its Graph, path and SHA-256."""

    graph: Graph
    path: Path
    sha256: str

    def run(self, x, *, path=None):
        """The first output for the batch `x` (N, …) in ONNX layout, of the input's dtype."""
        outputs = Plan(self.graph, path=path).run({self.graph.inputs[0].name: x})
        return outputs[self.graph.outputs[0]]


def open_model(path):
    """The Model in the ONNX file `path`, or the ForeignModel where no op in it is this toolkit's."""
    proto = load_proto(path)
    try:
        return model_in(proto, path)
    except ModelError:
        if not is_foreign(proto):
            raise
        return load_foreign(path, proto)


def load(path=SHIPPED_MODEL):
    """The Model in the integer ONNX file `path` (default: the digits network that ships). Raises ModelError."""
    return model_in(load_proto(path), path)


def model_in(proto, path):
    """The Model of the ModelProto that the file `path` holds; raises ModelError."""
    return Model(read_graph(path, proto), Path(path), file_digest(path))


def simulate(
    model=SHIPPED_MODEL,
    *,
    data=None,
    split="test",
    limit=None,
    leave_out=None,
    batch_size=128,
    threads=None,
    path=None,
    energy=DEFAULT_TABLES,
    cnn=None,
    accelerator=None,
    area=DEFAULT_LIBRARY,
    sqnr=None,
    earlier=(),
    check=None,
    trace=None,
    accumulator_bits=0,
    overflow="wrap",
    accumulate_all=False,
    max_memory=None,
    arithmetic=None,
    bits=None,
    progress=None,
    scheduler=None,
    command=None,
):
    """Runs `model` (a path or a Model) on `data` and returns the schema 3 document (docs/energy.md) as a dict.

    A file without ops of this toolkit is simulated where its integers are determined and `data` is given; else it is
    tallied and priced only, and the document says why. So is a topology that `arithmetic` ('adder', 'cnn' or 'bnn')
    prices with other layers. bits: width of the integer networks beside a float file's, None for 8.

    data: a data set's name or a .npy/.npz file; None: digits, and no run of a file of other tools. split, limit: which
    of its images; leave_out: an .npz whose array named as the split has indices of images not to take.
    batch_size: images per call.
    threads: None for all cores; results do not depend on it. path: kernel path ('vnni', 'avx512', 'avx2', 'portable').
    energy: names or paths of energy tables. cnn: ONNX file of a CNN of the same topology, whose weights the
    hard-wired CNN of the comparison takes instead of this network's.
    accelerator: name or path of a described accelerator, whose memory traffic is counted and priced too.
    area: name or .json file of a table of areas (see adderhw.synthesis).
    sqnr: JSON of `python -m quant compare` with this model, whose noise by layer the document takes over.
    earlier: JSON documents of runs on the same data, for accuracy against energy.
    check: 'ort' compares every tensor with onnxruntime. trace: folder for every tensor as .npy.
    accumulator_bits, overflow: simulate adder accumulators of that width that 'wrap' or 'saturate' (0: wide enough);
    accumulate_all: also those of convolutions. max_memory: bytes for activations (see Plan).
    progress: called with (images done, images in all). scheduler: address of a Dask cluster that runs the images, with
    the same results. command: how to reproduce, for the report.
    Raises AdderHwError subclasses for everything that does not fit.
    """
    check_call(batch_size, threads, check, accumulator_bits, overflow)
    check_as(arithmetic, bits)
    model = model if isinstance(model, Model) else open_model(model)
    if scheduler and (check or trace or threads):
        raise AdderHwError(
            "scheduler: found --check, --trace or --threads with it, expected none: workers run the images"
        )
    tables = [load_table(table) for table in energy]
    described = load_accelerator(accelerator) if accelerator else None
    areas = load_area_table(area)
    options = {"arithmetic": arithmetic, "bits": bits, "tables": tables, "accelerator": described, "command": command}
    only_simulated = {"trace": trace, "cnn": cnn, "accumulator_bits": accumulator_bits or None, "sqnr": sqnr}
    only_simulated |= {"earlier": earlier, "scheduler": scheduler}
    if isinstance(model, ForeignModel):
        running = Running(data, split, limit, leave_out, batch_size, threads, check, progress)
        return foreign_document(model, running=running, refused=only_simulated, **options)
    if arithmetic:
        if data is not None:
            check_data(model.graph.inputs, model.graph.tensors[model.graph.outputs[0]].shape, data, split, limit)
        return repriced_document(model, refused={"check": check, "leave_out": leave_out, **only_simulated}, **options)
    if bits is not None:
        raise AdderHwError(f"bits: found {bits} for an integer model, expected none (the file states its widths)")
    operands, cnn_operands = layer_operands(model.graph, cnn)
    samples = open_samples(model.graph, data or "digits", split, limit, leave_out)
    model_section = describe(model)
    data_section = {"name": samples.name, "split": samples.split, "count": len(samples)}
    noise = read_sqnr(sqnr, model_section) if sqnr else (None, {})
    names = [table.name for table in tables]
    beside = [read_earlier(path, data=data_section, tables=names) for path in earlier]
    settings = {
        "path": path,
        "accumulator": Accumulator(accumulator_bits, overflow == "saturate"),
        "accumulate_all": accumulate_all,
        "max_memory": max_memory,
    }
    if scheduler:
        model_bytes = load_proto(model.path).SerializeToString()
        done = infer_on_cluster(scheduler, model_bytes, model.graph.name, samples, batch_size, settings, progress)
    else:
        done = infer(
            model.graph, samples, batch_size, threads or available_threads(), settings,
            check_path=model.path if check else None, trace=trace, progress=progress,
        )  # fmt: skip
    layers, network = own_network(
        layer_results(model.graph, done, operands, cnn_operands), unstated=not model.graph.formats
    )
    return build_document(
        model=model_section,
        data=data_section,
        accuracy=accuracy(done.logits, samples.labels),
        layers=layers,
        network=network,
        tables=tables,
        timing=done.timing,
        check=done.check,
        command=command,
        cnn_source=f"the weights of {cnn}, rounded to the weights' width" if cnn else OWN_WEIGHTS,
        accelerator=described,
        areas=areas if network.name == ANN.name else None,
        saturate=overflow == "saturate",
        sqnr=noise,
        earlier=beside,
    )


def describe(model):
    """The document's `model` of a Model."""
    return {
        "path": str(model.path),
        "name": model.graph.name,
        "sha256": model.sha256,
        "domain_version": DOMAIN_VERSION,
        "parameters": model.graph.parameter_count,
    }


def layer_operands(graph, cnn=None):
    """({node name: Operands}, the same with the weights of the CNN in the file `cnn`, empty without one)."""
    operands = operands_of(graph)
    if cnn is None:
        return operands, {}
    bits = {work.name: work.weight_bits for work in graph.work()}
    weights = cnn_weights(cnn, {name: (known, bits[name]) for name, known in operands.items()})
    return operands, {name: replace(known, weight=weights[name]) for name, known in operands.items()}


def check_call(batch_size, threads, check, accumulator_bits, overflow):
    """Raises AdderHwError for an argument out of its range."""
    if batch_size < 1:
        raise AdderHwError(f"batch size: found {batch_size}, expected at least 1")
    if threads is not None and not 1 <= threads <= available_threads():
        raise AdderHwError(f"threads: found {threads}, expected 1 to {available_threads()}")
    if check not in (None, "ort"):
        raise AdderHwError(f"check: found {check!r}, expected 'ort'")
    if not 0 <= accumulator_bits <= 63 or accumulator_bits == 1:
        raise AdderHwError(f"accumulator bits: found {accumulator_bits}, expected 2 to 63, or 0 for wide enough")
    if overflow not in OVERFLOWS:
        raise AdderHwError(f"overflow: found {overflow!r}, expected one of {', '.join(OVERFLOWS)}")
    if check and accumulator_bits:
        raise AdderHwError(
            "check: found a narrowed accumulator, expected exact sums (onnxruntime has no such accumulator)"
        )


def available_threads():
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
