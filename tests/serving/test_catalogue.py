"""A policy whose f is a store: the policy's own answers, and only among what is there."""

import contextlib

import jax
import numpy as np
import pytest
from small_policies_of_numpy import KINDS, TABLE, N, policy, seen

from embrl.core.errors import EmbrlError
from embrl.embedding.feature_actions import FeatureActions
from embrl.serving.catalogue import CatalogueAnswers
from embrl.serving.questions import PolicyAnswers

COLUMNS = {"price": "number", "in_stock": "flag", "name": "text"}
PRICES = np.arange(N) / 2.0
STOCKED = np.arange(N) % 3 > 0
NAMES = [f"item {at}" for at in range(N)]


@contextlib.contextmanager
def stored(folder):
    pytest.importorskip("milvus_lite", reason="pip install 'embrl[store]'")
    from embrl.store.store import Store

    with Store(folder) as store:
        made = store.create("actions", kind="actions", version="ab" * 8, dim=2, columns=COLUMNS)
        made.upsert(np.arange(N), TABLE, {"price": PRICES, "in_stock": STOCKED, "name": NAMES})
        yield made


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """For tests that change nothing."""
    with stored(tmp_path_factory.mktemp("stores") / "store") as made:
        yield made


@pytest.fixture
def changing(tmp_path):
    with stored(tmp_path / "store") as made:
        yield made


def actions_of(answers, **body):
    (found,) = answers.answer([answers.read(body)])
    if isinstance(found, EmbrlError):
        raise found
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [None, 7])
def test_without_a_filter_the_answers_are_the_policys(items, kind, seed):
    mine, rows = policy(kind, start=3), seen(200).tolist()
    alone = actions_of(PolicyAnswers(mine), observations=rows, seed=seed)["actions"]
    found = actions_of(CatalogueAnswers(mine, items), observations=rows, seed=seed)
    assert found["actions"] == alone
    assert found["names"] == [f"item {action - 3}" for action in alone]
    if seed is None:
        assert alone == mine.act(rows).tolist()
    assert len(set(alone)) > 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_is_a_mask(items, kind):
    mine, rows = policy(kind), seen(100)
    answers = CatalogueAnswers(mine, items, filter="in_stock")
    found = actions_of(answers, observations=rows.tolist(), filter="price < 15")
    masked = mine.act(rows, mask=STOCKED & (PRICES < 15)).tolist()
    assert found["actions"] == masked
    assert all(item["in_stock"] and item["price"] < 15 for item in found["items"])
    with pytest.raises(EmbrlError, match="filter must be true for an item"):
        actions_of(answers, observation=[0, 0, 0], filter="price > 1000")


def test_removed_items_are_gone_at_once_and_changed_ones_changed(changing):
    items = changing
    answers = CatalogueAnswers(policy(), items, filter="in_stock")
    first = actions_of(answers, observation=[1, 1, 1])
    assert answers.change({"items": [{"id": first["action"], "in_stock": False}]}) == {"items": 1}
    second = actions_of(answers, observation=[1, 1, 1])
    assert second["action"] != first["action"]
    assert items.get([first["action"]])[0].metadata["price"] == first["item"]["price"]
    assert answers.remove({"ids": [second["action"], 999]}) == {"removed": 1}
    assert actions_of(answers, observation=[1, 1, 1])["action"] != second["action"]


def test_new_items_can_be_chosen(changing):
    """An item whose row in the store is beyond those that the policy was trained with."""
    changing.upsert([N + 1], TABLE[:1], {"price": [1.0], "in_stock": [True], "name": ["new"]})
    for kind in KINDS:
        answers = CatalogueAnswers(policy(kind), changing)
        found = actions_of(answers, observation=[1, 1, 1], filter={"name": "new"})
        assert (found["action"], found["name"]) == (N + 1, "new")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"items": [{"id": 900}]}, "features of item 900 must be given"),
        ({"items": [{"id": 1, "features": [1.0]}]}, "features must be left out"),
        ({"items": [{"id": 1, "prise": 2}]}, "key of item 1 must be"),
        ({"items": [{"id": 1, "price": "x"}]}, "column price must be"),
        ({"items": [{"id": 1, "price": None}]}, "column price must be"),
        ({"items": [{"id": -1}]}, "id must be"),
        ({"items": [{"id": True}]}, "id must be"),
        ({"items": [1]}, "item must be a JSON object"),
        ({"items": []}, "body must be"),
        ({"items": [{"id": 1}, {"id": 1}]}, "ids must be different"),
        ([], "body must be"),
    ],
)
def test_wrong_changes_are_refused_whole(items, body, said):
    before = items.get([1])[0].metadata
    with pytest.raises(EmbrlError, match=said):
        CatalogueAnswers(policy(), items).change(body)
    assert items.get([1])[0].metadata == before
    assert len(items) == N


def test_items_are_added_from_their_features(changing):
    """Where g, which knows them, puts such an action."""
    g = FeatureActions(np.eye(N, 4, dtype=np.float32), 2, (8,), key=jax.random.key(0))  # type: ignore[arg-type]
    answers = CatalogueAnswers(policy(), changing, g)
    new = {"id": N, "features": [0.5, 0, 0, 1], "price": 3, "in_stock": True, "name": "new"}
    assert answers.change({"items": [new, {"id": 0, "price": 9}]}) == {"items": 2}
    (hit,) = changing.get([N])
    np.testing.assert_allclose(hit.vector, g.embed(np.array([0.5, 0, 0, 1], np.float32)), rtol=1e-6)  # type: ignore[arg-type]
    assert changing.get([0])[0].vector.tolist() == TABLE[0].tolist()
    for features, said in [([1.0], "features must have 4"), ([1, 2, 3, "x"], "features must be")]:
        with pytest.raises(EmbrlError, match=said):
            answers.change({"items": [{**new, "features": features}]})
    with pytest.raises(EmbrlError, match=f"name of item {N + 1} must be given"):
        answers.change(
            {"items": [{"id": N + 1, "features": [0] * 4, "price": 1, "in_stock": True}]}
        )
