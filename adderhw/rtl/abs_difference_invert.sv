// |x - w| with one subtractor: a negative difference is inverted, and the 1 that completes its negation is left to
// the carry input of the adder that follows.
module abs_difference_invert #(
    parameter int BITS = 8,
    parameter bit SIGNED = 0  // 1: two's complement operands
) (
    input  logic [BITS-1:0] x,
    input  logic [BITS-1:0] w,
    output logic [BITS-1:0] magnitude,
    output logic            carry  // |x - w| = magnitude + carry
);
  // Flipping both sign bits turns two's complement into offset binary; the difference stays.
  localparam logic [BITS-1:0] OFFSET = SIGNED ? {1'b1, {(BITS - 1) {1'b0}}} : {BITS{1'b0}};

  logic [BITS:0] difference;

  assign difference = {1'b0, x ^ OFFSET} - {1'b0, w ^ OFFSET};
  assign carry = difference[BITS];
  assign magnitude = difference[BITS-1:0] ^ {BITS{carry}};
endmodule
