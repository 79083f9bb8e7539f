// sum * m modulo 2^T_BITS without a multiplier, for an m of at most DIGITS signed digits; DIGITS = 1 is a lone shift.
// Digit i is digits[8*i +: 8] = {not zero, negative, exponent[5:0]}.
module product_shift_add #(
    parameter int SUM_BITS = 17,
    parameter int DIGITS = 1,
    parameter int T_BITS = 32  // more than SUM_BITS
) (
    input  logic signed [SUM_BITS-1:0] sum,
    input  logic        [8*DIGITS-1:0] digits,
    output logic signed [  T_BITS-1:0] product
);
  logic [T_BITS-1:0] wide;
  logic [DIGITS*T_BITS-1:0] terms;

  assign wide = {{(T_BITS - SUM_BITS) {sum[SUM_BITS-1]}}, sum};
  genvar i;
  generate
    for (i = 0; i < DIGITS; i = i + 1) begin : g_digit
      logic [T_BITS-1:0] shifted, signed_term;
      assign shifted = wide << digits[8*i+:6];
      assign signed_term = digits[8*i+6] ? -shifted : shifted;
      assign terms[i*T_BITS+:T_BITS] = digits[8*i+7] ? signed_term : {T_BITS{1'b0}};
    end
  endgenerate
  adder_tree #(.INPUTS(DIGITS), .BITS(T_BITS), .SUM_BITS(T_BITS)) tree (.values(terms), .sum(product));
endmodule
