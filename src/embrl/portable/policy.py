"""A policy in plain steps: from the raw observation to the action."""

import dataclasses

import numpy as np

from embrl.portable.chain import Chain
from embrl.portable.draws import Draw


@dataclasses.dataclass(frozen=True, eq=False)
class PortablePolicy:
    """pi_o = f . pi_i . phi: parameters of pi_i follow from an observation, an internal action
    from these, the action from it.
    """

    parameters: Chain
    """From observations to what pi_i's distribution follows from: a mean, or logits."""
    likeliest: Chain
    """From there to the likeliest internal action."""
    draw: Draw
    """Or to one that is drawn."""
    f: Chain
    """From internal actions to actions."""
    f_draw: Draw | None
    """The same where f is random, and f its likeliest action; None where it is not."""
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
        values = self.parameters(np.asarray(observation))
        if noise is None:
            return np.asarray(self.leave(self.f(self.likeliest(values))))
        first = self.draw.normal + self.draw.uniform
        u = self.draw(values, noise[..., :first])
        action = self.f(u) if self.f_draw is None else self.f_draw(u, noise[..., first:])
        return np.asarray(self.leave(action))
