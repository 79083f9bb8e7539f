// Processing element of a binary layer, to compare with: accumulator += popcount(x XNOR w), BITS taps a clock.
module xnor_pe #(
    parameter int BITS = 8,
    parameter int ACC_BITS = 16
) (
    input  logic                clk,
    input  logic                enable,
    input  logic                first,
    input  logic [    BITS-1:0] x,
    input  logic [    BITS-1:0] w,
    output logic [ACC_BITS-1:0] accumulator
);
  localparam int COUNT_BITS = $clog2(BITS + 1);

  logic [BITS-1:0] equal;
  logic [COUNT_BITS-1:0] count;
  logic [ACC_BITS-1:0] previous;

  assign equal = ~(x ^ w);
  adder_tree #(.INPUTS(BITS), .BITS(1), .SUM_BITS(COUNT_BITS)) popcount (.values(equal), .sum(count));
  assign previous = first ? {ACC_BITS{1'b0}} : accumulator;

  always_ff @(posedge clk) if (enable) accumulator <= previous + {{(ACC_BITS - COUNT_BITS) {1'b0}}, count};
endmodule
