"""Flags of the command line: parsed and validated, without training."""

import random
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import jax

from benchmarks.fuzz.tally import Tally
from embrl import envs
from embrl.cli.flags import SECTIONS, configured, setting_flags
from embrl.config.defaults import default_config
from embrl.embedding.methods import METHODS
from embrl.envs import Environment
from embrl.training.trainer import Trainer

ENVIRONMENTS = ("gridworld", "cart_pole", "continuous_gridworld", "CartPole-v1", "Pendulum-v1")
WORDS = (
    *(
        "0",
        "1",
        "-1",
        "2",
        "3",
        "7",
        "64",
        "1e9",
        "1e-3",
        "-0.5",
        "0.0",
        "0.99",
        "1.0",
        "nan",
        "inf",
    ),
    *(
        "-inf",
        "",
        " ",
        "abc",
        "None",
        "True",
        "false",
        "1_000",
        "0x10",
        "1,2",
        "[1]",
        "9" * 40,
        "1e400",
    ),
    *(
        "best",
        "ppo",
        "jsae",
        "none",
        "nearest",
        "linear",
        "é",
        "--",
        "-",
        "a b",
        "~",
        "/dev/null",
        "1 2",
    ),
)


DEEP = 0.2
"""Fraction of accepted flags whose whole training is traced, which takes seconds."""

INTEGERS = ("0", "1", "-1", "2", "3", "8", "30", "64", "1500", "3000", "10000000", "1" + "0" * 19)
NUMBERS = (
    *("0", "0.0", "-0.5", "0.5", "1", "1.0", "1e-3", "3", "1e9", "nan", "inf", "-inf", "1e400"),
    *("1e-300", "2", "0.99"),
)


def values(kind: Any, draw: random.Random) -> list[str]:
    """Return values that a flag of this type takes, mostly."""
    if draw.random() < 0.15:
        return [draw.choice(WORDS) for _ in range(draw.choice([0, 1, 1, 2, 4]))]
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return [str(draw.choice(parts))]
    if get_origin(kind) in (Union, UnionType):
        return values(draw.choice(parts), draw)
    if get_origin(kind) is tuple:
        many = draw.randrange(4) if parts[-1] is Ellipsis else len(parts)
        found: list[str] = []
        for at in range(many):
            found += values(parts[0 if parts[-1] is Ellipsis else at], draw)
        return found
    known = {bool: (), NoneType: ("None",), int: INTEGERS, float: NUMBERS}.get(kind, WORDS)
    return [draw.choice(known)] if known else []


def arguments(draw: random.Random, flags: list[tuple[str, Any]]) -> list[str]:
    """Return some flags with values."""
    found: list[str] = []
    if draw.random() < 0.5:
        found += ["--method", draw.choice(list(METHODS))]
    if draw.random() < 0.3:
        found += ["--algorithm", draw.choice(["ppo", "vpg", "sac", "x"])]
    for _ in range(draw.choice([1, 1, 2, 3])):
        name, kind = draw.choice(flags)
        if draw.random() < 0.03:
            name = name[:-1] + draw.choice("xyz")
        given = values(kind, draw)
        if draw.random() < 0.2 and given:
            found.append(f"--{name}={given[0]}")
        else:
            found += [f"--{name}", *given]
    return found


def run(tally: Tally, count: int, seed: int, work: Path) -> None:
    """Try flags."""
    del work
    flags: dict[str, list[tuple[str, Any]]] = {}
    built: dict[Any, Any] = {}
    for name in ENVIRONMENTS:
        config = default_config(name, envs.configure(name))
        found = setting_flags(config, *SECTIONS)
        own = [
            ("seeds", int),
            ("seed", int),
            ("total-timesteps", int),
            ("out", str),
            ("config", str),
        ]
        mine = [flag for flag in found if flag.section not in ("vpg", "sac")]
        flags[name] = [(flag.shown.removeprefix("--"), flag.kind) for flag in mine] + own * 3

    def validate(environment: str, words: list[str], deep: bool) -> None:
        config, _ = configured(environment, words, "train")
        if config.env not in built:
            if len(built) > 200:
                built.clear()
            built[config.env] = config.env.build()
        env = built[config.env]
        trainer = Trainer(config, env.observation_space, env.action_space)
        trainer.validate()
        if deep and isinstance(env, Environment) and config.total_timesteps < 10**7:
            jax.eval_shape(Trainer.of(config, env).train, jax.random.key(0))

    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        environment = draw.choice(ENVIRONMENTS)
        words, deep = arguments(draw, flags[environment]), draw.random() < DEEP
        tally.try_one(
            (environment, " ".join(words)), lambda e=environment, w=words, d=deep: validate(e, w, d)
        )
