"""The task of kind `agents_block`: one block of a collection, in a folder of its own."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from embrl.agents.collect import CollectConfig, block_of_agents, evaluation_key, from_json
from embrl.agents.lineages import LineageConfig, Lineages
from embrl.agents.population import RECORD, append, create
from embrl.executors.tasks import Heard
from embrl.storage import files


def collect_block(spec: Mapping[str, Any], out: Path, heard: Heard) -> None:
    """Collect one block into a population folder, which exists whole or not at all."""
    if (out / RECORD).exists():
        return
    config = from_json(dict(spec["config"]), Path("task"))
    start = int(spec["start"])
    numbers = np.arange(start, min(start + config.block, config.lineages))
    heard("lineages", 0, len(numbers), ())
    lineages = _lineages(config.runs, min(config.block, config.lineages))
    weights, table, lost = block_of_agents(config, lineages, numbers, evaluation_key(config))
    files.make_folder(out.parent)
    with files.replacing_folder(out) as folder:
        _write(config, lineages, folder, weights, table)
    news = [f"lineage {number} diverged and is left out" for number in lost]
    heard("lineages", len(numbers), len(numbers), news)


@functools.lru_cache(maxsize=2)
def _lineages(config: LineageConfig, block: int) -> Lineages:
    """Return compiled lineages, which blocks of one collection have in common."""
    return Lineages(config, block)


def _write(
    config: CollectConfig, lineages: Lineages, folder: Path, weights: Any, table: Any
) -> None:
    runs = config.runs
    create(folder, lineages.architecture, runs.environment, runs.env, config.episodes)
    append(folder, weights, table, architecture=lineages.architecture)
