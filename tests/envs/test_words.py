"""The chatbot and translation, on made-up sentences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import embrl
from embrl.core.errors import EmbrlError
from embrl.envs.chatbot import ChatbotConfig, corpus, judge
from embrl.envs.chatbot.policies import nearest_replies, policy_returns
from embrl.envs.chatbot.user import REPEATED, SEEN
from embrl.envs.translation import TranslationConfig
from embrl.envs.translation.chrf import ChrF
from embrl.text import text_vectors

KEY = jax.random.key(0)
SUBJECTS = ["tea and cake", "rain and snow", "cats and dogs"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Thirty conversations of six turns, each about one of three subjects."""
    path = tmp_path_factory.mktemp("corpus") / "talk.csv"
    rows = [
        f"{number},{'ab'[turn % 2]},turn {turn} about {SUBJECTS[number % 3]} today {number % 7}"
        for number in range(30)
        for turn in range(6)
    ]
    path.write_text("\n".join(["conversation,speaker,text", *rows]) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def chatbot(data):
    options = {"text_encoder": "words", "interests": 3, "dimensions": 8}
    return ChatbotConfig(data, **options).build()


def test_held_out_conversations_give_no_replies(data):
    turns, source = corpus.read_conversations(data, ())
    found = corpus.build_corpus(turns, source, 1000, 20)
    answers = np.array(found.answers)
    assert set(found.replies) == set(answers[~found.held_out])
    assert found.held_out.sum() == 6 * 5
    follows = np.flatnonzero(found.next >= 0)
    assert (found.conversation[follows] == found.conversation[found.next[follows]]).all()
    for pair in follows:
        turn = int(found.messages[pair].split()[1])
        assert found.messages[found.next[pair]].startswith(f"turn {turn + 2} ")


def test_messages_of_one_speaker_are_one_turn(tmp_path):
    path = tmp_path / "talk.csv"
    path.write_text("dialogue,speaker,said\n1,a,hello\n1,a,there\n1,b,hi\n2,b,no\n1,a,bye\n")
    names = ("conversation=dialogue", "text=said")
    turns, _ = corpus.read_conversations(str(path), names)
    assert turns == [["hello there", "hi", "bye"], ["no"]]


def test_pairs_of_messages_and_replies(tmp_path):
    path = tmp_path / "talk.csv"
    path.write_text("message,reply,conversation\nhello,hi,1\nbye,see you,1\nhey,yo,2\n")
    turns, _ = corpus.read_conversations(str(path), ())
    assert turns == [["hello", "hi", "bye", "see you"], ["hey", "yo"]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("conversation,words\n1,a\n", "columns conversation and text .*add text"),
        ("message,answer\na,b\n", "columns message and reply .*add reply"),
        ("message,reply\na,b\nc, \n", "reply in each row, got none in row 2"),
        ("conversation,text\n1,a\n1,\n", "text in each row, got none in row 2"),
        ("conversation,text\n1,a\n1,b\n", "env.data must have at least 2 messages"),
        ("", "got nothing"),
    ],
)
def test_what_a_corpus_lacks_is_one_line(tmp_path, content, said):
    path = tmp_path / "talk.csv"
    path.write_text(content)
    with pytest.raises(EmbrlError, match=said):
        ChatbotConfig(str(path), text_encoder="words").build()


def test_a_rating_is_by_fit_and_hidden_interest(chatbot):
    state, seen = chatbot.reset(KEY)
    replies = jnp.arange(chatbot.action_space.n)
    good = np.asarray(jax.vmap(lambda reply: chatbot.goodness(state, reply))(replies))
    other = state._replace(interest=(state.interest + 1) % 3)
    assert not np.allclose(good, jax.vmap(lambda reply: chatbot.goodness(other, reply))(replies))
    assert ((good >= 0) & (good <= 1)).all()
    best = int(good.argmax())
    said = state._replace(said=state.said.at[1].set(best))
    np.testing.assert_allclose(chatbot.goodness(said, best), REPEATED * good[best], rtol=1e-5)
    subject = chatbot.spoken.corpus.messages[int(state.pair)].split(" about ")[1].split(" today")[0]
    fits = judge.new_judge(
        chatbot.spoken.corpus,
        1,
        np.asarray(chatbot.message_vectors),
        np.asarray(chatbot.reply_vectors),
    )
    cosines = fits.replies @ fits.wanted[int(state.pair)]
    names = np.array(chatbot.action_names)
    assert subject in names[cosines.argmax()]
    assert seen.shape == (SEEN * 8 + 1,)


def test_users_of_held_out_conversations_say_nothing_else(chatbot, data):
    options = {"text_encoder": "words", "interests": 3, "dimensions": 8, "followed": 1.0}
    env = ChatbotConfig(data, users="held_out", **options).build()
    held_out = np.flatnonzero(env.spoken.corpus.held_out)
    assert np.isin(env.taken_up, held_out).all()
    states = jax.vmap(lambda key: env.reset(key)[0])(jax.random.split(KEY, 200))
    assert np.isin(states.pair, held_out).all()


def test_the_oracle_is_ahead_and_a_corpus_reply_is_shown(chatbot):
    found = policy_returns(chatbot, KEY, 200)
    assert found["oracle"].mean() > 1.2 * found["random_reply"].mean()
    assert found["oracle"].mean() > found["nearest_message"].mean()
    shown = chatbot.demonstrations(KEY, 50)
    spoken = chatbot.spoken.corpus
    vectors = np.asarray(chatbot.message_vectors)
    for seen, action in zip(np.asarray(shown.observation), np.asarray(shown.action), strict=True):
        same = np.flatnonzero((vectors == seen[:8]).all(1) & ~spoken.held_out)
        assert spoken.replies[action] in {spoken.answers[pair] for pair in same}


OPTIONS = {"text_encoder": "words", "interests": 3, "dimensions": 8}


def test_retrieval_is_an_expert_that_pays_no_heed_to_what_was_said_before(data):
    env = ChatbotConfig(data, expert="nearest_reply", shortlist=1000, **OPTIONS).build()
    spoken = env.spoken.corpus
    vectors = text_vectors(corpus.sentences(spoken), "words")
    pairs = len(spoken.messages)
    messages, replies = (
        part / np.linalg.norm(part, axis=1, keepdims=True)
        for part in (vectors[:pairs], vectors[2 * pairs :])
    )
    chosen = np.asarray(env.shown)
    for pair in range(pairs):
        others = np.array([reply != spoken.messages[pair] for reply in spoken.replies])
        cosines = replies @ messages[pair]
        assert others[chosen[pair]]
        assert cosines[chosen[pair]] == pytest.approx(cosines[others].max(), abs=1e-6)
    shown = env.demonstrations(KEY, 100)
    seen = np.asarray(shown.observation)
    for row, action in zip(seen, np.asarray(shown.action), strict=True):
        same = np.flatnonzero((np.asarray(env.message_vectors) == row[:8]).all(1))
        assert action in chosen[same]
    # The same message is shown after different ones.
    assert len(np.unique(seen[:, :24], axis=0)) > 70
    assert np.asarray(shown.mask)[np.arange(100), np.asarray(shown.action)].all()


def test_a_shortlist_has_the_nearest_replies_but_those_just_said(data):
    env = ChatbotConfig(data, shortlist=9, **OPTIONS).build()
    free = ChatbotConfig(data, **OPTIONS).build()
    state, _ = env.reset(KEY)
    assert free.action_mask(state) is None
    nearest = nearest_replies(env, 9)[int(state.pair)]
    wanted = set(nearest.tolist()) - {int(env.echo[state.pair])}
    assert set(np.flatnonzero(np.asarray(env.action_mask(state))).tolist()) == wanted
    said = jnp.array([min(wanted), -1, -1], jnp.int32)
    found = set(np.flatnonzero(np.asarray(env.action_mask(state._replace(said=said)))).tolist())
    assert found == wanted - {min(wanted)}
    whole = ChatbotConfig(data, shortlist=10_000, **OPTIONS).build()
    mask = np.asarray(whole.action_mask(state._replace(said=said)))
    assert set(np.flatnonzero(~mask).tolist()) == {min(wanted), int(env.echo[state.pair])} - {-1}


def test_a_dialogue_can_be_read(chatbot):
    state, seen = chatbot.reset(KEY)
    lines = chatbot.transcript(np.stack([seen, seen]), np.array([3]), np.array([0.5]))
    assert lines[0].endswith(chatbot.spoken.corpus.messages[int(state.pair)])
    assert chatbot.action_names[3] in lines[1]


# Translation

WORDS = ("", "vingt", "deux", "cent", "et", "un", "aa")
# Scores of sacrebleu 2.6 (CHRF().sentence_score(...).score / 100), which `make interop` compares.
SCORED = [
    ([1, 2, 0, 0], [1, 2, 0, 0], 1.0),
    ([0, 0, 0, 0], [1, 2, 0, 0], 0.0),
    ([1, 0, 0, 0], [1, 2, 0, 0], 0.458150),
    ([6, 6, 1, 0], [6, 1, 0, 0], 0.909631),
    ([2, 1, 0, 3], [1, 2, 0, 0], 0.548214),
]


@pytest.mark.parametrize(("written", "wanted", "score"), SCORED)
def test_chrf_is_that_of_sacrebleu(written, wanted, score):
    chrf = ChrF(WORDS)
    assert float(chrf(jnp.array(written), jnp.array(wanted))) == pytest.approx(score, abs=1e-5)


@pytest.fixture(scope="module")
def translated(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    rows = [f"number {at},numero {at} {'x ' * (at % 3)}" for at in range(20)]
    path.write_text("\n".join(["source,target", *rows]) + "\n")
    return str(path)


@pytest.mark.parametrize("reward", ["chrf", "exact"])
def test_only_a_whole_sentence_is_judged(translated, reward):
    env = TranslationConfig(data=translated, reward=reward).build()
    state, seen = env.reset(KEY)
    wanted = env.target[state.sentence]
    rewards = []
    for word in wanted:
        state, step = env.step(KEY, state, word)
        rewards.append(float(step.reward))
        if step.terminated:
            break
    assert rewards[:-1] == [0.0] * (len(rewards) - 1)
    assert rewards[-1] == pytest.approx(1.0)
    assert seen[env.source.shape[1] :].tolist() == [0] * (env.step_limit - 1)
    state, _ = env.reset(KEY)
    _, step = env.step(KEY, state, jnp.int32(0))
    assert step.terminated
    assert step.reward == 0.0


def test_an_expert_shows_the_next_word_of_sentences_for_training(translated):
    env = TranslationConfig(data=translated, demonstrated=3).build()
    held_out = TranslationConfig(data=translated, sentences="held_out").build()
    assert not set(env.asked.tolist()) & set(held_out.asked.tolist())
    shown = env.demonstrations(KEY, 100)
    sentences = {tuple(row[: env.source.shape[1]].tolist()) for row in shown.observation}
    assert len(sentences) == 3
    for seen, word in zip(np.asarray(shown.observation), np.asarray(shown.action), strict=True):
        at = int((np.asarray(env.source) == seen[: env.source.shape[1]]).all(1).argmax())
        written = seen[env.source.shape[1] :]
        assert env.target[at, (written != 0).sum()] == word


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("source,words\na,b\n", "columns source, target, got source, words"),
        ("source,target\na,b\nc,\n", "target in each row, got none in row 2"),
    ],
)
def test_what_parallel_sentences_lack_is_one_line(tmp_path, content, said):
    path = tmp_path / "pairs.csv"
    path.write_text(content)
    with pytest.raises(EmbrlError, match=said):
        TranslationConfig(data=str(path)).build()


def test_settings_of_words_have_bounds(translated):
    for wrong, said in (
        ({"pair": "en-de"}, "env.pair"),
        ({"data": translated, "demonstrated": 0}, "env.demonstrated"),
    ):
        with pytest.raises(EmbrlError, match=said):
            embrl.make("translation", **wrong)
    for wrong, said in (
        ({"expert": "nearest"}, "env.expert"),
        ({"shortlist": 3}, "env.shortlist must be 0 or at least 8, got 3"),
    ):
        with pytest.raises(EmbrlError, match=said):
            embrl.make("chatbot", **wrong)
