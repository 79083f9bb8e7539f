"""What a training run depends on, checked once."""

from dataclasses import asdict, dataclass, field

from adderhw.errors import AdderHwError, DataError
from training.data import PREPROCESS
from training.distil import CNN_SIDES, FEATURES, PLACES
from training.layers import DEFAULT_ETA
from training.networks import ARCHITECTURES

METHODS = ("cnn", "bnn", "ann", "mmd", "kd", "pkkd")
PRECISIONS = ("float32", "bfloat16")


def _told(default, text):
    """A field with its default, and what --help says of it."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Recipe:
    """Model, data and hyper-parameters of one run; equal recipes give equal weights on one machine and thread count.

    Each field is an option of the command lines, and says there what it is. method: 'cnn', 'bnn' and 'ann' learn
    from labels; 'kd' is an ANN that also learns from a CNN twin's scores, 'pkkd' from its intermediate responses too
    (Xu 2020), 'mmd' from labels and from what the twin's neurons select (Huang 2017). teacher: None lets the twin
    learn beside the student (progressive); a best.pt fixes it. eta is Chen 2020's. precision: 'bfloat16' is
    PyTorch's autocast. Raises AdderHwError for values out of range.
    """

    model: str = _told("digits_resnet", f"Network: {', '.join(ARCHITECTURES)}.")
    data: str = _told("digits", f"Data set: {', '.join(PREPROCESS)}.")
    method: str = _told("pkkd", f"One of {', '.join(METHODS)}.")
    epochs: int = _told(40, "Passes over the training images.")
    seed: int = _told(0, "Fixes weights, order and augmentation.")
    alpha: float = _told(1.0, "Weight of the teacher's scores in the loss (kd, pkkd).")
    beta: float = _told(1.0, "Weight of the intermediate layers' match in the loss (pkkd, mmd).")
    features: str = _told("kernel+conv", f"How pkkd compares layers: {', '.join(FEATURES)}.")
    match: str = _told("layers", "Where pkkd and mmd compare: in all layers, or at the end of blocks or stages.")
    variance_ann: float = _told(1.0, "σ² of the adder layers' kernel at the start, in terms per sum (pkkd).")
    variance_cnn: float = _told(1.0, "σ² of the convolutions' kernel at the start, in root mean squares (pkkd).")
    exponent_limit: float = _told(2.0, "Bound of the magnitude of the kernels' exponents (pkkd).")
    cnn_side: str = _told("learnt", "The convolutions' σ and ρ: learnt with the adder network, or fixed (pkkd).")
    lr: float = _told(0.1, "Learning rate at the start of the cosine schedule.")
    batch_size: int = _told(64, "Images per step, over all processes.")
    momentum: float = _told(0.9, "Of stochastic gradient descent.")
    weight_decay: float = _told(5e-4, "L2 penalty on every weight of the networks.")
    eta: float = _told(DEFAULT_ETA, "Adaptive learning rate of the adder layers.")
    warmup: int = _told(0, "Epochs over which the learning rate grows to --lr.")
    ema: float = _told(0.0, "Decay per step of the moving average of the weights that is judged and written; 0: none.")
    precision: str = _told("float32", "Operands of convolutions and linear layers: float32 or bfloat16.")
    teacher: str | None = _told(None, "A CNN's best.pt, to use as a fixed teacher (mmd, kd, pkkd).")
    limit: int | None = _told(None, "Use only the first so many training images.")

    def __post_init__(self):
        _require_one_of("model", self.model, ARCHITECTURES)
        _require_one_of("method", self.method, METHODS)
        if self.data not in PREPROCESS:
            raise DataError(f"data: found {self.data!r}, expected one of {', '.join(PREPROCESS)}")
        _require_one_of("features", self.features, FEATURES)
        _require_one_of("match", self.match, PLACES)
        _require_one_of("cnn_side", self.cnn_side, CNN_SIDES)
        _require_one_of("precision", self.precision, PRECISIONS)
        for name, least in (("epochs", 1), ("batch_size", 2), ("seed", 0), ("alpha", 0), ("beta", 0)):
            _require_at_least(name, getattr(self, name), least)
        for name in ("lr", "eta", "variance_ann", "variance_cnn", "exponent_limit"):
            _require_positive(name, getattr(self, name))
        for name in ("momentum", "weight_decay"):
            _require_at_least(name, getattr(self, name), 0)
        if not 0 <= self.warmup < self.epochs:
            raise AdderHwError(f"warmup: found {self.warmup} epochs, expected 0 to {self.epochs - 1}")
        if not 0 <= self.ema < 1:
            raise AdderHwError(f"ema: found {self.ema}, expected a decay from 0 up to, but not including, 1")
        if self.teacher and not self.distils:
            raise AdderHwError(f"teacher: found {self.teacher!r} with method {self.method}, expected mmd, kd or pkkd")

    @property
    def kind(self):
        """The kind of network that is trained and written: 'cnn', 'bnn' or 'ann'."""
        return self.method if self.method in ("cnn", "bnn") else "ann"

    @property
    def distils(self):
        """Whether a teacher takes part."""
        return self.method in ("mmd", "kd", "pkkd")

    @property
    def blends(self):
        """Whether the teacher's scores are part of the loss."""
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
