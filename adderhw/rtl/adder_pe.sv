// Processing element of an adder layer: accumulator += |x - w|, one tap a clock.
module adder_pe #(
    parameter int BITS = 8,
    parameter bit SIGNED = 0,
    parameter int ACC_BITS = 16,
    parameter bit SATURATE = 0,
    parameter int FORM = 1,  // of abs_difference
    parameter bit FLAG = 0  // 1: a register remembers an overflow until the next first tap
) (
    input  logic                clk,
    input  logic                enable,
    input  logic                first,  // the first tap of a sum: what the accumulator held is forgotten
    input  logic [    BITS-1:0] x,
    input  logic [    BITS-1:0] w,
    output logic [ACC_BITS-1:0] accumulator,
    output logic                overflowed  // since the first tap; 0 without FLAG
);
  logic [BITS-1:0] magnitude;
  logic carry, overflow;
  logic [ACC_BITS-1:0] previous, next;

  abs_difference #(.BITS(BITS), .SIGNED(SIGNED), .FORM(FORM)) abs_diff (.x, .w, .magnitude, .carry);
  assign previous = first ? {ACC_BITS{1'b0}} : accumulator;
  accumulate #(.BITS(BITS), .ACC_BITS(ACC_BITS), .SATURATE(SATURATE)) step (
      .previous, .magnitude, .carry, .next, .overflow
  );

  always_ff @(posedge clk) if (enable) accumulator <= next;

  generate
    if (FLAG) begin : g_flag
      always_ff @(posedge clk) if (enable) overflowed <= overflow | (overflowed & ~first);
    end else begin : g_no_flag
      assign overflowed = 1'b0;
      logic unused;
      assign unused = &{1'b0, overflow};
    end
  endgenerate
endmodule
