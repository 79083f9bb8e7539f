"""A small run of the fuzzer, and that it sees what it looks for."""

import subprocess
import sys

import numpy as np
import onnx
import pytest

from adderhw import onnx_reader
from tests.fuzz import worker
from tests.fuzz.hostile import move_outside, nest, prolong
from tests.fuzz.mutations import mutate_bytes, mutate_fields, mutate_json, mutate_json_lines, mutate_model
from tests.fuzz.seeds import valid_models
from tests.fuzz.structure import CHANGES, mutate_structure
from tests.fuzz.targets import BYTES, TARGETS, Target


@pytest.mark.slow
def test_mutated_files_end_in_a_result_or_in_one_line(tmp_path):
    command = [sys.executable, "-m", "tests.fuzz", "--files", "200", "--jobs", "1", "--seed", "1", "--seconds", "120"]
    done = subprocess.run([*command, "--keep", str(tmp_path / "found")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "200 files, 0 wrong; seed 1" in done.stdout
    assert not (tmp_path / "found").exists()


JSON, TOML = b'{"a": [1, {"b": 2}], "c": [[0]], "d": {}}', b"a = 1\nb = 2\n[c]\nd = 3"


@pytest.mark.parametrize(
    ("mutate", "data"),
    [
        (mutate_bytes, valid_models()[0]),
        (mutate_model, valid_models()[0]),
        (mutate_structure, valid_models()[0]),
        (move_outside, valid_models()[0]),
        (prolong, valid_models()[0]),
        (nest, valid_models()[0]),
        (mutate_json, JSON),
        (mutate_json_lines, JSON + b"\n" + JSON),
        (mutate_fields, TOML),
    ],
)
def test_equal_seeds_give_equal_files_whatever_was_made_before(mutate, data):
    first = [mutate(np.random.default_rng(seed), data) for seed in range(40)]
    assert [mutate(np.random.default_rng(seed), data) for seed in range(40)] == first
    assert len(set(first)) > 20


def test_changed_fields_leave_a_model_that_parses():
    (data,) = valid_models()
    changed = {mutate_model(np.random.default_rng(seed), data) for seed in range(100)}
    assert len(changed) > 90
    for each in changed:
        onnx.ModelProto().ParseFromString(each)


@pytest.mark.parametrize("change", dict.fromkeys(CHANGES), ids=lambda change: change.__name__)
def test_every_change_of_structure_leaves_another_model_that_parses(change):
    (data,) = valid_models()
    made = set()
    for seed in range(30):
        model = onnx.ModelProto.FromString(data)
        change(np.random.default_rng(seed), model)
        made.add(model.SerializeToString())
        onnx.ModelProto.FromString(model.SerializeToString())
    assert len(made) > 3
    assert made - {data}


def outside(location):
    """A model whose weights lie in a file at `location`."""
    model = onnx.ModelProto.FromString(valid_models()[0])
    tensor = next(each for each in model.graph.initializer if each.name == "w")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    tensor.external_data.add(key="length", value=str(len(tensor.raw_data)))
    tensor.ClearField("raw_data")
    return model.SerializeToString()


def follow(model, path):
    """Reads external data wherever it lies."""
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                tensor.raw_data = (path.parent / entry.value).read_bytes()


@pytest.mark.parametrize("location", ["../secret.bin", "link.bin", "linked/secret.bin"])
def test_a_reader_that_leaves_the_models_folder_is_caught(location, tmp_path, monkeypatch):
    target, data = TARGETS["external data"], outside(location)
    assert worker.read_one(target, data, tmp_path, worker.Watch(tmp_path)) == ""
    monkeypatch.setattr(onnx_reader, "load_external", follow)
    found = worker.read_one(target, data, tmp_path, worker.Watch(tmp_path))
    assert "a file outside the model's folder was read" in found


def test_a_tensor_in_a_file_of_the_models_folder_is_read(tmp_path, capsys):
    path = tmp_path / "model.onnx"
    path.write_bytes(outside("inside.bin"))
    (tmp_path / "out").mkdir()
    with pytest.raises(SystemExit):
        TARGETS["external data"].run(path, tmp_path)
    # Weights of 0, which is what that file holds, make sums that the model's own format does not.
    assert "tensor 'sums': found integers from 0 to 2295" in capsys.readouterr().err


def ends(code=2, out="", err=""):
    def run(path, folder):
        print(out, end="")
        print(err, end="", file=sys.stderr)
        raise SystemExit(code)

    return run


def leaves_a_file(path, folder):
    (folder / "out" / "half.json").write_text("{")
    print("error: no", file=sys.stderr)
    raise SystemExit(2)


def fails(path, folder):
    raise KeyError("field")


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        (lambda path, folder: None, ""),
        (ends(0, "done\n"), ""),
        (ends(1), ""),
        (ends(2, err="error: x: found 1, expected 2\n"), ""),
        (ends(3), "exit code 3"),
        (ends(2), "without its one line"),
        (ends(2, err="error: a\nerror: b\n"), "without its one line"),
        (ends(2, out="a table\n", err="error: a\n"), "after output"),
        (ends(0, err="Traceback (most recent call last):\n"), "Traceback"),
        (leaves_a_file, "it left ['half.json']"),
        (fails, "KeyError"),
    ],
)
def test_the_verdict_on_each_end(run, problem, tmp_path):
    target = Target(1, "file", list, BYTES, run)
    found = worker.read_one(target, b"", tmp_path, worker.Watch(tmp_path))
    assert problem in found if problem else found == ""


@pytest.mark.parametrize(
    ("event", "arguments", "noted"),
    [
        ("open", ("/etc/passwd", "r", 0), False),
        ("open", ("/etc/passwd", "w", 1), True),
        ("open", ("inside.json", "w", 65), False),
        ("os.remove", ("/etc/passwd", -1), True),
        ("subprocess.Popen", ("sh", ["sh"], None, None), True),
    ],
)
def test_the_watch_notes_writes_outside_and_other_programs(event, arguments, noted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    watch = worker.Watch(tmp_path)
    watch(event, arguments)
    assert not watch.found
    watch.on = True
    watch(event, arguments)
    assert bool(watch.found) is noted


@pytest.mark.parametrize("folder", ["kernels", "absolute"])
def test_the_cache_of_compiled_kernels_may_be_elsewhere(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NUMBA_CACHE_DIR", folder if folder == "kernels" else str(tmp_path / folder))
    watch = worker.Watch(tmp_path / "out")
    watch.on = True
    watch("open", (str(tmp_path / folder / "compiled.nbc"), "w", 65))
    assert watch.found == []
    watch("open", (str(tmp_path / "other.nbc"), "w", 65))
    assert watch.found == [f"open {tmp_path / 'other.nbc'}"]
