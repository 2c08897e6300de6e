"""Manoeuvres with a strength: an action is a direction and a number."""

import dataclasses
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Float, Int

from embrl.core.products import as_space
from embrl.core.types import Action, Key, TimeStep
from embrl.envs.checks import check_choice, check_whole
from embrl.envs.environment import Environment

REACH = 0.4
"""Distance of a manoeuvre of full strength."""
SAMPLE = 1_000_000
"""Starts that the optimum is averaged over."""


@dataclasses.dataclass(frozen=True)
class ManoeuvresConfig:
    """Settings of manoeuvres: steer a point to the centre, along one axis at a time.

    A manoeuvre moves the point up or down one axis, by its strength. The reward of a step is minus
    the distance from the centre along all axes.
    """

    axes: int = 4
    """Axes of the space, 1 to 1,000; there are two manoeuvres for each."""
    step_limit: int = 20
    """Steps until an episode is truncated, at least 1."""
    actions: Literal["hybrid", "discrete", "continuous"] = "hybrid"
    """Form of actions. hybrid: a manoeuvre and its strength, 0 to 1. discrete: manoeuvres at
    strengths of 1/8, 2/8, ... 1. continuous: a number for each manoeuvre, of which the highest
    counts, and the strength."""

    def build(self) -> "Manoeuvres":
        """Make the environment.

        Raises:
            EmbrlError: If a setting is out of range; the message names it.
        """
        check_whole("axes", self.axes, 1, 1000)
        check_whole("step_limit", self.step_limit, 1)
        check_choice("actions", self.actions, ("hybrid", "discrete", "continuous"))
        return Manoeuvres(self.axes, self.step_limit, self.actions)

    @property
    def continuous_actions(self) -> bool:
        """True if actions are vectors of numbers alone."""
        return self.actions == "continuous"


class ManoeuvresState(NamedTuple):
    """State of manoeuvres: the point, and the number of steps taken."""

    point: Float[Array, " axes"]
    steps: Int[Array, ""]


class Manoeuvres(Environment):
    """Manoeuvres as `ManoeuvresConfig` describes them."""

    axes: int = eqx.field(static=True)
    step_limit: int = eqx.field(static=True)
    form: str = eqx.field(static=True)

    STRENGTHS = 8

    @property
    def observation_space(self) -> spaces.Box:
        """The point, -1 to 1 on each axis."""
        return spaces.Box(-1.0, 1.0, (self.axes,), np.float32)

    @property
    def action_space(self) -> spaces.Space:
        """The manoeuvre, up and down the first axis, the second, ..., and its strength."""
        count = 2 * self.axes
        match self.form:
            case "hybrid":
                return as_space((count,), spaces.Box(0.0, 1.0, (1,), np.float32))
            case "discrete":
                return spaces.Discrete(count * self.STRENGTHS)
            case _:
                return spaces.Box(-1.0, 1.0, (count + 1,), np.float32)

    def reset(self, key: Key) -> tuple[ManoeuvresState, Float[Array, " axes"]]:
        """Start an episode at a random point, uniform between -1 and 1."""
        point = jax.random.uniform(key, (self.axes,), minval=-1.0, maxval=1.0)
        return ManoeuvresState(point, jnp.int32(0)), point

    def step(
        self, key: Key, state: ManoeuvresState, action: Action
    ) -> tuple[ManoeuvresState, TimeStep]:
        """Move the point; `key` is not used."""
        del key
        manoeuvre, strength = self.parts(action)
        direction = jnp.where(manoeuvre % 2 == 0, 1.0, -1.0)
        along = jnp.arange(self.axes, dtype=jnp.int32) == manoeuvre // 2
        point = jnp.clip(state.point + jnp.where(along, REACH * strength * direction, 0.0), -1, 1)
        steps = state.steps + 1
        return ManoeuvresState(point, steps), TimeStep(
            observation=point,
            reward=-jnp.abs(point).sum(),
            terminated=jnp.bool_(False),
            truncated=steps >= self.step_limit,
        )

    def parts(self, action: Action) -> tuple[Any, Any]:
        """Return the manoeuvre and its strength."""
        match self.form:
            case "hybrid":
                return action[0].astype(jnp.int32), jnp.clip(action[1], 0.0, 1.0)
            case "discrete":
                return action // self.STRENGTHS, (action % self.STRENGTHS + 1) / self.STRENGTHS
            case _:
                strength = (jnp.clip(action[-1], -1.0, 1.0) + 1.0) / 2.0
                return action[:-1].argmax().astype(jnp.int32), strength

    def references(self, key: Key) -> dict[str, float]:
        """Return `best_known_return`, which is the optimum of hybrid and continuous actions."""
        return {"best_known_return": best_return(self, key)}


def best_return(env: Manoeuvres, key: Key, sample: int = SAMPLE) -> float:
    """Return the optimum, averaged over random starts.

    Every step shortens the distance by as much as possible: by the full reach, or what is left on
    the axis where most is left. On an axis, the reach divides the way into full steps and a rest,
    and whatever the order of steps, no others are larger; larger ones first are best.
    """
    starts = np.random.default_rng(int(jax.random.randint(key, (), 0, 2**31 - 1)))
    chunk, total = 100_000, 0.0
    for begin in range(0, sample, chunk):
        left = np.abs(starts.uniform(-1, 1, (min(chunk, sample - begin), env.axes)))
        for _ in range(env.step_limit):
            at = left.argmax(-1)
            rows = np.arange(len(left))
            left[rows, at] = np.maximum(left[rows, at] - REACH, 0.0)
            total -= left.sum()
    return total / sample
