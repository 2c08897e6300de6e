"""Odd values where Python's interface takes arrays, and wrapped environments that misbehave."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import embrl
from benchmarks.fuzz.environments import (
    ACTIONS,
    OBSERVATIONS,
    STEPS,
    Misbehaving,
    planned,
    values,
)
from benchmarks.fuzz.tally import Tally

PAIRS = ((0, 0), (5, 0), (6, 0), (4, 2), (3, 3), (2, 1), (7, 4))
"""Spaces of observations and actions, by their numbers."""

WRAPPED = 0.4
"""Fraction of inputs that are wrapped environments."""


def fitted(pair: tuple[int, int]) -> Any:
    """Return an embedding of an environment that behaves."""
    plan = {"spaces": (OBSERVATIONS[pair[0]], ACTIONS[pair[1]]), "from": 10**9}
    return embrl.fit(lambda: Misbehaving(plan, 0), timesteps=200, pretrain={"gradient_steps": 5})


def nearly(good: np.ndarray, draw: random.Random) -> Any:
    """Return an array as it should be, but for something."""
    good = np.asarray(good)
    many = np.stack([good] * 3)
    return draw.choice(
        [
            *(good, good.tolist(), many, many[None], many[:0], good[None], good.ravel()[:0]),
            *(good.astype(np.float64), good.astype(np.int8), good.astype(bool), good.astype("U3")),
            *(good.astype(object), good.astype(np.complex64), good - 1000, good + 10**6),
            *(good * np.nan, good * 1e300, good.astype(np.float16), np.ma.masked_array(many)),
            *([good, None], [good, good[None]], (good, good), {"a": good}, many[:, None], many.T),
            *([good.tolist(), []], iter([good]), good.astype(np.uint64), good.view(np.ndarray)),
        ]
    )


def calls(folder: Path, embeddings: dict[Any, Any]) -> list[tuple[str, Callable[[Any], Any], Any]]:
    """Return calls of one argument, by name, and an argument that is right."""
    run = embrl.load(folder / "run")
    policy, exported = run.policy(0), embrl.load_policy(folder / "export")
    seen = np.arange(4)
    found: list[tuple[str, Callable[[Any], Any], Any]] = [
        ("policy.act", policy.act, seen),
        ("policy.act mask", lambda v: policy.act(seen, mask=v), np.ones(4, bool)),
        ("policy.predict", policy.predict, seen),
        ("policy.action_name", policy.action_name, np.asarray(1)),
        ("policy.without", policy.without, np.asarray([1])),
        ("exported.act", exported.act, seen),
        ("exported.act mask", lambda v: exported.act(seen, mask=v), np.ones(4, bool)),
        ("exported.act noise", lambda v: exported.act(seen, noise=v), np.zeros(9)),
        ("exported.action_name", exported.action_name, np.asarray(1)),
    ]
    for pair, made in embeddings.items():
        state = np.asarray(made.observation_space.sample())
        action = np.asarray(made.action_space.sample())
        found += [
            (f"phi {pair}", made.phi, state),
            (f"g {pair}", made.g, action),
            (f"f {pair}", made.f, np.zeros(made.d, np.float32)),
            (f"f mask {pair}", lambda v, e=made: e.f(np.zeros(e.d), v), np.ones(4, bool)),
            (f"without {pair}", made.without, np.asarray([1])),
        ]
    return found


def wrapped(plan: dict[str, Any], embedding: Any, seed: int) -> None:
    """Step a wrapped environment; what it raises itself is its own."""
    try:
        env = embrl.wrap(Misbehaving(plan, 0), embedding)
        env.action_space.seed(seed)
        env.reset(seed=seed)
        for _ in range(STEPS):
            _, _, terminated, _, _ = env.step(env.action_space.sample())
            if terminated is True:
                env.reset()
        env.close()
    except BaseException as error:
        if not any(error is value for value in plan.values()):
            raise


def run(tally: Tally, count: int, seed: int, work: Path) -> None:
    """Try the interface."""
    from benchmarks.fuzz.files import make_all

    make_all(work)
    embeddings = {pair: fitted(pair) for pair in PAIRS}
    known = calls(work, embeddings)
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        if draw.random() < WRAPPED:
            plan, pair = planned(draw), draw.choice(PAIRS)
            plan["spaces"] = (OBSERVATIONS[pair[0]], ACTIONS[pair[1]])
            what = {name: value for name, value in plan.items() if name != "spaces"}
            tally.try_one(
                (number, pair, what), lambda p=plan, e=embeddings[pair], n=number: wrapped(p, e, n)
            )
            continue
        name, call, good = draw.choice(known)
        with np.errstate(all="ignore"):
            value = nearly(good, draw) if draw.random() < 0.6 else values(draw)
        tally.try_one((number, name, value), lambda call=call, value=value: call(value))
