"""`embrl.fit`: an embedding of whatever there are transitions of."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium

from embrl.data.sources import Given
from embrl.data.sources.playing import Behaviour
from embrl.embedding.objectives import OwnObjective
from embrl.fitting.embedding import Embedding
from embrl.fitting.learn import learn
from embrl.fitting.sources import origin
from embrl.training.runner import Watcher, unwatched
from embrl.training.seeds import prepare_jax
from embrl.training.settings import Settings, overridden


def fit(
    source: Any,
    *,
    method: str = "jsae",
    settings: Settings = "tuned",
    samples: int | None = None,
    seed: int = 0,
    objectives: Mapping[str, float] | None = None,
    own: Mapping[str, OwnObjective] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    observation_space: gymnasium.Space | None = None,
    action_space: gymnasium.Space | None = None,
    policy: Behaviour | str | Path | None = None,
    tried_only: bool = False,
    watch: Watcher = unwatched,
    **options: Any,
) -> Embedding:
    """Learns an embedding of states and actions, as `embrl fit` does, and measures it.

    Arguments:
        source: where transitions come from. An environment: the name of one of ours or an id of
            Gymnasium's, a `gymnasium.Env`, a function that makes one, or an `Environment`. Or
            recorded ones: a `Transition` of arrays `[T, B, ...]` or `[N, ...]`, as a JAX rollout
            gives; the path of a `.npz` or `.parquet` file; a Minari data set's folder or
            `minari:ID`.
        method: a name in `embrl.embedding.methods.METHODS` that embeds something.
        samples: transitions to take, or to use of those that are recorded; None: as `settings`
            say, or all.
        seed: where all randomness comes from.
        objectives: weights by name, in place of the method's.
        own: objectives of your own, by the names that stand in `objectives`.
        overrides: other settings by section and name, as on the command line:
            `{"model": {"m": 2}, "fit": {"steps": 2000}}`.
        observation_space: what recorded observations are of, in Gymnasium's own form; None: as
            they tell themselves.
        action_space: likewise.
        policy: who acts in the environment: a function of one observation, which gives an action,
            both as Gymnasium's environment has them; or a run's folder. None: chance.
        tried_only: whether f is never to choose a discrete action of which no transition tells
            (`Embedding.allowed`), as where the actions are too many to try them all: g has learned
            no place for it.
        watch: called with a `Progress` between chunks.
        options: the environment's, of one that has a name.

    Raises:
        EmbrlError: as `embrl fit` would say it.
    """
    prepare_jax()
    where = origin(source, Given(observation_space, action_space), policy, options)
    config = where.config(method, settings)
    if samples is not None:
        config = overridden(config, {"fit": {"samples": samples}})
    config = dataclasses.replace(overridden(config, overrides), seed=seed)
    if objectives is not None:
        config = dataclasses.replace(config, objectives=dict(objectives))
    return learn(config, where, own=own, tried_only=tried_only, watch=watch)
