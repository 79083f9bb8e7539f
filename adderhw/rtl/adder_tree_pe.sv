// TAPS absolute differences a clock, summed in a tree and accumulated; the carries of the differences join the tree.
module adder_tree_pe #(
    parameter int TAPS = 8,
    parameter int BITS = 8,
    parameter bit SIGNED = 0,
    parameter int ACC_BITS = 16,
    parameter bit SATURATE = 0,
    parameter int FORM = 1
) (
    input  logic                 clk,
    input  logic                 enable,
    input  logic                 first,
    input  logic [TAPS*BITS-1:0] x,  // tap i: x[i*BITS +: BITS]
    input  logic [TAPS*BITS-1:0] w,
    output logic [ ACC_BITS-1:0] accumulator
);
  localparam int SUM_BITS = BITS + $clog2(TAPS + 1);
  localparam int COUNT_BITS = $clog2(TAPS + 1);

  logic [TAPS*BITS-1:0] magnitudes;
  logic [TAPS-1:0] carries;
  logic [SUM_BITS-1:0] magnitude_sum;
  logic [COUNT_BITS-1:0] carry_sum;
  logic [SUM_BITS-1:0] total;
  logic [ACC_BITS-1:0] previous, next;
  logic overflow, unused;

  genvar i;
  generate
    for (i = 0; i < TAPS; i = i + 1) begin : g_tap
      abs_difference #(.BITS(BITS), .SIGNED(SIGNED), .FORM(FORM)) abs_diff (
          .x(x[i*BITS+:BITS]), .w(w[i*BITS+:BITS]), .magnitude(magnitudes[i*BITS+:BITS]), .carry(carries[i])
      );
    end
  endgenerate
  adder_tree #(.INPUTS(TAPS), .BITS(BITS), .SUM_BITS(SUM_BITS)) tree (.values(magnitudes), .sum(magnitude_sum));
  adder_tree #(.INPUTS(TAPS), .BITS(1), .SUM_BITS(COUNT_BITS)) carry_tree (.values(carries), .sum(carry_sum));
  assign total = magnitude_sum + {{(SUM_BITS - COUNT_BITS) {1'b0}}, carry_sum};
  assign previous = first ? {ACC_BITS{1'b0}} : accumulator;
  accumulate #(.BITS(SUM_BITS), .ACC_BITS(ACC_BITS), .SATURATE(SATURATE)) step (
      .previous, .magnitude(total), .carry(1'b0), .next, .overflow
  );
  assign unused = &{1'b0, overflow};

  always_ff @(posedge clk) if (enable) accumulator <= next;
endmodule
