"""The page is one file that asks for nothing, escapes names, and shows what the document says."""

import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from adderhw.report.page import render_html, script_digest, write_html
from tests.report.example import adder, document, full_document

EVIL = '<script>alert("x")</script>'
VOID = {"meta", "wbr"}


class Page(HTMLParser):
    """Collects start tags with their attributes and checks that tags nest."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def scripts(text):
    return re.findall(r"<script[^>]*>.*?</script>", text, re.S)


@pytest.fixture(scope="module")
def with_memory():
    """A document with every section: an accelerator, a float reference, an earlier run."""
    return full_document()


def test_the_page_loads_nothing_and_runs_one_script_of_its_own(with_memory):
    text = render_html(with_memory)
    page = Page(text)
    assert page.open == []
    assert not {tag for tag, _ in page.tags} & {"link", "img", "iframe", "object", "embed", "use", "image"}
    for _, attributes in page.tags:
        assert not set(attributes) & {"src", "srcset", "href", "xlink:href", "action", "onload", "onclick"}
    assert "@import" not in text
    assert "url(" not in text
    assert len(text.encode()) < 2e6
    (script,) = scripts(text)
    digest = script_digest(script.removeprefix("<script>").removesuffix("</script>"))
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src '{digest}'" in text


@pytest.mark.parametrize("place", ["layer", "path", "command", "data"])
def test_names_are_escaped(place):
    changes = {
        "layer": {"layers": [adder(f"a.{EVIL}/b", 9, 4)]},
        "path": {"model": {"path": EVIL, "sha256": "0", "domain_version": 1, "parameters": 1}},
        "command": {"command": EVIL},
        "data": {"data": {"name": EVIL, "split": "test", "count": 1}},
    }
    text = render_html(document(**changes[place]))
    assert len(scripts(text)) == 1
    assert "alert(" not in scripts(text)[0]
    assert "&lt;script&gt;" in text


def test_the_page_shows_the_headlines():
    words = " ".join(Page(render_html(document())).words)
    for shown in ("95.00 %", "190 of 200", "identical", "3 overflow", "Accumulators of 16 bit.", "not stated", "0.9 V"):
        assert shown in words
    assert "python -m adderhw.simulate ann.onnx" in words
    assert "accumulators ANN 16 bit, CNN 24 bit" in words


def test_long_names_may_break_after_a_dot():
    assert "block.<wbr>adder2" in render_html(document())


def test_data_without_a_split_is_named_alone():
    assert "<p>x.npz: 2 images" in render_html(document(data={"name": "x.npz", "split": None, "count": 2}))


def test_mismatches_are_shown():
    check = {"backend": "onnxruntime", "images": 8, "values": 4096, "mismatches": 7}
    assert "7 differ" in render_html(document(check=check))


def test_a_run_without_labels_check_or_sums_still_makes_a_page(tmp_path):
    write_html(document(accuracy=None, check=None, command=None, layers=[]), tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "the data has no labels" in text
    assert "not run" in text


def test_a_network_without_multipliers_says_0():
    text = render_html(document(layers=[adder("a", 9, 4)]))
    assert "Multiplications, in hardware</h2><b>0</b>" in text


def test_stacked_bars_stay_inside_the_drawing():
    for tag, attributes in Page(render_html(document())).tags:
        if tag == "rect":
            assert float(attributes.get("x", 0)) + float(attributes["width"]) <= 1000.01


def test_the_report_needs_no_plotting_and_no_deep_learning_package():
    program = (
        "import sys; import adderhw.report.page, adderhw.report.summary, adderhw.report.tables;"
        "sys.exit(bool({'matplotlib', 'torch', 'onnxruntime', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_section_has_its_chart(with_memory):
    text = render_html(with_memory)
    assert text.count('class="chart"') == 7
    words = " ".join(Page(text).words)
    for heading in ("Accuracy against energy", "Distance from the float network", "Roofline", "Accumulator head-room"):
        assert heading in words


def test_a_run_without_accelerator_reference_or_earlier_runs_has_two_charts():
    assert render_html(document()).count('class="chart"') == 2
