"""Policies to compare a chatbot with: retrieval of replies, and one that knows the simulator."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embrl.core.types import Key
from embrl.envs.chatbot.corpus import sentences
from embrl.envs.chatbot.user import CHANGE, SEEN, ChatbotState, SimulatedUser
from embrl.text import text_vectors

EPISODES = 2000
"""Episodes that each policy is played in."""

FITTING, CANDIDATES = 128, 16
"""Replies to a message that fit best, and those of them, by interest, that the oracle considers."""

LISTED = 8
"""Replies that retrieval lists for a message, as the first may have been said already."""

CHUNK = 512
"""Messages that are compared with all replies at a time."""

Choose = Callable[[Key, ChatbotState], Array]


class Lists(NamedTuple):
    """Replies to each message, the best first."""

    nearest_reply: Int[Array, "pairs few"]
    """The sentences most like the message itself."""
    nearest_message: Int[Array, "pairs few"]
    """What was replied to the messages most like it."""
    oracle: Int[Array, "topics kinds steps pairs few"] | None
    """What a user with each interest and impatience likes best in the long run, by steps left."""


def reference_returns(env: SimulatedUser, key: Key, episodes: int = EPISODES) -> dict[str, float]:
    """Return mean returns of each policy; all meet the same users.

    `best_known_return` is that of `oracle`, which knows the user's interest and impatience and what
    the conversation holds next. It is no proof that nothing is better.
    """
    found = policy_returns(env, key, episodes)
    means = {f"{name}_return": float(np.mean(values)) for name, values in found.items()}
    return means | {"best_known_return": max(means.values())}


def policy_returns(
    env: SimulatedUser, key: Key, episodes: int = EPISODES
) -> dict[str, Float[np.ndarray, " episodes"]]:
    """Return the returns of `random_reply`, two kinds of retrieval, and `oracle`."""
    lists = Lists(*retrieval(env), oracle_replies(env))

    def listed(rows: Callable[[ChatbotState], Array]) -> Choose:
        def choose(key: Key, state: ChatbotState) -> Array:
            del key
            few = rows(state)
            repeated = jax.vmap(lambda reply: env.repeats(state, reply))(few)
            return few[jnp.argmin(repeated)]  # the first that was not just said

        return choose

    def known(lists: Lists) -> Callable[[ChatbotState], Array]:
        assert lists.oracle is not None
        plans = lists.oracle
        return lambda state: plans[
            state.interest, state.impatience, env.step_limit - 1 - state.steps, state.pair
        ]

    @jax.jit
    def play(env: SimulatedUser, lists: Lists, key: Key) -> dict[str, Array]:
        replies = env.reply_vectors.shape[0]
        policies: dict[str, Choose] = {
            "random_reply": lambda key, _: jax.random.randint(key, (), 0, replies, jnp.int32),
            "nearest_reply": listed(lambda state: lists.nearest_reply[state.pair]),
            "nearest_message": listed(lambda state: lists.nearest_message[state.pair]),
            "oracle": listed(known(lists)),
        }
        keys = jax.random.split(key, episodes)
        return {
            name: jax.vmap(lambda key, choose=choose: _episode(env, choose, key))(keys)
            for name, choose in policies.items()
        }

    return {name: np.asarray(values) for name, values in play(env, lists, key).items()}


def _episode(env: SimulatedUser, choose: Choose, key: Key) -> Float[Array, ""]:
    def step(now: tuple[ChatbotState, Array], key: Key) -> tuple[tuple[ChatbotState, Array], Array]:
        state, stays = now
        key_choose, key_step = jax.random.split(key)
        state, after = env.step(key_step, state, choose(key_choose, state))
        return (state, stays & ~after.terminated), jnp.where(stays, after.reward, 0.0)

    key_reset, key_steps = jax.random.split(key)
    state, _ = env.reset(key_reset)
    keys = jax.random.split(key_steps, env.step_limit)
    _, rewards = jax.lax.scan(step, (state, jnp.bool_(True)), keys)
    return rewards.sum()


def retrieval(env: SimulatedUser) -> tuple[Int[Array, "pairs few"], Int[Array, "pairs few"]]:
    """Return the replies nearest to each message, and those to the messages nearest to it.

    By the cosine of whole sentence vectors; held-out conversations are never looked up. A message
    of those for training finds itself, and so the very reply that the corpus holds.
    """
    messages, replies = _whole_vectors(env)
    corpus = env.spoken.corpus
    numbers = {reply: at for at, reply in enumerate(corpus.replies)}
    stored = np.flatnonzero(
        [
            not held and answer in numbers
            for held, answer in zip(corpus.held_out, corpus.answers, strict=True)
        ]
    )
    answered = np.array([numbers[corpus.answers[at]] for at in stored], np.int32)
    by_message = answered[_most_alike(messages, messages[stored])]
    return jnp.asarray(_most_alike(messages, replies)), jnp.asarray(by_message)


def retrieved(env: SimulatedUser) -> Int[np.ndarray, " pairs"]:
    """Return, for each message, the nearest reply that does not repeat its words."""
    few = nearest_replies(env, 2)
    echoes = few[:, 0] == np.asarray(env.echo)
    return np.where(echoes, few[:, -1], few[:, 0]).astype(np.int32)


def nearest_replies(env: SimulatedUser, count: int) -> Int[np.ndarray, "pairs count"]:
    """Return the replies whose whole sentence vectors are most like each message's, in order."""
    if not count:
        return np.zeros((len(env.spoken.corpus.messages), 0), np.int32)
    return _most_alike(*_whole_vectors(env), count=count).astype(np.int32)


def _whole_vectors(env: SimulatedUser) -> tuple[np.ndarray, np.ndarray]:
    """Return the sentence vectors of messages and replies, of length 1."""
    corpus = env.spoken.corpus
    pairs = len(corpus.messages)
    vectors = text_vectors(sentences(corpus), env.text_encoder)
    return _normed(vectors[:pairs]), _normed(vectors[2 * pairs :])


def _most_alike(
    rows: np.ndarray, others: np.ndarray, count: int = LISTED
) -> Int[np.ndarray, "rows count"]:
    """Return the indices of the others that are most similar to each row, best first."""
    found = [
        _largest(rows[begin : begin + CHUNK] @ others.T, count)
        for begin in range(0, len(rows), CHUNK)
    ]
    return np.concatenate(found)


def oracle_replies(env: SimulatedUser) -> Int[Array, "topics kinds steps pairs few"]:
    """Return what is best for each user, by backward induction over the steps that are left.

    It knows the user's interest and impatience. Of each message only the replies that fit best are
    considered, and that repetitions are rated low only where it plays.
    """
    fits = np.asarray(_fits(env))  # [pairs, few]
    return _plan(env, jnp.asarray(fits))


def _fits(env: SimulatedUser) -> Int[np.ndarray, "pairs few"]:
    meanings, wanted = np.asarray(env.meanings), np.asarray(env.wanted)
    found = [
        _largest(wanted[begin : begin + CHUNK] @ meanings.T, FITTING)
        for begin in range(0, len(wanted), CHUNK)
    ]
    return np.concatenate(found).astype(np.int32)


@jax.jit
def _plan(env: SimulatedUser, fits: Int[Array, "pairs few"]) -> Array:
    pairs = env.wanted.shape[0]
    openings = jnp.diff(env.openings, axis=1, prepend=0.0)

    def goodness(interest: Array, pair: Array, replies: Array) -> Array:
        state = ChatbotState(
            pair, pair, jnp.full(1, -1), interest, interest, jnp.float32(0), jnp.int32(0)
        )
        return jax.vmap(lambda reply: env.goodness(state, reply))(replies)

    def of_interest(interest: Array) -> Array:
        def best(at: tuple[Array, Array]) -> tuple[Array, Array]:
            good, few = jax.lax.top_k(goodness(interest, *at), min(CANDIDATES, fits.shape[1]))
            return good, at[1][few]

        good, replies = jax.lax.map(best, (jnp.arange(pairs), fits), batch_size=CHUNK)

        def of_kind(impatience: Array) -> Array:
            def earlier(value: Array, _: None) -> tuple[Array, Array]:
                opening = openings[interest] @ value
                own = jnp.where(
                    env.next < 0, opening, CHANGE * opening + (1 - CHANGE) * value[env.next]
                )
                follows = env.followed * good
                later = follows * value[env.taken_up[replies]] + (1 - follows) * own[:, None]
                total = good + (1 - (1 - good) * impatience) * later
                total, order = jax.lax.top_k(total, min(SEEN + 2, total.shape[1]))
                return total[:, 0], jnp.take_along_axis(replies, order, 1)

            return jax.lax.scan(earlier, jnp.zeros(pairs), None, env.step_limit)[1]

        return jax.lax.map(of_kind, env.impatience)

    return jax.lax.map(of_interest, jnp.arange(env.interest.shape[0]))


def _largest(scores: np.ndarray, count: int) -> Int[np.ndarray, "n count"]:
    """Return the places of the largest scores of each row, in order."""
    count = min(count, scores.shape[1])
    some = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    order = np.take_along_axis(-scores, some, 1).argsort(1)
    return np.take_along_axis(some, order, 1)


def _normed(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
