// q = clip(round_shift(sum * m + c, n), QMIN, QMAX), combinational. Rounding looks at the bits that the shift drops:
// the highest of them (half) and whether any other is set (sticky).
module requantise #(
    parameter int SUM_BITS = 17,  // two's complement
    parameter int M_BITS = 14,
    parameter int C_BITS = 32,
    parameter int T_BITS = 33,  // holds every sum * m + c; more than each other width, at least the largest n, at most 64
    parameter int OUT_BITS = 8,
    parameter signed [63:0] QMIN = 0,
    parameter signed [63:0] QMAX = 255,
    parameter int ROUNDING = 1,  // 0 floor, 1 half_up, 2 half_even, 3 half_away
    parameter int DIGITS = 0,  // 0: a multiplier; K: shifts and adds by at most K signed digits
    parameter int DIGIT_BITS = DIGITS == 0 ? 8 : 8 * DIGITS
) (
    input  logic signed [  SUM_BITS-1:0] sum,
    input  logic signed [    M_BITS-1:0] m,
    input  logic        [DIGIT_BITS-1:0] digits,  // of m; see product_shift_add
    input  logic signed [    C_BITS-1:0] c,
    input  logic        [           5:0] n,
    output logic        [  OUT_BITS-1:0] q
);
  localparam signed [T_BITS-1:0] LOW = QMIN[T_BITS-1:0];
  localparam signed [T_BITS-1:0] HIGH = QMAX[T_BITS-1:0];

  logic signed [T_BITS-1:0] product, t, shifted, rounded;
  logic [T_BITS-1:0] dropped;  // the dropped bits, the highest of them at the top
  logic [6:0] distance;
  logic half, sticky, up;

  generate
    if (DIGITS == 0) begin : g_multiplier
      product_multiplier #(.SUM_BITS(SUM_BITS), .M_BITS(M_BITS), .T_BITS(T_BITS)) times (.sum, .m, .product);
      logic unused;
      assign unused = &{1'b0, digits};
    end else begin : g_shift_add
      product_shift_add #(.SUM_BITS(SUM_BITS), .DIGITS(DIGITS), .T_BITS(T_BITS)) times (.sum, .digits, .product);
      logic unused;
      assign unused = &{1'b0, m};
    end
  endgenerate

  assign t = product + {{(T_BITS - C_BITS) {c[C_BITS-1]}}, c};
  assign shifted = t >>> n;
  assign distance = T_BITS[6:0] - {1'b0, n};
  assign dropped = t << distance;
  assign half = dropped[T_BITS-1];
  assign sticky = |dropped[T_BITS-2:0];
  generate
    if (ROUNDING == 0) begin : g_floor
      assign up = 1'b0;
      logic unused;
      assign unused = &{1'b0, half, sticky};
    end else if (ROUNDING == 1) begin : g_half_up
      assign up = half;
      logic unused;
      assign unused = &{1'b0, sticky};
    end else if (ROUNDING == 2) begin : g_half_even
      assign up = half & (sticky | shifted[0]);
    end else begin : g_half_away
      assign up = half & (sticky | ~t[T_BITS-1]);
    end
  endgenerate
  assign rounded = shifted + {{(T_BITS - 1) {1'b0}}, up};
  assign q = rounded < LOW ? LOW[OUT_BITS-1:0] : rounded > HIGH ? HIGH[OUT_BITS-1:0] : rounded[OUT_BITS-1:0];
endmodule
