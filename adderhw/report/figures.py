"""Numbers as people read them: counts, picojoules and percentages for the HTML page and the terminal."""

_COUNTS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_ENERGIES = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"))


def count_text(number):
    """'40.81 M' of 40813184; integers below 100,000 in full, '16,384'."""
    return f"{number:,}" if number < 100_000 else _scaled(number, _COUNTS, "")


def energy_text(picojoule):
    """'7.56 µJ' of 7.56e6 picojoules; three or four significant digits."""
    return _scaled(picojoule, _ENERGIES, "pJ")


def energy_scale(picojoule):
    """(pJ in the unit, its name): the unit that energy_text gives such an energy."""
    return next(((size, unit) for size, unit in _ENERGIES if picojoule >= size), (1.0, "pJ"))


def energy_span(low, high):
    """'4.62 – 10.12 µJ' of two picojoules, in the unit of the higher; one figure where both read alike."""
    size, unit = energy_scale(high)
    ends = [f"{end / size:.2f}" for end in (low, high)]
    return f"{' – '.join(dict.fromkeys(ends))} {unit}"


def ratio_span(band):
    """'2.31 – 3.93 ×' of a document's band of ratios, 'no price' of None."""
    if band is None:
        return "no price"
    ends = [f"{band[end]['value']:.2f}" for end in ("low", "high")]
    return f"{' – '.join(dict.fromkeys(ends))} ×"


def percent_text(share):
    """'92.34 %' of 0.9234."""
    return f"{100 * share:.2f} %"


def ratio_text(ratio):
    """'4.31 ×' of a ratio, or 'no ratio' of None."""
    return "no ratio" if ratio is None else f"{ratio:.2f} ×"


def multiplications(events):
    """How many multiplier events {'mul:8': n, 'fmul:32': m, …} holds."""
    return sum(count for name, count in events.items() if name.startswith(("mul:", "fmul:")))


def _scaled(number, units, plain):
    for size, unit in units:
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return f"{number:.2f} {plain}".rstrip()


SEEN = {
    "outputs": "outputs of the file as it is",
    "inside": "tensors inside it, by the same kernels",
    "cut": "tensors inside it, each where a copy of the network ends",
    "unseen": "tensors inside it not compared",
}


def check_words(check):
    """What was compared in a file of another tool, and what a session with default options does otherwise."""
    if "kernels" not in check:
        return
    tensors, told = check["tensors"], " and ".join(f"{key} {value}" for key, value in check["session"].items())
    seen = [f"{tensors[key]:,} {what}" for key, what in SEEN.items() if tensors[key]]
    kernels = ", ".join(f"{op} {count}" for op, count in check["kernels"].items())
    yield f"  compared: {'; '.join(seen)}"
    yield f"  onnxruntime ran {kernels} (with {told})"
    plain = check["plain"]
    if plain["mismatches"]:
        mended = "" if check["mismatches"] else ": they depart from what ONNX defines, and the options above mend it"
        yield (
            f"  onnxruntime's default options give {plain['mismatches']:,} of {plain['values']:,} values otherwise "
            f"({plain['first']}){mended}"
        )
