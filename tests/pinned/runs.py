"""The pinned runs as command lines, with the old names of flags."""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

SMALL = (
    "--seeds 2 --samples 1500 --policy.hidden 16 --rollout.epoch 200 --rollout.lanes 10 "
    "--evaluation.every 400 --evaluation.episodes 4 --evaluation.final-episodes 8"
)
EMBEDDED = "--fit.samples 500 --fit.steps 30 --fit.batch 64"
GRIDWORLD = (
    "gridworld --env.actuators 4 --env.bins 12 --env.step-limit 40 --env.goal .15 .2 .35 .4 "
    f"{SMALL}"
)
SAC = "--algorithm sac --sac.updates-per-sample .1 --sac.batch 32 --rollout.buffer 1000"
HOST = (
    "--seeds 2 --samples 1200 --policy.hidden 16 --rollout.epoch 200 --rollout.lanes 4 "
    "--evaluation.every 400 --evaluation.episodes 2 --evaluation.final-episodes 4 "
    "--env.max-episode-steps 50"
)
HOST_PPO = "--algorithm ppo --ppo.actor-steps 3 --ppo.critic-steps 3 --ppo.minibatches 4"
JSAE = "--fit.samples 400 --fit.steps 30 --fit.batch 64"
ONLINE = "--update.every 2 --update.steps 3 --update.batch 64"
FITTED_AGENTS = (
    "--k 2 --hidden 8 --steps 12 --batch 4 --states 8 --keep 8 --working 8 --chunk 4 "
    "--episodes 3 --most 4 --held-out .4"
)
COLLECTED = (
    "--lineages 6 --block 3 --checkpoints 0 2 6 --hidden 4 --epoch 200 --lanes 10 --episodes 4 "
    "--env.step-limit 60"
)
QUICK = (
    "gridworld-jsae-vpg",
    "gridworld-none-ppo",
    "gridworld-ra-sac",
    "recommender-best-ppo",
    "pendulum-jsae-sac",
    "cartpole-jsae-ppo",
    "resume-interrupted",
    "agents-fit-fingerprint",
)
"""Runs that together cover most code paths."""

INTERRUPTED = "interrupted: "
"""Prefix of a command that is interrupted when it writes metrics.csv for the third time."""


def runs() -> dict[str, list[str]]:
    """Return the commands of each run.

    Placeholders: {out} is the run's folder, {scratch} a folder that is not compared, {run:NAME} the
    folder of another run; {purchases}, {excluded}, {cells} and {pendulum} are files of `made_up`.
    """
    found: dict[str, list[str]] = {}
    for method in ("jsae", "ra", "autoencoder", "dct", "latent", "random", "none"):
        embedded = "" if method == "none" else EMBEDDED
        for algorithm in ("vpg", "ppo", "sac"):
            flags = SAC if algorithm == "sac" else f"--algorithm {algorithm}"
            found[f"gridworld-{method}-{algorithm}"] = [
                f"train {GRIDWORLD} --method {method} {flags} {embedded} --out {{out}}"
            ]
    others = {
        "slot-machine-jsae-vpg": f"slot_machine --env.fractions 3 {SMALL} {EMBEDDED}",
        "slot-machine-latent-online": (
            f"slot_machine --env.fractions 3 --method latent {SMALL} {EMBEDDED} {ONLINE}"
        ),
        "recommender-jsae-ppo": (
            f"recommender --env.data {{purchases}} --env.min-purchases 1 --algorithm ppo "
            f"{SMALL} {EMBEDDED} --model.m 8 --model.d 8"
        ),
        "recommender-best-ppo": (
            f"recommender --env.data {{purchases}} --env.min-purchases 1 --algorithm ppo "
            f"--settings best {SMALL} {EMBEDDED} --model.m 8 --model.d 8 --model.memory 8 "
            f"--update.every 2 --update.steps 3 --update.batch 64"
        ),
        "recommender-none-vpg": (
            f"recommender --env.data {{purchases}} --env.min-purchases 1 --method none {SMALL}"
        ),
        "continuous-gridworld-dct-sac": (
            f"continuous_gridworld --env.actuators 3 --method dct {SAC} {SMALL} {EMBEDDED} "
            f"--f.steps 20"
        ),
        "acrobot-jsae-ppo": f"acrobot --env.step-limit 50 --algorithm ppo {SMALL} {EMBEDDED}",
        "pendulum-jsae-ppo": f"Pendulum-v1 {HOST_PPO} {HOST} {JSAE} --f.steps 20",
        "pendulum-jsae-sac": (
            f"Pendulum-v1 {SAC} --sac.alpha-lr 3e-4 {HOST} {JSAE} --f.steps 20 --policy.sees both"
        ),
        "pendulum-none-ppo": f"Pendulum-v1 --method none {HOST_PPO} {HOST}",
        "pendulum-none-sac": f"Pendulum-v1 --method none {SAC} {HOST}",
        "cartpole-jsae-ppo": f"CartPole-v1 --algorithm ppo {HOST} {JSAE} {ONLINE}",
        "cartpole-latent-vpg": f"CartPole-v1 --method latent {HOST} {JSAE}",
        "cartpole-none-sac": f"CartPole-v1 --method none {SAC} {HOST}",
        "online-vpg": (
            f"{GRIDWORLD} {EMBEDDED} {ONLINE} --update.schedule linear --update.until .6 "
            f"--update.fresh .3 --vpg.least-std .1"
        ),
        "online-sac": f"{GRIDWORLD} {EMBEDDED} {SAC} {ONLINE}",
        "bonus-ppo": (
            f"{GRIDWORLD} {EMBEDDED} --algorithm ppo --explore.bonus .1 --explore.until .5 "
            f"--explore.known 3 --explore.cells 64"
        ),
        "best-settings-ppo": (
            f"{GRIDWORLD} {EMBEDDED} --algorithm ppo --settings best --model.m 4 --model.d 3"
        ),
        "paper-settings-vpg": f"{GRIDWORLD} {EMBEDDED} --settings paper",
        "wolpertinger-sac": f"{GRIDWORLD} {EMBEDDED} {SAC} --f.kind wolpertinger --f.k 3",
        "best-critic-sac": f"{GRIDWORLD} {EMBEDDED} {SAC} --f.kind best",
        "softmax-ppo": (
            f"{GRIDWORLD} {EMBEDDED} --algorithm ppo --f.kind softmax --f.temperature .1 "
            f"--ppo.entropy-cost .02 --ppo.clip .1 --ppo.actor-steps 4 --ppo.critic-steps 5 "
            f"--ppo.minibatches 2"
        ),
        "objectives-vpg": (
            f"{GRIDWORLD} {EMBEDDED} --objectives forward 1 inverse .5 reward .1 termination .1 "
            f"--policy.credit g(a) --rollout.persistence .3 --model.head softmax"
        ),
        "excluded-vpg": f"{GRIDWORLD} {EMBEDDED} --rollout.closed {{excluded}}",
        "transfer-policy-ppo": (
            f"{GRIDWORLD} {EMBEDDED} --algorithm ppo --env.walls swept "
            f"--transfer.run {{run:gridworld-jsae-ppo}} --transfer.policy"
        ),
        "transfer-states-vpg": (
            f"{GRIDWORLD} {EMBEDDED} --env.actuators 3 --transfer.keep states "
            f"--transfer.run {{run:gridworld-jsae-ppo}}"
        ),
        "transfer-fitted-ppo": (
            f"{GRIDWORLD} {EMBEDDED} --algorithm ppo --transfer.run {{run:fit-gridworld}}"
        ),
    }
    found |= {name: [f"train {flags} --out {{out}}"] for name, flags in others.items()}
    found |= {
        "resume-interrupted": [
            f"{INTERRUPTED}train {GRIDWORLD} {EMBEDDED} {ONLINE} --algorithm ppo --out {{out}}",
            "train --resume --out {out}",
        ],
        "resume-longer": [
            f"train {GRIDWORLD} {EMBEDDED} --out {{out}} --samples 900",
            "train --resume --samples 1500 --out {out}",
        ],
        "sweep-vpg": [
            f"sweep {GRIDWORLD} {EMBEDDED} --samples 900 --over vpg.actor-lr 1e-3 1e-2 "
            f"--over vpg.entropy-cost 0 .05 --over policy.hidden 8 8,8 --out {{out}}"
        ],
        "fit-gridworld": [
            "fit gridworld --env.actuators 4 --env.bins 12 --env.step-limit 40 "
            f"--env.goal .15 .2 .35 .4 {EMBEDDED} --rollout.lanes 10 --out {{out}}"
        ],
        "fit-policy": [
            f"fit gridworld --env.actuators 4 --env.bins 12 --env.step-limit 40 "
            f"--env.goal .15 .2 .35 .4 {EMBEDDED} --method dct "
            f"--policy {{run:gridworld-jsae-ppo}} --out {{out}}"
        ],
    }
    for name in ("gridworld-jsae-ppo", "pendulum-jsae-sac", "softmax-ppo", "wolpertinger-sac"):
        observations = "{pendulum}" if name.startswith("pendulum") else "{cells}"
        found[f"export-{name}"] = [
            f"export {{run:{name}}} --seed 1 --out {{scratch}}/policy",
            f"predict {{scratch}}/policy {observations} --out {{out}}/actions.npy",
            f"predict {{scratch}}/policy {observations} --draw 5 --out {{out}}/drawn.npy",
            f"predict {{run:{name}}} {observations} --seed 1 --out {{out}}/of-run.npy",
        ]
    found["agents-collect"] = [f"agents collect cart_pole {COLLECTED} --out {{out}}"]
    found["agents-collect-ppo"] = [
        f"agents collect acrobot {COLLECTED} --algorithm ppo --out {{out}}"
    ]
    for kind in ("vae", "behaviour", "fingerprint"):
        found[f"agents-fit-{kind}"] = [
            f"agents fit {{run:agents-collect}} --kind {kind} {FITTED_AGENTS} --out {{out}}"
        ]
    found["agents-generate"] = [
        "agents generate {run:agents-fit-fingerprint} --n 6 --episodes 4 --out {out}"
    ]
    found["agents-walk"] = [
        "agents walk {run:agents-collect} {run:agents-fit-fingerprint} 0 17 --episodes 4 "
        "--out {out}"
    ]
    return found


def made_up(folder: Path) -> dict[str, str]:
    """Write the input files of the runs and return their paths by placeholder name."""
    lines = [
        f"{user},2026-01-01 10:00:{moment:02},{(user * moment + user) % 9},{1 + user % 9}"
        for user in range(40)
        for moment in range(12)
    ]
    (folder / "log.csv").write_text("\n".join(["user,ts,item,price", *lines]))
    draw = np.random.default_rng(0)
    np.save(folder / "excluded.npy", np.array([3, 12]))
    np.save(folder / "cells.npy", draw.integers(0, 144, 200))
    angle, speed = draw.uniform(-math.pi, math.pi, 200), draw.uniform(-8, 8, 200)
    numbers = np.stack([np.cos(angle), np.sin(angle), speed], -1).astype(np.float32)
    np.save(folder / "pendulum.npy", numbers)
    names = {"purchases": "log.csv", "excluded": "excluded.npy"}
    names |= {"cells": "cells.npy", "pendulum": "pendulum.npy"}
    return {name: str(folder / file) for name, file in names.items()}


def needed(name: str, commands: Mapping[str, list[str]]) -> list[str]:
    """Return a run's prerequisites and the run itself, in the order of execution."""
    found: list[str] = []
    for other in re.findall(r"\{run:([^}]*)\}", " ".join(commands[name])):
        found += needed(other, commands)
    return [*dict.fromkeys([*found, name])]


def parts(names: Iterable[str], commands: Mapping[str, list[str]], count: int) -> list[list[str]]:
    """Split runs into at most `count` parts; runs that share a prerequisite stay together."""
    groups: list[tuple[set[str], list[str]]] = []
    for name in names:
        used = set(needed(name, commands))
        near = [group for group in groups if group[0] & used]
        groups = [group for group in groups if not group[0] & used]
        merged = [other for _, others in near for other in others]
        groups.append((used.union(*(group[0] for group in near)), [*merged, name]))
    found: list[list[str]] = [[] for _ in range(count)]
    for _, group in sorted(groups, key=lambda group: -len(group[0])):
        min(found, key=len).extend(group)
    return [part for part in found if part]
