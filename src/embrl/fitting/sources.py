"""What a person calls a source, as an `Origin`."""

from typing import Any

from embrl import envs
from embrl.data.sources.arrays import UNSAID, Given, from_transition
from embrl.data.sources.recorded import Recorded
from embrl.errors import EmbrlError
from embrl.fitting.origin import Data, Origin, Played
from embrl.types import Transition


def origin(source: Any, given: Given = UNSAID, options: dict[str, Any] | None = None) -> Origin:
    """
    Arguments:
        source: what `embrl.fit` takes.
        given: spaces, of recorded transitions.
        options: the environment's, of one that has a name.

    Raises:
        EmbrlError: there is no such source, or what it has cannot be used; the message says why.
    """
    options = options or {}
    if isinstance(source, Transition):
        return Data(from_transition(source, given))
    if isinstance(source, Recorded):
        return Data(source)
    if isinstance(source, str):
        settings = envs.configure(source, **options)
        return Played(source, settings, settings.build())
    raise EmbrlError(f"{source!r} is no source")
