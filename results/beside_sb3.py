"""Seeds of Stable-Baselines3 beside embrl's: trained one after another, kept, and written in cells.

Used by first_environments.py and known_optima.py.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path


def _file(folder: Path, seed: int) -> Path:
    return folder / f"sb3-{seed}.json"


def train_theirs(folder: Path, seeds: int, command: Callable[[int], list[str]]) -> None:
    """Train seed after seed, but for those that are finished; stop at the first that fails.

    Args:
        folder: folder of what is kept.
        seeds: number of seeds.
        command: returns the command of a seed, whose last line of output is a JSON object with the
            return after training, `sampled`.
    """
    for seed in range(seeds):
        out = _file(folder, seed)
        if out.exists():
            continue
        done = subprocess.run(command(seed), stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            return
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(done.stdout.splitlines()[-1])


def their_returns(folder: Path, seeds: int) -> list[float]:
    """Return the returns of the seeds that are finished."""
    files = (_file(folder, seed) for seed in range(seeds))
    return [json.loads(path.read_text())["sampled"] for path in files if path.exists()]


def summary_of(folder: Path) -> dict:
    """Return the summary of a run of embrl; empty if it is not finished."""
    path = folder / "summary.json"
    return json.loads(path.read_text()) if path.exists() else {}


def cell(returns: list[float], seeds: int, digits: int = 3) -> str:
    """Return mean, interval and every seed's return; of too few seeds, the returns alone."""
    if not returns:
        return "not measured"
    shown = [f"{value:.{digits}g}" for value in returns]
    each = ", ".join(shown)
    if len(returns) < seeds:
        return f"{each} ({len(returns)} of {seeds} seeds measured)"
    return f"{interval(returns, digits)} ({each})"


def short_cell(returns: list[float]) -> str:
    """Return mean, interval and the worst of a few seeds or many."""
    if not returns:
        return "not measured"
    if len(returns) == 1:
        return f"{returns[0]:.4g} (1 seed)"
    return f"{interval(returns, 4)}, worst {min(returns):.4g} ({len(returns)} seeds)"


def interval(returns: list[float], digits: int) -> str:
    """Return the mean and its 95 % interval, a bootstrap over seeds."""
    import numpy as np

    from embrl.core.statistics import bootstrap_mean

    mean, low, high = (float(value) for value in bootstrap_mean(np.array(returns)))
    return f"{mean:.{digits}g} [{low:.{digits}g}, {high:.{digits}g}]"
