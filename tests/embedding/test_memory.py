"""What is remembered of states, against counting by hand."""

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from embrl.core.types import Transition
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.encoders import RawStates
from embrl.embedding.memory import Memory, Recall, remember
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives.rewards import Outcome
from embrl.embedding.transition import ECHO_DISCOUNT, ECHO_SWEEPS, EchoTransition

K, N = 4, 300
SPACE = spaces.MultiDiscrete([K, K])
RAW = RawStates(SPACE)
UNAIDED = jnp.float32(0.25)


def steps() -> tuple[Transition, np.ndarray]:
    """`[T, B]`, of which some are not known."""
    rng = np.random.default_rng(0)
    before, after = rng.integers(K, size=(2, N // 10, 10, 2)).astype(np.int32)
    after[..., 0] = before[..., 1]
    action = rng.integers(K, size=(N // 10, 10)).astype(np.int32)
    no = np.zeros(action.shape, bool)
    columns = (before, action, no.astype(np.float32), after, no, no)
    known = np.broadcast_to(np.arange(N // 10)[:, None] < 25, action.shape)
    return Transition(*map(jnp.asarray, columns)), known


def counted(found: Transition, known: np.ndarray) -> np.ndarray:
    counts = np.zeros((K, K, K))
    for at in zip(*np.nonzero(known), strict=True):
        older, last = found.observation[at]
        bought = found.next_observation[at][1]
        counts[older, last, bought] += 0.25 if bought == found.action[at] else 1.0
    return counts


def memory_of_steps() -> tuple[Memory, np.ndarray]:
    found, known = steps()
    visits, chain = remember(RAW, 1, found, jnp.asarray(known), UNAIDED)
    return Memory(visits, chain, jnp.zeros(K)), counted(found, known)


def test_the_chain_counts_what_followed_each_value() -> None:
    memory, counts = memory_of_steps()
    np.testing.assert_allclose(memory.chain, counts.sum(0), rtol=1e-6)


def test_a_state_is_mixed_with_what_followed_it() -> None:
    memory, counts = memory_of_steps()
    states = np.stack(np.meshgrid(np.arange(K), np.arange(K)), -1).reshape(-1, 2).astype(np.int32)
    recalled = Recall(memory, RAW, 1, N)(jnp.asarray(states))
    p = np.random.default_rng(1).dirichlet(np.ones(K), size=len(states)).astype(np.float32)
    mixed = recalled.mixed(jnp.asarray(p), 10.0)
    for row, (older, last) in enumerate(states):
        chain = counts.sum(0)[last]
        expected = (10 * p[row] + chain) / (10 + chain.sum())
        own = counts[older, last]
        expected = (10 * expected + own) / (10 + own.sum())
        np.testing.assert_allclose(mixed[row], expected, rtol=1e-5)


def test_no_more_visits_than_k_are_looked_at() -> None:
    memory, _ = memory_of_steps()
    recalled = Recall(memory, RAW, 1, 3)(jnp.array([[0, 1], [2, 2]], jnp.int32))
    assert recalled.value.shape == (2, 3)
    assert (recalled.weight > 0).all()


def test_what_was_never_visited_is_left_as_predicted() -> None:
    recalled = Recall(Memory.empty(50, K), RAW, 1, 8)(jnp.array([1, 3], jnp.int32))
    p = jnp.array([0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(recalled.mixed(p, 10.0), p, rtol=1e-6)


def model() -> tuple[EchoTransition, Outcome]:
    config = EmbeddingConfig(state_dim=4, action_dim=4, head="echo", transition_hidden=())
    found = JointEmbedding(
        SPACE,
        spaces.Discrete(K),
        config,
        objectives=("forward", "outcome"),
        named=1,
        key=jax.random.key(0),
    )
    found = jax.tree.map(
        lambda leaf: leaf + 0.3 * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), found
    )
    T, outcome = found.T, found.parts["outcome"]
    assert isinstance(T, EchoTransition)
    assert isinstance(outcome, Outcome)
    return T, outcome


def test_future_values_are_value_iteration_on_the_chain() -> None:
    T, outcome = model()
    memory, _ = memory_of_steps()
    chain = np.asarray(memory.chain, np.float64)
    frequency = chain.sum(0) / chain.sum()
    p = chain + T.memory_weight * frequency
    p /= p.sum(1, keepdims=True)
    contribution = np.asarray(outcome.contributions[1], np.float64)
    value = np.zeros(K)
    for _ in range(ECHO_SWEEPS):
        best = np.empty(K)
        for last in range(K):
            boost = np.expm1(float(T.kappa)) * p[last] + np.exp(float(T.log_delta))
            ways = []
            for action in range(K):
                after = p[last].copy()
                after[action] += boost[action]
                ways.append(after @ (contribution + value) / after.sum())
            best[last] = ECHO_DISCOUNT * max(ways)
        value = best - best @ frequency
    np.testing.assert_allclose(T.future_values(memory.chain, outcome), value, rtol=1e-3, atol=1e-4)
