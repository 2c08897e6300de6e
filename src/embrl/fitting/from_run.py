"""A run's embedding, as one that stands alone."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from embrl.envs.environment import named_factor
from embrl.errors import EmbrlError
from embrl.fitting.embedding import Embedding
from embrl.training import transfer
from embrl.training.fitted import EmbeddingSettings
from embrl.training.restore import check_seed
from embrl.training.run_folder import RunFolder
from embrl.training.seeds import prepare_jax


def embedding_of_run(path: str | Path, seed: int = 0) -> Embedding:
    """The embedding of one seed of a run, as it stands in the newest checkpoint: moved on by the
    policy's training, if it was. Its measures of quality are those after pre-training.

    Raises:
        EmbrlError: there is no such run or seed, no policy in it yet, or its method embeds nothing.
    """
    prepare_jax()
    folder = RunFolder.existing(path)
    left = transfer.run_left(folder, {})
    config = left.program.config
    check_seed(folder, config, seed)
    agent, reference = jax.tree.map(lambda leaf: jnp.asarray(leaf[seed]), left.state)
    if agent.embedding is None:
        raise EmbrlError(f"{path}: method {config.method} embeds nothing")
    has_quality = (folder.path / "quality.json").exists()
    reports = folder.quality() if has_quality else []
    quality: dict[str, Any] = next((r for r in reports if r.get("seed") == seed), {})
    return Embedding(
        model=agent.embedding,
        method=config.method,
        settings=EmbeddingSettings(config.model, config.objectives, config.fit, config.f),
        observation_space=left.program.observation_space,
        action_space=left.program.action_space,
        norm=agent.norm,
        reference=reference,
        allowed=left.program.inputs.allowed,
        named=named_factor(config.env),
        quality={name: value for name, value in quality.items() if name != "seed"},
        source={
            "name": folder.path.name,
            "kind": "run",
            "environment": config.environment,
            "run_seed": seed,
            "samples": config.samples,
            "seed": config.seed,
        },
    )
