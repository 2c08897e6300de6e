"""Configuration of a run, its validation, and its form in `config.json`."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from embrl import envs
from embrl.algorithms import ALGORITHMS
from embrl.algorithms.base import Algorithm, PolicyConfig
from embrl.core.errors import (
    EmbrlError,
    SettingError,
    UnknownNameError,
    check_at_least,
    check_fraction,
    check_multiple,
    check_numbers,
    check_positive,
)
from embrl.core.section import Section
from embrl.decoding.base import DecoderConfig
from embrl.embedding.config import EchoConfig, EmbeddingConfig, PretrainConfig
from embrl.envs import EnvConfig
from embrl.storage.files import from_plain, require_keys
from embrl.storage.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class RolloutConfig(Section):
    """Collection of experience."""

    steps_per_update: int = 1500
    """Environment steps between two updates of the policy, over all parallel environments."""
    num_envs: int = 30
    """Parallel environments of each seed; must divide steps_per_update."""
    buffer_size: int = 300_000
    """Transitions in the replay buffer, which SAC and online updates of the embedding learn from;
    it begins with those of pre-training."""
    sticky_action_prob: float = 0.0
    """Probability that a random action of pre-training repeats the previous one."""
    excluded_actions: str = ""
    """A .npy file with indices of actions that are never chosen, neither by random exploration nor
    by the policy. Empty: none."""

    def validate_collection(self) -> None:
        """Check the settings that random exploration depends on."""
        check_positive("rollout.num_envs", self.num_envs)
        check_fraction("rollout.sticky_action_prob", self.sticky_action_prob, one=False)

    def validate(self) -> None:
        """Check all settings.

        Raises:
            SettingError: a value is out of range.
        """
        self.validate_collection()
        check_positive("rollout.buffer_size", self.buffer_size)
        check_multiple(
            "rollout.steps_per_update", self.steps_per_update, "rollout.num_envs", self.num_envs
        )


@dataclasses.dataclass(frozen=True)
class OnlineConfig(Section):
    """Online updates of the embedding during policy training (Pritz et al. 2021, Algorithm 1)."""

    every: int = 0
    """Policy updates between two updates of the embedding. 0: it stays as pre-trained."""
    gradient_steps: int = 10
    """Gradient steps in each update of the embedding."""
    batch_size: int = 512
    """Transitions in a gradient step."""
    learning_rate: float = 1e-3
    """Learning rate of Adam."""
    schedule: Literal["constant", "linear"] = "constant"
    """Learning rate schedule. linear: it falls to zero."""
    until: float = 1.0
    """Fraction of training after which the embedding is frozen, 0 to 1."""
    fresh_fraction: float = 0.5
    """Fraction of a batch taken from the latest rollout, 0 to 1; the rest is replayed."""

    def validate(self) -> None:
        """Check all settings.

        Raises:
            SettingError: a value is out of range.
        """
        check_at_least("online.every", self.every, 0)
        if not self.every:
            return
        check_positive("online.gradient_steps", self.gradient_steps)
        check_positive("online.batch_size", self.batch_size)
        check_positive("online.learning_rate", self.learning_rate)
        check_fraction("online.fresh_fraction", self.fresh_fraction)
        check_fraction("online.until", self.until)


@dataclasses.dataclass(frozen=True)
class TransferConfig(Section):
    """Embedding and policy taken over from another run, or from a saved embedding."""

    run: str = ""
    """Folder of a run, or of an embedding (`embrl fit`), to start from. Empty: none."""
    keep: Literal["both", "states", "actions"] = "both"
    """both: the embedding unchanged, without pre-training. states: phi unchanged where actions
    differ, with g trained anew. actions: g unchanged where states differ."""
    policy: bool = False
    """Start from the other run's policy, too; if the goal has moved, it still goes to the old one.
    The embedding's other networks (T) are then frozen, so that what is trained anew lies where the
    policy expects it."""
    min_std: float = 0.2
    """Lower bound of the initial standard deviation, on each axis of E, of a policy taken over (VPG
    and PPO). Trained policies are often too deterministic to notice that the task has changed."""

    def validate(self) -> None:
        """Check all settings.

        Raises:
            SettingError: a value is out of range.
        """
        check_positive("transfer.min_std", self.min_std)


@dataclasses.dataclass(frozen=True)
class EvaluationConfig(Section):
    """Evaluation of the policy. Its episodes teach nothing and do not count as timesteps."""

    every: int = 7500
    """Timesteps between two evaluations, a multiple of rollout.steps_per_update."""
    episodes: int = 10
    """Episodes of an evaluation, of the stochastic policy and again of its most likely action."""
    final_episodes: int = 100
    """Episodes of the last evaluation, a multiple of evaluation.episodes."""
    max_episode_steps: int | None = None
    """Steps after which an episode that has not ended is cut, and counted as it is. Default: the
    limit of the environment, or 10,000 if that is more."""

    def validate(self, steps_per_update: int) -> None:
        """Check all settings.

        Raises:
            SettingError: a value is out of range.
        """
        check_positive("evaluation.episodes", self.episodes)
        check_multiple("evaluation.every", self.every, "rollout.steps_per_update", steps_per_update)
        check_multiple(
            "evaluation.final_episodes", self.final_episodes, "evaluation.episodes", self.episodes
        )
        if self.max_episode_steps is not None:
            check_positive("evaluation.max_episode_steps", self.max_episode_steps)


@dataclasses.dataclass(frozen=True)
class ExplorationConfig(Section):
    """Count-based exploration bonus."""

    bonus: float = 0.0
    """Reward for reaching a state for the first time; it falls with the square root of the number
    of visits. About a tenth of the largest reward is a good start. 0: no bonus."""
    until: float = 1.0
    """Fraction of training over which the bonus decays linearly to 0, above 0 to 1, so that in the
    end the policy maximises the environment's rewards alone."""
    known_after: int = 0
    """Visits after which a state is known and earns nothing, as in R-max (Brafman and Tennenholtz
    2002). Where random actions already reach most states, they are known after pre-training, and
    policies are not led on detours. 0: never."""
    centred: bool = False
    """Subtract the mean of the bonus over the rollout, so that it does not pay to stay in an
    episode for its sake."""
    more_if_sparse: bool = False
    """Explore more if rewards are sparse in pre-training, that is, if fewer than one in twenty of
    its episodes earn a reward above the median: three times the bonus, centred, for at least half
    of training, with `known_after` at least 10 unless it is 0."""
    num_counters: int = 16_384
    """Counters of visits. With more states than these, several states share one."""

    def validate(self) -> None:
        """Check all settings.

        Raises:
            SettingError: a value is out of range.
        """
        check_at_least("exploration.bonus", self.bonus, 0)
        check_fraction("exploration.until", self.until, zero=False)
        check_at_least("exploration.known_after", self.known_after, 0)
        check_positive("exploration.num_counters", self.num_counters)


@dataclasses.dataclass(frozen=True)
class ImitationConfig(Section):
    """Supervised training of the policy on an expert's actions, before it is trained by rewards."""

    gradient_steps: int = 0
    """Gradient steps on demonstrations of the environment, which count as no timesteps; 0: none."""
    batch_size: int = 512
    """Demonstrated actions in a gradient step."""
    learning_rate: float = 3e-3
    """Largest learning rate of Adam; it falls to zero along half a cosine."""
    warmup: int = 0
    """First gradient steps, in which the learning rate rises linearly from zero; without them,
    large rates may end in a policy that ignores what it sees."""

    def validate(self) -> None:
        """Check all settings.

        Raises:
            SettingError: a value is out of range.
        """
        check_at_least("imitation.gradient_steps", self.gradient_steps, 0)
        check_at_least("imitation.warmup", self.warmup, 0)
        check_positive("imitation.batch_size", self.batch_size)
        check_positive("imitation.learning_rate", self.learning_rate)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Complete configuration of a run.

    The same configuration gives the same result bit for bit, with the same versions on the same
    kind of machine.
    """

    environment: str
    env: EnvConfig
    method: str
    algorithm: str
    seeds: int
    total_timesteps: int
    seed: int
    objectives: dict[str, float]
    """Objectives' weights by name; empty for methods without an embedding, or with an untrained
    one."""
    embedding: EmbeddingConfig
    pretrain: PretrainConfig
    online: OnlineConfig
    transfer: TransferConfig
    policy: PolicyConfig
    decoder: DecoderConfig
    hyperparameters: Algorithm
    """The algorithm's settings; in flags and in `config.json` they are called by its name."""
    rollout: RolloutConfig
    evaluation: EvaluationConfig
    exploration: ExplorationConfig = dataclasses.field(default_factory=ExplorationConfig)
    imitation: ImitationConfig = dataclasses.field(default_factory=ImitationConfig)
    echo: EchoConfig = dataclasses.field(default_factory=EchoConfig)
    vary: dict[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    """Settings that differ between the points of a sweep, by dotted name, with a value for each
    point; empty for an ordinary run. Points train side by side as seeds do, with the same seeds."""

    @property
    def points(self) -> int:
        """Number of points of a sweep; 1 for an ordinary run."""
        return max((len(values) for values in self.vary.values()), default=1)

    @property
    def replicas(self) -> int:
        """Number of trainings side by side: all seeds of the first point, of the second, ..."""
        return self.points * self.seeds

    def validate_numbers(self) -> None:
        """Check that all numbers can be computed with and the seed is in range."""
        check_numbers(as_json(self))
        if not 0 <= self.seed < 2**32:
            raise SettingError("seed", "in 0 to 4294967295", self.seed)

    def validate(self) -> None:
        """Check every section by itself; `Trainer.validate` checks how they fit together.

        Raises:
            SettingError: a value is out of range.
        """
        self.validate_numbers()
        check_positive("seeds", self.seeds)
        self.rollout.validate()
        self.evaluation.validate(self.rollout.steps_per_update)
        self.exploration.validate()
        self.imitation.validate()
        if self.imitation.gradient_steps and self.hyperparameters.off_policy:
            raise SettingError(
                "imitation.gradient_steps",
                f"0 with algorithm {self.algorithm}",
                self.imitation.gradient_steps,
                "choose ppo or vpg",
            )
        self.policy.validate()
        self.hyperparameters.validate(self.algorithm)


HYPERPARAMETERS = "hyperparameters"
"""Field of `RunConfig` that `config.json` and flags call by the algorithm's name."""


def as_json(config: RunConfig) -> dict[str, Any]:
    """Return the configuration as plain values, as they stand in `config.json`."""
    value = dataclasses.asdict(config)
    if not config.vary:
        del value["vary"]
    return {
        config.algorithm if name == HYPERPARAMETERS else name: part for name, part in value.items()
    }


def from_json(value: dict[str, Any], where: str | Path) -> RunConfig:
    """Return the configuration that `as_json` wrote.

    Args:
        value: the content of the file.
        where: the file, for messages.

    Raises:
        EmbrlError: something is missing, unknown or of the wrong type.
    """
    value = {name: part for name, part in value.items() if name not in ("format", "versions")}
    kinds: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(RunConfig)}
    require_keys(value, ("environment", "algorithm"), where)
    for name in ("environment", "algorithm"):
        if not isinstance(value[name], str):
            raise EmbrlError(f"{where} is damaged: {name} must be a name, got {value[name]!r}")
    algorithm = value["algorithm"]
    # These two depend on a name that stands beside them. A folder brings no code: what a plugin
    # registered must have been loaded by the reader, to train or to play.
    try:
        kinds["env"] = envs.recorded_kind(value["environment"], value.get("env"))
        kinds[HYPERPARAMETERS] = ALGORITHMS[algorithm]
    except UnknownNameError as error:
        raise EmbrlError(f"{where}: {error}") from error
    if algorithm in value:
        value[HYPERPARAMETERS] = value.pop(algorithm)
    value = {"vary": {}, "imitation": {}, **value}  # which older folders lack
    require_keys(value, kinds, where)
    if unknown := value.keys() - kinds.keys():
        raise EmbrlError(f"{where} has unknown entries {', '.join(sorted(unknown))}")
    return RunConfig(
        **{name: from_plain(value[name], kind, f"{where}: {name}") for name, kind in kinds.items()}
    )


def load_config(folder: RunFolder) -> RunConfig:
    """Return the configuration in a run's folder.

    Raises:
        EmbrlError: it is missing or damaged.
    """
    return from_json(folder.config(), folder.path / "config.json")


def begun_config(out: Path, environment: str, method: str, algorithm: str) -> RunConfig | None:
    """Return the configuration of the run in a folder, if it is to be resumed.

    What it was begun with are its defaults: those of another budget may be scaled differently.

    Args:
        out: the run folder.
        environment: name of the environment.
        method: name of the method.
        algorithm: name of the algorithm.

    Returns:
        None if there is no run, or another one.
    """
    folder = RunFolder(out)
    if not folder.holds_run:
        return None
    found = load_config(folder)
    same = (found.environment, found.method, found.algorithm) == (environment, method, algorithm)
    return found if same and not found.vary else None


def check_same(wanted: RunConfig, found: RunConfig, what: str) -> None:
    """Check that two configurations are equal.

    Raises:
        EmbrlError: they differ; the message begins with `what` and names the first setting.
    """
    mine, its = as_json(wanted), as_json(found)
    for name in dict.fromkeys([*mine, *its]):
        here, there = mine.get(name), its.get(name)
        if here != there:
            raise EmbrlError(f"{what}: {name} is {there} there and {here} here")
