"""Measures a point of a sweep: quantises, simulates and prices, from nothing but a job that can be sent anywhere."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import onnx

from adderhw.cost.accelerator import Accelerator
from adderhw.cost.energy import EnergyTable
from adderhw.cost.operands import operands_of
from adderhw.errors import AdderHwError
from adderhw.inference import accuracy, infer, layer_results
from adderhw.kernels import Accumulator
from adderhw.report.document import build_document
from adderhw.report.figures import multiplications
from adderhw.samples import Samples, normalised
from quant.convert import quantise
from quant.float_graph import graph_of
from quant.sweep_config import Point, accumulator_of, settings_of

BATCH = 128


@dataclass(frozen=True, eq=False)
class Job:
    """All that a sweep's points share. digest: of model, images and settings: two jobs of one digest measure alike.

    model: bytes of the float ONNX file. calibration: float32 (N, …) as the model takes them. samples: what the
    simulator runs, as stored. settings: fixed fields of Settings. tables, accelerators: by the name that points have.
    """

    digest: str
    model: bytes
    calibration: np.ndarray
    samples: Samples
    settings: dict
    tables: dict[str, EnergyTable]
    accelerators: dict[str, Accelerator]

    def __eq__(self, other):
        return self.digest == other.digest

    def __hash__(self):
        return hash(self.digest)


def measure(job, point):
    """The record of a Point: plain JSON values that depend on nothing but the job and the point.

    Energies are pJ an image. A point that cannot be (an accumulator that no such sum can have, a network that does not
    fit the accelerator, an operation without a price) has `error` in place of figures.
    """
    point = Point(*point)
    try:
        return {"point": point._asdict(), **figures(job, point)}
    except AdderHwError as error:
        return {"point": point._asdict(), "error": " ".join(str(error).split())}


def figures(job, point):
    """What was measured of a Point."""
    graph = quantised(job, settings_of(job.settings, point))
    done = simulated(job, settings_of(job.settings, point), accumulator_of(point))
    table, accelerator = job.tables[point.energy], job.accelerators.get(point.accelerator)
    document = build_document(
        model={"path": "", "sha256": "", "domain_version": 0, "parameters": graph.parameter_count},
        data={"name": job.samples.name, "split": job.samples.split, "count": len(job.samples)},
        accuracy=accuracy(done.logits, job.samples.labels),
        layers=layer_results(graph, done, operands_of(graph), {}),
        tables=[table],
        timing=done.timing,
        check=None,
        accelerator=accelerator,
    )
    totals, score, memory = document["totals"], document["accuracy"], document["memory"]
    return {
        "correct": score and score["correct"],
        "count": len(job.samples),
        "arithmetic_pj": totals["energy_pj"][table.name],
        "multiplications": multiplications(totals["events"]),
        "accumulator_bits": totals["accumulator_bits"],
        "overflows": sum(layer["accumulator"]["overflows"] for layer in document["layers"] if layer["accumulator"]),
        "cnn_over_ann": document["ratios"][table.name]["cnn_over_ann"],
        "memory": memory and moved(memory["networks"]["ann"]),
        "outputs": hashlib.sha256(np.ascontiguousarray(done.logits).tobytes()).hexdigest()[:16],
    }


def moved(network):
    """The cycles and the memory's pJ of a document's network, at both ends of DRAM's price."""
    energy = network["energy_pj"]
    chip = energy["registers"] + energy["buffer"]
    return {
        "cycles": network["cycles"],
        "low_pj": chip + energy["dram_low"],
        "high_pj": chip + energy["dram_high"],
    }


@lru_cache(maxsize=2)
def quantised(job, settings):
    """The integer Graph; neighbouring points share it."""
    return quantise(graph_of(onnx.load_model_from_string(job.model), "model"), job.calibration, settings)


@lru_cache(maxsize=2)
def simulated(job, settings, accumulator):
    """The Inference of (bits, overflow), on one thread."""
    bits, overflow = accumulator
    graph = quantised(job, settings)
    options = {"path": None, "accumulator": Accumulator(bits, overflow == "saturate"), "accumulate_all": False}
    return infer(graph, normalised(graph, job.samples), BATCH, 1, options)
