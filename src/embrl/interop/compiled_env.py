"""Compiled environments of embrl as environments of Gymnasium: one, or many in one call."""

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Array

from embrl.core.errors import EmbrlError, SettingError
from embrl.core.products import Product, product_of
from embrl.core.spaces import check_action
from embrl.core.types import Action, Key, TimeStep
from embrl.data.rollout import OpenEnvs, open_envs, restarted
from embrl.envs import Environment, configure
from embrl.envs.environment import has_constraint


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
        self._env = _built(environment, settings)
        drawn = self._env.render_fps is not None
        if render_mode is not None and (render_mode != "rgb_array" or not drawn):
            needed = "None or rgb_array" if drawn else "None"
            raise EmbrlError(f"render_mode must be {needed}, got {render_mode}; leave it out")
        self.render_mode = render_mode
        modes = ["rgb_array"] if drawn else []
        self.metadata = {"render_modes": modes, "render_fps": self._env.render_fps}
        self.observation_space = self._env.observation_space
        self.action_space = self._env.action_space
        self._product = product_of(self.action_space)
        self._reset = jax.jit(lambda env, key: env.reset(key))
        self._step = jax.jit(lambda env, key, state, action: env.step(key, state, action))
        if has_constraint(self._env):
            self.is_feasible, self.resource_use = self._feasible, self._use
        self._ask = jax.jit(lambda env, seen, action: env.is_feasible(seen, action))
        self._ask_use = jax.jit(lambda env, seen: env.resource_use(seen))
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
        action = check_action(self.action_space, _in_rows(self._product, action))
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

    def _feasible(self, observation: Any, action: Any) -> bool:
        """Return whether an action is feasible: `is_feasible`, where parts are coupled."""
        rows = np.asarray(_in_rows(self._product, action))
        return bool(self._ask(self._env, observation, rows))

    def _use(self, observation: Any) -> np.ndarray | None:
        """Return what each value uses: `resource_use`, where parts are coupled."""
        use = self._ask_use(self._env, observation)
        return None if use is None else np.asarray(use)

    def _given(self, observation: Any) -> Any:
        found = np.asarray(observation).astype(self.observation_space.dtype)
        return found[()] if found.ndim else int(found)


class CompiledVectorEnv(VectorEnv[Any, Any, np.ndarray]):
    """Many copies of a compiled environment, all stepped in one call of a compiled function.

    `gymnasium.make_vec(id, num_envs=n)` makes it.
    """

    def __init__(
        self,
        environment: str,
        num_envs: int = 1,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        **settings: Any,
    ) -> None:
        """Make the environments.

        Args:
            environment: Name in `embrl.envs.ENVIRONMENTS`.
            num_envs: Number of copies.
            autoreset_mode: When an episode begins after one that has ended: `NextStep`, in place of
                the step after its last one, or `SameStep`, with its last one. The last observation
                is then in `infos["final_obs"]`.
            settings: Its settings, as the fields of its configuration.

        Raises:
            EmbrlError: If a setting is unknown or out of range.
        """
        if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
            raise SettingError("num_envs", "at least 1", num_envs)
        modes = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)
        if autoreset_mode not in (*modes, *(mode.value for mode in modes)):
            known = " or ".join(mode.value for mode in modes)
            raise SettingError("autoreset_mode", known, autoreset_mode)
        self._env = _built(environment, settings)
        mode = AutoresetMode(autoreset_mode)
        self._same_step = mode is AutoresetMode.SAME_STEP
        self.metadata = {"autoreset_mode": mode, "render_modes": []}
        self.num_envs = num_envs
        self.single_observation_space = self._env.observation_space
        self.single_action_space = self._env.action_space
        self._product = product_of(self.single_action_space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._reset = jax.jit(open_envs, static_argnames="num_envs")
        self._step = jax.jit(_step_all, static_argnames="same_step")
        self._envs: Any = None
        self._ended: Any = None
        self._key: Any = None
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode in each environment."""
        super().reset(seed=seed)
        del options
        self._key = jax.random.key(int(self.np_random.integers(2**31)))
        self._steps = 0
        self._envs = self._reset(self._env, self._key, num_envs=self.num_envs)
        self._ended = np.zeros(self.num_envs, bool)
        return self._given(self._envs.observation), {}

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Take a step in each environment."""
        if self._key is None:
            raise EmbrlError("reset must be called before step")
        rows = check_action(self.single_action_space, _in_rows(self._product, actions))
        if rows.ndim == 0 or rows.shape[0] != self.num_envs:
            raise SettingError(
                "actions", f"one of each of {self.num_envs} environments", rows.shape
            )
        self._steps += 1
        key = jax.random.fold_in(self._key, self._steps)
        self._envs, after = self._step(
            self._env, key, self._envs, rows, self._ended, same_step=self._same_step
        )
        terminated, truncated = np.asarray(after.terminated), np.asarray(after.truncated)
        self._ended = terminated | truncated
        infos: dict[str, Any] = {}
        if self._same_step and self._ended.any():
            last = np.full(self.num_envs, None, dtype=object)
            found = self._given(after.observation)
            for place in np.flatnonzero(self._ended):
                last[place] = found[place]
            infos = {"final_obs": last, "_final_obs": self._ended}
        reward = np.asarray(after.reward, np.float64)
        return self._given(self._envs.observation), reward, terminated, truncated, infos

    def references(self) -> dict[str, float]:
        """Return returns to compare with, as `best_known_return`; may take seconds."""
        return self._env.references(jax.random.key(0))

    def _given(self, observation: Any) -> np.ndarray:
        return np.asarray(observation).astype(self.observation_space.dtype)


def _built(environment: str, settings: dict[str, Any]) -> Any:
    """Return the compiled environment of that name."""
    env = configure(environment, **settings).build()
    assert isinstance(env, Environment)
    return env


def _in_rows(product: Product | None, action: Any) -> Any:
    """Return actions of indices and numbers, given apart, as rows of both; others as they are."""
    if product is None or not product.numbers:
        return action
    indices, numbers = action
    return product.joined(np.asarray(indices), np.asarray(numbers))


def _step_all(
    env: Environment, key: Key, envs: OpenEnvs, actions: Action, ended: Array, same_step: bool
) -> tuple[OpenEnvs, TimeStep]:
    """Step all; begin episodes with the ended step, or in place of the one after it.

    Returns:
        The environments to go on with, and what the steps gave.
    """
    step_key, reset_key = jax.random.split(key)
    num_envs = ended.shape[0]
    keys = jax.random.split(step_key, num_envs)
    state, after = jax.vmap(env.step)(keys, envs.state, actions)
    stepped = OpenEnvs(state, after.observation)
    if same_step:
        again = after.terminated | after.truncated
    else:
        again = ended
        after = after._replace(
            reward=jnp.where(ended, 0.0, after.reward),
            terminated=after.terminated & ~ended,
            truncated=after.truncated & ~ended,
        )
    return restarted(stepped, open_envs(env, reset_key, num_envs), again), after
