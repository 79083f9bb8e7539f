"""What the pages show is so: the demo's text, links and anchors, options and commands; the site builds."""

import importlib.util
import re
import subprocess
import sys

import pytest
import typer

from adderhw import cli
from adderhw.ops import OPS
from adderhw.ops.base import REQUIRED
from tests.docs.pages import APPS, PAGES, ROOT, command_of, examples, options_of, parse, prose, shown_commands

by_name = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_the_demo_in_the_readme_is_what_the_simulator_prints(monkeypatch, capsys):
    shown = (ROOT / "README.md").read_text().split("<!-- demo -->")[1].split("<!-- /demo -->")[0]
    monkeypatch.setattr(sys, "argv", ["simulate"])
    with pytest.raises(SystemExit):
        cli.main()
    printed = capsys.readouterr().out.replace(f"{ROOT}/", "").splitlines()
    for line in shown.strip().strip("`").strip().splitlines():
        assert line in printed or line == "…", line


def anchors(page):
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@by_name
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name) if name else page
        assert path.exists(), target
        assert path.resolve().is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(path), target


@by_name
def test_every_command_shown_in_a_block_can_be_parsed(page):
    for command in shown_commands(page):
        try:
            parse(command)
        except typer.TyperException as error:
            pytest.fail(f"{command.text}: {error.format_message()}")


@pytest.mark.parametrize("program", APPS)
def test_every_help_has_examples_that_can_be_parsed(program):
    found = examples(program)
    assert found
    for command in found:
        parse(command)


@by_name
def test_commands_and_options_named_in_the_text_exist(page):
    known = set().union(*map(options_of, APPS))
    for span in re.findall(r"`([^`\n]+)`", prose(page)):
        for module in re.findall(r"^python -m ([\w.]+)", span):
            assert importlib.util.find_spec(module), span
        for target in re.findall(r"^make ([\w-]+)", span):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), span
        command = command_of(span) if span.startswith("python -m") and "…" not in span else None
        options = options_of(command.program) if command else known
        if span.startswith(("--", "python -m")) and (command or span.startswith("--")):
            assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", span)) <= options | OTHER_OPTIONS, span


OTHER_OPTIONS = {"--files", "--jobs", "--memory", "--networks", "--only", "--seconds", "--target"}  # of fuzz and soak


def test_the_table_of_the_file_format_is_that_of_the_ops():
    text = (ROOT / "docs" / "formats.md").read_text()
    rows = {
        row[0]: row[1:] for row in re.findall(r"^\| `(\w+)` \| ([\w.]+) \| (.*?) \| (\w+) \| ?(.*?) ?\|$", text, re.M)
    }
    assert set(rows) == {op.name for op in OPS}
    for op in OPS:
        domain, inputs, output, attributes = rows[op.name]
        required = len(op.inputs) - op.optional
        names = [name if at < required else f"[{name}]" for at, name in enumerate(op.inputs)]
        assert inputs == ", ".join([*names, *(["…"] if op.variadic else [])])
        assert (domain, output) == (op.domain or "ai.onnx", op.output)
        assert attributes == ", ".join(f"`{name}`{default_of(each)}" for name, each in op.attributes.items())


def default_of(attribute):
    """' = 1 1' of an Attribute, '' where it must be there."""
    if attribute.default is REQUIRED:
        return ""
    value = attribute.default
    return f" = {' '.join(map(str, value)) if isinstance(value, tuple) else value}"


def test_every_page_is_in_the_navigation_and_every_package_in_the_reference():
    config = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.relative_to(ROOT / "docs").as_posix() in config
        assert page.stem == "index" or f"({page.relative_to(ROOT / 'docs').as_posix()})" in INDEX
    for module in re.findall(
        r"^::: ([\w.]+)$", "\n".join(p.read_text() for p in (ROOT / "docs/api").glob("*.md")), re.M
    ):
        assert importlib.util.find_spec(module), module


INDEX = (ROOT / "docs" / "index.md").read_text()


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    page = (tmp_path / "site" / "api" / "adderhw.html").read_text()
    assert 'id="adderhw.simulation.simulate"' in page
    assert "Results do not depend on path, batch size or threads." in page
