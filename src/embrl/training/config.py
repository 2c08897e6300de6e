"""Everything that a run is made of."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import cattrs

from embrl import envs
from embrl.decoding.config import DecoderConfig
from embrl.embedding.fit import FitConfig
from embrl.embedding.shape import ModelConfig
from embrl.envs import EnvConfig
from embrl.errors import EmbrlError, UnknownNameError
from embrl.policy import ALGORITHMS
from embrl.policy.algorithm import Algorithm
from embrl.policy.config import PolicyConfig
from embrl.training.novelty import ExploreConfig


@dataclasses.dataclass(frozen=True)
class RolloutConfig:
    """How experience is collected."""

    epoch: int = 1500
    """Environment steps between two updates of the policy."""
    lanes: int = 30
    """Environments side by side; must divide the epoch."""
    buffer: int = 300_000
    """Latest transitions that are kept, pre-training's first, for SAC and for updates of the
    embedding."""
    persistence: float = 0.0
    """Pre-training: the probability that a random action repeats the one before."""
    closed: str = ""
    """A .npy file of actions, by index, that are never chosen: neither tried in pre-training nor
    returned by f. Left out: none."""


@dataclasses.dataclass(frozen=True)
class UpdateConfig:
    """How the embedding goes on learning while the policy does (Pritz et al. 2021, Algorithm 1)."""

    every: int = 0
    """Epochs between two updates of the embedding; 0: it stays as it was pre-trained."""
    steps: int = 10
    """Gradient steps of an update."""
    batch: int = 512
    """Transitions in a gradient step."""
    learning_rate: float = 1e-3
    """Adam's."""
    schedule: Literal["constant", "linear"] = "constant"
    """linear: the learning rate falls to zero."""
    until: float = 1.0
    """Share of the training after which the embedding rests."""
    fresh: float = 0.5
    """Share of a batch that comes from the latest epoch; the rest comes from the buffer."""


@dataclasses.dataclass(frozen=True)
class TransferConfig:
    """What to take over from another run, or from an embedding that stands alone."""

    run: str = ""
    """A run folder, or the folder of an embedding (`embrl fit`), to begin with; left out: begin
    anew."""
    keep: Literal["both", "states", "actions"] = "both"
    """both: the embedding as it is, without pre-training. states: phi as it is, where actions
    differ; g is trained anew. actions: g as it is, where states differ."""
    policy: bool = False
    """Whether to begin with its policy too. The other networks of the embedding (T) are then kept
    as they are, so that what is trained anew comes to lie where the policy expects it."""
    std: float = 0.2
    """The least std that a policy taken over begins with on each axis of E (VPG and PPO). A trained
    one is often too sure of itself to notice that the world has changed."""


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
    objectives: dict[str, float]
    """Weights by name; none for methods without embeddings, or with untrained ones."""
    model: ModelConfig
    fit: FitConfig
    update: UpdateConfig
    transfer: TransferConfig
    policy: PolicyConfig
    f: DecoderConfig
    hyper: Algorithm
    rollout: RolloutConfig
    evaluation: EvaluationConfig
    explore: ExploreConfig = dataclasses.field(default_factory=ExploreConfig)
    vary: dict[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    """Settings that differ between the points of a sweep, by dotted name, with a value for each
    point; empty for an ordinary run. Points stand side by side as seeds do, and share their seeds.
    """

    @property
    def points(self) -> int:
        """Of a sweep: 1 if there is none."""
        return max((len(values) for values in self.vary.values()), default=1)

    @property
    def rows(self) -> int:
        """What is trained side by side: all seeds of the first point, of the second, ..."""
        return self.points * self.seeds


def as_json(config: RunConfig) -> dict[str, Any]:
    """Plain values, as they stand in `config.json`."""
    value = dataclasses.asdict(config)
    if not config.vary:
        del value["vary"]
    return value


def from_json(value: dict[str, Any], where: str | Path) -> RunConfig:
    """The configuration that `as_json` wrote, read from the file `where`.

    Raises:
        EmbrlError: something is missing, unknown or of the wrong type; the message says what.
    """
    value = {name: part for name, part in value.items() if name != "versions"}
    kinds: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(RunConfig)}
    # What has a default came later than some folders.
    value = {**_defaults(), **value}
    if missing := kinds.keys() - value.keys():
        raise EmbrlError(f"{where} lacks {', '.join(sorted(missing))}")
    if unknown := value.keys() - kinds.keys():
        raise EmbrlError(f"{where} has unknown entries: {', '.join(sorted(unknown))}")
    # These two depend on a name that stands beside them. A folder brings no code: what a plugin
    # registered must have been loaded by whoever reads it.
    try:
        kinds["env"] = envs.kind(value["environment"])
        kinds["hyper"] = ALGORITHMS[value["algorithm"]]
    except UnknownNameError as error:
        raise EmbrlError(f"{where}: {error}") from error
    converter = cattrs.Converter(forbid_extra_keys=True)
    parts: dict[str, Any] = {}
    for name, kind in kinds.items():
        try:
            parts[name] = converter.structure(value[name], kind)
        except Exception as error:  # cattrs raises groups of whatever a value's type raises
            reasons = "; ".join(cattrs.transform_error(error))
            raise EmbrlError(f"{where}: {name} is damaged: {reasons}") from error
    return RunConfig(**parts)


def check_same(wanted: RunConfig, found: RunConfig, what: str) -> None:
    """Whether two configurations mean the same, whatever their versions say.

    Raises:
        EmbrlError: they do not; the message begins with `what` and names the first setting.
    """
    mine, its = as_json(wanted), as_json(found)
    for name in dict.fromkeys([*mine, *its]):
        here, there = mine.get(name), its.get(name)
        if here != there:
            raise EmbrlError(f"{what}: its {name} is {there}, this one's is {here}")


def _defaults() -> dict[str, Any]:
    fields = dataclasses.fields(RunConfig)
    return {
        field.name: _plain(field.default_factory())
        for field in fields
        if field.default_factory is not dataclasses.MISSING
    }


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value  # type: ignore[arg-type]
