"""Choices of a run's policy in each state, and the gridworld in which it walks."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from embrl.algorithms.actors import GaussianActor, SquashedGaussianActor
from embrl.algorithms.policy import OverallPolicy
from embrl.decoding import NearestAction
from embrl.envs import Environment
from embrl.envs.gridworld import Gridworld
from embrl.envs.square import SUBSTEP_LENGTH, SUBSTEPS
from embrl.fitting.embedding import Embedding

AT_ONCE = 1_024
"""States whose actions are chosen at once."""


def behaviour(
    policy: OverallPolicy,
    embedding: Embedding,
    observations: np.ndarray,
    actions: Int[np.ndarray, " n"],
) -> tuple[dict[str, Any] | None, dict[str, np.ndarray]]:
    """Return what the page reads of a policy, and metadata of the states.

    Args:
        policy: the policy.
        embedding: its embedding.
        observations: the states.
        actions: indices of the actions in the page.
    """
    if not len(observations):
        return None, {}
    parts = [_parts(policy, observations[at : at + AT_ONCE]) for at in _starts(observations)]
    chosen, mean, std = (_joined([part[at] for part in parts]) for at in range(3))
    columns: dict[str, np.ndarray] = {}
    rows = np.full(len(observations), -1)
    if embedding.table is not None:
        place = np.full(len(embedding.table), -1)
        place[actions] = np.arange(len(actions))
        rows = place[chosen]
        columns["action"] = chosen
    elif chosen.ndim == 2:
        columns |= {f"action_{at + 1}": values for at, values in enumerate(chosen.T[:6])}
    allowed = embedding.allowed
    choices = embedding.action_count if allowed is None else int(allowed.sum())
    found = {
        "action": rows,
        "nearest": isinstance(policy.f, NearestAction),
        "cells": len(actions) == choices,  # else f knows others, too
    }
    if mean is None or std is None:
        return found, columns
    squashed = isinstance(policy.actor, SquashedGaussianActor)
    return {**found, "mean": mean, "std": std, "squashed": squashed}, columns


def _parts(policy: OverallPolicy, observations: np.ndarray) -> tuple[np.ndarray | None, ...]:
    """Return the chosen actions, and mean and standard deviation in E, if it is a Gaussian."""
    filled = np.concatenate([observations, np.repeat(observations[:1], AT_ONCE, 0)])[:AT_ONCE]
    count = len(observations)
    return tuple(
        None if each is None else np.asarray(each)[:count] for each in _act(policy, filled)
    )


@eqx.filter_jit
def _act(policy: OverallPolicy, observations: Any) -> tuple[Any, Any, Any]:
    seen = jnp.asarray(observations)
    chosen, x, actor = policy.mode(seen), policy.phi(seen), policy.actor
    mean = std = None
    if isinstance(actor, GaussianActor):
        mean = actor.mode(x)
        std = jnp.broadcast_to(jnp.exp(actor.log_std), mean.shape)
    elif isinstance(actor, SquashedGaussianActor):
        mean = actor.mode(x)
        std = jnp.exp(actor.parameters(x)[1]) * (1 - mean**2)  # to first order, as tanh is bent
    return chosen, mean, std


def _starts(values: np.ndarray) -> range:
    return range(0, len(values), AT_ONCE)


def _joined(parts: list[np.ndarray | None]) -> Any:
    return (
        None if parts[0] is None else np.concatenate([part for part in parts if part is not None])
    )


def walk_of(env: Environment | None, states: int) -> dict[str, Any] | None:
    """Return a gridworld as the page simulates it; None for another environment.

    Args:
        env: the environment.
        states: number of states in the page, which must be all of them.
    """
    if not isinstance(env, Gridworld) or states != env.bins**2:
        return None
    return {
        "bins": env.bins,
        "length": SUBSTEP_LENGTH,
        "substeps": SUBSTEPS,
        "limit": env.step_limit,
        "swept": env.swept,
        "start": np.asarray(env.start),
        "goal": np.asarray(env.goal),
        "obstacles": np.asarray(env.obstacles),
        "motions": np.asarray(env.motions),
    }
