"""What every command line shares: a progress bar, and bad input as one line with its exit code."""

import contextlib
import sys

import typer
from rich.console import Console

from adderhw.errors import AdderHwError
from adderhw.files import check_writable


@contextlib.contextmanager
def progress_bar(title="images"):
    """Gives a callback (done, total, words=title) that draws a bar on stderr, or None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total, words=title: bar.update(task, completed=done, total=total, description=words)


def wide_console():
    """A Console for tables: as wide as the terminal, 120 columns in a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=120)


def check_outputs(paths):
    """Raises AdderHwError unless all files have names of their own and can be written."""
    if len(set(paths)) < len(paths):
        raise AdderHwError(f"outputs: found {[str(path) for path in paths]}, expected different names")
    for path in paths:
        check_writable(path)


def run_app(app, program, *, failures=(), interrupted="interrupted"):
    """Runs a typer app and exits: 0 done, 1 for `failures` and interruption, 2 for bad input; never a traceback.

    failures: exception classes that mean that the run failed, not the input. interrupted: what Ctrl-C prints.
    """
    try:
        code = app(prog_name=program, standalone_mode=False)
    except failures as error:
        code = complain(error, 1)
    except AdderHwError as error:
        code = complain(error, 2)
    except typer.TyperException as error:
        code = complain(f"{error.format_message()} (see {program} --help)", 2)
    except typer.Exit as done:
        code = done.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = complain(interrupted, 1)
    sys.exit(code or 0)


def complain(message, code):
    """Prints one line on stderr and returns the exit code."""
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
    return code
