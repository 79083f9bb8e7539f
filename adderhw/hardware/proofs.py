"""Proves with Yosys's SAT solver that both forms of |x − w|, and of accumulating it, are the same function."""

from adderhw import rtl
from adderhw.errors import AdderHwError
from adderhw.hardware.tools import ToolError, run

STEP = """module {name} (
    input logic [{bits}-1:0] x, input logic [{bits}-1:0] w, input logic [{width}-1:0] previous,
    output logic [{bits}-1:0] difference, output logic [{width}-1:0] next
);
  logic [{bits}-1:0] magnitude;
  logic carry;
  abs_difference #(.BITS({bits}), .SIGNED(1'b{signed}), .FORM({form})) abs_diff (.x, .w, .magnitude, .carry);
  assign difference = magnitude + {{{{({bits} - 1) {{1'b0}}}}, carry}};
  accumulate #(.BITS({bits}), .ACC_BITS({width}), .SATURATE(1'b{saturate})) step (.previous, .magnitude, .carry, .next);
endmodule
"""
SCRIPT = """read_verilog -sv {sources}
{modules}
hierarchy -check
proc
flatten mux
flatten invert
miter -equiv -flatten -make_outputs mux invert both
sat -verify -prove trigger 0 both
"""


def prove_forms(bits, accumulator_bits, folder, *, signed=False, saturate=False, sources=rtl.FOLDER):
    """Whether |x − w| and accumulator + |x − w| of the two forms agree for every x, w and accumulator.

    bits, accumulator_bits: widths. folder: for the script. sources: folder of the modules.
    Raises ToolError where Yosys is missing or fails.
    """
    if bits < 2 or accumulator_bits < 2:
        raise AdderHwError(f"proof: found {bits} and {accumulator_bits} bits, expected at least 2")
    modules = folder / "forms.sv"
    shape = {"bits": bits, "width": accumulator_bits, "signed": int(signed), "saturate": int(saturate)}
    modules.write_text(
        "\n".join(STEP.format(name=name, form=form, **shape) for form, name in enumerate(("mux", "invert")))
    )
    needed = [*sources.glob("abs_difference*.sv"), sources / "accumulate.sv"]
    script = SCRIPT.format(sources=" ".join(map(str, needed)), modules=f"read_verilog -sv {modules}")
    (folder / "prove.ys").write_text(script)
    try:
        return "no model found: SUCCESS!" in run(["yosys", "-s", str(folder / "prove.ys")])
    except ToolError as error:
        if "proof did fail" in str(error):
            return False
        raise
