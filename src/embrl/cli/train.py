"""The command `embrl train ENV`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from embrl.cli.flags import configured
from embrl.cli.main import STARTED
from embrl.cli.parsing import finish_help, parse
from embrl.cli.progress import ProgressBar
from embrl.config.run import RunConfig, load_config
from embrl.core.errors import EmbrlError
from embrl.core.registry import load_installed_plugins
from embrl.core.runtime import prepare_jax
from embrl.envs import ENVIRONMENTS
from embrl.storage.run_folder import RunFolder
from embrl.training.loop import train as run_training

USAGE = """\
usage: embrl train ENV [--method M] [--algorithm A] [--seeds N] [--total-timesteps N] [--out RUN]
       embrl train --resume --out RUN [--total-timesteps N]

Learn an embedding of states and actions from random experience, train a policy inside it and write
a run folder. ENV: {names},
or a Gymnasium id, as CartPole-v1 or Ant-v5.

embrl train ENV --help lists all flags of an environment."""


def train(arguments: Sequence[str]) -> None:
    """Parse the flags, train, and print the result."""
    prepare_jax()
    if not arguments or not {"-h", "--help"}.isdisjoint(arguments):
        load_installed_plugins()  # to be named
    if not arguments or arguments[0].startswith("-"):
        finish_help(arguments, USAGE.format(names=", ".join(ENVIRONMENTS)))
        config, out, resume = _resumed(arguments)
    else:
        config, given = configured(arguments[0], arguments[1:], "train")
        out, resume = given.out, given.resume
    console = Console()
    with ProgressBar(console, config) as bar:
        folder = run_training(config, out, resume=resume, on_progress=bar.show, started=STARTED)
    _report(folder, console)


@dataclasses.dataclass(frozen=True)
class _Resume:
    out: Path
    """Run folder to continue in."""
    resume: bool = False
    """Continue from its last checkpoint."""
    total_timesteps: int | None = None
    """Environment steps of each seed to continue to. Default: as it was begun."""


def _resumed(arguments: Sequence[str]) -> tuple[RunConfig, Path, bool]:
    if "--resume" not in arguments:
        raise EmbrlError(
            f"ENV is missing: embrl train ENV, where ENV is one of {', '.join(ENVIRONMENTS)}, or a "
            "Gymnasium id"
        )
    given = parse(_Resume, arguments, "embrl train")
    config = load_config(RunFolder.existing(given.out))
    if config.vary:
        raise EmbrlError(f"{given.out} is a part of a sweep; continue with embrl sweep --resume")
    if given.total_timesteps is not None:
        config = dataclasses.replace(config, total_timesteps=given.total_timesteps)
    return config, given.out, True


def _report(folder: RunFolder, console: Console) -> None:
    summary = folder.summary()
    if "final_return_mean" not in summary:
        raise EmbrlError(
            f"{folder.path} is a part of a sweep, in which seeds {summary['diverged']} diverged"
        )
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
        + f")\n{summary['timesteps']:,} timesteps per seed in {summary['wall_s']:.1f} s: "
        f"{summary['timesteps_per_s']:,.0f} timesteps per second\n{folder.path}",
        highlight=False,
        soft_wrap=True,
    )
