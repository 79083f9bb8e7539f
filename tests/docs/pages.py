"""What the pages and the --help texts show: fenced blocks, commands, links; and how a command line is parsed."""

import contextlib
import importlib
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import typer

ROOT = Path(__file__).parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("adderhw/models/*.md")})
APPS = {
    "adderhw.simulate": "adderhw.cli",
    "adderhw.sweep": "quant.sweep_command",
    "quant": "quant.__main__",
    "quant compare": "quant.compare_command",
    "quant mixed": "quant.mixed_command",
    "quant qat": "quant.qat_command",
    "export": "export.__main__",
    "training": "training.__main__",
    **{f"adderhw.{name}": f"adderhw.{name}" for name in ("compare", "cosim", "crosscheck", "synthesis", "vectors")},
    **{f"training.{name}": f"training.{name}" for name in ("convert", "evaluate", "figures", "table", "taps")},
}


class Command(NamedTuple):
    """A command line `text` of a page or --help; `program`, a key of APPS, and its `arguments`."""

    text: str
    program: str
    arguments: tuple[str, ...]


def blocks(page):
    """(language, body) of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def prose(page):
    """The page without its fenced blocks."""
    return re.sub(r"^```\w*\n.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def command_of(text):
    """The Command of a line `python -m PROGRAM …`, whose words may be followed by two blanks and a remark; or None."""
    line = re.split(r"  +|  #| \|\| ", text.strip())[0]
    if not line.startswith(("python -m ", "torchrun ")):
        return None
    words = shlex.split(line)
    if words[:1] == ["torchrun"]:
        words = ["python", *words[words.index("-m") :]]
    for length in (2, 1):
        program = " ".join(words[2 : 2 + length])
        if program in APPS:
            return Command(line, program, tuple(words[2 + length :]))
    return None


def shown_commands(page):
    """The Commands in a page's blocks, fenced or indented, in order."""
    lines = [line for _, body in blocks(page) for line in body.splitlines()]
    lines += re.findall(r"^    (python -m .*)$", prose(page), re.MULTILINE)
    return [command for command in map(command_of, lines) if command]


def examples(program):
    """The Commands that a program's --help shows."""
    epilog = app_of(program).epilog or ""
    return [command for command in map(command_of, epilog.splitlines()) if command]


def app_of(program):
    """The program's command object."""
    return typer.main.get_command(importlib.import_module(APPS[program]).app)


def parse(command):
    """Reads a Command's options and arguments as the program does, without running it; raises typer's exception."""
    app, arguments = app_of(command.program), list(command.arguments)
    if hasattr(app, "commands"):
        app = app.commands[arguments.pop(0)]
    with contextlib.suppress(typer.Exit):  # --help
        app.make_context(command.program, arguments)


def options_of(program):
    """All option names of a program, --no- forms too."""
    app = app_of(program)
    return {
        name
        for each in (app, *getattr(app, "commands", {}).values())
        for parameter in each.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help"}
