"""A fitted embedding in a folder of its own: `embedding.json` and `embedding.safetensors`.

docs/fitting.md has the format. `embrl fit` writes such folders, and `transfer.run` reads them.
"""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from embrl.core import spaces
from embrl.core.errors import EmbrlError
from embrl.core.types import Transition
from embrl.decoding.base import DecoderConfig
from embrl.embedding.config import EchoConfig, EmbeddingConfig, PretrainConfig
from embrl.embedding.encoders import Norm, StateEncoder
from embrl.embedding.model import JointEmbedding
from embrl.embedding.monitor import Reference
from embrl.embedding.objectives import OBJECTIVES
from embrl.embedding.seen_states import SeenStates
from embrl.storage import checkpoint, files
from embrl.storage.plain_values import from_plain, require_keys
from embrl.storage.versions import versions

FORMAT = 2
KIND = "embedding"
MANIFEST = "embedding.json"
TENSORS = "embedding.safetensors"

FEATURES = "['model'].g.features.bits"
"""Where the features of actions stand among the tensors."""

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
"""Of `embedding.json`, beside `format`, `kind` and `versions`."""


@dataclasses.dataclass(frozen=True)
class EmbeddingSettings:
    """Settings that an embedding was built and trained with: those sections of a `RunConfig`."""

    embedding: EmbeddingConfig
    echo: EchoConfig
    objectives: dict[str, float]
    """Objectives' weights by name."""
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
    """What a fit leaves."""

    model: JointEmbedding
    """phi, g and T, in JAX."""
    method: str
    settings: EmbeddingSettings
    observation_space: gymnasium.Space
    """In embrl's form: `Discrete`, `MultiDiscrete` or `Box`, of one axis at most."""
    action_space: gymnasium.Space
    """`Discrete` or `Box`."""
    norm: Norm | None = None
    """Where the data lay in X, as a policy is to see it; None where states are not embedded."""
    reference: Reference | None = None
    """What monitoring compares with; None: nothing is known."""
    allowed: Bool[np.ndarray, " n"] | None = None
    """Which of discrete actions f may return; None: all of them."""
    named: int | None = None
    """The factor of observations whose values the actions name, if they do."""
    quality: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What was measured (`embrl.embedding.quality.Quality`)."""
    source: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What it was fitted on, in plain values; `samples` among them."""

    @property
    def states(self) -> bool:
        """Whether states are embedded; if not, phi leaves them as they are."""
        return isinstance(self.model.phi, StateEncoder)


def is_embedding(path: str | Path) -> bool:
    """Whether a folder holds an embedding."""
    return (Path(path) / MANIFEST).is_file()


def check_free(path: str | Path) -> None:
    """Raises:
    EmbrlError: something is there already.
    """
    path = Path(path)
    if is_embedding(path):
        raise EmbrlError(f"{path} already holds an embedding: choose another folder")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise EmbrlError(f"{path} is there and holds no embedding: choose an empty or new folder")


def write(path: str | Path, fitted: SavedEmbedding) -> None:
    """Makes a folder of it, which is there whole or not at all.

    Raises:
        EmbrlError: something is there already, or it cannot be written.
    """
    path = Path(path)
    check_free(path)
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
    try:
        with files.replacing_folder(path) as new:
            files.write_bytes(new / TENSORS, tensors)
            files.write_json(new / MANIFEST, manifest)
    except OSError as error:
        raise EmbrlError(f"{path} cannot be written: {error.strerror}") from error


def read(path: str | Path) -> SavedEmbedding:
    """The embedding in a folder.

    Raises:
        EmbrlError: there is none, it is of a newer format, or a file is damaged or incomplete.
    """
    path = Path(path)
    if not is_embedding(path):
        raise EmbrlError(f"{path} holds no embedding: it has no {MANIFEST}")
    where = path / MANIFEST
    manifest = read_manifest(path)
    observations = spaces.from_json(manifest["observation_space"], where)
    actions = spaces.from_json(manifest["action_space"], where)
    settings = from_plain(manifest["settings"], EmbeddingSettings, f"{where}: settings")
    arrays = checkpoint.unpacked(path / TENSORS, lambda: manifest["sha256"])
    features = arrays.get(FEATURES)
    like = jax.eval_shape(lambda: _model(manifest, settings, observations, actions, features))
    model = checkpoint.shaped(path / TENSORS, arrays, like, "['model']", "embedding")
    parts = _Parts(path / TENSORS, arrays)
    return SavedEmbedding(
        model=jax.tree.map(jnp.asarray, model),
        method=str(manifest["method"]),
        settings=settings,
        observation_space=observations,
        action_space=actions,
        norm=parts.norm(),
        reference=parts.reference(),
        allowed=parts.get("['allowed']"),
        named=manifest["named"],
        quality=manifest["quality"],
        source=manifest["source"],
    )


def read_manifest(path: str | Path) -> dict[str, Any]:
    """What `embedding.json` says.

    Raises:
        EmbrlError: it is missing, damaged, of a newer format, or lacks something.
    """
    where = Path(path) / MANIFEST
    manifest = files.read_json(where)
    if manifest.get("format") != FORMAT:
        raise EmbrlError(
            f"{where} has format {manifest.get('format')!r}, this version of embrl reads {FORMAT}"
        )
    if manifest.get("kind") != KIND:
        raise EmbrlError(f"{where} is of kind {manifest.get('kind')!r}, not {KIND}")
    require_keys(manifest, KEYS, where)
    for key in ("observation_space", "action_space", "settings", "quality", "source"):
        if not isinstance(manifest[key], dict):
            raise EmbrlError(f"{where} is damaged: {key} must be a JSON object")
    return manifest


def _model(
    manifest: dict[str, Any],
    settings: EmbeddingSettings,
    observations: gymnasium.Space,
    actions: gymnasium.Space,
    features: np.ndarray | None,
) -> JointEmbedding:
    """One of the same shape. Objectives of the user's own may not be at hand: it does without."""
    # Without them where they should be, what is read will say what it lacks.
    lacks = features is None and settings.embedding.action_features
    shape = (1, 1) if lacks else () if features is None else features.shape
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


class _Parts:
    """The arrays beside the model, by where they stood."""

    def __init__(self, path: Path, arrays: dict[str, np.ndarray]) -> None:
        self.path, self.arrays = path, arrays

    def get(self, name: str) -> Any:
        """None if there is none."""
        return self.arrays.get(name)

    def need(self, name: str) -> Any:
        if name not in self.arrays:
            raise EmbrlError(f"{self.path} does not fit this embedding: it lacks {name}")
        return jnp.asarray(self.arrays[name])

    def norm(self) -> Norm | None:
        if "['norm'].centre" not in self.arrays:
            return None
        return Norm(self.need("['norm'].centre"), self.need("['norm'].width"))

    def reference(self) -> Reference | None:
        at = "['reference']"
        if f"{at}.g" not in self.arrays:
            return None
        columns = {name: self.need(f"{at}.held_out.{name}") for name in Transition._fields}
        seen = {name: self.get(f"{at}.seen.{name}") for name in SeenStates._fields}
        optional = {name: self.get(f"{at}.{name}") for name in ("ceiling", "usual_loss", "phi")}
        return Reference(
            seen=SeenStates(**_as_jax(seen)),
            unseen_fraction=self.need(f"{at}.unseen_fraction"),
            held_out=Transition(**columns),
            g=self.need(f"{at}.g"),
            **_as_jax(optional),
        )


def _as_jax(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: None if value is None else jnp.asarray(value) for name, value in arrays.items()}
