"""What the policies of all algorithms have in common."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class PolicyConfig:
    """The networks of actor and critic."""

    hidden: tuple[int, ...] = (64, 64)
    """Hidden layers of both."""
    std: float = 0.6
    """Initial standard deviation of the internal policy (without an embedding, only where actions
    are numbers)."""
    std_unit: Literal["embedding", "action"] = "embedding"
    """What std is measured in where actions are numbers that are embedded.
    embedding: E's own units, as in the paper. action: those of the actions, scaled by their bounds:
    in E it is as much smaller as random actions lie closer together there."""
    credit: Literal["e", "g(a)"] = "e"
    """Whose probability VPG and PPO raise after a good action: that of the point which the policy
    drew, as in the paper's Algorithm 1, or of the place of the action which f made of it
    (embedding methods only)."""
    bounded: bool = True
    """Whether the internal policy's mean ends in a tanh, as embeddings lie in (-1, 1)^d."""
    sees: Literal["embedding", "both"] = "embedding"
    """What of the state, where that is embedded and a vector of numbers: phi(s) alone, as in the
    paper, or the numbers themselves beside it, which networks join as TD7's do (Fujimoto et al.
    2023; `embrl.policy.networks`)."""
    normalise: Literal["seen", "down", "squash", "no"] = "seen"
    """Numbers without bounds that a policy observes as they are (methods that embed no states, and
    `sees` both).
    seen: scaled by the mean and the deviation of what it has seen so far. down: likewise, but what
    deviates by less than 1 is only centred. squash: s becomes s / (1 + |s|). no: left alone."""
