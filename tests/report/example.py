"""A small network's results: a stem, two adder layers with their requantisation, and a classifier."""

import numpy as np

from adderhw.cost.accelerator import load_accelerator
from adderhw.cost.energy import load_table, table_names
from adderhw.cost.events import LayerWork, PaperCount, Tally, event
from adderhw.cost.operands import Operands
from adderhw.report.document import AccumulatorStats, LayerResult, build_document


def pointwise(reduction, outputs):
    """The Operands of a 1×1 layer; weights 0, 1, 3 and 255 in turn, the first and last of them ends of x."""
    weight = np.resize(np.array([0, 1, 3, 255], np.int64), (outputs, reduction, 1, 1))
    return Operands((reduction, 1, 1), weight, (0, 255))


def mac(name, op, reduction, outputs):
    taps = reduction * outputs
    events, paper = Tally({event("mul", 8): taps, event("add", 21): taps}), PaperCount(taps, taps)
    work = LayerWork(name, op, "mac", (outputs,), taps, reduction, outputs, 8, 8, 21, events, paper)
    return LayerResult(work, AccumulatorStats(21, 17, 100_000, 0), pointwise(reduction, outputs))


def adder(name, reduction, outputs, overflows=0):
    taps = reduction * outputs
    events = Tally({event("sub", 8): taps, event("abs", 9): taps, event("add", 16): taps})
    paper = PaperCount(add=2 * taps)
    work = LayerWork(
        name, "AdderConvInteger", "adder", (outputs, 1, 1), taps, reduction, outputs, 8, 8, 16, events, paper
    )
    return LayerResult(work, AccumulatorStats(16, 13, 8000, overflows), pointwise(reduction, outputs))


def requantise(name, outputs):
    events = Tally({event("mul", 18, 13): outputs, event("shift", 31): outputs, event("cmp", 31): 2 * outputs})
    return LayerResult(LayerWork(name, "Requantize", "other", (outputs,), 0, 0, outputs, 0, 0, 0, events, PaperCount()))


def layers():
    return [
        mac("stem", "ConvInteger", 27, 64),
        adder("block.adder1", 144, 64),
        requantise("block.requantise1", 64),
        adder("block.adder2", 144, 32, overflows=3),
        mac("classifier", "MatMulInteger", 32, 10),
    ]


def document(**changes):
    """The example's document; `changes` replace arguments of build_document."""
    arguments = {
        "model": {"path": "ann.onnx", "sha256": "0" * 64, "domain_version": 1, "parameters": 1234},
        "data": {"name": "digits", "split": "test", "count": 200},
        "accuracy": {"top1": 0.95, "top5": 1.0, "correct": 190, "count": 200},
        "layers": layers(),
        "tables": [load_table(name) for name in table_names()],
        "timing": {"threads": 2, "images": 200, "seconds": 0.5, "images_per_second": 400.0, "compile_seconds": 0.0},
        "check": {"backend": "onnxruntime", "images": 8, "values": 4096, "mismatches": 0},
        "command": "python -m adderhw.simulate ann.onnx",
    }
    return build_document(**{**arguments, **changes})


def full_document(**changes):
    """The example with an accelerator, a float reference and an earlier run: every section is filled."""
    names = [result.work.name for result in layers()]
    reference = {"path": "c.json", "float_model": "f.onnx", "float_sha256": "1" * 64, "data": "digits", "images": 8}
    before = {
        "path": "runs/four bits.onnx",
        "sha256": "2" * 64,
        **{"top1": 0.9, "top5": 1.0, "correct": 180, "count": 200},
        "energy_pj": dict.fromkeys(table_names(), 500.0),
    }
    given = {
        "accelerator": load_accelerator("eyeriss_like"),
        "sqnr": (reference, {name: 40.0 - 3 * at for at, name in enumerate(names)}),
        "earlier": [before],
    }
    return document(**{**given, **changes})
