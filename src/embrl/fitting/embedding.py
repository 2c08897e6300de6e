"""User interface of a fitted embedding: phi, g and f on NumPy arrays."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import equinox as eqx
import gymnasium
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from embrl.core.errors import EmbrlError, WarnOnce
from embrl.core.products import fan_in_of, is_product
from embrl.core.spaces import (
    action_count,
    array_of,
    check_action,
    check_mask,
    check_observation,
    is_continuous,
)
from embrl.deploy.plain_embedding import PlainEmbedding
from embrl.embedding import saved
from embrl.embedding.config import embedding_dims
from embrl.embedding.feature_actions import (
    FeatureActions,
    append_rows,
    checked_features,
    extend_mask,
    extended,
    without,
)
from embrl.embedding.portable import f_chain, g_chain, normed, phi_steps, tabled_states
from embrl.embedding.saved import SavedEmbedding
from embrl.portable import Chain
from embrl.portable.steps import Nearest, Rows
from embrl.tasks import saved as tasks_saved
from embrl.tasks.space import TaskModel, TaskPolicy, TaskSpace

FIXED_ACTIONS_OBJECTIVE = "action"
"""Objective whose network has an output for each action, so that no actions can be added to it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Embedding(SavedEmbedding):
    """A fitted embedding: x = phi(s), e = g(a), a = f(e).

    phi, g and f take arrays with any leading axes, and check them against the spaces. An embedding
    is never changed in place.
    """

    task_model: TaskModel | None = None
    """Task features, if they were learned (`embrl fit ... --tasks`)."""

    def __repr__(self) -> str:
        """Return the method, where it was learned, and what it embeds in how many dimensions."""
        where = self.source.get("environment", self.source.get("name"))
        count = self.action_count
        states = f"states in {self.m}" if self.states else "states as they are"
        actions = "actions" if count is None else f"{count:,} actions"
        return f"Embedding({self.method} on {where}, {states}, {actions} in {self.d})"

    @property
    def m(self) -> int:
        """Dimensions of X, or the length of an observation if states are not embedded."""
        return fan_in_of(self.model.phi.features)

    @property
    def d(self) -> int:
        """Dimensions of E."""
        return embedding_dims(self.settings.embedding, self.action_space)

    @property
    def continuous(self) -> bool:
        """True if actions are continuous."""
        return is_continuous(self.action_space)

    @property
    def action_count(self) -> int | None:
        """Number n of discrete actions; None if actions are continuous or have several parts."""
        listed = not self.continuous and not is_product(self.action_space)
        return action_count(self.action_space) if listed else None

    @property
    def table(self) -> Float[np.ndarray, "n d"] | None:
        """Embeddings g(a) of all discrete actions.

        None if actions are continuous or have several parts.
        """
        return self.plain.table

    def __post_init__(self) -> None:
        """Leave JAX at once: in a forked process it would hang."""
        _ = self.plain

    @functools.cached_property
    def plain(self) -> PlainEmbedding:
        """phi, g and f in NumPy, for use in any process."""
        model = self.model
        table = None
        if self.action_count is not None:
            table = np.asarray(model.g.table, np.float32)
        return PlainEmbedding(
            method=self.method,
            states=self.states,
            m=self.m,
            d=self.d,
            observation_space=self.observation_space,
            action_space=self.action_space,
            phi=Chain(phi_steps(model.phi)),
            tabled=tabled_states(model.phi),
            norm=None if self.norm is None else normed(self.norm),
            g=g_chain(model.g) if table is None else Chain((Rows(table),)),
            table=table,
            allowed=self.allowed,
            f=f_chain(model.g, model.f) if table is None else None,
        )

    def phi(self, observation: ArrayLike, *, strict: bool = False) -> Float[np.ndarray, "... m"]:
        """Embed states.

        Args:
            observation: observations of `observation_space`, with any leading axes. Numbers outside
                their bounds are taken as they are, as in training, with one warning.
            strict: refuse numbers outside their bounds.

        Returns:
            Points in X, or raw features of the observations if states are not embedded.

        Raises:
            EmbrlError: an observation is not in the space.
        """
        warn = None if strict else self._warn
        values = check_observation(self.observation_space, observation, warn)
        return self._phi(values).astype(np.float32, copy=False)

    def g(self, action: ArrayLike) -> Float[np.ndarray, "... d"]:
        """Embed actions.

        Args:
            action: actions of `action_space`, with any leading axes.

        Returns:
            Points in E.

        Raises:
            EmbrlError: an action is not in the space.
        """
        return self._g(check_action(self.action_space, action))

    def f(self, e: ArrayLike, mask: ArrayLike | None = None) -> np.ndarray:
        """Decode points of E to actions.

        Args:
            e: points `[..., d]`.
            mask: True where a discrete action may be chosen, bool `[n]` or `[..., n]`; of actions
                with several parts, where each value of each part may be.

        Returns:
            The nearest discrete actions, int32 `[...]`; for continuous actions the output of the
            decoder, float32 `[..., p]`; rows of actions with several parts.

        Raises:
            EmbrlError: points have another length or are not finite, or the mask has another shape
                or allows no action.
        """
        points = array_of(e, "e")
        if points.dtype.kind not in "iuf" or points.shape[-1:] != (self.d,):
            raise EmbrlError(
                f"e must be numbers [..., {self.d}], got {points.dtype}{list(points.shape)}"
            )
        points = points.astype(np.float32)
        if not np.isfinite(points).all():
            index = np.argwhere(~np.isfinite(points))[0].tolist()
            raise EmbrlError(f"e must be finite, got {points[tuple(index)]} at {index}")
        choices = None if mask is None else check_mask(self.action_space, mask, self.allowed)
        if self.continuous or (choices is None and self.table is None):
            return self._f(points)
        try:
            if self.table is None:
                search: Any = self._f.steps[0]
                return search(points, choices)
            return self._nearest(points, choices)
        except ValueError as error:  # axes that cannot be broadcast
            raise EmbrlError(
                f"mask must have the leading axes of e, {list(points.shape[:-1])}, got "
                f"{[] if choices is None else list(choices.shape[:-1])}"
            ) from error

    def encode_state(self, observation: ArrayLike) -> Float[np.ndarray, "... m"]:
        """Embed states: `phi` by its name in words."""
        return self.phi(observation)

    def encode_action(self, action: ArrayLike) -> Float[np.ndarray, "... d"]:
        """Embed actions: `g` by its name in words."""
        return self.g(action)

    def decode_action(self, e: ArrayLike, mask: ArrayLike | None = None) -> np.ndarray:
        """Decode points of E to actions: `f` by its name in words."""
        return self.f(e, mask)

    @functools.cached_property
    def tasks(self) -> TaskSpace:
        """Tasks as vectors: from rewards, labelled states or demonstrations.

        Raises:
            EmbrlError: no tasks were learned in this embedding.
        """
        if self.task_model is None:
            raise EmbrlError(
                "this embedding has no tasks; fit it with --tasks, or embrl.fit(..., tasks=True)"
            )
        return TaskSpace(self.plain, self.task_model)

    def policy(self, task: Any) -> TaskPolicy:
        """Return the policy of a task, without further training.

        Args:
            task: a vector `[k]`; a function from observations `[N, ...]` to rewards `[N]`; or a
                pair of labelled observations `[N, ...]` and their rewards `[N]`.

        Raises:
            EmbrlError: no tasks were learned in this embedding, or the task is none of these.
        """
        return self.tasks.policy(task)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Embedding":
        """Return self, as it never changes; Gymnasium copies environment specs often."""
        del memo
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the embedding as its folder has it."""
        return _unpickled, (*saved.as_bytes(self), self._packed_tasks())

    def _packed_tasks(self) -> tasks_saved.Packed | None:
        if self.task_model is None:
            return None
        return tasks_saved.as_bytes(self.task_model, saved.as_bytes(self)[0]["sha256"])

    @functools.cached_property
    def _warn(self) -> WarnOnce:
        return WarnOnce()

    @property
    def _phi(self) -> Chain:
        return self.plain.phi_chain(norm=False)

    @property
    def _g(self) -> Chain:
        return self.plain.g

    @property
    def _f(self) -> Chain:
        assert self.plain.f is not None
        return self.plain.f

    @functools.cached_property
    def _nearest(self) -> Nearest:
        assert self.table is not None
        return Nearest.of(self.table, self.allowed)

    def with_actions(self, features: ArrayLike) -> "Embedding":
        """Return an embedding with new actions appended.

        They are embedded by their features, and f may return them. Nothing is trained, and the
        quality report does not cover them.

        Args:
            features: features `[k, q]`, in the units of those that the embedding was fitted with.

        Raises:
            EmbrlError: the embedding has no action features, or a different number of them.
        """
        if not isinstance(self.model.g, FeatureActions):
            raise EmbrlError(
                "new actions need features, and the actions of this embedding have none; fit it "
                "with --embedding.action-features"
            )
        g = self.model.g
        new = jnp.asarray(checked_features(features, "new actions", rows=None, columns=g.columns))
        parts = {
            name: part for name, part in self.model.parts.items() if name != FIXED_ACTIONS_OBJECTIVE
        }
        weights = {
            name: weight
            for name, weight in self.settings.objectives.items()
            if name != FIXED_ACTIONS_OBJECTIVE
        }
        reference = self.reference
        if reference is not None and reference.actions is None:
            reference = reference._replace(g=append_rows(reference.g, g, new))
        allowed = extend_mask(None if self.allowed is None else jnp.asarray(self.allowed), len(new))
        return dataclasses.replace(
            self,
            model=eqx.tree_at(lambda m: (m.g, m.parts), self.model, (extended(g, new), parts)),
            settings=dataclasses.replace(self.settings, objectives=weights),
            action_space=gymnasium.spaces.Discrete(action_count(self.action_space) + len(new)),
            reference=reference,
            allowed=None if allowed is None else np.asarray(allowed),
        )

    def without(self, actions: ArrayLike) -> "Embedding":
        """Return an embedding whose f never returns some actions; all actions keep their indices.

        Args:
            actions: indices of the actions to exclude.

        Raises:
            EmbrlError: actions are continuous, an index is out of range, or no action is left.
        """
        if self.action_count is None:
            raise EmbrlError(
                f"action_space must be Discrete to exclude actions, got {self.action_space}"
            )
        left = without(self.allowed, action_count(self.action_space), actions)
        return dataclasses.replace(self, allowed=left)

    def save(self, folder: str | Path) -> None:
        """Write the embedding to a new folder, atomically (docs/fitting.md).

        Raises:
            EmbrlError: the path exists and is not an empty folder.
        """
        packed = self._packed_tasks()
        saved.write(folder, self, None if packed is None else tasks_saved.as_files(packed))

    @classmethod
    def load(cls, folder: str | Path) -> "Embedding":
        """Read the embedding in a folder.

        Raises:
            EmbrlError: there is none, it has another format, or a file is damaged.
        """
        found = cls.of(saved.read(folder))
        checksum = saved.read_manifest(folder)["sha256"]
        tasks = tasks_saved.read(folder, checksum, found.m, found.d)
        return found if tasks is None else dataclasses.replace(found, task_model=tasks)

    @classmethod
    def of(cls, embedding: SavedEmbedding) -> "Embedding":
        """Return a saved embedding with phi, g and f."""
        fields = dataclasses.fields(embedding)
        return cls(**{field.name: getattr(embedding, field.name) for field in fields})


def load_embedding(path: str | Path) -> Embedding:
    """Read the embedding in a folder of `embrl fit` or `Embedding.save`.

    Raises:
        EmbrlError: there is none, it has another format, or a file is damaged.
    """
    return Embedding.load(path)


def _unpickled(
    manifest: dict[str, Any], tensors: bytes, tasks: tasks_saved.Packed | None = None
) -> Embedding:
    found = Embedding.of(saved.from_bytes(manifest, tensors))
    if tasks is None:
        return found
    return dataclasses.replace(found, task_model=tasks_saved.from_bytes(tasks, found.m, found.d))
