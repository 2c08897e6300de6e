"""The rows of a host run, taking turns: while some learn, the others act."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from embrl.data.host_rollout import host_rollout
from embrl.envs.host import HostEnvironment, HostLanes
from embrl.policy.overall import OverallPolicy
from embrl.training.acting import prepared
from embrl.training.program import Program
from embrl.training.purpose import Purpose, host_seed
from embrl.training.rows import Rows
from embrl.training.state import SeedState
from embrl.training.world import Measures


class Turns:
    """Two halves of the rows, or all of them at once.

    A device computes one thing after another, so acting has the first one, and learning the others.
    """

    def __init__(self, rows: Rows, env: HostEnvironment) -> None:
        self._rows, others = rows, jax.devices()[1:]
        if _worth_it(rows.program, rows.count, len(others)):
            half = -(-rows.count // 2)
            halves = slice(0, half), slice(half, rows.count)
            self._turns = [_Turn(rows.part(which, others), env) for which in halves]
        else:
            self._turns = [_Turn(rows, env)]

    def improve(self, state: SeedState, first: int, count: int) -> tuple[SeedState, Measures]:
        """`World.improve`."""
        for turn in self._turns:
            turn.begin(state, first)
        for index in range(first, first + count):
            for turn in self._turns:
                turn.epoch(index, more=index + 1 < first + count)
        states, measures = zip(*(turn.end() for turn in self._turns), strict=True)
        together = {name: np.concatenate([of[name] for of in measures]) for name in measures[0]}
        return self._united(states), together

    def close(self) -> None:
        """Ends the environments."""
        for turn in self._turns:
            turn.close()

    def _united(self, states: Sequence[SeedState]) -> SeedState:
        if len(states) == 1:
            return states[0]
        whole = jax.tree.map(lambda *parts: np.concatenate(parts), *states)
        return self._rows.spread(whole)


def _worth_it(program: Program, rows: int, others: int) -> bool:
    """Learning from a replay buffer takes longer than acting; on all devices it is done soonest."""
    return rows > 1 and others > 0 and not (program.config.hyper.off_policy or program.moves)


class _Turn:
    """Some of the rows, from epoch to epoch."""

    def __init__(self, rows: Rows, env: HostEnvironment) -> None:
        self._rows, self._env = rows, env
        self._program, self._config = rows.program, rows.program.config
        self._policy_of = rows.over(Program.policy)
        self._noise_of = rows.over(Program.epoch_noise, shared=(2,))
        self._learn = rows.over(Program.learn, shared=(4,), donate=(0,))
        self._fit_of = rows.over(Program.fit_of)
        self._lanes: HostLanes | None = None

    def begin(self, state: SeedState, index: int) -> None:
        """Takes over its rows of what was learned before epoch `index`."""
        if self._lanes is None:
            lanes, rows = self._config.rollout.lanes, self._rows
            seed = host_seed(self._config.seed, Purpose.LANES, index)
            self._lanes = self._env.open(rows.count * lanes, seed, first=rows.first * lanes)
        self._state, self._measures = self._rows.taken(state), []
        self._prepare(index)

    def epoch(self, index: int, more: bool) -> None:
        """Acts, and has epoch `index` learned from without waiting for it; if there are more, has
        the next one prepared too, before another turn's learning keeps the device busy.
        """
        chosen = self._ready
        assert self._lanes is not None

        def act(seen: np.ndarray, t: int) -> Any:
            return chosen(seen, np.int32(t))

        fresh, u = host_rollout(self._lanes, self._program.epoch_rows, act, self._rows.count)
        self._state, measures = self._learn(
            self._state, fresh, u, self._rows.keys, jnp.int32(index)
        )
        self._measures.append(measures)
        self._fresh = fresh
        if more:
            self._prepare(index + 1)

    def end(self) -> tuple[SeedState, Measures]:
        """What was learned since `begin`, and the means of the epochs' measures."""
        fit = self._fit_of(self._state, self._fresh)
        means = jax.tree.map(lambda *all_of_it: np.mean(all_of_it, 0), *self._measures)
        return self._state, means | fit

    def close(self) -> None:
        if self._lanes is not None:
            self._lanes.close()

    def _prepare(self, index: int) -> None:
        policy = self._policy_of(self._state.agent)
        noise = self._noise_of(self._state.agent, self._rows.keys, jnp.int32(index))
        self._ready = _act((policy, noise))


@prepared
@functools.partial(jax.vmap, in_axes=(0, 0, None))
def _act(ready: tuple[OverallPolicy, Any], seen: jax.Array, t: jax.Array) -> Any:
    """With the noise of step t of an epoch."""
    policy, noise = ready
    return policy.act(seen, jax.tree.map(lambda all_of_it: all_of_it[t], noise))
