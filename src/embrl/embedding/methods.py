"""Methods: not code paths, but choices of encoders and objectives for one pipeline."""

import dataclasses

from embrl.core.errors import EmbrlError
from embrl.core.registry import Registry


@dataclasses.dataclass(frozen=True)
class Method:
    """What is embedded, and what the embeddings are trained to do."""

    states: bool
    """Whether states are embedded; if not, phi is the identity."""
    actions: bool
    """Whether actions are embedded; if not, f is the identity."""
    objectives: tuple[tuple[str, float], ...] = ()
    """Names in `OBJECTIVES` and their weights."""

    def __post_init__(self) -> None:
        if self.states and not self.actions:
            raise EmbrlError("embedding states alone is not supported: embed actions too")

    @property
    def embeds(self) -> bool:
        """Whether there is anything to learn before the policy."""
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
"""A new method is one line here; docs/methods/ has a page on each."""
