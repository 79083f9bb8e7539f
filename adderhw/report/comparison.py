"""The network beside its rivals over all tables: bands of energies and ratios, and where an adder network loses."""

from adderhw.cost.bands import all_tables, band, energies, ratios_by_table
from adderhw.cost.baselines import ANN, ANN_WIRED, HARD_WIRED
from adderhw.cost.events import Tally

NOTHING_REWRITTEN = (
    "No layer is rewritten: there is none between the first and the last, which keep their products. ANN, CNN, BNN and "
    "the shift networks are one network here, and their ratios say nothing."
)


def compare(works, rivals, tables, network):
    """The document's `comparison`: what docs/energy.md says of it.

    works: LayerWork records of the network. rivals: {Baseline: its LayerWork records}. tables: those of the run; the
    band spans these and every other table that ships and prices the figure. network: the Network that `works` are of.
    """
    spanned = all_tables(tables)
    priced = {network.name: energies(_tally(works), spanned)}
    priced |= {baseline.name: energies(_tally(rewritten), spanned) for baseline, rewritten in rivals.items()}
    ratios = {
        baseline.name: ratio_fields(baseline, network, priced[baseline.name][0], priced[against(baseline, network)][0])
        for baseline in rivals
        if baseline is not ANN_WIRED
    }
    return {
        "tables": [table.name for table in spanned],
        "unpriced": {name: missing for name, (_, missing) in priced.items() if missing},
        "energy_pj": {name: band_fields(band(found)) for name, (found, _) in priced.items()},
        "ratios": ratios,
        "rewritten": any(work.rewritten for work in works),
        "losses": losses(ratios, network) if any(work.rewritten for work in works) else [NOTHING_REWRITTEN],
    }


def against(baseline, network):
    """The name of the network that a rival is held against: this one, or the adder network with hard-wired weights."""
    return ANN_WIRED.name if baseline.weights == HARD_WIRED else network.name


def band_fields(found):
    """A Band as {low: {value, table}, high: {value, table}}, or None."""
    return None if found is None else {end: getattr(found, end)._asdict() for end in ("low", "high")}


def base_words(name, title):
    """'the adder network', or what else rivals are held against, in a sentence."""
    return "the adder network" if name == ANN.name else f"this network ({title})"


def losses(ratios, network=None):
    """Sentences that say which rival takes no more energy than the network, in every table or in some.

    ratios: {name: {title, weights, over, by_table, band}} as in the document. network: the Network they are over, by
    default an adder network.
    """
    words = base_words(ANN.name, ANN.title) if network is None else base_words(network.name, network.title)
    own = words[0].upper() + words[1:]
    sentences = []
    for ratio in ratios.values():
        lost = [table for table, value in ratio["by_table"].items() if value <= 1]
        if not lost:
            continue
        low, high = (ratio["band"][end]["value"] for end in ("low", "high"))
        where = "any table" if len(lost) == len(ratio["by_table"]) else ", ".join(lost)
        sentences.append(
            f"{own} does not win against {rival_text(ratio)}, which takes {low:.2f} to {high:.2f} times "
            f"its energy, under {where}."
        )
    return sentences


def rival_text(ratio):
    """'BNN (programmable weights)' of an entry of `ratios`."""
    return ratio["title"] if ratio["weights"] in ratio["title"] else f"{ratio['title']} ({ratio['weights']} weights)"


def ratio_fields(baseline, network, above, below):
    """A rival's entry in `ratios`; above, below: {table: pJ} of the rival and of what it is held against."""
    by_table = ratios_by_table(above, below)
    return {
        "title": baseline.title,
        "weights": baseline.weights,
        "over": against(baseline, network),
        "by_table": by_table,
        "band": band_fields(band(by_table)),
    }


def _tally(works):
    return sum((work.events for work in works), Tally())
