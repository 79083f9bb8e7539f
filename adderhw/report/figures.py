"""Numbers as people read them: counts, picojoules and percentages for the HTML page and the terminal."""

_COUNTS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_ENERGIES = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"))


def count_text(number):
    """'40.81 M' of 40813184; integers below 100,000 in full, '16,384'."""
    return f"{number:,}" if number < 100_000 else _scaled(number, _COUNTS, "")


def energy_text(picojoule):
    """'7.56 µJ' of 7.56e6 picojoules; three or four significant digits."""
    return _scaled(picojoule, _ENERGIES, "pJ")


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
