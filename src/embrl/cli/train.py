"""`embrl train ENV`"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro
from rich.console import Console

from embrl import plugins
from embrl.cli.main import STARTED
from embrl.cli.parsing import finish_help, parse, value_of
from embrl.cli.progress import ProgressBar
from embrl.embedding.methods import METHODS, method
from embrl.embedding.objectives import OBJECTIVES
from embrl.envs import ENVIRONMENTS
from embrl.errors import EmbrlError
from embrl.policy import ALGORITHMS
from embrl.training.config import RunConfig, from_json
from embrl.training.run_folder import RunFolder
from embrl.training.runner import train as run
from embrl.training.seeds import prepare_jax
from embrl.training.settings import Settings, default_config

USAGE = """\
usage: embrl train ENV [--method M] [--algorithm A] [--seeds N] [--samples N] [--out RUN] ...
       embrl train --resume --out RUN

Learns an embedding of states and actions from random experience, trains a policy inside it and
writes a run folder. ENV: {names}.

embrl train ENV --help lists all flags of an environment."""


def train(arguments: Sequence[str]) -> None:
    """Parses, trains, says how it went."""
    prepare_jax()
    if not arguments or not {"-h", "--help"}.isdisjoint(arguments):
        plugins.load_installed()  # to be named
    if not arguments or arguments[0].startswith("-"):
        finish_help(arguments, USAGE.format(names=", ".join(ENVIRONMENTS)))
        config, out, resume = _resumed(arguments)
    else:
        config, out, resume = _parsed(arguments[0], arguments[1:])
    console = Console()
    with ProgressBar(console, config) as bar:
        folder = run(config, out, resume=resume, watch=bar.show, started=STARTED)
    _report(folder, console)


@dataclasses.dataclass(frozen=True)
class _Resume:
    out: Path
    """The run folder to go on in."""
    resume: bool = False
    """Go on from its last checkpoint."""


def _resumed(arguments: Sequence[str]) -> tuple[RunConfig, Path, bool]:
    if "--resume" not in arguments:
        raise EmbrlError(
            f"train what? embrl train ENV, where ENV is one of {', '.join(ENVIRONMENTS)}"
        )
    given = parse(_Resume, arguments, "embrl train")
    folder = RunFolder.existing(given.out)
    return from_json(folder.config(), folder.path / "config.json"), given.out, True


def _parsed(environment: str, arguments: Sequence[str]) -> tuple[RunConfig, Path, bool]:
    """The flags' defaults depend on these names, so they are read first."""
    env_class = ENVIRONMENTS[environment]
    method_name = value_of("--method", arguments, "jsae")
    algorithm = value_of("--algorithm", arguments, "vpg")
    settings = value_of("--settings", arguments, "tuned")
    env = parse_env(env_class, environment, arguments)
    default = default_config(environment, env, method_name, algorithm, settings)  # type: ignore[arg-type]
    kind = _flags(default, settings)
    given: Any = parse(kind, arguments, f"embrl train {environment}")
    parts = {
        name: getattr(given, name)
        for name in (field.name for field in dataclasses.fields(RunConfig))
        if hasattr(given, name)
    }
    if "objectives" in parts:
        parts["objectives"] = dict(parts["objectives"])
    return dataclasses.replace(default, **parts), given.out, given.resume


def parse_env(env_class: type, environment: str, arguments: Sequence[str]) -> Any:
    """The environment's own flags alone, which the paper's settings depend on."""
    kind = dataclasses.make_dataclass("Env", [("env", env_class, env_class())], frozen=True)
    mine: list[str] = []
    taking = False
    for argument in arguments:
        if argument.startswith("--"):
            taking = argument.startswith("--env.")
        if taking:
            mine.append(argument)
    return parse(kind, mine, f"embrl train {environment}").env  # type: ignore[attr-defined]


def _flags(default: RunConfig, settings: str) -> type:
    """A dataclass of the flags of `embrl train` for these defaults."""

    def field(name: str, kind: Any, value: Any, text: str) -> tuple[str, Any, Any]:
        return name, Annotated[kind, tyro.conf.arg(help=text)], value

    run_name = f"{default.environment}-{default.method}-{default.algorithm}"
    embeds = method(default.method).embeds
    return dataclasses.make_dataclass(
        "Train",
        [
            field("method", Literal[tuple(METHODS)], default.method, "What is embedded, and how."),
            field(
                "algorithm", Literal[tuple(ALGORITHMS)], default.algorithm, "How the policy learns."
            ),
            field(
                "settings",
                Literal[get_args(Settings)],
                settings,
                "Where the other defaults come from: ours, or the paper as published.",
            ),
            field("seeds", int, default.seeds, "Independent runs, trained side by side."),
            field(
                "samples",
                int,
                default.samples,
                "Environment steps of each seed, pre-training included.",
            ),
            field("seed", int, default.seed, "Where all randomness comes from."),
            field("out", Path, Path("runs") / run_name, "The run folder to write."),
            field(
                "resume",
                tyro.conf.FlagCreatePairsOff[bool],
                False,
                "Go on from the last checkpoint in the run folder.",
            ),
            *(
                [
                    field(
                        "objectives",
                        tuple[tuple[str, float], ...],
                        tuple(default.objectives.items()),
                        "What the embedding is trained to do: names and weights, as in forward 1 "
                        f"reward 0.1. Names: {', '.join(OBJECTIVES)}.",
                    )
                ]
                if embeds
                else []
            ),
            ("env", type(default.env), default.env),
            *([("model", type(default.model), default.model)] if embeds else []),
            *([("fit", type(default.fit), default.fit)] if embeds else []),
            *([("update", type(default.update), default.update)] if embeds else []),
            *([("transfer", type(default.transfer), default.transfer)] if embeds else []),
            ("policy", type(default.policy), default.policy),
            *([("f", type(default.f), default.f)] if embeds else []),
            (
                "hyper",
                Annotated[type(default.hyper), tyro.conf.arg(name=default.algorithm)],
                default.hyper,
            ),
            ("rollout", type(default.rollout), default.rollout),
            ("explore", type(default.explore), default.explore),
            ("evaluation", type(default.evaluation), default.evaluation),
        ],
        frozen=True,
    )


def _report(folder: RunFolder, console: Console) -> None:
    summary = folder.summary()
    interval = ""
    if summary["final_return_ci95"] is not None:  # one seed has none
        interval = " [{:.3f}, {:.3f}]".format(*summary["final_return_ci95"])
    seeds = summary["final_return_per_seed"]
    console.print(
        f"final return {summary['final_return_mean']:.3f}{interval} over {len(seeds)} seeds "
        f"(worst {min(seeds):.3f}, best {max(seeds):.3f}; random {summary['random_return']:.3f}"
        + "".join(
            f"; {name.removesuffix('_return').replace('_', ' ')} {value:.3f}"
            for name, value in summary.items()
            if name.endswith("_return") and name != "random_return" and value is not None
        )
        + f")\n{summary['samples']:,} samples a seed in {summary['wall_s']:.1f} s: "
        f"{summary['samples_per_s']:,.0f} samples a second\n{folder.path}",
        highlight=False,
        soft_wrap=True,
    )
