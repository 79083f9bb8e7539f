"""The table of operations: exact against a count by hand, published figures, and the page that shows it."""

from pathlib import Path

import pytest

from training import taps

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def by_hand(name):
    """(taps of first and last layer, of those between) from the layers' sizes alone."""
    if name == "vgg_small":
        layers = [(128, 128, 32), (128, 256, 16), (256, 256, 16), (256, 512, 8), (512, 512, 8)]
        return 27 * 128 * 32**2 + 8192 * 10, sum(9 * a * b * side**2 for a, b, side in layers)
    edge, between, channels, side = 3 * 49 * 64 * 112**2, 0, 64, 56
    for stage, blocks in enumerate((2, 2, 2, 2) if name == "resnet18" else (3, 4, 6, 3)):
        width = 64 * 2**stage
        for block in range(blocks):
            out, before = (width if name == "resnet18" else 4 * width), side
            side //= 2 if stage and not block else 1
            if name == "resnet18":
                between += 9 * (channels * width + width * width) * side**2
            else:
                between += channels * width * before**2 + (9 * width * width + width * out) * side**2
            between += channels * out * side**2 if channels != out else 0
            channels = out
    return edge + channels * 1000, between


@pytest.mark.parametrize("name", ["vgg_small", "resnet18", "resnet50"])
def test_taps_are_those_counted_by_hand(name):
    row = taps.count(name)
    assert (row.edge, row.between) == by_hand(name)


def number(text):
    return float(text[:-1]) * {"M": 1e6, "G": 1e9}[text[-1]]


@pytest.mark.parametrize("name", taps.PUBLISHED)
def test_the_published_figures_are_near(name):
    exact, published = taps.count(name).exact, taps.PUBLISHED[name]
    assert [exact.cnn_mul, exact.ann_add] == [pytest.approx(number(p), rel=0.08) for p in published[::2]]


def test_the_published_resnet50_strides_in_the_first_layer_of_a_block():
    row = taps.count("resnet50")
    moved = sum(channels * width * (2 * side) ** 2 * 3 // 4 for channels, width, side in
                [(256, 128, 28), (512, 256, 14), (1024, 512, 7)])  # fmt: skip
    assert round((row.edge + row.between - moved) / 1e9, 1) == 3.9
    assert round((row.edge + 2 * (row.between - moved)) / 1e9, 1) == 7.6


def test_the_page_shows_what_the_command_prints(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["taps"])
    with pytest.raises(SystemExit) as exit_info:
        taps.main()
    assert exit_info.value.code == 0
    assert capsys.readouterr().out in PAGE.read_text()


@pytest.mark.parametrize(
    ("exact", "published", "text"),
    [
        (40_813_184, "41.17M", "−0.87 %"),
        (69_124_736, "69.12M", "rounding"),
        (1_814_073_344, "1.8G", "rounding"),
        (4_089_184_256, "3.9G", "+4.85 %"),
        (3_950_000_001, "3.9G", "+1.28 %"),
    ],
)
def test_a_difference_is_a_percentage_or_rounding(exact, published, text):
    assert taps.difference(exact, published) == text


def paper_rows():
    """{(network, kind): the cells behind them} of the table of Xu 2020's columns."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in list(taps.paper_table())[2:]]
    return {(name, kind): cells for name, kind, *cells in lines}


def test_the_paper_is_met_within_1_percent_or_its_rounding():
    rows = paper_rows()
    for name in ("resnet20", "resnet32"):
        exact = taps.count(name).exact
        assert [exact.cnn_mul, exact.ann_add] == [
            pytest.approx(number(published), rel=0.01) for published in taps.PUBLISHED[name][::2]
        ]
    for name in ("resnet18", taps.EARLY_STRIDE):
        for kind in ("CNN", "ANN"):
            assert rows[name, kind][2] == rows[name, kind][5] == "rounding"


def test_every_difference_has_a_remark_and_nothing_else_has():
    for (name, kind), cells in paper_rows().items():
        assert bool(cells[-1]) == any(cells[column].endswith("%") for column in (2, 5)), (name, kind)


def test_the_columns_of_the_kinds_add_up():
    for (name, kind), cells in paper_rows().items():
        mul, add, xnor = (int(cells[column].replace(",", "")) for column in (0, 3, 6))
        taps_of_all = int(paper_rows()[name, "CNN"][0].replace(",", "")) if kind != "CNN" else mul
        assert {"CNN": mul, "BNN": mul + xnor, "ANN": (mul + add) // 2}[kind] == taps_of_all
        assert (add == mul) == (kind != "ANN")


def test_100_classes_explain_the_published_multiplications_of_the_adder_networks():
    assert taps.count("resnet20").edge + 90 * 64 == 448_768


def test_the_energy_page_shows_the_papers_columns():
    assert "\n".join(taps.paper_table()) in (PAGE.parent / "energy.md").read_text()
