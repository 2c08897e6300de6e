"""Attention: name a digit somewhere in an image of which only small parts can be looked at."""

import dataclasses
import zipfile
from typing import ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Bool, Float, Int, UInt8

from embrl.core.errors import SettingError, check_at_least, check_fraction, require
from embrl.core.types import Action, Key, Observation, TimeStep
from embrl.envs.checks import check_choice, check_whole
from embrl.envs.environment import Demonstrations, Environment
from embrl.storage.files import as_path

SIDE, DIGIT, GLIMPSE = 32, 16, 8
"""Sides of the image, of the digit in it, and of what is seen at a look: a sixteenth of the
image."""

MISSED = 0.1
"""Fraction of a digit's ink that the expert leaves unseen when it names the digit."""

FOUND = 1.0
"""Ink, in pixels of full brightness, from which on the expert knows where the digit is."""

ASTRAY = 2
"""Pixels by which the expert's earlier looks miss the best place, at most, on each axis, so that it
shows what to do after looks of a policy that only imitates it."""

HELD_OUT = 0.2
"""Fraction of the digits that `digits="held_out"` shows; the others are for training."""


@dataclasses.dataclass(frozen=True)
class GlimpsesConfig:
    """Settings of glimpses: look at a few places of an image, then name the digit in it.

    A handwritten digit of 16 x 16 pixels, one of the 1,797 of scikit-learn, is somewhere in an
    image of 32 x 32. An action is a place to look at, of which 8 x 8 pixels are seen from then on,
    or the name of a digit, which ends the episode. The observation is the image as far as it was
    seen, and a second plane that tells where that is.
    """

    data_settings: ClassVar[tuple[str, ...]] = ("data",)
    """Settings that are paths of data (`embrl.envs.environment`)."""

    data: str = ""
    """NPZ file of images, 16 x 16, and labels. Empty: scikit-learn's digits."""
    glimpses: int = 6
    """Looks of an episode, at least 1; one more ends it without a name."""
    cost: float = 0.02
    """Cost of a look, at least 0. The right name is worth 1."""
    stride: int = 2
    """Pixels between neighbouring places to look at, 1 to 8: 625, 169, 81, ... places."""
    noise: float = 0.1
    """Standard deviation of the noise of pixels, 0 to 1, the brightness of a stroke."""
    digits: Literal["trained", "held_out"] = "trained"
    """Digits that are shown: those for training, or the fifth that is held out."""
    given: Literal["nothing", "centre", "random", "whole"] = "nothing"
    """What is seen from the start: nothing; or, to compare with, what a look at the centre or
    `glimpses` random looks show, or the whole image. In these cases actions are names alone."""
    step_limit: int = 50
    """Steps until an episode is truncated, at least 1."""

    @property
    def many_actions(self) -> bool:
        """True if there are places among the actions (`embrl.envs.environment.many_actions`)."""
        return self.given == "nothing"

    def build(self) -> "Glimpses":
        """Make the environment.

        Raises:
            EmbrlError: If a setting is out of range, or scikit-learn is not installed.
        """
        check_whole("glimpses", self.glimpses, 1)
        check_at_least("env.cost", self.cost, 0)
        check_whole("stride", self.stride, 1, GLIMPSE)
        check_fraction("env.noise", self.noise)
        check_choice("digits", self.digits, ("trained", "held_out"))
        check_choice("given", self.given, ("nothing", "centre", "random", "whole"))
        check_whole("step_limit", self.step_limit, 1)
        return Glimpses(self, *(_read(self.data) if self.data else handwritten()))


def handwritten() -> tuple[Float[np.ndarray, "n 16 16"], Int[np.ndarray, " n"]]:
    """Return scikit-learn's handwritten digits, 0 to 1, enlarged to 16 x 16, and their names.

    Raises:
        EmbrlError: scikit-learn is not installed.
    """
    found = require("sklearn.datasets", "digits").load_digits()
    scale = DIGIT // found.images.shape[1]
    images = np.kron(found.images / found.images.max(), np.ones((1, scale, scale)))
    return images.astype(np.float32), found.target.astype(np.int32)


def _read(data: str) -> tuple[Float[np.ndarray, "n 16 16"], Int[np.ndarray, " n"]]:
    """Return the images, 0 to 1, and the names of a file.

    Raises:
        EmbrlError: it cannot be read, or has something else.
    """
    path = as_path(data)
    try:
        with np.load(path, allow_pickle=False) as found:
            images, labels = found["images"], found["labels"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise SettingError("env.data", "an NPZ file with images and labels", data) from error
    if images.dtype == np.uint8:
        images = images / 255.0
    if images.shape[1:] != (DIGIT, DIGIT) or len(images) < 2 or images.dtype.kind not in "fiu":
        raise SettingError(
            "images", f"numbers [n, {DIGIT}, {DIGIT}]", f"{images.dtype}{list(images.shape)}"
        )
    if not ((images >= 0) & (images <= 1)).all():
        raise SettingError("images", "uint8, or between 0 and 1", f"{images.min()}")
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise SettingError(
            "labels", f"{len(images)} whole numbers from 0 on", f"{labels.dtype}{labels.shape}"
        )
    return images.astype(np.float32), labels.astype(np.int32)


class GlimpsesState(NamedTuple):
    """State of an episode; the agent knows what it has seen of the image."""

    image: UInt8[Array, "h w"]
    seen: Bool[Array, "h w"]
    label: Int[Array, ""]
    looks: Int[Array, ""]
    steps: Int[Array, ""]


class Glimpses(Environment):
    """Glimpses as `GlimpsesConfig` describes them."""

    images: Float[Array, "n digit digit"]
    labels: Int[Array, " n"]
    cost: Float[Array, ""]
    noise: Float[Array, ""]
    glimpses: int = eqx.field(static=True)
    step_limit: int = eqx.field(static=True)
    classes: int = eqx.field(static=True)
    stride: int = eqx.field(static=True)
    given: str = eqx.field(static=True)

    def __init__(self, config: GlimpsesConfig, images: np.ndarray, labels: np.ndarray) -> None:
        self.classes = int(labels.max()) + 1
        order = np.random.default_rng(0).permutation(len(images))
        rest = max(1, int(HELD_OUT * len(order)))
        chosen = order[:rest] if config.digits == "held_out" else order[rest:]
        self.images, self.labels = jnp.asarray(images[chosen]), jnp.asarray(labels[chosen])
        self.cost, self.noise = jnp.float32(config.cost), jnp.float32(config.noise)
        self.glimpses, self.step_limit = config.glimpses, config.step_limit
        self.stride, self.given = config.stride, config.given

    @property
    def row(self) -> int:
        """Places to look at in a row of them."""
        return (SIDE - GLIMPSE) // self.stride + 1

    @property
    def places(self) -> int:
        """Number of places to look at; 0 where actions are names alone."""
        return self.row**2 if self.given == "nothing" else 0

    @property
    def observation_space(self) -> spaces.Box:
        """Two planes of bytes: the image as far as it was seen, and where that is."""
        return spaces.Box(0, 255, (SIDE, SIDE, 2), np.uint8)

    @property
    def action_space(self) -> spaces.Discrete:
        """Places to look at, row by row, and then the names."""
        return spaces.Discrete(self.places + self.classes)

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions."""
        looks = (divmod(place, self.row) for place in range(self.places))
        corners = [(down * self.stride, across * self.stride) for down, across in looks]
        return (
            *(f"look at {down}, {across}" for down, across in corners),
            *(f"name {name}" for name in range(self.classes)),
        )

    def reset(self, key: Key) -> tuple[GlimpsesState, UInt8[Array, "h w 2"]]:
        """Put a random digit at a random place."""
        state, _ = self._drawn(key)
        return state, _observed(state)

    def _drawn(self, key: Key) -> tuple[GlimpsesState, Float[Array, "h w"]]:
        """Return the start of an episode, and the digit in it without noise."""
        key_digit, key_place, key_noise, key_given = jax.random.split(key, 4)
        number = jax.random.randint(key_digit, (), 0, len(self.labels))
        corner = jax.random.randint(key_place, (2,), 0, SIDE - DIGIT + 1)
        ink = jax.lax.dynamic_update_slice(
            jnp.zeros((SIDE, SIDE)), self.images[number], (corner[0], corner[1])
        )
        image = self.noise * jax.random.normal(key_noise, (SIDE, SIDE)) + ink
        pixels = (255.0 * jnp.clip(image, 0.0, 1.0)).astype(jnp.uint8)
        zero = jnp.int32(0)
        state = GlimpsesState(pixels, self._given(key_given), self.labels[number], zero, zero)
        return state, ink

    def step(
        self, key: Key, state: GlimpsesState, action: Action
    ) -> tuple[GlimpsesState, TimeStep]:
        """Look, or name the digit."""
        del key
        names = action >= self.places
        right = names & (action - self.places == state.label)
        exhausted = ~names & (state.looks >= self.glimpses)
        seen = state.seen
        if self.places:
            looks = ~names & ~exhausted
            seen = seen | (looks & self.window(jnp.minimum(action, self.places - 1)))
        looked = state.looks + (~names).astype(jnp.int32)
        after = state._replace(seen=seen, looks=looked, steps=state.steps + 1)
        ends = names | exhausted
        return after, TimeStep(
            observation=_observed(after),
            reward=jnp.where(names, right.astype(jnp.float32), -self.cost),
            terminated=ends,
            truncated=(after.steps >= self.step_limit) & ~ends,
        )

    def window(self, place: Int[Array, ""]) -> Bool[Array, "h w"]:
        """Return what is seen at a place."""
        return _square(*self._corner(place))

    def _corner(self, place: Int[Array, ""]) -> tuple[Int[Array, ""], Int[Array, ""]]:
        """Return the first row and column that are seen at a place."""
        return self.stride * (place // self.row), self.stride * (place % self.row)

    def demonstrations(self, key: Key, count: int) -> Demonstrations:
        """Return situations after a random number of looks, and what an expert does in each.

        Until some of the digit was seen, it looks where most ink is to be expected; then, as it
        knows the image, at the place that shows most of the ink that was not seen yet. It names the
        digit once nearly all was seen, or no look is left. Earlier looks were up to `ASTRAY` pixels
        away from its own.
        """
        expected = _expected_ink(self.images.mean(0))

        def demonstrated(key: Key) -> tuple[Array, Array]:
            key_start, key_count, key_looks = jax.random.split(key, 3)
            state, ink = self._drawn(key_start)
            if not self.places:
                return _observed(state), state.label
            looks = jax.random.randint(key_count, (), 0, self.glimpses + 1)

            def next_place(seen: Array) -> Array:
                found = (ink * seen).sum() > FOUND
                return self._best(jnp.where(found, ink, expected) * ~seen)

            def look(now: tuple[Array, Array], key: Key) -> tuple[tuple[Array, Array], None]:
                seen, taken = now
                away = jax.random.randint(key, (2,), -ASTRAY, ASTRAY + 1)
                corner = jnp.stack(self._corner(next_place(seen))) + away
                shown = _square(*jnp.clip(corner, 0, SIDE - GLIMPSE))
                return (seen | (shown & (taken < looks)), taken + 1), None

            (seen, _), _ = jax.lax.scan(
                look, (state.seen, jnp.int32(0)), jax.random.split(key_looks, self.glimpses)
            )
            left = (ink * ~seen).sum()
            names = (left <= MISSED * ink.sum()) | (looks == self.glimpses)
            action = jnp.where(names, self.places + state.label, next_place(seen))
            return _observed(state._replace(seen=seen)), action

        return Demonstrations(*jax.vmap(demonstrated)(jax.random.split(key, count)))

    def _best(self, ink: Float[Array, "h w"]) -> Int[Array, ""]:
        """Return the place that shows most of the ink."""
        above = jnp.pad(ink.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        at = self.stride * jnp.arange(self.row)
        rows = above[at + GLIMPSE] - above[at]
        return (rows[:, at + GLIMPSE] - rows[:, at]).argmax().astype(jnp.int32)

    def state_coordinates(self, observation: Observation) -> None:
        """Return None: what matters is not seen."""
        del observation

    def references(self, key: Key) -> dict[str, float]:
        """Return `best_known_return`, a bound: the right name after a single look."""
        del key
        return {"best_known_return": 1.0 - float(self.cost) * (self.places > 0)}

    def _given(self, key: Key) -> Bool[Array, "h w"]:
        match self.given:
            case "whole":
                return jnp.ones((SIDE, SIDE), bool)
            case "centre":
                middle = (SIDE - GLIMPSE) // 2
                return _square(jnp.int32(middle), jnp.int32(middle))
            case "random":
                places = jax.random.randint(key, (self.glimpses,), 0, self.row**2)
                return jax.vmap(self.window)(places).any(0)
            case _:
                return jnp.zeros((SIDE, SIDE), bool)


def _square(down: Int[Array, ""], across: Int[Array, ""]) -> Bool[Array, "h w"]:
    at = jnp.arange(SIDE)
    rows = (at >= down) & (at < down + GLIMPSE)
    columns = (at >= across) & (at < across + GLIMPSE)
    return rows[:, None] & columns


def _expected_ink(digit: Float[Array, "digit digit"]) -> Float[Array, "h w"]:
    """Return the mean of a digit at all its places."""
    corners = jnp.arange(SIDE - DIGIT + 1)
    inside = (jnp.arange(SIDE) - corners[:, None])[..., None] == jnp.arange(DIGIT)
    spread = inside.mean(0)  # how often a row of the image shows each row of the digit
    return spread @ digit @ spread.T


def _observed(state: GlimpsesState) -> UInt8[Array, "h w 2"]:
    shown = jnp.where(state.seen, state.image, jnp.uint8(0))
    return jnp.stack([shown, jnp.where(state.seen, jnp.uint8(255), jnp.uint8(0))], -1)
