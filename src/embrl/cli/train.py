"""The command `embrl train ENV`."""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console

from embrl import envs
from embrl.cli.main import STARTED
from embrl.cli.parsing import Flag, Switch, asks_for_help, given, parse
from embrl.core.errors import EmbrlError, SettingError
from embrl.core.runtime import prepare_jax
from embrl.report.console import plain_console
from embrl.report.logs import LOGS, make_callbacks
from embrl.storage.run_folder import RunFolder

if TYPE_CHECKING:
    from embrl.config.run import RunConfig


def train(arguments: Sequence[str]) -> None:
    """Parse the flags, train, and print the result."""
    named = bool(arguments) and not arguments[0].startswith("-")
    if not named and "--config" not in given(arguments) and asks_for_help(arguments):
        parse(_Train, arguments, "embrl train", names=envs.listed_names())  # without JAX
    prepare_jax()
    config, out, resume, logs = _configured(arguments, named)
    # It imports all of training, for which neither a help text nor a wrong flag should wait.
    from embrl.report.progress_bar import ProgressBar

    callbacks = make_callbacks(logs)
    console = plain_console()
    with ProgressBar(console, config) as bar:
        folder = run_training(
            config,
            out,
            resume=resume,
            on_progress=bar.show,
            started=STARTED,
            callback=callbacks,
        )
    _report(folder, console)


def run_training(config: "RunConfig", out: Path, **options: Any) -> RunFolder:
    """Train as `embrl.training.loop.train` does, which is imported here."""
    from embrl.training.loop import train as train_run

    return train_run(config, out, **options)


@dataclasses.dataclass(frozen=True)
class _Train:
    """Train an embedding and a policy in it.

    An embedding of states and actions is learned from random experience, and a policy is trained
    inside it; both are written to a run folder.
    """

    env: Annotated[str | None, tyro.conf.Positional] = None
    """Environment, whose settings `embrl train ENV --help` lists: {names}."""
    config: Path | None = None
    """Run folder, or a file like its config.json, that has the settings, instead of ENV."""
    resume: Switch = False
    """Continue the run in the folder --out, instead of ENV."""
    out: Path | None = None
    """Run folder."""
    total_timesteps: int | None = None
    """Environment steps of each seed to train for, or to continue to."""
    log: tuple[str, ...] = ()
    """Logs to write, as `tensorboard`."""


def _configured(
    arguments: Sequence[str], named: bool
) -> "tuple[RunConfig, Path, bool, tuple[str, ...]]":
    """Return the configuration of a run, its folder, whether it is resumed, and its logs."""
    from embrl.cli.flags import configured
    from embrl.config.run import load_config

    if named or "--config" in given(arguments):
        # Flags that say how a run is shown or logged, which are no part of its configuration, go
        # into `extra`.
        environment, rest = (arguments[0], arguments[1:]) if named else (None, arguments)
        log = Flag("log", tuple[str, ...], f"Logs to write: {', '.join(LOGS)}.", ())
        config, own = configured(
            environment, rest, "train", extra=[log], about=_Train.__doc__ or ""
        )
        return config, own.out, own.resume, own.log
    own = parse(_Train, arguments, "embrl train", names=envs.listed_names())
    if not own.resume:
        raise SettingError("ENV", f"one of {envs.listed_names()}", "nothing")
    if own.out is None:
        raise SettingError("--out", "the run folder to continue", "nothing")
    config = load_config(RunFolder.existing(own.out))
    if config.vary:
        raise EmbrlError(f"{own.out} is a part of a sweep; continue with embrl sweep --resume")
    if own.total_timesteps is not None:
        config = dataclasses.replace(config, total_timesteps=own.total_timesteps)
    return config, own.out, True, own.log


def _report(folder: RunFolder, console: Console) -> None:
    if not folder.complete:  # a log of a plugin has stopped it
        console.print(
            f"stopped; continue with embrl train --resume --out {shlex.quote(str(folder.path))}",
            soft_wrap=True,
        )
        return
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
        soft_wrap=True,
    )
