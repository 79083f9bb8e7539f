"""A layer is cut so that every tile fits every buffer, and what cannot fit is named."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adderhw.cost.accelerator import load_accelerator
from adderhw.cost.tiling import KIB_BITS, choose_mapping
from adderhw.cost.traffic import Layer, dram_reads, strips
from adderhw.errors import CostError

WORDS = {"activations": 8, "weights": 8, "partial_sums": 24}
EYERISS = load_accelerator("eyeriss_like")
layers = st.builds(
    lambda outputs, channels, size, kernel, stride: Layer(
        outputs, channels, (kernel, kernel), (size, size), ((size - 1) // stride + 1,) * 2, (stride, stride),
        (kernel // 2, kernel // 2),
    ),
    st.integers(1, 300), st.integers(1, 80), st.integers(1, 40), st.sampled_from([1, 3, 5]), st.integers(1, 2),
)  # fmt: skip


def bits_needed(layer, mapping, rows):
    """{operand: bits of a tile}, from the pixels that it reads."""
    pixels = {layer.pixel(0, p, r) for p in rows for r in range(layer.kernel[0])} - {None}
    return {
        "activations": 8 * layer.channels * len(pixels) * layer.image[1],
        "weights": 8 * mapping.block * layer.reduction,
        "partial_sums": 24 * mapping.block * len(rows) * layer.output[1],
    }


@settings(deadline=None)
@given(layers)
def test_every_tile_fits_and_the_order_is_the_cheaper(layer):
    mapping = choose_mapping("a", layer, WORDS, EYERISS)
    for rows in strips(layer, mapping):
        for operand, bits in bits_needed(layer, mapping, rows).items():
            assert bits <= EYERISS.buffers_kib[operand] * KIB_BITS
    other = mapping._replace(weights_outer=not mapping.weights_outer)
    assert sum(dram_reads(layer, mapping)) <= sum(dram_reads(layer, other))


def test_a_layer_that_fits_is_one_tile():
    mapping = choose_mapping("a", Layer(8, 4, (3, 3), (8, 8), (8, 8), pad=(1, 1)), WORDS, EYERISS)
    assert (mapping.block, mapping.strip, mapping.filters, mapping.weights_outer) == (8, 8, 224 // 3, True)


@pytest.mark.parametrize(
    ("layer", "found"),
    [
        (Layer(1, 1000, (3, 3), (4, 4), (2, 2)), "found 9000 weights of an output channel, expected at most 8192"),
        (
            Layer(1, 64, (1, 1), (2, 2000), (2, 2000)),
            "found 128000 activations of an output row, expected at most 65536",
        ),
        (Layer(1, 1, (1, 225), (1, 225), (1, 1)), "found a filter row of 225 weights, expected a register for each"),
        (Layer(1, 1, (1, 1), (1, 11000), (1, 11000)), "found 11000 partial sums, expected at most 10922"),
    ],
)
def test_what_cannot_fit_is_named(layer, found):
    with pytest.raises(CostError) as error:
        choose_mapping("stem", layer, WORDS, EYERISS)
    assert str(error.value) == f"accelerator eyeriss_like: layer stem: {found}"
