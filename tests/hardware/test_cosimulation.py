"""The array in SystemVerilog computes what the simulator computes, and its testbenches notice one changed value."""

import hashlib
import json
import re

import numpy as np
import pytest

import adderhw
import adderhw.rtl
from adderhw import cosim
from adderhw.errors import AdderHwError
from adderhw.hardware.cosimulation import Simulation, replaced
from adderhw.hardware.layers import adder_layers
from adderhw.hardware.self_test import corruptions
from adderhw.hardware.shipped import SHIPPED_JOBS
from adderhw.hardware.tools import run
from adderhw.hardware.vector_files import write_vectors
from tests.hardware.needs import needs
from tests.hardware.small_layers import images_file, small_layer

pytestmark = needs("iverilog")

PLAIN = {
    "shape": (4, 5, 6),
    "outputs": 6,
    "kernel": (3, 3),
    "strides": (1, 1),
    "pads": (1, 1, 1, 1),
    "dilations": (1, 1),
    "group": 1,
    "bits": 8,
    "signed": False,
    "rounding": 1,
    "realisation": "multiplier",
    "zero_point": 3,
}
LAYERS = {
    "plain": PLAIN,
    "stride and uneven pads": PLAIN | {"strides": (2, 3), "pads": (0, 2, 1, 0), "kernel": (2, 3), "rounding": 2},
    "groups, dilation, shift-add": PLAIN | {"group": 2, "dilations": (2, 1), "realisation": "shift_add:3"},
    "signed 5 bits, shift": PLAIN
    | {"bits": 5, "signed": True, "zero_point": -7, "rounding": 3, "realisation": "shift"},
    "16 bits, 1x1, floor": PLAIN | {"bits": 16, "kernel": (1, 1), "pads": (0, 0, 0, 0), "rounding": 0},
    "2 bits": PLAIN | {"bits": 2, "zero_point": 0},
}

LINTED = [
    "adder_array",
    "adder_array -GFLAG=1'b1 -GSATURATE=1'b1 -GSIGNED=1'b1",
    "adder_tree_pe",
    "mac_pe",
    "xnor_pe",
    *(f"requantise -GDIGITS={digits} -GROUNDING={rounding}" for digits in (0, 1, 3) for rounding in (0, 2, 3)),
]
MY_DIFFERENCE = """module abs_difference #(parameter int BITS = 8, parameter bit SIGNED = 0, parameter int FORM = 1) (
  input logic [BITS-1:0] x, input logic [BITS-1:0] w, output logic [BITS-1:0] magnitude, output logic carry);
  assign magnitude = MAGNITUDE;
  assign carry = 0;
endmodule
"""


def simulated(folder, model, data, simulator="iverilog", **options):
    """(comparisons, corruptions) of a model's layers."""
    write_vectors(model, folder, data=data, lanes=4, **options)
    with Simulation(folder, simulator) as simulation:
        comparisons, first = simulation.run()
        assert not first
        return comparisons, list(corruptions(simulation))


@pytest.mark.parametrize("name", LAYERS)
def test_small_layers_agree_and_one_changed_value_in_any_file_is_noticed(tmp_path, name):
    rng = np.random.default_rng(len(name))
    model = small_layer(rng, **LAYERS[name])
    data = images_file(rng, model, tmp_path / "x.npz")
    (comparison,), changed = simulated(tmp_path / "vectors", model, data)
    assert comparison.mismatches == 0
    assert comparison.accumulators == comparison.outputs == 2 * model.graph.tensors["s"].elements
    assert [c.missed for c in changed] == [[]] * len(changed)
    tensors = ["x", "w", "m", "c", "n", "accumulators", "outputs"]
    tensors += ["m_digits"] if "shift" in LAYERS[name]["realisation"] else []
    files = {f"{tensor}.{suffix}" for tensor in tensors for suffix in ("hex", "npy")}
    assert {c.kind for c in changed} == files | {"manifest.json"}


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
def test_narrow_accumulators_that_overflow_agree(tmp_path, overflow):
    rng = np.random.default_rng(5)
    model = small_layer(rng, **PLAIN)
    data = images_file(rng, model, tmp_path / "x.npz")
    write_vectors(model, tmp_path / "exact", data=data)
    write_vectors(model, tmp_path / "narrow", data=data, accumulator_bits=12, overflow=overflow)
    exact, narrow = (
        np.load(tmp_path / kind / "layers" / "a_layer" / "accumulators.npy") for kind in ("exact", "narrow")
    )
    too_wide = exact > 4095
    assert 0 < too_wide.sum() < too_wide.size
    assert ((narrow != exact) == too_wide).all()
    with Simulation(tmp_path / "narrow", "iverilog") as simulation:
        ((comparison,), first) = simulation.run()
        changed = {c.kind: c for c in corruptions(simulation)}
    assert (comparison.accumulator, comparison.mismatches, first) == (f"12 {overflow}", 0, [])
    assert comparison.overflows == comparison.expected_overflows == too_wide.sum()
    assert changed["overflows.hex"].missed == changed["overflows.npy"].missed == []
    assert changed["overflows.hex"].first.startswith("a layer overflows element ")


def test_layers_of_the_digits_network_agree(tmp_path):
    layers = ["blocks.2.conv1", "blocks.2.shortcut.0"]
    write_vectors(adderhw.load(), tmp_path / "vectors", limit=1, layers=layers)
    with Simulation(tmp_path / "vectors", "iverilog") as simulation:
        comparisons, first = simulation.run()
    assert [c.layer for c in comparisons] == layers
    assert all((c.accumulators, c.outputs, c.mismatches) == (512, 512, 0) for c in comparisons)
    assert not first


@needs("verilator")
def test_verilator_and_icarus_say_the_same(tmp_path):
    rng = np.random.default_rng(8)
    model = small_layer(rng, **PLAIN)
    data = images_file(rng, model, tmp_path / "x.npz")
    write_vectors(model, tmp_path / "vectors", data=data, lanes=2)
    results = []
    for simulator in ("iverilog", "verilator"):
        with Simulation(tmp_path / "vectors", simulator) as simulation:
            results.append(simulation.run())
    assert results[0] == results[1]


def test_a_file_that_is_not_the_manifests_is_refused(tmp_path):
    write_vectors(adderhw.load(), tmp_path / "vectors", limit=1, layers=["blocks.2.shortcut.0"])
    path = tmp_path / "vectors" / "layers" / "blocks.2.shortcut.0" / "w.hex"
    path.write_text("00\n" + path.read_text()[3:])
    with pytest.raises(AdderHwError, match=r"w\.hex: found SHA-256 .* expected"):
        Simulation(tmp_path / "vectors", "iverilog")


def test_a_mismatch_is_named_and_the_exit_code_is_1(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "vectors"
    write_vectors(adderhw.load(), folder, limit=1, layers=["blocks.2.shortcut.0"])
    wrong = folder / "rtl" / "abs_difference_invert.sv"
    wrong.write_text(wrong.read_text().replace("carry = difference[BITS]", "carry = 1'b0"))
    monkeypatch.setattr("sys.argv", ["cosim", "--vectors", str(folder), "--simulator", "iverilog"])
    with pytest.raises(SystemExit) as done:
        cosim.main()
    assert done.value.code == 1
    assert "mismatch: blocks.2.shortcut.0 accumulators element 0 [0, 0, 0, 0]: expected" in capsys.readouterr().err


def test_vectors_do_not_overwrite_and_leave_nothing_behind(tmp_path):
    (tmp_path / "vectors").mkdir()
    (tmp_path / "vectors" / "mine.txt").write_text("mine")
    with pytest.raises(AdderHwError, match="expected a new or empty folder"):
        write_vectors(adderhw.load(), tmp_path / "vectors", limit=1)
    with pytest.raises(AdderHwError, match="found no adder layer of that name"):
        write_vectors(adderhw.load(), tmp_path / "other", layers=["stem"])
    assert [path.name for path in tmp_path.iterdir()] == ["vectors"]


def test_an_unknown_simulator_is_one_line_and_exit_code_2(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["cosim", "--simulator", "vcs"])
    with pytest.raises(SystemExit) as done:
        cosim.main()
    assert done.value.code == 2
    assert capsys.readouterr().err == "error: simulator: found 'vcs', expected one of verilator, iverilog\n"


def test_a_design_of_ones_own_takes_the_place_of_a_module(tmp_path):
    write_vectors(adderhw.load(), tmp_path / "vectors", limit=1, layers=["blocks.2.shortcut.0"])
    for name, magnitude, mismatches in (("right", "x > w ? x - w : w - x", 0), ("wrong", "x - w", 1024)):
        design = tmp_path / f"{name}.sv"
        design.write_text(MY_DIFFERENCE.replace("MAGNITUDE", magnitude))
        with Simulation(tmp_path / "vectors", "iverilog", [design]) as simulation:
            ((comparison,), first) = simulation.run()
        assert (comparison.mismatches > 0) == (mismatches > 0)
    assert first[0].startswith("blocks.2.shortcut.0 accumulators element 0 [0, 0, 0, 0]: expected ")


def test_a_design_that_replaces_nothing_is_one_line(tmp_path):
    (tmp_path / "mine.sv").write_text("module mine;\nendmodule\n")
    with pytest.raises(AdderHwError, match="found modules mine, expected one of the names abs_difference, "):
        replaced(adderhw.rtl.FOLDER, [tmp_path / "mine.sv"])
    with pytest.raises(AdderHwError, match="expected a file of SystemVerilog"):
        replaced(adderhw.rtl.FOLDER, [tmp_path / "none.sv"])


def test_an_array_that_is_not_its_hex_file_is_a_mismatch(tmp_path, monkeypatch):
    folder = tmp_path / "vectors"
    write_vectors(adderhw.load(), folder, limit=1, layers=["blocks.2.shortcut.0"])
    path = folder / "layers" / "blocks.2.shortcut.0" / "w.npy"
    weights = np.load(path)
    weights[0, 1, 0, 0] ^= 4
    np.save(path, weights)
    manifest = json.loads((folder / "manifest.json").read_text())
    (entry,) = (entry for entry in manifest["layers"][0]["files"] if entry["tensor"] == "w")
    entry["npy_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with Simulation(folder, "iverilog") as simulation:
        _, first = simulation.run()
    assert len(first) == 1
    assert first[0].startswith("layers/blocks.2.shortcut.0/w.npy element 1: expected ")


def test_what_ships_is_every_digits_layer_and_16_32_and_64_channels_of_ann_20():
    exact = [job for job in SHIPPED_JOBS if not job.accumulator_bits]
    digits, cifar = (adder_layers(adderhw.load(job.model).graph, job.layers or None) for job in exact)
    assert len(digits) == 9
    assert [layer.weight.shape[:2] for layer in cifar] == [(16, 16), (32, 32), (64, 64)]
    assert {(job.accumulator_bits, job.overflow) for job in SHIPPED_JOBS} >= {(12, "wrap"), (12, "saturate")}
    assert len(SHIPPED_JOBS) == 6


def test_the_networks_that_ship_run_exact_and_narrow_and_are_added_up(capsys, monkeypatch):
    jobs = [job._replace(layers=("blocks.2.shortcut.0",)) for job in SHIPPED_JOBS if job.data == "digits"]
    jobs[1:] = [job._replace(accumulator_bits=11) for job in jobs[1:]]
    monkeypatch.setattr("adderhw.hardware.shipped.SHIPPED_JOBS", jobs)
    monkeypatch.setattr("sys.argv", ["cosim", "--shipped", "--limit", "1", "--simulator", "iverilog"])
    with pytest.raises(SystemExit) as done:
        cosim.main()
    printed = capsys.readouterr().out
    assert done.value.code == 0
    assert [word for word in ("12 exact", "11 wrap", "11 saturate") if word in printed] == [
        "12 exact",
        "11 wrap",
        "11 saturate",
    ]
    overflows = re.search(
        r"all: 1,536 accumulators and 1,536 outputs compared, (.*) overflows in hardware, (.*) in the simulator, 0 m",
        printed,
    )
    assert overflows[1] == overflows[2] != "0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.onnx", "--shipped"], "call: found MODEL and --shipped, expected one of them"),
        (["--shipped", "--data", "cifar10"], "call: found --shipped with data, layers or accumulators, expected it"),
        (["--vectors", "none", "--shipped"], "call: found --vectors and --shipped, expected one of them"),
    ],
)
def test_options_that_contradict_each_other_are_one_line(capsys, monkeypatch, arguments, message):
    monkeypatch.setattr("sys.argv", ["cosim", *arguments])
    with pytest.raises(SystemExit) as done:
        cosim.main()
    assert done.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_an_array_that_leaves_a_sum_out_or_never_ends_is_a_mismatch(tmp_path):
    folder = tmp_path / "vectors"
    write_vectors(adderhw.load(), folder, limit=1, layers=["blocks.2.shortcut.0"])
    testbench = folder / "layers" / "blocks.2.shortcut.0" / "testbench.sv"
    testbench.write_text(testbench.read_text().replace("LIMIT = 17384", "LIMIT = 800"))
    source = (folder / "rtl" / "adder_array.sv").read_text()
    twice = source.replace("sums_position <= row * OUT_WIDTH + column;", "sums_position <= 1;")
    endless = source.replace("if (row == OUT_HEIGHT - 1) running <= 1'b0;", "if (row == OUT_HEIGHT - 1) row <= 0;")
    found = {}
    for name, text in (("twice", twice), ("endless", endless)):
        assert text != source
        (tmp_path / f"{name}.sv").write_text(text)
        with Simulation(folder, "iverilog", [tmp_path / f"{name}.sv"]) as simulation:
            ((comparison,), first) = simulation.run()
        assert comparison.mismatches > 0
        found[name] = " ".join(first)
    assert "accumulators: expected 512 of them, found 32" in found["twice"]
    assert "busy: expected 0 after 800 clocks, found 1" in found["endless"]


@needs("verilator")
@pytest.mark.parametrize("top", LINTED)
def test_verilator_finds_nothing_to_warn_of(top):
    sources = [str(path) for path in adderhw.rtl.sources()]
    assert run(["verilator", "--lint-only", "-Wall", "--top-module", *top.split(), *sources]) == ""
