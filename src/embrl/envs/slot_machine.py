"""The slot machine of Pritz et al. (2021): reels that every action turns all at once."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Float, Int

from embrl.core.errors import EmbrlError
from embrl.core.types import Action, Key, TimeStep
from embrl.envs.checks import check_whole
from embrl.envs.environment import Environment

ALIKE = 3
"""A value pays where it is shown at least this often."""
PARTS = 10
"""Fraction k of a turn is k / PARTS, rounded down to whole places of the reel."""
MOST_ACTIONS = 2**20
MOST_VALUE = 9999
"""Rewards and their sums are then exact in float32."""
MOST_STATES = 2**20
"""The best return is computed for machines with no more states than this."""


@dataclasses.dataclass(frozen=True)
class SlotMachineConfig:
    """The slot machine (Pritz et al. 2021, A.4.1, with the reels of the released code).

    An action turns every reel by a fraction of a turn, each its own, so that there are
    fractions^reels actions. Every value that at least three reels show pays value x count.
    """

    reels: tuple[tuple[int, ...], ...] = (
        (2, 3, 6, 7, 0, 4),
        (3, 4, 6, 2, 1, 7),
        (1, 6, 5, 3, 4, 7),
        (5, 1, 4, 2, 6, 0),
    )
    """The values around each reel. Each starts at its first."""
    fractions: int = 8
    """How many fractions of a turn there are, 0, .1, .2 and so on, 2 to 10 of them. Places are
    rounded down."""
    step_limit: int = 20
    """Steps until an episode is truncated."""
    observed: Literal["reels", "joint"] = "reels"
    """reels: a number for each reel. joint: one number for where all of them stand, so that a
    model of the next state tells states apart as wholes."""

    def build(self) -> "SlotMachine":
        """Makes the environment.

        Raises:
            EmbrlError: a field is out of range; the message names it.
        """
        check_whole("fractions", self.fractions, 2, PARTS)
        check_whole("step_limit", self.step_limit, 1)
        if not _is_list(self.reels) or len(self.reels) < ALIKE:
            raise EmbrlError(
                f"env.reels is {self.reels!r}: give {ALIKE} or more reels, as {ALIKE} must be alike"
            )
        for at, reel in enumerate(self.reels):
            if not _is_list(reel) or not reel or not all(_is_value(value) for value in reel):
                raise EmbrlError(
                    f"env.reels.{at} is {reel!r}: give whole numbers from 0 to {MOST_VALUE}"
                )
        if self.fractions ** len(self.reels) > MOST_ACTIONS:
            raise EmbrlError(
                f"env.fractions {self.fractions} on {len(self.reels)} reels make "
                f"{self.fractions ** len(self.reels):,} actions: take fewer of either, "
                f"for {MOST_ACTIONS:,} at most"
            )
        if self.observed == "joint" and (states := math.prod(map(len, self.reels))) > MOST_STATES:
            raise EmbrlError(
                f"env.observed is joint, and these reels have {states:,} states: {MOST_STATES:,} "
                "at most; choose reels"
            )
        return SlotMachine(self)


class SlotMachineState(NamedTuple):
    """Which place of each reel is in front, and the steps taken."""

    pointers: Int[Array, " reels"]
    steps: Int[Array, ""]


class SlotMachine(Environment):
    """See `SlotMachineConfig`. An action's digits, to the base of `fractions` and the most
    significant first, say how far each reel turns.
    """

    reels: Int[Array, "reels places"]
    """The values, filled up with zeros behind a reel's own."""
    advances: Int[Array, "reels fractions"]
    """The places that each fraction turns each reel by."""
    lengths: tuple[int, ...] = eqx.field(static=True)
    step_limit: int = eqx.field(static=True)
    joint: bool = eqx.field(static=True)
    """Whether an observation is one number."""

    def __init__(self, config: SlotMachineConfig) -> None:
        self.lengths = tuple(len(reel) for reel in config.reels)
        padded = [(*reel, *[0] * (max(self.lengths) - len(reel))) for reel in config.reels]
        self.reels = jnp.asarray(padded, jnp.int32)
        # In whole numbers: the float 7 / 10 * 90 lies below 63.
        turns = np.outer(self.lengths, np.arange(config.fractions)) // PARTS
        self.advances = jnp.asarray(turns, jnp.int32)
        self.step_limit = config.step_limit
        self.joint = config.observed == "joint"

    @property
    def observation_space(self) -> spaces.MultiDiscrete | spaces.Discrete:
        """Which place of each reel is in front; or the number of that state, the first reel's place
        its most significant digit.
        """
        if self.joint:
            return spaces.Discrete(math.prod(self.lengths))
        return spaces.MultiDiscrete(list(self.lengths))

    @property
    def action_space(self) -> spaces.Discrete:
        """A fraction for every reel."""
        reels, fractions = self.advances.shape
        return spaces.Discrete(fractions**reels)

    @property
    def coordinate_names(self) -> tuple[str, ...]:
        """Two for each reel, counted from 1."""
        return tuple(
            f"reel {reel} {part}"
            for reel in range(1, len(self.lengths) + 1)
            for part in ("cos", "sin")
        )

    def reset(self, key: Key) -> tuple[SlotMachineState, Int[Array, "*reels"]]:
        """The first value of each reel is in front; `key` is not used."""
        del key
        pointers = jnp.zeros(len(self.lengths), jnp.int32)
        return SlotMachineState(pointers, jnp.int32(0)), self._observe(pointers)

    def step(
        self, key: Key, state: SlotMachineState, action: Action
    ) -> tuple[SlotMachineState, TimeStep]:
        """Turns the reels and pays for what they show then."""
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
        """The places that an action turns each reel by."""
        reels, fractions = self.advances.shape
        weights = fractions ** np.arange(reels)[::-1]
        digits = (
            jnp.asarray(action, jnp.int32)[..., None] // jnp.asarray(weights, jnp.int32) % fractions
        )
        return self.advances[jnp.arange(reels), digits]

    def payout(self, pointers: Int[Array, " reels"]) -> Float[Array, ""]:
        """Value x count of every value that is shown at least three times (A.4.1)."""
        shown = self.reels[jnp.arange(len(self.lengths)), pointers]
        count = (shown[:, None] == shown).sum(axis=1)
        # Each of the `count` reels that show a value adds that value.
        return jnp.where(count >= ALIKE, shown, 0).sum().astype(jnp.float32)

    def action_effects(self) -> Float[Array, "n 2*reels"]:
        """The angle that each reel turns by, as its cosine and sine."""
        return self._on_circles(self.turns(jnp.arange(self.action_space.n, dtype=jnp.int32)))

    def state_coordinates(
        self, observation: Int[Array, "*observations"]
    ) -> Float[Array, "*batch 2*reels"]:
        """The angle that each reel stands at, as its cosine and sine."""
        if self.joint:
            observation = jnp.stack(jnp.unravel_index(observation, self.lengths), axis=-1)
        return self._on_circles(observation)

    def references(self, key: Key) -> dict[str, float]:
        """`best_known_return`, which is the best there is (see `best_return`)."""
        del key
        best = best_return(self)
        return {} if best is None else {"best_known_return": best}

    def _observe(self, pointers: Int[Array, " reels"]) -> Int[Array, "*reels"]:
        if not self.joint:
            return pointers
        weights = np.cumprod((1, *self.lengths[:0:-1]))[::-1]
        return (pointers * jnp.asarray(weights, jnp.int32)).sum()

    def _on_circles(self, places: Int[Array, "*batch reels"]) -> Float[Array, "*batch 2*reels"]:
        """Places as points on a circle for each reel: neighbours are near, the last and the first
        place included. Read from a table, so that equal places are equal to the last bit.
        """
        lengths = np.asarray(self.lengths)
        angles = 2 * math.pi * np.arange(self.reels.shape[1]) / lengths[:, None]
        table = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        points = jnp.asarray(table, jnp.float32)[jnp.arange(len(lengths)), places]
        return points.reshape(*points.shape[:-2], -1)


def best_return(env: SlotMachine) -> float | None:
    """The highest return of an episode, by backward induction; None if there are too many states.

    An action turns every reel as it likes, so the best one is found one reel after another: a
    step back costs states x reels x fractions, not states x actions.
    """
    if math.prod(env.lengths) > MOST_STATES:
        return None
    payouts = _payouts([np.asarray(r)[:n] for r, n in zip(env.reels, env.lengths, strict=True)])
    best = np.zeros_like(payouts)
    for _ in range(env.step_limit):
        best = best + payouts
        for axis, advances in enumerate(np.asarray(env.advances)):
            best = np.max([np.roll(best, -turn, axis) for turn in np.unique(advances)], axis=0)
    return float(best.flat[0])


def _payouts(reels: Sequence[np.ndarray]) -> np.ndarray:
    """The payout in every state, float64, one axis for each reel."""
    payouts = np.zeros([len(reel) for reel in reels])
    for value in np.unique(np.concatenate(reels)):
        count = sum(np.ix_(*[(reel == value).astype(int) for reel in reels]))
        payouts += np.where(count >= ALIKE, value * count, 0)
    return payouts


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_value(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_VALUE
