"""How far the integer network's outputs are from the float network's: the loss of searches over whole networks."""

import numpy as np


def divergence(expected, found):
    """The loss of `found` against `expected`, dicts of output name → float32 (N, …): the mean of `divergences`."""
    return float(divergences(expected, found).mean())


def divergences(expected, found):
    """float64 (N,): how far each image's outputs in `found` are from those in `expected`, summed over the outputs.

    Of an output (N, classes) the Kullback-Leibler divergence in nats of softmax(found) from softmax(expected); of any
    other shape the mean squared error relative to the variance of what is expected.
    """
    return sum(
        kullback_leibler(wanted, found[name]) if wanted.ndim == 2 else relative_error(wanted, found[name])
        for name, wanted in expected.items()
    )


def kullback_leibler(expected, found):
    """float64 (N,): Σ p·(ln p − ln q) in nats with p = softmax(expected), q = softmax(found), both (N, classes).

    It is never negative; where rounding makes it so, by some 1e-39, it is 0.
    """
    p, q = log_softmax(expected), log_softmax(found)
    return np.maximum((np.exp(p) * (p - q)).sum(axis=1), 0.0)


def log_softmax(logits):
    """ln softmax of (N, classes) in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def relative_error(expected, found):
    """float64 (N,): E[(found − expected)²] / Var(expected) of each image; a variance of 0 counts as 1."""
    squares = (found.astype(np.float64) - expected) ** 2
    return squares.reshape(len(squares), -1).mean(axis=1) / (expected.var(dtype=np.float64) or 1.0)
