"""A compiled environment of embrl as an environment of Gymnasium, one step at a time."""

from typing import Any

import gymnasium
import jax
import numpy as np

from embrl.core.errors import EmbrlError
from embrl.core.products import product_of
from embrl.core.spaces import check_action
from embrl.envs import Environment, configure


class CompiledEnv(gymnasium.Env[Any, Any]):
    """A compiled environment, stepped from Python.

    Every step is a call of a compiled function, which takes some tens of microseconds: for other
    libraries' algorithms. Embrl trains in such an environment by its own name, much faster.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012  (Gymnasium's own form)

    def __init__(self, environment: str, render_mode: str | None = None, **settings: Any) -> None:
        """Make the environment.

        Args:
            environment: Name in `embrl.envs.ENVIRONMENTS`.
            render_mode: None, or rgb_array where it can be drawn.
            settings: Its settings, as the fields of its configuration.

        Raises:
            EmbrlError: If a setting is unknown or out of range.
        """
        self._env: Any = configure(environment, **settings).build()
        assert isinstance(self._env, Environment)
        drawn = self._env.render_fps is not None
        if render_mode is not None and (render_mode != "rgb_array" or not drawn):
            needed = "None or rgb_array" if drawn else "None"
            raise EmbrlError(f"render_mode must be {needed}, got {render_mode}; leave it out")
        self.render_mode = render_mode
        modes = ["rgb_array"] if drawn else []
        self.metadata = {"render_modes": modes, "render_fps": self._env.render_fps}
        self.observation_space = self._env.observation_space
        self._flat = self._env.action_space
        self._product = product_of(self._flat)
        self.action_space = self._flat
        self._reset = jax.jit(lambda env, key: env.reset(key))
        self._step = jax.jit(lambda env, key, state, action: env.step(key, state, action))
        self._state: Any = None
        self._key: Any = None
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        del options
        self._key = jax.random.key(int(self.np_random.integers(2**31)))
        self._steps = 0
        self._state, observation = self._reset(self._env, self._key)
        return self._given(observation), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take a step."""
        if self._key is None:
            raise EmbrlError("reset must be called before step")
        if self._product is not None and self._product.numbers:
            indices, numbers = action
            action = self._product.joined(np.asarray(indices), np.asarray(numbers))
        action = check_action(self._flat, action)
        self._steps += 1
        key = jax.random.fold_in(self._key, self._steps)
        self._state, after = self._step(self._env, key, self._state, action)
        ended = bool(after.terminated), bool(after.truncated)
        return self._given(after.observation), float(after.reward), *ended, {}

    def render(self) -> np.ndarray | None:
        """Return a picture of the state; None without a render mode."""
        if self.render_mode is None or self._state is None:
            return None
        return self._env.render(self._state)

    def references(self) -> dict[str, float]:
        """Return returns to compare with, as `best_known_return`; may take seconds."""
        return self._env.references(jax.random.key(0))

    def _given(self, observation: Any) -> Any:
        found = np.asarray(observation).astype(self.observation_space.dtype)
        return found[()] if found.ndim else int(found)
