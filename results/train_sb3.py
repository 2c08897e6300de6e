"""Train Stable-Baselines3's PPO in an environment of embrl and print the return that it reaches.

    PYTHON results/train_sb3.py embrl/Switches-v0 --total-timesteps 100000 --seed 0

PYTHON is an interpreter that has embrl and Stable-Baselines3. All environments are stepped in one
compiled call. The last line is a JSON object: the mean return of drawn actions (`sampled`) and of
most likely ones (`likeliest`). Used by known_optima.py.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

import embrl as embrl  # registers the ids

EPISODES = 100


class FromGymnasium(VecEnv):
    """Environments of Gymnasium, stepped together, in the form of Stable-Baselines3.

    Parts with two values each are given as flags, for which Stable-Baselines3 has one fast
    distribution instead of one of each part.
    """

    def __init__(self, envs: gymnasium.vector.VectorEnv) -> None:
        """Take over environments made with `autoreset_mode="SameStep"`."""
        self.envs = envs
        actions = envs.single_action_space
        if isinstance(actions, spaces.MultiDiscrete) and (actions.nvec == 2).all():
            actions = spaces.MultiBinary(len(actions.nvec))
        super().__init__(envs.num_envs, envs.single_observation_space, actions)
        self._begin_with: int | None = None
        self._actions = np.empty(0)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Set what the next reset is seeded with."""
        self._begin_with = seed
        return [seed] * self.num_envs

    def reset(self) -> Any:
        """Begin an episode in each environment."""
        observation, _ = self.envs.reset(seed=self._begin_with)
        self._begin_with = None
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Take a step in each environment."""
        observation, reward, terminated, truncated, found = self.envs.step(self._actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for place in np.flatnonzero(terminated | truncated):
            infos[place]["terminal_observation"] = found["final_obs"][place]
            infos[place]["TimeLimit.truncated"] = bool(truncated[place] and not terminated[place])
        return observation, reward.astype(np.float32), terminated | truncated, infos

    def close(self) -> None:
        """Do nothing."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute, the same for all."""
        return [getattr(self.envs, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: the environments have no attributes of their own."""
        raise NotImplementedError

    def env_method(self, *_: Any, **__: Any) -> list[Any]:
        """Refuse: the environments have no methods of their own."""
        raise NotImplementedError

    def env_is_wrapped(self, _: Any, indices: Any = None) -> list[bool]:
        """Return that none is wrapped."""
        return [False for _ in self._get_indices(indices)]


def main() -> None:
    """Train, evaluate and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("id")
    parser.add_argument("--total-timesteps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-envs", type=int, default=1)
    parser.add_argument("--settings", default="{}", help="of the environment, a JSON object")
    parser.add_argument("--ppo", default="{}", help="settings of PPO, a JSON object")
    arguments = parser.parse_args()
    settings = json.loads(arguments.settings)

    def make(num_envs: int) -> VecEnv:
        envs = gymnasium.make_vec(
            arguments.id, num_envs=num_envs, autoreset_mode="SameStep", **settings
        )
        return VecMonitor(FromGymnasium(envs))

    model = PPO(
        "MlpPolicy",
        make(arguments.num_envs),
        seed=arguments.seed,
        device="cpu",
        **json.loads(arguments.ppo),
    )
    model.learn(arguments.total_timesteps)
    test = make(20)
    test.seed(1000 + arguments.seed)
    means = [
        evaluate_policy(model, test, EPISODES, deterministic=deterministic)[0]
        for deterministic in (False, True)
    ]
    print(json.dumps(dict(zip(("sampled", "likeliest"), map(float, means), strict=True))))


if __name__ == "__main__":
    main()
