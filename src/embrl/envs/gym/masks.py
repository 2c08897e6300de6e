"""Action masks of Gymnasium environments: where they are given, and those of parallel ones."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from embrl.core.errors import EmbrlError, SettingError
from embrl.core.masks import MaskForms
from embrl.core.products import PartMasks, Product, check_parts_allowed, product_of
from embrl.envs.gym.flat_actions import Actions
from embrl.envs.gym.leaves import Leaf, children

MASK = "action_mask"
"""Key of an environment's `info`, or of a part of its observations, with the mask."""

METHOD = "action_masks"
"""Method of an environment that returns the mask, as in sb3-contrib."""

AUTO, OFF = "auto", "off"
"""Values of the setting `action_mask` that name no key."""

Method = Callable[[], Any]


class SpaceMasks:
    """Converter from masks of an action space to flags of embrl's actions, bool `[n]`.

    There is a flag for each action, or for each value of each part of a product. Beside the forms
    of `MaskForms` and `PartMasks`, masks of a `Dict` or `Tuple` may have its structure. A part that
    is None allows everything, as in Gymnasium's `sample(mask)`.
    """

    def __init__(self, actions: Actions) -> None:
        """Make a converter.

        Args:
            actions: converter of the actions, which are not continuous.
        """
        self._parts = actions.parts
        self.product = product_of(actions.space)
        """Parts of an action; None where it is one index."""
        sizes = tuple(size for _, sizes in self._parts for size in sizes)
        self._forms = MaskForms(sizes) if self.product is None else PartMasks(self.product)
        self.count = self._forms.count
        """Number of flags, n."""
        outer = actions.original
        mixed = self.product is not None and self.product.numbers > 0
        self._structure = len(outer.spaces) if mixed and isinstance(outer, spaces.Tuple) else None

    def __call__(
        self, mask: Any, lead: tuple[int, ...] = (), what: str = "action mask"
    ) -> np.ndarray:
        """Return the flags, bool `[*lead, n]`, as `MaskForms` does.

        Raises:
            EmbrlError: If the mask has none of the forms.
        """
        nested = isinstance(mask, Mapping) or (
            isinstance(mask, tuple)
            and len(mask) == len(self._parts) > 1
            and (len(self._parts) < len(self._forms.sizes) or any(part is None for part in mask))
        )
        if not nested and not (isinstance(mask, tuple) and len(mask) == self._structure):
            return self._forms(mask, lead, what)
        try:
            values = [leaf.of(mask) for leaf, _ in self._parts]
        except (KeyError, IndexError, TypeError) as error:
            raise SettingError(
                what, self._forms.described, f"a mask without part {error}"
            ) from error
        if self.product is not None:
            return np.concatenate(
                [
                    np.ones((*lead, sum(sizes)), bool)
                    if value is None
                    else _of_leaf(value, leaf, sizes, lead, what)
                    for value, (leaf, sizes) in zip(values, self._parts, strict=True)
                ],
                -1,
            )
        forms = [MaskForms(sizes) for _, sizes in self._parts]
        flags = [
            form(np.ones(form.count, bool) if value is None else value, lead, what)
            for form, value in zip(forms, values, strict=True)
        ]
        return MaskForms([form.count for form in forms])(flags, lead, what)

    def check_allowed(self, masks: np.ndarray, what: str) -> np.ndarray:
        """Return masks of a product, if each leaves a value of every part.

        Raises:
            EmbrlError: One leaves a part without a value; the message says which.
        """
        return masks if self.product is None else check_parts_allowed(self.product, masks, what)

    def fits(self, space: spaces.Space) -> bool:
        """Return True if values of the space have the form of a single mask."""
        try:
            self(_zeros(space))
        except (EmbrlError, TypeError):
            return False
        return True


class MaskReader:
    """Reader of the actions that an environment accepts, from the first source that there is.

    1. The part `action_mask` of its observations (`Dict`, nested or not), if it has the form of a
       mask;
    2. its method `action_masks()`, also through wrappers;
    3. `info["action_mask"]`.

    The setting may name another key, for all three of them, or switch masks off.
    """

    def __init__(
        self, observations: spaces.Space, actions: Actions, setting: str = AUTO, name: str = ""
    ) -> None:
        """Find out where masks may be.

        Args:
            observations: The environment's own observation space.
            actions: Converter of its actions.
            setting: `auto`, `off`, or a key.
            name: The environment's name, for messages.

        Raises:
            EmbrlError: If the part of the observations that `setting` names has no form of a mask.
        """
        discrete = not isinstance(actions.space, spaces.Box)
        self.named = setting not in (AUTO, OFF)
        """True if a mask must be there, as its key was given."""
        self.key = setting if self.named else MASK
        self.method = setting if self.named else METHOD
        """Name of the method, where that is the source."""
        self.name = name
        if self.named and not discrete:
            raise SettingError("action_mask", "auto or off where actions are continuous", setting)
        self.flags = SpaceMasks(actions) if discrete and setting != OFF else None
        """Converter of masks; None where they are not read."""
        self.path: tuple[Any, ...] | None = None
        """Keys that lead to the mask in observations; None if it is not there."""
        if self.flags is None:
            return
        for path, space in _nodes(observations):
            if path and self.key in (path[-1], ".".join(map(str, path))):
                if self.flags.fits(space):
                    self.path = path
                    return
                if self.named:
                    self.flags(_zeros(space), what=f"part {self.key} of observations")

    def method_of(self, env: gymnasium.Env) -> Method | None:
        """Return the environment's method that returns the mask, if that is the source."""
        if self.flags is None or self.path is not None or not env.has_wrapper_attr(self.method):
            return None
        found = env.get_wrapper_attr(self.method)
        return found if callable(found) else None

    def of_observation(self, observation: Any, lead: tuple[int, ...] = ()) -> np.ndarray | None:
        """Return the mask in observations with leading axes in each part, bool `[*lead, n]`."""
        if self.flags is None or self.path is None:
            return None
        return self.flags(self._part(observation), lead)

    def read(self, observation: Any, info: Any) -> np.ndarray | None:
        """Return the mask, bool `[n]`, in an observation or an info; None if there is none.

        Raises:
            EmbrlError: If it has no accepted form, or there is none under the key that was named.
        """
        if self.flags is None:
            return None
        if self.path is not None:
            return self.flags(self._part(observation))
        found = info.get(self.key) if isinstance(info, Mapping) else None
        if found is not None:
            return self.flags(found)
        if self.named:
            raise SettingError(
                "action_mask",
                "a key of info, a part of observations or a method",
                f"{self.key}, which {self.name or 'the environment'} does not have",
            )
        return None

    def ask(self, method: Method) -> np.ndarray | None:
        """Return the mask that a method returns, bool `[n]`; None if it returns None."""
        found = method()
        return None if found is None or self.flags is None else self.flags(found)

    def _part(self, observation: Any) -> Any:
        try:
            return Leaf(self.path or (), spaces.Space()).of(observation)
        except (KeyError, IndexError, TypeError) as error:
            raise EmbrlError(f"an observation lacks its mask, {self.key}") from error


class LaneMasks:
    """Masks of `B` parallel environments, from the first one that is seen on.

    An environment that gives none accepts every action.
    """

    def __init__(self, reader: MaskReader | None, num_envs: int) -> None:
        self.reader = reader if reader is not None and reader.flags is not None else None
        """Reader of masks; None where there are none."""
        self.now: np.ndarray | None = None
        """Masks that the next actions answer to, bool `[B, n]`; None before the first is seen."""
        self._rows: list[np.ndarray | None] = [None] * num_envs
        self._methods: list[Method | None] = [None] * num_envs

    def attach(self, index: int, env: gymnasium.Env) -> None:
        """Find the method of an environment that was just made."""
        if self.reader is not None:
            self._methods[index] = self.reader.method_of(env)

    def read(self, index: int, observation: Any, info: Any) -> None:
        """Take in what an environment says with an observation, unless it has a method to ask."""
        if self.reader is not None and self._methods[index] is None:
            self._rows[index] = self.reader.read(observation, info)

    def ask(self, index: int, over: bool = False) -> None:
        """Ask an environment's method, if it has one.

        Args:
            index: Which environment.
            over: True if its episode has terminated: then nobody asks which actions it accepts.
        """
        method = self._methods[index]
        if self.reader is not None and method is not None:
            self._rows[index] = None if over else self.reader.ask(method)

    def of(self, index: int, observation: Any, info: Any, over: bool = False) -> np.ndarray | None:
        """Take in and return what an environment says, in words or when asked; None if nothing."""
        self.read(index, observation, info)
        self.ask(index, over)
        return self._rows[index]

    def put(self, index: int, mask: np.ndarray | None) -> None:
        """Take in a converted mask."""
        self._rows[index] = mask

    def stacked(self, ended: np.ndarray | None = None) -> np.ndarray | None:
        """Return all masks in a new array, bool `[B, n]`; None if none was ever seen.

        Args:
            ended: bool `[B]`, True where an episode has ended: an empty mask allows everything.

        Raises:
            EmptyMask: If a mask allows no action.
        """
        if self.reader is None or self.reader.flags is None:
            return None
        if self.now is None and all(row is None for row in self._rows):
            return None
        everything = np.ones(self.reader.flags.count, bool)
        masks = np.stack([everything if row is None else row for row in self._rows])
        product = self.reader.flags.product
        empty = ~masks.any(-1) if product is None else product.has_empty(masks)
        if ended is not None:
            masks[empty & ended] = True
            empty &= ~ended
        if empty.any():
            at = int(np.argmax(empty))
            left = None if product is None else product.by_part(masks[at]).any(-1)
            raise EmptyMask(at, None if left is None else int(np.argmin(left)))
        return masks


class EmptyMask(EmbrlError):
    """A mask that allows no action in the middle of an episode."""

    def __init__(self, index: int, part: int | None = None) -> None:
        what = "no action" if part is None else f"no value of part {part} of the action"
        super().__init__(f"its action mask allows {what}; end the episode, or allow at least one")
        self.index = index
        """Which environment gave it."""


def _of_leaf(
    mask: Any, leaf: Leaf, sizes: tuple[int, ...], lead: tuple[int, ...], what: str
) -> np.ndarray:
    """Return the flags of a leaf of a product."""
    return PartMasks(Product(sizes))(mask, lead, f"{what} at {leaf.keys}")


def _nodes(
    space: spaces.Space, path: tuple[Any, ...] = ()
) -> list[tuple[tuple[Any, ...], spaces.Space]]:
    """Return a space and all of its parts, at any depth, with the keys that lead to them."""
    below = children(space) or []
    return [(path, space), *(node for key, part in below for node in _nodes(part, (*path, key)))]


def _zeros(space: spaces.Space) -> Any:
    """Return a value of the form of a space's values, of zeros."""
    below = children(space)
    if below is None:
        return np.zeros(space.shape or ())
    values = {key: _zeros(part) for key, part in below}
    return values if isinstance(space, spaces.Dict) else tuple(values.values())
