"""The commands `embrl store load|search|info|delete|project`."""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from rich.table import Table

from embrl.cli.main import run_subcommand
from embrl.cli.parsing import Switch, parse
from embrl.core.errors import EmbrlError, SettingError, WarnOnce
from embrl.core.registry import Registry
from embrl.report.console import plain_console
from embrl.store.collection import Collection, Hit
from embrl.store.record import Index
from embrl.store.store import Store

TOKEN = "EMBRL_STORE_TOKEN"
"""Environment variable with the token of a server, which has no place among arguments."""

COMMANDS = Registry(
    "store command",
    {
        "load": "embrl.store.cli:load",
        "search": "embrl.store.cli:search",
        "info": "embrl.store.cli:info",
        "delete": "embrl.store.cli:delete",
        "project": "embrl.store.cli:project",
    },
)
"""Function of the remaining arguments, by name of the command."""

ABOUT = {
    "load STORE SOURCE": "Write embedded actions, states or agents into a store.",
    "search STORE NAME": "Find the nearest rows of a row, a state or a vector.",
    "info STORE": "List the collections of a store.",
    "delete STORE NAME": "Delete rows, or a whole collection.",
    "project STORE NAME": "Write rows for TensorBoard's projector.",
}
"""Arguments of each command, and the first line of its help text."""


def store(arguments: Sequence[str]) -> None:
    """Run a command of `embrl store`."""
    about = "Keep embeddings with metadata in a store, and search it."
    run_subcommand("embrl store", about, ABOUT, COMMANDS, arguments)


def opened(uri: str, create: bool = False) -> Store:
    """Return a store by its folder or address, with the token of the environment."""
    return Store(uri, os.environ.get(TOKEN), create=create)


@dataclasses.dataclass(frozen=True)
class _Load:
    """Write embedded actions, states or agents into a store.

    Rows with the same ids are replaced. Vectors of different embeddings are kept apart, by a
    version: a hash of the weights.
    """

    store: Annotated[str, tyro.conf.Positional]
    """Folder of the store, or address of a Milvus server, as http://127.0.0.1:19530; its token, if
    it needs one, is read from the environment variable EMBRL_STORE_TOKEN."""
    source: Annotated[Path, tyro.conf.Positional]
    """Run folder, or folder of embrl fit or embrl agents fit."""
    kind: Literal["actions", "replies"] = "actions"
    """What the actions of a run or an embedding are called; the names of replies are texts."""
    observations: Path | None = None
    """File of observations, as of embrl predict, whose states are stored instead of the actions."""
    population: Path | None = None
    """Population folder, whose agents are stored (embedding of agents only)."""
    metadata: Path | None = None
    """File of type .csv, .jsonl or .parquet with a row per action, state or agent: in order, or of
    actions with a column id or name."""
    name: str = ""
    """Name of the collection. Default: actions, replies, states or agents."""
    index: Index = "auto"
    """Index of a server: auto is flat, which is exact; ivf_flat and hnsw are approximate. A folder
    is always searched exactly."""
    first_id: int = 0
    """Id of the first state; the others follow."""
    seed: int = 0
    """Index of a run's seed."""


def load(arguments: Sequence[str]) -> None:
    """Write rows, and print how many there are."""
    given = parse(_Load, arguments, "embrl store load")
    from embrl.store.sources import embedding_of
    from embrl.store.tables import read_table

    metadata = None if given.metadata is None else read_table(given.metadata)
    with opened(given.store, create=True) as store:
        if given.population is not None:
            into = store.load_agents(
                given.source, given.population, given.name, metadata=metadata, index=given.index
            )
        elif given.observations is not None:
            embedding = embedding_of(given.source, given.seed)
            seen = _observed(embedding, given.observations)
            into = store.load_states(
                embedding, seen, given.name, metadata=metadata, first_id=given.first_id,
                index=given.index,
            )  # fmt: skip
        else:
            into = store.load_actions(
                given.source, given.name, metadata=metadata, kind=given.kind, index=given.index,
                seed=given.seed,
            )  # fmt: skip
        print(f"{given.store}: {into.record.name} has {len(into):,} rows ({_described(into)})")


@dataclasses.dataclass(frozen=True)
class _StoreSearch:
    """Find the nearest rows of a row, a state or a vector."""

    store: Annotated[str, tyro.conf.Positional]
    """Folder of the store, or address of a server."""
    name: Annotated[str, tyro.conf.Positional]
    """Name of the collection."""
    like: str | None = None
    """Id of a row, or its text in the column name."""
    observation: str | None = None
    """Observation in JSON, whose state is embedded (with --embedding)."""
    vector: str | None = None
    """List of numbers in JSON."""
    embedding: Path | None = None
    """Run or embedding folder whose vectors are searched. Default: the only ones that there are."""
    seed: int = 0
    """Index of a run's seed."""
    filter: str = ""
    """Which rows count, as 'price < 10 and in_stock'. With --like, this.price is that row's price:
    'survival_mean > this.survival_mean'."""
    k: int = 10
    """Number of rows, at most."""
    json: Switch = False
    """Print a row per line in JSON, with its vector."""


def search(arguments: Sequence[str]) -> None:
    """Search, and print a table or lines of JSON."""
    given = parse(_StoreSearch, arguments, "embrl store search")
    asked = [given.like, given.observation, given.vector]
    if sum(each is not None for each in asked) != 1:
        raise SettingError(
            "--like, --observation or --vector", "given, one of them", "none or more"
        )
    embedding: Any = None
    if given.embedding is not None:
        from embrl.store.sources import embedding_of  # with it comes JAX

        embedding = embedding_of(given.embedding, given.seed)
    with opened(given.store) as store:
        found = store.collection(given.name, embedding)
        if given.like is not None:
            hits = found.search_like(_row(given.like, found), given.k, given.filter)
        else:
            vector: Any = None
            if given.vector is not None:
                vector = _json("--vector", given.vector)
            elif not hasattr(embedding, "phi"):
                raise SettingError("--embedding", "a run or an embedding of states", "none")
            else:
                vector = embedding.phi(_json("--observation", given.observation or ""))
            hits = found.search([vector], given.k, given.filter)[0]
    if given.json:
        for hit in hits:
            print(json.dumps({**hit._asdict(), "vector": hit.vector.tolist()}))
        return
    plain_console().print(_table(found, hits))


@dataclasses.dataclass(frozen=True)
class _Info:
    """List the collections of a store.

    Each has a line with its size and the version of its embedding, and one with its columns.
    """

    store: Annotated[str, tyro.conf.Positional]
    """Folder of the store, or address of a server."""


def info(arguments: Sequence[str]) -> None:
    """Print a line for each collection, and one for its columns."""
    given = parse(_Info, arguments, "embrl store info")
    with opened(given.store) as store:
        for record in store.records():
            found = store.collection(record.name, record.version)
            print(f"{record.name}: {len(found):,} {record.kind}, {_described(found)}")
            for name, value in record.about.items():
                print(f"  {name}: {value}")
            kinds = [f"{name} ({kind})" for name, kind in record.columns.items()]
            print(f"  columns: {', '.join(kinds) or 'none'}")
        if not store.records():
            print(f"{given.store} is empty")


@dataclasses.dataclass(frozen=True)
class _Delete:
    """Delete rows, or a whole collection.

    Rows are given by their ids or by a filter.
    """

    store: Annotated[str, tyro.conf.Positional]
    """Folder of the store, or address of a server."""
    name: Annotated[str, tyro.conf.Positional]
    """Name of the collection."""
    ids: tuple[int, ...] = ()
    """Ids of rows."""
    filter: str = ""
    """Which rows, as 'not in_stock'."""
    all: Switch = False
    """Delete the collection with all of its rows."""
    version: str | None = None
    """Version of its embedding, or its beginning, where there are several."""


def delete(arguments: Sequence[str]) -> None:
    """Delete, and print how many rows were there."""
    given = parse(_Delete, arguments, "embrl store delete")
    if (given.all, bool(given.ids), bool(given.filter)).count(True) != 1:
        raise SettingError("--ids, --filter or --all", "given, one of them", "none or more")
    with opened(given.store) as store:
        found = store.collection(given.name, given.version)
        if given.all:
            count = len(found)
            store.drop(given.name, found.record.version)
        else:
            count = found.delete(given.ids or None, given.filter or None)
    print(f"{given.store}: {count:,} rows of {given.name} deleted")


@dataclasses.dataclass(frozen=True)
class _Project:
    """Write rows for TensorBoard's projector.

    Their metadata are its labels.
    """

    store: Annotated[str, tyro.conf.Positional]
    """Folder of the store, or address of a server."""
    name: Annotated[str, tyro.conf.Positional]
    """Name of the collection."""
    out: Path
    """Folder to write; an earlier projection in it is replaced."""
    filter: str = ""
    """Which rows, as 'in_stock'; of more than 10,000, those are written that the store returns
    first."""
    version: str | None = None
    """Version of its embedding, or its beginning, where there are several."""


def project(arguments: Sequence[str]) -> None:
    """Write the files, and print how to look at them."""
    given = parse(_Project, arguments, "embrl store project")
    from embrl.report.tensorboard_log import ProjectedPoints, write_projector
    from embrl.storage.files import make_folder

    with opened(given.store) as store:
        found = store.collection(given.name, given.version)
        hits = found.select(given.filter)
    if not hits:
        raise SettingError("--filter", "true for a row at least", "true for none")
    labels = {
        "id": np.array([hit.id for hit in hits]),
        **{name: np.array([hit.metadata[name] for hit in hits]) for name in found.record.columns},
    }
    make_folder(given.out)
    points = np.stack([hit.vector for hit in hits])
    write_projector(given.out, [ProjectedPoints(given.name, points, labels)])
    print(f"{given.out} ({len(hits):,} rows); tensorboard --logdir {given.out} shows them")


def _described(collection: Collection) -> str:
    record = collection.record
    return f"{record.dim} numbers each, embedding {record.version[:12]}"


def _row(like: str, collection: Collection) -> int | str:
    if "name" in collection.record.columns:
        named = collection.select({"name": like}, 1)
        if named:
            return named[0].id
    try:
        return int(like)
    except ValueError as error:
        raise SettingError("--like", f"a row of {collection.record.name}", like) from error


def _observed(embedding: Any, path: Path) -> np.ndarray:
    from embrl.deploy.array_forms import Forms
    from embrl.deploy.files import observations

    form = Forms.of(embedding.observation_space, embedding.action_space).observation
    return np.concatenate(list(observations(path, form, warn=WarnOnce())))


def _json(flag: str, text: str) -> np.ndarray:
    try:
        values = np.asarray(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise EmbrlError(f"{flag} must be JSON, as [0.1, 2], got {text}") from error
    if values.dtype.kind not in "iuf":
        raise SettingError(flag, "numbers in JSON, as [0.1, 2]", text)
    return values


def _table(collection: Collection, hits: Sequence[Hit]) -> Table:
    table = Table("id", "distance", *collection.record.columns)
    for hit in hits:
        values = [
            f"{each:.6g}" if isinstance(each, float) else str(each)
            for each in hit.metadata.values()
        ]
        table.add_row(str(hit.id), f"{hit.distance:.4g}", *values)
    return table
