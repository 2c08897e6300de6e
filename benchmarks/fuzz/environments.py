"""Environments that misbehave in each way of the contract, stepped in lanes."""

import decimal
import fractions
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from benchmarks.fuzz.tally import Tally
from embrl.core.errors import EmbrlError
from embrl.data.sources.behaviour import play_host
from embrl.envs.gym import HostEnvironment

STEPS = 9


def values(draw: random.Random) -> Any:
    """Something that may stand anywhere."""
    return draw.choice(
        [
            *(None, True, False, 0, 1, -1, 2, 10**400, 1.5, -0.0, 1j),
            *(float("nan"), float("inf"), -float("inf"), 1e39, 3.4e38),
            *("", "1", "True", b"1", [], [1], [1, 2], [[1.0]], [None], [[1], [1, 2]], (), (1,)),
            *({}, {"a": 1}, {1}, object(), object, print, Exception("x"), ...),
            *(decimal.Decimal("1.5"), fractions.Fraction(1, 3), range(2), slice(1)),
            *(np.float16(1), np.float64(1e300), np.int64(2), np.bool_(True), np.datetime64(1, "s")),
            *(
                np.array(1),
                np.array([1]),
                np.array([[1]]),
                np.array([True]),
                np.array([True, False]),
            ),
            *(np.zeros(0), np.zeros((2, 3)), np.array(["a"]), np.array([None]), np.full(3, np.nan)),
            *(np.full(3, 1e300), np.full(3, np.inf), np.array([1, 2, 3], object), np.ones(3, bool)),
            *(
                np.ma.masked_array([1.0, 2.0, 3.0], np.array([False, True, False])),
                np.ones(3, np.complex64),
            ),
        ]
    )


def failures(draw: random.Random) -> BaseException:
    """Something to raise."""

    class Own(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(one)
            self.two = two

    class Silent(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    return draw.choice(
        [
            *(ValueError("a\nb"), KeyError(""), AssertionError(), RuntimeError("{}%s[/x]")),
            *(StopIteration(1), RecursionError("deep"), MemoryError(), NotImplementedError()),
            *(Own(1, 2), Silent(), EmbrlError("of a user's own"), SystemExit(0), SystemExit("bye")),
            *(
                UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
                ExceptionGroup("g", [ValueError()]),
            ),
        ]
    )


OBSERVATIONS: list[Callable[[], spaces.Space]] = [
    lambda: spaces.Box(-1, 1, (3,)),
    lambda: spaces.Box(-np.inf, np.inf, (3,), np.float64),
    lambda: spaces.Box(0, 255, (3,), np.uint8),
    lambda: spaces.Discrete(5, start=2),
    lambda: spaces.MultiDiscrete([2, 3, 4]),
    lambda: spaces.Dict(a=spaces.Discrete(3), b=spaces.Box(-1, 1, (2,))),
    lambda: spaces.Dict(seen=spaces.Box(-1, 1, (3,)), action_mask=spaces.MultiBinary(4)),
    lambda: spaces.Tuple([spaces.Box(-1, 1, ()), spaces.Box(-5, 5, (2, 2))]),
]
ACTIONS: list[Callable[[], spaces.Space]] = [
    lambda: spaces.Discrete(4),
    lambda: spaces.Discrete(4, start=-2),
    lambda: spaces.MultiDiscrete([2, 2]),
    lambda: spaces.Box(-2, 2, (2,)),
    lambda: spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)]),
]
PLACES = (
    *("observation", "observation part", "reward", "terminated", "truncated", "info", "mask"),
    *("step result", "reset result", "raise in step", "raise in reset", "raise in close"),
    *("raise in init", "no seed", "observation_space", "action_space", "metadata", "render_mode"),
    *("other lane", "action_masks", "spec", "unwrapped", "same array", "nothing"),
)


class Misbehaving(gymnasium.Env):
    """An environment with faults at places, from a step on."""

    def __init__(self, plan: dict[str, Any], lane: int) -> None:
        self.plan, self.lane = plan, lane
        self.observation_space, self.action_space = plan["spaces"][0](), plan["spaces"][1]()
        self.observation_space.seed(lane)
        self.steps, self.total = 0, 0
        self.render_mode = None
        self._fail("raise in init")
        for name in ("observation_space", "action_space", "metadata", "render_mode", "spec"):
            if name in plan:
                setattr(self, name, plan[name])
        if "other lane" in plan and lane == 2:
            self.observation_space = spaces.Box(-1, 1, (7,))
        if "action_masks" in plan:
            self.action_masks = lambda: plan["action_masks"]
        self.kept = plan["spaces"][0]().sample()

    def _fail(self, place: str) -> None:
        if place in self.plan:
            raise self.plan[place]

    def _seen(self) -> Any:
        space = self.plan["spaces"][0]()
        space.seed(self.total)
        found = space.sample()
        if "same array" in self.plan and isinstance(self.kept, np.ndarray):
            self.kept[...] = found
            found = self.kept
        if self.total >= self.plan["from"]:
            if "observation" in self.plan:
                return self.plan["observation"]
            if "observation part" in self.plan and isinstance(found, dict | tuple):
                if isinstance(found, tuple):
                    return (self.plan["observation part"], *found[1:])
                return {**found, next(iter(found)): self.plan["observation part"]}
        return found

    def _info(self) -> Any:
        if self.total < self.plan["from"]:
            return {}
        if "mask" in self.plan:
            return {"action_mask": self.plan["mask"]}
        return self.plan.get("info", {})

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        del options
        if "no seed" in self.plan and seed is not None:
            raise TypeError("reset() got an unexpected keyword argument 'seed'")
        super().reset(seed=seed)
        if self.total:
            self._fail("raise in reset")
        self.steps = 0
        return self.plan.get("reset result", (self._seen(), self._info()))

    def step(self, action: Any) -> Any:
        del action
        self.steps, self.total = self.steps + 1, self.total + 1
        late = self.total >= self.plan["from"]
        if late:
            self._fail("raise in step")
        if late and "step result" in self.plan:
            return self.plan["step result"]
        plan = self.plan if late else {}
        return (
            self._seen(),
            plan.get("reward", 1.0),
            plan.get("terminated", self.steps >= 3),
            plan.get("truncated", False),
            self._info(),
        )

    def close(self) -> None:
        self._fail("raise in close")

    @property
    def unwrapped(self) -> Any:
        self._fail("unwrapped")
        return self


def planned(draw: random.Random) -> dict[str, Any]:
    """Choose what goes wrong."""
    plan: dict[str, Any] = {
        "spaces": (draw.choice(OBSERVATIONS), draw.choice(ACTIONS)),
        "from": draw.choice([0, 1, 2, 4]),
    }
    for place in draw.sample(PLACES, draw.choice([1, 1, 1, 2])):
        if place.startswith("raise") or place == "unwrapped":
            plan[place] = failures(draw)
        elif place in ("step result", "reset result"):
            whole = [np.zeros(3, np.float32), 1.0, False, False, {}]
            plan[place] = draw.choice([values(draw), tuple(whole[: draw.randrange(6)]), whole * 2])
        elif place in ("mask", "action_masks") and draw.random() < 0.6:
            size = draw.choice([0, 1, 4, 4, 4, 5])
            plan[place] = draw.choice(
                [
                    [draw.random() < 0.5 for _ in range(size)],
                    np.zeros(size, np.int8),
                    [[1, 0], [1, 1]],
                ]
            )
        else:
            plan[place] = values(draw)
    return plan


def step(plan: dict[str, Any], vector: Any, seed: int) -> None:
    """Open lanes, take steps, read again from the beginning, and close."""
    made: list[int] = []

    def misbehaving() -> gymnasium.Env:
        made.append(len(made))
        return Misbehaving(plan, made[-1])

    environment = HostEnvironment.of(misbehaving, vector=vector)
    space = environment.action_space
    space.seed(seed)
    with environment.open(2, seed) as lanes:
        for _ in range(STEPS):
            lanes.step(np.stack([np.asarray(space.sample()) for _ in range(2)]))
        lanes.restart(seed)
    original = environment.actions.original
    play_host(environment, lambda _: original.sample(), 5, seed)


def run(tally: Tally, count: int, seed: int, work: Path) -> None:
    """Try environments."""
    del work
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        plan, vector = planned(draw), draw.choice(["sync", "sync", "threads"])
        what = (number, {name: value for name, value in plan.items() if name != "spaces"})
        tally.try_one(what, lambda plan=plan, vector=vector, n=number: step(plan, vector, n))
