"""Every command that writes, on small inputs: what it is called with and which outputs it has."""

import importlib
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
SIMULATE = "adderhw.cli --limit 3 {}"
COMPARE = "adderhw.compare {inputs}/a.json {inputs}/a.json {}"
QUANT = "quant.__main__ {inputs}/float.onnx --calibrate digits --samples 40 -o {out}/q.onnx"
QUANT_COMPARE = "quant.__main__ compare {inputs}/float.onnx {inputs}/q.onnx --data digits --limit 20"
MIXED = "quant.__main__ mixed {inputs}/float.onnx --calibrate digits --samples 40 --selection 60 --fewest-bits 3 "
MIXED += "--most-bits 4 --store "
QAT = "quant.__main__ qat {inputs}/float.onnx --data digits --limit 100 --steps 2 --samples 16 --threads 1 "
SWEEP = "adderhw.sweep {inputs}/sweep.toml --workers 1 --store "
TRAINING = "training.__main__ --epochs 1 --limit 100 --threads 1 --output {out}/run"
FIGURES = "training.figures {} -o {{out}}/f.png"


class Command(NamedTuple):
    """`line`: module and arguments, {inputs} and {out} being folders; `outputs`: what it leaves in {out}."""

    name: str
    line: str
    outputs: tuple[str, ...]


def simulate(option, name):
    return Command(f"simulate {option}", SIMULATE.format(f"{option} {{out}}/{name}"), (name,))


def compare(option, name):
    return Command(f"compare {option}", COMPARE.replace("{}", f"{option} {{out}}/{name}"), (name,))


COMMANDS = (
    simulate("--report", "r.html"),
    simulate("--markdown", "r.md"),
    simulate("--json", "r.json"),
    simulate("--csv", "r.csv"),
    simulate("--annotate", "r.onnx"),
    simulate("--trace", "trace"),
    compare("--markdown", "c.md"),
    compare("--csv", "c.csv"),
    compare("--html", "c.html"),
    Command("vectors", "adderhw.vectors --limit 1 --out {out}/v", ("v",)),
    Command("synthesis", "adderhw.synthesis --table --json {out}/s.json", ("s.json",)),
    Command("sweep", f"{SWEEP}{{out}}/s.jsonl", ("s.jsonl",)),
    Command("sweep --csv", f"{SWEEP}{{inputs}}/s.jsonl --csv {{out}}/s.csv", ("s.csv",)),
    Command("sweep --plot", f"{SWEEP}{{inputs}}/s.jsonl --plot {{out}}/s.png", ("s.png",)),
    Command("quant", QUANT, ("q.onnx",)),
    Command("quant --test-data", f"{QUANT} --test-data 2", ("q.onnx", "test_data_set_0")),
    *(
        Command(
            f"quant compare {option}",
            f"{QUANT_COMPARE} {option} {{out}}/{name}",
            (name,),
        )
        for option, name in (("--json", "c.json"), ("--csv", "c.csv"), ("--plot", "c.svg"))
    ),
    Command("quant mixed", f"{MIXED}{{out}}/m.jsonl", ("m.jsonl",)),
    *(
        Command(f"quant mixed {option}", f"{MIXED}{{inputs}}/m.jsonl {option} {{out}}/{name}", (name,))
        for option, name in (("--json", "m.json"), ("--plot", "m.pdf"), ("--most-energy 1000 -o", "m.onnx"))
    ),
    Command("quant qat", f"{QAT} -o {{out}}/q.onnx", ("q.onnx",)),
    Command("quant qat, its state", f"{QAT} --save-minutes 0 -o {{out}}/q.onnx", ("q.onnx",)),
    Command("export", "export.__main__ {inputs}/run/best.pt -o {out}/e.onnx", ("e.onnx",)),
    Command("training", TRAINING, ("run",)),
    Command("training --tensorboard", f"{TRAINING} --tensorboard", ("run",)),
    Command(
        "training.table",
        "training.table --methods cnn --seeds 1 --epochs 1 --limit 100 --threads 1 --output {out}/table",
        ("table",),
    ),
    Command("training.figures curves", FIGURES.format("curves {inputs}/run"), ("f.png",)),
    Command("training.figures features", FIGURES.format("features {inputs}/run/best.pt --limit 50"), ("f.png",)),
    Command("training.figures weights", FIGURES.format("weights {inputs}/run/best.pt"), ("f.png",)),
    Command("training.convert", "training.convert {inputs}/published.pt -o {out}/c.pt", ("c.pt",)),
)


def arguments(command, inputs, out):
    """(module, arguments) of a Command."""
    module, *rest = command.line.format(inputs=inputs, out=out).split()
    return module, rest


def call(monkeypatch, command, inputs, out):
    """The exit code of a Command, run in this process."""
    module, rest = arguments(command, inputs, out)
    monkeypatch.setattr(sys, "argv", [module, *rest])
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(module).main()
    return stop.value.code


def found_in(folder):
    """The names in a folder, hidden ones too."""
    return {path.name for path in Path(folder).iterdir()}
