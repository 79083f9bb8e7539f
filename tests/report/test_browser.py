"""The page in headless Chromium: its table sorts by mouse and keyboard, and the console stays silent."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from adderhw.report.page import render_html, script_digest
from adderhw.report.side_by_side import side_by_side
from adderhw.report.side_by_side_output import render_html as side_by_side_html
from tests.report.example import full_document, layers

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None and "CI" not in os.environ, reason="apt-get install chromium")
ENERGY, LAYER = 6, 1  # columns
LONG = [(at, result) for at in range(32) for result in layers()][:158]  # as many as an integer ResNet-50 has
HARNESS = """
const heads = document.querySelector("#layers").tHead.rows[0].cells;
const names = () => [...document.querySelector("#layers").tBodies[0].rows].map(row => row.cells[1].dataset.v);
const seen = {start: names()};
heads[%d].click(); seen.up = names(); seen.sort = heads[%d].getAttribute("aria-sort");
heads[%d].click(); seen.down = names();
heads[%d].dispatchEvent(new KeyboardEvent("keydown", {key: "Enter"})); seen.named = names();
heads[4].click(); seen.taps = names();
const out = document.createElement("pre");
out.id = "seen"; out.textContent = JSON.stringify(seen); document.body.append(out);
""" % (ENERGY, ENERGY, ENERGY, LAYER)  # noqa: UP031 - braces of JavaScript


def browse(page, folder, *flags):
    """(DOM after scripts, console lines) of a page in a browser that has no network to fall back on."""
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND",
        *flags, "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def with_harness(page):
    """The page with a script that clicks, let through by the page's own policy beside the page's script."""
    page = page.replace("script-src ", f"script-src '{script_digest(HARNESS)}' ", 1)
    return page.replace("</body>", f"<script>{HARNESS}</script></body>")


def test_the_layer_table_sorts_and_the_console_is_silent(tmp_path):
    document = full_document()
    dom, console = browse(with_harness(render_html(document)), tmp_path)
    assert console == []
    seen = json.loads(re.search(r'<pre id="seen">(.*?)</pre>', dom, re.S)[1])
    layers = document["layers"]
    by_energy = sorted(layers, key=lambda layer: layer["energy_pj"]["horowitz45"])
    assert 'class="sorts">' in dom
    assert seen["start"] == [layer["name"] for layer in layers]
    assert seen["up"] == [layer["name"] for layer in by_energy]
    assert seen["sort"] == "ascending"
    assert sorted(seen["down"], key=seen["down"].index) == [layer["name"] for layer in reversed(by_energy)]
    assert seen["named"] == sorted(seen["start"])
    assert seen["taps"][-1] == "block.requantise1", "a layer without taps stands last"


def test_a_script_that_is_not_the_pages_own_does_not_run(tmp_path):
    page = render_html(full_document()).replace("</body>", "<script>document.title = 'broken'</script></body>")
    dom, console = browse(page, tmp_path)
    assert "<title>broken" not in dom
    assert any("Content Security Policy" in line for line in console)


def test_a_page_of_158_layers_is_drawn_within_a_second(tmp_path):
    long = [replace(result, work=replace(result.work, name=f"{at}.{result.work.name}")) for at, result in LONG]
    timer = "addEventListener('load', () => { document.title = `loaded ${performance.now()}`; });"
    page = render_html(full_document(layers=long))
    page = page.replace("script-src ", f"script-src '{script_digest(timer)}' ", 1)
    dom, console = browse(page.replace("</body>", f"<script>{timer}</script></body>"), tmp_path)
    assert console == []
    assert float(re.search(r"<title>loaded ([\d.]+)", dom)[1]) < 1000


def test_runs_side_by_side_leave_the_console_silent(tmp_path):
    documents = [full_document(), full_document()]
    dom, console = browse(side_by_side_html(side_by_side(documents, ("a.json", "b.json")), documents), tmp_path)
    assert console == []
    assert "Accuracy against energy" in dom
