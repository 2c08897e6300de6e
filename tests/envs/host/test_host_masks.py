"""Action masks of environments on the host, wherever they say them."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from embrl.core.errors import EmbrlError
from embrl.data.host_rollout import host_rollout
from embrl.envs.gym import HostEnvironment
from embrl.envs.gym.flat_actions import Actions
from embrl.envs.gym.masks import MaskReader, SpaceMasks

STATES, LIMIT = 5, 4


class Twos(gymnasium.Env):
    """In state s, actions s and s + 5 are accepted; others raise. The last mask is empty."""

    observation_space: spaces.Space = spaces.Discrete(STATES)
    action_space: spaces.Space = spaces.Discrete(2 * STATES, start=3)

    def mask(self) -> np.ndarray:
        over = self.t == LIMIT
        return (np.arange(2 * STATES) % STATES == self.state) & (not over)

    def seen(self) -> Any:
        return self.state

    def info(self) -> dict[str, Any]:
        return {}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state, self.t = int(self.np_random.integers(STATES)), 0
        return self.seen(), self.info()

    def step(self, action):
        if not self.mask()[action - 3]:
            raise ValueError(f"{action} is not accepted in {self.state}")
        self.state, self.t = int(self.np_random.integers(STATES)), self.t + 1
        return self.seen(), 1.0, self.t == LIMIT, False, self.info()


class Told(Twos):
    """By info, as numbers."""

    def info(self) -> dict[str, Any]:
        return {"action_mask": self.mask().astype(np.int8)}


class Asked(Twos):
    """By a method, which an episode that has ended does not answer; below a wrapper."""

    def action_masks(self):
        assert self.t < LIMIT, "nobody asks now"
        return self.mask()


class Shown(Twos):
    """In the observation."""

    observation_space = spaces.Dict(
        inner=spaces.Dict(state=spaces.Discrete(STATES), action_mask=spaces.MultiBinary(10))
    )

    def seen(self):
        return {"inner": {"state": self.state, "action_mask": self.mask().astype(np.int8)}}


KINDS = {
    "info": Told,
    "method": Asked,
    "observation": Shown,
    "wrapped": lambda: gymnasium.wrappers.TimeLimit(Asked(), 2),
}


def last_allowed(seen: np.ndarray, t: int, masks: np.ndarray | None) -> tuple[Any, None]:
    assert masks is not None
    np.testing.assert_array_equal(masks.sum(-1), 2)
    return np.where(masks, np.arange(10), -1).max(-1).astype(np.int32), None


@pytest.mark.parametrize(
    ("kind", "vector"),
    [
        *((kind, "sync") for kind in KINDS),
        ("method", "threads"),
        pytest.param("info", "async", marks=pytest.mark.slow),
    ],
)
def test_masks_are_those_of_the_states_that_are_acted_in(kind: str, vector: Any):
    env = HostEnvironment.of(KINDS[kind], vector=vector)
    assert env.masked
    assert env.observation_space == spaces.Discrete(STATES)
    with env.open(3, 0) as envs:
        steps, _, masks = host_rollout(envs, 2 * LIMIT + 1, last_allowed, 1)
        np.testing.assert_array_equal(steps.action, steps.observation + STATES)
        assert steps.terminated.sum() + steps.truncated.sum() >= 6
        found = np.unpackbits(np.asarray(masks.now), axis=-1, count=10)  # type: ignore[union-attr]
        np.testing.assert_array_equal(found.argmax(-1), steps.observation)
        after = np.unpackbits(np.asarray(masks.following), axis=-1, count=10)  # type: ignore[union-attr]
        goes_on = ~np.asarray(steps.terminated)
        np.testing.assert_array_equal(after.argmax(-1)[goes_on], steps.next_observation[goes_on])
        assert after[~goes_on].all()  # which nobody looks at: the empty mask counts as full
        envs.restart(1)
        last_allowed(envs.observations, 0, envs.masks)


def test_without_masks_there_are_none():
    env = HostEnvironment.of(lambda: gymnasium.make("FrozenLake-v1"))
    assert not env.masked
    with env.open(2, 0) as envs:
        *_, masks = host_rollout(envs, 3, lambda seen, t, masks: (np.zeros((1, 2), int), masks), 1)
        assert masks is None


@pytest.mark.parametrize("vector", ["sync", "async"])
def test_an_empty_mask_in_the_middle_names_the_environment_and_the_step(vector: Any):
    env = HostEnvironment.of(Empty, vector=vector)
    with env.open(2, 0) as envs:
        envs.step(np.zeros(2, int))
        with pytest.raises(EmbrlError, match=r"^Empty: environment 0 of 2.* step 2.*no action"):
            envs.step(np.zeros(2, int))


class Empty(Told):
    def mask(self):
        return np.full(10, self.t < 2)


def test_a_mask_of_wrong_length_names_the_forms():
    class Short(Told):
        def info(self):
            return {"action_mask": np.ones(4)}

    with pytest.raises(EmbrlError, match=r"^Short: .* reset.* action mask .*\[10\], got .*\[4\]"):
        HostEnvironment.of(Short).open(1, 0)


def test_a_key_may_be_named_and_masks_switched_off():
    class Legal(Twos):
        def info(self):
            return {"legal": self.mask(), "action_mask": np.ones(10)}

    with HostEnvironment.of(Legal, action_mask="legal").open(1, 0) as envs:
        host_rollout(envs, 6, last_allowed, 1)
    off = HostEnvironment.of(Told, action_mask="off")
    assert not off.masked
    with off.open(1, 0) as envs:
        assert envs.masks is None
    shown = HostEnvironment.of(Shown, action_mask="off")
    assert shown.observation_space == spaces.MultiDiscrete([STATES] + [2] * 10)
    named = HostEnvironment.of(Shown, action_mask="inner.action_mask")
    assert named.observation_space == spaces.Discrete(STATES)
    with pytest.raises(EmbrlError, match=r"action_mask must be .*got valid"):
        HostEnvironment.of(Told, action_mask="valid").open(1, 0)
    with pytest.raises(EmbrlError, match=r"part state .*\[10\]"):
        HostEnvironment.of(Shown, action_mask="state")


def test_a_mask_that_first_comes_with_a_step_counts_from_there_on():
    class Late(Told):
        def info(self):
            return super().info() if self.t else {}

        def step(self, action):
            self.state = self.state if self.t else (action - 3) % STATES
            return super().step(action)

    env = HostEnvironment.of(Late)
    assert env.masked
    with env.open(1, 0) as envs:
        assert envs.masks is None
        envs.step(np.zeros(1, int))
        assert envs.masks is not None
        assert envs.masks.sum() == 2


NESTED = spaces.Dict(a=spaces.Discrete(2), b=spaces.MultiDiscrete([2, 3]))


@pytest.mark.parametrize(
    ("space", "mask"),
    [
        (spaces.MultiDiscrete(np.array([[2, 3]])), [0, 1, 1, 0, 1]),
        (spaces.MultiBinary(2), [0, 1, 1, 1]),
        (NESTED, {"a": [0, 1], "b": [1, 1, 1, 0, 1]}),
        (NESTED, [0, 1, 1, 1, 1, 0, 1]),
        (spaces.Tuple([spaces.Discrete(2), spaces.MultiDiscrete([2, 3])]), ([0, 1], np.ones(5))),
    ],
)
def test_masks_of_combinations_are_the_products_of_their_parts(space, mask):
    actions = Actions(space)
    found = SpaceMasks(actions)(mask)
    flat = [np.ravel(part) for part in (mask.values() if isinstance(mask, dict) else mask)]
    flags = np.concatenate([np.atleast_1d(part) for part in flat])
    for index in range(int(actions.space.n)):  # type: ignore[union-attr]
        action = actions.to_original(index)
        values = action.values() if isinstance(action, dict) else action
        if not isinstance(action, dict | tuple):
            values = [action]
        digits = np.concatenate([np.ravel(value) for value in values])
        sizes = [size for _, sizes in actions.parts for size in sizes]
        starts = np.cumsum([0, *sizes[:-1]])
        assert found[index] == flags[starts + digits].all()


def test_a_part_without_a_mask_allows_everything():
    for mask in ({"a": None, "b": [0, 1, 1, 1, 1]}, {"a": [1, 1], "b": [0, 1, 1, 1, 1]}):
        assert SpaceMasks(Actions(NESTED))(mask).tolist() == ([False] * 3 + [True] * 3) * 2
    pair = spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)])
    assert SpaceMasks(Actions(pair))((None, [0, 1])).tolist() == [False, True, False, True]


def test_of_continuous_actions_there_are_no_masks():
    box = Actions(spaces.Box(-1, 1, (9,)))
    reader = MaskReader(Shown.observation_space, box)
    assert reader.path is None
    assert reader.read({}, {"action_mask": np.ones(9)}) is None
    with pytest.raises(EmbrlError, match="action_mask must be auto or off"):
        MaskReader(Shown.observation_space, box, "legal")
