"""How large an embedding is, and what its networks are put on."""

import dataclasses
from typing import Literal

import gymnasium

from embrl.embedding.encoders import SPREAD
from embrl.errors import EmbrlError


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The shape of the joint embedding."""

    m: int = 8
    """Dimensions of the state embedding."""
    d: int = 2
    """Dimensions of the action embedding."""
    state_hidden: tuple[int, ...] | None = None
    """Hidden layers of phi. Left out: none for discrete states, one row a state; 64 for boxes."""
    action_hidden: tuple[int, ...] = (64,)
    """Hidden layers of g for actions that are numbers, or have features; other discrete ones have
    a row each."""
    action_features: str = ""
    """What is known of each discrete action, for g to go by in place of a row for each: a .npy file
    of numbers, a row an action; or env: what the environment says. Left out: nothing."""
    action_rows: bool = False
    """Whether actions with features have a row of their own beside them."""
    action_network: bool = True
    """Whether actions that are numbers are embedded by a network; if not, they are their own
    embedding, scaled to [-1, 1], and d is how many numbers they are."""
    decoder_hidden: tuple[int, ...] = (64,)
    """Hidden layers of f for actions that are numbers."""
    transition_hidden: tuple[int, ...] = (64,)
    """Hidden layers of T."""
    head: Literal["metric", "softmax", "echo"] = "metric"
    """T for discrete states. metric: it predicts a point, and near states are likely. softmax: a
    free linear layer, as in the paper. echo: that of the state alone, and the value that the action
    names is made likelier."""
    tie: bool = False
    """Whether an action lies where the value that it names lies in X, in place of a row of its own:
    for environments whose actions name what is observed. d must be m."""
    memory: int = 0
    """Visits of a state that are remembered, and mixed into what the echo head predicts where f is
    judged by the model; 0: none."""
    memory_weight: float = 10.0
    """Visits that the prediction itself counts for."""
    head_hidden: tuple[int, ...] = (64,)
    """Hidden layers of the other objectives' networks: decoders, reward, termination, latent."""
    inverse_hidden: tuple[int, ...] = ()
    """Hidden layers of the inverse model. None: one linear layer, as in RA."""
    horizon: int = 5
    """Steps ahead of objectives that look at segments (latent)."""
    state_spread: float = SPREAD
    """Initial spread of state embeddings."""
    action_spread: float = SPREAD
    """Initial spread of action embeddings."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """What an objective's networks are put on."""

    observation_space: gymnasium.Space
    features: int | tuple[int, ...]
    """Of phi: m, or of raw states: their factors, or the length of a box."""
    actions: int
    """Discrete ones; 0 if actions are numbers."""
    d: int
    embedded: bool = True
    """Whether states are: if not, phi is the identity."""
    named: int | None = None
    """The factor of observations whose values the actions name; None where they name nothing."""
    action_length: int = 0
    """Numbers of an action; 0 if actions are discrete."""

    def m(self, objective: str) -> int:
        """Dimensions of X, for an objective that trains phi.

        Raises:
            EmbrlError: states are not embedded.
        """
        if not self.embedded or not isinstance(self.features, int):
            raise EmbrlError(f"objective {objective} needs embedded states: choose another method")
        return self.features

    def choices(self, objective: str) -> int:
        """Discrete actions, for an objective that tells them apart.

        Raises:
            EmbrlError: actions are numbers.
        """
        if not self.actions:
            raise EmbrlError(
                f"objective {objective} needs Discrete actions, and here they are a Box: choose "
                "another method"
            )
        return self.actions

    @property
    def pair(self) -> int | tuple[int, ...]:
        """Features of a state and the next, side by side."""
        return 2 * self.features
