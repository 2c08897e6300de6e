"""Methods: not code paths, but choices of encoders and objectives for one pipeline."""

import dataclasses

from embrl.errors import UnknownNameError


@dataclasses.dataclass(frozen=True)
class Method:
    """What is embedded, and what the embeddings are trained to do."""

    embeds: bool
    """Whether states and actions are embedded; if not, phi and f are the identity."""
    objectives: tuple[tuple[str, float], ...] = ()
    """Names in `OBJECTIVES` and their weights."""


METHODS = {
    "jsae": Method(embeds=True, objectives=(("forward", 1.0),)),
    "none": Method(embeds=False),
}
"""A new method is one line here."""


def method(name: str) -> Method:
    """The method called `name`.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    return METHODS[name]
