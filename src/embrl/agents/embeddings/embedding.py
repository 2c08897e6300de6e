"""A fitted embedding of agents: encode, decode, sample; its folder."""

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cattrs
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embrl.agents.architecture import Architecture
from embrl.agents.canonical import canonical
from embrl.agents.embeddings import KINDS
from embrl.agents.embeddings.config import FitConfig, from_json
from embrl.agents.embeddings.fingerprint import Fingerprint
from embrl.agents.embeddings.model import AgentModel
from embrl.agents.embeddings.prior import Prior, empty
from embrl.core.errors import EmbrlError
from embrl.core.types import Key
from embrl.envs import ENVIRONMENTS
from embrl.envs.environment import EnvConfig
from embrl.storage import checkpoint

FORMAT = 1
FOLDER = "embedding"
"""In the folder of a fit: the checkpoint of the finished embedding."""

ROWS = 1024
"""Agents at a time. Parts are filled up to this: an agent's embedding does not depend on how many
are encoded with it."""


@dataclasses.dataclass(frozen=True)
class AgentEmbedding:
    """z = encode(w), w' = decode(z); w' acts like w."""

    kind: str
    config: FitConfig
    environment: str
    """Registered name of what the agents act in."""
    env: EnvConfig
    model: AgentModel
    prior: Prior

    @property
    def architecture(self) -> Architecture:
        """Of the agents."""
        return self.model.architecture

    @property
    def k(self) -> int:
        """Numbers in an embedding."""
        return self.config.k

    def encode(self, w: Float[np.ndarray, "N size"]) -> Float[np.ndarray, "N k"]:
        """The posterior's mean for each agent. Permuting an agent's hidden units, or flipping the
        signs of a tanh unit, does not change a bit of it: the canonical form is what is encoded.

        Raises:
            EmbrlError: w is of another size, or not finite.
        """
        ordered = canonical(self.architecture, np.asarray(w, np.float32))
        return _in_parts(_encode, self.model, ordered)

    def encode_fingerprint(
        self, probabilities: Float[np.ndarray, "N P A"]
    ) -> Float[np.ndarray, "N k"]:
        """As `encode`, of any agents, from their action probabilities in `probes`.

        Raises:
            EmbrlError: the embedding is of another kind, or these are not probabilities.
        """
        probabilities = np.asarray(probabilities, np.float32)
        wanted = (len(self.probes), self.architecture.outputs)
        if probabilities.ndim != 3 or probabilities.shape[1:] != wanted:
            raise EmbrlError(
                f"action probabilities are [N, {wanted[0]}, {wanted[1]}], "
                f"not {list(probabilities.shape)}"
            )
        sums = probabilities.sum(-1)
        if not ((probabilities >= 0).all() and (np.abs(sums - 1) < 1e-3).all()):
            raise EmbrlError("action probabilities must be 0 or more and add up to 1")
        return _in_parts(_encode_fingerprint, self.model, probabilities)

    @property
    def probes(self) -> Float[np.ndarray, "P inputs"]:
        """The states in which an agent is asked.

        Raises:
            EmbrlError: the embedding is of another kind.
        """
        if not isinstance(self.model, Fingerprint):
            raise EmbrlError(f"a {self.kind} embedding has no probe states: use fingerprint")
        return np.asarray(self.model.probes)

    def decode(self, z: Float[np.ndarray, "N k"]) -> Float[np.ndarray, "N size"]:
        """An agent for each z.

        Raises:
            EmbrlError: z is of another length.
        """
        z = np.asarray(z, np.float32)
        if z.ndim != 2 or z.shape[1] != self.k:
            raise EmbrlError(f"embeddings are [N, {self.k}], not {list(z.shape)}")
        return _in_parts(_decode, self.model, z)

    def sample(self, key: Key, n: int, spread: float = 1.0) -> Float[np.ndarray, "n k"]:
        """Draws from the prior, `spread` times as far from its mean as they come."""
        return np.asarray(self.prior.sample(key, n, spread))

    def save(self, folder: Path) -> None:
        """Writes it into the folder of its fit, all or nothing."""
        checkpoint.write(
            folder / FOLDER,
            self.config.steps,
            (self.model, self.prior),
            {
                "embedding": FORMAT,
                "kind": self.kind,
                "config": dataclasses.asdict(self.config),
                "architecture": dataclasses.asdict(self.architecture),
                "environment": self.environment,
                "env": dataclasses.asdict(self.env),
                "components": len(self.prior.shares),
            },
        )


def load(folder: str | os.PathLike[str]) -> AgentEmbedding:
    """An embedding that `fit` or `save` wrote.

    Raises:
        EmbrlError: there is none, it is not finished, damaged or of a newer format.
    """
    found = checkpoint.latest(Path(folder) / FOLDER)
    if found is None:
        raise EmbrlError(f"{folder} holds no finished embedding: embrl agents fit makes one")
    manifest, where = checkpoint.read_manifest(found), found / checkpoint.MANIFEST
    if manifest.get("embedding") != FORMAT:
        raise EmbrlError(
            f"{where} has embedding format {manifest.get('embedding')!r}, "
            f"this version of embrl reads {FORMAT}"
        )
    try:
        kind, environment = str(manifest["kind"]), str(manifest["environment"])
        components = int(manifest["components"])
        structure = cattrs.Converter(forbid_extra_keys=True).structure
        architecture = structure(manifest["architecture"], Architecture)
        env = structure(manifest["env"], ENVIRONMENTS[environment])
        config = from_json(manifest["config"], where)
    except EmbrlError:
        raise
    except KeyError as error:
        raise EmbrlError(f"{where} is damaged: it lacks {error}") from error
    except Exception as error:
        raise EmbrlError(
            f"{where} is damaged: {'; '.join(cattrs.transform_error(error))}"
        ) from error
    like = (blank(kind, architecture, config), jax.eval_shape(lambda: empty(config.k, components)))
    model, prior = checkpoint.read(found, like)
    return AgentEmbedding(kind, config, environment, env, model, prior)


def blank(kind: str, architecture: Architecture, config: FitConfig) -> Any:
    """The shapes of a model."""

    def make() -> AgentModel:
        nothing = jnp.zeros((2, architecture.size)), jnp.zeros((2, 2, architecture.inputs))
        return KINDS[kind].make(architecture, *nothing, config.k, config.hidden, jax.random.key(0))

    return eqx.filter_eval_shape(make)


@eqx.filter_jit
def _encode(model: AgentModel, w: Array) -> Array:
    return model.posterior(model.features(w))[0]


@eqx.filter_jit
def _encode_fingerprint(model: Fingerprint, probabilities: Array) -> Array:
    return model.posterior(model.features_of(probabilities))[0]


@eqx.filter_jit
def _decode(model: AgentModel, z: Array) -> Array:
    return model.decode(z)


def _in_parts(
    function: Callable[[Any, Array], Array], model: AgentModel, rows: np.ndarray
) -> np.ndarray:
    found = []
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS]
        filled = np.zeros((ROWS, *rows.shape[1:]), rows.dtype)
        filled[: len(part)] = part
        found.append(np.asarray(function(model, jnp.asarray(filled)))[: len(part)])
    if found:
        return np.concatenate(found)
    shape = jax.eval_shape(functools.partial(function, model), jnp.zeros((1, *rows.shape[1:])))
    return np.zeros((0, *shape.shape[1:]), np.float32)
