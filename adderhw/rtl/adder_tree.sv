// The sum of INPUTS unsigned numbers in a balanced tree; value i is values[i*BITS +: BITS].
module adder_tree #(
    parameter int INPUTS = 8,
    parameter int BITS = 8,
    parameter int SUM_BITS = BITS + $clog2(INPUTS)  // at least that (the halves use the same width)
) (
    input  logic [INPUTS*BITS-1:0] values,
    output logic [   SUM_BITS-1:0] sum
);
  localparam int LOWER = INPUTS / 2;

  generate
    if (INPUTS == 1) begin : g_leaf
      if (SUM_BITS > BITS) begin : g_wider
        assign sum = {{(SUM_BITS - BITS) {1'b0}}, values};
      end else begin : g_same
        assign sum = values[SUM_BITS-1:0];
      end
    end else begin : g_halves
      logic [SUM_BITS-1:0] low, high;
      adder_tree #(.INPUTS(LOWER), .BITS(BITS), .SUM_BITS(SUM_BITS)) lower (
          .values(values[LOWER*BITS-1:0]), .sum(low)
      );
      adder_tree #(.INPUTS(INPUTS - LOWER), .BITS(BITS), .SUM_BITS(SUM_BITS)) upper (
          .values(values[INPUTS*BITS-1:LOWER*BITS]), .sum(high)
      );
      assign sum = low + high;
    end
  endgenerate
endmodule
