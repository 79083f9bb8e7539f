"""What an interrupted quantisation-aware training goes on from: its Start and all that changes, in one file."""

from dataclasses import asdict

import torch

from adderhw.errors import AdderHwError
from adderhw.fixed import Format
from quant.choices import Choices
from quant.qat_start import Seen, Start
from quant.settings import Settings

FORMAT = "adderhw-qat"


def write_state(path, identity, start, state):
    """Writes the file whole or not at all. identity: plain types that the next run must equal; state: Run.state()."""
    from training import checkpoint

    checkpoint.write(path, FORMAT, {"identity": identity, "start": plain(start), "state": state})


def read_state(path, identity):
    """(Start, state) that write_state wrote; None where there is no file. Raises AdderHwError for another identity."""
    from training import checkpoint

    if not path.exists():
        return None
    content = checkpoint.read(path, FORMAT)
    for name, expected in identity.items():
        if content["identity"].get(name) != expected:
            raise AdderHwError(
                f"{path}: found a run with {name} {content['identity'].get(name)!r}, expected {expected!r}; "
                "name another output or remove this file"
            )
    return start_from(content["start"]), content["state"]


def plain(start):
    """A Start as plain types and tensors."""
    return {
        "observed": {
            name: {"shape": list(seen.shape), "low": seen.low, "high": seen.high, "mean": torch.tensor(seen.mean)}
            for name, seen in start.observed.items()
        },
        "source": asdict(start.source),
        "settings": asdict(start.settings),
        "ranges": {name: list(ends) for name, ends in start.choices.ranges.items()},
        "corrections": {name: torch.tensor(values) for name, values in start.choices.corrections.items()},
        "grids": {name: asdict(grid) for name, grid in start.grids.items()},
        "learning": list(start.learning),
        "weight_steps": {name: torch.tensor(steps) for name, steps in start.weight_steps.items()},
    }


def start_from(content):
    """The Start that `plain` took apart."""
    seen = {
        name: Seen(tuple(each["shape"]), each["low"], each["high"], each["mean"].numpy())
        for name, each in content["observed"].items()
    }
    choices = Choices(
        ranges={name: tuple(ends) for name, ends in content["ranges"].items()},
        corrections={name: values.numpy() for name, values in content["corrections"].items()},
    )
    return Start(
        seen,
        Format(**content["source"]),
        Settings(**content["settings"]),
        choices,
        {name: Format(**grid) for name, grid in content["grids"].items()},
        tuple(content["learning"]),
        {name: steps.numpy() for name, steps in content["weight_steps"].items()},
    )
