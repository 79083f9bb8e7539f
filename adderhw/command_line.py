"""What every command line shares: a progress bar, and bad input as one line with its exit code."""

import contextlib
import os
import signal
import sys
from traceback import walk_tb

import typer
from rich.console import Console

from adderhw.errors import AdderHwError, RunError
from adderhw.files import check_writable
from adderhw.printable import one_line
from adderhw.starting import begun

TYPER_INTERRUPTED = 128 + signal.SIGINT  # what typer returns in place of a KeyboardInterrupt


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


def run_app(app, program, *, interrupted="interrupted; outputs that were not whole are gone"):
    """Runs a typer app and exits: 0 done, 1 for a run that failed or was interrupted, 2 for bad input.

    interrupted: what Ctrl-C prints. One line on stderr, never a traceback; a reader of stdout that leaves early is told
    nothing. What stdout's encoding does not have is written as an escape; where it is closed, text goes nowhere.
    """
    begun()
    take_any_text()
    try:
        code = app(prog_name=program, standalone_mode=False)
        if code == TYPER_INTERRUPTED:
            raise KeyboardInterrupt
        sys.stdout.flush()
    except RunError as error:
        code = complain(error, 1)
    except AdderHwError as error:
        code = complain(error, 2)
    except typer.TyperException as error:
        code = complain(f"{error.format_message()} (see {program} --help)", 2)
    except typer.Exit as done:
        code = done.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = complain(interrupted, 1)
    except BrokenPipeError:
        code = silenced(1)
    except MemoryError as error:
        code = silenced(complain(f"memory: found too little of it ({error}), expected enough for model and data", 1))
    except OSError as error:
        where = error.filename or "stdout, a temporary file or Numba's cache"
        code = silenced(
            complain(f"{where}: found {error.strerror or error}, expected a file to read or room to write", 1)
        )
    except Exception as error:
        if not from_kernel_cache(error):
            raise
        code = complain(damaged_cache(error), 1)
    sys.exit(code or 0)


def from_kernel_cache(error):
    """Whether Numba raised it while it read its cache of compiled kernels."""
    return any(frame.f_globals.get("__name__") == "numba.core.caching" for frame, _ in walk_tb(error.__traceback__))


def damaged_cache(error):
    """The line that says where compiled kernels lie which cannot be read."""
    from adderhw.kernels.program import run_alone  # numba, which has been loaded if its cache was read

    folder = run_alone.stats.cache_path
    return (
        f"compiled kernels in {folder}: found a damaged file ({type(error).__name__}), expected what Numba wrote; "
        "delete *.nbi and *.nbc there, and they are compiled again"
    )


def take_any_text():
    """Makes stdout and stderr write an escape where a character is not in their encoding, or nothing if closed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (open until the end)
        elif hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="backslashreplace")


def silenced(code):
    """Returns `code`; what stdout still holds goes nowhere, lest the interpreter's last flush fails too."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def complain(message, code):
    """Prints one line on stderr and returns the exit code."""
    print(one_line(f"error: {message}"), file=sys.stderr)
    return code
