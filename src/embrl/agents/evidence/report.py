"""Evidence folder of a population and its embeddings, with stored parts to resume from."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from embrl.agents.embeddings.embedding import AgentEmbedding, check_fits
from embrl.agents.embeddings.evaluate import evaluate
from embrl.agents.embeddings.fit import select_agents
from embrl.agents.evidence import claims, page, pair_walks, pictures
from embrl.agents.evidence.pair_walks import lines, summary_line, walk_key, walk_pair, write_walk
from embrl.agents.evidence.pictures import survivals
from embrl.agents.generate import supports_search
from embrl.agents.groups import Groups, score_scale
from embrl.agents.latent_search import RADIUS
from embrl.agents.novelty import evaluate_novelty
from embrl.agents.population import RECORD, Population
from embrl.agents.walks import WalkRule, Walks, draw_pairs, rule_of
from embrl.core.errors import EmbrlError
from embrl.core.runtime import machine, versions
from embrl.storage import files
from embrl.training.loop import Progress

WEIGHT_SPACES = ("aligned", "stored")
"""Spaces of weights that walks are compared in."""

MIN_AGENTS = 20
"""Minimum number of agents of a population to report on."""


@dataclasses.dataclass(frozen=True)
class ReportConfig:
    """Settings of a report: the amount of measurement.

    Raises:
        EmbrlError: a setting is out of range; the message names it.
    """

    pairs: int = 2000
    """Walks of each embedding's agents, equally many between every two groups."""
    walk_episodes: int = 20
    """Episodes at every point of these walks; an even number."""
    agents: int = 1000
    """Maximum number of reconstructed or generated agents of each group."""
    episodes: int = 100
    """Episodes of these agents, and at every point of the walks that are shown."""
    margin: float | None = None
    """Margin of the rule that classifies walks, in units of return; None: a tenth of the range."""
    everybody: bool = False
    """Walk between all agents, training agents included, instead of held-out ones."""
    seed: int = 0
    """Random seed."""

    def __post_init__(self) -> None:
        for name in ("pairs", "agents", "episodes"):
            if getattr(self, name) < 2:
                raise EmbrlError(f"{name} must be 2 or more, got {getattr(self, name)}")
        if self.walk_episodes < 2 or self.walk_episodes % 2:
            raise EmbrlError(
                f"walk_episodes must be an even number, got {self.walk_episodes}; they are halved"
            )


def write_report(
    population: Population,
    embeddings: Mapping[str, AgentEmbedding],
    out: str | Path,
    config: ReportConfig,
    command: str,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> dict[str, Any]:
    """Write `summary.json`, `README.md`, figures and animations into `out`.

    An interrupted report continues where it stopped: finished parts are in `out`/parts.

    Args:
        population: population to report on.
        embeddings: embeddings by name, the best one first.
        out: folder to write.
        config: settings.
        command: command shown in `README.md`.
        on_progress: called with the stage and its progress.

    Returns:
        The summary.

    Raises:
        EmbrlError: an embedding is of other agents, or there are too few.
    """
    check_count(population, MIN_AGENTS, "a report")
    for name, embedding in embeddings.items():
        check_fits(embedding, population, name)
    work = ReportParts(population, dict(embeddings), Path(out), config, on_progress)
    started = time.perf_counter()
    summary: dict[str, Any] = {
        "command": command,
        "machine": machine(),
        "versions": versions(),
        "population": work.about(),
        "config": dataclasses.asdict(config),
        "value": score_scale(population).name,
        "margin": work.rule.margin,
        "embeddings": {name: _about(e) for name, e in embeddings.items()},
        "similarity": work.similarity(),
        "quality": work.each("quality", work.quality),
        "novelty": work.each("novelty", work.novelty),
        "latent_search": work.latent_search(),
        "walks": work.walks(),
    }
    summary["quality_claims"] = claims.quality_claims(summary["quality"], work.groups)
    summary["latent_search_claims"] = claims.latent_search_claims(
        summary["latent_search"], work.groups
    )
    summary["examples"] = work.examples()
    summary["pictures"] = work.draw(summary)
    summary["wall_s"] = time.perf_counter() - started
    files.make_folder(work.out)
    files.write_json(work.out / "summary.json", summary)
    files.write_text(work.out / "README.md", page.markdown(summary))
    return summary


def check_count(population: Population, wanted: int, what: str) -> None:
    """Check that a population has enough agents.

    Raises:
        EmbrlError: the population has fewer agents than `wanted`.
    """
    if population.count < wanted:
        raise EmbrlError(
            f"agents of {population.path} must be {wanted} or more for {what}, got "
            f"{population.count}"
        )


def _about(embedding: AgentEmbedding) -> dict[str, Any]:
    return {"kind": embedding.kind, "k": embedding.k, "group": embedding.config.group}


class ReportParts:
    """A report in progress, part by part."""

    def __init__(
        self,
        population: Population,
        embeddings: dict[str, AgentEmbedding],
        out: Path,
        config: ReportConfig,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.population, self.embeddings, self.out = population, embeddings, out
        self.config, self.on_progress = config, on_progress
        self.returns = population.table()["return_mean"]
        self.groups = Groups.default(population.environment, self.returns)
        self.group = self.groups.of(self.returns)
        self.rule: WalkRule = rule_of(population, config.margin)
        self.parts = Parts(out)
        self.digests = {name: embedding_digest(e) for name, e in embeddings.items()}
        self.digest = population_digest(population)
        self.key = jax.random.fold_in(jax.random.key(config.seed), 4)
        self.counts: dict[str, Walks] = {}
        self.pairs: dict[str, np.ndarray] = {}

    def _progress(self, stage: str, done: int, total: int) -> None:
        self.on_progress(Progress(stage, done, total, None))

    def about(self) -> dict[str, Any]:
        population, lineage = self.population, self.population.table()["lineage"]
        return {
            "name": population.path.resolve().name,
            "agents": population.count,
            "lineages": len(np.unique(lineage)),
            "architecture": str(population.architecture),
            "environment": population.environment,
            "episodes": population.episodes,
            "groups": {
                name: int((self.group == at).sum()) for at, name in enumerate(self.groups.names)
            },
        }

    def similarity(self) -> dict[str, Any]:
        self._progress("decisions and representations", 0, 1)
        found = self.parts.get(
            "similarity",
            self._inputs(),
            lambda: claims.measure_similarity(self.population, self.groups, self.config.seed),
        )
        self._progress("decisions and representations", 1, 1)
        return found

    def each(self, stage: str, make: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
        found = {}
        for at, name in enumerate(self.embeddings):
            self._progress(stage, at, len(self.embeddings))
            found[name] = make(name)
        self._progress(stage, len(self.embeddings), len(self.embeddings))
        return found

    def quality(self, name: str) -> dict[str, Any]:
        """Measure what is kept and generated; scores of single agents stay in their part."""
        embedding, config = self.embeddings[name], self.config
        settings = {"agents": config.agents, "episodes": config.episodes}
        of = {**self._inputs(name), **settings}

        def tables() -> dict[str, Any]:
            folder = self.parts.folder / name
            files.make_folder(folder)
            return evaluate(
                embedding, self.population, folder, groups=self.groups,
                episodes=config.episodes, most=config.agents, seed=config.seed,
            )  # fmt: skip

        self.survivals(name)
        return self.parts.get(f"quality-{name}", of, tables)

    def survivals(self, name: str) -> dict[str, Any]:
        """Scores of single agents, for the histograms."""
        config = self.config
        settings = {"agents": config.agents, "episodes": config.episodes}
        return self.parts.get(
            f"survivals-{name}",
            {**self._inputs(name), **settings},
            lambda: survivals(
                self.embeddings[name], self.population, self.groups, **settings, seed=config.seed
            ),
        )

    def novelty(self, name: str) -> dict[str, Any]:
        config, folder = self.config, self.parts.folder / name
        group = self._best(name)
        settings = {"agents": min(config.agents, 500), "episodes": config.episodes}

        def measure() -> dict[str, Any]:
            files.make_folder(folder)
            embedding = self.embeddings[name]
            return evaluate_novelty(
                embedding, self.population, folder, agents=settings["agents"],
                episodes=config.episodes, group=group, seed=config.seed,
            )  # fmt: skip

        of = {**self._inputs(name), **settings, "group": group}
        return self.parts.get(f"novelty-{name}", of, measure)

    def latent_search(self) -> dict[str, Any]:
        """Measure the search in embeddings of all groups; a critic needs bad agents too."""
        names = [name for name, e in self.embeddings.items() if supports_search(e)]
        found = {}
        for at, name in enumerate(names):
            self._progress("latent search", at, len(names))
            found[name] = self.searched(name)
            self._progress("latent search", at + 1, len(names))
        return found

    def searched(self, name: str) -> dict[str, Any]:
        """Measure the search in one embedding."""
        settings = {"agents": self.config.agents, "episodes": self.config.episodes}
        return self.parts.get(
            f"latent-search-{name}",
            {**self._inputs(name), **settings, "radius": RADIUS},
            lambda: claims.measure_latent_search(
                self.embeddings[name], self.population, self.groups, **settings,
                seed=self.config.seed,
            ),
        )  # fmt: skip

    def walks(self) -> dict[str, Any]:
        """Classify walks in each space, for every scope.

        A scope is a group of agents and the training agents of its embeddings.
        """
        found = {}
        for scope, names in self.scopes().items():
            pairs = self.pairs[scope] = self._pairs(names[0])
            entry, limit = {}, pair_walks.score_limit(self.population)
            for name in (*names, *WEIGHT_SPACES):
                walks = pair_walks.walks_of(self.walked(scope, name))
                self.counts[f"{scope}: {name}"] = walks
                entry[name] = pair_walks.counted(
                    walks, self.rule, self.groups, self.group[pairs], limit
                )
            found[scope] = {"spaces": entry, "claims": self._smoother(scope, names)}
        return found

    def walked(self, scope: str, name: str) -> dict[str, Any]:
        """Play the walks of a scope in one space: an embedding's, or one of `WEIGHT_SPACES`."""
        names = self.scopes()[scope]
        pairs = self._pairs(names[0])
        of = {**self._inputs(name if name in names else None), "pairs": _pairs_digest(pairs)}
        of["episodes"] = self.config.walk_episodes

        def played() -> dict[str, Any]:
            spaces = lines(self.embeddings[name if name in names else names[0]], self.population)
            return pair_walks.played(
                self.population, spaces["latent" if name in names else name], pairs, self.key,
                self.config.walk_episodes, self.on_progress, f"walks, {scope}: {name}",
            )  # fmt: skip

        return self.parts.get(f"walks-{scope}-{name}", of, played)

    def scopes(self) -> dict[str, list[str]]:
        """Group embeddings that learned from the same agents, by the name of their scope."""
        found: dict[str, list[str]] = {}
        for name, embedding in self.embeddings.items():
            config = embedding.config
            scope = config.group.replace(" ", "-").replace("/", "-")
            if (config.held_out, config.seed) != self._split(found.get(scope, [name])[0]):
                scope += f"-seed-{config.seed}-{config.held_out:g}"
            found.setdefault(scope, []).append(name)
        return found

    def examples(self) -> dict[str, Any]:
        """Find a real pair for each pattern: the clearest one that new episodes confirm."""
        found: dict[str, Any] = {}
        key = walk_key(self.config.seed)
        for scope, names in self.scopes().items():
            for name in names:
                candidates = pair_walks.clearest_pairs(
                    self.counts[f"{scope}: {name}"], self.rule, self.returns[self.pairs[scope]]
                )
                for pattern, numbers in candidates.items():
                    for at, number in enumerate(numbers):
                        if pattern in found:
                            break
                        self._progress(f"a real {pattern}", at, len(numbers))
                        a, b = map(int, self.pairs[scope][number])
                        walk = walk_pair(
                            self.population, self.embeddings[name], a, b,
                            rule=self.rule, episodes=self.config.episodes, key=key,
                        )  # fmt: skip
                        if walk.record["spaces"]["latent"]["pattern"] == pattern:
                            written = write_walk(walk, self.population, self.out, pattern, key)
                            found[pattern] = {
                                "embedding": name,
                                "a": a,
                                "b": b,
                                "files": written,
                                "text": summary_line(walk.record),
                            }
        return found

    def draw(self, summary: dict[str, Any]) -> list[dict[str, str]]:
        self._progress("pictures", 0, 1)
        found = pictures.draw(
            self.out,
            self.population,
            self.embeddings,
            self.scopes(),
            {name: self.survivals(name) for name in self.embeddings},
            summary,
        )
        self._progress("pictures", 1, 1)
        return found

    def _smoother(self, scope: str, names: list[str]) -> list[dict[str, Any]]:
        return [
            {
                **pair_walks.smoothness_claim(
                    self.counts[f"{scope}: {name}"],
                    self.counts[f"{scope}: {space}"],
                    f"the weight-space line ({words})",
                ),
                "embedding": name,
            }
            for name in names
            for space, words in (("aligned", "hidden units matched"), ("stored", "as trained"))
        ]

    def _best(self, name: str) -> str:
        """Return the highest group with agents to train on and to hold out."""
        rows = select_agents(self.population, self.embeddings[name].config, self.groups)
        both = set(self.group[rows.train]) & set(self.group[rows.held_out])
        top = self.groups.count - 1
        return "best" if top in both or not both else str(max(both))

    def _split(self, name: str) -> tuple[float, int]:
        config = self.embeddings[name].config
        return config.held_out, config.seed

    def _pairs(self, name: str) -> np.ndarray:
        rows = select_agents(self.population, self.embeddings[name].config, self.groups)
        mine = np.concatenate(rows) if self.config.everybody else rows.held_out
        mine = np.sort(mine)
        return mine[draw_pairs(self.group[mine], self.config.pairs, self.config.seed)]

    def _inputs(self, name: str | None = None) -> dict[str, Any]:
        digest = None if name is None else self.digests[name]
        of = {"population": self.digest, "embedding": digest, "seed": self.config.seed}
        return json.loads(json.dumps(of))


def _pairs_digest(pairs: np.ndarray) -> list[int]:
    """Return numbers that identify the pairs."""
    return [len(pairs), int(pairs.sum()), *map(int, pairs[:8].ravel())]


FOLDER = "parts"


class Parts:
    """Finished parts in a folder, each with the inputs it was made from."""

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER

    def get(self, name: str, of: dict[str, Any], make: Callable[[], dict[str, Any]]) -> Any:
        """Return the stored part if it was made from the same inputs; else make and store it.

        Args:
            name: name of the part.
            of: plain values, all inputs of the part.
            make: makes the part.
        """
        path = self.folder / f"{name}.json"
        if path.exists():
            try:
                kept = files.read_json(path)
            except EmbrlError:
                kept = {}  # damaged: made again
            if kept.get("of") == of and "part" in kept:
                return kept["part"]
        part = make()
        files.make_folder(path.parent)
        files.write_json(path, {"of": of, "part": part})
        return part


def population_digest(population: Population) -> str:
    """Return a digest that identifies a population."""
    table = population.table()
    found = hashlib.sha256((population.path / RECORD).read_bytes())
    for name in sorted(table):
        found.update(np.ascontiguousarray(table[name]).tobytes())
    return found.hexdigest()[:16]


def embedding_digest(embedding: AgentEmbedding) -> str:
    """Return a digest that identifies an embedding."""
    found = hashlib.sha256(f"{embedding.kind} {embedding.config} {embedding.env}".encode())
    for leaf in jax.tree.leaves((embedding.model, embedding.prior)):
        if hasattr(leaf, "dtype"):
            found.update(np.asarray(leaf).tobytes())
    return found.hexdigest()[:16]
