"""The import directions of the packages, and what importing the simulator may not load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("adderhw", "export", "quant", "training")
MAY_IMPORT = {
    "adderhw": set(),
    "export": {"adderhw"},
    "quant": {"adderhw", "export"},
    "training": {"adderhw"},
}
LAZY = {("export", "training"), ("quant", "training")}
ENTRY_POINTS = {("adderhw/sweep.py", "quant")}  # a command of that name whose work is another package's


def imports(tree):
    """(top-level package, is inside a function) of every import statement."""
    inside = {
        id(n) for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef)) for n in ast.walk(f)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], id(node) in inside
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide directions"
            yield node.module.split(".")[0], id(node) in inside


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_the_design_allows(package):
    for path in (ROOT / package).rglob("*.py"):
        for name, lazy in imports(ast.parse(path.read_text())):
            if name in PACKAGES and name != package:
                where = path.relative_to(ROOT).as_posix()
                late = {(package, name), (where, name)} & (LAZY | ENTRY_POINTS)
                assert name in MAY_IMPORT[package] or (lazy and late), f"{where} imports {name}"


def loaded_by(code):
    """The modules that a fresh interpreter holds after `code`."""
    script = f"{code}\nimport sys; print(' '.join(sys.modules))"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


@pytest.mark.parametrize(
    "code", ["import adderhw; adderhw.simulate", "import adderhw.cli, adderhw.report.page, adderhw.report.summary"]
)
def test_the_simulator_loads_neither_torch_nor_matplotlib_nor_onnxruntime(code):
    late = {"torch", "matplotlib", "onnxruntime", "sklearn", "jsonschema", "dask", "distributed"}
    assert not late & loaded_by(code)


def test_export_writer_and_quant_do_not_load_torch():
    assert "torch" not in loaded_by("import export.writer, quant")


def test_every_source_file_begins_with_one_sentence():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            if text:
                assert ast.get_docstring(ast.parse(text)), path


def test_the_installed_packages_are_those_of_the_tree_and_no_tests():
    listed = {
        line.strip()
        for line in (ROOT / "setup.cfg").read_text().split("packages =")[1].split("install_requires")[0].split()
    }
    found = {
        ".".join(p.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for p in (ROOT / package).rglob("__init__.py")
    }
    assert listed == found
