"""How an embedding of agents is fitted."""

import dataclasses
from typing import Any

import cattrs

from embrl.core.errors import EmbrlError


@dataclasses.dataclass(frozen=True)
class FitConfig:
    """Settings of `embrl.agents.embeddings.fit.fit`.

    Raises:
        EmbrlError: a setting is out of range; the message names it.
    """

    k: int = 16
    """Numbers in an embedding."""
    group: str = "all"
    """Which agents: `all`, `best` (the highest group), or a group's number from 0 or its name."""
    hidden: tuple[int, ...] = (256, 128)
    """Widths of the encoder's hidden layers, and of the decoder's."""
    steps: int = 4_000
    """Gradient steps."""
    batch: int = 128
    """Agents in a step."""
    learning_rate: float = 2e-3
    """Adam's, after a short rise falling to zero along half a cosine."""
    beta: float | None = None
    """Weight of the KL to N(0, I); None: the kind's own."""
    held_out: float = 0.2
    """Share of lineages that training never sees."""
    agents: int = 20_000
    """Training agents at most; where there are more, that many drawn at random."""
    states: int = 64
    """In which an agent and its reconstruction are compared in a step."""
    keep: int = 64
    """Visited states that are remembered of each agent."""
    working: int = 1_024
    """Agents whose reconstructions act between two chunks of steps."""
    chunk: int = 100
    """Steps between two looks at the host, and between two such times."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("k", "steps", "batch", "agents", "keep", "working", "chunk"):
            if getattr(self, name) < 1:
                raise EmbrlError(f"{name} is {getattr(self, name)}: choose 1 or more")
        if self.states < 4:
            raise EmbrlError(f"states is {self.states}: choose 4 or more")
        if not self.hidden or min(self.hidden) < 1:
            raise EmbrlError(f"hidden is {self.hidden}: give the widths of one layer or more")
        if not self.learning_rate > 0:
            raise EmbrlError(f"learning_rate is {self.learning_rate}: choose more than 0")
        if self.beta is not None and not self.beta >= 0:
            raise EmbrlError(f"beta is {self.beta}: choose 0 or more")
        if not 0 < self.held_out < 1:
            raise EmbrlError(f"held_out is {self.held_out}: choose a share between 0 and 1")


def from_json(value: Any, where: object) -> FitConfig:
    """What `dataclasses.asdict` made of one.

    Raises:
        EmbrlError: it is damaged; the message names `where`.
    """
    try:
        return cattrs.Converter(forbid_extra_keys=True).structure(value, FitConfig)
    except EmbrlError as error:
        raise EmbrlError(f"{where}: {error}") from error
    except Exception as error:
        reasons = "; ".join(cattrs.transform_error(error))
        raise EmbrlError(f"{where}: config is damaged: {reasons}") from error
