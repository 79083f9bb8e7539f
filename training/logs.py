"""TensorBoard events of a run, beside its epochs.csv."""

import contextlib
import os
import time
from types import SimpleNamespace

from adderhw.errors import AdderHwError
from adderhw.files import write_error

FOLDER = "tensorboard"
VERSION = "brain.Event:2"


@contextlib.contextmanager
def open_log(output, run, wanted):
    """Gives log(row), which writes a row of epochs.csv to `output`/tensorboard if `wanted` and this process is first.

    Epochs that an interrupted run had logged and now does again are shown once. Not by a SummaryWriter, whose
    thread meets a full disk with a traceback. Raises AdderHwError where the package tensorboard is wanted and not
    installed, WriteError where the disk is full.
    """
    if not wanted or not run.place.is_first:
        yield lambda row: None
        return
    events, folder = _events(), output / FOLDER

    def write(**fields):
        try:
            folder.mkdir(exist_ok=True)
            with open(folder / f"events.out.tfevents.{started}.{os.getpid()}", "ab") as file:
                events.RecordWriter(file).write(events.Event(wall_time=time.time(), **fields).SerializeToString())
        except OSError as error:
            raise write_error(folder, error) from error

    def log(row):
        told = {name: value for name, value in row.items() if name != "epoch" and value is not None}
        values = [events.Summary.Value(tag=name, simple_value=value) for name, value in told.items()]
        write(step=row["epoch"], summary=events.Summary(value=values))

    started = time.time_ns()
    write(file_version=VERSION)
    write(step=run.epoch + 1, session_log=events.SessionLog(status=events.SessionLog.START))
    yield log


def _events():
    """What TensorBoard's event files are made of."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError as error:
        raise AdderHwError(
            "tensorboard: found no such package, expected it: pip install adderhw[tensorboard]"
        ) from error
    return SimpleNamespace(Event=Event, SessionLog=SessionLog, Summary=Summary, RecordWriter=RecordWriter)
