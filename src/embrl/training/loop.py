"""Carries a run from configuration to summary: the one place where training meets the disk."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import gymnasium
import numpy as np

from embrl.config.run import RunConfig, as_json, check_same, from_json
from embrl.core import spaces
from embrl.core.errors import EmbrlError
from embrl.core.statistics import area_under_curve, bootstrap_mean
from embrl.core.types import Transition
from embrl.embedding.feature_actions import with_features, without_features
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives import OwnObjective
from embrl.embedding.pretraining import FitState
from embrl.embedding.warnings import complaints
from embrl.envs import AnyEnvironment
from embrl.storage import checkpoint
from embrl.storage.run_folder import RunFolder
from embrl.storage.versions import machine, versions
from embrl.training import action_inputs, transfer
from embrl.training.backend import world
from embrl.training.fit_embedding import EmbeddingRows
from embrl.training.replicas import Rows, over_seeds
from embrl.training.state import SeedState
from embrl.training.trainer import Program
from embrl.training.validation import check

State = TypeVar("State")

SAVE_EVERY = 15.0
"""Seconds between two checkpoints, at least; the end of a stage is saved in any case."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    stage: str
    """`pre-training` or `training`."""
    done: int
    total: int
    """Gradient steps or samples."""
    value: float | None
    """Loss in pre-training, mean return over seeds in training."""
    news: tuple[str, ...] = ()
    """What a person should know: warnings that the embedding no longer fits, or fits again."""


Watcher = Callable[[Progress], None]


def unwatched(progress: Progress) -> None:
    """Nobody looks."""
    del progress


@dataclasses.dataclass
class Record:
    """What a checkpoint says beside the arrays."""

    stage: str = "pre-training"
    done: int = 0
    """Gradient steps, or epochs."""
    rows: list[dict[str, float | int | None]] = dataclasses.field(default_factory=list)
    """Of metrics.csv."""
    wall_s: float = 0.0
    """Seconds spent in earlier, interrupted parts of the run."""
    warnings: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    """What was wrong with the embedding: since how many samples, and in which seeds at the last
    look."""
    diverged: list[int] = dataclasses.field(default_factory=list)
    """Rows of a sweep whose numbers are no longer finite."""


def train(
    config: RunConfig,
    out: str | Path,
    *,
    resume: bool = False,
    watch: Watcher = unwatched,
    save_every: float = SAVE_EVERY,
    started: float | None = None,
    own: Mapping[str, OwnObjective] | None = None,
    env: "AnyEnvironment | None" = None,
    sweep: bool = False,
) -> RunFolder:
    """Runs `config` in the folder `out`.

    Arguments:
        resume: go on from the last checkpoint in `out`; the result is the same, bit for bit, as
            without the interruption. If nothing is there yet, start. `config.samples` may be more
            than the run was begun with, complete or not: it goes on to them.
        watch: called between chunks.
        save_every: seconds between checkpoints.
        started: when the command began (`time.perf_counter`), for honest samples per second.
        own: objectives of the caller's, by the names that `config.objectives` has for them.
        env: the environment, where `config.env` cannot build it (`ObjectConfig`).
        sweep: the run is a part of a sweep. Rows whose numbers stop being finite are given up, in
            place of the run: from there on they have no measures. What only a person would look
            at, `quality.json` and warnings, is left out.

    Raises:
        EmbrlError: a setting is wrong, `out` holds another run, its checkpoint is damaged, or
            numbers stopped being finite; what was saved before stays as it is.
    """
    started = time.perf_counter() if started is None else started
    env = config.env.build() if env is None else env
    inputs = action_inputs.gathered(config, env, RunFolder(out))
    program = Program(config, env.observation_space, env.action_space, own or {}, inputs)
    check(program)
    folder = _allowed(config, Path(out), resume)
    if folder.complete and folder.config()["samples"] == config.samples:
        return folder  # there is nothing to resume
    run = _Run(program, env, folder, watch, save_every, started, sweep)
    try:
        if not folder.holds_run:  # nothing is left behind by what was refused up to here
            folder.write_config({"versions": versions(), **as_json(config)})
        inputs.write(folder)
        return run.complete()
    finally:
        run.world.close()


def _allowed(config: RunConfig, path: Path, resume: bool) -> RunFolder:
    """The folder, if this run may go there."""
    folder = RunFolder(path)
    if not folder.holds_run:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise EmbrlError(f"{path} is there and holds no run: choose an empty or new folder")
        return folder
    if not resume:
        raise EmbrlError(f"{path} already holds a run: choose another --out, or add --resume")
    # What it means, not what it says: a setting may be younger than the folder.
    found = from_json(folder.config(), folder.path / "config.json")
    check_same_but_samples(config, found, path)
    return folder


class _Run:
    """One call of `train`: compiled functions, and the record that grows."""

    def __init__(
        self,
        program: Program,
        env: AnyEnvironment,
        folder: RunFolder,
        watch: Watcher,
        save_every: float,
        started: float,
        sweep: bool,
    ) -> None:
        self.program, self.env, self.folder = program, env, folder
        self.watch, self.save_every, self.started = watch, save_every, started
        self.config, self.sweep = program.config, sweep
        rows = Rows(program)
        self.keys, self.world = rows.keys, world(rows, env)
        self.record = Record()
        self.saved_at = time.perf_counter()
        self.source = transfer.source(program) if self.config.transfer.run else None
        self.embeddings = EmbeddingRows(rows)
        self.renewed = over_seeds(
            functools.partial(transfer.renewed, self.config.transfer), rows.count, once=True
        )
        self.new_agent = rows.over(Program.new_agent, once=True)

    def complete(self) -> RunFolder:
        """From wherever the folder's checkpoint stands to the summary."""
        found = checkpoint.latest(self.folder.checkpoint)
        if found is not None:
            manifest = checkpoint.read_manifest(found)
            try:
                self.record = Record(**manifest["record"])
            except (KeyError, TypeError) as error:
                raise EmbrlError(f"{found / checkpoint.MANIFEST} is damaged: no record") from error
        if self.record.stage == "pre-training":
            state = self._begin(*self._pretrain(found))
        else:
            assert found is not None
            self._check_left()
            state = self._read(found, self._state_shapes())
        self.folder.aim_at(self.config.samples)
        state = self._learn(state)
        self._summarise()
        return self.folder

    def _pretrain(self, found: Path | None) -> tuple[JointEmbedding | None, Transition | None]:
        if not self.program.pretrains:
            return None, None
        # Not saved: the same keys collect the same transitions again.
        transitions = self.world.collect()
        embeddings = self.embeddings
        train, held_out = embeddings.split(transitions)
        if found is None:
            state = embeddings.new_model(self.keys, train)
            if self.source is not None:
                state = self.renewed(state, self.source.agent.embedding)
        else:
            state = self._read(found, embeddings.shapes(self.keys, train))
        for now, losses, steps in embeddings.fit(state, train, self.record.done):
            state, self.record.done = now, steps
            self._check_finite("the loss of pre-training", np.asarray(losses))
            done = min(steps, embeddings.steps)
            self.watch(Progress("pre-training", done, embeddings.steps, self._mean(losses)))
            self._save(state)
        model = embeddings.finished(state.model, train)
        if not self.sweep:
            self._measure_quality(model, train, held_out)
        return model, transitions

    def _begin(self, embedding: JointEmbedding | None, transitions: Transition | None) -> SeedState:
        found: Any = transitions
        source = self.source
        if embedding is None and source is not None:
            embedding, found = source.agent.embedding, source.reference
        agent = self.new_agent(self.keys, embedding)
        if source is not None:
            if source.agent.norm is not None and embedding is source.agent.embedding:
                agent = agent._replace(norm=source.agent.norm)
            if self.config.transfer.policy:
                learner = transfer.unsettled(source.agent.learner, self.config.transfer.std)
                agent = agent._replace(learner=learner)
        state = self.world.begin(agent, found)
        if source is not None and self.config.transfer.policy and source.agent.norm is not None:
            # The policy goes on seeing X as it did.
            state = state._replace(agent=state.agent._replace(norm=source.agent.norm))
        self.record = dataclasses.replace(self.record, stage="training", done=0)
        self._add_rows(state, {})
        self._save(state, now=True)
        return state

    def _learn(self, state: SeedState) -> SeedState:
        epochs, a_chunk = self.program.epochs, self.config.evaluation.every
        a_chunk //= self.config.rollout.epoch
        while self.record.done < epochs:
            # A run that was to end between two evaluations goes back to their grid.
            count = min(a_chunk - self.record.done % a_chunk, epochs - self.record.done)
            state, measures = self.world.improve(state, self.record.done, count)
            self.record.done += count
            measures = {name: np.asarray(value) for name, value in measures.items()}
            for name, values in measures.items():
                self._check_finite(f"{name} after {self._samples()} samples", values)
            self._add_rows(state, measures, final=self.record.done == epochs)
            news = self._news()
            self._save(state, now=self.record.done == epochs)
            self.watch(
                Progress(
                    "training", self._samples(), self.config.samples, self._last_return(), news
                )
            )
        return state

    def _check_left(self) -> None:
        """A run that is to go on to another number of samples has not taken as many already."""
        asked = self.folder.config()["samples"]
        if asked != self.config.samples and self.record.done >= self.program.epochs:
            raise EmbrlError(
                f"{self.folder.path} has taken {self._samples():,} of {asked:,} samples: "
                f"{self.config.samples:,} leave nothing to go on to, choose more"
            )

    def _samples(self) -> int:
        return self.program.pretraining_samples + self.record.done * self.config.rollout.epoch

    def _last_return(self) -> float | None:
        return self._mean([row["return_mean"] for row in self._last_rows()])

    def _last_rows(self) -> list[dict[str, Any]]:
        return self.record.rows[-self.config.rows :]

    def _mean(self, values: Any) -> float | None:
        """Over the rows that have not diverged, if there are any."""
        left = np.delete(np.asarray(values, np.float64), self.record.diverged)
        return float(left.mean()) if left.size else None

    def _check_finite(self, what: str, values: np.ndarray) -> None:
        bad = np.flatnonzero(~np.isfinite(values)).tolist()
        if self.sweep:
            self.record.diverged = sorted({*self.record.diverged, *bad})
        elif bad:
            raise EmbrlError(
                f"{what} is no longer finite (seed {', '.join(map(str, bad))}): "
                "try a smaller learning rate; what was saved before is kept"
            )

    def _news(self) -> tuple[str, ...]:
        """What the last measures say of the embedding that was not known before."""
        if not self.program.method.embeds or self.sweep:
            return ()
        found, known = complaints(self._last_rows()), self.record.warnings
        news = []
        for text, seeds in found.items():
            if not known.get(text, {}).get("seeds"):
                where = ", ".join(map(str, seeds))
                news.append(f"warning, at {self._samples():,} samples: {text} (seed {where})")
            since = known.get(text, {}).get("since", self._samples())
            known[text] = {"since": since, "seeds": seeds}
        for text, entry in known.items():
            if entry["seeds"] and text not in found:
                entry["seeds"] = []
                news.append(f"no longer, at {self._samples():,} samples: {text}")
        return tuple(news)

    def _add_rows(
        self, state: SeedState, measures: dict[str, np.ndarray], final: bool = False
    ) -> None:
        evaluation = self.config.evaluation
        episodes = evaluation.final_episodes if final else evaluation.episodes
        rounds = episodes // evaluation.episodes
        found = self.world.evaluate(state, self.record.done, rounds)
        columns = {**{name: np.asarray(value) for name, value in found.items()}, **measures}
        for name, values in columns.items():
            self._check_finite(f"{name} after {self._samples()} samples", values)
        for index in range(self.config.rows):
            point, seed = divmod(index, self.config.seeds)
            row: dict[str, float | int | None] = {
                "seed": seed,
                "samples": self._samples(),
                "episodes": episodes,
            }
            if self.config.vary:
                row["point"] = point
            known = index not in self.record.diverged
            row |= {n: float(values[index]) if known else None for n, values in columns.items()}
            self.record.rows.append(row)
        self.folder.write_metrics(self.record.rows)

    def _save(self, state: FitState | SeedState, now: bool = False) -> None:
        """Saves the run, if it is time."""
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
        """The state of a checkpoint, and the features of actions, which the folder has once."""
        state = checkpoint.read(found, without_features(like))
        return with_features(state, self.program.inputs.features)

    def _state_shapes(self) -> SeedState:
        return transfer.state_shapes(self.program, self.source, self.world.shapes)

    def _wall(self) -> float:
        return self.record.wall_s + time.perf_counter() - self.started

    def _measure_quality(
        self, models: JointEmbedding, train: Transition, held_out: Transition
    ) -> None:
        """Writes quality.json: one report for each seed."""
        found = self.embeddings.qualities(models, train, held_out, self.world.truth)
        reports = [{"seed": row, **dataclasses.asdict(each)} for row, each in enumerate(found)]
        self.folder.write_quality(reports)

    def _summarise(self) -> None:
        config = self.config
        # What training cost is known now; the references below are no part of it.
        wall = self._wall()
        samples = self._samples()
        self.folder.write_summary(
            {
                "method": config.method,
                "algorithm": config.algorithm,
                "env": config.environment,
                **_actions(self.env.action_space),
                "seeds": config.seeds,
                "samples": samples,
                "wall_s": wall,
                "samples_per_s": config.rows * samples / wall,
                "machine": machine(),
                **self._returns(),
                "warnings": self.record.warnings,
                **self.world.references(),
            }
        )

    def _returns(self) -> dict[str, Any]:
        """What the seeds came to; for several points, or if a seed diverged, only which rows did:
        there is no one mean of them.
        """
        seeds = self.config.seeds
        if self.config.vary or self.record.diverged:
            return {"points": self.config.points, "diverged": self.record.diverged}
        curves = self.folder.metrics()
        returns = curves["return_mean"].reshape(-1, seeds)
        samples = curves["samples"].reshape(-1, seeds)[:, 0]
        final = returns[-1]
        greedy = curves["greedy_return_mean"].reshape(-1, seeds)[-1]
        _, low, high = bootstrap_mean(final)
        return {
            "final_return_mean": float(final.mean()),
            "final_return_ci95": None if seeds == 1 else [float(low), float(high)],
            "final_return_per_seed": final.tolist(),
            "final_greedy_return_mean": float(greedy.mean()),
            "auc_mean": float(area_under_curve(samples, returns.T).mean()),
        }


def _actions(space: gymnasium.Space) -> dict[str, int]:
    """How many there are, or how many numbers one has."""
    if spaces.is_continuous(space):
        return {"action_dimensions": spaces.dimensions(space)}
    return {"actions": spaces.action_count(space)}


# DOC Runs that go on to another number of samples than they were begun with.


def check_same_but_samples(wanted: RunConfig, found: RunConfig, path: Path) -> None:
    """Whether the run `found` in the folder `path` can go on as `wanted`.

    Raises:
        EmbrlError: they differ in more than the number of samples, or what the run did so far would
            have been something else had it been begun with the other number.
    """
    same = wanted
    if not wanted.vary:  # the points of a sweep are compared at its one budget
        same = dataclasses.replace(wanted, samples=found.samples)
    check_same(same, found, f"{path} holds another run")
    falling = _hangs_on_the_end(wanted)
    if wanted.samples != found.samples and falling:
        raise EmbrlError(
            f"{path} cannot go on to {wanted.samples:,} samples: {falling} was set for a run of "
            f"{found.samples:,}; begin again in another --out"
        )


def _hangs_on_the_end(config: RunConfig) -> str:
    """What follows a course that ends with the run, if anything does."""
    update, explore = config.update, config.explore
    if update.every and update.schedule == "linear":
        return "update.schedule linear"
    if update.every and update.until < 1.0:
        return f"update.until {update.until:g}"
    return f"explore.bonus {explore.bonus:g}, which falls to 0," if explore.bonus else ""
