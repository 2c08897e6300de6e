"""The command `embrl explore SOURCE`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from embrl.cli.parsing import Switch, parse


@dataclasses.dataclass(frozen=True)
class _Explore:
    """Write a page in which an embedding can be seen and touched.

    One HTML file, for a browser without a network: states and actions of a run or an embedding, or
    agents of a population, with colours, filters, neighbours, and what the policy does.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """Run folder, folder of embrl fit, or population folder."""
    out: Path | None = None
    """File to write, which ends in .html. Default: figures/explore.html in the folder."""
    serve: Switch = False
    """Serve the page on this machine until interrupted, and print its address."""
    port: int = 0
    """Port of --serve; 0: a free one."""
    projection: Literal["pca", "umap"] = "pca"
    """Projection of spaces of more than two dimensions: principal components, or UMAP."""
    embedding: Path | None = None
    """Folder of embrl agents fit (population only). Default: principal components of weights."""
    metadata: Path | None = None
    """File of type .csv, .jsonl or .parquet with a row per action: in order, or with a column id or
    name."""
    max_points: int = 100_000
    """States, actions or agents in the page, at most; of more, that many are spread evenly."""
    seed: int = 0
    """Index of a run's seed."""


def explore(arguments: Sequence[str]) -> None:
    """Write the page, and print its path, or its address."""
    given = parse(_Explore, arguments, "embrl explore")
    from embrl.explorer import explore as exploring
    from embrl.explorer.serve import server_of
    from embrl.store.tables import read_table

    page = exploring.explore(
        given.source,
        given.out,
        seed=given.seed,
        embedding=given.embedding,
        projection=given.projection,
        metadata=None if given.metadata is None else read_table(given.metadata),
        max_points=given.max_points,
    )
    if not given.serve:
        print(page)
        return
    with server_of(page, given.port) as server:
        print(f"http://{server.server_address[0]}:{server.server_port} shows {page}", flush=True)
        server.serve_forever()
