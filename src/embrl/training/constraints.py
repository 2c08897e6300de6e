"""Environments that couple the parts of an action: checks, and what a run says of them."""

import math
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from embrl.config.run import RunConfig
from embrl.config.schedule import Schedule
from embrl.core.errors import EmbrlWarning, SettingError
from embrl.core.products import product_of
from embrl.core.types import Transition
from embrl.decoding.base import DECODERS
from embrl.envs import AnyEnvironment, Environment
from embrl.envs.environment import has_constraint

INFEASIBLE = "infeasible_actions"
"""Metric of environments that couple parts: the fraction of steps with an infeasible action."""

LISTED = 4096
"""Joint actions, at most, that are all asked for at the first observation."""


def infeasible(env: Environment, taken: Transition) -> Bool[Array, "T B"] | None:
    """Return where the actions of a rollout are infeasible; None where no parts are coupled."""
    if not has_constraint(env):
        return None
    feasible: Any = jax.vmap(jax.vmap(env.is_feasible))(taken.observation, taken.action)
    return ~feasible


def check_constraint(env: AnyEnvironment, schedule: Schedule) -> None:
    """Check that training can keep to what couples the parts of an environment's actions.

    Of environments on the host, which are not asked, there is a warning.

    Raises:
        EmbrlError: the decoder does not keep to it, its functions have another form, or no action
            is feasible at the first observation, which is known of few joint actions alone.
    """
    if not isinstance(env, Environment) and env.coupled:
        said = f"{env.name}: is_feasible is not asked in training on the host; say what is allowed "
        said += "by action masks, or write the environment in JAX"
        warnings.warn(EmbrlWarning(said), stacklevel=3)
    if not isinstance(env, Environment) or not has_constraint(env):
        return
    name, kind = type(env).__name__, schedule.config.decoder.kind
    if schedule.acts_in_embedding and not DECODERS[kind].of_constraints:
        constraint = f"nearest or wolpertinger for {name}, whose is_feasible couples parts"
        raise SettingError("decoder.kind", constraint, kind, "leave it out")
    product = product_of(env.action_space)
    assert product is not None
    if product.numbers or product.combinations > LISTED:
        return
    rows = np.indices(product.sizes, np.int32).reshape(len(product.sizes), -1).T
    first = env.reset(jax.random.key(0))[1]
    feasible: Any = jax.vmap(env.is_feasible, (None, 0))(first, jnp.asarray(rows))
    if not feasible.any():
        raise SettingError(
            f"is_feasible of {name}",
            "True for an action at the first observation",
            f"False for all {math.prod(product.sizes):,}",
            "every observation needs a feasible action",
        )


def of_infeasible_actions(
    name: str, config: RunConfig, acts_in_embedding: bool, share: float
) -> str:
    """Return the warning that infeasible actions were taken.

    Args:
        name: name of the environment.
        config: of the run.
        acts_in_embedding: whether its policies do.
        share: fraction of steps.
    """
    if not acts_in_embedding:
        why = "policies over original actions do not heed is_feasible; choose a method that embeds"
        why += " actions"
    else:
        why = f"none of the {config.decoder.candidates} joint actions nearest to e was feasible; "
        why += "raise decoder.candidates, or give the environment a resource_use"
    return f"{name}: {share:.2%} of the actions since the last evaluation were infeasible, as {why}"
