"""TensorBoard events of a run, beside its epochs.csv."""

import contextlib
import os

from adderhw.errors import AdderHwError
from adderhw.files import write_error

FOLDER = "tensorboard"


@contextlib.contextmanager
def open_log(output, run, wanted):
    """Gives log(row), which writes a row of epochs.csv to `output`/tensorboard if `wanted` and this process is first.

    Epochs that an interrupted run had logged and now does again are shown once. Raises AdderHwError where
    the package tensorboard is wanted and not installed.
    """
    if not wanted or not run.place.is_first:
        yield lambda row: None
        return
    folder = output / FOLDER
    with _writer(folder, run.epoch + 1) as writer:

        def log(row):
            try:
                for name, value in row.items():
                    if name != "epoch" and value is not None:
                        writer.add_scalar(name, value, row["epoch"])
                writer.flush()
            except OSError as error:
                raise write_error(folder, error) from error

        yield log


def _writer(folder, first_epoch):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise AdderHwError(
            "tensorboard: found no such package, expected it: pip install adderhw[tensorboard]"
        ) from error
    return SummaryWriter(str(folder), purge_step=first_epoch)
