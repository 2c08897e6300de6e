"""The translation environment: a sentence, word by word, with a reward at its end."""

import dataclasses
from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Float, Int

from embrl.core.types import Action, Key, Observation, TimeStep
from embrl.envs.checks import check_choice, check_whole
from embrl.envs.environment import Demonstrations, Environment
from embrl.envs.translation.chrf import ChrF
from embrl.envs.translation.spelled import END, Parallel, read_parallel, spelled_numbers


@dataclasses.dataclass(frozen=True)
class TranslationConfig:
    """Settings of translation: write a sentence in another language, such as a number in words.

    An action is the next word, or the end. Only the whole sentence is judged.
    """

    many_actions: ClassVar[bool] = True
    """Actions are a long list (`embrl.envs.environment`)."""
    data_settings: ClassVar[tuple[str, ...]] = ("data",)
    """Settings that are paths of data (`embrl.envs.environment`)."""

    pair: str = "en-fr"
    """Languages, from and to, in which numbers from 0 to 9,999 are spelled: two of en, fr, es."""
    data: str = ""
    """CSV file with columns source and target, in place of numbers. Spaces separate words, and so
    do hyphens."""
    sentences: Literal["trained", "held_out"] = "trained"
    """Sentences that are asked for: those for training, or the fifth that is held out."""
    demonstrated: int | None = None
    """How many of the sentences for training an expert translates, where policies imitate one
    (imitation), at least 1; None: all."""
    reward: Literal["chrf", "exact"] = "chrf"
    """Reward of a sentence. chrf: the F-score of its character n-grams, 0 to 1 (as sacrebleu's,
    divided by 100). exact: 1 if it is right, else 0."""

    def build(self) -> "Translation":
        """Spell the numbers and make the environment.

        Raises:
            EmbrlError: If a setting is out of range, or num2words is not installed.
        """
        check_choice("sentences", self.sentences, ("trained", "held_out"))
        if self.demonstrated is not None:
            check_whole("demonstrated", self.demonstrated, 1)
        check_choice("reward", self.reward, ("chrf", "exact"))
        parallel = read_parallel(self.data) if self.data else spelled_numbers(self.pair)
        return Translation(self, parallel)


class TranslationState(NamedTuple):
    """State of a translation: the sentence, what is written so far, and of how many words it is."""

    sentence: Int[Array, ""]
    written: Int[Array, " target_length"]
    steps: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The words; static in compiled functions, which serve for all with the same words."""

    parallel: Parallel = dataclasses.field(compare=False)
    words: tuple[str, ...]


class Translation(Environment):
    """Translation as `TranslationConfig` describes it."""

    source: Int[Array, "sentences source_length"]
    target: Int[Array, "sentences target_length"]
    asked: Int[Array, " asked"]
    """Sentences that are asked for."""
    shown: Int[Array, " shown"]
    """Sentences that an expert translates."""
    chrf: ChrF
    exact: bool = eqx.field(static=True)
    vocabulary: Vocabulary = eqx.field(static=True)

    def __init__(self, config: TranslationConfig, parallel: Parallel) -> None:
        self.source = jnp.asarray(parallel.source)
        self.target = jnp.asarray(parallel.target)
        held_out = config.sentences == "held_out"
        self.asked = jnp.asarray(np.flatnonzero(parallel.held_out == held_out).astype(np.int32))
        trained = np.random.default_rng(1).permutation(np.flatnonzero(~parallel.held_out))
        self.shown = jnp.asarray(trained[: config.demonstrated].astype(np.int32))
        self.chrf = ChrF(parallel.target_words)
        self.exact = config.reward == "exact"
        self.vocabulary = Vocabulary(parallel, parallel.target_words)

    @property
    def step_limit(self) -> int:
        """Words of a sentence, its end included, at most."""
        return self.target.shape[1]

    @property
    def observation_space(self) -> spaces.MultiDiscrete:
        """Words of the source, then words written so far; 0 where there is none."""
        words = self.vocabulary.parallel
        sizes = [len(words.source_words)] * self.source.shape[1]
        return spaces.MultiDiscrete(sizes + [len(words.target_words)] * (self.step_limit - 1))

    @property
    def action_space(self) -> spaces.Discrete:
        """The end of the sentence, and all words of the target."""
        return spaces.Discrete(len(self.vocabulary.words))

    @property
    def action_names(self) -> tuple[str, ...]:
        """The words."""
        return ("(end)", *self.vocabulary.words[1:])

    @property
    def data_source(self) -> Parallel | None:
        """The file that the sentences were read from; None for numbers."""
        parallel = self.vocabulary.parallel
        return parallel if parallel.files else None

    def reset(self, key: Key) -> tuple[TranslationState, Int[Array, " p"]]:
        """Ask for a random sentence."""
        sentence = self.asked[jax.random.randint(key, (), 0, len(self.asked), jnp.int32)]
        state = TranslationState(sentence, jnp.zeros(self.step_limit, jnp.int32), jnp.int32(0))
        return state, self._observe(state)

    def step(
        self, key: Key, state: TranslationState, action: Action
    ) -> tuple[TranslationState, TimeStep]:
        """Write a word; `key` is not used."""
        del key
        written = state.written.at[state.steps].set(action.astype(jnp.int32))
        after = TranslationState(state.sentence, written, state.steps + 1)
        over = (action == END) | (after.steps >= self.step_limit)
        reward = jnp.where(over, self.score(written, state.sentence), 0.0)
        return after, TimeStep(
            observation=self._observe(after),
            reward=reward,
            terminated=over,
            truncated=jnp.bool_(False),
        )

    def score(self, written: Int[Array, " target_length"], sentence: Array) -> Float[Array, ""]:
        """Return the reward of a whole sentence."""
        wanted = self.target[sentence]
        if self.exact:
            return (written == wanted).all().astype(jnp.float32)
        return self.chrf(written, wanted)

    def demonstrations(self, key: Key, count: int) -> Demonstrations:
        """Return random places in right translations, and the next words."""
        key_sentence, key_place = jax.random.split(key)
        at = jax.random.randint(key_sentence, (count,), 0, len(self.shown), jnp.int32)
        sentences = self.shown[at]
        wanted = self.target[sentences]
        words = (wanted != END).sum(1)
        places = jnp.floor(jax.random.uniform(key_place, (count,)) * (words + 1)).astype(jnp.int32)
        written = jnp.where(jnp.arange(self.step_limit) < places[:, None], wanted, END)
        states = TranslationState(sentences, written, places)
        action = jnp.take_along_axis(wanted, places[:, None], 1)[:, 0]
        return Demonstrations(jax.vmap(self._observe)(states), action)

    def transcript(self, observations: Any, actions: Any, rewards: Any) -> tuple[str, ...]:
        """Return the source, what was written and what was wanted."""
        words = self.vocabulary.parallel
        source = np.asarray(observations[0])[: self.source.shape[1]]
        sentence = int((words.source == source).all(1).argmax())
        wanted = words.text(words.target[sentence])
        said = words.text([*actions, END])
        mark = "right" if said == wanted else f"not {wanted}"
        return (f"{words.source_text(source)} -> {said}  ({mark}, {float(np.sum(rewards)):.2f})",)

    def state_coordinates(self, observation: Observation) -> None:
        """Return None: a sentence has no coordinates."""
        del observation

    def references(self, key: Key) -> dict[str, float]:
        """Return `best_known_return`, that of a right translation, which is the optimum."""
        del key
        return {"best_known_return": 1.0}

    def _observe(self, state: TranslationState) -> Int[Array, " p"]:
        return jnp.concatenate([self.source[state.sentence], state.written[:-1]])
