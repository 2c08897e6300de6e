"""Callbacks: a user's functions that training calls at its start, its evaluations and its end."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float

from embrl.config.run import RunConfig
from embrl.core.errors import SettingError
from embrl.envs import AnyEnvironment
from embrl.storage.run_folder import RunFolder
from embrl.training.restore import RestoredPolicy
from embrl.training.trained_policy import Policy

Status = Literal["running", "complete", "stopped", "failed"]


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingEvent:
    """State of a training, as callbacks see it."""

    folder: RunFolder
    """Folder of the run; what it holds is complete up to this event."""
    config: RunConfig
    env: AnyEnvironment
    stage: str
    """`pre-training` until the embedding is learned, then `training`."""
    status: Status
    """`running` until `on_end`. There, `complete`; `stopped`, by a callback that returned False;
    or `failed`, with an exception or an interruption."""
    resumed: bool
    """True if this call of `train` continues from a checkpoint."""
    timesteps: int
    """Environment steps that each seed has taken, those of pre-training included; 0 before the
    first evaluation."""
    total_timesteps: int
    """Environment steps of each seed at the end: whole updates, so that they may be a few less than
    those of `config`."""
    metrics: Mapping[str, Float[np.ndarray, " seeds"]]
    """Newest value in each seed, by the name of the column in metrics.csv; empty before the first
    evaluation. In a run of a sweep, the seeds of its first point, then of its second, and nan for
    a seed that diverged."""
    means: Mapping[str, float]
    """Means of `metrics` over the seeds that did not diverge."""
    _policy: Callable[[int], RestoredPolicy] = dataclasses.field(repr=False)
    _save: Callable[[], None] = dataclasses.field(repr=False)

    def __repr__(self) -> str:
        """Return the stage, how far it is, and the mean return so far."""
        steps = f"{self.timesteps:,} of {self.total_timesteps:,} timesteps"
        text = f"TrainingEvent({self.stage}, {self.status}, {steps}"
        mean = self.means.get("return_mean")
        return f"{text})" if mean is None else f"{text}, return {mean:.3g})"

    def policy(self, seed: int = 0) -> Policy:
        """Return the policy of one seed as it is now, as `Run.policy` does.

        It is copied from memory, without the disk.

        Raises:
            EmbrlError: there is no such seed, there is no policy yet, or the callback has returned
                already: training reuses the memory of a policy.
        """
        return Policy.of(self._policy(seed))

    def save(self) -> None:
        """Save a checkpoint now, so that `embrl.load(event.folder.path)` returns this policy.

        Raises:
            EmbrlError: there is no policy yet, or the callback has returned already.
        """
        self._save()


@runtime_checkable
class StartCallback(Protocol):
    """Object to call when training starts or continues."""

    def on_start(self, event: TrainingEvent, /) -> Any:
        """Handle the start; returning False ends the training before it begins."""
        ...


@runtime_checkable
class EvaluationCallback(Protocol):
    """Object to call after each evaluation."""

    def on_evaluation(self, event: TrainingEvent, /) -> Any:
        """Handle an evaluation; returning False stops the training there."""
        ...


@runtime_checkable
class EndCallback(Protocol):
    """Object to call when training ends, however it does."""

    def on_end(self, event: TrainingEvent, /) -> Any:
        """Handle the end."""
        ...


Callback: TypeAlias = (
    Callable[[TrainingEvent], Any] | StartCallback | EvaluationCallback | EndCallback
)
"""A function, which is called after each evaluation, or an object with any of the three methods."""


class Callbacks:
    """All callbacks of one training."""

    def __init__(self, given: Callback | Sequence[Callback] | None) -> None:
        """Check the callbacks.

        Args:
            given: a callback, several, or None.

        Raises:
            SettingError: one is neither a function nor an object with one of the methods.
        """
        self._all = tuple(as_callbacks(given))
        self._started: list[Callback] = []
        for callback in self._all:
            # A class has the methods, too, and calling it would make an object at each evaluation.
            if isinstance(callback, type) or not (callable(callback) or _has_methods(callback)):
                raise SettingError(
                    "callback",
                    "a function or an object with on_start, on_evaluation or on_end",
                    repr(callback),
                )

    def __bool__(self) -> bool:
        return bool(self._all)

    def start(self, event: TrainingEvent) -> bool:
        """Call `on_start` of all; return whether to go on."""
        go_on = True
        for callback in self._all:
            if isinstance(callback, StartCallback):
                go_on &= not _is_false(callback.on_start(event))
            self._started.append(callback)
        return go_on

    def evaluation(self, event: TrainingEvent) -> bool:
        """Call `on_evaluation` of all, and the functions; return whether to go on."""
        go_on = True
        for callback in self._all:
            if isinstance(callback, EvaluationCallback):
                go_on &= not _is_false(callback.on_evaluation(event))
            elif callable(callback) and not _has_methods(callback):
                go_on &= not _is_false(callback(event))
        return go_on

    def end(self, event: TrainingEvent, failure: BaseException | None = None) -> None:
        """Call `on_end` of all whose `on_start` has returned, once.

        Args:
            event: the end.
            failure: the exception that ended training. What goes wrong in `on_end` is then added
                to it as a note, so that the caller learns why training failed.
        """
        started, self._started = self._started, []
        for callback in started:
            if not isinstance(callback, EndCallback):
                continue
            try:
                callback.on_end(event)
            except Exception as error:
                if failure is None:
                    failure = error
                else:
                    failure.add_note(f"on_end of {callback!r} failed, too: {error!r}")
        if failure is not None and event.status != "failed":
            raise failure


def as_callbacks(given: Callback | Sequence[Callback] | None) -> list[Callback]:
    """Return a list of what may be None, one callback or several."""
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) else [given]


def _has_methods(callback: Any) -> bool:
    return isinstance(callback, StartCallback | EvaluationCallback | EndCallback)


def _is_false(answer: Any) -> bool:
    """Return True for False, also NumPy's; None, which a function returns by default, goes on."""
    return isinstance(answer, bool | np.bool_) and not answer
