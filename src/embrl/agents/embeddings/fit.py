"""Fit of an embedding to a population: one loop for all kinds, with checkpoints."""

import dataclasses
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from embrl.agents.architecture import Architecture
from embrl.agents.canonical import canonical
from embrl.agents.embeddings import KINDS, learning
from embrl.agents.embeddings.embedding import (
    FOLDER,
    AgentEmbedding,
    AgentFitConfig,
    blank,
    config_from_json,
    load,
)
from embrl.agents.embeddings.learning import AgentFitPlan, AgentFitState, TrainingAgents
from embrl.agents.embeddings.prior import fit_prior
from embrl.agents.episodes import visited_states
from embrl.agents.groups import Groups, split
from embrl.agents.population import Population
from embrl.agents.similarity import size
from embrl.core.errors import EmbrlError
from embrl.core.types import Key
from embrl.envs.environment import Environment
from embrl.storage import checkpoint, files
from embrl.storage.lock import locked
from embrl.training.loop import Progress

CHECKPOINTS = "checkpoints"

SAVE_EVERY = 20.0
"""Seconds between two checkpoints."""

WARM = 100
"""Steps over which the learning rate rises."""

CHUNK_AGENTS = 1024
"""Agents that act at once."""


class AgentSplit(NamedTuple):
    """Rows of a population: training agents and held-out agents."""

    train: Int[np.ndarray, " n"]
    held_out: Int[np.ndarray, " m"]


def fit(
    kind: str,
    population: Population,
    config: AgentFitConfig,
    out: str | os.PathLike[str],
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
    resume: bool = False,
    groups: Groups | None = None,
) -> AgentEmbedding:
    """Fit an embedding of `kind` to the agents of `config.group`, into the folder `out`.

    The same settings give the same embedding, bit for bit, however often it is interrupted.

    Args:
        kind: name in `embrl.agents.embeddings.KINDS`.
        population: population of the agents.
        config: settings.
        out: folder to write.
        on_progress: called after each chunk of gradient steps.
        resume: continue from the folder's last checkpoint; a finished embedding is returned
            unchanged.
        groups: groups by mean return; None: Cart-Pole's, or the quartiles elsewhere.

    Raises:
        EmbrlError: the population is too small, a group is unknown, `out` holds another fit, or the
            loss is no longer finite.
    """
    with locked(Path(out)):
        return _fit(kind, population, config, Path(out), on_progress, resume, groups)


def _fit(
    kind: str,
    population: Population,
    config: AgentFitConfig,
    out: Path,
    on_progress: Callable[[Progress], None],
    resume: bool,
    groups: Groups | None,
) -> AgentEmbedding:
    """Fit as `fit` does, in a folder that is locked."""
    model_class = KINDS[kind]
    said = {
        "kind": kind,
        "config": dataclasses.asdict(config),
        "agents": population.count,
        "architecture": dataclasses.asdict(population.architecture),
        "environment": population.environment,
        "env": dataclasses.asdict(population.env),
    }
    found = _found(out, resume, said)
    if resume and checkpoint.latest(out / FOLDER) is not None:
        return load(out)
    agents = select_agents(population, config, groups)
    if config.k > len(agents.train):
        raise EmbrlError(
            f"k must be at most the number of training agents, {len(agents.train)}, got {config.k}"
        )
    env, root = population.env.build(), jax.random.key(config.seed)
    visiting, init_key, learning_key = jax.random.split(root, 3)
    architecture = population.architecture
    w = canonical(architecture, population.rows(agents.train))
    material = collect_training_agents(env, architecture, w, visiting, config.keep)
    if found is None:
        model = model_class.make(
            architecture, material.w, material.visited, config.k, config.hidden, init_key
        )
        state = learning.start(model)
    else:
        like = jax.eval_shape(learning.start, blank(kind, architecture, config))
        state = jax.tree.map(jnp.asarray, checkpoint.read(found, like))
    state = _learn(
        state, material, env, learning_key, _plan(config, model_class, w), out, said, on_progress
    )
    z = [
        np.asarray(
            state.model.posterior(state.model.features(jnp.asarray(w[at : at + CHUNK_AGENTS])))[0]
        )
        for at in range(0, len(w), CHUNK_AGENTS)
    ]
    prior = fit_prior(np.concatenate(z), config.seed)
    embedding = AgentEmbedding(
        kind, config, population.environment, population.env, state.model, prior
    )
    embedding.save(out)
    return embedding


def planned(out: str | os.PathLike[str]) -> tuple[str, AgentFitConfig] | None:
    """Return kind and settings of the fit begun in a folder; None if there is none.

    Raises:
        EmbrlError: its checkpoint is damaged.
    """
    found = checkpoint.latest(Path(out) / CHECKPOINTS) or checkpoint.latest(Path(out) / FOLDER)
    if found is None:
        return None
    manifest, where = checkpoint.read_manifest(found), found / checkpoint.MANIFEST
    return str(manifest.get("kind")), config_from_json(manifest.get("config"), where)


def select_agents(
    population: Population, config: AgentFitConfig, groups: Groups | None = None
) -> AgentSplit:
    """Return an embedding's training agents, and the held-out agents of its group.

    Whole lineages are held out, the same ones whatever the group.

    Raises:
        EmbrlError: the group is unknown, or empty on either side.
    """
    table = population.table()
    train, held_out = split(table["lineage"], config.held_out, config.seed)
    mine = in_group(population.environment, table["return_mean"], config.group, groups)
    numbers = np.flatnonzero(mine & train), np.flatnonzero(mine & held_out)
    if not all(map(len, numbers)):
        raise EmbrlError(
            f"group {config.group!r} of {population.path} must have agents to train on and to hold "
            f"out, got {len(numbers[0])} and {len(numbers[1])}"
        )
    if len(numbers[0]) > config.agents:
        draw = np.random.default_rng(config.seed)
        numbers = np.sort(draw.choice(numbers[0], config.agents, replace=False)), numbers[1]
    return AgentSplit(*numbers)


def in_group(
    environment: str,
    returns: Float[np.ndarray, " N"],
    group: str,
    groups: Groups | None = None,
) -> Bool[np.ndarray, " N"]:
    """Return a mask of the agents in the group of that name (`AgentFitConfig.group`).

    Raises:
        EmbrlError: there is no such group.
    """
    if group == "all":
        return np.ones(len(returns), bool)
    groups = groups or Groups.default(environment, returns)
    names = {name: at for at, name in enumerate(groups.names)}
    names |= {str(at): at for at in range(groups.count)} | {"best": groups.count - 1}
    if group not in names:
        raise EmbrlError(
            f"unknown group {group!r}; choose all, best, 0 to {groups.count - 1}, or one of "
            f"{', '.join(groups.names)}"
        )
    return groups.of(returns) == names[group]


def collect_training_agents(
    env: Environment,
    architecture: Architecture,
    w: Float[np.ndarray, "N size"],
    key: Key,
    keep: int,
) -> TrainingAgents:
    """Return agents with the states they visit, and the size of their logits there."""
    states, sizes = [], []
    for start in range(0, len(w), CHUNK_AGENTS):
        part = jnp.asarray(w[start : start + CHUNK_AGENTS])
        states.append(
            visited_states(env, architecture, part, jax.random.fold_in(key, start), keep=keep)
        )
        sizes.append(size(architecture.logits(part, states[-1])))
    return TrainingAgents(jnp.asarray(w), jnp.concatenate(sizes), jnp.concatenate(states))


def _plan(config: AgentFitConfig, model_class: type, w: np.ndarray) -> AgentFitPlan:
    return AgentFitPlan(
        batch=config.batch,
        states=config.states,
        working=min(config.working, len(w)),
        chunk=min(config.chunk, config.steps),
        learning_rate=config.learning_rate,
        beta=model_class.beta if config.beta is None else config.beta,
        steps=config.steps,
        warm=min(WARM, config.steps // 10),
    )


def _learn(
    state: AgentFitState,
    material: TrainingAgents,
    env: Environment,
    key: Key,
    plan: AgentFitPlan,
    out: Path,
    said: dict[str, object],
    on_progress: Callable[[Progress], None],
) -> AgentFitState:
    saved = time.perf_counter()
    while (done := int(state.step)) < plan.steps:
        state, found = learning.chunk(state, material, env, key, plan)
        values = {name: np.asarray(value) for name, value in found.items()}
        if not np.isfinite(values["loss"]).all():
            first = done + int(np.argmin(np.isfinite(values["loss"])))
            raise EmbrlError(
                f"loss must be finite, got one that is not at step {first}; choose a smaller "
                "learning_rate (earlier checkpoints are kept)"
            )
        done = min(int(state.step), plan.steps)
        if done == plan.steps or time.perf_counter() - saved > SAVE_EVERY:
            checkpoint.write(out / CHECKPOINTS, done, state, said)
            saved = time.perf_counter()
        on_progress(Progress("fitting", done, plan.steps, float(values["loss"].mean())))
    return state


def _found(out: Path, resume: bool, said: dict[str, object]) -> Path | None:
    """Return the checkpoint to resume from.

    Raises:
        EmbrlError: there is one but `resume` is False, or it is of another fit.
    """
    found = checkpoint.latest(out / CHECKPOINTS)
    if found is None and checkpoint.latest(out / FOLDER) is None:
        if not resume and not files.is_free(out, (CHECKPOINTS, FOLDER)):
            raise EmbrlError(f"{out} exists and is not an embedding; choose an empty or new folder")
        return None
    if not resume:
        raise EmbrlError(f"{out} already holds an embedding; add --resume to continue it")
    if found is not None:
        manifest = checkpoint.read_manifest(found)
        before = {name: manifest.get(name) for name in said}
        # Tuples are lists in JSON.
        now = _as_json(said)
        different = [name for name in said if before[name] != now[name]]
        if different:
            raise EmbrlError(
                f"{out} holds another fit ({', '.join(different)} differ); choose another folder"
            )
    return found


def _as_json(value: dict[str, object]) -> dict[str, object]:
    return json.loads(json.dumps(value))
