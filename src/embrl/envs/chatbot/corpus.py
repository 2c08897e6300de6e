"""Conversations: read from a package or from a user's CSV file, and taken apart into turns."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from embrl.core.errors import EmbrlError, SettingError, require
from embrl.storage.files import as_path
from embrl.text.tables import header_of, read_rows

Turns = list[list[str]]
"""Conversations, each a list of turns; two speakers take turns."""

SPOKEN = ("conversation", "text")
"""Columns of a file with a row for each message, in order; `speaker` may be a third one."""
PAIRED = ("message", "reply")
"""Columns of a file with a row for each message and its reply; `conversation` may be a third."""

ROLES = ("conversation", "text", "speaker", "message", "reply")

HELD_OUT_EVERY = 5
"""One conversation of this many is held out."""

MIN_PAIRS = 2
"""Messages that each part of the conversations needs, at least."""


@dataclasses.dataclass(frozen=True)
class DialogueSource:
    """Source of the conversations (`embrl.envs.environment.EnvironmentData`)."""

    files: dict[str, str]
    """Checksums by path, or by package."""
    conversations: int

    def notes(self) -> tuple[str, ...]:
        """Return what was read, in a line."""
        return (f"{self.conversations:,} conversations from {', '.join(self.files)}",)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Messages of users, the replies that the corpus holds, and what was said afterwards."""

    messages: tuple[str, ...]
    """What a user says, of each pair."""
    answers: tuple[str, ...]
    """What was replied, of each pair."""
    next: Int[np.ndarray, " pairs"]
    """The pair with which the user of a pair goes on, two turns later; -1 at the end."""
    conversation: Int[np.ndarray, " pairs"]
    """Number of the conversation of each pair."""
    held_out: Bool[np.ndarray, " pairs"]
    """True for pairs of held-out conversations."""
    replies: tuple[str, ...]
    """All distinct replies of the conversations that are not held out."""
    homes: Int[np.ndarray, " replies"]
    """The pair in which a reply first occurs."""
    source: DialogueSource


def read_conversations(data: str, columns: Sequence[str]) -> tuple[Turns, DialogueSource]:
    """Read conversations.

    Args:
        data: path of a CSV file; empty: the dialogues in the package chitchat-dataset.
        columns: what columns mean, as `text=utterance`, where they have other names.

    Raises:
        EmbrlError: the package is missing, or the file is bad; the message names its row.
    """
    if data:
        path = as_path(data)
        turns = list(_of_file(path, _named(columns)))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return turns, DialogueSource({data: digest}, len(turns))
    package = require("chitchat_dataset", "dialogues")
    content = Path(str(package.__file__)).with_name("dataset.json").read_bytes()
    turns = [
        [" ".join(message["text"] for message in turn) for turn in dialogue["messages"]]
        for dialogue in json.loads(content).values()
    ]
    return turns, DialogueSource(
        {"chitchat-dataset": hashlib.sha256(content).hexdigest()}, len(turns)
    )


def build_corpus(
    conversations: Turns, source: DialogueSource, max_replies: int, max_words: int
) -> Corpus:
    """Take conversations apart, in an order that is always the same.

    Args:
        conversations: all of them; those of two turns or more are used.
        source: what they were read from.
        max_replies: number of distinct replies after which no more conversations are taken.
        max_words: words of a message or reply, beyond which it is left out.

    Raises:
        EmbrlError: too little is left.
    """
    messages: list[str] = []
    answers: list[str] = []
    following: list[int] = []
    numbers: list[int] = []
    held: list[bool] = []
    places: dict[str, int] = {}
    homes: list[int] = []
    usable = [at for at, turns in enumerate(conversations) if len(turns) > 1]
    order = np.random.default_rng(0).permutation(usable) if usable else []
    for rank, number in enumerate(np.asarray(order).tolist()):
        if len(places) >= max_replies:
            break
        turns = [" ".join(turn.split()) for turn in conversations[number]]
        held_out = rank % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        said = [bool(turn) and len(turn.split()) <= max_words for turn in turns]
        at: dict[int, int] = {}
        for turn in range(len(turns) - 1):
            if not (said[turn] and said[turn + 1]):
                continue
            answer = turns[turn + 1]
            if not held_out and answer not in places:
                if len(places) >= max_replies:
                    continue
                places[answer] = len(places)
                homes.append(len(messages))
            at[turn] = len(messages)
            messages.append(turns[turn])
            answers.append(answer)
            following.append(-1)
            numbers.append(number)
            held.append(held_out)
        for turn, pair in at.items():
            following[pair] = at.get(turn + 2, -1)
    for part, is_held in (("trained on", False), ("held out", True)):
        if (count := held.count(is_held)) < MIN_PAIRS:
            raise EmbrlError(
                f"env.data must have at least {MIN_PAIRS} messages with a reply in the "
                f"conversations that are {part}, got {count}; give {HELD_OUT_EVERY} conversations "
                f"of at most env.max-words ({max_words}) words a turn, or more"
            )
    if len(places) < 2:
        raise EmbrlError(f"env.data must have at least 2 different replies, got {len(places)}")
    return Corpus(
        tuple(messages),
        tuple(answers),
        np.array(following, np.int32),
        np.array(numbers, np.int32),
        np.array(held),
        tuple(places),
        np.array(homes, np.int32),
        source,
    )


def _named(columns: Sequence[str]) -> dict[str, str]:
    """Return the names of columns by role."""
    names = {role: role for role in ROLES}
    for word in columns:
        role, equals, name = word.partition("=")
        if not equals or role not in ROLES or not name:
            raise SettingError("env.columns", f"like text=NAME, of {', '.join(ROLES)}", word)
        names[role] = name
    return names


def _of_file(path: Path, names: dict[str, str]) -> Iterator[list[str]]:
    header = header_of(path, "env.data")
    if all(names[role] in header for role in PAIRED):
        yield from _paired(path, names, names["conversation"] in header)
        return
    wanted = [names[role] for role in SPOKEN]
    if not set(wanted) <= set(header):
        # A file of pairs that lacks one of its columns is told so.
        near = PAIRED if any(names[role] in header for role in PAIRED) else SPOKEN
        other = SPOKEN if near is PAIRED else PAIRED
        missing = [names[role] for role in near if names[role] not in header]
        raise EmbrlError(
            f"env.data {path} must have columns {' and '.join(names[role] for role in near)} (or "
            f"{' and '.join(names[role] for role in other)}), got {', '.join(header) or 'nothing'};"
            f" add {', '.join(missing)}, or say what is called otherwise, as --env.columns "
            f"{near[-1]}=NAME"
        )
    yield from _spoken(path, names, names["speaker"] in header)


def _spoken(path: Path, names: dict[str, str], speakers: bool) -> Iterator[list[str]]:
    """Yield conversations of a file with a row for each message."""
    columns = [*SPOKEN, *(["speaker"] if speakers else [])]
    found: dict[str, list[str]] = {}
    last: dict[str, str] = {}
    for row in read_rows(path, [names[role] for role in columns], "env.data"):
        text = _filled(path, row.cells[names["text"]], names["text"], row.number)
        key = row.cells[names["conversation"]]
        turns = found.setdefault(key, [])
        speaker = row.cells[names["speaker"]] if speakers else ""
        if speakers and turns and last[key] == speaker:
            turns[-1] += f" {text}"
        else:
            turns.append(text)
        last[key] = speaker
    yield from found.values()


def _paired(path: Path, names: dict[str, str], numbered: bool) -> Iterator[list[str]]:
    """Yield conversations of a file with a row for each message and its reply."""
    columns = [*PAIRED, *(["conversation"] if numbered else [])]
    found: dict[str, list[str]] = {}
    for row in read_rows(path, [names[role] for role in columns], "env.data"):
        both = [_filled(path, row.cells[names[r]], names[r], row.number) for r in PAIRED]
        key = row.cells[names["conversation"]] if numbered else str(row.number)
        found.setdefault(key, []).extend(both)
    yield from found.values()


def _filled(path: Path, text: str, column: str, row: int) -> str:
    if not text.strip():
        raise EmbrlError(
            f"env.data {path} must have a {column} in each row, got none in row {row}; fill it in, "
            "or leave the row out"
        )
    return text


def sentences(corpus: Corpus) -> tuple[str, ...]:
    """Return all messages, answers and replies, one after another."""
    return (*corpus.messages, *corpus.answers, *corpus.replies)


def words_of(text: str) -> Iterable[str]:
    """Return the words of a text in lower case, without punctuation at their ends."""
    return (word for each in text.lower().split() if (word := each.strip(".,!?;:\"'()*-")))
