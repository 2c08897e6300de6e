"""Backend of environments that Python steps on the host (Gymnasium's).

Only collecting differs from `CompiledBackend`: Python steps the environments of all replicas, one
trainer chooses all their actions, and `Trainer.learn` gets each rollout.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from embrl.algorithms.policy import OverallPolicy
from embrl.core.errors import EmbrlError
from embrl.core.products import product_of, replaced_where_masked
from embrl.core.types import Key, Transition
from embrl.data.host_rollout import host_rollout, host_steps
from embrl.data.rollout import random_actions
from embrl.envs.gym import HostEnvironment, HostVectorEnv
from embrl.training.backend import GroundTruth, Metrics, Report, ignore_count
from embrl.training.evaluation import CUT, longest_episode
from embrl.training.kept_programs import kept
from embrl.training.replicas import Replicas
from embrl.training.rng_streams import RngStream, host_seed
from embrl.training.state import Agent, PretrainingData, Rollout, TrainState
from embrl.training.trainer import EMPTY_MASKS, Trainer

RANDOM_EPISODES = 100
"""Episodes that the return of random actions is averaged over."""


class HostedBackend:
    """Backend of environments on the host, with those of all replicas in one set.

    When a run resumes after an interruption, new episodes begin: everything learned is restored
    bit for bit, but simulators are not.
    """

    def __init__(self, replicas: Replicas, env: HostEnvironment) -> None:
        self.env, self.trainer, self.keys = env, replicas.trainer, replicas.keys
        self.count, self.config = replicas.count, replicas.trainer.config
        self._rollouts = OverlappedRollouts(replicas, env)
        self._stages: dict[int, HostVectorEnv] = {}
        self._longest = int(longest_episode(env, self.config.evaluation.max_episode_steps))
        self._cuts = env.max_episode_steps is None or env.max_episode_steps > self._longest
        self._random = replicas.over(Trainer.random_actions, once=True)
        self._begin = replicas.over(_begin, once=True)
        self._policy = replicas.over(Trainer.policy)
        self._keys = replicas.over(Trainer.evaluation_key, shared=(1,), once=True)
        self._alternatives = replicas.over(Trainer.random_alternatives, once=True)
        self._sample, self._mode = kept(self.trainer, (_sample,), _chosen)

    def collect(self) -> Transition:
        """Return random transitions, from environments of their own."""
        actions = np.asarray(self._random(self.keys))
        # Drawn only where there are masks.
        others = functools.cache(lambda: np.asarray(self._alternatives(self.keys)))
        allowed = self.trainer.action_inputs.allowed

        def choose(seen: np.ndarray, t: int, masks: np.ndarray | None) -> tuple[np.ndarray, None]:
            del seen
            if masks is None:
                return actions[:, t], None
            left = masks if allowed is None else masks & allowed
            space = self.trainer.action_space
            return replaced_where_masked(space, actions[:, t], others()[:, t], left), None

        with self._open(self.config.rollout.num_envs, RngStream.COLLECT, 0) as envs:
            return host_rollout(envs, actions.shape[1], choose, self.count, allowed)[0]

    def begin(self, agent: Agent, data: PretrainingData | None) -> TrainState:
        return self._begin(agent, data)

    def shapes(self, agent: Any, data: Any) -> Any:
        begin = jax.vmap(functools.partial(self.trainer.begin, envs=None))
        return jax.eval_shape(begin, agent, data)

    def improve(self, state: TrainState, first: int, count: int) -> tuple[TrainState, Metrics]:
        return self._rollouts.improve(state, first, count)

    def evaluate(
        self, state: TrainState, index: int, rounds: int, report: Report = ignore_count
    ) -> Metrics:
        policy = self._policy(state.agent)
        sample = self._sample((policy, self._keys(self.keys, jnp.int32(index))))
        mode = self._mode(policy)
        episodes = self.config.evaluation.episodes

        def act(seen: np.ndarray, t: int, masks: np.ndarray | None) -> Any:
            return sample(seen, np.int32(t), masks)

        def greedy(seen: np.ndarray, t: int, masks: np.ndarray | None) -> Any:
            del t
            return mode(seen, masks)

        half, stream = self.count * episodes * rounds, RngStream.EVALUATE

        def first(done: int) -> None:
            report(done, 2 * half)

        def second(done: int) -> None:
            report(half + done, 2 * half)

        sampled, lengths, cut = self._play(act, episodes, rounds, stream, index, first)
        most_likely, _, more = self._play(greedy, episodes, rounds, stream, index, second)
        return {
            "return_mean": sampled.mean(1),
            "greedy_return_mean": most_likely.mean(1),
            "length_mean": lengths.mean(1),
            "return_std": sampled.std(1),
            CUT: cut + more,
        }

    def ground_truth(self, observations: np.ndarray) -> GroundTruth:
        del observations
        return GroundTruth()

    def references(self, report: Report = ignore_count) -> dict[str, float | None]:
        space, key = self.trainer.action_space, jax.random.key(0)
        draw = jax.jit(functools.partial(random_actions, space), static_argnums=1)
        others = np.random.default_rng(0)

        def act(seen: np.ndarray, t: int, masks: np.ndarray | None) -> Any:
            actions = draw(jax.random.fold_in(key, t), seen.shape[:2])
            if masks is None:
                return actions
            actions = np.asarray(actions)
            product = product_of(space)
            shape = actions.shape if product is None else (*seen.shape[:2], len(product.sizes))
            return replaced_where_masked(space, actions, others.random(shape), masks)

        episodes = -(-RANDOM_EPISODES // self.count)
        num_envs, rounds = min(episodes, 10), -(-episodes // 10)
        total, stream = self.count * num_envs * rounds, RngStream.COLLECT
        returns, _, cut = self._play(
            act, num_envs, rounds, stream, 1, lambda done: report(done, total)
        )
        return {"random_return": float(returns.mean()), CUT: float(cut.sum())}

    def close(self) -> None:
        self._rollouts.close()
        for envs in self._stages.values():
            envs.close()

    def _open(self, num_envs: int, stream: RngStream, index: int) -> HostVectorEnv:
        """Open that many environments for each replica, with a seed for just this use."""
        return self.env.open(self.count * num_envs, host_seed(self.config.seed, stream, index))

    def _stage(self, num_envs: int, seed: int) -> HostVectorEnv:
        """Return environments to play whole episodes in; kept, as making them takes time."""
        if num_envs not in self._stages:
            self._stages[num_envs] = self.env.open(
                self.count * num_envs, seed, max_episode_steps=self._longest, evaluation=True
            )
        else:
            self._stages[num_envs].restart(seed)
        return self._stages[num_envs]

    def _play(
        self,
        act: Callable[[np.ndarray, int, np.ndarray | None], Any],
        num_envs: int,
        rounds: int,
        stream: RngStream,
        index: int,
        report: Callable[[int], None] | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return returns and lengths of the first `rounds` episodes of every environment.

        Returns:
            Both `[replicas, episodes]`, and how many of them were cut, `[replicas]`.
        """
        total_envs = self.count * num_envs
        returns: list[list[float]] = [[] for _ in range(total_envs)]
        lengths: list[list[int]] = [[] for _ in range(total_envs)]
        total, length = np.zeros(total_envs), np.zeros(total_envs, int)
        cut = np.zeros(total_envs, int)
        stage = self._stage(num_envs, host_seed(self.config.seed, stream, index))
        steps = host_steps(stage, lambda *given: (act(*given), None), self.count)
        for step, *_ in steps:
            total += step.reward.reshape(-1)
            length += 1
            over = (length >= self._longest) & ~step.terminated.reshape(-1)
            ended = np.flatnonzero((step.terminated | step.truncated).reshape(-1) | over)
            for at in ended:
                cut[at] += over[at] and self._cuts and len(returns[at]) < rounds
                returns[at].append(total[at])
                lengths[at].append(length[at])
                total[at], length[at] = 0.0, 0
            if len(ended) and report is not None:
                report(sum(min(len(mine), rounds) for mine in returns))
            if min(map(len, returns)) >= rounds:
                break
        first = [np.array([mine[:rounds] for mine in of]) for of in (returns, lengths)]
        returned, long = (part.reshape(self.count, -1) for part in first)
        return returned, long, cut.reshape(self.count, -1).sum(1)


class OverlappedRollouts:
    """Rollouts of replicas on the host, in two halves: while one learns, the other acts.

    A device computes one thing after another, so acting has the first one, and learning the others.
    If that does not help, all replicas are one group.
    """

    def __init__(self, replicas: Replicas, env: HostEnvironment) -> None:
        self._replicas, others = replicas, jax.devices()[1:]
        if _overlap_helps(replicas.trainer, replicas.count, len(others)):
            half = -(-replicas.count // 2)
            halves = slice(0, half), slice(half, replicas.count)
            self._groups = [_ReplicaGroup(replicas.part(which, others), env) for which in halves]
        else:
            self._groups = [_ReplicaGroup(replicas, env)]

    def improve(self, state: TrainState, first: int, count: int) -> tuple[TrainState, Metrics]:
        """Run updates, as `Backend.improve`."""
        for group in self._groups:
            group.begin(state, first)
        for index in range(first, first + count):
            for group in self._groups:
                group.iterate(index, more=index + 1 < first + count)
        states, metrics = zip(*(group.end() for group in self._groups), strict=True)
        together = {name: np.concatenate([of[name] for of in metrics]) for name in metrics[0]}
        return self._united(states), together

    def close(self) -> None:
        """Close the environments."""
        for group in self._groups:
            group.close()

    def _united(self, states: Sequence[TrainState]) -> TrainState:
        if len(states) == 1:
            return states[0]
        whole = jax.tree.map(lambda *parts: np.concatenate(parts), *states)
        return self._replicas.spread(whole)


def _overlap_helps(trainer: Trainer, replicas: int, other_devices: int) -> bool:
    """Return whether two halves take less time than one group.

    Learning from a replay buffer takes longer than acting; on all devices it is done soonest.
    """
    return replicas > 1 and other_devices > 0 and not trainer.schedule.uses_replay


class _ReplicaGroup:
    """Group of replicas that act and learn together."""

    def __init__(self, replicas: Replicas, env: HostEnvironment) -> None:
        self._replicas, self._env = replicas, env
        self._trainer, self._config = replicas.trainer, replicas.trainer.config
        self._policy_of = replicas.over(Trainer.policy)
        self._noise_of = replicas.over(Trainer.rollout_noise, shared=(2,))
        # Once an update: copies of a replay buffer would take longer than learning from it.
        self._learn = replicas.over(Trainer.learn, shared=(3,), donate=(0,), in_place=True)
        self._embedding_metrics = replicas.over(Trainer.embedding_metrics)
        self._envs: HostVectorEnv | None = None

    def begin(self, state: TrainState, index: int) -> None:
        """Take over these replicas' part of the state before update `index`."""
        if self._envs is None:
            num_envs, replicas = self._config.rollout.num_envs, self._replicas
            seed = host_seed(self._config.seed, RngStream.RESET, index)
            self._envs = self._env.open(
                replicas.count * num_envs, seed, first=replicas.first * num_envs
            )
        self._state, self._metrics = self._replicas.taken(state), []
        self._prepare(index)

    def iterate(self, index: int, more: bool) -> None:
        """Act, and start learning from it without waiting for the result.

        If there are more updates, the next one's policy is prepared, too, before another group's
        learning keeps the device busy.
        """
        choose = self._choose
        if self._envs is None:
            raise EmbrlError("begin comes before iterate")

        def act(seen: np.ndarray, t: int, masks: np.ndarray | None) -> Any:
            return choose(seen, np.int32(t), masks)

        trainer, count = self._trainer, self._replicas.count
        length, allowed = trainer.schedule.rollout_length, trainer.action_inputs.allowed
        fresh, u, masks = host_rollout(self._envs, length, act, count, allowed)
        self._state, metrics = self._learn(
            self._state, Rollout(fresh, u, masks), self._replicas.keys, jnp.int32(index)
        )
        metrics.pop(EMPTY_MASKS, None)  # a mask that allows nothing has ended the run
        self._metrics.append(metrics)
        self._fresh = fresh
        if more:
            self._prepare(index + 1)

    def end(self) -> tuple[TrainState, Metrics]:
        """Return the state, and the means of the metrics since `begin`."""
        fit = self._embedding_metrics(self._state, self._fresh)
        means = jax.tree.map(lambda *values: np.mean(values, 0), *self._metrics)
        return self._state, means | fit

    def close(self) -> None:
        if self._envs is not None:
            self._envs.close()

    def _prepare(self, index: int) -> None:
        policy = self._policy_of(self._state.agent)
        noise = self._noise_of(self._state.agent, self._replicas.keys, jnp.int32(index))
        self._choose = _act((policy, noise))


def compiled_step(function: Callable[..., Any]) -> Callable[[Any], Callable[..., Any]]:
    """Compile `function(same, *rest)` for many calls with the same first argument.

    JAX takes arguments apart at every call, Equinox's modules in Python: for a policy that would
    take as long as choosing the actions, so it is done once. And the choice for one step is too
    small for more than one device: it is computed on the first.

    Returns:
        A function of `same` that returns a function of the rest.
    """

    @functools.partial(jax.jit, static_argnums=0)
    def flat(tree: Any, leaves: list[jax.Array], *rest: Any) -> Any:
        return function(jax.tree.unflatten(tree, leaves), *rest)

    def prepare(same: Any) -> Callable[..., Any]:
        leaves, tree = jax.tree.flatten(jax.device_put(same, jax.devices()[0]))
        return functools.partial(flat, tree, leaves)

    return prepare


@compiled_step
@functools.partial(jax.vmap, in_axes=(0, 0, None, 0))
def _act(
    ready: tuple[OverallPolicy, Any], seen: jax.Array, t: jax.Array, masks: jax.Array | None
) -> Any:
    """Choose actions with the noise of step t of a rollout."""
    policy, noise = ready
    return policy.act(seen, jax.tree.map(lambda whole: whole[t], noise), masks)


def _sample(
    ready: tuple[OverallPolicy, Key], seen: jax.Array, t: jax.Array, masks: jax.Array | None
) -> jax.Array:
    """Choose actions with noise of their own."""
    policy, key = ready
    noise = policy.noise(jax.random.fold_in(key, t), seen.shape[:1])
    return policy.act(seen, noise, masks)[0]


def _chosen() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compile what evaluations choose, with noise and the most likely."""
    return (
        compiled_step(jax.vmap(_sample, (0, 0, None, 0))),
        compiled_step(jax.vmap(OverallPolicy.mode)),
    )


def _begin(trainer: Trainer, agent: Agent, data: PretrainingData | None) -> TrainState:
    return trainer.begin(agent, data, None)
