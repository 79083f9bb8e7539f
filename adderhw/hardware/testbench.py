"""Writes the SystemVerilog testbench of a layer, and the module that runs several in one simulation."""

import re
from importlib import resources

from jinja2 import Environment, StrictUndefined

from adderhw.fixed import Format, Rounding
from adderhw.hardware.layers import Requantisation

TEMPLATE = "testbench.sv.j2"


def module_name(folder):
    """A SystemVerilog identifier for the testbench of the layer whose files lie in `folder`."""
    return "tb_" + re.sub(r"\W", "_", folder.rsplit("/", 1)[-1])


def layer_testbench(layer, folder, images, lanes):
    """The source of the testbench of an AdderLayer whose vectors lie in `folder`, relative to the simulation's."""
    source = (resources.files("adderhw.hardware") / TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    requantise = layer.requantise or unused_requantisation(layer)
    constants = requantise.constants
    out_h, out_w = layer.output_hw
    return environment.from_string(source).render(
        layer=layer,
        module=module_name(folder),
        folder=folder,
        images=images,
        lanes=min(lanes, len(layer.weight) // layer.geometry.groups),
        out_h=out_h,
        out_w=out_w,
        taps=layer.weight[0].size,
        limit=2 * layer.taps + 1000,
        zero_point=layer.zero_point & ((1 << layer.operands.bits) - 1),
        requantise=requantise,
        has_outputs=layer.requantise is not None,
        digit_bits=8 * max(1, requantise.digits),
        qmin=constants.qmin if constants else 0,
        qmax=constants.qmax if constants else 3,
        rounding=Rounding(constants.rounding if constants else 0),
    )


def unused_requantisation(layer):
    """The smallest widths that the array's ports may have, for a layer whose sums nothing requantises."""
    return Requantisation(None, None, 0, 2, 2, layer.accumulator_bits + 2, Format(2, False))


def all_testbenches(folders):
    """The source of module `all_layers`, which runs every folder's testbench and ends with the last of them."""
    lines = ["// Runs every layer's testbench in one simulation.", "`timescale 1ns / 1ps", "module all_layers;"]
    lines += [f"  logic [{len(folders) - 1}:0] finished;"]
    lines += [
        f"  {module_name(folder)} #(.FINISH(0)) layer_{i} (.finished(finished[{i}]));"
        for i, folder in enumerate(folders)
    ]
    lines += ["  initial begin", "    wait (&finished);", "    $finish;", "  end", "endmodule"]
    return "\n".join(lines) + "\n"
