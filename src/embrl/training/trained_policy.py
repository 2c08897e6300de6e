"""Policies as users call them: with observations and actions of NumPy."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from embrl.algorithms.policy import OverallPolicy
from embrl.core.errors import EmbrlError, SettingError, WarnOnce
from embrl.core.masks import check_allowed
from embrl.core.products import is_product, shape_of
from embrl.core.runtime import check_not_forked, watch_forks
from embrl.core.spaces import (
    action_count,
    check_mask,
    check_observation,
    is_continuous,
    names_of,
)
from embrl.decoding.indexed import FewActions, IndexedTable
from embrl.decoding.tree import build
from embrl.embedding.encoders import ActionEncoder, ContinuousActions
from embrl.embedding.feature_actions import (
    FeatureActions,
    append_rows,
    checked_features,
    extend_mask,
    extended,
    without,
)
from embrl.embedding.product_actions import ProductActions
from embrl.training.restore import RestoredPolicy

if TYPE_CHECKING:
    from embrl.envs.gym import HostEnvironment


class Policy:
    """Overall policy pi_o = f . pi_i . phi: raw observations in, original actions out."""

    def __init__(
        self,
        policy: OverallPolicy,
        observation_space: Any,
        action_space: Any,
        host: "HostEnvironment | None" = None,
        g: ActionEncoder | FeatureActions | ContinuousActions | ProductActions | None = None,
        names: tuple[str, ...] | None = None,
    ) -> None:
        """Wrap a JAX policy.

        Args:
            policy: the policy.
            observation_space: its observations, in embrl's form.
            action_space: its actions, in embrl's form.
            host: an environment whose own observations and actions it takes and returns.
            g: the embedding of actions; None where there is none.
            names: names of the actions; None where they have none.
        """
        watch_forks()
        self.overall = policy
        self.host = host
        self.g = g
        self.action_names = names
        self.observation_space = observation_space
        self.action_space = action_space
        self._warn = WarnOnce()

    def __repr__(self) -> str:
        """Return what it takes and what it returns."""
        seen, chosen = self.observation_space, self.action_space
        if self.host is not None:
            seen, chosen = self.host.observations.original, self.host.actions.original
        return " ".join(f"Policy({seen} -> {chosen})".split())  # bounds may take several lines

    @classmethod
    def of(cls, restored: RestoredPolicy, host: "HostEnvironment | None" = None) -> "Policy":
        """Return the policy of one seed.

        Args:
            restored: as training has it.
            host: an environment whose own observations and actions it takes and returns.
        """
        return cls(
            restored.policy,
            restored.observation_space,
            restored.action_space,
            host,
            None if restored.embedding is None else restored.embedding.g,
            restored.action_names,
        )

    def act(
        self,
        observation: Any,
        *,
        mask: Any = None,
        deterministic: bool = False,
        seed: int | None = None,
        strict: bool = False,
    ) -> Any:
        """Choose an action for one observation, or one for each of a batch.

        Args:
            observation: in the observation space, with any leading axes. Numbers outside their
                bounds are taken as they are, as in training, with one warning.
            mask: True where an action may be chosen, `[n]` or with the leading axes; for discrete
                actions only. With an environment, in any form of its masks (docs/action_masks.md);
                None: the mask in its observations, if they have one.
            deterministic: take the most likely internal action instead of drawing one. (On the
                gridworld it can walk in a circle that the noise of a draw would leave.)
            seed: random seed of the draw; None draws anew each time.
            strict: refuse numbers outside their bounds.

        Returns:
            An int for one observation, otherwise int32 `[...]`; for continuous actions float32
            `[p]` or `[..., p]`, within their bounds.

        Raises:
            EmbrlError: an observation is not in the space, or a mask has another shape, allows no
                action, or is given for continuous actions.
        """
        check_not_forked("policy.act")
        values = observation if self.host is None else self.host.observations(observation)
        values = check_observation(self.observation_space, values, None if strict else self._warn)
        mask = self._mask(mask, observation, values)
        if deterministic:
            action = _mode(self.overall, values, mask)
        else:
            number = np.random.SeedSequence().entropy if seed is None else seed
            key = jax.random.key(int(number) % 2**32)  # type: ignore[arg-type]
            action = _sample(self.overall, values, mask, key)
        if self.host is not None:
            return self.host.actions.to_original(np.asarray(action))
        return int(action) if action.ndim == 0 else np.asarray(action)

    def action_name(self, action: Any) -> Any:
        """Return what an action is called, as the identifier of a log's item.

        Args:
            action: an action that `act` returned, or an array of them.

        Returns:
            A name, or an array of names.

        Raises:
            EmbrlError: the actions have no names, or there is no such action.
        """
        first = 0 if self.host is None else getattr(self.host.actions.original, "start", 0)
        return names_of(self.action_names, action, first)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
        action_masks: Any = None,
    ) -> tuple[Any, Any]:
        """Choose actions as Stable-Baselines3's models do, for code that expects one of them.

        Args:
            observation: in the observation space, with any leading axes.
            state: returned as it is; this policy has no memory.
            episode_start: not used, for the same reason.
            deterministic: take the most likely internal action instead of drawing one.
            action_masks: True where an action may be chosen, as `mask` of `act`.

        Returns:
            The action, an array where `act` returns an int, and `state`.

        Raises:
            EmbrlError: as `act` raises it.
        """
        del episode_start
        action = self.act(observation, mask=action_masks, deterministic=deterministic)
        return (np.asarray(action) if isinstance(action, int) else action), state

    def with_actions(self, features: Any, names: Sequence[str] = ()) -> "Policy":
        """Return a policy that can choose new actions, too, without training.

        They are numbered from n on, and lie where g puts actions with such features.

        Args:
            features: `[k, q]`, in the units of those that the embedding was trained with.
            names: what they are called, where actions have names.

        Raises:
            EmbrlError: this policy's actions have no features, or they are other ones.
        """
        if not isinstance(self.g, FeatureActions):
            raise EmbrlError(
                "new actions need features, and this policy's actions have none; train with "
                "--embedding.action-features"
            )
        if self.host is not None:
            raise EmbrlError(
                f"{self.host.name} has a fixed set of actions; load the policy without environment"
            )
        new = checked_features(features, "new actions", rows=None, columns=self.g.columns)
        if names and (self.action_names is None or len(names) != len(new)):
            known = 0 if self.action_names is None else len(new)
            raise SettingError("names", f"{known} names, as for the new actions", len(names))
        table: Any = self.overall.table
        allowed = extend_mask(self.overall.allowed, len(new))
        if isinstance(table, IndexedTable):
            table = _indexed(extended(self.g, jnp.asarray(new)), allowed, table.max_visits)
        else:
            table = append_rows(table, self.g, jnp.asarray(new))
        overall = dataclasses.replace(self.overall, table=table, allowed=allowed)
        before = action_count(self.action_space)
        actions = gymnasium.spaces.Discrete(before + len(new))
        called = self.action_names
        if called is not None:
            called += tuple(names or (f"new {at}" for at in range(before, before + len(new))))
        return Policy(overall, self.observation_space, actions, None, self.g, called)

    def without(self, actions: Any) -> "Policy":
        """Return a policy that never chooses these actions, without training.

        The others keep their numbers.

        Args:
            actions: indices.

        Raises:
            EmbrlError: this policy's actions are not embedded, or continuous; an index is out of
                range; or no action would be left.
        """
        several = is_product(self.action_space)
        if self.g is None or is_continuous(self.action_space) or several:
            raise EmbrlError(
                "removing actions needs an embedding of Discrete actions, and this policy has none;"
                " pass a mask to act instead"
            )
        before = self.overall.allowed
        left = without(
            None if before is None else np.asarray(before), action_count(self.action_space), actions
        )
        overall = dataclasses.replace(self.overall, allowed=jnp.asarray(left))
        table: Any = overall.table
        if isinstance(table, IndexedTable):
            chosen: Any = overall.allowed_by(None)
            if isinstance(table.index, FewActions):
                names = jnp.asarray(np.flatnonzero(chosen), jnp.int32)
                table = dataclasses.replace(table, index=FewActions.of(self.g, names, len(left)))
            else:
                table = _indexed(self.g, chosen, table.max_visits)
            overall = dataclasses.replace(overall, table=table)
        return Policy(
            overall,
            self.observation_space,
            self.action_space,
            self.host,
            self.g,
            self.action_names,
        )

    def _mask(self, mask: Any, observation: Any, values: np.ndarray) -> np.ndarray | None:
        """Return the mask of flat actions, if one was given or comes with the observation."""
        lead = values.shape[: values.ndim - len(shape_of(self.observation_space))]
        if self.host is None or is_continuous(self.action_space):
            if mask is None:
                return None
            return check_mask(self.action_space, mask, self.overall.allowed, lead)
        if mask is None:
            found = self.host.masks.of_observation(observation, lead)
        else:
            found = self.host.mask_forms(mask, lead, "mask")
        if found is None or is_product(self.action_space):
            return found if found is None else self.host.mask_forms.check_allowed(found, "mask")
        return check_allowed(found, self.overall.allowed)


# Compiled once for all policies of the same shapes, as those of the events of a training.


@eqx.filter_jit
def _sample(policy: OverallPolicy, observation: Any, mask: Any, key: Any) -> Any:
    batch = policy.phi(observation).shape[:-1]
    return policy.act(observation, policy.noise(key, batch), mask)[0]


@eqx.filter_jit
def _mode(policy: OverallPolicy, observation: Any, mask: Any) -> Any:
    return policy.mode(observation, mask)


def _indexed(g: Any, allowed: Array | None, max_visits: int) -> IndexedTable:
    """Return the table of an encoder, with a tree of the allowed actions."""
    return IndexedTable(g, build(g.table, allowed), max_visits)
