// An output-stationary array that runs a whole adder layer: LANES processing elements share one activation a clock and
// hold the sums of as many output channels of one position until all taps are in. Padding is ZERO_POINT and counts.
//
// Order of work, the innermost last: row, column, group, tile of LANES channels, then the taps: channel, kernel row,
// kernel column. The memories outside answer an address in the same clock. Sums are valid one clock after their last
// tap, and the constants of those channels are read then; outputs one clock later.
module adder_array #(
    parameter int BITS = 8,
    parameter bit SIGNED = 0,
    parameter logic [BITS-1:0] ZERO_POINT = 0,
    parameter int ACC_BITS = 16,
    parameter bit SATURATE = 0,
    parameter int FORM = 1,  // of abs_difference
    parameter bit FLAG = 0,  // 1: sums_overflowed says which sums overflowed
    parameter int LANES = 16,
    // The layer.
    parameter int CHANNELS = 16,
    parameter int HEIGHT = 8,
    parameter int WIDTH = 8,
    parameter int OUT_CHANNELS = 16,
    parameter int OUT_HEIGHT = 8,
    parameter int OUT_WIDTH = 8,
    parameter int KERNEL_H = 3,
    parameter int KERNEL_W = 3,
    parameter int STRIDE_H = 1,
    parameter int STRIDE_W = 1,
    parameter int PAD_TOP = 1,
    parameter int PAD_LEFT = 1,
    parameter int DILATION_H = 1,
    parameter int DILATION_W = 1,
    parameter int GROUPS = 1,
    // Its requantisation; see requantise.
    parameter int M_BITS = 14,
    parameter int C_BITS = 32,
    parameter int T_BITS = 33,
    parameter int OUT_BITS = 8,
    parameter signed [63:0] QMIN = 0,
    parameter signed [63:0] QMAX = 255,
    parameter int ROUNDING = 1,
    parameter int DIGITS = 0,
    parameter int DIGIT_BITS = DIGITS == 0 ? 8 : 8 * DIGITS
) (
    input  logic clk,
    input  logic reset,
    input  logic start,  // one image
    output logic busy,
    // Activations (CHANNELS, HEIGHT, WIDTH) and weights (OUT_CHANNELS, CHANNELS / GROUPS, KERNEL_H, KERNEL_W), in C order.
    output int                            x_address,
    input  logic [              BITS-1:0] x,
    output int                            w_channel,  // lane l reads the weights of output channel w_channel + l
    output int                            w_tap,
    input  logic [        LANES*BITS-1:0] w,
    // Sums, and the requantisation constants of channels sums_channel + l.
    output logic [             LANES-1:0] sums_valid,
    output int                            sums_channel,
    output int                            sums_position,  // row * OUT_WIDTH + column
    output logic [    LANES*ACC_BITS-1:0] sums,
    output logic [             LANES-1:0] sums_overflowed,
    input  logic [      LANES*M_BITS-1:0] m,
    input  logic [  LANES*DIGIT_BITS-1:0] digits,
    input  logic [      LANES*C_BITS-1:0] c,
    input  logic [           LANES*6-1:0] n,
    output logic [             LANES-1:0] outputs_valid,
    output int                            outputs_channel,
    output int                            outputs_position,
    output logic [    LANES*OUT_BITS-1:0] outputs
);
  localparam int GROUP_CHANNELS = CHANNELS / GROUPS;
  localparam int GROUP_OUTPUTS = OUT_CHANNELS / GROUPS;

  int row, column, group, tile, channel, kernel_row, kernel_column;
  int x_row, x_column;
  logic running, padding, first_tap, last_tap;
  logic [BITS-1:0] activation;

  // Where the taps are.
  assign x_row = row * STRIDE_H - PAD_TOP + kernel_row * DILATION_H;
  assign x_column = column * STRIDE_W - PAD_LEFT + kernel_column * DILATION_W;
  assign padding = x_row < 0 || x_row >= HEIGHT || x_column < 0 || x_column >= WIDTH;
  assign x_address = padding ? 0 : ((group * GROUP_CHANNELS + channel) * HEIGHT + x_row) * WIDTH + x_column;
  assign w_channel = group * GROUP_OUTPUTS + tile;
  assign w_tap = (channel * KERNEL_H + kernel_row) * KERNEL_W + kernel_column;
  assign activation = padding ? ZERO_POINT : x;
  assign first_tap = w_tap == 0;
  assign last_tap = w_tap == GROUP_CHANNELS * KERNEL_H * KERNEL_W - 1;

  always_ff @(posedge clk)
    if (reset) running <= 1'b0;
    else if (start) begin
      running <= 1'b1;
      {row, column, group, tile, channel, kernel_row, kernel_column} <= '0;
    end else if (running) begin
      kernel_column <= kernel_column + 1;
      if (kernel_column == KERNEL_W - 1) begin
        kernel_column <= 0;
        kernel_row <= kernel_row + 1;
        if (kernel_row == KERNEL_H - 1) begin
          kernel_row <= 0;
          channel <= channel + 1;
        end
      end
      if (last_tap) begin
        channel <= 0;
        tile <= tile + LANES;
        if (tile + LANES >= GROUP_OUTPUTS) begin
          tile <= 0;
          group <= group + 1;
          if (group == GROUPS - 1) begin
            group <= 0;
            column <= column + 1;
            if (column == OUT_WIDTH - 1) begin
              column <= 0;
              row <= row + 1;
              if (row == OUT_HEIGHT - 1) running <= 1'b0;
            end
          end
        end
      end
    end

  // Which sums and outputs the next clocks show.
  always_ff @(posedge clk) begin
    sums_channel <= w_channel;
    sums_position <= row * OUT_WIDTH + column;
    outputs_valid <= reset ? '0 : sums_valid;
    outputs_channel <= sums_channel;
    outputs_position <= sums_position;
  end
  assign busy = running | (|sums_valid) | (|outputs_valid);

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : g_lane
      logic [OUT_BITS-1:0] q;

      always_ff @(posedge clk) sums_valid[lane] <= !reset && running && last_tap && tile + lane < GROUP_OUTPUTS;

      adder_pe #(.BITS(BITS), .SIGNED(SIGNED), .ACC_BITS(ACC_BITS), .SATURATE(SATURATE), .FORM(FORM), .FLAG(FLAG)) pe (
          .clk,
          .enable(running),
          .first(first_tap),
          .x(activation),
          .w(w[lane*BITS+:BITS]),
          .accumulator(sums[lane*ACC_BITS+:ACC_BITS]),
          .overflowed(sums_overflowed[lane])
      );

      requantise #(
          .SUM_BITS(ACC_BITS + 1),
          .M_BITS(M_BITS),
          .C_BITS(C_BITS),
          .T_BITS(T_BITS),
          .OUT_BITS(OUT_BITS),
          .QMIN(QMIN),
          .QMAX(QMAX),
          .ROUNDING(ROUNDING),
          .DIGITS(DIGITS)
      ) requantiser (
          .sum({1'b0, sums[lane*ACC_BITS+:ACC_BITS]}),
          .m(m[lane*M_BITS+:M_BITS]),
          .digits(digits[lane*DIGIT_BITS+:DIGIT_BITS]),
          .c(c[lane*C_BITS+:C_BITS]),
          .n(n[lane*6+:6]),
          .q(q)
      );

      always_ff @(posedge clk) outputs[lane*OUT_BITS+:OUT_BITS] <= q;
    end
  endgenerate
endmodule
