// |x - w| with two subtractors and a multiplexer: the borrow of x - w chooses between x - w and w - x.
module abs_difference_mux #(
    parameter int BITS = 8,
    parameter bit SIGNED = 0  // 1: two's complement operands
) (
    input  logic [BITS-1:0] x,
    input  logic [BITS-1:0] w,
    output logic [BITS-1:0] magnitude,
    output logic            carry  // |x - w| = magnitude + carry; here always 0
);
  // Flipping both sign bits turns two's complement into offset binary; the difference stays.
  localparam logic [BITS-1:0] OFFSET = SIGNED ? {1'b1, {(BITS - 1) {1'b0}}} : {BITS{1'b0}};

  logic [BITS-1:0] a, b, backward;
  logic [BITS:0] forward;

  assign a = x ^ OFFSET;
  assign b = w ^ OFFSET;
  assign forward = {1'b0, a} - {1'b0, b};
  assign backward = b - a;
  assign magnitude = forward[BITS] ? backward : forward[BITS-1:0];
  assign carry = 1'b0;
endmodule
