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
        ({"data": "mnist"}, "data: found 'mnist', expected one of digits, cifar10, fashion-mnist"),
        ({"method": "mmd"}, "method: found 'mmd', expected one of cnn, ann, kd, pkkd"),
        ({"epochs": 0}, "epochs: found 0, expected at least 1"),
        ({"batch_size": 1}, "batch_size: found 1, expected at least 2"),
        ({"beta": float("nan")}, "beta: found nan, expected at least 0"),
        ({"lr": 0.0}, "lr: found 0.0, expected a number above 0"),
        ({"method": "ann", "teacher": "best.pt"}, "teacher: found 'best.pt' with method ann, expected kd or pkkd"),
    ],
)
def test_values_out_of_range_are_refused(change, message):
    with pytest.raises(AdderHwError) as error:
        Recipe(**change)
    assert str(error.value) == message
