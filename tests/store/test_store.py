"""Collections: rows in, rows out, searches, versions; in a folder and on a server."""

import numpy as np
import pytest

from embrl.core.errors import EmbrlError
from embrl.store.mirror import Mirror, StoredRows, latest
from embrl.store.store import Store

NEW, OLD = "ab" * 8, "cd" * 8
COLUMNS = {"price": "number", "stock": "integer", "fresh": "flag", "name": "text"}


def rows(n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    return (
        np.arange(n),
        rng.standard_normal((n, 4)).astype(np.float32),
        {
            "price": rng.random(n) * 10,
            "stock": rng.integers(0, 5, n),
            "fresh": rng.random(n) < 0.5,
            "name": [f'item "{at}"' for at in range(n)],
        },
    )


def made(store: Store, version: str = NEW):
    return store.create("items", kind="actions", version=version, dim=4, columns=COLUMNS)


def nearest(query, ids, vectors, k):
    far = ((vectors - query) ** 2).sum(1)
    return ids[np.lexsort((ids, far))[:k]].tolist()


def test_rows_come_back_by_id_filter_and_distance(uri):
    ids, vectors, metadata = rows(300)
    with Store(uri) as store:
        items = made(store)
        assert items.upsert(ids, vectors, metadata) == 300
        assert len(items) == 300
        found = items.search(vectors[:20] + 0.01, 5)
        for query, hits in zip(vectors[:20] + 0.01, found, strict=True):
            assert [hit.id for hit in hits] == nearest(query, ids, vectors, 5)
        fit = (metadata["price"] < 5) & metadata["fresh"]
        for given in ("price < 5 and fresh", {"price": {"<": 5}, "fresh": True}):
            hits = items.search(vectors[:1], 7, given)[0]
            assert [hit.id for hit in hits] == nearest(vectors[0], ids[fit], vectors[fit], 7)
        (hit,) = items.get([7, 1000])
        assert hit.vector.tolist() == vectors[7].tolist()
        assert hit.metadata == {name: values[7] for name, values in metadata.items()}
        like = items.search_like('item "7"', 3, "price > this.price")
        cheaper = metadata["price"] <= metadata["price"][7]
        assert [each.id for each in like] == nearest(
            vectors[7], ids[~cheaper], vectors[~cheaper], 3
        )


def test_upsert_replaces_and_delete_removes_for_good(uri):
    ids, vectors, metadata = rows(50)
    with Store(uri) as store:
        items = made(store)
        items.upsert(ids, vectors, metadata)
        items.upsert([3], vectors[4:5], {name: values[4:5] for name, values in metadata.items()})
        assert len(items) == 50
        assert [hit.id for hit in items.search(vectors[4:5], 2)[0]] == [3, 4]
        assert items.delete([3, 3, 999]) == 1
        gone = int((metadata["stock"] > 2).sum() - (metadata["stock"][3] > 2))
        assert items.delete(filter="stock > 2") == gone
        items.upsert([9], vectors[9:10], {name: values[9:10] for name, values in metadata.items()})
    with Store(uri) as store:
        items = store.collection("items")
        assert items.get([3]) == []
        left = {at for at in range(50) if metadata["stock"][at] <= 2 and at != 3} | {9}
        assert {hit.id for hit in items.select()} == left
        assert {hit.id for hit in items.search(vectors[:1], 50)[0]} == left


def test_vectors_of_an_older_embedding_are_never_compared(uri):
    ids, vectors, metadata = rows(5)
    with Store(uri) as store:
        made(store, OLD).upsert(ids, vectors, metadata)
        with pytest.raises(EmbrlError, match=f"collection items must be vectors of .*{NEW}"):
            store.collection("items", NEW)
        made(store, NEW).upsert(ids[:2], vectors[:2], {k: v[:2] for k, v in metadata.items()})
        assert len(store.collection("items", OLD)) == 5
        assert len(store.collection("items", NEW)) == 2
        with pytest.raises(EmbrlError, match="version must be one of"):
            store.collection("items")
        store.drop("items", OLD)
        assert [record.version for record in store.records()] == [NEW]
        assert len(store.collection("items")) == 2
        with pytest.raises(EmbrlError, match="unknown collection 'item': did you mean items"):
            store.collection("item")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ids": [1, 1]}, "ids must be different"),
        ({"ids": [0.5, 1.5]}, "ids must be whole numbers"),
        ({"vectors": np.zeros((2, 3))}, "vectors must be numbers"),
        ({"vectors": np.full((2, 4), np.nan)}, "vectors must be finite"),
        ({"price": [1.0]}, "column price must be 2 values"),
        ({"price": [1.0, np.nan]}, "column price must be finite"),
        ({"price": [1.0, None]}, "column price must be values of type float"),
        ({"stock": [1.5, 2.0]}, "column stock must be values of type int"),
        ({"name": ["a", "b" * 5000]}, "column name must be at most"),
        ({"extra": [1, 2]}, "metadata must be columns price"),
    ],
)
def test_wrong_rows_are_refused_whole(folder, change, said):
    _, vectors, metadata = rows(2)
    given = {"ids": [0, 1], "vectors": vectors, **metadata} | change
    with Store(folder) as store:
        items = made(store)
        with pytest.raises(EmbrlError, match=said):
            items.upsert(given.pop("ids"), given.pop("vectors"), given)
        assert len(items) == 0
        for k in (0, 10**6):
            with pytest.raises(EmbrlError, match="k must be"):
                items.search(vectors, k)


def test_wrong_collections_are_refused(folder):
    right = {"kind": "actions", "version": NEW, "dim": 4, "columns": COLUMNS}
    with Store(folder) as store:
        store.create("items", **right)
        for name, change, said in [
            ("items", {"dim": 5}, "collection items must be"),
            ("it-ems", {}, "name of a collection"),
            ("a__b", {}, "name of a collection"),
            ("other", {"columns": {"id": "integer"}}, "name of a collection or column"),
            ("other", {"columns": {"x": "date"}}, "unknown kind of column x"),
            ("other", {"version": "v1"}, "version must be"),
            ("other", {"index": "diskann"}, "unknown index"),
            ("other", {"dim": 1}, "dim must be"),
        ]:
            with pytest.raises(EmbrlError, match=said):
                store.create(name, **right | change)


def test_a_folder_has_one_user_and_no_other_content(folder, tmp_path):
    with pytest.raises(EmbrlError, match="is not a store"):
        Store(folder, create=False)
    with Store(folder), pytest.raises(EmbrlError, match="opened by one process at a time"):
        Store(folder)
    Store(folder).close()  # free again at once
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(EmbrlError, match="exists and is not a store"):
        Store(tmp_path)
    with pytest.raises(EmbrlError, match="does not answer"):
        Store("http://127.0.0.1:1")


def test_the_mirror_grows_and_forgets():
    """Against a dictionary, over random writes."""
    rng = np.random.default_rng(0)
    empty = StoredRows(np.zeros(0, np.int64), np.zeros((0, 2), np.float32), {"x": np.zeros(0)})
    mirror, wanted = Mirror(empty), {}
    for _ in range(60):
        ids = rng.choice(3_000, 100, replace=False)
        if rng.random() < 0.3:
            mirror.delete(ids.tolist())
            wanted = {key: value for key, value in wanted.items() if key not in ids}
        else:
            vectors = rng.integers(0, 9, (100, 2)).astype(np.float32)  # with many equal distances
            mirror.upsert(StoredRows(ids, vectors, {"x": vectors[:, 0].astype(float)}))
            wanted |= dict(zip(ids.tolist(), vectors, strict=True))
    assert len(mirror) == len(wanted)
    keys = np.array(sorted(wanted))
    table = np.stack([wanted[key] for key in keys])
    ((found, far),) = mirror.search(np.array([[4.0, 4.0]], np.float32), 40, None)
    assert found.ids.tolist() == nearest(np.array([4, 4]), keys, table, 40)
    assert (far == ((found.vectors - 4) ** 2).sum(1)).all()


def test_the_last_write_of_an_id_holds_unless_it_was_deleted_later():
    ids, written = np.array([5, 6, 5, 7]), np.array([1, 2, 4, 3])
    assert latest(ids, written, {6: 9, 7: 1}).tolist() == [2, 3]
