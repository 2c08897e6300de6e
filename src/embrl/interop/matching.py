"""Whether an embedding fits an environment, and if not, what exactly does not."""

import numpy as np
from gymnasium import spaces

from embrl.core.errors import EmbrlError
from embrl.core.spaces import difference


def check_fits(what: str, has: spaces.Space, needs: spaces.Space) -> None:
    """Compares spaces, in embrl's forms.

    A `Box` may be narrower than the one that the embedding was fitted on, as it is then scaled just
    the same: data without bounds, for example, fit any.

    Arguments:
        what: the observations or actions of which environment, for the message.
        has: the environment's.
        needs: the embedding's.

    Raises:
        EmbrlError: they differ: which dimension, what it has, what it needs.
    """
    if not _within(has, needs) and (differs := difference(has, needs)):
        raise EmbrlError(f"{what} do not fit the embedding: {differs}")


def _within(has: spaces.Space, needs: spaces.Space) -> bool:
    if not (isinstance(has, spaces.Box) and isinstance(needs, spaces.Box)):
        return False
    if has.shape != needs.shape:
        return False
    return bool(np.all((needs.low <= has.low) & (has.high <= needs.high)))
