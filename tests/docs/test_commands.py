"""Every command and every Python block of the pages runs, and every example of --help, on small data."""

import re
import shutil
from importlib.util import find_spec

import pytest

from tests.docs.pages import APPS, PAGES, ROOT, blocks, command_of, examples, shown_commands
from tests.docs.running import run
from tests.hardware.needs import needs


def needs_module(*names):
    missing = [name for name in names if find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"pip install adderhw[{','.join(missing)}]")


ELSEWHERE = {  # pages whose blocks other tests run, in full
    "docs/hardware.md": "tests/hardware/test_hardware_docs.py",
    "docs/report.md": "tests/report/test_report_docs.py",
    "docs/training.md": "tests/training/test_commands.py",
}
FROM_NOTHING = {"docs/tutorial.md"}  # each command's input is what the ones before wrote
MODEL_CARDS = "adderhw/models/README.md"
TAKEN = {"README.md": ("int8.json", "int4.json", "ann.onnx", "docs")}  # for granted there; elsewhere all that is given
PARSED_ONLY = {
    "python -m adderhw.sweep sweep.toml --store sweep.jsonl --scheduler tcp://head:8786",  # tests/test_cluster.py
    "python -m adderhw.cosim --shipped",  # minutes; tests/hardware/test_cosimulation.py runs its parts
    "python -m adderhw.cosim ann20_int8.onnx --data cifar10 --layers blocks.1.conv1,blocks.7.conv2",  # the same
    "python -m adderhw.cosim --accumulator-bits 12 --overflow saturate",  # the same
    "python -m adderhw.cosim --self-test",  # tests/hardware/test_hardware_docs.py
    "python -m adderhw.synthesis --bits 8",  # tests/hardware/test_areas.py
    "python -m adderhw.synthesis --liberty mine.lib --json mine.json",  # the same
    "python -m training --model resnet20 --data cifar10 --root data --batch-size 256 --epochs 400 --output runs/ann20",
}
NEEDS = {"adderhw.cosim": needs("iverilog"), "adderhw.crosscheck": needs_module("qonnx", "zigzag")}
SHOWN = {str(page.relative_to(ROOT)): page for page in PAGES if shown_commands(page) or "```python" in page.read_text()}


def steps(page):
    """The page's Commands and Python blocks, as they stand one below the other."""
    text = page.read_text(encoding="utf-8")
    for language, fenced, indented in re.findall(r"^```(\w*)\n(.*?)^```$|^    (python -m .*)$", text, re.S | re.M):
        if language == "python":
            yield fenced
        elif not language or language == "sh":
            yield from filter(None, map(command_of, (fenced or indented).splitlines()))


def steps_of(name):
    return list(steps(SHOWN[name]))


def test_every_page_that_shows_commands_is_run():
    for page, test in ELSEWHERE.items():
        assert page in SHOWN
        assert page.rpartition("/")[2] in (ROOT / test).read_text()
    languages = {language for page in PAGES for language, _ in blocks(page)}
    assert languages == {"", "python", "sh", "toml"}
    assert all(language != "sh" or str(p.relative_to(ROOT)) in ELSEWHERE for p in PAGES for language, _ in blocks(p))


def test_the_cards_commands_are_those_of_the_readme_and_of_a_network_that_takes_hours():
    digits, cifar = steps_of(MODEL_CARDS)[:3], steps_of(MODEL_CARDS)[3:]
    assert digits == steps_of("README.md")[:3]
    assert [command.program for command in cifar] == [command.program for command in digits]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(SHOWN) - {*ELSEWHERE, MODEL_CARDS}))
def test_the_commands_of_a_page_run_in_their_order(name, given, workshop, monkeypatch):
    pytest.importorskip("matplotlib")
    kept = {"data", "adderhw"} if name in FROM_NOTHING else {*TAKEN.get(name, [path.name for path in given.iterdir()])}
    for path in workshop.iterdir():
        if path.name not in {*kept, "adderhw"}:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    done = 0
    for step in steps_of(name):
        if isinstance(step, str):
            exec(compile(step, f"{name}, a Python block", "exec"), {"__name__": "page"})
        elif step.text not in PARSED_ONLY:
            run(monkeypatch, step)
        done += 1
    assert done


@pytest.mark.slow
@pytest.mark.parametrize("program", [pytest.param(name, marks=NEEDS.get(name, ())) for name in APPS])
def test_the_examples_of_a_help_text_run(program, workshop, monkeypatch):
    for command in examples(program):
        if command.text not in PARSED_ONLY and not command.text.startswith("torchrun"):
            run(monkeypatch, command)
