"""The command line that writes golden vectors: python -m adderhw.vectors MODEL --out DIR."""

from pathlib import Path
from typing import Annotated

import typer

from adderhw.command_line import run_app
from adderhw.hardware import command_options as options

PROGRAM = "python -m adderhw.vectors"
EXAMPLES = f"""Examples:

  {PROGRAM} --out vectors                            every adder layer of the digits network that ships, 16 images

  {PROGRAM} ann20_int8.onnx --data cifar10 --layers blocks.1.conv1,blocks.7.conv2 --out vectors

  {PROGRAM} --accumulator-bits 12 --overflow saturate --out vectors
"""
app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def command(
    out: Annotated[Path, typer.Option(help="Folder to write, new or empty.")],
    model: options.Model = None,
    data: options.Data = "digits",
    split: options.Split = "test",
    limit: options.Limit = 16,
    layers: options.Layers = "",
    accumulator_bits: options.AccumulatorBits = 0,
    overflow: options.Overflow = "wrap",
    lanes: options.Lanes = 16,
) -> None:
    """Write what enters and leaves each adder layer, as .npy and hex, with testbenches in SystemVerilog."""
    from adderhw.hardware.vector_files import MANIFEST, write_vectors
    from adderhw.simulation import SHIPPED_MODEL, load

    manifest = write_vectors(
        load(model or SHIPPED_MODEL),
        out,
        data=data,
        split=split,
        limit=limit,
        layers=[name for name in layers.split(",") if name] or None,
        accumulator_bits=accumulator_bits,
        overflow=overflow,
        lanes=lanes,
    )
    for layer in manifest["layers"]:
        print(f"{out / layer['testbench']}: {layer['name']}, accumulator {layer['accumulator']['bits']} bits")
    print(f"{out / MANIFEST}: {len(manifest['layers'])} layers, {manifest['data']['images']} images")


def main() -> None:
    """Entry point of `python -m adderhw.vectors` and `adderhw-vectors`."""
    run_app(app, PROGRAM)


if __name__ == "__main__":
    main()
