// |x - w| in one of two forms that a proof shows to be the same: FORM 0 abs_difference_mux, 1 abs_difference_invert.
module abs_difference #(
    parameter int BITS = 8,
    parameter bit SIGNED = 0,
    parameter int FORM = 1
) (
    input  logic [BITS-1:0] x,
    input  logic [BITS-1:0] w,
    output logic [BITS-1:0] magnitude,
    output logic            carry  // |x - w| = magnitude + carry
);
  generate
    if (FORM == 0) begin : g_mux
      abs_difference_mux #(.BITS(BITS), .SIGNED(SIGNED)) abs_diff (.x, .w, .magnitude, .carry);
    end else begin : g_invert
      abs_difference_invert #(.BITS(BITS), .SIGNED(SIGNED)) abs_diff (.x, .w, .magnitude, .carry);
    end
  endgenerate
endmodule
