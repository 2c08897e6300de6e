"""The tasks of an embedding in NumPy: vectors from labels, and policies for them."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from embrl.core.errors import SettingError
from embrl.core.portable import mlp_steps, plain
from embrl.core.spaces import (
    array_of,
    check_mask,
    check_observation,
)
from embrl.deploy.plain_embedding import PlainEmbedding
from embrl.portable.steps import Affine, Chain
from embrl.tasks.config import TasksConfig
from embrl.tasks.networks import TaskNetworks
from embrl.tasks.next_states import NextStates

AT_ONCE = 2**20
"""Triples of a state, an action and a known state that are computed together."""
RIDGE = 10.0
"""Weight of a reward's mean square over all states beside its errors at labelled ones: of a few
labels, it leaves nearly the mean of `r B`."""


@dataclasses.dataclass(frozen=True, eq=False)
class TaskModel:
    """Model of the tasks of an embedding, as it was learned."""

    config: TasksConfig
    """Settings of the training."""
    networks: TaskNetworks
    """F and B, in JAX."""
    states: np.ndarray
    """Next observations in the data, each once, or a sample where they are too many."""
    weights: Float[np.ndarray, " N"]
    """Fractions of the data that they stand for: their distribution rho."""
    actions: np.ndarray
    """Sample of the actions in the data: policies choose from them where actions are no list."""


class TaskSpace:
    """Tasks of an embedding: vectors z, the rewards that they stand for, and their policies."""

    def __init__(self, embedding: PlainEmbedding, model: TaskModel) -> None:
        """Bind the networks of tasks to phi and g.

        Args:
            embedding: phi, g and f.
            model: F and B, trained in this embedding.
        """
        self.embedding = embedding
        self.model = model
        self._phi = embedding.phi_chain(norm=True)
        self._backward = Chain(mlp_steps(model.networks.backward))
        forward = model.networks.forward
        network = forward.query if isinstance(forward, NextStates) else forward
        self._first, *hidden, last = mlp_steps(network)
        self._last = cast(Affine, last)
        self._hidden = Chain(tuple(hidden))
        self._beside = plain(network.beside)

    @property
    def k(self) -> int:
        """Dimensions of a task."""
        return self.model.config.dim

    def features(self, observation: ArrayLike) -> Float[np.ndarray, "... k"]:
        """Return B of states."""
        return self._backward(self.embed(observation))

    def embed(self, observation: ArrayLike) -> Float[np.ndarray, "... m"]:
        """Return states as F and B see them: phi, in the units of policies."""
        values = check_observation(self.embedding.observation_space, observation)
        return self._phi(values).astype(np.float32, copy=False)

    def task(self, task: Any) -> Float[np.ndarray, " k"]:
        """Return the vector of a task, of length sqrt(k).

        Args:
            task: a vector `[k]`; a function from observations `[N, ...]` to rewards `[N]`; or a
                pair of labelled observations `[N, ...]` and their rewards `[N]`, of which some are
                not 0.

        Raises:
            EmbrlError: it is none of these, or all of its rewards are alike, so that no policy is
                better than another.
        """
        if callable(task):
            return self._of_reward(cast(Callable[[np.ndarray], ArrayLike], task))
        if isinstance(task, tuple | list) and len(task) == 2 and np.ndim(task[1]) == 1:
            return self._of_labels(*task)
        z = array_of(task, "task")
        if z.dtype.kind not in "iuf" or z.shape != (self.k,):
            raise SettingError(
                "task",
                f"a vector of {self.k} numbers, a function of observations, or a pair of "
                "observations and rewards",
                f"{z.dtype}{list(z.shape)}",
            )
        return _unit(z.astype(np.float32), "task")

    def reward(self, z: ArrayLike, observation: ArrayLike) -> Float[np.ndarray, "..."]:
        """Return the reward of states that a task stands for, up to a scale."""
        weights = np.linalg.lstsq(self._covariance, self.task(z), rcond=1e-4)[0]
        return (self.features(observation) @ weights).astype(np.float32)

    def policy(self, task: Any) -> "TaskPolicy":
        """Return the policy of a task, as `task` takes it."""
        return TaskPolicy(self, self.task(task))

    @functools.cached_property
    def choices(self) -> tuple[np.ndarray, Float[np.ndarray, "C d"]]:
        """Actions that policies choose from, and their embeddings."""
        if (table := self.embedding.table) is not None:
            return np.arange(len(table), dtype=np.int32), table
        return self.model.actions, self.embedding.g(self.model.actions).astype(np.float32)

    def forward_values(
        self, x: Float[np.ndarray, "N m"], z: Float[np.ndarray, "*#N k"]
    ) -> Float[np.ndarray, "N C"]:
        """Return `F(x, e, z) . z` for all actions of `choices`.

        Args:
            x: states, as `embed` returns them.
            z: one task, or one for each state.
        """
        beside = (self.choices[1] @ self._beside).astype(np.float32)
        z = np.broadcast_to(z, (len(x), self.k))
        sees_task = self.model.networks.sees_task
        first = self._first(np.concatenate([x, z], -1) if sees_task else x)
        values = self._network_values if sees_task else self._mean_values
        each = 1 if sees_task else len(self.model.states)
        size, found = max(1, AT_ONCE // (len(beside) * each)), []
        for start in range(0, len(x), size):
            rows = slice(start, start + size)
            found.append(values(self._hidden(first[rows, None] + beside), z[rows]))
        return np.concatenate(found) if found else np.zeros((0, len(beside)), np.float32)

    def _network_values(
        self, hidden: Float[np.ndarray, "N C h"], z: Float[np.ndarray, "N k"]
    ) -> Float[np.ndarray, "N C"]:
        # Put into the last layer: F of every action would cost more than the layers before.
        weights, bias = z @ self._last.weight.T, z @ self._last.bias
        return (hidden @ weights[:, :, None])[..., 0] + bias[:, None]

    def _mean_values(
        self, hidden: Float[np.ndarray, "N C h"], z: Float[np.ndarray, "N k"]
    ) -> Float[np.ndarray, "N C"]:
        points, log_weights, ahead = self._known
        share = self._last(hidden) @ points.T
        share += log_weights  # in place, as these arrays are what takes time
        share -= share.max(-1, keepdims=True)
        np.exp(share, out=share)
        # Of this task alone: F of every action would cost k times more.
        known = z @ ahead.T
        sums = share @ np.stack([known, np.ones_like(known)], -1)
        return sums[..., 0] / sums[..., 1]

    @functools.cached_property
    def _known(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        forward = cast(NextStates, self.model.networks.forward)
        return plain(forward.points), plain(forward.log_weights), plain(forward.ahead)

    @functools.cached_property
    def state_features(self) -> Float[np.ndarray, "N k"]:
        """B of the sample of states."""
        return self.features(self.model.states)

    def state_values(self, z: Float[np.ndarray, "N k"]) -> Float[np.ndarray, "N S"]:
        """Return how valuable the sample of states is for each task, up to a scale."""
        sees_task = self.model.networks.sees_task
        return z @ (self.state_features if sees_task else self._known[2]).T

    @functools.cached_property
    def _covariance(self) -> Float[np.ndarray, "k k"]:
        features = self.state_features.astype(np.float64)
        return features.T @ (features * self.model.weights[:, None])

    def _of_reward(self, function: Callable[[np.ndarray], ArrayLike]) -> np.ndarray:
        rewards = _rewards(function(self.model.states), len(self.model.states))
        weights = self.model.weights
        rewards = rewards - weights @ rewards
        if np.abs(rewards).max() < 1e-6:
            rewards = np.zeros_like(rewards)
        return _unit(self.state_features.T @ (weights * rewards), "task")

    def _of_labels(self, observations: ArrayLike, rewards: ArrayLike) -> np.ndarray:
        """Return E_rho[r B], with r extended to all states by a linear model of the features.

        Where labels are many, their states need not be drawn as those in the data are.
        """
        features = np.atleast_2d(self.features(observations)).astype(np.float64)
        labels = _rewards(rewards, len(features))
        # Ridge regression of the labels, in which small means small over the states of the data.
        moment = features.T @ features + RIDGE * self.k * self._covariance
        weights = np.linalg.lstsq(moment, features.T @ labels, rcond=1e-8)[0]
        return _unit(self._covariance @ weights, "task")


class TaskPolicy:
    """Policy of a task: the action with the largest `F(phi(s), g(a), z) . z`."""

    def __init__(self, space: TaskSpace, z: Float[np.ndarray, " k"]) -> None:
        """Make the policy of a task.

        Args:
            space: tasks of an embedding.
            z: the task.
        """
        self.space = space
        self.z = z

    def values(self, observation: ArrayLike) -> Float[np.ndarray, "... C"]:
        """Return the values of all actions that are chosen from, up to a scale."""
        x = self.space.embed(observation)
        found = self.space.forward_values(x.reshape(-1, x.shape[-1]), self.z)
        return found.reshape(*x.shape[:-1], found.shape[-1])

    def act(
        self,
        observation: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Any:
        """Choose an action for one observation, or one for each of a batch.

        Args:
            observation: in the embedding's observation space, with any leading axes.
            mask: True where a discrete action may be chosen, `[n]` or with the leading axes.
            temperature: 0: the action with the largest value. Above 0, one is drawn with
                probabilities that grow exponentially with the values, in units of their standard
                deviation in the state times this number: a draw leaves the circles in which the
                largest value may lead.
            seed: random seed of the draw; None draws anew each time.

        Returns:
            An int for one observation, otherwise int32 `[...]`; rows for continuous actions and
            those with several parts.

        Raises:
            EmbrlError: an observation is not in the space, or the mask has another shape, allows no
                action, or is given where actions are not `Discrete`.
        """
        if not temperature >= 0.0:
            raise SettingError("temperature", "at least 0", temperature)
        values = self.allowed_values(observation, mask)
        if temperature:
            finite = np.where(np.isfinite(values), values, np.nan)
            spread = temperature * np.nanstd(finite, -1, keepdims=True) + 1e-9
            draw = np.random.default_rng(seed).gumbel(size=values.shape)
            values = values / spread + draw
        return self.chosen(values.argmax(-1))

    def allowed_values(
        self, observation: ArrayLike, mask: ArrayLike | None = None
    ) -> Float[np.ndarray, "... C"]:
        """Return the values of all actions that are chosen from; -inf: not allowed.

        Args:
            observation: as `act`.
            mask: as `act`.
        """
        values, allowed = self.values(observation), self._allowed(mask)
        return values if allowed is None else np.where(allowed, values, -np.inf)

    def chosen(self, number: np.ndarray | np.integer) -> Any:
        """Return the actions with these numbers in `TaskSpace.choices`."""
        action = self.space.choices[0][number]
        return (
            int(action) if action.ndim == 0 and self.space.embedding.table is not None else action
        )

    def reward(self, observation: ArrayLike) -> Float[np.ndarray, "..."]:
        """Return the reward of states that the task stands for, up to a scale."""
        return self.space.reward(self.z, observation)

    def _allowed(self, mask: ArrayLike | None) -> Bool[np.ndarray, "... n"] | None:
        embedding = self.space.embedding
        if mask is None:
            return embedding.allowed
        if embedding.table is None:
            raise SettingError("mask", f"None for {embedding.action_space}", "one", "leave it out")
        return check_mask(embedding.action_space, mask, embedding.allowed)


def _rewards(values: Any, count: int) -> Float[np.ndarray, " N"]:
    rewards = array_of(values, "rewards")
    if rewards.dtype.kind not in "biuf" or rewards.shape != (count,):
        raise SettingError(
            "rewards",
            f"{count} numbers, one for each state",
            f"{rewards.dtype}{list(rewards.shape)}",
        )
    rewards = rewards.astype(np.float64)
    if not np.isfinite(rewards).all():
        at = int(np.argmin(np.isfinite(rewards)))
        raise SettingError("rewards", "finite", f"{rewards[at]} at {at}")
    return rewards


def _unit(z: np.ndarray, what: str) -> Float[np.ndarray, " k"]:
    length = np.linalg.norm(z)
    if not np.isfinite(length) or length < 1e-12:
        raise SettingError(
            what,
            "finite and different from 0",
            f"length {length:g}",
            "give rewards that differ between states",
        )
    return (z * (np.sqrt(len(z)) / length)).astype(np.float32)
