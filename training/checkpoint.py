"""Checkpoints: best.pt and teacher.pt, networks that other packages read, and last.pt, from which a run goes on."""

import io
from pathlib import Path

import torch

from adderhw.errors import ModelError
from adderhw.files import write_atomic
from training import networks

FORMAT, RUN_FORMAT, VERSION = "adderhw-checkpoint", "adderhw-run", 1
FIELDS = ("network", "input_shape", "preprocess", "state_dict", "training", "metrics")


def load_network(path):
    """(network in evaluation mode, metadata) of a checkpoint written by `write_network`.

    metadata is the file's dictionary without the state: format, version, network {name, kind, classes,
    in_channels}, input_shape [C, H, W], preprocess {dataset, mean, std} (x = (pixel − mean) / std per channel),
    training (method, seed, all hyper-parameters) and metrics. Raises ModelError for a file that is missing, is
    not a checkpoint, is of another version, or whose state does not fit its network.
    """
    content = read(path, FORMAT)
    network = network_of(content, path)
    return network, {field: value for field, value in content.items() if field != "state_dict"}


def network_of(content, path):
    """The network, in evaluation mode, of what `read` gave for `path`; raises ModelError as `load_network` does."""
    missing = [field for field in FIELDS if field not in content]
    if missing:
        raise ModelError(f"{path}: found no {', '.join(missing)}, expected a checkpoint with {', '.join(FIELDS)}")
    try:
        options = dict(content["network"])
        network = networks.build(options.pop("name"), options.pop("kind"), **options)
        network.load_state_dict(content["state_dict"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{path}: found a state that is not that of its network ({reason})") from error
    return network.eval()


def write_network(path, network, *, description, preprocess, dataset, input_shape, training, metrics):
    """Write a network whole or not at all; `description` is the argument of networks.build as a dictionary."""
    content = {
        "network": dict(description),
        "input_shape": list(input_shape),
        "preprocess": {"dataset": dataset, "mean": list(preprocess.mean), "std": list(preprocess.std)},
        "state_dict": network.state_dict(),
        "training": dict(training),
        "metrics": dict(metrics),
    }
    write(path, FORMAT, content)


def write(path, form, content):
    """Write a dictionary of plain types and tensors under a format name and the version."""
    buffer = io.BytesIO()
    torch.save({"format": form, "version": VERSION, **content}, buffer)
    write_atomic(path, buffer.getvalue())


def read(path, form):
    """The dictionary that `write` wrote; nothing in the file is executed. Raises ModelError as `load_network` does."""
    content = load_plain(path, f"format {form!r}, a checkpoint that python -m training writes")
    if not isinstance(content, dict) or content.get("format") != form:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ModelError(f"{path}: found format {found!r}, expected {form!r}")
    if content.get("version") != VERSION:
        raise ModelError(f"{path}: found version {content.get('version')!r}, expected {VERSION}")
    return content


def load_plain(path, expected):
    """What a PyTorch file holds, on the CPU, if it is plain types and tensors; nothing in the file is executed.

    expected: what the file should be, for the ModelError raised where it is missing or is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: found no such file, expected {expected}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's restricted unpickler raises whatever it stumbles on in bytes of another kind
        raise ModelError(f"{path}: found no readable PyTorch file, expected {expected}") from error
