"""Loading of anything that embrl has written to a folder."""

from pathlib import Path
from typing import Any

from embrl.agents.embeddings.embedding import load as load_agent_embedding
from embrl.agents.population import RECORD, Population
from embrl.config.run import load_config
from embrl.core.errors import EmbrlError
from embrl.deploy import exported
from embrl.embedding import saved
from embrl.fitting.embedding import Embedding
from embrl.storage.run_folder import RunFolder
from embrl.trained import Run


def load(path: str | Path) -> Any:
    """Load what embrl has written to a folder.

    Args:
        path: the folder.

    Returns:
        A `Run`; an `Embedding` of `embrl fit` or `Embedding.save`; an exported policy; an embedding
        of agents (`AgentEmbedding`); or a `Population` of them.

    Raises:
        EmbrlError: there is nothing that embrl wrote, or its files are damaged.
    """
    path = Path(path)
    if (path / exported.MANIFEST).is_file():
        return exported.load_policy(path)
    if (path / saved.MANIFEST).is_file():
        return Embedding.load(path)
    if RunFolder(path).holds_run:
        return load_run(path)
    return _load_agents(path)


def _load_agents(path: Path) -> Any:
    if (path / RECORD).is_file():
        return Population(path)
    try:
        return load_agent_embedding(path)
    except EmbrlError as error:
        raise EmbrlError(
            f"path must be a folder that embrl wrote: a run, an embedding, an exported policy, a "
            f"population or an embedding of agents, got {path}"
        ) from error


def load_run(path: str | Path) -> Run:
    """Load a run from its folder.

    Raises:
        EmbrlError: there is none, or its files are damaged.
    """
    folder = RunFolder.existing(path)
    return Run(folder, load_config(folder))
