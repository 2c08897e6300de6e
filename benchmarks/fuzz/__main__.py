"""Fuzz campaign: `python -m benchmarks.fuzz [--seed 0] [--counts spaces=3000,files=2000] [--more]`.

Each input must be taken, or refused by an `EmbrlError` of one line, within a minute; reading must
change no file. Prints the counts of each kind, and for each finding where it arose and an input.
"""

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

from benchmarks.fuzz.tally import Tally

COUNTS = {
    "spaces": 4000,
    "environments": 4000,
    "logs": 2000,
    "files": 2000,
    "flags": 1500,
    "commands": 500,
    "interface": 2000,
}
"""Inputs of each kind, a module of this package."""


def main() -> int:
    """Run the campaign; return 1 if it found something."""
    parser = argparse.ArgumentParser(description="Random inputs of every kind.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--counts", default="", help="as spaces=100,flags=10; others are left out")
    parser.add_argument("--more", action="store_true", help="print how often what was refused")
    given = parser.parse_args()
    counts = dict(part.split("=") for part in given.counts.split(",") if part) or COUNTS
    failed, total = 0, 0
    for kind, count in counts.items():
        tally = Tally(kind)
        with tempfile.TemporaryDirectory() as work:
            module = importlib.import_module(f"benchmarks.fuzz.{kind}")
            module.run(tally, int(count), given.seed, Path(work))
        print(tally.line(), flush=True)
        total += tally.inputs
        for place, inputs in sorted(tally.findings.items(), key=lambda found: -len(found[1])):
            failed = 1
            print(f"    {len(inputs)} x {place}\n        {inputs[0]}", flush=True)
        if given.more:
            for words, times in sorted(tally.reasons.items(), key=lambda found: -found[1]):
                print(f"    {times} x refused: {words}")
    print(f"{total:,} inputs")
    return failed


if __name__ == "__main__":
    sys.exit(main())
