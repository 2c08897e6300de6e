"""kill -9 in the middle of upserts, a little of what benchmarks/store_kills.py does."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks/store_kills.py"


def test_no_acknowledged_row_is_lost(folder):
    """And a second process, while the first writes, gets one line."""
    command = [sys.executable, str(SCRIPT), folder, "--kills", "1", "--rows", "50"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kills, acknowledged, lost = map(int, done.stdout.split()[::2])
    assert (kills, lost) == (1, 0)
    assert acknowledged > 0
