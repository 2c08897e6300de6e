"""What several panels have in common."""

import dataclasses
from collections.abc import Sequence

from embrl.config.defaults import default_config
from embrl.config.paper import PROTOCOLS
from embrl.config.run import RunConfig
from embrl.envs import EnvConfig
from embrl.experiments.baselines import tuned_baseline
from embrl.experiments.panel import Claim, Line, Options

NAMES = {"none": "", "ra": "-RA", "jsae": "-JSAE"}

NOT_STATED = (
    "Not stated in the paper, and chosen here: the gradient steps of pre-training, how often the "
    "policy is evaluated, and lanes (episodes side by side, which go on across epochs).",
)

FEWER_UPDATES = (
    "SAC takes {} updates a sample; the paper's one a sample takes much longer (--full-sac)."
)


def paper_name(method: str, algorithm: str) -> str:
    """As in the paper's legends: VPG, VPG-RA, VPG-JSAE."""
    return f"{algorithm.upper()}{NAMES[method]}"


def published_line(
    environment: str, env: EnvConfig, method: str, algorithm: str, options: Options, size: str = ""
) -> Line:
    """A line of the paper's figure with the paper's settings; `size` stands before its name."""
    config = default_config(environment, env, method, algorithm, settings="paper")
    config = dataclasses.replace(config, seeds=options.seeds)
    label = f"{size} {paper_name(method, algorithm)}".strip()
    return Line(label, config, "published", method, size or algorithm)


def fewer_updates(line: Line, options: Options, updates_per_sample: float) -> Line:
    """The same with as many updates of SAC, unless the paper's one a sample is asked for."""
    if line.config.algorithm != "sac" or options.full_sac:
        return line
    hyper = dataclasses.replace(line.config.hyperparameters, updates_per_step=updates_per_sample)  # type: ignore[call-arg]
    return dataclasses.replace(line, config=dataclasses.replace(line.config, hyper=hyper))


def tuned_lines(
    environment: str, env: EnvConfig, options: Options, size: str = "", algorithm: str = "ppo"
) -> list[Line]:
    """Equally tuned baselines, and ours: one setting for everything."""
    lines = []
    for method in ("none", "ra"):
        config = tuned_baseline(environment, env, method, algorithm)
        label = f"{size} {paper_name(method, algorithm)} (tuned)".strip()
        lines.append(Line(label, _run(config, options), "tuned", method, size or algorithm))
    config = default_config(environment, env, "jsae", algorithm, settings="best")
    label = f"{size} ours".strip()
    lines.append(Line(label, _run(config, options), "ours", "ours", size or algorithm))
    return lines


def _run(config: RunConfig, options: Options) -> RunConfig:
    """With the panel's seeds, and the paper's budget of samples and episodes of evaluation."""
    protocol = PROTOCOLS[config.environment]
    return dataclasses.replace(
        config,
        seeds=options.seeds,
        total_timesteps=protocol.samples,
        evaluation=dataclasses.replace(
            config.evaluation,
            episodes=max(protocol.episodes, config.evaluation.episodes),
            final_episodes=protocol.final_episodes,
        ),
    )


def level(better: str, other: str, margin: float) -> Claim:
    """Final returns that differ by less than `margin`."""
    text = f"{better} level with {other}, final return within {margin:g}"
    return Claim(text, better, other, "final_return", "level", margin)


def ahead(better: str, others: Sequence[str], *, final: bool = True) -> list[Claim]:
    """`better` above each of the others by the area under the curve and perhaps at the end."""
    claims = []
    for other in others:
        claims.append(Claim(f"{better} above {other}, area under the curve", better, other, "auc"))
        if final:
            text = f"{better} above {other}, final return"
            claims.append(Claim(text, better, other, "final_return"))
    return claims
