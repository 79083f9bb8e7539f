"""The commands of docs/hardware.md run, one after the other, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.hardware.needs import needs

ROOT = Path(__file__).parent.parent.parent


@needs("iverilog")
def test_the_commands_of_the_hardware_page_run(tmp_path):
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "hardware.md").read_text(), re.DOTALL)
    assert len(blocks) == 4
    script = f'set -e\npython() {{ "{sys.executable}" "$@"; }}\n' + "".join(blocks)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "RESULT blocks.2.shortcut.0 accumulators 512 outputs 512 mismatches 0: PASS" in done.stdout
    assert "self-test: 0 corrupted files went unnoticed" in done.stdout
