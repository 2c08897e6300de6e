"""Figures 3d and 3f: MuJoCo robots, with continuous observations and actions."""

import dataclasses

from embrl import envs
from embrl.config.run import RunConfig
from embrl.papers.panel import Panel, PanelLine, ReproductionOptions
from embrl.papers.panels.common import (
    FEWER_UPDATES,
    NOT_STATED,
    ahead,
    fewer_updates,
    paper_name,
    published_line,
)
from embrl.papers.panels.common import level as as_good_as

CHEETAH, ANT = "HalfCheetah-v5", "Ant-v5"
CHEETAH_STEPS, ANT_STEPS = 250, 1000
"""Step limits of an episode in the paper."""
SAC_SAMPLES = 1_000_000
FASTER_SAC = 0.25
"""Updates of SAC per environment step."""
QUICK = 4
"""Number of updates in the quick version, after pre-training."""
LEVEL = 300.0
"""Difference of final returns on the half-cheetah below which two methods are level. Returns of 250
steps reach about 1,000."""

VERSION = (
    "Gymnasium's {} replaces the paper's v2, which is no longer available. The simulator and some "
    "constants differ, so the order of returns can be compared with the paper's, their level "
    "cannot."
)
NORMALISED = (
    "Observations are unbounded and are standardised: with an embedding by the mean and standard "
    "deviation of pre-training, without one by those of all observations so far. The paper does "
    "not mention this."
)
SCALED_DOWN = (
    "For SAC without an embedding, observations are scaled down but never up "
    "(docs/decisions/0019); otherwise it learned to fall with our own settings."
)
UPDATES = (
    "Online updates of the embedding: 4 gradient steps on 512 transitions after every rollout. The "
    "paper does not state their number."
)
ENVPOOL = (
    "The simulator is run by envpool, whose robots have the dynamics of Gymnasium's "
    "(tests/envs/host/test_envpool.py compares them)."
)
SAC = "SAC has {:,} environment steps, the paper 6,000,000."


def fig3d(options: ReproductionOptions) -> Panel:
    """Return the panel of the half-cheetah: VPG with and without JSAE."""
    vector, simulator = _simulator(options, "sync")
    env = envs.configure(CHEETAH, max_episode_steps=CHEETAH_STEPS, vector=vector)
    lines = [published_line(CHEETAH, env, method, "vpg", options) for method in ("none", "jsae")]
    claims = [
        as_good_as(paper_name("jsae", "vpg"), paper_name("none", "vpg"), LEVEL),
        *ahead(paper_name("jsae", "vpg"), [paper_name("none", "vpg")]),
    ]
    deviations = (VERSION.format(CHEETAH), NORMALISED, *NOT_STATED, *simulator)
    return Panel("fig3d", "Half-cheetah", tuple(lines), tuple(claims), deviations, shorten=_shorten)


def fig3f(options: ReproductionOptions) -> Panel:
    """Return the panel of the ant: VPG, PPO and SAC, each with and without JSAE."""
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
    return Panel("fig3f", "Ant", tuple(lines), tuple(claims), tuple(deviations), shorten=_shorten)


def _simulator(options: ReproductionOptions, usual: str) -> tuple[str, tuple[str, ...]]:
    """Return the kind of parallel environments, `usual` or envpool, and deviations to report."""
    return ("envpool", (ENVPOOL,)) if options.envpool else (usual, ())


def _of_sac(line: PanelLine) -> PanelLine:
    """Shorten SAC, which takes longest, and never scale its observations up.

    Contact forces scaled up by their small deviation would mislead it.
    """
    if line.config.algorithm != "sac":
        return line
    policy = dataclasses.replace(line.config.policy, normalise="down")
    config = dataclasses.replace(line.config, total_timesteps=SAC_SAMPLES, policy=policy)
    return dataclasses.replace(line, config=config)


def _shorten(config: RunConfig) -> RunConfig:
    """Return the configuration with a few updates, as simulators are slow."""
    epoch = config.rollout.steps_per_update
    pretraining = epoch if config.method != "none" else 0
    return dataclasses.replace(
        config,
        seeds=min(config.seeds, 2),
        total_timesteps=pretraining + QUICK * epoch,
        pretrain=dataclasses.replace(
            config.pretrain, timesteps=max(pretraining, 1), gradient_steps=100
        ),
        evaluation=dataclasses.replace(
            config.evaluation, every=2 * epoch, episodes=2, final_episodes=2
        ),
    )
