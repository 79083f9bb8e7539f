"""What is fuzzed: each kind of file that the project reads, and the command that reads it."""

import gzip
import os
from collections.abc import Callable
from typing import NamedTuple
from zlib import crc32

import numpy as np

from tests.fuzz import seeds
from tests.fuzz.hostile import OUTSIDE, move_outside, nest, prolong
from tests.fuzz.mutations import mutate_bytes, mutate_fields, mutate_json, mutate_json_lines, mutate_model
from tests.fuzz.seeds import command, mixed, place, place_images, sweep
from tests.fuzz.structure import mutate_structure


class Target(NamedTuple):
    """One kind of file. share: of all mutated files, in percent. name: of the mutated file.

    seeds(): valid files' bytes; mutations: functions (rng, bytes) → bytes; run(path, folder): reads the file at `path`
    in `folder`, writes its outputs into folder/out, and ends in SystemExit or AdderHwError, or returns.
    """

    share: int
    name: str
    seeds: Callable
    mutations: tuple
    run: Callable


def simulate(path, folder):
    """The simulator on a model, with one kind of output or two."""
    from adderhw.cli import main

    data, out = path.read_bytes(), folder / "out"
    ways = (["--json", out / "r.json"], ["--report", out / "r.html"], ["--csv", out / "r.csv", "--trace", out / "t"])
    options = ["--energy", "horowitz45", *one_of(ways, data)]
    command(main, path, "--data", place_images(folder), "--threads", 1, *options)


def one_of(ways, data):
    """One of the ways in which a command may read a file of these bytes."""
    return ways[crc32(data) % len(ways)]


def simulate_with(option, *, model=seeds.valid_models, outputs=("--json", "r.json")):
    """The simulator on a valid model with the mutated file as `option`."""

    def run(path, folder):
        from adderhw.cli import main

        place(folder)
        (folder / "model.onnx").write_bytes(model()[0])
        data = [] if option == "--data" else ["--data", folder / "images.npz"]
        kind, name = outputs
        table = [] if option == "--energy" else ["--energy", "horowitz45"]
        wanted = (kind, folder / "out" / name)
        command(main, folder / "model.onnx", *data, *table, option, path, "--threads", 1, *wanted)

    return run


def tally(path, folder):
    """The simulator on a model of other tools, by one of the ways in which it takes one."""
    from adderhw.cli import main

    images = folder / "images.npy"
    np.save(images, np.random.default_rng(0).random((2, 3, 8, 8), np.float32))
    ways = (["--data", images, "--threads", 1], ["--data", images], ["--as", "adder"], ["--as", "bnn", "--bits", 4])
    outputs = ["--json", folder / "out" / "r.json"]
    command(main, path, *one_of(ways, path.read_bytes()), "--energy", "horowitz45", *outputs)


def quantise(path, folder, *options):
    """Quantisation of a float model."""
    from quant.__main__ import main

    command(main, path, "--calibrate", place_images(folder), "--samples", 2, "-o", folder / "out" / "i.onnx", *options)


def quantise_by_widths(path, folder):
    """Quantisation of a valid float model to the widths in the mutated file."""
    place(folder)
    quantise(folder / "float.onnx", folder, "--widths", path)


def compare_models(path, folder):
    """A comparison of a float and an integer model, of which the mutated file is one."""
    from quant.__main__ import main

    out, mutated = folder / "out", path.read_bytes()
    place(folder)
    path.write_bytes(mutated)
    outputs = ["--json", out / "r.json", "--csv", out / "r.csv"]
    models = folder / "float.onnx", folder / "integer.onnx"
    command(main, "compare", *models, "--data", folder / "images.npz", *outputs)


def compare_documents(path, folder):
    """A valid document and the mutated one side by side."""
    from adderhw.compare import main

    (folder / "valid.json").write_bytes(seeds.documents()[0])
    out = folder / "out"
    ways = (["--markdown", out / "r.md", "--layers"], ["--csv", out / "r.csv"], ["--html", out / "r.html"])
    command(main, folder / "valid.json", path, *one_of(ways, path.read_bytes()))


def sweep_by(path, folder):
    """A sweep whose configuration is the mutated file."""
    place(folder)
    sweep(path, folder / "store.jsonl")


def sweep_from(path, folder):
    """A sweep that goes on from the mutated store."""
    place(folder)
    (folder / "sweep.toml").write_text(seeds.SWEEP)
    sweep(folder / "sweep.toml", path)


def search_from(path, folder):
    """A search for mixed widths that goes on from the mutated store."""
    place(folder)
    mixed(folder, "--json", "out/r.json")


def read_vectors(path, folder):
    """Golden vectors with the mutated manifest, each array beside its digits."""
    from adderhw.hardware.vector_reader import array_mismatch, read_manifest

    for name, contents in seeds.vectors().items():
        (folder / "v" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "v" / name).write_bytes(contents)
    path.rename(folder / "v" / "manifest.json")
    for layer in read_manifest(folder / "v")["layers"]:
        for entry in layer["files"]:
            array_mismatch(folder / "v", entry)


def read_beside_secrets(path, folder):
    """The simulator on a model whose tensors lie in other files; raises where it took one from outside its folder."""
    from adderhw.onnx_reader import load_proto

    inside = folder / "inside"
    inside.mkdir()
    path = path.rename(inside / path.name)
    (folder / "secret.bin").write_bytes(OUTSIDE)
    (inside / "inside.bin").write_bytes(bytes(len(OUTSIDE)))
    (inside / "link.bin").symlink_to("../secret.bin")
    (inside / "linked").symlink_to("..")
    os.mkfifo(inside / "pipe")
    if OUTSIDE[:16] in load_proto(path).SerializeToString():
        raise RuntimeError("a file outside the model's folder was read")
    simulate(path, folder)


def export(path, folder):
    """Export of a checkpoint; fifteen of sixteen are only loaded, for torch takes 2 s to trace one that can be."""
    from export.__main__ import main
    from training.checkpoint import load_network

    if crc32(path.read_bytes()) % 16:
        load_network(path)
        return
    command(main, path, "-o", folder / "out" / "float.onnx")


def convert(path, folder):
    """Conversion of a state dictionary of another project."""
    from training.convert import main

    command(main, path, "-o", folder / "out" / "converted.pt")


def load_data(name, place):
    """Loading of the data set `name`, whose file at `place` in its folder is the mutated one."""

    def run(path, folder):
        from adderhw import datasets

        target = folder / place
        target.parent.mkdir(parents=True)
        path.rename(target)
        if name == "mnist":
            labels = gzip.compress(seeds.idx(np.arange(3, dtype=np.uint8)))
            (target.parent / "t10k-labels-idx1-ubyte.gz").write_bytes(labels)
        datasets.load(name, "test", root=str(folder))

    return run


ONNX = (mutate_bytes, mutate_model, mutate_model, mutate_model)
BYTES = (mutate_bytes,)
TOML = (mutate_bytes, mutate_fields)
JSON = (mutate_bytes, mutate_json, mutate_json, mutate_json)
JSON_LINES = (mutate_bytes, mutate_json_lines, mutate_json_lines)
TARGETS = {
    "model": Target(24, "model.onnx", seeds.valid_models, ONNX, simulate),
    "float model": Target(8, "float.onnx", seeds.float_models, ONNX, quantise),
    "foreign model": Target(10, "foreign.onnx", seeds.foreign_models, ONNX, tally),
    "structure": Target(40, "model.onnx", seeds.valid_models, (mutate_structure,), simulate),
    "float structure": Target(15, "float.onnx", seeds.float_models, (mutate_structure,), quantise),
    "foreign structure": Target(40, "foreign.onnx", seeds.foreign_models, (mutate_structure,), tally),
    "long model": Target(1, "long.onnx", seeds.foreign_models, (prolong, nest), tally),
    "long float model": Target(1, "long.onnx", seeds.float_models, (prolong, nest), quantise),
    "external data": Target(4, "model.onnx", seeds.valid_models, (move_outside,), read_beside_secrets),
    "CNN's weights": Target(2, "cnn.onnx", seeds.cnns, ONNX, simulate_with("--cnn", model=seeds.integer_models)),
    "compared float": Target(2, "float.onnx", seeds.float_models, ONNX, compare_models),
    "compared integer": Target(3, "integer.onnx", seeds.integer_models, ONNX, compare_models),
    "energy table": Target(
        6,
        "table.toml",
        seeds.shipped("adderhw.cost", "tables/horowitz45.toml", "tables/qtools45.toml"),
        TOML,
        simulate_with("--energy"),
    ),
    "accelerator": Target(
        5,
        "machine.toml",
        seeds.shipped("adderhw.cost", "accelerators/eyeriss_like.toml"),
        TOML,
        simulate_with("--accelerator"),
    ),
    "area table": Target(
        2,
        "areas.json",
        seeds.shipped("adderhw.hardware", "areas_osu018.json"),
        JSON,
        simulate_with("--area", outputs=("--report", "r.html")),
    ),
    "document": Target(5, "run.json", seeds.documents, JSON, compare_documents),
    "earlier document": Target(
        2,
        "run.json",
        seeds.documents,
        JSON,
        simulate_with("--earlier", model=seeds.integer_models, outputs=("--report", "r.html")),
    ),
    "comparison": Target(
        2,
        "sqnr.json",
        seeds.comparisons,
        JSON,
        simulate_with("--sqnr", model=seeds.integer_models, outputs=("--report", "r.html")),
    ),
    "widths": Target(2, "widths.json", seeds.widths, JSON, quantise_by_widths),
    "sweep": Target(4, "sweep.toml", seeds.sweep_configurations, TOML, sweep_by),
    "sweep store": Target(2, "store.jsonl", seeds.sweep_stores, JSON_LINES, sweep_from),
    "mixed store": Target(2, "store.jsonl", seeds.mixed_stores, JSON_LINES, search_from),
    "manifest": Target(3, "manifest.json", seeds.manifests, JSON, read_vectors),
    "array file": Target(4, "x.npz", seeds.array_files, BYTES, simulate_with("--data")),
    "idx": Target(3, "images", seeds.idx_images, BYTES, load_data("mnist", "mnist/t10k-images-idx3-ubyte.gz")),
    "cifar": Target(
        2, "test_batch.bin", seeds.cifar, BYTES, load_data("cifar10", "cifar-10-batches-bin/test_batch.bin")
    ),
    "cifar pickle": Target(
        2, "test_batch", seeds.cifar_pickles, BYTES, load_data("cifar10", "cifar-10-batches-py/test_batch")
    ),
    "checkpoint": Target(1, "best.pt", seeds.checkpoints, BYTES, export),
    "state dictionary": Target(1, "state.pt", seeds.checkpoints, BYTES, convert),
}
