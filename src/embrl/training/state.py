"""What is learned, and what training goes on with."""

from typing import NamedTuple, TypeAlias

import optax

from embrl.algorithms.base import Learner
from embrl.core.scaling import Seen
from embrl.core.types import Transition
from embrl.data.replay import Replay
from embrl.data.rollout import Lanes
from embrl.embedding.encoders import Norm
from embrl.embedding.memory import Memory
from embrl.embedding.model import JointEmbedding
from embrl.embedding.monitor import Reference
from embrl.training.exploration import Visits

Found: TypeAlias = Transition | Reference
"""Of pre-training: its transitions; or, where there was none, what the embedding was like where it
comes from."""


class Agent(NamedTuple):
    """What is learned."""

    embedding: JointEmbedding | None
    norm: Norm | None
    """Of X, as the policy sees it; None where states are not embedded."""
    learner: Learner
    memory: Memory | None = None
    """What followed the states that were visited; None where nothing is remembered."""
    seen: Seen | None = None
    """Of raw observations without bounds, as far as policies look at them as they are."""


class SeedState(NamedTuple):
    """One seed in the middle of its training."""

    agent: Agent
    lanes: Lanes | None
    """None where the environment runs on the host."""
    replay: Replay | None
    """None where nothing is learned from it."""
    optimiser: optax.OptState | None
    """Of an embedding that goes on learning."""
    f_optimiser: optax.OptState
    """Of its f, if that is a network; else empty."""
    reference: Reference | None
    """What the embedding was like before the policy; None without one."""
    visits: Visits | None
    """How often states were reached; None where nothing is paid for novelty."""
