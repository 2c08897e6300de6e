"""The whole evidence folder of a population and its embeddings."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from embrl.agents.ascend import RADIUS
from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.embeddings.evaluate import evaluate
from embrl.agents.embeddings.fit import chosen
from embrl.agents.groups import Groups
from embrl.agents.improving import improvable
from embrl.agents.plane import plane
from embrl.agents.population import Population
from embrl.agents.walk import Rule
from embrl.agents.walks import Walks, drawn
from embrl.core.errors import EmbrlError
from embrl.experiments.agents import ascent, likeness, page, pictures, walking
from embrl.experiments.agents.bars import bars
from embrl.experiments.agents.pair import lines, pair_key, summary_line, walk_pair, write_walk
from embrl.experiments.agents.parts import Parts, mark_of_embedding, mark_of_population
from embrl.experiments.agents.survivals import survivals
from embrl.experiments.agents.worth import check_count, check_fits, rule_of, worth_of
from embrl.storage import files
from embrl.storage.versions import machine, versions

Tell = Callable[[str, int, int], None]
"""Told the stage, how much of it is done, and of how much."""

LEAST = 20
"""Agents a population must have to be reported on."""


@dataclasses.dataclass(frozen=True)
class ReportConfig:
    """How much is measured.

    Raises:
        EmbrlError: a setting is out of range; the message names it.
    """

    pairs: int = 2000
    """Walks of each embedding's agents, as many between every two groups."""
    walk_episodes: int = 20
    """At every point of these walks; an even number."""
    agents: int = 1000
    """Of a kind and group at most, where they are reconstructed or generated."""
    episodes: int = 100
    """Of these agents, and at every point of the walks that are shown."""
    margin: float | None = None
    """Of the rule that tells patterns, in units of return; None: a tenth of the range there is."""
    everybody: bool = False
    """Walk between all agents, those that embeddings have learned from too; else held-out ones."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("pairs", "agents", "episodes"):
            if getattr(self, name) < 2:
                raise EmbrlError(f"{name} is {getattr(self, name)}: choose 2 or more")
        if self.walk_episodes < 2 or self.walk_episodes % 2:
            raise EmbrlError(
                f"walk_episodes is {self.walk_episodes}: choose an even number, they are halved"
            )


def evidence(
    population: Population,
    embeddings: Mapping[str, AgentEmbedding],
    out: str | Path,
    config: ReportConfig,
    command: str,
    tell: Tell = lambda *_: None,
) -> dict[str, Any]:
    """Writes summary.json, README.md, pictures and animations into `out`.

    Interrupted, it goes on where it stopped: finished parts lie in `out`/parts.

    Arguments:
        embeddings: by the names they are called by, the best one first.
        command: what README.md says it was made by.

    **Returns** the summary.

    Raises:
        EmbrlError: an embedding is of other agents, or there are too few.
    """
    check_count(population, LEAST, "a report")
    for name, embedding in embeddings.items():
        check_fits(embedding, population, name)
    work = _Work(population, dict(embeddings), Path(out), config, tell)
    started = time.perf_counter()
    summary: dict[str, Any] = {
        "command": command,
        "machine": machine(),
        "versions": versions(),
        "population": work.about(),
        "config": dataclasses.asdict(config),
        "value": worth_of(population).name,
        "margin": work.rule.margin,
        "embeddings": {name: _about(e) for name, e in embeddings.items()},
        "likeness": work.likeness(),
        "quality": work.each("quality", work.quality),
        "novelty": work.each("novelty", work.novelty),
        "ascent": work.ascent(),
        "walks": work.walks(),
    }
    summary["bars"] = bars(summary["quality"], work.groups)
    summary["ascent_claims"] = ascent.claims(summary["ascent"], work.groups)
    summary["examples"] = work.examples()
    summary["pictures"] = work.draw(summary)
    summary["wall_s"] = time.perf_counter() - started
    work.out.mkdir(parents=True, exist_ok=True)
    files.write_json(work.out / "summary.json", summary)
    files.write_text(work.out / "README.md", page.markdown(summary))
    return summary


def _about(embedding: AgentEmbedding) -> dict[str, Any]:
    return {"kind": embedding.kind, "k": embedding.k, "group": embedding.config.group}


class _Work:
    """One report in the making."""

    def __init__(
        self,
        population: Population,
        embeddings: dict[str, AgentEmbedding],
        out: Path,
        config: ReportConfig,
        tell: Tell,
    ) -> None:
        self.population, self.embeddings, self.out = population, embeddings, out
        self.config, self.tell = config, tell
        self.returns = population.table()["return_mean"]
        self.groups = Groups.default(population.environment, self.returns)
        self.group = self.groups.of(self.returns)
        self.rule: Rule = rule_of(population, config.margin)
        self.parts = Parts(out)
        self.marks = {name: mark_of_embedding(e) for name, e in embeddings.items()}
        self.mark = mark_of_population(population)
        self.key = jax.random.fold_in(jax.random.key(config.seed), 4)
        self.counts: dict[str, Walks] = {}
        self.pairs: dict[str, np.ndarray] = {}

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

    def likeness(self) -> dict[str, Any]:
        self.tell("decisions and representations", 0, 1)
        found = self.parts.get(
            "likeness",
            self._of(),
            lambda: likeness.measured(self.population, self.groups, self.config.seed),
        )
        self.tell("decisions and representations", 1, 1)
        return found

    def each(self, stage: str, make: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
        found = {}
        for at, name in enumerate(self.embeddings):
            self.tell(stage, at, len(self.embeddings))
            found[name] = make(name)
        self.tell(stage, len(self.embeddings), len(self.embeddings))
        return found

    def quality(self, name: str) -> dict[str, Any]:
        """Survival kept and generated; every agent's, for the histograms, stays in its part."""
        embedding, config = self.embeddings[name], self.config
        settings = {"agents": config.agents, "episodes": config.episodes}
        of = {**self._of(name), **settings}

        def tables() -> dict[str, Any]:
            folder = self.parts.folder / name
            folder.mkdir(parents=True, exist_ok=True)
            return evaluate(
                embedding, self.population, folder, groups=self.groups,
                episodes=config.episodes, most=config.agents, seed=config.seed,
            )  # fmt: skip

        self.survivals(name)
        return self.parts.get(f"quality-{name}", of, tables)

    def survivals(self, name: str) -> dict[str, Any]:
        """Every agent's, for the histograms."""
        config = self.config
        settings = {"agents": config.agents, "episodes": config.episodes}
        return self.parts.get(
            f"survivals-{name}",
            {**self._of(name), **settings},
            lambda: survivals(
                self.embeddings[name], self.population, self.groups, **settings, seed=config.seed
            ),
        )

    def novelty(self, name: str) -> dict[str, Any]:
        config, folder = self.config, self.parts.folder / name
        group = self._best(name)
        settings = {"agents": min(config.agents, 500), "episodes": config.episodes}

        def measure() -> dict[str, Any]:
            folder.mkdir(parents=True, exist_ok=True)
            embedding = self.embeddings[name]
            return plane(
                embedding, self.population, folder, agents=settings["agents"],
                episodes=config.episodes, group=group, seed=config.seed,
            )  # fmt: skip

        of = {**self._of(name), **settings, "group": group}
        return self.parts.get(f"novelty-{name}", of, measure)

    def ascent(self) -> dict[str, Any]:
        """Of embeddings of all groups: a critic of good agents alone knows no way up."""
        names = [name for name, e in self.embeddings.items() if improvable(e)]
        settings = {"agents": self.config.agents, "episodes": self.config.episodes}
        found = {}
        for at, name in enumerate(names):
            self.tell("ascent", at, len(names))
            found[name] = self.parts.get(
                f"ascent-{name}",
                {**self._of(name), **settings, "radius": RADIUS},
                lambda name=name: ascent.ascended(
                    self.embeddings[name], self.population, self.groups, **settings,
                    seed=self.config.seed,
                ),
            )  # fmt: skip
            self.tell("ascent", at + 1, len(names))
        return found

    def walks(self) -> dict[str, Any]:
        """For every scope (a group of agents, and whom embeddings of it learned from): patterns in
        each space.
        """
        found = {}
        for scope, names in self.scopes().items():
            pairs = self.pairs[scope] = self._pairs(names[0])
            spaces = {name: lines(self.embeddings[name], self.population) for name in names}
            every = {name: spaces[name]["latent"] for name in names}
            every |= {name: spaces[names[0]][name] for name in ("aligned", "stored")}
            entry, limit = {}, walking.limit_of(self.population)
            for name, along in every.items():
                stage = f"walks, {scope}: {name}"
                of = {**self._of(name if name in names else None), "pairs": _mark(pairs)}
                of["episodes"] = self.config.walk_episodes
                part = self.parts.get(
                    f"walks-{scope}-{name}",
                    of,
                    lambda along=along, stage=stage, pairs=pairs: walking.played(
                        self.population, along, pairs, self.key, self.config.walk_episodes,
                        lambda done, total: self.tell(stage, done, total),
                    ),
                )  # fmt: skip
                walks = walking.walks_of(part)
                self.counts[f"{scope}: {name}"] = walks
                entry[name] = walking.counted(
                    walks, self.rule, self.groups, self.group[pairs], limit
                )
            found[scope] = {"spaces": entry, "claims": self._smoother(scope, names)}
        return found

    def scopes(self) -> dict[str, list[str]]:
        """Embeddings that learned from the same agents, by what to call these."""
        found: dict[str, list[str]] = {}
        for name, embedding in self.embeddings.items():
            config = embedding.config
            scope = config.group.replace(" ", "-").replace("/", "-")
            if (config.held_out, config.seed) != self._split(found.get(scope, [name])[0]):
                scope += f"-seed-{config.seed}-{config.held_out:g}"
            found.setdefault(scope, []).append(name)
        return found

    def examples(self) -> dict[str, Any]:
        """A real pair for each pattern: the clearest whose pattern new episodes confirm."""
        found: dict[str, Any] = {}
        key = pair_key(self.config.seed)
        for scope, names in self.scopes().items():
            for name in names:
                candidates = walking.clearest(
                    self.counts[f"{scope}: {name}"], self.rule, self.returns[self.pairs[scope]]
                )
                for pattern, numbers in candidates.items():
                    for at, number in enumerate(numbers):
                        if pattern in found:
                            break
                        self.tell(f"a real {pattern}", at, len(numbers))
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
        self.tell("pictures", 0, 1)
        found = pictures.draw(
            self.out,
            self.population,
            self.embeddings,
            self.scopes(),
            {name: self.survivals(name) for name in self.embeddings},
            summary,
        )
        self.tell("pictures", 1, 1)
        return found

    def _smoother(self, scope: str, names: list[str]) -> list[dict[str, Any]]:
        return [
            {
                **walking.smoother(
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
        """The highest group with agents to train on and to hold out."""
        rows = chosen(self.population, self.embeddings[name].config, self.groups)
        both = set(self.group[rows.train]) & set(self.group[rows.held_out])
        top = self.groups.count - 1
        return "best" if top in both or not both else str(max(both))

    def _split(self, name: str) -> tuple[float, int]:
        config = self.embeddings[name].config
        return config.held_out, config.seed

    def _pairs(self, name: str) -> np.ndarray:
        rows = chosen(self.population, self.embeddings[name].config, self.groups)
        mine = np.concatenate(rows) if self.config.everybody else rows.held_out
        mine = np.sort(mine)
        return mine[drawn(self.group[mine], self.config.pairs, self.config.seed)]

    def _of(self, name: str | None = None) -> dict[str, Any]:
        mark = None if name is None else self.marks[name]
        of = {"population": self.mark, "embedding": mark, "seed": self.config.seed}
        return json.loads(json.dumps(of))


def _mark(pairs: np.ndarray) -> list[int]:
    """Enough of the pairs to tell whether they are the same."""
    return [len(pairs), int(pairs.sum()), *map(int, pairs[:8].ravel())]
