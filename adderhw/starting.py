"""What a command says when it cannot begin: Ctrl-C while its modules are imported, a package that is missing.

Imported before everything else, so it imports next to nothing itself.
"""

import os
import signal
import sys

PACKAGES = ("adderhw", "export", "quant", "training")
SCRIPT = "adderhw-"
EXTRAS = {"torch": "[train]", "onnxscript": "[train]"}


def watch():
    """Watches over the imports of this process where it is one of this toolkit's commands, until `begun`."""
    if not _is_command():
        return
    _hold_descriptors()
    sys.excepthook = _told
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)


def begun():
    """Gives the process back: from here on the command says itself what goes wrong."""
    if sys.excepthook is _told:
        sys.excepthook = sys.__excepthook__
    if signal.getsignal(signal.SIGINT) is _interrupted:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _hold_descriptors():
    """Opens /dev/null for stdin, stdout and stderr that are closed, lest files that are opened get their numbers."""
    number = 0
    while number <= 2:
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)


def _is_command():
    """Whether `python -m` began with a module of this toolkit, or one of its scripts did."""
    begun_as = sys.argv[0] if sys.argv else ""
    if begun_as == "-m" and "-m" in sys.orig_argv[:-1]:
        return sys.orig_argv[sys.orig_argv.index("-m") + 1].split(".")[0] in PACKAGES
    return os.path.basename(begun_as).startswith(SCRIPT)


def _interrupted(number, frame):
    _leave("interrupted before it began", 1)


def _told(kind, error, traceback):
    missing = (getattr(error, "name", None) or "").split(".")[0]
    if issubclass(kind, ModuleNotFoundError) and missing not in ("", *PACKAGES):
        _leave(f"found no package {missing}, expected it installed: pip install adderhw{EXTRAS.get(missing, '')}", 2)
    sys.__excepthook__(kind, error, traceback)


def _leave(message, code):
    """Ends the process at once: nothing has begun, and shutting down half of an import may fail too."""
    os.write(2, f"error: {message}\n".encode())
    os._exit(code)
