"""Embeddings of agents as a prior: a new Cart-Pole solved by search in their latent space.

    python results/cart_pole_prior.py population
    python results/cart_pole_prior.py search [--force 3]

`population` collects agents of the ordinary Cart-Pole and fits an embedding to them, in
runs/cart_pole_prior. `search` looks for an agent that balances a longer pole with a weaker push, in
the latent space and in the space of weights, with the same search and the same episodes, and writes
results/cart_pole_prior/search-FORCE.json, which docs/tasks.md shows.
"""

import argparse
import json
from collections.abc import Callable, Generator
from pathlib import Path

import jax
import numpy as np

import embrl
from embrl.agents.episodes import survival
from embrl.agents.population import Population
from embrl.core.statistics import bootstrap_mean

HERE = Path(__file__).parent
OUT = HERE / "cart_pole_prior"
RUNS = HERE.parent / "runs" / "cart_pole_prior"
LINEAGES = 50
K = 16
HALF_LENGTH = 2.0
"""Half the length of the variant's pole, four times the ordinary one."""
FORCE = 3.0
"""Its force, three tenths of the ordinary one."""
SOLVED = 475.0
"""Mean return that counts as solved, over `TESTED` other episodes, which are not counted."""
TESTED = 100
PLAYED = 4
"""Episodes of each candidate."""
POPULATION = 16
ELITES = 4
GENERATIONS = 30
SEEDS = 10

Draws = Generator[np.ndarray, np.ndarray, None]
"""Generations of candidates; the best ones so far are sent back."""


def population() -> None:
    """Collect agents of the ordinary Cart-Pole, and fit an embedding to them."""
    agents = RUNS / "population"
    if not (agents / "population.json").exists():
        embrl.collect_agents("cart_pole", out=agents, lineages=LINEAGES, block=LINEAGES)
    embrl.fit_agents(
        agents, "fingerprint", k=K, beta=1e-4, steps=1000, out=RUNS / "fingerprint", measure=False
    )


def cross_entropy(centre: np.ndarray, width: np.ndarray, rng: np.random.Generator) -> Draws:
    """Draw around the best of all candidates so far; the spread never falls below a tenth."""
    mean, spread = centre, width
    while True:
        drawn = (mean + spread * rng.normal(size=(POPULATION, len(mean)))).astype(np.float32)
        elites = yield drawn
        mean, spread = elites.mean(0), np.maximum(elites.std(0), 0.1 * width)


def draws(sample: Callable[[], np.ndarray]) -> Draws:
    """Draw without learning from the returns."""
    while True:
        yield sample()


def search(force: float) -> None:
    """Count the episodes until the variant is solved, for each search and seed."""
    agents = Population(RUNS / "population")
    embedding = embrl.load_agents(RUNS / "fingerprint")
    env = embrl.make("cart_pole", half_length=HALF_LENGTH, force=force)
    everyone = agents.weights()
    returns = agents.table()["return_mean"]
    started = everyone[agents.table()["step"] == 0]
    skilled = everyone[returns >= SOLVED]
    known = embedding.encode(everyone)
    at_home = survival(env, agents.architecture, skilled, jax.random.key(99), 20).returns.mean(1)
    print("agents of the population on the variant", np.quantile(at_home, [0, 0.25, 0.5, 0.75, 1]))

    def searches(seed: int) -> dict[str, tuple[Draws, Callable[[np.ndarray], np.ndarray]]]:
        rng = np.random.default_rng(seed)

        def rows(table: np.ndarray) -> Callable[[], np.ndarray]:
            return lambda: table[rng.integers(len(table), size=POPULATION)]

        def weights(w: np.ndarray) -> np.ndarray:
            return w

        around = (known.mean(0), known.std(0), rng)
        keys = iter(jax.random.split(jax.random.key(seed), GENERATIONS))
        return {
            "latent space, cross-entropy": (cross_entropy(*around), embedding.decode),
            "latent space, draws of the prior": (
                draws(lambda: embedding.sample(next(keys), POPULATION)),
                embedding.decode,
            ),
            "weights, cross-entropy from new networks": (
                cross_entropy(started.mean(0), started.std(0), rng),
                weights,
            ),
            "weights, cross-entropy around all agents": (
                cross_entropy(everyone.mean(0), everyone.std(0), rng),
                weights,
            ),
            "weights, cross-entropy around one skilled agent": (
                cross_entropy(skilled[rng.integers(len(skilled))], started.std(0), rng),
                weights,
            ),
            "agents of the population": (draws(rows(everyone)), weights),
        }

    found: dict[str, list[dict]] = {}
    for seed in range(SEEDS):
        for name, (generations, decode) in searches(seed).items():
            row = _solve(env, agents.architecture, generations, decode, seed)
            found.setdefault(name, []).append(row)
            print(seed, name, row, flush=True)
    table = {name: _row(rows) for name, rows in found.items()}
    table["skilled agents on the variant"] = np.quantile(at_home, [0, 0.5, 1]).round(1).tolist()
    OUT.mkdir(exist_ok=True)
    (OUT / f"search-{force:g}.json").write_text(json.dumps(table, indent=1) + "\n")
    print(json.dumps(table, indent=1))


def _solve(env, architecture, generations, decode, seed: int) -> dict[str, float | None]:
    """Return the episodes until a candidate is found that solves the variant, and the best mean."""
    key = jax.random.key(1000 + seed)
    points, scores, drawn, best = None, np.zeros(0), next(generations), 0.0
    for generation in range(GENERATIONS):
        w = decode(drawn)
        playing, testing = jax.random.split(jax.random.fold_in(key, generation))
        new = np.asarray(survival(env, architecture, w, playing, PLAYED).returns).mean(1)
        best = max(best, float(new.max()))
        if new.max() >= SOLVED:
            one = w[new.argmax()][None]
            tested = float(np.mean(survival(env, architecture, one, testing, TESTED).returns))
            if tested >= SOLVED:
                return {"episodes": (generation + 1) * POPULATION * PLAYED, "test": tested}
        points = drawn if points is None else np.concatenate([points, drawn])
        scores = np.concatenate([scores, new])
        elites = points[np.argsort(-scores, kind="stable")[:ELITES]]
        drawn = generations.send(elites)
    return {"episodes": None, "test": best}


def _row(rows: list[dict]) -> dict:
    limit = GENERATIONS * POPULATION * PLAYED
    episodes = np.array([row["episodes"] or limit for row in rows], float)
    interval = bootstrap_mean(episodes)
    return {
        "solved": sum(row["episodes"] is not None for row in rows),
        "median episodes": float(np.median(episodes)),
        "mean episodes, unsolved at the limit": [round(float(side), 1) for side in interval],
        "episodes": [row["episodes"] for row in rows],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["population", "search"])
    parser.add_argument("--force", type=float, default=FORCE, help="force of the variant, N")
    asked = parser.parse_args()
    if asked.command == "population":
        population()
    else:
        search(asked.force)
