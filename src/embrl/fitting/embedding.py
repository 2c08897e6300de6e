"""A fitted embedding as its users meet it: NumPy in, NumPy out."""

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

from embrl.core.errors import EmbrlError
from embrl.core.spaces import (
    action_count,
    check_action,
    check_mask,
    check_observation,
    is_continuous,
)
from embrl.embedding import saved as fitted
from embrl.embedding.feature_actions import (
    FeatureActions,
    append_rows,
    checked_features,
    extend_mask,
    extended,
    without,
)
from embrl.embedding.portable import f_chain, g_chain, phi_chain
from embrl.embedding.saved import SavedEmbedding
from embrl.portable import Chain
from embrl.portable.steps import Nearest

LISTS_ACTIONS = "action"
"""The objective whose network has an output for each action."""


@dataclasses.dataclass(frozen=True, eq=False)
class Embedding(SavedEmbedding):
    """phi, g and f: x = phi(s), e = g(a), a = f(e).

    All of them take any number of leading axes, and check what they get.
    """

    @property
    def m(self) -> int:
        """Dimensions of X. Where states are not embedded, numbers of an observation."""
        features = self.model.phi.features
        return features if isinstance(features, int) else len(features)

    @property
    def d(self) -> int:
        """Dimensions of E."""
        return self.settings.embedding.action_dim

    @property
    def continuous(self) -> bool:
        """Whether actions are vectors, not indices."""
        return is_continuous(self.action_space)

    @property
    def action_count(self) -> int | None:
        """Discrete actions, n; None where actions are vectors."""
        return None if self.continuous else action_count(self.action_space)

    @functools.cached_property
    def table(self) -> Float[np.ndarray, "n d"] | None:
        """g(a) of every discrete action; None where actions are vectors."""
        return None if self.continuous else np.asarray(self.model.g.table, np.float32)

    def phi(self, observation: ArrayLike) -> Float[np.ndarray, "... m"]:
        """Where states lie in X. Where states are not embedded: the observations, as networks take
        them in.

        Raises:
            EmbrlError: an observation is not in the space.
        """
        values = check_observation(self.observation_space, observation)
        return self._phi(values).astype(np.float32, copy=False)

    def g(self, action: ArrayLike) -> Float[np.ndarray, "... d"]:
        """Where actions lie in E.

        Raises:
            EmbrlError: an action is not in the space.
        """
        return self._g(check_action(self.action_space, action))

    def f(self, e: ArrayLike, mask: ArrayLike | None = None) -> np.ndarray:
        """The actions of points of E: of discrete ones the nearest, int32 `[...]`; where actions
        are vectors, what the network that undoes g makes of them, float32 `[..., p]`.

        Arguments:
            e: `[..., d]`.
            mask: True where an action may be chosen, bool `[n]` or with e's leading axes.

        Raises:
            EmbrlError: points have another length or are not finite, or a mask does not fit or
                allows nothing.
        """
        points = np.asarray(e)
        if points.dtype.kind not in "iuf" or points.shape[-1:] != (self.d,):
            raise EmbrlError(
                f"points of E are numbers [..., {self.d}], not {points.dtype}{list(points.shape)}"
            )
        points = points.astype(np.float32)
        if not np.isfinite(points).all():
            at = np.argwhere(~np.isfinite(points))[0].tolist()
            raise EmbrlError(f"e is {points[tuple(at)]} at {at}: points of E must be finite")
        choices = self._choices(mask)
        if self.continuous:
            return self._f(points)
        try:
            return self._nearest(points, choices)
        except ValueError as error:  # axes that cannot be broadcast
            raise EmbrlError(
                f"the mask's leading axes must be e's, {list(points.shape[:-1])}, not "
                f"{[] if choices is None else list(choices.shape[:-1])}"
            ) from error

    def __deepcopy__(self, memo: dict[int, Any]) -> "Embedding":
        """Itself, as it never changes: specs of Gymnasium's environments are copied often."""
        del memo
        return self

    @functools.cached_property
    def _phi(self) -> Chain:
        return phi_chain(self.model.phi)

    @functools.cached_property
    def _g(self) -> Chain:
        return g_chain(self.model.g)

    @functools.cached_property
    def _f(self) -> Chain:
        return f_chain(self.model.g, self.model.f, self.allowed)

    @functools.cached_property
    def _nearest(self) -> Nearest:
        assert self.table is not None
        return Nearest.of(self.table, self.allowed)

    def with_actions(self, features: ArrayLike) -> "Embedding":
        """One with new actions behind the others: they lie where g puts what has such features,
        and f may return them at once. Nothing is trained, and quality says nothing of them.

        Arguments:
            features: `[k, q]`, in the units of those that the embedding was fitted with.

        Raises:
            EmbrlError: actions have no features here, or these are other ones.
        """
        if not isinstance(self.model.g, FeatureActions):
            raise EmbrlError(
                "new actions are embedded by their features, and this embedding's actions have "
                "none: fit it with --embedding.action-features"
            )
        g = self.model.g
        new = jnp.asarray(checked_features(features, "new actions", rows=None, columns=g.columns))
        # What tells actions from one another, one by one, knows nothing of new ones.
        parts = {name: part for name, part in self.model.parts.items() if name != LISTS_ACTIONS}
        weights = {
            name: weight
            for name, weight in self.settings.objectives.items()
            if name != LISTS_ACTIONS
        }
        reference = self.reference
        if reference is not None:
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
        """One in which f never returns these; the others keep their numbers.

        Arguments:
            actions: indices.

        Raises:
            EmbrlError: actions are vectors, an index is none of theirs, or no action would be left.
        """
        if self.continuous:
            raise EmbrlError(
                f"actions of {self.action_space} are numbers, not a list to remove some from"
            )
        left = without(self.allowed, action_count(self.action_space), actions)
        return dataclasses.replace(self, allowed=left)

    def save(self, folder: str | Path) -> None:
        """Writes a folder, which is there whole or not at all (docs/fitting.md).

        Raises:
            EmbrlError: something is there already.
        """
        fitted.write(folder, self)

    @classmethod
    def load(cls, folder: str | Path) -> "Embedding":
        """The embedding in a folder.

        Raises:
            EmbrlError: there is none, it is of a newer format, or a file is damaged.
        """
        return cls.of(fitted.read(folder))

    @classmethod
    def of(cls, what: SavedEmbedding) -> "Embedding":
        """What a fit has left, with phi, g and f."""
        return cls(**{field.name: getattr(what, field.name) for field in dataclasses.fields(what)})

    def _choices(self, mask: ArrayLike | None) -> np.ndarray | None:
        """The mask, looked at."""
        if mask is None:
            return None
        return check_mask(self.action_space, mask, self.allowed)


def load_embedding(path: str | Path) -> Embedding:
    """The embedding in a folder that `embrl fit`, `embrl.fit` or `Embedding.save` wrote.

    Raises:
        EmbrlError: there is none, it is of a newer format, or a file is damaged.
    """
    return Embedding.load(path)
