"""Lines, claims and deviations that several panels share, and settings of the tuned baselines."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from embrl.config.defaults import FULL_SIZE, default_config
from embrl.config.paper import PROTOCOLS
from embrl.config.run import RunConfig
from embrl.config.settings_by_name import replaced
from embrl.envs import EnvConfig
from embrl.papers.panel import Claim, PanelLine, ReproductionOptions

NAMES = {"none": "", "ra": "-RA", "jsae": "-JSAE"}

NOT_STATED = (
    "Not stated in the paper and chosen here: the gradient steps of pre-training, the interval of "
    "evaluations, and the number of parallel environments, whose episodes continue across updates.",
)

FEWER_UPDATES = (
    "SAC makes {} updates per environment step; the paper's one per step takes much longer "
    "(--full-sac)."
)


def paper_name(method: str, algorithm: str) -> str:
    """Return the name of a line in the paper's legends: VPG, VPG-RA or VPG-JSAE."""
    return f"{algorithm.upper()}{NAMES[method]}"


def published_line(
    environment: str,
    env: EnvConfig,
    method: str,
    algorithm: str,
    options: ReproductionOptions,
    size: str = "",
) -> PanelLine:
    """Return a line of the paper's figure with the paper's settings.

    Args:
        environment: Name of the environment.
        env: Settings of the environment.
        method: Name of the embedding method.
        algorithm: Name of the algorithm.
        options: Options of the reproduction.
        size: Number of actions, which precedes the line's name; empty for none.
    """
    config = default_config(environment, env, method, algorithm, settings="paper")
    config = dataclasses.replace(config, seeds=options.seeds)
    label = f"{size} {paper_name(method, algorithm)}".strip()
    return PanelLine(label, config, "published", method, size or algorithm)


def fewer_updates(
    line: PanelLine, options: ReproductionOptions, updates_per_step: float
) -> PanelLine:
    """Reduce the updates per environment step of a SAC line, unless `options.full_sac` is set."""
    if line.config.algorithm != "sac" or options.full_sac:
        return line
    config = replaced(line.config, {"sac.updates_per_step": updates_per_step})
    return dataclasses.replace(line, config=config)


def tuned_lines(
    environment: str,
    env: EnvConfig,
    options: ReproductionOptions,
    size: str = "",
    algorithm: str = "ppo",
) -> list[PanelLine]:
    """Return the equally tuned baselines, and ours as the last line."""
    lines = []
    for method in ("none", "ra"):
        config = tuned_baseline(environment, env, method, algorithm)
        label = f"{size} {paper_name(method, algorithm)} (tuned)".strip()
        lines.append(PanelLine(label, _run(config, options), "tuned", method, size or algorithm))
    config = default_config(environment, env, "jsae", algorithm, "best", total_timesteps=FULL_SIZE)
    label = f"{size} ours".strip()
    lines.append(PanelLine(label, _run(config, options), "ours", "ours", size or algorithm))
    return lines


def _run(config: RunConfig, options: ReproductionOptions) -> RunConfig:
    """Apply the panel's seeds, and the paper's budget and number of evaluation episodes."""
    protocol = PROTOCOLS[config.environment]
    return dataclasses.replace(
        config,
        seeds=options.seeds,
        total_timesteps=protocol.total_timesteps,
        evaluation=dataclasses.replace(
            config.evaluation,
            episodes=max(protocol.episodes, config.evaluation.episodes),
            final_episodes=protocol.final_episodes,
        ),
    )


def level(better: str, other: str, margin: float) -> Claim:
    """Return the claim that final returns differ by less than `margin`."""
    text = f"{better} level with {other}, final return within {margin:g}"
    return Claim(text, better, other, "final_return", "level", margin)


def ahead(better: str, others: Sequence[str], *, final: bool = True) -> list[Claim]:
    """Return the claims that `better` is above each other line by area under the curve.

    With `final`, also by final return.
    """
    claims = []
    for other in others:
        claims.append(Claim(f"{better} above {other}, area under the curve", better, other, "auc"))
        if final:
            text = f"{better} above {other}, final return"
            claims.append(Claim(text, better, other, "final_return"))
    return claims


GRIDWORLD = {
    # At 1e-2 the area is as large, but both seeds have fallen back by the end.
    "none": {"ppo.actor_lr": 3e-3, "ppo.critic_lr": 1e-2, "ppo.gamma": 0.99},
    "ra": {"ppo.actor_lr": 3e-3, "policy.std": 0.6, "ppo.gamma": 0.99},
}

BASELINES: dict[tuple[str, str, str], dict[str, Any]] = {
    ("gridworld", "none", "ppo"): GRIDWORLD["none"],
    ("gridworld", "ra", "ppo"): GRIDWORLD["ra"],
    # The same geometry; not searched again.
    ("continuous_gridworld", "none", "ppo"): GRIDWORLD["none"],
    ("continuous_gridworld", "ra", "ppo"): GRIDWORLD["ra"],
    ("slot_machine", "none", "ppo"): {
        "ppo.actor_lr": 1e-2,
        "ppo.critic_lr": 1e-2,
        "ppo.gamma": 0.95,
    },
    ("slot_machine", "ra", "ppo"): {
        "ppo.actor_lr": 1e-2,
        "policy.std": 1.0,
        "ppo.gamma": 0.95,
    },
    # In the recommender all points are as good as random actions; the best is best by chance.
    ("recommender", "none", "ppo"): {
        "ppo.actor_lr": 3e-3,
        "ppo.critic_lr": 3e-2,
        "ppo.gamma": 0.95,
    },
    ("recommender", "ra", "ppo"): {
        "ppo.actor_lr": 1e-3,
        "policy.std": 0.3,
        "ppo.gamma": 0.99,
    },
}
"""Settings by section and name, for each environment, method and algorithm: the best of
results/sweeps by area under the curve, of those that keep what they have learned to the end. They
come from the second round, at the panel's length (`-long`), if there is one."""


def tuned_baseline(environment: str, env: EnvConfig, method: str, algorithm: str) -> RunConfig:
    """Return the configuration of a baseline: defaults with the settings that the search chose."""
    config = default_config(environment, env, method, algorithm, "tuned", total_timesteps=FULL_SIZE)
    return replaced(config, BASELINES[environment, method, algorithm])
