"""A run from configuration to summary: the one place where training meets the disk."""

import dataclasses
import functools
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from embrl.config.run import RunConfig, as_json
from embrl.core import spaces
from embrl.core.errors import EmbrlError, EmbrlWarning
from embrl.core.products import product_of
from embrl.core.runtime import machine, versions
from embrl.core.statistics import area_under_curve, bootstrap_mean
from embrl.core.types import Transition
from embrl.embedding.feature_actions import with_features, without_features
from embrl.embedding.model import JointEmbedding
from embrl.embedding.monitor import embedding_warnings
from embrl.embedding.objectives import OwnObjective
from embrl.embedding.pretraining import FitState
from embrl.embedding.quality import PROBED_AGAIN
from embrl.envs import AnyEnvironment, has_masks
from embrl.storage import checkpoint
from embrl.storage.lock import locked
from embrl.storage.run_folder import COUNTS, RunFolder
from embrl.training import transfer
from embrl.training.action_inputs import ActionInputs
from embrl.training.backend import CompiledBackend, Report, ignore_count, make_backend
from embrl.training.callbacks import Callback, Callbacks, Status, TrainingEvent
from embrl.training.compile_ahead import CompileAhead, Expect
from embrl.training.constraints import INFEASIBLE, check_constraint, of_infeasible_actions
from embrl.training.environment_record import (
    EnvironmentRecord,
    built,
    check_unchanged,
    keep_paths,
)
from embrl.training.evaluation import CUT, longest_episode, of_cut_episodes
from embrl.training.fit_embedding import EmbeddingReplicas
from embrl.training.imitation import check_demonstrations
from embrl.training.replicas import Replicas, on_one_device, over_replicas
from embrl.training.restore import RestoredPolicy, check_seed, open_folder, state_shapes
from embrl.training.state import TrainState
from embrl.training.trainer import Trainer

State = TypeVar("State")

SAVE_EVERY = 15.0
"""Minimum number of seconds between two checkpoints; the end of a stage is always saved."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """Progress of a long computation."""

    stage: str
    """`pre-training`, `training`, `final evaluation` or `references`."""
    done: int
    total: int
    """Gradient steps, timesteps or episodes."""
    value: float | None
    """Loss in pre-training, mean return over seeds in training."""
    messages: tuple[str, ...] = ()
    """Messages for the user: warnings that the embedding no longer fits, or fits again."""


ProgressCallback = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """Do nothing."""
    del progress


@dataclasses.dataclass
class Record:
    """Progress and metrics of a run, which a checkpoint holds beside the arrays."""

    stage: str = "pre-training"
    done: int = 0
    """Gradient steps, or policy updates."""
    rows: list[dict[str, float | int | None]] = dataclasses.field(default_factory=list)
    """Rows of metrics.csv."""
    wall_s: float = 0.0
    """Seconds spent in earlier, interrupted parts of the run."""
    warnings: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    """Warnings about the embedding: since how many timesteps, and in which seeds at the last
    evaluation."""
    diverged: list[int] = dataclasses.field(default_factory=list)
    """Replicas of a sweep whose numbers are no longer finite."""
    cut_episodes: int = 0
    """Episodes of evaluations that were cut, as they had not ended."""


def train(
    config: RunConfig,
    out: str | Path,
    *,
    resume: bool = False,
    on_progress: ProgressCallback = ignore_progress,
    save_every: float = SAVE_EVERY,
    started: float | None = None,
    custom_objectives: Mapping[str, OwnObjective] | None = None,
    env: "AnyEnvironment | None" = None,
    sweep: bool = False,
    callback: Callback | Sequence[Callback] | None = None,
) -> RunFolder:
    """Run a configuration in a folder.

    Args:
        config: the configuration.
        out: the run folder.
        resume: continue from the last checkpoint in `out`; the result is the same, bit for bit, as
            without the interruption. If nothing is there yet, start. `config.total_timesteps` may
            be greater than the run was begun with, complete or not: it continues up to them.
        on_progress: called between chunks.
        save_every: seconds between checkpoints.
        started: when the command began (`time.perf_counter`), for the timesteps per second.
        custom_objectives: a user's objectives, by their names in `config.objectives`.
        env: the environment, where `config.env` cannot build it (`ObjectConfig`).
        sweep: whether the run is a part of a sweep. Replicas whose numbers stop being finite are
            then given up, instead of the run, and have no metrics from there on; `quality.json` and
            warnings are left out.
        callback: called with a `TrainingEvent` after each evaluation; or an object with any of
            `on_start`, `on_evaluation` and `on_end`; or a list of such. None of them can change
            the metrics. Returning False stops the run: it has no summary and can be resumed.

    Returns:
        The folder; its run is complete unless a callback stopped it.

    Raises:
        EmbrlError: a setting is wrong, `out` holds another run, its checkpoint is damaged, or
            numbers stopped being finite; what was saved before stays as it is.
        Exception: whatever a callback raised, unchanged; the run is saved before, and can be
            resumed.
    """
    callbacks = Callbacks(callback)
    started = time.perf_counter() if started is None else started
    env = built(config, RunFolder(out) if resume else None) if env is None else env
    trainer = Trainer(
        config,
        env.observation_space,
        env.action_space,
        custom_objectives or {},
        ActionInputs.gather(config, env, RunFolder(out) if resume else None),
        masked=config.hyperparameters.off_policy and has_masks(env),
    )
    trainer.validate()
    check_demonstrations(env, config.imitation)
    check_constraint(env, trainer.schedule)
    folder = open_folder(config, RunFolder(out).path, resume)
    if resume and folder.holds_run:
        check_unchanged(folder, env, resumed=True)
        keep_paths(folder, config)
    if folder.complete and folder.config()["total_timesteps"] == config.total_timesteps:
        return folder  # there is nothing to resume
    with locked(folder.path):
        open_folder(config, folder.path, resume)  # another process may have been faster
        run = _Run(trainer, env, folder, on_progress, save_every, started, sweep, callbacks)
        try:
            # Whatever was refused up to here leaves nothing behind.
            if not (folder.holds_run and resume):
                folder.start({"versions": versions(), **as_json(config)})
            EnvironmentRecord.of(env).write(folder)
            trainer.action_inputs.write(folder)
            return run.complete()
        finally:
            run.close()


class _Run:
    """One call of `train`: compiled functions, and the record that grows."""

    def __init__(
        self,
        trainer: Trainer,
        env: AnyEnvironment,
        folder: RunFolder,
        on_progress: ProgressCallback,
        save_every: float,
        started: float,
        sweep: bool,
        callbacks: Callbacks,
    ) -> None:
        self.trainer, self.env, self.folder = trainer, env, folder
        self.on_progress, self.save_every, self.started = on_progress, save_every, started
        self.config, self.sweep, self.callbacks = trainer.config, sweep, callbacks
        replicas = Replicas(trainer)
        self.keys, self.backend = replicas.keys, make_backend(replicas, env)
        self.record = Record()
        source = env.data_source
        self.notes = () if source is None else source.notes()
        self.resumed = False
        self.saved_at = time.perf_counter()
        self.source = transfer.transfer_source(trainer) if self.config.transfer.run else None
        self.embeddings = EmbeddingReplicas(replicas)
        self.with_kept_parts = over_replicas(
            functools.partial(transfer.with_kept_parts, self.config.transfer),
            replicas.count,
            once=True,
        )
        self.new_agent = replicas.over(Trainer.new_agent, once=True)
        self.ahead: CompileAhead | None = None

    def complete(self) -> RunFolder:
        """Continue from wherever the folder's checkpoint stands to the summary, or to a stop."""
        found = checkpoint.latest(self.folder.checkpoint)
        if found is not None:
            manifest = checkpoint.read_manifest(found)
            try:
                self.record = Record(**manifest["record"])
            except (KeyError, TypeError) as error:
                raise EmbrlError(f"{found / checkpoint.MANIFEST} is damaged: no record") from error
        self.resumed = found is not None
        try:
            finished = self._continue(found)
            if finished:
                self._summarise()
        except BaseException as error:
            self.callbacks.end(self._event("failed"), error)
            raise
        self.callbacks.end(self._event("complete" if finished else "stopped"))
        return self.folder

    def close(self) -> None:
        """Stop whatever runs beside this process or in its other threads."""
        if self.ahead is not None:
            self.ahead.stop()
        self.backend.close()

    def _compile_ahead(self) -> None:
        """Begin to compile what a run calls from its first step on."""
        backend, embeddings, keys = self.backend, self.embeddings, self.keys
        if self.source is not None or not isinstance(backend, CompiledBackend):
            return

        def plan(expect: Expect) -> None:
            data = model = None
            if self.trainer.schedule.pretrains:
                data = backend.expect_transitions(expect)
                model = embeddings.compile_ahead(expect, keys, data)
            backend.compile_ahead(expect, expect(self.new_agent, keys, model), data)

        programs = (*backend.programs, *embeddings.programs, self.new_agent)
        self.ahead = CompileAhead(programs, plan)

    def _continue(self, found: Path | None) -> bool:
        """Train to the last update; return False if a callback stopped it before."""
        if found is None or self.record.stage == "pre-training":
            if not self._call_back(self.callbacks.start):
                return False
            self._compile_ahead()
            state = self._begin(*self._pretrain(found))
            self.folder.set_target(self.config.total_timesteps)
            go_on = self._call_back(self.callbacks.evaluation, state)
        else:
            self._check_remaining()
            state = self._read(found, self._state_shapes())
            self.folder.set_target(self.config.total_timesteps)
            go_on = self._call_back(self.callbacks.start, state)
        return go_on and self._learn(state)

    def _pretrain(self, found: Path | None) -> tuple[JointEmbedding | None, Transition | None]:
        if not self.trainer.schedule.pretrains:
            return None, None
        embeddings = self.embeddings
        # Compiling takes a while: show that something happens.
        self.on_progress(
            Progress("pre-training", self.record.done, embeddings.steps, None, self._notes())
        )
        # Not saved: the same keys collect the same transitions again.
        transitions = self.backend.collect()
        train, held_out = embeddings.split(transitions)
        if found is None:
            state = embeddings.new_model(self.keys, train)
            if self.source is not None:
                state = self.with_kept_parts(state, self.source.agent.embedding)
        else:
            state = self._read(found, embeddings.shapes(self.keys, train))
        for now, losses, steps in embeddings.fit(state, train, self.record.done):
            state, self.record.done = now, steps
            self._check_finite("the loss of pre-training", np.asarray(losses))
            done = min(steps, embeddings.steps)
            self.on_progress(
                Progress("pre-training", done, embeddings.steps, self._mean(losses), self._notes())
            )
            self._save(state)
        model = embeddings.finished(state.model, train)
        if not self.sweep:
            self._measure_quality(model, train, held_out)
        return model, transitions

    def _begin(
        self, embedding: JointEmbedding | None, transitions: Transition | None
    ) -> TrainState:
        data: Any = transitions
        source = self.source
        if embedding is None and source is not None:
            embedding, data = source.agent.embedding, source.reference
        agent = self.new_agent(self.keys, embedding)
        if source is not None:
            if source.agent.norm is not None and embedding is source.agent.embedding:
                agent = agent._replace(norm=source.agent.norm)
            if self.config.transfer.policy:
                learner = transfer.with_min_std(source.agent.learner, self.config.transfer.min_std)
                agent = agent._replace(learner=learner)
        state = self.backend.begin(agent, data)
        if source is not None and self.config.transfer.policy and source.agent.norm is not None:
            # The policy continues to see X as it did.
            state = state._replace(agent=state.agent._replace(norm=source.agent.norm))
        self.record = dataclasses.replace(self.record, stage="training", done=0)
        self._add_rows(state, {})
        self._save(state, now=True)
        return state

    def _learn(self, state: TrainState) -> bool:
        """Take all updates that remain; return False if a callback stopped it before."""
        updates, config = self.trainer.schedule.num_updates, self.config
        per_evaluation = config.evaluation.every // config.rollout.steps_per_update
        while self.record.done < updates:
            # A run that was to end between two evaluations goes back to their grid.
            remaining = per_evaluation - self.record.done % per_evaluation
            count = min(remaining, updates - self.record.done)
            state, metrics = self.backend.improve(state, self.record.done, count)
            self.record.done += count
            metrics = {name: np.asarray(value) for name, value in metrics.items()}
            for name, values in metrics.items():
                self._check_finite(f"{name} after {self._timesteps()} timesteps", values)
            self._add_rows(state, metrics, final=self.record.done == updates)
            messages = (*self._notes(), *self._messages())
            self._save(state, now=self.record.done == updates)
            self.on_progress(
                Progress(
                    "training",
                    self._timesteps(),
                    self._total(),
                    self._last_return(),
                    messages,
                )
            )
            go_on = self._call_back(self.callbacks.evaluation, state)
            if not go_on and self.record.done < updates:
                return False
        self._probe_again(state)
        return True

    def _call_back(
        self, call: Callable[[TrainingEvent], bool], state: TrainState | None = None
    ) -> bool:
        """Call the callbacks, and save the run if they stop it or raise an exception.

        Args:
            call: a method of `callbacks`.
            state: the newest state; None if there is no policy yet.

        Returns:
            Whether to go on.
        """
        if not self.callbacks:
            return True
        states = [] if state is None else [state]
        go_on = False
        try:
            go_on = call(self._event("running", states))
        finally:
            if states and not go_on:
                self._save(states[0], now=True)
            states.clear()  # whoever keeps the event has no policy: its memory is used again
        return go_on

    def _event(self, status: Status, states: Sequence[TrainState] = ()) -> TrainingEvent:
        """Return what callbacks get to see.

        Args:
            status: of the run.
            states: the newest state while there is one, else empty.
        """

        def newest() -> TrainState:
            if not states:
                raise EmbrlError(
                    "an event has a policy only in on_start of a resumed run and in on_evaluation, "
                    "until they return"
                )
            return states[0]

        def policy(seed: int) -> RestoredPolicy:
            agents = newest().agent
            check_seed(self.folder, self.config, seed)
            agent = jax.tree.map(lambda leaf: jnp.asarray(leaf[seed]), on_one_device(agents))
            trainer = self.trainer
            return RestoredPolicy(
                agent.embedding,
                trainer.policy(agent).in_environment(self.env),
                trainer.observation_space,
                trainer.action_space,
                EnvironmentRecord.read(self.folder).action_names,
            )

        rows = self._last_rows()
        metrics = {
            name: np.array([row[name] for row in rows], np.float64)  # None becomes nan
            for name in (rows[0] if rows else ())
            if name not in COUNTS
        }
        for values in metrics.values():
            values.flags.writeable = False  # callbacks share them
        means = {name: self._mean(values) for name, values in metrics.items()}
        training = bool(rows) or not self.trainer.schedule.pretrains
        return TrainingEvent(
            folder=self.folder,
            config=self.config,
            env=self.env,
            stage="training" if training else "pre-training",
            status=status,
            resumed=self.resumed,
            timesteps=int(rows[0]["timesteps"]) if rows else 0,
            total_timesteps=self._total(),
            metrics=MappingProxyType(metrics),
            means=MappingProxyType(
                {name: np.nan if mean is None else mean for name, mean in means.items()}
            ),
            _policy=policy,
            _save=lambda: self._save(newest(), now=True),
        )

    def _check_remaining(self) -> None:
        """Check that a run that is to continue has not taken as many timesteps already."""
        asked = self.folder.config()["total_timesteps"]
        if (
            asked != self.config.total_timesteps
            and self.record.done >= self.trainer.schedule.num_updates
        ):
            raise EmbrlError(
                f"total_timesteps must be greater than {self._timesteps():,}, which "
                f"{self.folder.path} has taken, got {self.config.total_timesteps:,}"
            )

    def _timesteps(self) -> int:
        return int(self.trainer.schedule.timesteps(self.record.done))

    def _total(self) -> int:
        """Return the timesteps at the end: whole updates, within `config.total_timesteps`."""
        return int(self.trainer.schedule.timesteps(self.trainer.schedule.num_updates))

    def _last_return(self) -> float | None:
        return self._mean([row["return_mean"] for row in self._last_rows()])

    def _last_rows(self) -> list[dict[str, Any]]:
        return self.record.rows[-self.config.replicas :]

    def _mean(self, values: Any) -> float | None:
        """Return the mean over the replicas that have not diverged, if there are any."""
        finite = np.delete(np.asarray(values, np.float64), self.record.diverged)
        return float(finite.mean()) if finite.size else None

    def _check_finite(self, what: str, values: np.ndarray) -> None:
        bad = np.flatnonzero(~np.isfinite(values)).tolist()
        if self.sweep:
            self.record.diverged = sorted({*self.record.diverged, *bad})
        elif bad:
            raise EmbrlError(
                f"{what} is not finite (seed {', '.join(map(str, bad))}); try a smaller learning "
                "rate (what was saved before is kept)"
            )

    def _notes(self) -> tuple[str, ...]:
        """Return what a user has to know of the environment's data, once in a new run."""
        notes, self.notes = self.notes, ()
        return () if self.resumed else notes

    def _messages(self) -> tuple[str, ...]:
        """Return what the last metrics say of the embedding that was not known before."""
        if not self.trainer.schedule.method.embeds or self.sweep:
            return ()
        found, known = embedding_warnings(self._last_rows()), self.record.warnings
        messages = []
        for text, seeds in found.items():
            if not known.get(text, {}).get("seeds"):
                where = ", ".join(map(str, seeds))
                messages.append(
                    f"warning at {self._timesteps():,} timesteps: {text} (seed {where})"
                )
            since = known.get(text, {}).get("since", self._timesteps())
            known[text] = {"since": since, "seeds": seeds}
        for text, entry in known.items():
            if entry["seeds"] and text not in found:
                entry["seeds"] = []
                messages.append(f"no longer at {self._timesteps():,} timesteps: {text}")
        return tuple(messages)

    def _add_rows(
        self, state: TrainState, metrics: dict[str, np.ndarray], final: bool = False
    ) -> None:
        evaluation = self.config.evaluation
        episodes = evaluation.final_episodes if final else evaluation.episodes
        rounds = episodes // evaluation.episodes
        report = self._report("final evaluation") if final else ignore_count
        found = self.backend.evaluate(state, self.record.done, rounds, report)
        self._count_cut(found)
        self._warn_of_infeasible(metrics)
        columns = {**{name: np.asarray(value) for name, value in found.items()}, **metrics}
        for name, values in columns.items():
            self._check_finite(f"{name} after {self._timesteps()} timesteps", values)
        for index in range(self.config.replicas):
            point, seed = divmod(index, self.config.seeds)
            row: dict[str, float | int | None] = {
                "seed": seed,
                "timesteps": self._timesteps(),
                "episodes": episodes,
            }
            if self.config.vary:
                row["point"] = point
            finite = index not in self.record.diverged
            row |= {n: float(values[index]) if finite else None for n, values in columns.items()}
            self.record.rows.append(row)
        self.folder.write_metrics(self.record.rows)

    def _report(self, stage: str) -> Report:
        """Return what shows how many episodes of a stage have been played."""
        return lambda done, total: self.on_progress(Progress(stage, done, total, None))

    def _count_cut(self, found: dict[str, Any]) -> None:
        """Take the number of cut episodes out of what was measured, and warn of the first ones."""
        cut = int(np.sum(np.asarray(found.pop(CUT, 0))))
        if cut and not self.record.cut_episodes:
            longest = int(longest_episode(self.env, self.config.evaluation.max_episode_steps))
            name = getattr(self.env, "name", self.config.environment)
            said = of_cut_episodes(name, cut, longest)
            warnings.warn(EmbrlWarning(said), stacklevel=2)
        self.record.cut_episodes += cut

    def _warn_of_infeasible(self, metrics: dict[str, np.ndarray]) -> None:
        """Warn the first time that infeasible actions were taken, unless that was asked for."""
        share = float(np.max(metrics.get(INFEASIBLE, 0.0)))
        embedded = self.trainer.schedule.acts_in_embedding
        asked_for = embedded and not self.config.decoder.candidates
        if share > 0 and not asked_for and not any(row.get(INFEASIBLE) for row in self.record.rows):
            name = getattr(self.env, "name", self.config.environment)
            said = of_infeasible_actions(name, self.config, embedded, share)
            warnings.warn(EmbrlWarning(said), stacklevel=2)

    def _save(self, state: FitState | TrainState, now: bool = False) -> None:
        """Save the run, if it is due."""
        if not now and time.perf_counter() - self.saved_at < self.save_every:
            return
        record = dataclasses.replace(self.record, wall_s=self._wall())
        number = self.record.done + (self.record.stage == "training") * 10**7
        checkpoint.write(
            self.folder.checkpoint,
            number,
            without_features(state),
            {
                "record": dataclasses.asdict(record),
                "observation_space": spaces.to_json(self.env.observation_space),
                "action_space": spaces.to_json(self.env.action_space),
            },
        )
        self.saved_at = time.perf_counter()

    def _read(self, found: Path, like: State) -> State:
        """Return the state of a checkpoint, with the features of actions, stored once per run."""
        state = checkpoint.read(found, without_features(like))
        return with_features(state, self.trainer.action_inputs.features)

    def _state_shapes(self) -> TrainState:
        return state_shapes(self.trainer, self.source, self.backend.shapes)

    def _wall(self) -> float:
        return self.record.wall_s + time.perf_counter() - self.started

    def _measure_quality(
        self, models: JointEmbedding, train: Transition, held_out: Transition
    ) -> None:
        """Write quality.json: one report for each seed."""
        found = self.embeddings.qualities(models, train, held_out, self.backend.ground_truth)
        reports = [{"seed": seed, **dataclasses.asdict(each)} for seed, each in enumerate(found)]
        self.folder.write_quality(reports)

    def _probe_again(self, state: TrainState) -> None:
        """Add to quality.json which features online updates have kept, lost or brought back."""
        reference = state.reference
        measured = self.trainer.schedule.pretrains and not self.sweep
        if not self.config.online.every or reference is None or not measured:
            return
        found = self.embeddings.probed(
            state.agent.embedded, reference.held_out.observation, self.backend.ground_truth
        )
        reports = self.folder.quality()
        self.folder.write_quality(
            [{**old, PROBED_AGAIN: scores} for old, scores in zip(reports, found, strict=True)]
        )

    def _summarise(self) -> None:
        config = self.config
        training = self._wall()
        references = self.backend.references(self._report("references"))
        self._count_cut(references)
        cut = self.record.cut_episodes
        timesteps = self._timesteps()
        source = self.env.data_source
        self.folder.write_summary(
            {
                "method": config.method,
                "algorithm": config.algorithm,
                "env": config.environment,
                **_action_counts(self.env.action_space),
                "seeds": config.seeds,
                "timesteps": timesteps,
                "wall_s": self._wall(),
                # Of training: how long the references take says nothing about a method.
                "timesteps_per_s": config.replicas * timesteps / training,
                "machine": machine(),
                **self._returns(),
                "warnings": self.record.warnings,
                **({} if source is None else {"data": source.to_json()}),
                **references,
                **({CUT: cut} if cut else {}),
            }
        )

    def _returns(self) -> dict[str, Any]:
        """Return the final returns.

        Of several points, or if a seed diverged, only which replicas did: there is no one mean.
        """
        seeds = self.config.seeds
        if self.config.vary or self.record.diverged:
            return {"points": self.config.points, "diverged": self.record.diverged}
        curves = self.folder.metrics()
        returns = curves["return_mean"].reshape(-1, seeds)
        timesteps = curves["timesteps"].reshape(-1, seeds)[:, 0]
        final = returns[-1]
        greedy = curves["greedy_return_mean"].reshape(-1, seeds)[-1]
        _, low, high = bootstrap_mean(final)
        return {
            "final_return_mean": float(final.mean()),
            "final_return_ci95": None if seeds == 1 else [float(low), float(high)],
            "final_return_per_seed": final.tolist(),
            "final_greedy_return_mean": float(greedy.mean()),
            "auc_mean": float(area_under_curve(timesteps, returns.T).mean()),
        }


def _action_counts(space: gymnasium.Space) -> dict[str, int]:
    """Return the number of actions, or the dimensions of one."""
    if spaces.is_continuous(space):
        return {"action_dimensions": spaces.dimensions(space)}
    if (product := product_of(space)) is not None:
        numbers = {"action_dimensions": product.numbers} if product.numbers else {}
        return {"actions": product.combinations, "action_parts": len(product.sizes), **numbers}
    return {"actions": spaces.action_count(space)}
