"""Collect agents, embed them, and walk from one to another through the embedding.

python examples/agents.py [FOLDER [LINEAGES [STEPS]]]

The defaults take a few minutes; docs/agents/README.md explains each step.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

import embrl


def main(out: Path, lineages: int, steps: int, **smaller: Any) -> np.ndarray:
    """Run all steps in the folder `out`; return the mean survival along the walk."""
    runs = {"hidden": (16, 16), "checkpoints": (0, 6, 24)}
    agents = embrl.collect_agents(
        out=out / "population", lineages=lineages, block=min(lineages, 50), episodes=20, runs=runs
    )
    survival = agents.table()["survival_mean"]
    print(f"{agents.count} agents {agents.architecture}: mean survival {survival.mean():.0f} steps")

    embedding = embrl.fit_agents(
        agents, out=out / "embedding", k=8, steps=steps, measure=False, **smaller
    )
    best, middle = np.argsort(survival)[[-1, agents.count // 2]]
    walk = embrl.walk_agents(agents, embedding, int(middle), int(best), episodes=20)
    latent = walk.record["spaces"]["latent"]
    print(f"from agent {middle} to agent {best}, {embedding.k} numbers each: {latent['pattern']}")
    for c, steps_survived in zip(walk.record["coefficients"], latent["mean"], strict=True):
        print(f"{c:5.2f} {steps_survived:6.1f} {'#' * round(steps_survived / 10)}")
    return np.asarray(latent["mean"])


if __name__ == "__main__":
    main(
        Path(sys.argv[1] if len(sys.argv) > 1 else "runs/agents/example"),
        int(sys.argv[2]) if len(sys.argv) > 2 else 100,
        int(sys.argv[3]) if len(sys.argv) > 3 else 600,
    )
