"""Runs a sweep: the points that the store lacks, on processes of this machine or on a cluster."""

import hashlib
from dataclasses import replace

import numpy as np

from adderhw.cluster import on_cluster
from adderhw.cost.accelerator import load_accelerator
from adderhw.cost.energy import load_table
from adderhw.cost.memory_table import load_memory_table
from adderhw.json_files import fits
from adderhw.processes import on_processes
from adderhw.samples import Samples, open_samples
from quant.float_graph import read_float_graph
from quant.sweep_config import NO_ACCELERATOR, Point
from quant.sweep_point import Job, measure

SCHEMA = 1
POINT = {"bits": int, "realisation": str, "accumulator": str, "accelerator": str, "energy": str}
KEY = {"point": POINT, "prices": [str]}
FIGURES = {
    "correct": (int, None), "count": int, "arithmetic_pj": float, "multiplications": int,
    "accumulator_bits": ([int], None), "overflows": int, "cnn_over_ann": (float, None), "outputs": str,
    "memory": ({"cycles": int, "low_pj": float, "high_pj": float}, None),
}  # fmt: skip


def job_of(sweep):
    """The Job of a Sweep, its model and images read; raises AdderHwError for what does not fit."""
    graph = read_float_graph(sweep.model)
    calibration = open_samples(graph, sweep.calibrate, "train", None)
    chosen = np.linspace(0, len(calibration) - 1, min(sweep.samples, len(calibration))).astype(np.int64)
    images = np.ascontiguousarray(replace(calibration, values=calibration.values[chosen]).batch(0, len(chosen)))
    tested = open_samples(graph, sweep.data, sweep.split, sweep.limit)
    samples = Samples(tested.name, tested.split, np.asarray(tested.values), tested.labels)
    model = sweep.model.read_bytes()
    digest = digest_of(model, images.tobytes(), samples.values.tobytes(), repr(samples.labels is None).encode())
    if samples.labels is not None:
        digest = digest_of(digest.encode(), samples.labels.tobytes())
    return Job(
        digest_of(digest.encode(), repr(sorted(sweep.settings.items())).encode()),
        model,
        images,
        samples,
        sweep.settings,
        {name: load_table(name) for name in sweep.axes["energy"]},
        {name: load_accelerator(name) for name in sweep.axes["accelerator"] if name != NO_ACCELERATOR},
    )


def header_of(sweep, job):
    """The store's first line: what every record depends on besides its own point and prices."""
    return {
        "schema": SCHEMA,
        "kind": "sweep",
        "job": job.digest,
        "data": f"{job.samples.name} {job.samples.split or ''}".strip(),
        "images": len(job.samples),
        "settings": sweep.settings,
    }


def run(sweep, job, store, *, workers=1, scheduler=None, progress=None):
    """Measures what the store lacks and returns the sweep's records, in the order of its points.

    store: quant.mixed_store.Store; each record is on the disk before the next is taken. workers: processes of this
    machine; scheduler: address of a Dask cluster that takes their place. progress: called with (points done, in all).
    """
    points, prices = sweep.points(), prices_of(job)
    for record in store.records:
        store.expect(is_record(record), record, "a point of a sweep")
    known = {key_of(record["point"], record["prices"]): record for record in store.records}
    lacking = [point for point in points if key_of(point._asdict(), prices_for(prices, point)) not in known]
    done = len(points) - len(lacking)
    tasks = [tuple(point) for point in lacking]
    if not tasks:
        results = ()
    elif scheduler:
        results = on_cluster(scheduler, measure, job, tasks)
    else:
        results = on_processes(min(workers, len(tasks)), measure, job, tasks)
    for index, record in results:
        record = {**record, "prices": prices_for(prices, lacking[index])}
        store.append(record)
        known[key_of(record["point"], record["prices"])] = record
        done += 1
        if progress:
            progress(done, len(points))
    return [known[key_of(point._asdict(), prices_for(prices, point))] for point in points]


def is_record(record):
    """Whether a record of the store is one that a sweep wrote: of a point with figures, or why it has none."""
    if fits(record, KEY | {"error": str}):
        return True
    whole = fits(record, KEY | FIGURES) and record["count"] > 0 and record["arithmetic_pj"] >= 0
    return whole and 0 <= (record["correct"] or 0) <= record["count"]


def prices_of(job):
    """{name: digest} of every table, accelerator and memory table: a record is of these very descriptions."""
    found = {name: digest_of(repr(table).encode()) for name, table in job.tables.items()}
    for name, accelerator in job.accelerators.items():
        memory = load_memory_table(accelerator.memory)
        found[name] = digest_of(repr(accelerator).encode(), repr(memory).encode())
    return found


def prices_for(prices, point):
    """The two of them that a Point depends on."""
    return [prices[point.energy], prices.get(point.accelerator, "")]


def key_of(point, prices):
    """What tells records apart."""
    return (*(point[name] for name in Point._fields), *prices)


def digest_of(*parts):
    """The first 16 hexadecimal digits of the SHA-256 of some bytes, each with its length."""
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little") + part)
    return found.hexdigest()[:16]
