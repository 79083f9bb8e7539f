"""Sweeps: points agree with the simulator; killed, a sweep goes on to the same store; a cluster measures the same."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adderhw.errors import AdderHwError
from adderhw.simulation import simulate
from adderhw.sweep import main
from export.writer import write_graph
from quant.convert import quantise
from quant.float_graph import read_float_graph
from quant.mixed_store import Store
from quant.settings import Settings
from quant.sweep_config import read_sweep
from quant.sweep_report import figure, front, panels, tables, write_csv
from quant.sweep_run import header_of, job_of, run
from tests.clusters import cluster

ROOT = Path(__file__).parents[2]
CONFIG = f"""
model = "{ROOT / "adderhw" / "models" / "digits.onnx"}"
data = "digits"
limit = 8
samples = 16
[settings]
range = "max"
bias_correction = false
[axes]
bits = [8, 4]
realisation = ["multiplier", "shift"]
accumulator = ["exact", "wrap:12"]
accelerator = ["none", "output_like"]
energy = ["horowitz45"]
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """(the sweep, its job, the store's path, its records), measured in this process's children, one after the other."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "s.toml").write_text(CONFIG)
    sweep = read_sweep(folder / "s.toml")
    job = job_of(sweep)
    records = run(sweep, job, Store(folder / "s.jsonl", header_of(sweep, job)))
    return sweep, job, folder / "s.jsonl", records


def test_there_is_a_record_for_every_point_in_order(swept):
    sweep, _, path, records = swept
    assert [tuple(record["point"].values()) for record in records] == sweep.points()
    assert len(path.read_text().splitlines()) == 1 + len(records) == 17


def test_a_record_is_what_the_simulator_says_of_the_written_network(swept, tmp_path):
    sweep, job, _, records = swept
    graph = quantise(
        read_float_graph(sweep.model), job.calibration,
        Settings(bits=4, realisation="shift", range="max", bias_correction=False),
    )  # fmt: skip
    write_graph(graph, tmp_path / "a.onnx")
    document = simulate(
        tmp_path / "a.onnx", limit=8, threads=1, accumulator_bits=12, energy=["horowitz45"], accelerator="output_like"
    )
    point = {"bits": 4, "realisation": "shift", "accumulator": "wrap:12", "accelerator": "output_like"}
    (record,) = [each for each in records if each["point"] == {**point, "energy": "horowitz45"}]
    assert record["arithmetic_pj"] == document["totals"]["energy_pj"]["horowitz45"]
    assert record["correct"] == document["accuracy"]["correct"]
    assert record["overflows"] == sum(
        layer["accumulator"]["overflows"] for layer in document["layers"] if layer["accumulator"]
    )
    energy = document["memory"]["networks"]["ann"]["energy_pj"]
    assert record["memory"]["high_pj"] == energy["registers"] + energy["buffer"] + energy["dram_high"]


def test_a_sweep_that_is_whole_measures_nothing(swept):
    sweep, job, path, records = swept
    before = path.read_bytes()
    assert run(sweep, job, Store(path, header_of(sweep, job)), workers=99) == records
    assert path.read_bytes() == before


def test_another_networks_store_is_refused(swept):
    sweep, job, path, _ = swept
    with pytest.raises(AdderHwError, match="another search, images 8, expected 9"):
        Store(path, {**header_of(sweep, job), "images": 9})


def test_a_point_that_cannot_be_says_why_and_the_others_go_on(swept, tmp_path):
    text = CONFIG.replace("bits = [8, 4]", "bits = [8]").replace('"multiplier", "shift"', '"multiplier"')
    text = text.replace('"output_like"', '"tiny.toml"').replace('"exact", "wrap:12"', '"exact"')
    shipped = (ROOT / "adderhw/cost/accelerators/output_like.toml").read_text()
    (tmp_path / "tiny.toml").write_text(shipped.replace("activations = [1, 2, 4, 8, 16, 32]", "activations = [1, 4]"))
    (tmp_path / "s.toml").write_text(text)
    sweep = read_sweep(tmp_path / "s.toml")
    job = job_of(sweep)
    records = run(sweep, job, Store(tmp_path / "s.jsonl", header_of(sweep, job)))
    failed = [record for record in records if "error" in record]
    assert (len(failed), len(records)) == (1, 2)
    assert "found activations of 8 bits, expected at most 4" in failed[0]["error"]


def test_the_front_is_what_nothing_beats(swept):
    for inside in panels(swept[3]).values():
        best = front(inside)
        assert best
        for record in inside:
            beaten = [
                each for each in best
                if each["correct"] >= record["correct"] and each["arithmetic_pj"] <= record["arithmetic_pj"]
            ]  # fmt: skip
            assert record in best or beaten or record["memory"]


def test_results_are_shown_as_tables_csv_and_plot(swept, tmp_path):
    records = swept[3]
    assert len(list(tables(records))) == 2
    write_csv(records, tmp_path / "s.csv")
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 17
    drawn = figure(records)
    assert len(drawn.axes) == 2
    assert all("energy an image" in axes.get_xlabel() for axes in drawn.axes)


def lines_of(path):
    """The store's whole lines so far, in no order."""
    return sorted(path.read_bytes().split(b"\n")[:-1]) if path.exists() else []


def command(*options):
    return [sys.executable, "-m", "adderhw.sweep", *map(str, options)]


def wait_for(condition, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)


def test_a_killed_sweep_goes_on_to_the_same_store(swept, tmp_path):
    store, config = tmp_path / "k.jsonl", swept[2].with_name("s.toml")
    options = command(config, "--store", store, "--workers", 1)
    started = subprocess.Popen(options, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(lines_of(store)) > 5)
    finally:
        os.kill(started.pid, signal.SIGKILL)
        started.wait()
    left = lines_of(store)
    assert len(left) < 17
    done = subprocess.run(options, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"{17 - len(left)} measured in this run" in done.stdout
    assert lines_of(store) == lines_of(swept[2])


def test_a_cluster_whose_worker_dies_measures_the_same(swept, tmp_path):
    pytest.importorskip("distributed")
    store, config = tmp_path / "c.jsonl", swept[2].with_name("s.toml")
    with cluster(tmp_path) as (address, workers):
        options = command(config, "--store", store, "--scheduler", address)
        started = subprocess.Popen(options, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_for(lambda: len(lines_of(store)) > 5 or started.poll() is not None)
        workers[0].kill()
        assert started.wait(120) == 0, started.stderr.read()
        started.stderr.close()
    assert lines_of(store) == lines_of(swept[2])
    assert len({json.dumps(json.loads(line).get("point")) for line in lines_of(store)}) == 17


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "-1"], "workers: found -1, expected 0 or more"),
        (["--workers", "2", "--scheduler", "tcp://a:1"], "and none with --scheduler"),
        (["--csv", "s.jsonl"], "expected different names"),
        (["--plot", "s.gif"], "found suffix '.gif'"),
        (["--plot", "none/s.png"], "none/s.png: cannot write"),
    ],
)
def test_a_wrong_call_is_one_line_and_code_2(swept, options, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = swept[2].with_name("s.toml")
    monkeypatch.setattr(sys, "argv", ["sweep", str(config), "--store", "s.jsonl", *options])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 2
    err = capsys.readouterr().err
    assert words in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [{"point": 7}, {"point": {"bits": 8}}, {"prices": "x"}, {"count": 0}, {"correct": 99}, {"memory": {}}, {"more": 1}],
)
def test_a_record_that_is_no_point_is_one_line(change, swept, tmp_path):
    sweep, job, path, records = swept
    (tmp_path / "s.jsonl").write_bytes(path.read_bytes())
    store = Store(tmp_path / "s.jsonl", header_of(sweep, job))
    store.append({**records[0], **change})
    with pytest.raises(AdderHwError, match=r"s\.jsonl: found record .*, expected a point of a sweep"):
        run(sweep, job, store)
