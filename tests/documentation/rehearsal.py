"""Trainings on pages, rehearsed: a configuration is validated as it is and trained at a fraction.

A page's trainings take minutes. Here each different one is trained once, for as many steps as it
takes to have a policy, and pages that train the same get copies of one run. Callbacks are called
with the events of that run.
"""

import dataclasses
import json
import shutil
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from unmeasured import unmeasured

import embrl
from embrl.agents.collect import CollectConfig, collect
from embrl.agents.embeddings import KINDS
from embrl.agents.embeddings.embedding import AgentEmbedding, AgentFitConfig
from embrl.agents.embeddings.fit import fit as fit_agents
from embrl.agents.population import Population
from embrl.config.run import RunConfig, as_json
from embrl.embedding.methods import METHODS
from embrl.fitting.fit import learn
from embrl.storage.run_folder import COUNTS, RunFolder
from embrl.training import loop
from embrl.training.callbacks import Callbacks, Status, TrainingEvent
from embrl.training.restore import restore_policy

TIMESTEPS, STEPS, ENVS, PRETRAINING = 400, 100, 4, 200


class Valid(Exception):
    """Raised where a training would begin."""


class Rehearsal:
    """Stands in for training, in Python and on the command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: dict[str, Path] = {}
        self._train = loop.train

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        """Put itself where pages train."""
        for module in ("embrl.api", "embrl.cli.train"):
            patch.setattr(f"{module}.run_training", self.train)
        for module in ("embrl.fitting.fit", "embrl.cli.fit"):
            patch.setattr(f"{module}.learn", fitted)
        for module in ("embrl.agents.api.collecting", "embrl.agents.cli.population.collecting"):
            patch.setattr(f"{module}.collect", self.collect)
        patch.setattr("embrl.agents.api.fitting.fit", self.fit_agents)
        patch.setattr("embrl.agents.cli.fit.run", self.fit_agents)
        for module in ("embrl.agents.api", "embrl.agents.cli.fit"):
            patch.setattr(f"{module}.evaluate", lambda *_: {})

    def train(
        self,
        config: RunConfig,
        out: str | Path,
        *,
        resume: bool = False,
        callback: Any = None,
        env: Any = None,
        custom_objectives: Any = None,
        **_: Any,
    ) -> RunFolder:
        """Return a run of a small configuration in the folder `out`."""
        options = {"env": env, "custom_objectives": custom_objectives}
        self._validate(config, **options)
        small = shrunk(config)
        if "outcome" not in config.objectives and not custom_objectives:
            # Others need no training of their own: they have been validated.
            small = dataclasses.replace(small, objectives=dict(METHODS[config.method].objectives))
        key = json.dumps([as_json(small), sorted(custom_objectives or {})], default=str)
        if key not in self.done:
            self.done[key] = self.folder / str(len(self.done))
            with unmeasured():
                self._train(small, self.done[key], **options)
        shutil.copytree(self.done[key], out, dirs_exist_ok=resume)
        events = Events(RunFolder(out), config, small, env or config.env.build())
        events.call(Callbacks(callback))
        return events.folder

    def collect(self, config: CollectConfig, out: str | Path, **_: Any) -> Population:
        """Return a small population of agents in the folder `out`."""
        checkpoints = tuple(sorted({min(step, 2) for step in config.runs.checkpoints}))
        runs = dataclasses.replace(config.runs, checkpoints=checkpoints)
        small = dataclasses.replace(config, runs=runs, lineages=6, episodes=2, block=6)
        if repr(small) not in self.done:
            self.done[repr(small)] = self.folder / str(len(self.done))
            collect(small, self.done[repr(small)])
        shutil.copytree(self.done[repr(small)], out)
        return Population(out)

    def fit_agents(
        self, kind: str, population: Population, config: AgentFitConfig, out: str | Path, **_: Any
    ) -> AgentEmbedding:
        """Return an embedding of agents after a few gradient steps, in the folder `out`."""
        assert kind in KINDS
        small: dict[str, Any] = {"batch": 16, "working": 16, "chunk": 10, "keep": 16, "states": 16}
        # Of a small population no agent is in the better groups. The plain autoencoder compiles in
        # a fraction of the time.
        config = dataclasses.replace(config, steps=10, group="all", k=min(config.k, 8), **small)
        return fit_agents("vae", population, config, out)

    def _validate(self, config: RunConfig, **options: Any) -> None:
        def stop(*_: Any) -> None:
            raise Valid

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "_Run", stop)
            with pytest.raises(Valid):
                self._train(config, self.folder / "never", **options)


@dataclasses.dataclass(frozen=True)
class Events:
    """Events of a training that has been, for callbacks."""

    folder: RunFolder
    config: RunConfig
    trained: RunConfig
    env: Any

    def call(self, callbacks: Callbacks) -> None:
        """Call callbacks as training does."""
        if not callbacks:
            return
        columns = self.folder.metrics()
        go_on = callbacks.start(self._event("running"))
        status: Status = "complete"
        for row in range(len(columns["timesteps"])):
            if go_on:
                go_on = callbacks.evaluation(self._event("running", row))
        if not go_on:
            status = "stopped"
            (self.folder.path / "summary.json").unlink()
        callbacks.end(self._event(status, len(columns["timesteps"]) - 1))

    def _event(self, status: Status, row: int | None = None) -> TrainingEvent:
        columns = {} if row is None else {n: v[row] for n, v in self.folder.metrics().items()}
        metrics = {n: np.array([v]) for n, v in columns.items() if n not in COUNTS}
        return TrainingEvent(
            folder=self.folder,
            config=self.config,
            env=self.env,
            stage="pre-training" if row is None else "training",
            status=status,
            resumed=False,
            timesteps=0 if row is None else int(columns["timesteps"]),
            total_timesteps=self.trained.total_timesteps,
            metrics=MappingProxyType(metrics),
            means=MappingProxyType({n: float(v[0]) for n, v in metrics.items()}),
            _policy=lambda _: restore_policy(self.folder, self.trained, 0),
            _save=lambda: None,
        )


def replaced(section: Any, **changes: Any) -> Any:
    """Return a section with those of the changes that it has settings for."""
    names = {field.name for field in dataclasses.fields(section)}
    return dataclasses.replace(section, **{n: v for n, v in changes.items() if n in names})


def shrunk(config: RunConfig) -> RunConfig:
    """Return a configuration with the same parts that is trained in seconds."""
    return dataclasses.replace(
        config,
        seeds=1,
        total_timesteps=TIMESTEPS,
        pretrain=small_pretraining(config),
        decoder=replaced(config.decoder, gradient_steps=3),
        online=replaced(config.online, every=0),
        hyperparameters=replaced(
            config.hyperparameters,
            update_epochs=1,
            critic_epochs=1,
            num_minibatches=1,
            updates_per_step=0.01,
        ),
        rollout=replaced(config.rollout, steps_per_update=STEPS, num_envs=ENVS, buffer_size=1_000),
        evaluation=replaced(config.evaluation, every=STEPS, episodes=1, final_episodes=1),
        exploration=replaced(config.exploration, bonus=0.0),
    )


def small_pretraining(config: RunConfig) -> Any:
    steps = min(config.pretrain.timesteps, PRETRAINING)
    return replaced(config.pretrain, timesteps=steps, gradient_steps=3, batch_size=16)


def fitted(config: RunConfig, *args: Any, **options: Any) -> embrl.Embedding:
    """Return an embedding of a few transitions."""
    config = dataclasses.replace(
        config,
        pretrain=small_pretraining(config),
        decoder=replaced(config.decoder, gradient_steps=3),
        rollout=replaced(config.rollout, num_envs=ENVS),
    )
    with unmeasured():
        return learn(config, *args, **options)
