"""What every command line shares: a progress bar, and bad input as one line with its exit code."""

import contextlib
import sys

import typer
from rich.console import Console

from adderhw.errors import AdderHwError


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
