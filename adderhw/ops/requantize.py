"""Requantize: q = clip(round_shift(S·M + C, n), qmin, qmax), one op for batch norm, bias, ReLU and scale change."""

import numpy as np

from adderhw.cost.events import event
from adderhw.fixed import MAX_SHIFT, Rounding, bits_for
from adderhw.kernels import Requant, pack_requant, requantise_step
from adderhw.ops.base import STORAGE_TYPES, Attribute, Op, other_work, parameter, per_channel
from adderhw.ops.realisation import REALISATION, check_realisation, realisation, signed_digits
from adderhw.tensor import integer_tensor

HEADROOM = 1 << MAX_SHIFT


class Requantize(Op):
    """s (N, C, …) integers; m, c int64 and n int64 of shape (), or (C, 1, 1) for rank 4 and (C,) for rank 2 → q.

    rounding: the integer of adderhw.fixed.Rounding. qmin, qmax: the clip. output_dtype: storage of q.
    realisation: what hardware does the product: 'multiplier', 'shift' (every M is 0 or ±2^k) or 'shift_add:K'
    (every M has at most K non-zero canonical signed digits); it changes the tally, never the integers.
    """

    name = "Requantize"
    inputs = ("s", "m", "c", "n")
    output = "q"
    attributes = {
        "rounding": Attribute("int", int(Rounding.HALF_UP)),
        "qmin": Attribute("int"),
        "qmax": Attribute("int"),
        "output_dtype": Attribute("int"),
        "realisation": REALISATION,
    }
    types = {
        "s": ("S", "integer"),
        "m": ("tensor(int64)", ""),
        "c": ("tensor(int64)", ""),
        "n": ("tensor(int64)", ""),
        "q": ("Q", "integer"),
    }
    # Floor shift of a signed number with ONNX's unsigned BitShift: flip the sign bit (adds 2^63), shift, take
    # 2^63 >> n away again. Every rounding is the floor after adding 2^(n-1) less a correction of 0 or 1.
    body = """
  s64 = Cast <to = 7> (s)
  product = Mul (s64, m)
  t = Add (product, c)
  zero = Constant <value_int = 0> ()
  one = Constant <value_int = 1> ()
  two = Constant <value_int = 2> ()
  three = Constant <value_int = 3> ()
  sign = Constant <value_int = -9223372036854775808> ()
  mode = Constant <value_int : int = @rounding> ()
  rounds_b = Greater (mode, zero)
  rounds = Cast <to = 7> (rounds_b)
  even_b = Equal (mode, two)
  even = Cast <to = 7> (even_b)
  away_b = Equal (mode, three)
  away = Cast <to = 7> (away_b)
  n_u = Cast <to = 13> (n)
  one_u = Cast <to = 13> (one)
  sign_u = Cast <to = 13> (sign)
  unit_u = BitShift <direction = "LEFT"> (one_u, n_u)
  unit = Cast <to = 7> (unit_u)
  half_unit = Div (unit, two)
  half = Mul (rounds, half_unit)
  shifts_b = Greater (n, zero)
  shifts = Cast <to = 7> (shifts_b)
  t_flipped = BitwiseXor (t, sign)
  t_u = Cast <to = 13> (t_flipped)
  t_floor = BitShift <direction = "RIGHT"> (t_u, n_u)
  odd_u = BitwiseAnd (t_floor, one_u)
  odd = Cast <to = 7> (odd_u)
  not_odd = Sub (one, odd)
  even_less = Mul (even, not_odd)
  negative_b = Less (t, zero)
  negative = Cast <to = 7> (negative_b)
  away_less = Mul (away, negative)
  less_any = Add (even_less, away_less)
  less = Mul (less_any, shifts)
  t_half = Add (t, half)
  rounded = Sub (t_half, less)
  r_flipped = BitwiseXor (rounded, sign)
  r_u = Cast <to = 13> (r_flipped)
  r_floor_u = BitShift <direction = "RIGHT"> (r_u, n_u)
  r_floor = Cast <to = 7> (r_floor_u)
  offset_u = BitShift <direction = "RIGHT"> (sign_u, n_u)
  offset = Cast <to = 7> (offset_u)
  r = Sub (r_floor, offset)
  q_low = Constant <value_int : int = @qmin> ()
  q_high = Constant <value_int : int = @qmax> ()
  above = Max (r, q_low)
  clipped = Min (above, q_high)
  q = Cast <to : int = @output_dtype> (clipped)
"""

    def infer(self, node, args):
        """The output's range is its clip; S·M + C must stay below 2^62."""
        s = args[0]
        if s.is_float:
            node.fail(f"input {s.name!r} of dtype {s.dtype}", "integers")
        constants = requant_of(node, args)
        low, high = span(product_ends(s, constants))
        if max(-low, high) + HEADROOM // 2 >= HEADROOM:
            node.fail(f"S·M + C from {low} to {high}", f"a magnitude below 2^{MAX_SHIFT - 1} (overflowing product)")
        check_realisation(node, constants.m, "multiplier")
        return integer_tensor(node.output, s.shape, self._storage(node), constants.qmin, constants.qmax)

    def _storage(self, node):
        code, qmin, qmax = (node.attributes[key] for key in ("output_dtype", "qmin", "qmax"))
        if code not in STORAGE_TYPES:
            node.fail(f"output_dtype {code}", f"one of {sorted(STORAGE_TYPES)}")
        info = np.iinfo(STORAGE_TYPES[code])
        if not info.min <= qmin <= qmax <= info.max:
            node.fail(f"qmin {qmin} and qmax {qmax}", f"qmin <= qmax within {STORAGE_TYPES[code]}")
        return STORAGE_TYPES[code]

    def compile(self, node, args, out, options, fusion=None):
        """A vectorised pass in int32 where the exact bound allows, else int64."""
        s = args[0]
        packed = pack_requant(requant_of(node, args), max(-s.lowest, s.highest), out.dtype)

        def bind(arrays, target, threads, stats):
            return requantise_step(arrays[0], packed, target)

        return bind

    def work(self, node, args, out, options):
        """The product in its realisation, the constant, the rounding, the shift and the two comparisons of the clip."""
        s, constants = args[0], requant_of(node, args)
        return other_work(node, out, requantize_events(s, constants, realisation(node), out.elements))


def requant_of(node, args):
    """The node's Requant with m, c, n as int64 (C,); raises ModelError for shapes or shifts out of range."""
    s = args[0]
    channels = s.shape[1]
    expected = (channels,) + (1,) * (len(s.shape) - 2)
    arrays = []
    for tensor, what in zip(args[1:], "mcn", strict=True):
        value = parameter(node, tensor, what)
        if value.dtype != np.int64 or value.shape not in ((), expected):
            found = f"{what} of {value.dtype} and shape {list(value.shape)}"
            node.fail(found, f"int64 of shape [] or {list(expected)}")
        arrays.append(per_channel(value.reshape(-1) if value.shape else value, channels))
    m, c, n = arrays
    if n.min() < 0 or n.max() > MAX_SHIFT:
        node.fail(f"shift n from {n.min()} to {n.max()}", f"0 to {MAX_SHIFT}")
    mode = node.attributes["rounding"]
    if mode not in list(Rounding):
        node.fail(f"rounding {mode}", ", ".join(f"{r.value} ({r.name.lower()})" for r in Rounding))
    return Requant(m, c, n, int(mode), int(node.attributes["qmin"]), int(node.attributes["qmax"]))


def product_ends(s, constants):
    """[(end, n)] of S·M + C with and without the rounding constant, each channel's ends, as Python integers."""
    channels = len(constants.m)
    lows, highs = per_channel(s.low, channels), per_channel(s.high, channels)
    return [
        (int(bound) * int(m) + int(c) + extra, int(n))
        for low, high, m, c, n in zip(lows, highs, constants.m, constants.c, constants.n, strict=True)
        for bound in (low, high)
        for extra in (0, (1 << int(n)) >> 1)
    ]


def span(ends, shifted=False):
    """(low, high) over product_ends, before the shift or after it."""
    values = [end >> n if shifted else end for end, n in ends]
    return min(values), max(values)


def requantize_events(s, constants, how, elements):
    """The Tally of requantising `elements` values spread evenly over the channels.

    C absorbs the rounding constant of half_up; half_even and half_away add a correction that depends on t.
    """
    ends = product_ends(s, constants)
    width, clip_width = bits_for(*span(ends))[0], bits_for(*span(ends, shifted=True))[0]
    kind, per = how[0], elements // len(constants.m)
    tally = {}

    def add(name, count, *bits):
        if count:
            key = event(name, *bits)
            tally[key] = tally.get(key, 0) + count

    if kind == "multiplier":
        add("mul", elements, s.format.bits, bits_for(int(constants.m.min()), int(constants.m.max()))[0])
    else:
        digits = [signed_digits(m) for m in constants.m]
        add("shift", per * sum(digits), width)
        add("add", per * sum(max(d - 1, 0) for d in digits), width)
    data_dependent = constants.rounding in (Rounding.HALF_EVEN, Rounding.HALF_AWAY)
    add("add", elements * (1 + data_dependent), width)
    add("shift", elements, width)
    add("cmp", 2 * elements, clip_width)
    return tally
