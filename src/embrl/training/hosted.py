"""Training beside an environment that runs on the host (Gymnasium's).

Only collecting differs from what `CompiledWorld` does: Python steps the environments of all rows,
one program chooses all their actions, and `Program.learn` gets each epoch (`Turns`).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from embrl.data.host_rollout import host_rollout
from embrl.data.random_actions import random_actions
from embrl.envs.host import HostEnvironment, HostLanes
from embrl.errors import EmbrlError
from embrl.policy.overall import OverallPolicy
from embrl.training.acting import prepared
from embrl.training.program import Program
from embrl.training.purpose import Purpose, host_seed
from embrl.training.rows import Rows
from embrl.training.state import Agent, Found, SeedState
from embrl.training.turns import Turns
from embrl.training.world import Measures, Truth
from embrl.types import Key, Transition

RANDOM_EPISODES = 100
"""Of the return of random actions."""

LONGEST = 100_000
"""Steps of an episode that is played to its end."""


class HostWorld:
    """The lanes of all rows, row by row, in one set.

    Where a run goes on after an interruption, new episodes begin: what is learned is restored to
    the last bit, and a simulator is not.
    """

    def __init__(self, rows: Rows, env: HostEnvironment) -> None:
        self.env, self.program, self.rows, self.keys = env, rows.program, rows.count, rows.keys
        self.config = rows.program.config
        self._turns = Turns(rows, env)
        self._stages: dict[int, HostLanes] = {}
        self._random = rows.over(Program.random_actions, once=True)
        self._begin = rows.over(_begin, once=True)
        self._policy = rows.over(Program.policy)
        self._keys = rows.over(Program.evaluation_key, shared=(1,), once=True)
        self._act_alone = prepared(jax.vmap(_act_alone, (0, 0, None)))
        self._mode = prepared(jax.vmap(OverallPolicy.mode))

    def collect(self) -> Transition:
        """Random transitions, from lanes of their own."""
        actions = np.asarray(self._random(self.keys))
        with self._open(self.config.rollout.lanes, Purpose.COLLECT, 0) as lanes:
            found, _ = host_rollout(
                lanes, actions.shape[1], lambda _, t: (actions[:, t], None), self.rows
            )
        return found

    def begin(self, agent: Agent, found: Found | None) -> SeedState:
        return self._begin(agent, found)

    def shapes(self, agent: Any, found: Any) -> Any:
        begin = jax.vmap(functools.partial(self.program.begin, lanes=None))
        return jax.eval_shape(begin, agent, found)

    def improve(self, state: SeedState, first: int, count: int) -> tuple[SeedState, Measures]:
        return self._turns.improve(state, first, count)

    def evaluate(self, state: SeedState, index: int, rounds: int) -> Measures:
        policy = self._policy(state.agent)
        drawn = self._act_alone((policy, self._keys(self.keys, jnp.int32(index))))
        mode = self._mode(policy)
        episodes = self.config.evaluation.episodes

        def act(seen: np.ndarray, t: int) -> Any:
            return drawn(seen, np.int32(t))

        def likeliest(seen: np.ndarray, t: int) -> Any:
            del t
            return mode(seen)

        sampled, lengths = self._play(act, episodes, rounds, Purpose.EVALUATE, index)
        greedy, _ = self._play(likeliest, episodes, rounds, Purpose.EVALUATE, index)
        return {
            "return_mean": sampled.mean(1),
            "greedy_return_mean": greedy.mean(1),
            "length_mean": lengths.mean(1),
            "return_std": sampled.std(1),
        }

    def truth(self, observations: np.ndarray) -> Truth:
        del observations
        return Truth()

    def references(self) -> dict[str, float | None]:
        space, key = self.program.action_space, jax.random.key(0)
        draw = jax.jit(functools.partial(random_actions, space), static_argnums=1)

        def act(seen: np.ndarray, t: int) -> Any:
            return draw(jax.random.fold_in(key, t), seen.shape[:2])

        episodes = -(-RANDOM_EPISODES // self.rows)
        returns, _ = self._play(act, min(episodes, 10), -(-episodes // 10), Purpose.COLLECT, 1)
        return {"random_return": float(returns.mean())}

    def close(self) -> None:
        self._turns.close()
        for lanes in self._stages.values():
            lanes.close()

    def _open(self, lanes: int, what: Purpose, index: int) -> HostLanes:
        """For each row as many lanes, with random numbers for just this."""
        return self.env.open(self.rows * lanes, host_seed(self.config.seed, what, index))

    def _stage(self, lanes: int, seed: int) -> HostLanes:
        """Lanes to play whole episodes in; kept, as making environments takes time."""
        if lanes not in self._stages:
            self._stages[lanes] = self.env.open(self.rows * lanes, seed)
        else:
            self._stages[lanes].restart(seed)
        return self._stages[lanes]

    def _play(
        self,
        act: Callable[[np.ndarray, int], Any],
        lanes: int,
        rounds: int,
        what: Purpose,
        index: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns and lengths of the first `rounds` episodes of every lane, `[rows, episodes]`.

        Raises:
            EmbrlError: an episode does not end.
        """
        returns: list[list[float]] = [[] for _ in range(self.rows * lanes)]
        lengths: list[list[int]] = [[] for _ in range(self.rows * lanes)]
        total = np.zeros(self.rows * lanes)
        length = np.zeros(self.rows * lanes, int)
        stage, t = self._stage(lanes, host_seed(self.config.seed, what, index)), 0
        while min(map(len, returns)) < rounds:
            action = np.asarray(act(self._by_row(stage.observations), t))
            after = stage.step(action.reshape(-1, *action.shape[2:]))
            total += after.reward
            length += 1
            for lane in np.flatnonzero(after.terminated | after.truncated):
                returns[lane].append(total[lane])
                lengths[lane].append(length[lane])
                total[lane], length[lane] = 0.0, 0
            t += 1
            if length.max() >= LONGEST:
                raise EmbrlError(
                    f"{self.env.name}: an episode has not ended after {LONGEST:,} steps: give it a "
                    "limit, --env.max-episode-steps"
                )
        first = [np.array([mine[:rounds] for mine in of]) for of in (returns, lengths)]
        return first[0].reshape(self.rows, -1), first[1].reshape(self.rows, -1)

    def _by_row(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(self.rows, -1, *values.shape[1:])


def _begin(program: Program, agent: Agent, found: Found | None) -> SeedState:
    return program.begin(agent, found, None)


def _act_alone(ready: tuple[OverallPolicy, Key], seen: jax.Array, t: jax.Array) -> jax.Array:
    """With noise of its own."""
    policy, key = ready
    noise = policy.noise(jax.random.fold_in(key, t), seen.shape[:1])
    return policy.act(seen, noise)[0]
