"""Recipes: what they refuse, in the words that reach the user."""

import pytest

from adderhw.errors import AdderHwError
from training.recipe import Recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model": "vgg"},
            "model: found 'vgg', expected one of digits_resnet, resnet20, resnet32, vgg_small, resnet18, resnet50",
        ),
        (
            {"data": "svhn"},
            "data: found 'svhn', expected one of digits, cifar10, cifar100, mnist, fashion-mnist, imagenet",
        ),
        ({"method": "nst"}, "method: found 'nst', expected one of cnn, bnn, ann, mmd, kd, pkkd"),
        ({"epochs": 0}, "epochs: found 0, expected at least 1"),
        ({"batch_size": 1}, "batch_size: found 1, expected at least 2"),
        ({"beta": float("nan")}, "beta: found nan, expected at least 0"),
        ({"lr": 0.0}, "lr: found 0.0, expected a number above 0"),
        ({"method": "ann", "teacher": "best.pt"}, "teacher: found 'best.pt' with method ann, expected mmd, kd or pkkd"),
        ({"features": "kernels"}, "features: found 'kernels', expected one of direct, conv, kernel, kernel+conv"),
        ({"match": "all"}, "match: found 'all', expected one of layers, blocks, stages"),
        ({"cnn_side": "free"}, "cnn_side: found 'free', expected one of learnt, fixed"),
        ({"exponent_limit": 0}, "exponent_limit: found 0, expected a number above 0"),
        ({"warmup": 40}, "warmup: found 40 epochs, expected 0 to 39"),
        ({"ema": 1.0}, "ema: found 1.0, expected a decay from 0 up to, but not including, 1"),
    ],
)
def test_values_out_of_range_are_refused(change, message):
    with pytest.raises(AdderHwError) as error:
        Recipe(**change)
    assert str(error.value) == message
