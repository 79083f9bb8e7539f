"""|x − w| over every pair of 8-bit operands, the proof that its forms are one function, and the tree of sums."""

import shutil

import pytest

from adderhw import rtl
from adderhw.hardware.proofs import prove_forms
from adderhw.hardware.tools import run
from tests.hardware.needs import needs

ALL_PAIRS = """module all_pairs;
  logic [7:0] x, w, expected;
  logic [7:0] magnitude[0:3];
  logic [3:0] carry;
  int a, b, difference, wrong = 0, compared = 0;
  genvar form;
  generate
    for (form = 0; form < 4; form = form + 1) begin : g
      abs_difference #(.BITS(8), .SIGNED(form / 2), .FORM(form % 2)) pe (
          .x, .w, .magnitude(magnitude[form]), .carry(carry[form]));
    end
  endgenerate
  initial begin
    for (a = 0; a < 256; a = a + 1)
      for (b = 0; b < 256; b = b + 1) begin
        x = a; w = b;
        #1;
        for (int i = 0; i < 4; i = i + 1) begin
          difference = i < 2 ? a - b : $signed(x) - $signed(w);
          expected = difference < 0 ? -difference : difference;
          compared = compared + 1;
          if (magnitude[i] + carry[i] !== expected) wrong = wrong + 1;
        end
      end
    $display("%0d compared, %0d wrong", compared, wrong);
  end
endmodule
"""
TREE = """module tree;
  logic [7*5-1:0] x, w;
  logic clk = 0;
  logic [11:0] found;
  int expected = 0, wrong = 0;
  adder_tree_pe #(.TAPS(7), .BITS(5), .ACC_BITS(12)) pe (
      .clk, .enable(1'b1), .first(1'b0), .x, .w, .accumulator(found));
  initial begin
    pe.accumulator = 0;
    for (int turn = 0; turn < 16; turn = turn + 1) begin
      x = {$random, $random}; w = {$random, $random};
      for (int i = 0; i < 7; i = i + 1)
        expected = expected + (x[i*5+:5] > w[i*5+:5] ? x[i*5+:5] - w[i*5+:5] : w[i*5+:5] - x[i*5+:5]);
      #1 clk = 1;
      #1 clk = 0;
      if (found !== expected[11:0]) wrong = wrong + 1;
    end
    $display("%0d wrong", wrong);
  end
endmodule
"""


def printed(tmp_path, source, top):
    """What a testbench prints in Icarus Verilog."""
    (tmp_path / "top.sv").write_text(source)
    sources = [str(path) for path in rtl.sources()]
    target = str(tmp_path / "top.vvp")
    run(["iverilog", "-g2012", "-s", top, "-o", target, str(tmp_path / "top.sv"), *sources])
    return run(["vvp", "-n", target]).strip()


@needs("iverilog")
def test_both_forms_are_right_on_all_65536_pairs_signed_and_unsigned(tmp_path):
    assert printed(tmp_path, ALL_PAIRS, "all_pairs") == "262144 compared, 0 wrong"


@needs("iverilog")
def test_the_tree_sums_and_accumulates_its_taps(tmp_path):
    assert printed(tmp_path, TREE, "tree") == "0 wrong"


@needs("yosys")
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("saturate", [False, True])
def test_both_forms_are_proved_to_be_the_same_function(tmp_path, bits, signed, saturate):
    assert prove_forms(bits, bits + 4, tmp_path, signed=signed, saturate=saturate)


@needs("yosys")
def test_the_proof_fails_for_a_form_that_is_wrong(tmp_path):
    sources = tmp_path / "rtl"
    shutil.copytree(rtl.FOLDER, sources)
    wrong = sources / "abs_difference_invert.sv"
    wrong.write_text(wrong.read_text().replace("carry = difference[BITS]", "carry = difference[BITS] & x[0]"))
    assert not prove_forms(4, 8, tmp_path, sources=sources)
