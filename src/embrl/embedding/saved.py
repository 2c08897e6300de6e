"""Fitted embeddings and their folders: `embedding.json` and `embedding.safetensors`.

docs/fitting.md describes the format. `embrl fit` writes such folders, and `transfer.run` reads
them.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jaxtyping import Bool

from embrl.core import spaces
from embrl.core.errors import EmbrlError
from embrl.core.runtime import versions
from embrl.core.types import Transition
from embrl.decoding.base import DecoderConfig
from embrl.embedding.config import EchoConfig, EmbeddingConfig, PretrainConfig
from embrl.embedding.encoders import Norm, StateEncoder
from embrl.embedding.model import JointEmbedding
from embrl.embedding.monitor import Reference
from embrl.embedding.objectives import OBJECTIVES
from embrl.embedding.seen_states import SeenStates
from embrl.storage import checkpoint, files
from embrl.storage.files import from_plain, require_keys
from embrl.storage.lock import locked

FORMAT = 2
KIND = "embedding"
MANIFEST = "embedding.json"
TENSORS = "embedding.safetensors"
BESIDE = ("tasks.json", "tasks.safetensors")
"""Files of packages that build on embeddings, in the same folder."""

FEATURES = "['model'].g.features.bits"
"""Name of the features of actions among the tensors."""

KEYS = (
    "sha256",
    "method",
    "states",
    "named",
    "observation_space",
    "action_space",
    "settings",
    "quality",
    "source",
)
"""Required keys of `embedding.json`, beside `format`, `kind` and `versions`."""


@dataclasses.dataclass(frozen=True)
class EmbeddingSettings:
    """Settings that an embedding was built and trained with: those sections of a `RunConfig`."""

    embedding: EmbeddingConfig
    echo: EchoConfig
    objectives: dict[str, float]
    """Weights of objectives, by name."""
    pretrain: PretrainConfig
    decoder: DecoderConfig

    @classmethod
    def of(cls, config: Any) -> "EmbeddingSettings":
        """Return the settings of a run (`RunConfig`)."""
        return cls(
            config.embedding,
            config.echo,
            dict(config.objectives),
            config.pretrain,
            config.decoder,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class SavedEmbedding:
    """A fitted embedding, and everything that its folder stores."""

    model: JointEmbedding
    """phi, g, f and T, in JAX."""
    method: str
    """Name of the method."""
    settings: EmbeddingSettings
    """Settings that it was fitted with."""
    observation_space: gymnasium.Space
    """Observations in embrl's form: `Discrete`, `MultiDiscrete` or a `Box` of one axis."""
    action_space: gymnasium.Space
    """Actions: `Discrete` or a `Box` of one axis."""
    norm: Norm | None = None
    """Normalisation of X for policies; None where states are not embedded."""
    reference: Reference | None = None
    """Reference for monitoring; None: monitoring is not possible."""
    allowed: Bool[np.ndarray, " n"] | None = None
    """Mask of the discrete actions that f may return; None: all of them."""
    named: int | None = None
    """Factor of observations whose values the actions name, if there is one."""
    quality: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Quality report in plain values (`embrl.embedding.quality.Quality`)."""
    source: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Data that it was fitted on, in plain values, such as `name` and `timesteps`."""

    @property
    def states(self) -> bool:
        """True if states are embedded; otherwise phi is the identity."""
        return isinstance(self.model.phi, StateEncoder)


def is_embedding(path: str | Path) -> bool:
    """Return whether a folder holds an embedding."""
    return (files.as_path(path) / MANIFEST).is_file()


def check_free(path: str | Path) -> None:
    """Check that an embedding can be written to a folder.

    Raises:
        EmbrlError: the path exists and is not an empty folder.
    """
    path = files.as_path(path)
    if is_embedding(path):
        raise EmbrlError(f"{path} already holds an embedding; choose another folder")
    if not files.is_free(
        path, ignored=(TENSORS, *BESIDE)
    ):  # a write was interrupted before the manifest
        raise EmbrlError(f"{path} exists and is not an embedding; choose an empty or new folder")


def as_bytes(fitted: SavedEmbedding) -> tuple[dict[str, Any], bytes]:
    """Return the content of `embedding.json` and of `embedding.safetensors`."""
    tensors = checkpoint.packed(
        {
            "model": fitted.model,
            "norm": fitted.norm,
            "reference": fitted.reference,
            "allowed": fitted.allowed,
        }
    )
    manifest = {
        "format": FORMAT,
        "kind": KIND,
        "versions": versions(),
        "sha256": hashlib.sha256(tensors).hexdigest(),
        "method": fitted.method,
        "states": fitted.states,
        "named": fitted.named,
        "observation_space": spaces.to_json(fitted.observation_space),
        "action_space": spaces.to_json(fitted.action_space),
        "settings": dataclasses.asdict(fitted.settings),
        "quality": fitted.quality,
        "source": fitted.source,
    }
    return manifest, tensors


def write(
    path: str | Path, fitted: SavedEmbedding, beside: Mapping[str, bytes] | None = None
) -> None:
    """Write an embedding to a new folder, atomically.

    Args:
        path: the folder.
        fitted: the embedding.
        beside: content of other files, by their names in `BESIDE`.

    Raises:
        EmbrlError: the path exists and is not an empty folder, or it cannot be written.
    """
    path = files.as_path(path)
    check_free(path)
    manifest, tensors = as_bytes(fitted)
    with locked(path):
        check_free(path)
        try:
            files.write_bytes(path / TENSORS, tensors)
            for name in BESIDE:
                if beside and name in beside:
                    files.write_bytes(path / name, beside[name])
                else:  # of a write that was interrupted
                    (path / name).unlink(missing_ok=True)
            files.write_json(path / MANIFEST, manifest)  # last: with it, there is an embedding
        except BaseException:
            for name in (TENSORS, *BESIDE):
                (path / name).unlink(missing_ok=True)
            raise


def read(path: str | Path) -> SavedEmbedding:
    """Read the embedding in a folder.

    Raises:
        EmbrlError: there is none, it has another format, or a file is damaged or incomplete.
    """
    path = files.as_path(path)
    if not is_embedding(path):
        raise EmbrlError(
            f"{path} is not an embedding, as it has no {MANIFEST}; choose a folder of embrl fit"
        )
    manifest = read_manifest(path)
    arrays = checkpoint.unpacked(path / TENSORS, lambda: manifest["sha256"])
    return _of_arrays(path, manifest, arrays)


def from_bytes(manifest: dict[str, Any], tensors: bytes) -> SavedEmbedding:
    """Return the embedding that `as_bytes` gave."""
    return _of_arrays(Path(), manifest, safetensors.numpy.load(tensors))


def _of_arrays(path: Path, manifest: dict[str, Any], arrays: "Arrays") -> SavedEmbedding:
    where = path / MANIFEST
    observations = spaces.from_json(manifest["observation_space"], where)
    actions = spaces.from_json(manifest["action_space"], where)
    settings = from_plain(manifest["settings"], EmbeddingSettings, f"{where}: settings")
    features = arrays.get(FEATURES)
    like = jax.eval_shape(lambda: _new_model(manifest, settings, observations, actions, features))
    model = checkpoint.shaped(path / TENSORS, arrays, like, "['model']", "embedding")
    return SavedEmbedding(
        model=jax.tree.map(jnp.asarray, model),
        method=str(manifest["method"]),
        settings=settings,
        observation_space=observations,
        action_space=actions,
        norm=_norm(path / TENSORS, arrays),
        reference=_reference(path / TENSORS, arrays),
        allowed=arrays.get("['allowed']"),
        named=manifest["named"],
        quality=manifest["quality"],
        source=manifest["source"],
    )


def read_manifest(path: str | Path) -> dict[str, Any]:
    """Read `embedding.json` of a folder.

    Raises:
        EmbrlError: it is missing or damaged, lacks a key, or has another format.
    """
    where = files.as_path(path) / MANIFEST
    manifest = files.read_json(where)
    if manifest.get("format") != FORMAT:
        raise EmbrlError(
            f"{where} must have format {FORMAT}, got {manifest.get('format')!r}; read it with the "
            "version of embrl that wrote it"
        )
    if manifest.get("kind") != KIND:
        raise EmbrlError(f"{where} must have kind {KIND!r}, got {manifest.get('kind')!r}")
    require_keys(manifest, KEYS, where)
    for key in ("observation_space", "action_space", "settings", "quality", "source"):
        if not isinstance(manifest[key], dict):
            raise EmbrlError(f"{where}: {key} must be a JSON object, got {manifest[key]!r}")
    return manifest


def _new_model(
    manifest: dict[str, Any],
    settings: EmbeddingSettings,
    observations: gymnasium.Space,
    actions: gymnasium.Space,
    features: np.ndarray | None,
) -> JointEmbedding:
    """Return an untrained model with the shapes of the stored one.

    Custom objectives are left out, as their code may not be available.
    """
    # If stored features are missing, a dummy keeps the shapes; reading reports what is missing.
    missing = features is None and settings.embedding.action_features
    shape = (1, 1) if missing else () if features is None else features.shape
    return JointEmbedding(
        observations,
        actions,
        settings.embedding,
        echo=settings.echo,
        states=bool(manifest["states"]),
        objectives=tuple(name for name in settings.objectives if name in OBJECTIVES),
        named=manifest["named"],
        features=jnp.zeros(shape) if shape else None,
        key=jax.random.key(0),
    )


Arrays = dict[str, np.ndarray]
"""Stored arrays by their paths in the pytree that was written."""


def _norm(path: Path, arrays: Arrays) -> Norm | None:
    if "['norm'].centre" not in arrays:
        return None
    required = _required(path, arrays, "['norm']", Norm._fields)
    return Norm(**required)


def _reference(path: Path, arrays: Arrays) -> Reference | None:
    under = "['reference']"
    if f"{under}.g" not in arrays:
        return None
    held_out = _required(path, arrays, f"{under}.held_out", Transition._fields)
    return Reference(
        seen=SeenStates(**_optional(arrays, f"{under}.seen", SeenStates._fields)),
        held_out=Transition(**held_out),
        **_required(path, arrays, under, ("unseen_fraction", "g")),
        **_optional(arrays, under, ("ceiling", "usual_loss", "phi", "actions")),
    )


def _required(path: Path, arrays: Arrays, under: str, fields: Iterable[str]) -> dict[str, Any]:
    """Return the arrays of these fields.

    Raises:
        EmbrlError: one is missing.
    """
    found = _optional(arrays, under, fields)
    for field, value in found.items():
        if value is None:
            raise EmbrlError(f"{path} does not fit this embedding; it lacks {under}.{field}")
    return found


def _optional(arrays: Arrays, under: str, fields: Iterable[str]) -> dict[str, Any]:
    """Return the arrays of these fields; None where there is none."""
    found = {field: arrays.get(f"{under}.{field}") for field in fields}
    return {field: None if value is None else jnp.asarray(value) for field, value in found.items()}
