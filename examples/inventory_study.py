"""Run the tutorial docs/tutorials/inventory.md block by block and save its figure and its table.

    python examples/inventory_study.py [FOLDER]

The default takes under 10 minutes on 2 idle cores and writes to results/tutorial.
"""

import contextlib
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tutorials" / "inventory.md"


def blocks(sizes: str | None = None) -> list[str]:
    """Return the page's Python blocks, with `sizes` in place of its line of sizes."""
    found = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    if sizes is None:
        return found
    return [re.sub(r"^SEEDS, STEPS.*$", sizes, block, flags=re.MULTILINE) for block in found]


def main(out: Path, sizes: str | None = None) -> dict[str, Any]:
    """Run the blocks in the folder `out`; return all names that they define."""
    out.mkdir(parents=True, exist_ok=True)
    names: dict[str, Any] = {"__name__": "tutorial"}
    start = time.perf_counter()
    with contextlib.chdir(out):
        for number, block in enumerate(blocks(sizes), 1):
            began = time.perf_counter()
            exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
            print(f"[block {number}: {time.perf_counter() - began:.0f} s]", flush=True)
        Path("table.md").write_text("\n".join(names["table"]) + "\n")
        for folder in ("run", "evaluations"):
            shutil.rmtree(folder)
    taken, busy = time.perf_counter() - start, time.process_time()
    print(f"{taken:.0f} s in all, {busy:.0f} s of processor time, {os.cpu_count()} cores")
    return names


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results" / "tutorial")
