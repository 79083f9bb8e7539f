"""The networks that ship: their accuracy, golden data, check, and start-up."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import adderhw
from adderhw import datasets, simulation
from adderhw.kernels import paths

FOLDER = Path(simulation.SHIPPED_MODEL).parent


@pytest.fixture(scope="module")
def checked():
    """The document of the whole test split, checked against onnxruntime."""
    return adderhw.simulate(check="ort")


def float_top1():
    """Share of right answers of the float model in stock onnxruntime on the test split."""
    data = datasets.load("digits", "test")
    session = onnxruntime.InferenceSession(FOLDER / "digits.onnx", providers=["CPUExecutionProvider"])
    logits = session.run(None, {session.get_inputs()[0].name: data.images.astype(np.float32) / np.float32(16)})[0]
    return float((logits.argmax(axis=1) == data.labels).mean())


def test_every_value_equals_onnxruntimes_over_the_whole_test_split(checked):
    assert checked["check"]["images"] == checked["data"]["count"] == 355
    assert checked["check"]["values"] > 8_000_000
    assert checked["check"]["mismatches"] == 0


def test_integer_top1_is_97_percent_and_within_0_3_points_of_float(checked):
    assert checked["accuracy"]["top1"] >= 0.97
    assert abs(checked["accuracy"]["top1"] - float_top1()) <= 0.003


@pytest.mark.parametrize("path", paths())
def test_the_golden_data_are_what_every_path_computes(path):
    x, y = (
        onnx.numpy_helper.to_array(onnx.load_tensor(FOLDER / "test_data_set_0" / name))
        for name in ("input_0.pb", "output_0.pb")
    )
    assert np.array_equal(adderhw.load().run(x, path=path), y)


def test_the_tally_of_a_layer_is_what_a_hand_would_count(checked):
    (layer,) = (entry for entry in checked["layers"] if entry["name"] == "blocks.0.conv1")
    taps = 8 * 8 * 16 * 16 * 3 * 3
    assert layer["taps"] == taps
    assert layer["events"] == {"add:16": taps, "sub:8": taps, "abs:9": taps}
    assert layer["paper"] == {"mul": 0, "add": 2 * taps, "xnor": 0}
    per_tap = 0.05 + 0.03 + layer["energy_pj"]["horowitz45"] / taps - 0.08
    assert layer["energy_pj"]["horowitz45"] == pytest.approx(taps * per_tap)


@pytest.mark.skipif("ADDERHW_DATA" not in os.environ, reason="ADDERHW_DATA is not set")
def test_the_cifar10_network_agrees_with_onnxruntime_and_classifies():
    checked = adderhw.simulate(FOLDER / "cifar10_ann20_int8.onnx", data="cifar10", limit=500, check="ort")
    assert checked["check"]["mismatches"] == 0
    assert checked["check"]["images"] == 500
    assert checked["accuracy"]["top1"] >= 0.82  # of all 10,000 it is 87.89 %, less four standard errors of 500


SECOND_START = """
import runpy, sys
from adderhw.kernels import compiled, program
made, cfunc = [], compiled.cfunc
def recorded(signature, cache):
    return lambda function: made.append(cfunc(signature, cache=cache)(function)) or made[-1]
compiled.cfunc = recorded
sys.argv = ["simulate", "--limit", "100"]
try:
    runpy.run_module("adderhw.simulate", run_name="__main__")
except SystemExit as stop:
    assert stop.code == 0
jitted = [value.stats for value in vars(program).values() if hasattr(value, "stats") and value.stats.cache_path]
hits = [code.cache_hits for code in made] + [sum(stats.cache_hits.values()) for stats in jitted]
print("loaded", sum(hits))
print("compiled", sum(not hit for hit in hits[: len(made)]) + sum(sum(s.cache_misses.values()) for s in jitted))
print("peak", next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc, which Linux has")
def test_a_second_start_compiles_nothing_and_takes_little_memory():
    subprocess.run([sys.executable, "-m", "adderhw.simulate", "--limit", "100"], capture_output=True, check=True)
    done = subprocess.run([sys.executable, "-c", SECOND_START], capture_output=True, text=True, check=True)
    figures = dict(line.split() for line in done.stdout.splitlines()[-3:])
    assert int(figures["loaded"]) > 0
    assert int(figures["compiled"]) == 0
    assert int(figures["peak"]) <= 400 * 1024, "KiB"
