"""What embrl has trained, in a store: actions, states and agents; and the commands."""

import dataclasses
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
import pytest

import embrl
from embrl.cli import main
from embrl.core.errors import EmbrlError
from embrl.store.tables import read_table

sys.path.append(str(Path(__file__).parents[1] / "agents"))  # for `skilled`


@pytest.fixture(scope="module")
def embedding():
    """Of a gridworld with 100 states and 8 actions."""
    pytest.importorskip("milvus_lite", reason="pip install 'embrl[store]'")
    small = {"pretrain": {"gradient_steps": 20, "batch_size": 64}, "rollout": {"num_envs": 10}}
    world = {"actuators": 3, "bins": 10, "step_limit": 20}
    return embrl.fit("gridworld", timesteps=200, settings="tuned", **small, **world)  # type: ignore[arg-type]


@pytest.fixture
def folder_of(embedding, tmp_path) -> str:
    embedding.save(tmp_path / "embedding")
    return str(tmp_path / "embedding")


def test_actions_and_states_are_found_by_what_they_do(embedding, folder):
    with embrl.Store(folder) as store:
        actions = store.load_actions(embedding, metadata={"price": np.arange(8)})
        assert [hit.id for hit in actions.search(embedding.table[[5]], 1)[0]] == [5]
        apart = ((embedding.table - embedding.table[5]) ** 2).sum(1)
        near = [hit.id for hit in actions.search_like(5, 7)]
        assert near == [at for at in np.lexsort((np.arange(8), apart)) if at != 5]
        states = store.load_states(embedding, np.arange(100))
        assert states.search(embedding.phi([42]), 1)[0][0].id == 42
        assert store.collection("states", embedding) is states
        excluded = store.load_actions(embedding.without([2, 3]), "some")
        assert [hit.id for hit in excluded.select()] == [0, 1, 4, 5, 6, 7]


def test_an_embedding_fitted_again_is_another_one(embedding, folder):
    """Also where it has the same shape; but not for excluded actions, or on its way to a folder."""
    from embrl.store.sources import version_of

    other = eqx.tree_at(lambda m: m.g.rows, embedding.model, embedding.model.g.rows + 1e-6)
    newer = dataclasses.replace(embedding, model=other)
    assert version_of(newer) != version_of(embedding)
    assert version_of(embedding.without([0])) == version_of(embedding)
    with embrl.Store(folder) as store:
        store.load_actions(embedding)
        with pytest.raises(EmbrlError, match="collection actions must be vectors of embedding"):
            store.collection("actions", newer)


def test_metadata_belongs_to_actions_by_id_or_name(embedding, folder):
    names = [f"article {at}" for at in range(8)]
    shuffled = [3, 1, 0, 2, 7, 6, 5, 4]
    with embrl.Store(folder) as store:
        by_name = {"name": [names[at] for at in shuffled], "price": shuffled}
        found = store.load_actions(embedding, "items", metadata=by_name, names=names)
        assert all(
            hit.metadata["name"] == f"article {hit.metadata['price']}" for hit in found.select()
        )
        by_id = {"id": [*shuffled, 99], "price": [*shuffled, 99]}
        found = store.load_actions(embedding, "others", metadata=by_id)
        assert all(hit.metadata["price"] == hit.id for hit in found.select())
        for metadata, said in [
            ({"id": [0, 1], "price": [1, 2]}, "a row for each action"),
            ({"id": [0] * 8, "price": range(8)}, "one row for each action"),
            ({"price": [1, 2]}, "column price of metadata must be 8 values"),
        ]:
            with pytest.raises(EmbrlError, match=said):
                store.load_actions(embedding, "wrong", metadata=metadata)


def test_agents_that_behave_like_one_but_survive_longer(folder, tmp_path):
    pytest.importorskip("milvus_lite", reason="pip install 'embrl[store]'")
    population: Any = importlib.import_module("skilled").population
    agents = population(tmp_path / "agents", 3, 6, steps=60, episodes=4)
    fitted = embrl.fit_agents(
        agents, "vae", out=tmp_path / "fitted", measure=False, steps=2, batch=8, k=3, hidden=(8,),
        keep=4, working=8, states=4, chunk=2,
    )  # fmt: skip
    with embrl.Store(folder) as store:
        found = store.load_agents(fitted, agents)
        hits = found.search_like(0, 5, "survival_mean > this.survival_mean")
        least = agents.table()["survival_mean"][0]
        assert hits
        assert all(hit.metadata["survival_mean"] > least for hit in hits)
        assert hits[0].metadata["environment"] == "cart_pole"


def test_the_commands(folder_of, folder, tmp_path, capsys):
    (tmp_path / "prices.csv").write_text(
        "id;price;in_stock;made\n"
        + "".join(f"{at};{at}.5;true;2024-01-0{at + 1}\n" for at in range(8))
    )
    assert (
        main(["store", "load", folder, folder_of, "--metadata", str(tmp_path / "prices.csv")]) == 0
    )
    assert "actions has 8 rows" in capsys.readouterr().out
    np.save(tmp_path / "seen.npy", np.arange(20))
    assert (
        main(["store", "load", folder, folder_of, "--observations", str(tmp_path / "seen.npy")])
        == 0
    )
    capsys.readouterr()
    search = ["store", "search", folder, "actions", "--k", "2", "--json"]
    assert main([*search, "--like", "7", "--filter", "price < this.price and in_stock"]) == 0
    hits = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(hits) == 2
    assert all(hit["metadata"]["price"] < 7.5 for hit in hits)
    states = ["store", "search", folder, "states", "--embedding", folder_of, "--k", "1", "--json"]
    assert main([*states, "--observation", "11"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == 11
    assert main(["store", "info", folder]) == 0
    assert "price (number), in_stock (flag), made (text)" in capsys.readouterr().out
    assert main(["store", "delete", folder, "actions", "--filter", "price > 5"]) == 0
    assert "3 rows of actions deleted" in capsys.readouterr().out
    out = str(tmp_path / "projected")
    assert main(["store", "project", folder, "actions", "--out", out, "--filter", "id < 2"]) == 0
    labels = (tmp_path / "projected/actions-labels.tsv").read_text().splitlines()
    assert labels[0].split("\t")[:4] == ["id", "price", "in_stock", "made"]
    assert [line.split("\t")[0] for line in labels[1:]] == ["0", "1"]
    assert main(["store", "delete", folder, "states", "--all"]) == 0
    capsys.readouterr()
    for wrong, said in [
        (["search", folder, "actions"], "--like, --observation or --vector must be"),
        (["search", folder, "actions", "--vector", "[1"], "--vector must be JSON"),
        (["search", folder, "states", "--like", "1"], "unknown collection 'states'"),
        (["search", folder, "actions", "--like", "7"], "row must be a row of actions"),
        (["search", folder, "actions", "--observation", "1"], "--embedding must be"),
        (["info", str(tmp_path / "none")], "is not a store"),
        (["load", folder, str(tmp_path / "none")], "none"),
        (["delete", folder, "actions"], "--ids, --filter or --all must be"),
        (["serch", folder], "unknown store command 'serch': did you mean search?"),
    ]:
        assert main(["store", *wrong]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert said in err


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_tables_keep_their_kinds(tmp_path, suffix):
    arrow = pytest.importorskip("pyarrow", reason="pip install 'embrl[store]'")
    columns = {"id": [1, 2], "price": [0.5, 2.0], "ok": [True, False], "name": ["a", "NA"]}
    path = tmp_path / f"table.{suffix}"
    if suffix == "csv":
        path.write_text("id,price,ok,name\n1,0.5,true,a\n2,2,false,NA\n")
    elif suffix == "jsonl":
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        parquet: Any = importlib.import_module("pyarrow.parquet")
        parquet.write_table(arrow.table(columns), path)
    found = read_table(path)
    assert {name: values.tolist() for name, values in found.items()} == columns
    (tmp_path / "holes.csv").write_text("id,price\n1,\n2,3\n")
    with pytest.raises(EmbrlError, match="column price must have a value in row 0"):
        read_table(tmp_path / "holes.csv")
