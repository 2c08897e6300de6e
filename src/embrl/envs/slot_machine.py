"""The slot machine of Pritz et al. (2021), whose reels every action turns all at once."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Float, Int

from embrl.core.errors import EmbrlError
from embrl.core.types import Action, Key, TimeStep
from embrl.envs.checks import check_choice, check_whole
from embrl.envs.environment import Environment

ALIKE = 3
"""Number of reels that must show a value for it to pay."""
PARTS = 10
"""Parts of a turn: fraction k is k / PARTS of a turn, rounded down to places of the reel."""
MAX_ACTIONS = 2**20
"""Largest number of actions."""
MAX_VALUE = 9999
"""Largest value on a reel, so that rewards and their sums are exact in float32."""
MAX_STATES = 2**20
"""Largest number of states for which the best return is computed."""


@dataclasses.dataclass(frozen=True)
class SlotMachineConfig:
    """Settings of the slot machine (Pritz et al. 2021, A.4.1; reels of the released code).

    An action turns each reel by a fraction of a turn of its own, so that there are
    fractions^reels actions. Every value that at least three reels show pays value x count.
    """

    reels: tuple[tuple[int, ...], ...] = (
        (2, 3, 6, 7, 0, 4),
        (3, 4, 6, 2, 1, 7),
        (1, 6, 5, 3, 4, 7),
        (5, 1, 4, 2, 6, 0),
    )
    """Values around each reel, 0 to 9,999, on three reels or more; each starts at its first."""
    fractions: int = 8
    """Number of fractions of a turn, 2 to 10: 0, .1, .2 and so on, rounded down to whole
    places."""
    step_limit: int = 20
    """Steps until an episode is truncated, at least 1."""
    actions: Literal["table", "product"] = "table"
    """Form of an action. table: one index for the fractions of all reels. product: an index for
    the fraction of each reel."""
    observed: Literal["reels", "joint"] = "reels"
    """Form of the observation. reels: one index for each reel. joint: one index for the places of
    all reels, so that a transition model distinguishes states as wholes."""

    def build(self) -> "SlotMachine":
        """Make the environment.

        Raises:
            EmbrlError: If a setting is out of range; the message names it.
        """
        check_whole("fractions", self.fractions, 2, PARTS)
        check_whole("step_limit", self.step_limit, 1)
        check_choice("actions", self.actions, ("table", "product"))
        check_choice("observed", self.observed, ("reels", "joint"))
        if not _is_list(self.reels) or len(self.reels) < ALIKE:
            raise EmbrlError(f"env.reels must be at least {ALIKE} reels, got {self.reels!r}")
        for at, reel in enumerate(self.reels):
            if not _is_list(reel) or not reel or not all(_is_value(value) for value in reel):
                raise EmbrlError(
                    f"env.reels.{at} must be integers from 0 to {MAX_VALUE}, got {reel!r}"
                )
        if self.actions == "table" and self.fractions ** len(self.reels) > MAX_ACTIONS:
            raise EmbrlError(
                f"env.fractions ^ reels must be at most {MAX_ACTIONS:,} actions, got "
                f"{self.fractions ** len(self.reels):,} by {self.fractions} fractions on "
                f"{len(self.reels)} reels; take fewer of either, or env.actions product"
            )
        if self.observed == "joint" and (states := math.prod(map(len, self.reels))) > MAX_STATES:
            raise EmbrlError(
                f"env.observed must be reels for more than {MAX_STATES:,} states, got joint for "
                f"{states:,} states"
            )
        return SlotMachine(self)


class SlotMachineState(NamedTuple):
    """State of the slot machine: the place in front on each reel, and the number of steps taken."""

    pointers: Int[Array, " reels"]
    steps: Int[Array, ""]


class SlotMachine(Environment):
    """The slot machine of `SlotMachineConfig`.

    The digits of an action, to the base of `fractions` and the most significant first, say how far
    each reel turns; in a product, the parts do.
    """

    reels: Int[Array, "reels places"]
    """Values of each reel, padded with zeros to the longest."""
    advances: Int[Array, "reels fractions"]
    """Number of places by which each fraction turns each reel."""
    lengths: tuple[int, ...] = eqx.field(static=True)
    step_limit: int = eqx.field(static=True)
    product: bool = eqx.field(static=True)
    """True if an action is an index for each reel."""
    joint: bool = eqx.field(static=True)
    """True if an observation is a single index for all reels."""

    def __init__(self, config: SlotMachineConfig) -> None:
        self.lengths = tuple(len(reel) for reel in config.reels)
        padded = [(*reel, *[0] * (max(self.lengths) - len(reel))) for reel in config.reels]
        self.reels = jax.device_put(np.array(padded, np.int32))
        # In integers: the float 7 / 10 * 90 lies below 63.
        turns = np.outer(self.lengths, np.arange(config.fractions)) // PARTS
        self.advances = jax.device_put(turns.astype(np.int32))
        self.step_limit = config.step_limit
        self.product = config.actions == "product"
        self.joint = config.observed == "joint"

    @property
    def observation_space(self) -> spaces.MultiDiscrete | spaces.Discrete:
        """Places in front on each reel, or the index of that state.

        In the index, the first reel's place is the most significant digit.
        """
        if self.joint:
            return spaces.Discrete(math.prod(self.lengths))
        return spaces.MultiDiscrete(list(self.lengths))

    @property
    def action_space(self) -> spaces.Discrete | spaces.MultiDiscrete:
        """All combinations of a fraction for each reel, or the fraction of each reel."""
        reels, fractions = self.advances.shape
        if self.product:
            return spaces.MultiDiscrete([fractions] * reels)
        return spaces.Discrete(fractions**reels)

    @property
    def coordinate_names(self) -> tuple[str, ...]:
        """Two names for each reel, counted from 1."""
        return tuple(
            f"reel {reel} {part}"
            for reel in range(1, len(self.lengths) + 1)
            for part in ("cos", "sin")
        )

    def reset(self, key: Key) -> tuple[SlotMachineState, Int[Array, "*reels"]]:
        """Start an episode with the first value of each reel in front; `key` is not used."""
        del key
        pointers = jnp.zeros(len(self.lengths), jnp.int32)
        return SlotMachineState(pointers, jnp.int32(0)), self._observe(pointers)

    def step(
        self, key: Key, state: SlotMachineState, action: Action
    ) -> tuple[SlotMachineState, TimeStep]:
        """Turn the reels and pay for what they show then; `key` is not used."""
        del key
        lengths = jnp.asarray(self.lengths, jnp.int32)
        pointers = (state.pointers + self.turns(action)) % lengths
        steps = state.steps + 1
        return SlotMachineState(pointers, steps), TimeStep(
            observation=self._observe(pointers),
            reward=self.payout(pointers),
            terminated=jnp.bool_(False),
            truncated=steps >= self.step_limit,
        )

    def turns(self, action: Int[Array, "*batch"]) -> Int[Array, "*batch reels"]:
        """Return the number of places by which an action turns each reel."""
        reels, fractions = self.advances.shape
        if self.product:
            return self.advances[jnp.arange(reels), action]
        weights = fractions ** np.arange(reels)[::-1]
        digits = (
            jnp.asarray(action, jnp.int32)[..., None] // jnp.asarray(weights, jnp.int32) % fractions
        )
        return self.advances[jnp.arange(reels), digits]

    def payout(self, pointers: Int[Array, " reels"]) -> Float[Array, ""]:
        """Return the sum of value x count over values shown at least three times (A.4.1)."""
        shown = self.reels[jnp.arange(len(self.lengths)), pointers]
        count = (shown[:, None] == shown).sum(axis=1)
        # Each of the `count` reels that show a value adds that value.
        return jnp.where(count >= ALIKE, shown, 0).sum().astype(jnp.float32)

    def action_effects(self) -> Float[Array, "n 2*reels"] | None:
        """Return the angle by which each reel turns, as its cosine and sine.

        None for a product, whose actions are not listed.
        """
        if not isinstance(self.action_space, spaces.Discrete):
            return None
        return self._on_circles(self.turns(jnp.arange(self.action_space.n, dtype=jnp.int32)))

    def state_coordinates(
        self, observation: Int[Array, "*observations"]
    ) -> Float[Array, "*batch 2*reels"]:
        """Return the angle at which each reel stands, as its cosine and sine."""
        if self.joint:
            observation = jnp.stack(jnp.unravel_index(observation, self.lengths), axis=-1)
        return self._on_circles(observation)

    def references(self, key: Key) -> dict[str, float]:
        """Return `best_known_return`, which is the optimum (see `best_return`)."""
        del key
        best = best_return(self)
        return {} if best is None else {"best_known_return": best}

    def _observe(self, pointers: Int[Array, " reels"]) -> Int[Array, "*reels"]:
        if not self.joint:
            return pointers
        weights = np.cumprod((1, *self.lengths[:0:-1]))[::-1]
        return (pointers * jnp.asarray(weights, jnp.int32)).sum()

    def _on_circles(self, places: Int[Array, "*batch reels"]) -> Float[Array, "*batch 2*reels"]:
        """Return places as points on a circle for each reel.

        Neighbours are near, the last and the first place included. Read from a table, so that equal
        places are equal to the last bit.
        """
        lengths = np.asarray(self.lengths)
        angles = 2 * math.pi * np.arange(self.reels.shape[1]) / lengths[:, None]
        table = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        points = jnp.asarray(table, jnp.float32)[jnp.arange(len(lengths)), places]
        return points.reshape(*points.shape[:-2], -1)


def best_return(env: SlotMachine) -> float | None:
    """Compute the highest return of an episode by backward induction.

    An action turns each reel independently, so the best one is found one reel after another: a step
    back costs states x reels x fractions, not states x actions.

    Returns:
        The return; None for more than `MAX_STATES` states.
    """
    if math.prod(env.lengths) > MAX_STATES:
        return None
    payouts = _payouts([np.asarray(r)[:n] for r, n in zip(env.reels, env.lengths, strict=True)])
    best = np.zeros_like(payouts)
    for _ in range(env.step_limit):
        best = best + payouts
        for axis, advances in enumerate(np.asarray(env.advances)):
            best = np.max([np.roll(best, -turn, axis) for turn in np.unique(advances)], axis=0)
    return float(best.flat[0])


def _payouts(reels: Sequence[np.ndarray]) -> np.ndarray:
    """Return the payout in every state, float64, one axis for each reel."""
    payouts = np.zeros([len(reel) for reel in reels])
    for value in np.unique(np.concatenate(reels)):
        count = sum(np.ix_(*[(reel == value).astype(int) for reel in reels]))
        payouts += np.where(count >= ALIKE, value * count, 0)
    return payouts


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_value(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_VALUE
