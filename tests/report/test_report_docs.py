"""docs/report.md names every field of the document, and its commands run."""

import os
import re
import subprocess
import sys
from pathlib import Path

from quant.sweep_config import AXES, COUNTS, TEXTS, read_sweep
from tests.report.example import full_document

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")


def test_every_field_of_the_document_is_described():
    doc = full_document()
    sections = [doc["memory"], doc["memory"]["networks"]["ann"], doc["comparison"], doc["comparison"]["ratios"]["cnn"]]
    sections += [doc, doc["layers"][1], doc["layers"][1]["accumulator"], doc["totals"], doc["baselines"]["cnn"]]
    sections += [doc[name] for name in ("model", "data", "accuracy", "timing", "check", "sqnr")]
    sections += [doc["ratios"]["qtools45"], doc["sources"][0], doc["price_basis"]["qtools45"]["add:16"]]
    for field in {key for section in sections for key in section}:
        assert re.search(rf"[`.]{field}[`.\[]", TEXT), field


def test_the_commands_run_in_their_order(tmp_path):
    (tmp_path / "adderhw").symlink_to(ROOT / "adderhw")
    (tmp_path / "docs").mkdir()
    sweep = (ROOT / "docs" / "sweep.toml").read_text(encoding="utf-8")
    fewer = re.sub(r"bits = .*", "bits = [8]", sweep).replace("samples = 256", "samples = 8\nlimit = 4")
    (tmp_path / "docs" / "sweep.toml").write_text(re.sub(r"realisation = .*", 'realisation = ["multiplier"]', fewer))
    for line in re.findall(r"^(?:python -m .*)$", "\n".join(re.findall(r"```\n(.*?)```", TEXT, re.S)), re.M):
        command = [sys.executable, *line.split()[1:]]
        if "adderhw.simulate" in line:
            command += ["--limit", "16"]
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stderr}"


def test_the_sweep_that_is_shown_has_60_points_and_every_field_is_described():
    sweep = read_sweep(ROOT / "docs" / "sweep.toml")
    assert len(sweep.points()) == 60
    for name in (*TEXTS, *COUNTS, *(f"axes.{name}" for name in AXES)):
        assert f"`{name}`" in TEXT, name
