// Processing element of a convolution, to compare with: accumulator += x * w, two's complement, which wraps.
module mac_pe #(
    parameter int BITS = 8,
    parameter int ACC_BITS = 24  // at least 2 * BITS
) (
    input  logic                       clk,
    input  logic                       enable,
    input  logic                       first,
    input  logic signed [    BITS-1:0] x,
    input  logic signed [    BITS-1:0] w,
    output logic        [ACC_BITS-1:0] accumulator
);
  logic signed [2*BITS-1:0] product;
  logic [ACC_BITS-1:0] previous;

  assign product = x * w;
  assign previous = first ? {ACC_BITS{1'b0}} : accumulator;

  always_ff @(posedge clk)
    if (enable) accumulator <= previous + {{(ACC_BITS - 2 * BITS) {product[2*BITS-1]}}, product};
endmodule
