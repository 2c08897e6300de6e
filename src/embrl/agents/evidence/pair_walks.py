"""A walk between two agents as numbers, figure and animation; statistics of many walks."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from embrl.agents.embeddings.embedding import AgentEmbedding, check_fits
from embrl.agents.episodes import typical_episode
from embrl.agents.figures import WalkCurve, plot_walk
from embrl.agents.groups import Groups, score_scale
from embrl.agents.population import Population
from embrl.agents.walks import (
    COEFFICIENTS,
    Pattern,
    WalkLine,
    WalkRule,
    Walks,
    aligned_line,
    best_coefficient,
    clarity,
    latent_line,
    play_walks,
    split_halves,
    stored_line,
)
from embrl.core.errors import EmbrlError
from embrl.core.statistics import bootstrap_mean
from embrl.core.types import Key
from embrl.envs.cart_pole import CartPoleConfig
from embrl.report.cart_animation import AnimatedAgent, animate
from embrl.report.claims import Difference, check_claim, ci95
from embrl.report.drawing import decimals
from embrl.storage import files
from embrl.training.loop import Progress

MINUS = "\N{MINUS SIGN}"
SPACES = {
    "latent": "latent space",
    "aligned": "weight space, hidden units matched",
    "stored": "weight space, as trained",
}
"""Lines along which every pair is walked, and their names."""


@dataclasses.dataclass(frozen=True, eq=False)
class PairWalk:
    """Walk between two agents, played."""

    record: dict[str, Any]
    """Contents of `walk.json`."""
    returns: dict[str, Float[np.ndarray, "points episodes"]]
    """Returns along each line of `SPACES`."""
    latent: Float[np.ndarray, "points size"]
    """Decoded agents of the latent line."""


def lines(
    embedding: AgentEmbedding | None,
    population: Population,
    coefficients: Sequence[float] = COEFFICIENTS,
) -> dict[str, WalkLine]:
    """Return the lines by their names in `SPACES`; without an embedding there is no latent one."""
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
    rule: WalkRule,
    episodes: int,
    key: Key,
) -> PairWalk:
    """Play the lines between agents number `a` and `b` of the population.

    Args:
        population: population of the agents.
        embedding: embedding of such agents.
        a: number of one agent.
        b: number of the other agent.
        rule: rule that classifies the walk.
        episodes: episodes at every point.
        key: random key of the episodes.

    Raises:
        EmbrlError: there is no such agent, both are the same, or the embedding is of others.
    """
    check_fits(embedding, population, "the embedding")
    for number in (a, b):
        if not 0 <= number < population.count:
            raise EmbrlError(
                f"agents of {population.path} must be 0 to {population.count - 1}, got {number}"
            )
    if a == b:
        raise EmbrlError(f"agents of a walk must be two different ones, got {a} twice")
    if episodes < 2:
        raise EmbrlError(f"episodes must be 2 or more, got {episodes}")
    env, architecture = population.env.build(), population.architecture
    one, other = population.rows(np.array([a])), population.rows(np.array([b]))
    returns = {
        name: play_walks(env, architecture, along, one, other, key, episodes)[0]
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


def _entry(rule: WalkRule, returns: Float[np.ndarray, "points episodes"]) -> dict[str, Any]:
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
    """Write NAME.json, NAME.png and, for Cart-Pole, NAME.gif.

    Returns:
        The names of the files.
    """
    files.make_folder(out)
    a, b = walk.record["a"], walk.record["b"]
    score = score_scale(population)
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
        score.name,
        score.limit,
    )
    written = [f"{name}.png"]
    record = {**walk.record, "shown": None}
    if isinstance(population.env, CartPoleConfig):
        record["shown"] = _animate(walk, population, out / f"{name}.gif", key)
        written.append(f"{name}.gif")
    files.write_json(out / f"{name}.json", record)
    return [f"{name}.json", *written]


def _animate(walk: PairWalk, population: Population, path: Path, key: Key) -> list[float]:
    """Animate A, B, their midpoint and the best extrapolation, all decoded.

    Returns:
        Their coefficients, from left to right.
    """
    entry, config = walk.record["spaces"]["latent"], population.env
    assert isinstance(config, CartPoleConfig)
    shown = sorted({0.0, 0.5, 1.0, entry["best_outside"]})
    rows = [walk.record["coefficients"].index(c) for c in shown]
    env, architecture = config.build(), population.architecture
    seen = typical_episode(env, architecture, walk.latent[rows], key, config.step_limit)
    names = {0.0: "A", 1.0: "B", 0.5: "midpoint"}
    actors = []
    for at, (c, row) in enumerate(zip(shown, rows, strict=True)):
        mean = entry["mean"][row]
        label = f"{names.get(c, 'extrapolation')}, c = {c:g}".replace("-", MINUS)
        label += f"\nmean {mean:.{min(1, decimals(mean))}f} steps"
        actors.append(AnimatedAgent(label, seen.observations[at], int(seen.lengths[at])))
    a, b = (walk.record[side]["agent"] for side in "ab")
    title = f"Agents {a} and {b}, decoded: a {entry['pattern']}"
    if entry["pattern"] == "none":
        title = f"Agents {a} and {b}, decoded"
    animate(path, title, actors, config)
    return shown


def summary_line(record: dict[str, Any]) -> str:
    """Summarize a walk, one line for each space."""
    rows = []
    for space, entry in record["spaces"].items():
        ends = [entry["mean"][record["coefficients"].index(c)] for c in (0.0, 1.0)]
        rows.append(
            f"{SPACES[space]}: {entry['pattern']}; ends {ends[0]:.1f} and {ends[1]:.1f}, best "
            f"{max(entry['mean']):.1f} at c = {entry['best_coefficient']:g}"
        )
    return "\n".join(rows)


def walk_key(seed: int) -> Key:
    """Return the key of episodes on which no population was evaluated."""
    return jax.random.fold_in(jax.random.key(seed), 5)


SHOWN = (Pattern.SLOPE, Pattern.VALLEY, Pattern.HILL)
CANDIDATES = 8
"""Pairs of each pattern tried as its example, the clearest first."""


def played(
    population: Population,
    along: WalkLine,
    pairs: Int[np.ndarray, "pairs 2"],
    key: Key,
    episodes: int,
    on_progress: Callable[[Progress], None],
    stage: str,
) -> dict[str, Any]:
    """Return mean returns over even and odd episodes at every point, as JSON values."""
    one, other = (population.rows(side) for side in pairs.T)
    env, architecture = population.env.build(), population.architecture
    returns = play_walks(env, architecture, along, one, other, key, episodes, on_progress, stage)
    halves = split_halves(COEFFICIENTS, returns).halves
    return {"halves": np.round(halves.astype(np.float64), 4).tolist()}


def walks_of(part: dict[str, Any]) -> Walks:
    """Parse the result of `played`."""
    return Walks(np.asarray(COEFFICIENTS), np.asarray(part["halves"]))


def counted(
    walks: Walks,
    rule: WalkRule,
    groups: Groups,
    group: Int[np.ndarray, "pairs 2"],
    limit: float | None,
) -> dict[str, Any]:
    """Count patterns over all pairs and for each pair of groups; measure extrapolation.

    Args:
        walks: played walks.
        rule: rule that classifies them.
        groups: groups of agents.
        group: groups of both agents of each pair.
        limit: highest possible return; where the better end is within the rule's margin of it,
            nothing can beat that end.
    """
    found = np.array([str(pattern) for pattern in walks.patterns(rule)])
    kinds = {
        _kind(groups, *pair): np.all(group == pair, axis=1) for pair in np.unique(group, axis=0)
    }
    gains, ends = walks.gains(), walks.ends.max(1)
    room = np.ones(len(ends), bool) if limit is None else ends + rule.margin <= limit
    return {
        "pairs": len(found),
        "patterns": {"all": _count(found), **{k: _count(found[m]) for k, m in kinds.items()}},
        "shares": {p: _mean(found == p) for p in map(str, Pattern)},
        "best_coefficient": {
            f"{c:g}": int(n)
            for c, n in zip(*np.unique(walks.best, return_counts=True), strict=True)
        },
        "between": _mean(walks.mean[:, _inside()].mean(1)),
        "extrapolation": {
            p: {
                "pairs": int(mine.sum()),
                "gain": _mean(gains.gain[mine]),
                "with_room": int((mine & room).sum()),
                "beats": _mean(gains.gain[mine & room] > rule.margin),
            }
            for p in ("all", *map(str, Pattern))
            for mine in [np.ones(len(found), bool) if p == "all" else found == p]
        },
    }


def smoothness_claim(mine: Walks, other: Walks, name: str) -> dict[str, Any]:
    """Return the claim that the latent line is the better one, pair by pair."""
    inside = _inside()
    apart = mine.mean[:, inside].mean(1) - other.mean[:, inside].mean(1)
    found = bootstrap_mean(apart)
    return check_claim(
        f"between two agents, decoded agents score higher than those on {name}",
        Difference(float(found.mean), ci95(found)),
    )


def clearest_pairs(
    walks: Walks, rule: WalkRule, trained: Float[np.ndarray, "pairs 2"]
) -> dict[str, list[int]]:
    """Return the pairs that show each pattern best.

    Pairs whose decoded ends score, to within the margin, what the agents as trained score come
    first.
    """
    patterns = np.array([str(pattern) for pattern in walks.patterns(rule)])
    strange = np.any(np.abs(walks.ends - trained) > rule.margin, axis=1)
    found = {}
    for pattern in SHOWN:
        of_it = np.flatnonzero(patterns == str(pattern))
        order = np.lexsort((-clarity(pattern, walks)[of_it], strange[of_it]))
        found[str(pattern)] = of_it[order][:CANDIDATES].tolist()
    return found


def score_limit(population: Population) -> float | None:
    """Return the highest possible score, or None; see `counted`."""
    return score_scale(population).limit


def _inside() -> np.ndarray:
    c = np.asarray(COEFFICIENTS)
    return (c > 0) & (c < 1)


def _kind(groups: Groups, a: int, b: int) -> str:
    return " / ".join(groups.names[at] for at in sorted({int(a), int(b)}))


def _count(found: np.ndarray) -> dict[str, int]:
    return {pattern: int((found == pattern).sum()) for pattern in map(str, Pattern)}


def _mean(values: Float[np.ndarray, " n"] | Sequence[float]) -> dict[str, Any]:
    values = np.asarray(values, np.float64)
    if not len(values):
        return {"mean": None, "ci95": None}
    found = bootstrap_mean(values, resamples=2000)
    return {"mean": float(found.mean), "ci95": ci95(found)}
