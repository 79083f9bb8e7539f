"""The requantisation in SystemVerilog against adderhw.fixed, every rounding, with and without a multiplier."""

import numpy as np

from adderhw import rtl
from adderhw.fixed import Rounding, round_shift
from adderhw.hardware.hex_files import digit_codes, hex_text
from adderhw.hardware.tools import run
from tests.hardware.needs import needs

VARIANTS = [(mode, digits) for mode in Rounding for digits in (0, 5)]
TESTBENCH = """module top;
  logic [16:0] sum[0:{last}];
  logic [7:0] m[0:{last}];
  logic [39:0] digits[0:{last}];
  logic [23:0] c[0:{last}];
  logic [5:0] n[0:{last}];
  int i = 0, wrong = 0, compared = 0;
  genvar v;
  generate
    for (v = 0; v < {variants}; v = v + 1) begin : g
      logic [7:0] q;
      logic [7:0] expected[0:{last}];
      requantise #(.SUM_BITS(17), .M_BITS(8), .C_BITS(24), .T_BITS(30), .QMIN(-128), .QMAX(100),
                   .ROUNDING(v / 2), .DIGITS(v % 2 * 5), .DIGIT_BITS(40)) dut (
          .sum(sum[i]), .m(m[i]), .digits(digits[i]), .c(c[i]), .n(n[i]), .q(q));
      always @(i) #1 begin
        compared = compared + 1;
        if (q !== expected[i]) wrong = wrong + 1;
      end
    end
  endgenerate
  initial begin
    {reads}
    while (i < {last}) #2 i = i + 1;
    #2 $display("%0d compared, %0d wrong", compared, wrong);
    $finish;
  end
endmodule
"""


@needs("iverilog")
def test_every_rounding_agrees_on_random_values_ties_and_ends(tmp_path):
    rng = np.random.default_rng(0)
    count = 4000
    sums = rng.integers(-(1 << 16), 1 << 16, count)
    m = rng.integers(-128, 128, count)
    c = rng.integers(-(1 << 23), 1 << 23, count)
    n = rng.integers(0, 31, count)
    sums[:500], m[:500], n[:500] = rng.integers(-40, 40, 500), rng.integers(-3, 4, 500), rng.integers(0, 4, 500)
    c[:500] = rng.integers(-8, 9, 500)  # ties, many of them negative
    sums[500:504], m[500:504], c[500:504] = -(1 << 16), [-128, 127, -128, 127], [0, 0, (1 << 23) - 1, -(1 << 23)]
    files = {"sum": hex_text(sums, 17), "m": hex_text(m, 8), "c": hex_text(c, 24), "n": hex_text(n, 6)}
    files["digits"] = hex_text(np.array([digit_codes(value, 5) for value in m], object), 40)
    for at, (mode, _) in enumerate(VARIANTS):
        expected = np.clip(round_shift(sums * m + c, n, mode), -128, 100)
        files[f"g[{at}].expected"] = hex_text(expected, 8)
    for name, text in files.items():
        (tmp_path / f"{name}.hex").write_text(text)
    reads = "\n    ".join(f'$readmemh("{name}.hex", {name});' for name in files)
    (tmp_path / "top.sv").write_text(TESTBENCH.format(last=count - 1, variants=len(VARIANTS), reads=reads))
    sources = [str(path) for path in rtl.sources()]
    run(["iverilog", "-g2012", "-s", "top", "-o", "top.vvp", "top.sv", *sources], tmp_path)
    text = run(["vvp", "-n", "top.vvp"], tmp_path)
    assert text.strip() == f"{(count - 1) * len(VARIANTS)} compared, 0 wrong"
