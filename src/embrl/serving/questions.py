"""Questions to a policy: read from JSON, checked, and answered side by side."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from embrl.core.errors import EmbrlError, SettingError, UnknownNameError
from embrl.core.products import PartMasks
from embrl.core.spaces import array_of
from embrl.deploy.exported import ExportedPolicy
from embrl.deploy.predict import noise_of
from embrl.store.filters import Condition

KEYS = ("observation", "observations", "seed", "mask", "filter")
MOST_ROWS = 1024
"""Observations in one question, at most."""


@dataclasses.dataclass(frozen=True, eq=False)
class Question:
    """Observations whose actions are wanted."""

    rows: np.ndarray
    """`[r, ...]`, checked."""
    single: bool
    """True if there was one observation, not a list of them."""
    noise: np.ndarray | None
    """`[r, ...]`; None for the most likely internal action."""
    mask: np.ndarray | None
    """Allowed actions `[r, n]`; None for all."""
    condition: Condition | None = None
    """Items that may be chosen, of a catalogue; None for all."""


class Answering(Protocol):
    """Interface of policies that answer questions, alone or with a catalogue."""

    def read(self, body: Any) -> Question: ...

    def answer(self, questions: Sequence[Question]) -> list[dict[str, Any] | EmbrlError]: ...


class PolicyAnswers:
    """Answers of a policy, the same as those of its export."""

    def __init__(self, policy: ExportedPolicy) -> None:
        self.policy = policy

    def read(self, body: Any) -> Question:
        """Return the question in a JSON value.

        Raises:
            EmbrlError: it is none; the message says what is wrong.
        """
        question = self.read_rows(body)
        if "filter" in body:
            raise SettingError("filter", "left out where there is no store", repr(body["filter"]))
        mask = None
        if body.get("mask") is not None:
            forms = self.policy.mask_forms
            mask = forms(body["mask"], (len(question.rows),))
            by_part = isinstance(forms, PartMasks)
            allowed = np.ones(len(mask), bool) if by_part else mask.any(-1)
            if not allowed.all():
                raise SettingError("mask", "True for an action at least", "none")
        return dataclasses.replace(question, mask=mask)

    def read_rows(self, body: Any) -> Question:
        """Return a question without its mask and filter."""
        if not isinstance(body, Mapping):
            raise SettingError("body", "a JSON object", type(body).__name__)
        for key in body:
            if key not in KEYS:
                raise UnknownNameError("key", str(key), KEYS)
        asked = [key for key in KEYS[:2] if key in body]
        if len(asked) != 1:
            raise SettingError("observation or observations", "given, one of them", len(asked))
        single = asked[0] == "observation"
        values = array_of(body[asked[0]], asked[0])
        rows = values[None] if single else values
        if not rows.ndim or not 1 <= len(rows) <= MOST_ROWS:
            count = len(rows) if rows.ndim else "one value"
            raise SettingError("observations", f"1 to {MOST_ROWS} of them", count)
        try:
            rows = self.policy.observation.checked(rows, warn=self.policy.warn)
        except EmbrlError as error:
            raise EmbrlError(f"{asked[0]}: {error}") from error
        seed, noise = body.get("seed"), None
        if seed is not None:
            if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
                raise SettingError("seed", "a whole number from 0 to 2^63 - 1", repr(seed))
            noise = noise_of(self.policy, seed)(len(rows))
        return Question(rows, single, noise, None)

    def answer(self, questions: Sequence[Question]) -> list[dict[str, Any] | EmbrlError]:
        """Return the answers in JSON's values."""

        def chosen(part: list[Question]) -> list[dict[str, Any] | EmbrlError]:
            rows, noise, mask = (joined(part, name) for name in ("rows", "noise", "mask"))
            actions = self.policy.policy(rows, noise, mask).astype(self.policy.action.dtype)
            names = self.policy.action_names
            named = None if names is None else self.policy.action_name(actions)
            return [
                said(question, action, None if named is None else named[at], None)
                for question, action, at in parts(part, actions)
            ]

        return grouped(questions, lambda each: (each.noise is None, each.mask is None), chosen)


def grouped(
    questions: Sequence[Question],
    key: Callable[[Question], Any],
    answer: Callable[[list[Question]], list[dict[str, Any] | EmbrlError]],
) -> list[dict[str, Any] | EmbrlError]:
    """Answer questions with the same key together, and return the answers in order."""
    groups: dict[Any, list[int]] = {}
    for at, question in enumerate(questions):
        groups.setdefault(key(question), []).append(at)
    found: list[Any] = [None] * len(questions)
    for places in groups.values():
        for at, one in zip(places, answer([questions[at] for at in places]), strict=True):
            found[at] = one
    return found


def joined(questions: Sequence[Question], name: str) -> Any:
    """Return an array of all rows of questions; None where they have none."""
    arrays = [getattr(question, name) for question in questions]
    return None if arrays[0] is None else np.concatenate(arrays)


def parts(questions: Sequence[Question], values: np.ndarray) -> list[tuple[Question, Any, slice]]:
    """Return each question with its values, and where these stand."""
    found, start = [], 0
    for question in questions:
        at = slice(start, start + len(question.rows))
        found.append((question, values[at], at))
        start = at.stop
    return found


def said(question: Question, actions: Any, names: Any, items: list[Any] | None) -> dict[str, Any]:
    """Return an answer in JSON's values."""
    answer = {"actions": np.asarray(actions).tolist()}
    if names is not None:
        answer["names"] = [str(name) for name in names]
    if items is not None:
        answer["items"] = items
    if question.single:
        return {key.removesuffix("s"): values[0] for key, values in answer.items()}
    return answer
