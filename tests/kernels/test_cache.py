"""Where compiled kernels are kept where nothing can be written, and what damaged ones are told as."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from numba import config

from adderhw import command_line
from adderhw.errors import AdderHwError
from adderhw.kernels import cache

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def no_place(monkeypatch, tmp_path):
    """Numba finds no place; temporary folders are made in the path given back, and nothing is left at exit."""
    monkeypatch.setattr(cache, "njit", lambda **options: refusing)
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(cache.atexit, "register", lambda *args: None)
    monkeypatch.setattr(config, "CACHE_DIR", "")
    return tmp_path


def refusing(function):
    raise RuntimeError("cannot cache function: no locator available")


def test_numba_keeps_its_place_where_it_has_one(monkeypatch):
    monkeypatch.setattr(config, "CACHE_DIR", config.CACHE_DIR)
    before = config.CACHE_DIR
    cache.find_place()
    assert before == config.CACHE_DIR


def test_without_a_place_kernels_go_into_a_folder_that_nobody_else_can_read_or_write(no_place):
    cache.find_place()
    assert Path(config.CACHE_DIR).parent == no_place
    assert stat.S_IMODE(os.stat(config.CACHE_DIR).st_mode) == 0o700


def test_only_the_process_that_made_the_folder_removes_it(tmp_path):
    folder = tmp_path / "kernels"
    folder.mkdir()
    cache._remove(folder, os.getpid() + 1)
    assert folder.exists()
    cache._remove(folder, os.getpid())
    assert not folder.exists()


def test_no_temporary_folder_either_is_one_line(no_place, monkeypatch):
    monkeypatch.setattr(cache.tempfile, "tempdir", str(no_place / "none"))
    monkeypatch.setattr(cache, "SHARED_MEMORY", str(no_place / "none"))
    with pytest.raises(AdderHwError, match="expected NUMBA_CACHE_DIR or TMPDIR"):
        cache.find_place()


PROGRAM = """
import numpy as np
from numba import config
from adderhw.kernels import program
program.run_alone(np.zeros((0, 4), np.int64))
print(config.CACHE_DIR)
print(program.run_alone.stats.cache_path)
"""


def test_a_package_that_cannot_be_written_without_a_home_compiles_elsewhere_and_leaves_nothing(tmp_path):
    copy = tmp_path / "installed" / "adderhw"
    (copy / "kernels").mkdir(parents=True)
    for path in [*(ROOT / "adderhw" / "kernels").glob("*.py"), ROOT / "adderhw/__init__.py", ROOT / "adderhw/errors.py",
                 *(ROOT / "adderhw").glob("fixed.py")]:  # fmt: skip
        shutil.copy(path, tmp_path / "installed" / path.relative_to(ROOT))
    (copy / "kernels" / "__pycache__").write_text("no folder, so that not even root can write into it")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": "/dev/null", "TMPDIR": str(temporary)}
    environment["PYTHONPATH"] = str(tmp_path / "installed")
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM], env=environment, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    folder, used = done.stdout.splitlines()
    assert Path(folder).parent == temporary
    assert used.startswith(folder)
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(("kind", "kept"), [("nbi", 0), ("nbc", 40)])
def test_a_damaged_file_of_compiled_kernels_is_one_line_that_names_the_folder(tmp_path, kind, kept):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    code = [sys.executable, "-c", DAMAGED]
    assert subprocess.run(code, env=environment, capture_output=True).returncode == 0
    (path,) = tmp_path.rglob(f"program.run_alone*.{kind}")
    path.write_bytes(path.read_bytes()[:kept])
    done = subprocess.run(code, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: compiled kernels in {path.parent}: found a damaged file")
    assert done.stderr.count("\n") == 1


DAMAGED = """
import numpy as np
from adderhw.command_line import run_app

def app(**options):
    from adderhw.kernels.program import run_alone
    run_alone(np.zeros((0, 4), np.int64))

run_app(app, "program")
"""


def test_what_numba_did_not_raise_from_its_cache_stays_an_error():
    def app(**options):
        raise EOFError("elsewhere")

    with pytest.raises(EOFError, match="elsewhere"):
        command_line.run_app(app, "program")
