"""What the README shows is what its commands print, and its links lead somewhere."""

import re
import sys
from pathlib import Path

import pytest

from adderhw import cli

ROOT = Path(__file__).parent.parent
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("adderhw/models/*.md")})


def test_the_demo_in_the_readme_is_what_the_simulator_prints(monkeypatch, capsys):
    shown = (ROOT / "README.md").read_text().split("<!-- demo -->")[1].split("<!-- /demo -->")[0]
    monkeypatch.setattr(sys, "argv", ["simulate"])
    with pytest.raises(SystemExit):
        cli.main()
    printed = capsys.readouterr().out.replace(f"{ROOT}/", "").splitlines()
    for line in shown.strip().strip("`").strip().splitlines():
        assert line in printed or line == "…", line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target
