"""A fitted embedding of agents, its settings and its folder."""

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
from embrl.agents.embeddings.models import AgentModel, Fingerprint
from embrl.agents.embeddings.prior import Prior, empty
from embrl.agents.population import Population
from embrl.core.errors import EmbrlError
from embrl.core.types import Key
from embrl.envs import ENVIRONMENTS
from embrl.envs.environment import EnvConfig
from embrl.storage import checkpoint


@dataclasses.dataclass(frozen=True)
class AgentFitConfig:
    """Settings of `embrl.agents.embeddings.fit.fit`.

    Raises:
        EmbrlError: a setting is out of range; the message names it.
    """

    k: int = 16
    """Dimensions of the embedding."""
    group: str = "all"
    """Agents to embed: `all`, `best` (the highest group), or a group's number from 0 or its name.
    """
    hidden: tuple[int, ...] = (256, 128)
    """Widths of the encoder's hidden layers; the decoder's are the same, reversed."""
    steps: int = 4_000
    """Gradient steps."""
    batch: int = 128
    """Agents per gradient step."""
    learning_rate: float = 2e-3
    """Learning rate of Adam, after a short warm-up falling to zero along half a cosine."""
    beta: float | None = None
    """Weight of the KL divergence to N(0, I); None: the kind's default."""
    held_out: float = 0.2
    """Fraction of lineages held out from training."""
    agents: int = 20_000
    """Maximum number of training agents; of more, that many are drawn at random."""
    states: int = 64
    """States per step in which an agent and its reconstruction are compared."""
    keep: int = 64
    """Visited states kept for each agent."""
    working: int = 1_024
    """Agents whose reconstructions act between two chunks of steps."""
    chunk: int = 100
    """Gradient steps per compiled call; reconstructions act anew after each."""
    seed: int = 0
    """Random seed."""

    def __post_init__(self) -> None:
        for name in ("k", "steps", "batch", "agents", "keep", "working", "chunk"):
            if getattr(self, name) < 1:
                raise EmbrlError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.states < 4:
            raise EmbrlError(f"states must be 4 or more, got {self.states}")
        if not self.hidden or min(self.hidden) < 1:
            raise EmbrlError(f"hidden must be one or more widths, got {self.hidden}")
        if not self.learning_rate > 0:
            raise EmbrlError(f"learning_rate must be above 0, got {self.learning_rate}")
        if self.beta is not None and not self.beta >= 0:
            raise EmbrlError(f"beta must be 0 or more, got {self.beta}")
        if not 0 < self.held_out < 1:
            raise EmbrlError(f"held_out must be between 0 and 1, got {self.held_out}")


def config_from_json(value: Any, where: object) -> AgentFitConfig:
    """Parse the result of `dataclasses.asdict` of an `AgentFitConfig`.

    Raises:
        EmbrlError: it is damaged; the message names `where`.
    """
    try:
        return cattrs.Converter(forbid_extra_keys=True).structure(value, AgentFitConfig)
    except EmbrlError as error:
        raise EmbrlError(f"{where}: {error}") from error
    except Exception as error:
        reasons = "; ".join(cattrs.transform_error(error))
        raise EmbrlError(f"{where}: config is damaged: {reasons}") from error


FORMAT = 1
FOLDER = "embedding"
"""Checkpoint of the finished embedding, in the folder of its fit."""

CHUNK_AGENTS = 1024
"""Agents encoded at a time.

Parts are padded to this, so that an embedding does not depend on how many are encoded with it.
"""


@dataclasses.dataclass(frozen=True)
class AgentEmbedding:
    """Embedding of agents: z = encode(w), w' = decode(z), and w' acts like w."""

    kind: str
    config: AgentFitConfig
    environment: str
    """Registered name of the agents' environment."""
    env: EnvConfig
    model: AgentModel
    prior: Prior

    @property
    def architecture(self) -> Architecture:
        """Architecture of the agents."""
        return self.model.architecture

    @property
    def k(self) -> int:
        """Dimensions of the embedding."""
        return self.config.k

    def encode(self, w: Float[np.ndarray, "N size"]) -> Float[np.ndarray, "N k"]:
        """Return the posterior mean of each agent.

        The canonical form is encoded, so permuting an agent's hidden units, or flipping the signs
        of a tanh unit, changes no bit of it.

        Raises:
            EmbrlError: `w` has another size, or is not finite.
        """
        ordered = canonical(self.architecture, np.asarray(w, np.float32))
        return _in_parts(_encode, self.model, ordered)

    def encode_fingerprint(
        self, probabilities: Float[np.ndarray, "N P A"]
    ) -> Float[np.ndarray, "N k"]:
        """Encode any policies from their action probabilities in `probes`.

        Raises:
            EmbrlError: the embedding is of another kind, or these are not probabilities.
        """
        probabilities = np.asarray(probabilities, np.float32)
        wanted = (len(self.probes), self.architecture.outputs)
        if probabilities.ndim != 3 or probabilities.shape[1:] != wanted:
            raise EmbrlError(
                f"action probabilities must be [N, {wanted[0]}, {wanted[1]}], "
                f"got {list(probabilities.shape)}"
            )
        sums = probabilities.sum(-1)
        if not ((probabilities >= 0).all() and (np.abs(sums - 1) < 1e-3).all()):
            raise EmbrlError("action probabilities must be 0 or more and sum to 1")
        return _in_parts(_encode_fingerprint, self.model, probabilities)

    @property
    def probes(self) -> Float[np.ndarray, "P inputs"]:
        """States in which a fingerprint is taken.

        Raises:
            EmbrlError: the embedding is of another kind.
        """
        if not isinstance(self.model, Fingerprint):
            raise EmbrlError(f"kind must be fingerprint for probe states, got {self.kind}")
        return np.asarray(self.model.probes)

    def decode(self, z: Float[np.ndarray, "N k"]) -> Float[np.ndarray, "N size"]:
        """Return an agent for each z.

        Raises:
            EmbrlError: `z` has another length.
        """
        z = np.asarray(z, np.float32)
        if z.ndim != 2 or z.shape[1] != self.k:
            raise EmbrlError(f"embeddings must be [N, {self.k}], got {list(z.shape)}")
        return _in_parts(_decode, self.model, z)

    def sample(self, key: Key, n: int, spread: float = 1.0) -> Float[np.ndarray, "n k"]:
        """Sample the prior, with distances from its mean multiplied by `spread`."""
        return np.asarray(self.prior.sample(key, n, spread))

    def save(self, folder: Path) -> None:
        """Write the embedding into the folder of its fit, atomically."""
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
    """Load an embedding written by `fit` or `save`.

    Raises:
        EmbrlError: there is none, or it is unfinished, damaged or of a newer format.
    """
    found = checkpoint.latest(Path(folder) / FOLDER)
    if found is None:
        raise EmbrlError(f"{folder} is not a finished embedding; fit one with embrl agents fit")
    manifest, where = checkpoint.read_manifest(found), found / checkpoint.MANIFEST
    if manifest.get("embedding") != FORMAT:
        raise EmbrlError(
            f"{where} has embedding format {manifest.get('embedding')!r}; "
            f"this version of embrl reads {FORMAT}"
        )
    try:
        kind, environment = str(manifest["kind"]), str(manifest["environment"])
        components = int(manifest["components"])
        structure = cattrs.Converter(forbid_extra_keys=True).structure
        architecture = structure(manifest["architecture"], Architecture)
        env = structure(manifest["env"], ENVIRONMENTS[environment])
        config = config_from_json(manifest["config"], where)
    except EmbrlError:
        raise
    except KeyError as error:
        raise EmbrlError(f"{where} is damaged: {error} is missing") from error
    except Exception as error:
        raise EmbrlError(
            f"{where} is damaged: {'; '.join(cattrs.transform_error(error))}"
        ) from error
    like = (blank(kind, architecture, config), jax.eval_shape(lambda: empty(config.k, components)))
    model, prior = checkpoint.read(found, like)
    return AgentEmbedding(kind, config, environment, env, model, prior)


def check_fits(embedding: AgentEmbedding, population: Population, name: str) -> None:
    """Check that an embedding and a population belong together.

    Raises:
        EmbrlError: the embedding is of other agents than the population's.
    """
    for what, mine, its in [
        ("agents", embedding.architecture, population.architecture),
        ("environment", embedding.environment, population.environment),
        ("settings of the environment", embedding.env, population.env),
    ]:
        if mine != its:
            raise EmbrlError(
                f"{what} of {name} must be {its} as in {population.path}, got {mine}; choose an "
                "embedding of this population"
            )
    if embedding.k > population.count:
        raise EmbrlError(
            f"agents of {population.path} must be k = {embedding.k} or more for {name}, got "
            f"{population.count}; choose a larger population"
        )


def blank(kind: str, architecture: Architecture, config: AgentFitConfig) -> Any:
    """Return the shapes of a model."""

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
    for start in range(0, len(rows), CHUNK_AGENTS):
        part = rows[start : start + CHUNK_AGENTS]
        filled = np.zeros((CHUNK_AGENTS, *rows.shape[1:]), rows.dtype)
        filled[: len(part)] = part
        found.append(np.asarray(function(model, jnp.asarray(filled)))[: len(part)])
    if found:
        return np.concatenate(found)
    shape = jax.eval_shape(functools.partial(function, model), jnp.zeros((1, *rows.shape[1:])))
    return np.zeros((0, *shape.shape[1:]), np.float32)
