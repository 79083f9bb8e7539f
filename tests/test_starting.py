"""Commands in odd surroundings: closed streams, other encodings, missing packages, Ctrl-C before they begin."""

import os
import signal
import subprocess
import sys

import pytest

from adderhw.errors import AdderHwError, DataError
from adderhw.memory_limit import memory_limit
from adderhw.printable import MOST, one_line, printable

TRAINING = ("training", "training.evaluate", "training.convert", "training.figures", "training.table", "training.taps")


def run(command, **environment):
    """The finished shell command, in which PYTHON is this interpreter."""
    told = {**os.environ, "PYTHON": sys.executable, **environment}
    return subprocess.run(["bash", "-c", command], env=told, capture_output=True, timeout=120)


@pytest.fixture
def without_torch(tmp_path):
    """The PYTHONPATH of processes in which there is no torch."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    return os.pathsep.join([str(tmp_path), os.getcwd(), os.environ.get("PYTHONPATH", "")])


@pytest.mark.parametrize("module", [*TRAINING, "training.influence"])
def test_a_training_command_without_torch_says_what_to_install(module, without_torch):
    done = run(f"$PYTHON -m {module} --help", PYTHONPATH=without_torch)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"error: found no package torch, expected it installed: pip install adderhw[train]\n"


@pytest.mark.parametrize("module", ["adderhw.simulate", "export", "quant", "training"])
def test_ctrl_c_during_the_imports_is_one_line(module, tmp_path):
    interrupt = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    (tmp_path / "typer.py").write_text(interrupt)
    (tmp_path / "torch.py").write_text(interrupt)
    path = os.pathsep.join([str(tmp_path), os.getcwd(), os.environ.get("PYTHONPATH", "")])
    done = run(f"$PYTHON -m {module} --help", PYTHONPATH=path)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"error: interrupted before it began\n")


def test_an_interrupt_after_the_start_is_pythons_own_again():
    code = "import sys, signal; sys.argv[0] = 'adderhw-simulate'; import adderhw.starting as s; s.begun(); "
    code += "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, sys.excepthook is sys.__excepthook__)"
    assert run(f'$PYTHON -c "{code}"').stdout == b"True True\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(("streams", "code"), [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0), ("<&-", 0)])
def test_closed_streams_take_nothing(streams, code, tmp_path):
    path = tmp_path / "r.json"
    done = run(f"$PYTHON -m adderhw.simulate --threads 1 --limit 4 --json {path} {streams}")
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert path.read_bytes().startswith(b"{")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_other_encodings_get_escapes(encoding):
    done = run("$PYTHON -m adderhw.simulate --threads 1 --limit 4", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u2013" in done.stdout


def test_a_file_name_that_is_no_text_reaches_every_output(tmp_path):
    path = os.fsencode(tmp_path) + b"/m\xff.onnx"
    with open(path, "wb") as file, open("adderhw/models/digits_int8.onnx", "rb") as model:
        file.write(model.read())
    outputs = "--json r.json --csv r.csv --report r.html --markdown r.md --annotate r.onnx"
    done = run(
        f"cd {tmp_path}; $PYTHON -m adderhw.simulate *.onnx --threads 1 --limit 4 {outputs}",
        PYTHONPATH=os.getcwd(),
    )
    assert done.returncode == 0, done.stderr
    assert rb"m\udcff.onnx" in (tmp_path / "r.json").read_bytes()


def test_a_generic_cpu_name_takes_the_portable_path():
    code = "from adderhw.kernels import paths; print(paths())"
    done = run(f'$PYTHON -c "{code}"', NUMBA_CPU_NAME="generic")
    assert done.stdout == b"('portable',)\n"


def test_control_characters_become_escapes():
    assert printable("a\x1b[31m\x07é–\udcff") == r"a\x1b[31m\x07é–\udcff"
    assert one_line("a\n b\x9b") == r"a b\x9b"


def test_a_long_message_keeps_both_ends():
    line = one_line("begin " + "x" * 10_000 + " end")
    assert len(line) <= MOST
    assert line.startswith("begin")
    assert line.endswith(" end")


@pytest.mark.parametrize("text", ["9" * 400 + "GB", "9" * 30, "0", "0.5", "1e3", "-1", "nan", "inf"])
def test_a_memory_that_no_machine_has_is_one_line(text):
    with pytest.raises(AdderHwError, match=r"max memory: found .+, expected a size such as 2GiB"):
        memory_limit(text)


@pytest.mark.parametrize("name", ["x", "y"])
def test_a_single_number_in_an_array_file_is_one_line(name, tmp_path):
    import numpy as np

    from adderhw.samples import from_file

    arrays = {"x": np.zeros((3, 1, 8, 8), np.float32), "y": np.arange(3), name: np.int64(3)}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=r"a\.npz: found .+, expected"):
        from_file(tmp_path / "a.npz", 2)
