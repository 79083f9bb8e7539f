"""How activations lie in memory: channels last (N, H, W, C) between kernels, (N, C, H, W) in ONNX."""

import numpy as np


def channels_last_shape(shape):
    """(C, H, W) → (H, W, C); other ranks as they are."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else tuple(shape)


def channels_last(array):
    """(N, C, H, W) as a view (N, H, W, C); other ranks as they are."""
    return np.moveaxis(array, 1, -1) if array.ndim == 4 else array


def channels_first(array):
    """(N, H, W, C) as a view (N, C, H, W); other ranks as they are."""
    return np.moveaxis(array, -1, 1) if array.ndim == 4 else array
