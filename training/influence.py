"""python -m training.influence: how much of a step of distillation its match of the layers steers, layer by layer.

AdderNet's rate keeps only the direction of a layer's gradient, so what a term of the loss is worth is how far it
turns that direction.
"""

from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import typer
from rich.console import Console
from rich.table import Table

from adderhw.errors import AdderHwError
from training import command_line as options
from training import loop
from training.data import load_training
from training.distil import FeatureMatch, layers_at
from training.learners import start, student_loss

app = typer.Typer(add_completion=False, rich_markup_mode=None)
WIDTH = 120

EPILOG = """
Example:

  python -m training.influence runs/digits
"""


class Influence(NamedTuple):
    """What β times the match does to one adder layer's weights.

    ratio: the norm of its gradient over that of the rest of the loss; cosine: of the angle between the two; turned:
    the cosine between the gradients of the rest and of the whole loss, 1 where the match changes nothing. variances:
    σ_a² and σ_c² of the kernels, None where the match has none.
    """

    layer: str
    ratio: float
    cosine: float
    turned: float
    variances: tuple[float, float] | None


@app.command(epilog=EPILOG)
def command(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run of --method pkkd or mmd.")],
    images: Annotated[int, typer.Option(help="Training images of which the gradients are.", min=2)] = 512,
    root: options.Root = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
):
    """Print how far the match of the layers turns each adder layer's gradient, by the weights in RUN/last.pt."""
    recipe = loop.recipe_of(folder)
    training, _ = load_training(recipe.data, limit=recipe.limit, root=root)
    with options.computing(device, threads) as place:
        training = training.to(place.device)
        run = start(recipe, training, place)
        if not run.student.match:
            raise AdderHwError(f"{folder}: found a run with method {recipe.method!r}, expected pkkd or mmd")
        loop.resume(run, folder)
        batch = next(iter(training.epoch_batches(images, seed=recipe.seed, epoch=run.epoch)))
        print_table(folder, run, measure(run, batch))


def measure(run, batch):
    """[Influence] of every intermediate layer, on a Batch; statistics of batch norms move, nothing else does."""
    for learner in run.learners:
        learner.network.train(learner.optimiser is not None)
    student, names = run.student, run.student.network.intermediate_layers()
    with torch.no_grad():
        teacher_scores = run.teacher.network(batch.images)
    scores = student.network(batch.images)
    rest = student_loss(run, scores, batch.labels, teacher_scores, 0.0)
    match = run.recipe.beta * student.match(student.recorder.responses, run.teacher.recorder.responses)
    weights = [student.network.get_submodule(name).weight for name in names]
    of_rest = torch.autograd.grad(rest, weights, retain_graph=True)
    of_match = torch.autograd.grad(match, weights, allow_unused=True)
    pairs = {}
    if isinstance(student.match, FeatureMatch):
        pairs = dict(zip(layers_at(student.network, run.recipe.match), student.match.layers, strict=True))
    return [
        Influence(name, *compared(own, torch.zeros_like(own) if other is None else other), variances(pairs.get(name)))
        for name, own, other in zip(names, of_rest, of_match, strict=True)
    ]


def compared(rest, match):
    """(ratio, cosine, turned) of the gradients of the rest of the loss and of the match; see Influence."""
    whole = rest + match
    return (match.norm() / rest.norm()).item(), cosine(rest, match), cosine(rest, whole)


def cosine(a, b):
    """The cosine of the angle between two tensors; 0 where one is 0."""
    size = a.norm() * b.norm()
    return ((a * b).sum() / size).item() if size > 0 else 0.0


def variances(layer):
    """(σ_a², σ_c²) of a LayerMatch; None without one, or without kernels."""
    if layer is None or layer.log_variance_ann is None:
        return None
    return layer.log_variance_ann.exp().item(), layer.log_variance_cnn.exp().item()


def print_table(folder, run, rows):
    """Prints the rows, and after how many epochs and steps they were measured."""
    print(f"{folder}: {run.recipe.method}, {run.epoch} epochs and {run.steps} steps")
    table = Table()
    for heading in ("layer", "|β∇match| / |∇rest|", "cosine", "rest to whole", "σ_a²", "σ_c²"):
        table.add_column(heading, justify="left" if heading == "layer" else "right", overflow="fold")
    for row in rows:
        sigmas = ["–", "–"] if row.variances is None else [f"{each:.1f}" for each in row.variances]
        table.add_row(row.layer, f"{row.ratio:.3f}", f"{row.cosine:.2f}", f"{row.turned:.2f}", *sigmas)
    Console(width=WIDTH).print(table)


def main():
    """The entry of python -m training.influence."""
    options.run(app, "python -m training.influence")


if __name__ == "__main__":
    main()
