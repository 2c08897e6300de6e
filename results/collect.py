"""Copy from run folders what is worth keeping, without checkpoints.

python results/collect.py runs/RUN ...      to results/RUN
"""

import shutil
import sys
from pathlib import Path

KEPT = (
    *("config.json", "quality.json", "metrics.csv", "summary.json", "figures"),
    *("table.md", "table.csv", "curves.png"),
)


def main() -> None:
    """Copy the folders named on the command line."""
    here = Path(__file__).parent
    for run in map(Path, sys.argv[1:]):
        target = here / run.relative_to("runs")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in KEPT:
            if (run / name).is_dir():
                shutil.copytree(run / name, target / name)
            elif (run / name).exists():
                shutil.copy(run / name, target / name)


main()
