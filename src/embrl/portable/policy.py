"""A policy in plain steps: from the raw observation to the action."""

import dataclasses

import numpy as np

from embrl.portable.chain import Chain
from embrl.portable.draws import Draw
from embrl.portable.judged import Judged


@dataclasses.dataclass(frozen=True, eq=False)
class PortablePolicy:
    """pi_o = f . pi_i . phi: parameters of pi_i follow from an observation, an internal action
    from these, the action from it.
    """

    features: Chain
    """From observations to x."""
    parameters: Chain
    """From x to what pi_i's distribution follows from: a mean, or logits."""
    likeliest: Chain
    """From there to the likeliest internal action."""
    draw: Draw
    """Or to one that is drawn."""
    f: Chain
    """From internal actions to actions."""
    f_draw: Draw | None
    """The same where f is random, and f its likeliest action; None where it is not."""
    judged: Judged | None
    """In place of f where f asks a critic; else None."""
    leave: Chain
    """From embrl's actions to those of the environment."""

    @property
    def noise(self) -> tuple[str, ...]:
        """What one action takes: `normal` or `uniform`, number by number; f's come last."""
        draws = [draw for draw in (self.draw, self.f_draw) if draw is not None]
        return tuple(
            kind
            for draw in draws
            for kind in ("normal",) * draw.normal + ("uniform",) * draw.uniform
        )

    def __call__(self, observation: np.ndarray, noise: np.ndarray | None = None) -> np.ndarray:
        """Actions of observations that are in the space, with any leading axes.

        Arguments:
            noise: float32 `[..., len(self.noise)]`; None: the action of the likeliest internal one.
        """
        x = self.features(np.asarray(observation))
        values = self.parameters(x)
        first = self.draw.normal + self.draw.uniform
        u = self.likeliest(values) if noise is None else self.draw(values, noise[..., :first])
        if self.judged is not None:
            action = self.judged(x, u)
        elif self.f_draw is None or noise is None:
            action = self.f(u)
        else:
            action = self.f_draw(u, noise[..., first:])
        return np.asarray(self.leave(action))
