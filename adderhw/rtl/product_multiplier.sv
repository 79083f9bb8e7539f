// sum * m modulo 2^T_BITS with a multiplier; both operands are two's complement.
module product_multiplier #(
    parameter int SUM_BITS = 17,
    parameter int M_BITS = 14,
    parameter int T_BITS = 32  // more than SUM_BITS and more than M_BITS
) (
    input  logic signed [SUM_BITS-1:0] sum,
    input  logic signed [  M_BITS-1:0] m,
    output logic signed [  T_BITS-1:0] product
);
  logic signed [T_BITS-1:0] wide_sum, wide_m;

  assign wide_sum = {{(T_BITS - SUM_BITS) {sum[SUM_BITS-1]}}, sum};
  assign wide_m = {{(T_BITS - M_BITS) {m[M_BITS-1]}}, m};
  assign product = wide_sum * wide_m;
endmodule
