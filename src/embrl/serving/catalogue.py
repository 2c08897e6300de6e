"""A policy whose f is a store: it proposes a point, and chooses among the items that are there."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from embrl.core.errors import EmbrlError, SettingError
from embrl.core.spaces import array_of
from embrl.deploy.exported import ExportedPolicy
from embrl.embedding.feature_actions import FeatureActions, checked_features
from embrl.portable.steps import Echoed, Nearest, Scored
from embrl.serving.questions import PolicyAnswers, Question, grouped, joined, parts, said
from embrl.store.collection import MOST, Collection
from embrl.store.filters import Given, both
from embrl.store.mirror import StoredRows

AT_ONCE = 2**22
"""Numbers of the points of items that are scored at once."""
MOST_ITEMS = 10_000
"""Items in one change, at most."""


class CatalogueAnswers:
    """Answers of a policy whose f is a collection of items.

    The internal action is a point e. The nearest items that a filter lets through are found in the
    collection, and of these the one with the highest score is chosen, as the policy's decoder
    does: without a filter, and with the items that it was trained with, it is the same one.
    """

    def __init__(
        self,
        policy: ExportedPolicy,
        items: Collection,
        g: Any = None,
        filter: Given = None,  # noqa: A002
    ) -> None:
        """Check that the policy can choose from a store.

        Args:
            policy: the policy.
            items: actions of its embedding.
            g: its action encoder, which embeds new items by their features; None: there are none.
            filter: which items may ever be chosen, as `in_stock`.

        Raises:
            EmbrlError: the policy's actions are not embedded, or the filter does not fit the items.
        """
        steps = policy.policy
        nearest = steps.scored is not None or any(isinstance(s, Nearest) for s in steps.f.steps)
        if not nearest:
            raise SettingError(
                "method", "one with an embedding of actions to serve a store", "none"
            )
        self.policy, self.items, self.g = policy, items, g
        self._reader = PolicyAnswers(policy)
        self._always = items.condition(filter)
        table: Any = None if steps.scored is None else steps.scored.table
        self._trained = None if table is None else Nearest.of(np.asarray(table))

    def read(self, body: Any) -> Question:
        """Return the question in a JSON value.

        Raises:
            EmbrlError: it is none; the message says what is wrong.
        """
        question = self._reader.read_rows(body)
        if body.get("mask") is not None:
            raise SettingError("mask", "left out where there is a store", "one", "use filter")
        if question.noise is not None and self.policy.policy.f_draw is not None:
            raise SettingError("seed", "left out where f is random and a store in its place", "one")
        condition = both(self._always, self.items.condition(body.get("filter")))
        return dataclasses.replace(question, condition=condition)

    def answer(self, questions: Sequence[Question]) -> list[dict[str, Any] | EmbrlError]:
        """Return the answers in JSON's values."""
        return grouped(
            questions, lambda each: (each.noise is None, repr(each.condition)), self._chosen
        )

    def change(self, body: Any) -> dict[str, Any]:
        """Add items, or change the metadata of some, and return how many.

        A new item needs its features, which place it, and a value for every column; of an item that
        is there, what is not given stays as it is.

        Raises:
            EmbrlError: a value is missing or does not fit; then nothing is changed.
        """
        given = _listed(body, "items")
        columns = self.items.record.columns
        ids = _ids([_entry(item).get("id") for item in given])
        there = {hit.id: hit for hit in self.items.get(ids)}
        vectors = self._placed(given, ids, there)
        metadata: dict[str, list[Any]] = {name: [] for name in columns}
        for item, number in zip(given, ids.tolist(), strict=True):
            if unknown := item.keys() - columns.keys() - {"id", "features"}:
                wanted = f"id, features or one of {', '.join(columns)}"
                raise SettingError(f"key of item {number}", wanted, sorted(unknown)[0])
            before = there[number].metadata if number in there else {}
            for name, values in metadata.items():
                if name not in item and name not in before:
                    raise SettingError(f"{name} of item {number}", "given", "nothing")
                values.append(item.get(name, before.get(name)))
        return {"items": self.items.upsert(ids, vectors, metadata)}

    def remove(self, body: Any) -> dict[str, Any]:
        """Remove items by their ids, and return how many were there.

        Raises:
            EmbrlError: these are no ids.
        """
        return {"removed": self.items.delete(_ids(_listed(body, "ids")))}

    def _placed(
        self, given: Sequence[Mapping[str, Any]], ids: np.ndarray, there: Mapping[int, Any]
    ) -> np.ndarray:
        new = [at for at, item in enumerate(given) if item.get("features") is not None]
        for at, number in enumerate(ids.tolist()):
            if number not in there and at not in new:
                raise SettingError(f"features of item {number}", "given, as it is new", "nothing")
        vectors = np.zeros((len(given), self.items.record.dim), np.float32)
        for at, number in enumerate(ids.tolist()):
            if number in there:
                vectors[at] = there[number].vector
        if new:
            if not isinstance(self.g, FeatureActions):
                raise SettingError(
                    "features", "left out where the policy's actions have none", "some",
                    "train with --embedding.action-features to add items",
                )  # fmt: skip
            features = array_of([given[at]["features"] for at in new], "features")
            checked = checked_features(features, "features", rows=None, columns=self.g.columns)
            vectors[new] = np.asarray(self.g.embed(checked))  # type: ignore[arg-type]
        return vectors

    def _chosen(self, questions: list[Question]) -> list[dict[str, Any] | EmbrlError]:
        steps = self.policy.policy
        rows, noise = joined(questions, "rows"), joined(questions, "noise")
        x = steps.features(rows)
        values = steps.actor(x)
        first = steps.draw.normal + steps.draw.uniform
        e = steps.most_likely(values) if noise is None else steps.draw(values, noise[..., :first])
        k = 1 if steps.scored is None else steps.scored.k or MOST
        condition = questions[0].condition
        found = [near for near, _ in self.items.nearest(e, k, condition, columns=False)]
        if not len(found[0].ids):  # the filter, which is the same for all, lets nothing through
            error = SettingError("filter", "true for an item at least", "true for none")
            return [error for _ in questions]
        step = max(1, AT_ONCE // found[0].vectors.size)
        ids = np.concatenate(
            [
                self._best(found[at : at + step], x[at : at + step], rows[at : at + step])
                for at in range(0, len(rows), step)
            ]
        )
        there = {hit.id: hit.metadata for hit in self.items.get(np.unique(ids))}
        if len(there) < len(set(ids.tolist())):  # another program has removed one since
            error = EmbrlError("the item that was chosen is gone; ask again")
            return [error for _ in questions]
        items = [{"id": each, **there[each]} for each in ids.tolist()]
        actions = steps.leave(ids).astype(self.policy.action.dtype)
        return [
            said(question, action, self._names(items[at]), items[at])
            for question, action, at in parts(questions, actions)
        ]

    def _best(self, found: list[StoredRows], x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the ids of the items with the highest scores, or of the nearest ones.

        As many items were found for each row.
        """
        scored = self.policy.policy.scored
        ids = np.stack([near.ids for near in found])
        if scored is None:
            return ids[:, 0]
        vectors = np.stack([near.vectors for near in found])
        if scored.k is None:  # of equal ones the lowest id counts, as there is no distance
            order = ids.argsort(-1)
            ids = np.take_along_axis(ids, order, -1)
            vectors = np.take_along_axis(vectors, order[..., None], -2)
        if isinstance(scored, Scored):
            scores = scored.values(x, vectors)
        else:
            scores = self._gains(scored, ids, vectors, x, rows)
        return ids[np.arange(len(ids)), scores.argmax(-1)]

    def _gains(
        self, scored: Echoed, ids: np.ndarray, vectors: np.ndarray, x: np.ndarray, rows: np.ndarray
    ) -> np.ndarray:
        """Return the gains of items; of new ones, those of the nearest trained actions."""
        factors = None if scored.recall is None else scored.recall.factors(rows)
        gains = scored.gains(x, factors)
        actions, new = ids.copy(), ids >= gains.shape[-1]
        if new.any():
            assert self._trained is not None
            actions[new] = self._trained(vectors[new])
        return np.take_along_axis(gains, actions, -1)

    def _names(self, items: Sequence[Mapping[str, Any]]) -> list[str] | None:
        return [item["name"] for item in items] if "name" in self.items.record.columns else None


def _listed(body: Any, key: str) -> list[Any]:
    found = body.get(key) if isinstance(body, Mapping) and body.keys() == {key} else None
    if not isinstance(found, list) or not 1 <= len(found) <= MOST_ITEMS:
        raise SettingError("body", f'{{"{key}": a list of 1 to {MOST_ITEMS:,}}}', "something else")
    return found


def _entry(item: Any) -> Mapping[str, Any]:
    if not isinstance(item, Mapping):
        raise SettingError("item", "a JSON object", type(item).__name__)
    return item


def _ids(values: Sequence[Any]) -> np.ndarray:
    for value in values:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
            raise SettingError("id", "a whole number from 0 to 2^31 - 1", repr(value))
    return np.array(values, np.int64)
