"""Pin the behaviour of embrl: train a fixed set of small runs and compare every number.

    python tests/pinned/pin.py record OUT.json
    python tests/pinned/pin.py compare tests/pinned/base.json [--quick] [--only NAME ...]

The `embrl` that Python imports is tested; PYTHONPATH selects another source tree. Runs are called
through `python -m embrl` in this process. They are defined in runs.py with the names of flags and
columns at the time of recording; names.py translates them to the current names.

What is recorded of a run does not depend on names of files or of fields:

- all columns of every metrics.csv;
- the numbers in other JSON files (quality.json, walk.json, ...), sorted, without keys;
- every array of checkpoints, embeddings, populations and predicted actions, by shape and content.

`compare` prints one line per run and exits with code 1 if a difference exceeds the tolerance.
Results are equal in all bits only on the same kind of processor, with the same versions of JAX and
NumPy. base.json was recorded from the code before the renaming.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from running import chosen, results  # isort: skip  (first: it sets JAX up)

import jax
import numpy as np
from numbers_kept import Comparison, Kept
from runs import QUICK, parts, runs

TOLERANCE = 1e-4
"""Largest difference accepted as rounding, relative to the largest value of the column."""


def main() -> int:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["record", "compare", "list"])
    parser.add_argument("file", nargs="?", help="JSON file to write or to compare with")
    parser.add_argument("--only", nargs="+", default=["*"], help="names of runs, with wildcards *")
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    parser.add_argument("--jobs", type=int, default=1, help="number of parallel processes")
    parser.add_argument("--names", choices=["auto", "old", "new"], default="auto")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE)
    parser.add_argument("--words", type=int, default=6, help="differences to print per run")
    parser.add_argument("--keep", type=Path, help="new folder in which run folders are kept")
    arguments = parser.parse_args()
    if arguments.command == "list":
        for name, commands in runs().items():
            print(name, *commands, sep="\n    ")
        return 0
    if arguments.file is None:
        parser.error("name a file")
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="pinned-"))
    folder.mkdir(parents=True, exist_ok=arguments.keep is None)
    try:
        return {"record": record, "compare": compare}[arguments.command](arguments, folder)
    finally:
        if arguments.keep is None:
            shutil.rmtree(folder)


def record(arguments: argparse.Namespace, folder: Path) -> int:
    """Write the numbers of all chosen runs to a file; keep what it holds of other runs."""
    path, failed = Path(arguments.file), False
    found: dict[str, Kept] = json.loads(path.read_text()) if path.exists() else {}
    for name, result in _results(arguments, folder):
        seconds = result.pop("seconds")
        if not result:
            failed = True
            continue
        found[name] = result
        _write(path, found)
        print(f"{name}: recorded, {seconds} s", flush=True)
    return int(failed)


def _write(path: Path, found: Mapping[str, Kept]) -> None:
    about = {"jax": jax.__version__, "numpy": np.__version__, "python": sys.version.split()[0]}
    lines = [f'"about": {json.dumps(about)}']
    lines += [
        f"{json.dumps(name)}: {json.dumps(found[name], separators=(',', ':'))}"
        for name in runs()
        if name in found
    ]
    text = ",\n".join(lines)
    path.write_text(f"{{\n{text}\n}}\n")


def compare(arguments: argparse.Namespace, folder: Path) -> int:
    """Compare all chosen runs with a recorded file and print one line per run."""
    before = json.loads(Path(arguments.file).read_text())
    about = before.pop("about")
    for package, version in {"jax": jax.__version__, "numpy": np.__version__}.items():
        if about[package] != version:
            print(f"{package} is {version}, it was {about[package]}: last bits may differ")
    same: list[str] = []
    rounding: list[str] = []
    wrong: list[str] = []
    for name, result in _results(arguments, folder):
        seconds = f"{result.pop('seconds')} s"
        if not result or name not in before:
            wrong.append(name)
            said = f"not in {arguments.file}" if result else "FAILED"
        else:
            found = Comparison(before[name], json.loads(json.dumps(result)))
            said = found.said(arguments.words)
            small = rounding if found.worst <= arguments.tolerance else wrong
            (small if found.words else same).append(name)
        print(f"{name}: {said}, {seconds}", flush=True)
    print(f"{len(same)} identical to the last bit")
    for names, much in ((rounding, "no more"), (wrong, "more")):
        if names:
            print(f"{len(names)} differ by {much} than {arguments.tolerance}: {', '.join(names)}")
    return int(bool(wrong))


def _results(arguments: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Kept]]:
    """Yield the numbers of the chosen runs, computed in this process or in several."""
    names = chosen(QUICK if arguments.quick else arguments.only)
    if arguments.jobs == 1:
        yield from results(names, arguments.names, folder)
        return
    children = []
    for index, part in enumerate(parts(names, runs(), arguments.jobs)):
        file = folder / f"{index}.json"
        options = ["--names", arguments.names, "--keep", str(folder / str(index))]
        command = [sys.executable, __file__, "record", str(file), *options, "--only", *part]
        children.append((part, file, subprocess.Popen(command)))
    for part, file, child in children:
        child.wait()
        found = json.loads(file.read_text()) if file.exists() else {}
        for name in part:
            yield name, {**found.get(name, {}), "seconds": 0.0}


if __name__ == "__main__":
    sys.exit(main())
