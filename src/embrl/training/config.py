"""Everything that a run is made of."""

import dataclasses
from pathlib import Path
from typing import Any

import cattrs

from embrl.embedding.fit import FitConfig
from embrl.embedding.model import ModelConfig
from embrl.envs import ENVIRONMENTS, EnvConfig
from embrl.errors import EmbrlError
from embrl.policy import ALGORITHMS
from embrl.policy.vpg import VPG


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
    """The networks of actor and critic."""

    hidden: tuple[int, ...] = (64, 64)
    """Hidden layers of both."""
    std: float = 0.6
    """Initial standard deviation of the internal policy, in units of the action embedding
    (embedding methods only)."""
    bounded: bool = True
    """Whether the internal policy's mean ends in a tanh, as embeddings lie in (-1, 1)^d."""


@dataclasses.dataclass(frozen=True)
class RolloutConfig:
    """How experience is collected."""

    epoch: int = 1500
    """Environment steps between two updates of the policy."""
    lanes: int = 30
    """Environments side by side; must divide the epoch."""
    persistence: float = 0.0
    """Pre-training: the probability that a random action repeats the one before."""


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """How the policy is measured. Evaluation episodes teach it nothing and are not counted."""

    every: int = 7500
    """Samples between two evaluations, a multiple of the epoch."""
    episodes: int = 10
    """Episodes of an evaluation, for the policy as it acts and again for its likeliest action."""
    final_episodes: int = 100
    """Episodes of the last evaluation."""


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """A run, to the last setting: with this, the same versions and the same kind of machine it
    comes out the same to the last bit.
    """

    environment: str
    env: EnvConfig
    method: str
    algorithm: str
    seeds: int
    samples: int
    seed: int
    model: ModelConfig
    fit: FitConfig
    policy: PolicyConfig
    hyper: VPG
    rollout: RolloutConfig
    evaluation: EvaluationConfig


def as_json(config: RunConfig) -> dict[str, Any]:
    """Plain values, as they stand in `config.json`."""
    return dataclasses.asdict(config)


def from_json(value: dict[str, Any], where: str | Path) -> RunConfig:
    """The configuration that `as_json` wrote, read from the file `where`.

    Raises:
        EmbrlError: something is missing, unknown or of the wrong type; the message says what.
    """
    value = {name: part for name, part in value.items() if name != "versions"}
    kinds: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(RunConfig)}
    if missing := kinds.keys() - value.keys():
        raise EmbrlError(f"{where} lacks {', '.join(sorted(missing))}")
    if unknown := value.keys() - kinds.keys():
        raise EmbrlError(f"{where} has unknown entries: {', '.join(sorted(unknown))}")
    # These two depend on a name that stands beside them.
    kinds["env"] = ENVIRONMENTS[value["environment"]]
    kinds["hyper"] = ALGORITHMS[value["algorithm"]]
    converter = cattrs.Converter(forbid_extra_keys=True)
    parts: dict[str, Any] = {}
    for name, kind in kinds.items():
        try:
            parts[name] = converter.structure(value[name], kind)
        except Exception as error:  # cattrs raises groups of whatever a value's type raises
            reasons = "; ".join(cattrs.transform_error(error))
            raise EmbrlError(f"{where}: {name} is damaged: {reasons}") from error
    return RunConfig(**parts)
