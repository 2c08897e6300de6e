"""A walk between two agents: in numbers, as a picture, as an animation."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.population import Population
from embrl.agents.trajectories import typical
from embrl.agents.walk import COEFFICIENTS, Rule, best_coefficient
from embrl.agents.walks import Line, aligned_line, latent_line, stored_line, walked
from embrl.core.errors import EmbrlError
from embrl.core.statistics import bootstrap_mean
from embrl.core.types import Key
from embrl.envs.cart_pole import CartPoleConfig
from embrl.experiments.agents.worth import check_fits, worth_of
from embrl.report.agents_animation import Actor, animate
from embrl.report.agents_walk import WalkCurve, plot_walk
from embrl.report.claims import ci95
from embrl.report.drawing import decimals
from embrl.storage import files

MINUS = "\N{MINUS SIGN}"
SPACES = {
    "latent": "latent space",
    "aligned": "weight space, hidden units matched",
    "stored": "weight space, as trained",
}
"""The lines that every pair is walked along, and what people call them."""


@dataclasses.dataclass(frozen=True, eq=False)
class PairWalk:
    """A walk that was played."""

    record: dict[str, Any]
    """As `walk.json` has it."""
    returns: dict[str, Float[np.ndarray, "points episodes"]]
    """Of each line of `SPACES`."""
    latent: Float[np.ndarray, "points size"]
    """The decoded agents on the way."""


def lines(
    embedding: AgentEmbedding | None,
    population: Population,
    coefficients: Sequence[float] = COEFFICIENTS,
) -> dict[str, Line]:
    """By their names in `SPACES`; without an embedding there is no latent one."""
    found = {} if embedding is None else {"latent": latent_line(embedding, coefficients)}
    found["aligned"] = aligned_line(population.architecture, coefficients)
    found["stored"] = stored_line(coefficients)
    return found


def walk_pair(
    population: Population,
    embedding: AgentEmbedding,
    a: int,
    b: int,
    *,
    rule: Rule,
    episodes: int,
    key: Key,
) -> PairWalk:
    """Plays the lines between agents number `a` and `b` of the population.

    Raises:
        EmbrlError: there is no such agent, both are the same, or the embedding is of others.
    """
    check_fits(embedding, population, "the embedding")
    for number in (a, b):
        if not 0 <= number < population.count:
            raise EmbrlError(
                f"{population.path} has agents 0 to {population.count - 1}, not {number}"
            )
    if a == b:
        raise EmbrlError(f"a walk from agent {a} to itself leads nowhere: choose two agents")
    if episodes < 2:
        raise EmbrlError(f"episodes is {episodes}: choose 2 or more")
    env, architecture = population.env.build(), population.architecture
    one, other = population.rows(np.array([a])), population.rows(np.array([b]))
    returns = {
        name: walked(env, architecture, along, one, other, key, episodes)[0]
        for name, along in lines(embedding, population).items()
    }
    record = {
        "a": _agent(population, a),
        "b": _agent(population, b),
        "embedding": {
            "kind": embedding.kind,
            "k": embedding.k,
            "group": embedding.config.group,
        },
        "episodes": episodes,
        "margin": rule.margin,
        "coefficients": list(map(float, COEFFICIENTS)),
        "spaces": {name: _entry(rule, found) for name, found in returns.items()},
    }
    (latent,) = latent_line(embedding)(one, other)
    return PairWalk(record, returns, latent)


def _agent(population: Population, number: int) -> dict[str, Any]:
    table = population.table()
    row = {name: table[name][number].item() for name in ("lineage", "step", "return_mean")}
    return {"agent": number, **row}


def _entry(rule: Rule, returns: Float[np.ndarray, "points episodes"]) -> dict[str, Any]:
    c, found = np.asarray(COEFFICIENTS), bootstrap_mean(returns.T)
    mean = np.asarray(found.mean)
    return {
        "pattern": str(rule.pattern(c, mean)),
        "mean": mean.tolist(),
        "ci95": [ci95(type(found)(*point)) for point in zip(*found, strict=True)],
        "best_coefficient": float(best_coefficient(c, mean)),
        "best_outside": _best_outside(mean),
    }


def _best_outside(mean: Float[np.ndarray, " points"]) -> float:
    c = np.asarray(COEFFICIENTS)
    outside = (c < 0) | (c > 1)
    return float(best_coefficient(c[outside], mean[outside]))


def write_walk(walk: PairWalk, population: Population, out: Path, name: str, key: Key) -> list[str]:
    """Writes NAME.json, NAME.png and, of Cart-Pole, NAME.gif.

    **Returns** their names.
    """
    out.mkdir(parents=True, exist_ok=True)
    a, b = walk.record["a"], walk.record["b"]
    worth = worth_of(population)
    curves = {
        space: WalkCurve(
            {"latent": "decoded agents", "aligned": "hidden units matched"}.get(
                space, "as trained"
            ),
            walk.record["spaces"][space]["pattern"],
            np.asarray(COEFFICIENTS),
            found,
        )
        for space, found in walk.returns.items()
    }
    told = walk.record["embedding"]
    plot_walk(
        out / f"{name}.png",
        f"From agent {a['agent']} to {b['agent']} ({walk.record['episodes']} episodes a point)",
        [
            (f"latent space ({told['kind']}, k = {told['k']})", [curves["latent"]]),
            ("weight space", [curves["aligned"], curves["stored"]]),
        ],
        [(f"agent {agent['agent']}", agent["return_mean"]) for agent in (a, b)],
        worth.name,
        worth.limit,
    )
    written = [f"{name}.png"]
    record = {**walk.record, "shown": None}
    if isinstance(population.env, CartPoleConfig):
        record["shown"] = _animate(walk, population, out / f"{name}.gif", key)
        written.append(f"{name}.gif")
    files.write_json(out / f"{name}.json", record)
    return [f"{name}.json", *written]


def _animate(walk: PairWalk, population: Population, path: Path, key: Key) -> list[float]:
    """A, B, their midpoint and the best extrapolation, all decoded. **Returns** their
    coefficients, from left to right.
    """
    entry, config = walk.record["spaces"]["latent"], population.env
    assert isinstance(config, CartPoleConfig)
    shown = sorted({0.0, 0.5, 1.0, entry["best_outside"]})
    rows = [walk.record["coefficients"].index(c) for c in shown]
    env, architecture = config.build(), population.architecture
    seen = typical(env, architecture, walk.latent[rows], key, config.step_limit)
    names = {0.0: "A", 1.0: "B", 0.5: "midpoint"}
    actors = []
    for at, (c, row) in enumerate(zip(shown, rows, strict=True)):
        mean = entry["mean"][row]
        label = f"{names.get(c, 'extrapolation')}, c = {c:g}".replace("-", MINUS)
        label += f"\nmean {mean:.{min(1, decimals(mean))}f} steps"
        actors.append(Actor(label, seen.observations[at], int(seen.lengths[at])))
    a, b = (walk.record[side]["agent"] for side in "ab")
    title = f"Agents {a} and {b}, decoded: a {entry['pattern']}"
    if entry["pattern"] == "none":
        title = f"Agents {a} and {b}, decoded"
    animate(path, title, actors, config)
    return shown


def summary_line(record: dict[str, Any]) -> str:
    """What a walk came to, in a line for each space."""
    rows = []
    for space, entry in record["spaces"].items():
        ends = [entry["mean"][record["coefficients"].index(c)] for c in (0.0, 1.0)]
        rows.append(
            f"{SPACES[space]}: {entry['pattern']}; ends {ends[0]:.1f} and {ends[1]:.1f}, best "
            f"{max(entry['mean']):.1f} at c = {entry['best_coefficient']:g}"
        )
    return "\n".join(rows)


def pair_key(seed: int) -> Key:
    """Of episodes that no population was evaluated on."""
    return jax.random.fold_in(jax.random.key(seed), 5)
