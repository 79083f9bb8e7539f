"""The section `area` of a document: processing elements and arrays of them, from a table of synthesised areas."""

from adderhw.errors import AdderHwError
from adderhw.hardware.areas import area_of
from adderhw.hardware.elements import ADDER, DEFAULT_LANES, MULTIPLY_ACCUMULATE, SATURATING_ADDER

ASSUMPTIONS = (
    "Area of processing elements alone: |x − w| or x · w with its accumulator, at each layer's own widths. "
    "Requantisation, memories, wires, control and clock are not in it; no power is claimed. Between two accumulators "
    "that were synthesised the area is interpolated, and says so."
)


def area_section(results, cnn, table, accelerator=None, saturate=False):
    """(the document's `area`, that of each layer: None where it is no adder layer).

    results: LayerResult records. cnn: the CNN's LayerWork of each. table: a table of adderhw.hardware.areas.
    accelerator: whose rows × columns elements make the array, None for the array that ships. saturate: whether narrow
    accumulators saturate. What the table does not span is None, with the reason in `missing`.
    """
    elements = accelerator.rows * accelerator.columns if accelerator else DEFAULT_LANES
    pairs = [(result, rival) for result, rival in zip(results, cnn, strict=True) if result.work.kind == "adder"]
    section = {
        "table": {key: table[key] for key in ("name", "tool", "library", "area_unit", "depth_unit")},
        "assumptions": ASSUMPTIONS,
        "array": _array(pairs, table, elements, saturate, accelerator.title if accelerator else "adder_array"),
    }
    own = [
        _elements_area(table, [(result, rival)], elements, saturate) if result.work.kind == "adder" else None
        for result, rival in zip(results, cnn, strict=True)
    ]
    return section, own


def _array(pairs, table, elements, saturate, title):
    """An array of elements wide enough for every adder layer; None without one."""
    return {"title": title, **_elements_area(table, pairs, elements, saturate)} if pairs else None


def _elements_area(table, pairs, elements, saturate):
    """One element and `elements` of them, of this network and of the CNN, wide enough for the layers in `pairs`."""
    works, rivals = [result.work for result, _ in pairs], [rival for _, rival in pairs]
    narrow = any(result.work.accumulator_bits < result.accumulator.bound_bits for result, _ in pairs)
    adder = SATURATING_ADDER if saturate and narrow else ADDER
    bits, accumulator_bits = _widths(works)
    _, cnn_accumulator_bits = _widths(rivals)
    missing = []
    own = _lookup(table, adder, bits, accumulator_bits, missing)
    product = _lookup(table, MULTIPLY_ACCUMULATE, bits, cnn_accumulator_bits, missing)
    return {
        "element": adder.name,
        "bits": bits,
        "accumulator_bits": accumulator_bits,
        "cnn_accumulator_bits": cnn_accumulator_bits,
        "adder": own,
        "multiply_accumulate": product,
        "cnn_over_ann": product["area"] / own["area"] if own and product else None,
        "elements": elements,
        "elements_area": own and elements * own["area"],
        "cnn_elements_area": product and elements * product["area"],
        "missing": missing,
    }


def _widths(works):
    """(operand bits, accumulator bits) that hold every layer's."""
    return max(max(w.input_bits, w.weight_bits) for w in works), max(w.accumulator_bits for w in works)


def _lookup(table, element, bits, accumulator_bits, missing):
    """{area, basis}, or None with the reason appended to `missing`."""
    try:
        return area_of(table, element, bits, accumulator_bits)._asdict()
    except AdderHwError as error:
        missing.append(str(error))
        return None


def area_lines(document):
    """What the summary says of the document's `area`, in lines."""
    section = document["area"]
    if section is None or section["array"] is None:
        return
    array, table = section["array"], section["table"]
    layers = [layer["area"] for layer in document["layers"] if layer["area"]]
    source = f"{table['tool'].split(' (')[0]}, {table['library']}"
    unit, own = table["area_unit"], [layer["adder"]["area"] for layer in layers if layer["adder"]]
    ratios = [layer["cnn_over_ann"] for layer in layers if layer["cnn_over_ann"]]
    if own:
        yield f"area of an adder element over the layers: {_span(own, ',.0f')} {unit} ({source})"
    if ratios:
        yield f"area of the CNN's multiply-accumulate element over it: {_span(ratios, '.2f')} ×"
    if array["adder"]:
        widths = f"{array['bits']} bits with accumulators of {array['accumulator_bits']}"
        yield (
            f"area of {array['elements']} adder elements ({array['title']}) of {widths}: "
            f"{array['elements_area']:,.0f} {unit}; elements alone, no power is claimed"
        )
    reasons = dict.fromkeys(reason for layer in layers for reason in layer["missing"])
    yield from (f"no area: {reason}" for reason in reasons)


def _span(values, form):
    """'5,932 to 7,002', or one figure where both are printed the same."""
    low, high = (format(end(values), form) for end in (min, max))
    return low if low == high else f"{low} to {high}"
