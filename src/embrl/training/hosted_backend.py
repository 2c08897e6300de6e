"""Training beside an environment that runs on the host (Gymnasium's).

Only collecting differs from what `CompiledWorld` does: Python steps the environments of all rows,
one program chooses all their actions, and `Program.learn` gets each epoch (`Turns`).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from embrl.algorithms.policy import OverallPolicy
from embrl.core.errors import EmbrlError
from embrl.core.types import Key, Transition
from embrl.data.rollout import host_rollout, random_actions
from embrl.envs.host import HostEnvironment, HostLanes
from embrl.training.backend import Measures, Truth
from embrl.training.replicas import Rows
from embrl.training.rng_streams import Purpose, host_seed
from embrl.training.state import Agent, Found, SeedState
from embrl.training.trainer import Program

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


# DOC The rows of a host run, taking turns: while some learn, the others act.


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


# DOC Choosing actions beside a simulator: a small program, called at every step.


Act = Callable[..., Any]


def prepared(function: Callable[..., Any]) -> Callable[[Any], Act]:
    """Compiles `function(same, *rest)` for many calls with the same first argument: what is
    returned takes that, and gives a function of the rest.

    JAX takes arguments apart at every call, Equinox's modules in Python: for a policy that would
    last as long as choosing the actions, so it is done once. And a step's choice is too small for
    more than one device: it is computed on the first.
    """

    @functools.partial(jax.jit, static_argnums=0)
    def flat(tree: Any, leaves: list[jax.Array], *rest: Any) -> Any:
        return function(jax.tree.unflatten(tree, leaves), *rest)

    def prepare(same: Any) -> Act:
        leaves, tree = jax.tree.flatten(jax.device_put(same, jax.devices()[0]))
        return functools.partial(flat, tree, leaves)

    return prepare
