"""What the policies of all algorithms have in common."""

import dataclasses


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
