"""A tiny environment whose every number can be told beforehand."""

import sys
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from embrl import envs


class SilentError(Exception):
    """An exception whose words raise another one."""

    def __str__(self):
        raise ValueError("no words")


class Counting(gymnasium.Env):
    """Observes (first, steps taken, action before), each step worth the steps taken; terminates
    after `end` steps. `trouble` happens at step `at` of an episode.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, end=3, trouble="", at=2, render_mode=None):
        self.end, self.trouble, self.at, self.render_mode = end, trouble, at, render_mode
        self.observation_space = spaces.Box(-1.0, 1e6, (3,), np.float64)
        self.action_space = spaces.Discrete(4, start=-1)
        self._now = np.zeros(3)  # one array for all: what is kept of it must be copied
        self.closed = False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self.trouble == "reset" and self._now[1]:
            raise ValueError("no way back")
        self._now[:] = self.np_random.integers(1000), 0, 0
        return self._now, {"unused": 1}

    def step(self, action):
        assert self.action_space.contains(action)
        self._now[1] += 1
        self._now[2] = action
        steps = int(self._now[1])
        reward, observation = float(steps), self._now
        if steps == self.at:
            if self.trouble == "raise":
                raise ZeroDivisionError("of all\nthings")
            if self.trouble == "exit":
                sys.exit("bye")
            if self.trouble == "silent":
                raise SilentError
            if self.trouble == "nan":
                self._now[2] = np.nan
            if self.trouble == "inf reward":
                reward = np.inf
            if self.trouble == "shape":
                observation = np.zeros(5)
            if self.trouble == "axis":
                observation = self._now[None]
            if self.trouble == "text":
                observation = "here"
        return observation, reward, steps >= self.end, False, {"unused": steps}

    def render(self):
        return np.full((2, 2, 3), int(self._now[1]), np.uint8)

    def close(self):
        self.closed = True


def failing():
    """One that fails at its second step."""
    return Counting(trouble="raise")


def configured(name, **options) -> Any:
    """Settings of one of Gymnasium's environments, which have more than `EnvConfig` says."""
    return envs.configure(name, **options)
