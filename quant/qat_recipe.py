"""What a quantisation-aware training depends on beside the quantisation's settings, checked once."""

from dataclasses import asdict, dataclass

from adderhw.errors import AdderHwError, RunError


class DivergedError(RunError):
    """The loss is no longer a finite number."""


@dataclass(frozen=True)
class QatRecipe:
    """Equal recipes give equal networks on one machine and thread count; raises AdderHwError for values out of range.

    data: a data set that python -m training knows; every tenth training image is for validation. epochs: passes over
    the others; steps: stop earlier, after so many batches. lr: Adam's rate at the start, in steps of the grids (see
    qat_rates); half a cosine takes it to 0. teacher: a CNN's best.pt, None: the float network, without labels. alpha:
    weight of the CNN's scores beside the labels; beta: of the match of the layers, where the model is a checkpoint too.
    samples: calibration images. limit: only the first so many training images.
    """

    data: str
    epochs: int = 1
    steps: int | None = None
    seed: int = 0
    lr: float = 2**-7
    batch_size: int = 64
    alpha: float = 1.0
    beta: float = 1.0
    teacher: str | None = None
    samples: int = 256
    limit: int | None = None

    def __post_init__(self):
        least = {"epochs": 1, "steps": 1, "seed": 0, "batch_size": 1, "alpha": 0, "beta": 0, "samples": 1, "limit": 1}
        for name, lowest in least.items():
            found = getattr(self, name)
            if found is not None and not found >= lowest:
                raise AdderHwError(f"{name}: found {found}, expected at least {lowest}")
        if not 0 < self.lr < float("inf"):
            raise AdderHwError(f"lr: found {self.lr}, expected a finite number above 0")

    def as_dict(self):
        """Every field by name, as checkpoints and the model's metadata keep it."""
        return asdict(self)
