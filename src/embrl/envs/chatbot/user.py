"""A simulated user who speaks sentences of a corpus, and rates what is replied."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from embrl.core.types import Action, Key, TimeStep
from embrl.envs.chatbot.corpus import Corpus
from embrl.envs.environment import Environment

SEEN = 3
"""Sentences that an observation has: the user's, the agent's before it, the user's before that."""

REPEATED = 0.25
"""Factor on how good a reply is that is one of the last few, or repeats the user's own words."""

OPENING = 10.0
"""How strongly users speak of what they are interested in: factor on a cosine."""

CHANGE = 0.2
"""Probability that a user who does not take up a reply speaks of something else of interest."""

NOISE = 0.1
"""Standard deviation of a rating."""


@dataclasses.dataclass(frozen=True)
class Said:
    """All that may be said; static in compiled functions, which serve for all with equal sizes."""

    corpus: Corpus = dataclasses.field(compare=False)
    sizes: tuple[int, int]

    def __hash__(self) -> int:
        return hash(self.sizes)


class ChatbotState(NamedTuple):
    """State of a conversation; the agent sees neither interest nor impatience."""

    pair: Int[Array, ""]
    """What the user says now."""
    before: Int[Array, ""]
    """What the user said before; -1 at first."""
    said: Int[Array, " few"]
    """The agent's last replies, the latest first; -1 where there were fewer."""
    interest: Int[Array, ""]
    impatience: Int[Array, ""]
    """Index in the settings' `impatience`."""
    rating: Float[Array, ""]
    steps: Int[Array, ""]


class SimulatedUser(Environment):
    """Simulated user: everything of a `Chatbot` but its spaces and names."""

    message_vectors: Float[Array, "pairs q"]
    reply_vectors: Float[Array, "replies q"]
    meanings: Float[Array, "replies k"]
    wanted: Float[Array, "pairs k"]
    echo: Int[Array, " pairs"]
    """The reply with the very words of each message; -1 where there is none."""
    centre: Float[Array, " pairs"]
    width: Float[Array, " pairs"]
    interest: Float[Array, "topics replies"]
    openings: Float[Array, "topics pairs"]
    """Cumulative probabilities of what a user begins with, by interest."""
    next: Int[Array, " pairs"]
    """What a user goes on with; -1 at the end of a conversation."""
    taken_up: Int[Array, " replies"]
    """What a user says who takes up a reply."""
    shown: Int[Array, " pairs"]
    """What the expert replies to each message; -1 if that is none of those to choose among."""
    earlier: Int[Array, " pairs"]
    """What the same user said before; -1 at the beginning of a conversation."""
    taught: Int[Array, " some"]
    """Messages of conversations for training to which the expert replies."""
    interest_weight: Float[Array, ""]
    impatience: Float[Array, " kinds"]
    followed: Float[Array, ""]
    shortlist: Int[Array, "pairs few"] | None
    """Replies that may be chosen, by message; empty rows: all but repetitions; None: all."""
    retrieves: bool = eqx.field(static=True)
    """True if the expert is retrieval."""
    step_limit: int = eqx.field(static=True)
    text_encoder: str = eqx.field(static=True)
    spoken: Said = eqx.field(static=True)

    def reset(self, key: Key) -> tuple[ChatbotState, Float[Array, " p"]]:
        """Meet a user with a random interest and impatience, who begins a conversation."""
        key_interest, key_patience, key_opening = jax.random.split(key, 3)
        interest = jax.random.randint(key_interest, (), 0, self.openings.shape[0], jnp.int32)
        impatience = jax.random.randint(key_patience, (), 0, len(self.impatience), jnp.int32)
        state = ChatbotState(
            self._opening(key_opening, interest),
            jnp.int32(-1),
            jnp.full(SEEN, -1, jnp.int32),
            interest,
            impatience,
            jnp.float32(0.5),
            jnp.int32(0),
        )
        return state, self._observe(state)

    def step(self, key: Key, state: ChatbotState, action: Action) -> tuple[ChatbotState, TimeStep]:
        """Say something; the user rates it, and leaves or says something else."""
        key_rating, key_leave, key_follow, key_change, key_opening = jax.random.split(key, 5)
        good = self.goodness(state, action)
        rating = jnp.clip(good + NOISE * jax.random.normal(key_rating), 0.0, 1.0)
        leaving = (1.0 - good) * self.impatience[state.impatience]
        leaves = jax.random.uniform(key_leave) < leaving
        own = self.next[state.pair]
        changes = (own < 0) | (jax.random.uniform(key_change) < CHANGE)
        own = jnp.where(changes, self._opening(key_opening, state.interest), own)
        follows = jax.random.uniform(key_follow) < self.followed * good
        steps = state.steps + 1
        after = ChatbotState(
            jnp.where(follows, self.taken_up[action], own).astype(jnp.int32),
            state.pair,
            jnp.concatenate([action[None].astype(jnp.int32), state.said[:-1]]),
            state.interest,
            state.impatience,
            rating,
            steps,
        )
        return after, TimeStep(
            observation=self._observe(after),
            reward=rating,
            terminated=leaves,
            truncated=(steps >= self.step_limit) & ~leaves,
        )

    def action_mask(self, state: ChatbotState) -> Bool[Array, " n"] | None:
        """Return which replies may be chosen: those on the shortlist that are no repetitions."""
        if self.shortlist is None:
            return None
        # One place more for what is not there: the last replies of a beginning, and most echoes.
        size = self.reply_vectors.shape[0]
        all_may_be = self.shortlist.shape[1] == 0
        few = jnp.full(size + 1, all_may_be).at[self.shortlist[state.pair]].set(True)
        repeated = jnp.append(state.said, self.echo[state.pair])
        return few.at[jnp.where(repeated < 0, size, repeated)].set(False)[:size]

    def goodness(self, state: ChatbotState, action: Action) -> Float[Array, ""]:
        """Return how good a reply is for a user, 0 to 1: the mean of its rating."""
        cosine = self.meanings[action] @ self.wanted[state.pair]
        fit = jax.scipy.stats.norm.cdf((cosine - self.centre[state.pair]) / self.width[state.pair])
        weight = self.interest_weight
        good = weight * self.interest[state.interest, action] + (1.0 - weight) * fit
        return good * jnp.where(self.repeats(state, action), REPEATED, 1.0)

    def repeats(self, state: ChatbotState, action: Action) -> Bool[Array, ""]:
        """Return whether a reply is one of the agent's last few, or the user's own words."""
        return (state.said == action).any() | (self.echo[state.pair] == action)

    def _opening(self, key: Key, interest: Int[Array, ""]) -> Int[Array, ""]:
        row = self.openings[interest]
        found = jnp.searchsorted(row, jax.random.uniform(key), side="right")
        return jnp.minimum(found, row.shape[0] - 1).astype(jnp.int32)

    def _observe(self, state: ChatbotState) -> Float[Array, " p"]:
        said, before = state.said[0], state.before
        return jnp.concatenate(
            [
                self.message_vectors[state.pair],
                jnp.where(said < 0, 0.0, self.reply_vectors[said]),
                jnp.where(before < 0, 0.0, self.message_vectors[before]),
                state.rating[None],
            ]
        )
