"""Figures 3d and 3f: robots of MuJoCo, whose observations and actions are numbers."""

import dataclasses

from embrl import envs
from embrl.config.run import RunConfig
from embrl.experiments.panel import Line, Options, Panel
from embrl.experiments.panels.common import (
    FEWER_UPDATES,
    NOT_STATED,
    ahead,
    fewer_updates,
    paper_name,
    published_line,
)
from embrl.experiments.panels.common import level as as_good_as

CHEETAH, ANT = "HalfCheetah-v5", "Ant-v5"
CHEETAH_STEPS, ANT_STEPS = 250, 1000
"""The paper's limits of an episode."""
SAC_SAMPLES = 1_000_000
FASTER_SAC = 0.25
"""Updates for each sample."""
QUICK = 4
"""Epochs of a quick version, beside pre-training."""
LEVEL = 300.0
"""Final returns of half-cheetahs that count as the same; those of 250 steps reach about 1,000."""

VERSION = (
    "Gymnasium's {} stands in for the paper's v2, which can no longer be had: the simulator and "
    "some constants differ, so that levels of return cannot be compared with the paper's, only "
    "their order."
)
NORMALISED = (
    "Observations have no bounds, and are scaled: with an embedding by the mean and the deviation "
    "of pre-training's, without one by those of all that the policy has seen. The paper says "
    "nothing of it."
)
SCALED_DOWN = (
    "Those of SAC without an embedding are scaled down, but never up (docs/decisions/0019): with "
    "our own settings it learned to fall otherwise."
)
UPDATES = (
    "Continuous updates of the embedding: 4 gradient steps on 512 transitions after every epoch; "
    "the paper does not say how many."
)
ENVPOOL = (
    "The simulator is run by envpool, whose robots of these names move as Gymnasium's "
    "(tests/envs/host/test_host_pool.py compares them)."
)
SAC = "SAC has {:,} samples, the paper 6,000,000."


def fig3d(options: Options) -> Panel:
    """VPG with and without JSAE."""
    vector, simulator = _simulator(options, "sync")
    env = envs.configure(CHEETAH, max_episode_steps=CHEETAH_STEPS, vector=vector)
    lines = [published_line(CHEETAH, env, method, "vpg", options) for method in ("none", "jsae")]
    claims = [
        as_good_as(paper_name("jsae", "vpg"), paper_name("none", "vpg"), LEVEL),
        *ahead(paper_name("jsae", "vpg"), [paper_name("none", "vpg")]),
    ]
    deviations = (VERSION.format(CHEETAH), NORMALISED, *NOT_STATED, *simulator)
    return Panel("fig3d", "Half-cheetah", tuple(lines), tuple(claims), deviations, brief=_brief)


def fig3f(options: Options) -> Panel:
    """VPG, PPO and SAC, each with and without JSAE."""
    vector, simulator = _simulator(options, "threads")
    env = envs.configure(ANT, max_episode_steps=ANT_STEPS, vector=vector)
    lines, claims = [], []
    for algorithm in ("vpg",) if options.quick else ("vpg", "ppo", "sac"):
        for method in ("none", "jsae"):
            line = published_line(ANT, env, method, algorithm, options)
            lines.append(fewer_updates(_of_sac(line), options, FASTER_SAC))
        claims += ahead(paper_name("jsae", algorithm), [paper_name("none", algorithm)])
    deviations = [VERSION.format(ANT), NORMALISED, UPDATES, *NOT_STATED, SAC.format(SAC_SAMPLES)]
    deviations += (SCALED_DOWN, *simulator)
    if not options.full_sac:
        deviations.append(FEWER_UPDATES.format(FASTER_SAC))
    return Panel("fig3f", "Ant", tuple(lines), tuple(claims), tuple(deviations), brief=_brief)


def _simulator(options: Options, usual: str) -> tuple[str, tuple[str, ...]]:
    """How lanes are stepped, `usual`ly or by envpool, and what is to be said of it."""
    return ("envpool", (ENVPOOL,)) if options.envpool else (usual, ())


def _of_sac(line: Line) -> Line:
    """SAC takes longest, and stumbles over contact forces that are blown up."""
    if line.config.algorithm != "sac":
        return line
    policy = dataclasses.replace(line.config.policy, normalise="down")
    config = dataclasses.replace(line.config, samples=SAC_SAMPLES, policy=policy)
    return dataclasses.replace(line, config=config)


def _brief(config: RunConfig) -> RunConfig:
    """A few epochs: simulators are slow."""
    epoch = config.rollout.steps_per_update
    pretraining = epoch if config.method != "none" else 0
    return dataclasses.replace(
        config,
        seeds=min(config.seeds, 2),
        total_timesteps=pretraining + QUICK * epoch,
        pretrain=dataclasses.replace(config.pretrain, timesteps=max(pretraining, 1), gradient_steps=100),
        evaluation=dataclasses.replace(
            config.evaluation, every=2 * epoch, episodes=2, final_episodes=2
        ),
    )
