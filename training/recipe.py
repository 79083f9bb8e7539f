"""What a training run depends on, checked once."""

from dataclasses import asdict, dataclass

from adderhw.errors import AdderHwError, DataError
from training.data import PREPROCESS
from training.layers import DEFAULT_ETA
from training.networks import ARCHITECTURES

METHODS = ("cnn", "ann", "kd", "pkkd")


@dataclass(frozen=True)
class Recipe:
    """Model, data and hyper-parameters of one run; equal recipes give equal weights on one machine and thread count.

    method: 'cnn' and 'ann' learn from labels; 'kd' is an ANN that also learns from a CNN twin's scores, 'pkkd'
    from its intermediate responses too. teacher: None lets the twin learn beside the student (progressive);
    a best.pt fixes it. alpha, beta: weights of the teacher's scores and of L_mid (Xu 2020). eta: the adder layers'
    adaptive rate (Chen 2020). lr: the start of the cosine schedule. Raises AdderHwError for values out of range.
    """

    model: str = "digits_resnet"
    data: str = "digits"
    method: str = "pkkd"
    epochs: int = 40
    seed: int = 0
    alpha: float = 1.0
    beta: float = 1.0
    lr: float = 0.1
    batch_size: int = 64
    momentum: float = 0.9
    weight_decay: float = 5e-4
    eta: float = DEFAULT_ETA
    teacher: str | None = None
    limit: int | None = None

    def __post_init__(self):
        _require_one_of("model", self.model, ARCHITECTURES)
        _require_one_of("method", self.method, METHODS)
        if self.data not in PREPROCESS:
            raise DataError(f"data: found {self.data!r}, expected one of {', '.join(PREPROCESS)}")
        for name, least in (("epochs", 1), ("batch_size", 2), ("seed", 0), ("alpha", 0), ("beta", 0)):
            _require_at_least(name, getattr(self, name), least)
        for name in ("lr", "eta"):
            _require_positive(name, getattr(self, name))
        _require_at_least("weight_decay", self.weight_decay, 0)
        if self.teacher and not self.distils:
            raise AdderHwError(f"teacher: found {self.teacher!r} with method {self.method}, expected kd or pkkd")

    @property
    def kind(self):
        """The kind of network that is trained and written: 'cnn' or 'ann'."""
        return "cnn" if self.method == "cnn" else "ann"

    @property
    def distils(self):
        """Whether a teacher takes part."""
        return self.method in ("kd", "pkkd")

    def as_dict(self):
        """Every field by name, as checkpoints keep it."""
        return asdict(self)


def _require_one_of(name, found, known):
    if found not in known:
        raise AdderHwError(f"{name}: found {found!r}, expected one of {', '.join(known)}")


def _require_at_least(name, found, least):
    if not found >= least:
        raise AdderHwError(f"{name}: found {found}, expected at least {least}")


def _require_positive(name, found):
    if not found > 0:
        raise AdderHwError(f"{name}: found {found}, expected a number above 0")
