"""Judgement of replies by simulated users: whether they fit, and whether they are of interest.

How well a reply fits is judged by latent semantic analysis of the corpus's own words (Deerwester et
al. 1990), which knows nothing of the sentence vectors that an agent sees: words are near each other
if they occur in the same messages and their replies. Interests are directions among the sentence
vectors themselves, all of their numbers: what users like is in what an agent sees, but hidden.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from embrl.envs.chatbot.corpus import Corpus, words_of

DIMENSIONS = 48
"""Dimensions of the space of meanings, at most."""

RARE = 3
"""Pairs in which a word must occur to have a meaning."""

USUAL = 0.03
"""Fraction of pairs beyond which a word says nothing of what they are about, as `you` or `like`."""

OWN, ANSWER, LATER = 1.0, 2.0, 0.5
"""Weights of the user's message, of the reply that the corpus holds, and of the next message, in
what a reply is compared with."""

ROUNDS = 20
"""Rounds of k-means."""


class Judge(NamedTuple):
    """Meanings of what is said, and what users are interested in."""

    replies: Float[np.ndarray, "replies k"]
    """Meanings of replies, of length 1; 0 where no word is known."""
    messages: Float[np.ndarray, "pairs k"]
    """The same of messages."""
    wanted: Float[np.ndarray, "pairs k"]
    """What is compared with a reply to each message."""
    centre: Float[np.ndarray, " pairs"]
    """Mean cosine of all replies with what is wanted."""
    width: Float[np.ndarray, " pairs"]
    """Its standard deviation."""
    topics: Float[np.ndarray, "topics pairs"]
    """Cosines of what users can be interested in with each message."""
    interest: Float[np.ndarray, "topics replies"]
    """Fraction of replies that are less interesting for users with each interest."""


def new_judge(
    corpus: Corpus,
    topics: int,
    message_vectors: Float[np.ndarray, "pairs size"],
    reply_vectors: Float[np.ndarray, "replies size"],
) -> Judge:
    """Return the judge of a corpus; the same each time.

    Args:
        corpus: the conversations.
        topics: number of interests.
        message_vectors: sentence vectors, centred.
        reply_vectors: the same of replies.
    """
    meaning = _meanings(corpus)
    replies = meaning(corpus.replies)
    messages, answers = meaning(corpus.messages), meaning(corpus.answers)
    later = np.where(corpus.next[:, None] >= 0, messages[corpus.next], 0.0)
    wanted = _normed(OWN * messages + ANSWER * answers + LATER * later)
    centre = wanted @ replies.mean(0)
    spread = np.einsum("pk,kl,pl->p", wanted, replies.T @ replies / len(replies), wanted)
    width = np.sqrt(np.maximum(spread - centre**2, 1e-6))
    said, answered = _normed(message_vectors), _normed(reply_vectors)
    centres = _clusters(answered, topics)
    ranks = (centres @ answered.T).argsort(-1).argsort(-1)
    interest = ranks / max(1, len(replies) - 1)
    cosines = centres @ said.T
    return Judge(replies, messages, wanted, centre, width, cosines, interest.astype(np.float32))


def _meanings(corpus: Corpus) -> Callable[[Sequence[str]], Float[np.ndarray, "n k"]]:
    """Return the function from texts to meanings that the pairs of a corpus teach."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import svds

    pairs = [
        f"{message} {answer}"
        for message, answer in zip(corpus.messages, corpus.answers, strict=True)
    ]
    counted: dict[str, int] = {}
    for pair in pairs:
        for word in set(words_of(pair)):
            counted[word] = counted.get(word, 0) + 1
    most = max(RARE, USUAL * len(pairs))
    known = sorted(word for word, count in counted.items() if RARE <= count <= most)
    known = known or sorted(counted)
    places = {word: at for at, word in enumerate(known)}
    weight = np.log(len(pairs) / np.array([counted[word] for word in known])) + 1e-3

    def table(texts: Sequence[str]) -> csr_matrix:
        rows, columns = [], []
        for row, text in enumerate(texts):
            found = [places[word] for word in words_of(text) if word in places]
            rows += [row] * len(found)
            columns += found
        values = weight[columns] if columns else np.zeros(0)
        return csr_matrix((values, (rows, columns)), (len(texts), len(known)))

    counts = table(pairs)
    smaller = min(len(pairs), len(known))
    size = min(DIMENSIONS, smaller - 1)
    if size < 1:
        directions = np.eye(len(known))
    else:
        start = np.random.default_rng(0).normal(size=smaller)
        # Signs do not matter: only cosines are used.
        directions = np.asarray(svds(counts, k=size, v0=start)[2]).T

    def meaning(texts: Sequence[str]) -> Float[np.ndarray, "n k"]:
        return _normed(np.asarray(table(texts) @ directions)).astype(np.float32)

    return meaning


def _clusters(points: Float[np.ndarray, "n k"], count: int) -> Float[np.ndarray, "count k"]:
    """Return directions of spherical k-means."""
    rng = np.random.default_rng(0)
    some = points[np.linalg.norm(points, axis=1) > 0]
    some = points if len(some) == 0 else some
    centres = some[rng.integers(len(some), size=1)]
    while len(centres) < count:  # k-means++
        far = np.maximum(1.0 - (some @ centres.T).max(1), 0.0) + 1e-9
        centres = np.append(centres, some[[rng.choice(len(some), p=far / far.sum())]], 0)
    for _ in range(ROUNDS):
        nearest = (some @ centres.T).argmax(1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, some)
        centres = np.where(np.abs(sums).sum(1, keepdims=True) > 0, _normed(sums), centres)
    return centres.astype(np.float32)


def _normed(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
