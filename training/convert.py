"""python -m training.convert: weights of the published AdderNet code become a checkpoint of this package.

That code is huawei-noah/AdderNet, of Chen 2020 (H. Chen, Y. Wang, C. Xu, B. Shi, C. Xu, Q. Tian and C. Xu, "AdderNet:
Do We Really Need Multiplications in Deep Learning?", CVPR 2020), and what others trained with it.
"""

import re
from pathlib import Path
from typing import Annotated

import typer

from adderhw.cifar import CIFAR10_CLASSES, CIFAR100_CLASSES
from adderhw.errors import ModelError
from training import checkpoint, networks
from training import command_line as options
from training.data import Preprocess
from training.networks import ARCHITECTURES

MODELS = ("resnet20", "resnet32")
CLASSES = {"cifar10": len(CIFAR10_CLASSES), "cifar100": len(CIFAR100_CLASSES)}
# That code divides pixels by 255 and then normalises with these.
PREPROCESS = Preprocess(
    tuple(255 * mean for mean in (0.4914, 0.4822, 0.4465)), tuple(255 * std for std in (0.2023, 0.1994, 0.2010))
)
EPSILON = 1e-5
RENAMED = (
    (r"conv1\.weight", "stem.weight"),
    (r"bn1\.(\w+)", r"bn.\1"),
    (r"(blocks\.\d+\.conv\d)\.adder", r"\1.weight"),
    (r"(blocks\.\d+)\.downsample\.0\.adder", r"\1.shortcut.0.weight"),
    (r"(blocks\.\d+)\.downsample\.(1\.\w+)", r"\1.shortcut.\2"),
)

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EPILOG = """
Example:

  python -m training.convert resnet20.pt -o runs/outside.pt
"""


@app.command(epilog=EPILOG)
def command(
    weights: Annotated[Path, typer.Argument(help="A state dictionary of that code's resnet20, saved by torch.save.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The checkpoint to write.")],
    model: Annotated[str, typer.Option(help=f"Network: {', '.join(MODELS)}.")] = "resnet20",
    data: Annotated[str, typer.Option(help="Data set it was trained on: cifar10, cifar100.")] = "cifar10",
):
    """Write weights trained with the published AdderNet code as a checkpoint that the other commands read.

    Its last layer, a 1×1 convolution and a batch norm, becomes the linear layer that computes the same.
    """
    description = describe(model, data)
    network = convert(checkpoint.load_plain(weights, "weights of the published AdderNet code"), description, weights)
    checkpoint.write_network(
        output,
        network,
        description=description,
        preprocess=PREPROCESS,
        dataset=data,
        input_shape=(3, 32, 32),
        training={"method": "ann", "converted": weights.name},
        metrics={},
    )
    print(f"{output}: {model} with {sum(each.numel() for each in network.parameters()):,} parameters")


def describe(model, data):
    """The argument of networks.build as a dictionary; raises ModelError for what that code does not have."""
    for name, found, known in (("model", model, MODELS), ("data", data, CLASSES)):
        if found not in known:
            raise ModelError(f"{name}: found {found!r}, expected one of {', '.join(known)}")
    return {"name": model, "kind": "ann", "classes": CLASSES[data], "in_channels": 3}


def convert(state, description, path):
    """The network, in evaluation mode, that computes what the published code's network with this state computes.

    state: its dictionary of tensors; path: where it came from, for the ModelError raised where it does not fit.
    """
    network = networks.build(**description)
    try:
        network.load_state_dict(_renamed(state, ARCHITECTURES[description["name"]]))
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ModelError(f"{path}: found a state that is not that of {description['name']} ({reason})") from error
    return network.eval()


def fold_last_layer(weight, scale, shift, mean, variance):
    """(weight (O, K), bias (O,)) of the linear layer that computes the batch norm of a 1×1 convolution's answers.

    weight: float32 (O, K, 1, 1); the batch norm's four: float32 (O,). With s = scale / sqrt(variance + 1e-5) that is
    (s·weight, shift − s·mean), computed in float64 and rounded once to float32.
    """
    s = scale.double() / (variance.double() + EPSILON).sqrt()
    return (s[:, None] * weight[:, :, 0, 0].double()).float(), (shift.double() - s * mean.double()).float()


def _renamed(state, architecture):
    """That code's state under this package's names."""
    state = {name.removeprefix("module."): value for name, value in state.items()}  # as DataParallel writes them
    last = [state.pop("fc.weight"), *(state.pop(f"bn2.{name}") for name in ("weight", "bias"))]
    last += [state.pop(f"bn2.running_{name}") for name in ("mean", "var")]
    state.pop("bn2.num_batches_tracked", None)
    weight, bias = fold_last_layer(*last)
    renamed = {_name(name, architecture): value for name, value in state.items()}
    return {**renamed, "classifier.weight": weight, "classifier.bias": bias}


def _name(name, architecture):
    """The name of one tensor: stages' blocks are counted through, and layers renamed."""
    stage = re.fullmatch(r"layer(\d)\.(\d+)\.(.+)", name)
    if stage:
        number, block, rest = int(stage[1]), int(stage[2]), stage[3]
        name = f"blocks.{sum(architecture.blocks[: number - 1]) + block}.{rest}"
    for pattern, replacement in RENAMED:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, replacement, name)
    return name


def main():
    """The entry of python -m training.convert."""
    options.run(app, "python -m training.convert")


if __name__ == "__main__":
    main()
