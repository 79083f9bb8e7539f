// One step of an unsigned accumulator: previous + magnitude + carry, which wraps (modulo 2^ACC_BITS) or saturates;
// overflow says that it did.
module accumulate #(
    parameter int BITS = 8,
    parameter int ACC_BITS = 16,
    parameter bit SATURATE = 0
) (
    input  logic [ACC_BITS-1:0] previous,
    input  logic [    BITS-1:0] magnitude,
    input  logic                carry,
    output logic [ACC_BITS-1:0] next,
    output logic                overflow
);
  localparam int SUM_BITS = (ACC_BITS > BITS ? ACC_BITS : BITS) + 1;

  logic [SUM_BITS:0] sum;  // one adder whose lowest column makes the carry input

  assign sum = {{(SUM_BITS - ACC_BITS) {1'b0}}, previous, 1'b1} + {{(SUM_BITS - BITS) {1'b0}}, magnitude, carry};
  assign overflow = |sum[SUM_BITS:ACC_BITS+1];
  assign next = (SATURATE && overflow) ? {ACC_BITS{1'b1}} : sum[ACC_BITS:1];

  logic unused;
  assign unused = &{1'b0, sum[0]};
endmodule
