"""Methods: choices of what is embedded, and of the objectives, in one pipeline."""

import dataclasses

from embrl.core.errors import EmbrlError
from embrl.core.registry import Registry


@dataclasses.dataclass(frozen=True)
class Method:
    """Choice of what is embedded, and of the objectives."""

    states: bool
    """True if states are embedded; otherwise phi is the identity."""
    actions: bool
    """True if actions are embedded; otherwise f is the identity."""
    objectives: tuple[tuple[str, float], ...] = ()
    """Objectives (names in `OBJECTIVES`) and their weights."""

    def __post_init__(self) -> None:
        if self.states and not self.actions:
            raise EmbrlError("actions must be True where states are, got False; embed actions too")

    @property
    def embeds(self) -> bool:
        """True if states or actions are embedded."""
        return self.states or self.actions


METHODS = Registry(
    "method",
    {
        "jsae": Method(True, True, (("forward", 1.0),)),
        "ra": Method(False, True, (("inverse", 1.0),)),
        "autoencoder": Method(True, True, (("state", 1.0), ("action", 1.0))),
        "dct": Method(True, True, (("forward", 1.0), ("action", 0.1))),
        "latent": Method(True, True, (("latent", 1.0), ("reward", 0.1), ("termination", 0.1))),
        "random": Method(True, True),
        "none": Method(False, False),
    },
    plugged=True,
)
"""All methods by name. A new method is one line here; docs/methods/ has a page on each."""
