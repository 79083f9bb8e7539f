"""The shape of a convolution or pooling window, in ONNX's terms."""

from typing import NamedTuple

from adderhw.errors import AdderHwError


class Geometry(NamedTuple):
    """strides (h, w), pads (top, left, bottom, right), dilations (h, w) and groups, as ONNX Conv means them."""

    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1

    def output_hw(self, h, w, kh, kw):
        """(H', W') of a kh × kw window over h × w; raises AdderHwError where the window does not fit."""
        (sh, sw), (top, left, bottom, right), (dh, dw) = self.strides, self.pads, self.dilations
        out_h = (h + top + bottom - dh * (kh - 1) - 1) // sh + 1
        out_w = (w + left + right - dw * (kw - 1) - 1) // sw + 1
        if out_h < 1 or out_w < 1:
            raise AdderHwError(f"window {kh}×{kw} with {self}: found input {h}×{w}, expected one the window fits in")
        return out_h, out_w

    def check(self):
        """Raises AdderHwError for a stride, dilation or group count below 1 or a negative pad."""
        if min(*self.strides, *self.dilations, self.groups) < 1 or min(self.pads) < 0:
            raise AdderHwError(f"geometry: found {self}, expected strides, dilations, groups ≥ 1 and pads ≥ 0")
