"""Entry point of the command line, `embrl COMMAND ...`."""

import gc
import io
import os
import shutil
import sys
import textwrap
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from embrl.core.errors import EmbrlError, EmbrlWarning, SettingError
from embrl.core.registry import Registry, load_plugin
from embrl.core.runtime import CACHE_TROUBLE

STARTED = time.perf_counter()
"""Time at which the command began, as early as Python can tell."""

COMMANDS = Registry(
    "command",
    {
        "train": "embrl.cli.train:train",
        "fit": "embrl.cli.fit:fit",
        "plot": "embrl.cli.plot:plot",
        "compare": "embrl.cli.compare:compare",
        "inspect": "embrl.cli.inspect:inspect",
        "play": "embrl.cli.play:play",
        "export": "embrl.cli.export:export",
        "predict": "embrl.cli.predict:predict",
        "reproduce": "embrl.papers.cli:reproduce",
        "sweep": "embrl.cli.sweep:sweep",
        "batch": "embrl.cli.batch:batch",
        "agents": "embrl.agents.cli:agents",
        "store": "embrl.store.cli:store",
        "serve": "embrl.serving.cli:serve",
        "explore": "embrl.explorer.cli:explore",
    },
)
"""Name to a function of the arguments after it. A new command is one file and one line here."""

# tyro could do this, but it and what the commands import take a hundred times as long as this list.
ABOUT = {
    "train ENV": "Train an embedding and a policy in it.",
    "fit SOURCE": "Train an embedding alone, on an environment or recorded transitions.",
    "plot RUN": "Draw a run's learning curve and its embedding.",
    "compare RUN ...": "Compare runs or panels in a table and two figures.",
    "inspect RUN": "Report the quality of a run's embedding, or of a saved one.",
    "play RUN": "Play whole episodes with a run's policy, and film them.",
    "export RUN": "Export a run's policy to ONNX and to plain NumPy.",
    "predict POLICY FILE": "Write a policy's actions for a file of observations.",
    "reproduce FIGURE": "Reproduce a figure of the paper.",
    "sweep ENV": "Train every point of a grid of settings, and report the best.",
    "batch RUNS.toml": "Train a list of runs, each in a folder of its own.",
    "agents COMMAND": "Collect populations of whole agents, and embed them.",
    "store COMMAND": "Keep embeddings with metadata in a store, and search it.",
    "serve RUN": "Answer observations with a policy's actions, over HTTP.",
    "explore SOURCE": "Write a page in which an embedding can be seen and touched.",
}
"""Arguments of each command, and the first line of its help text."""


def run_subcommand(
    program: str,
    about: str,
    lines: Mapping[str, str],
    commands: Registry,
    arguments: Sequence[str],
) -> None:
    """Run one of the commands of a command, or print the help text that lists them.

    Args:
        program: what precedes them.
        about: description.
        lines: lines of help by command with arguments.
        commands: functions of the remaining arguments, by name.
        arguments: those after `program`.

    Raises:
        EmbrlError: there is no such command.
    """
    if arguments and arguments[0] in HELP:
        print(overview(program, about, lines))
        return
    if not arguments or arguments[0].startswith("-"):
        raise SettingError("COMMAND", f"one of {', '.join(commands)}", "nothing")
    command, *rest = arguments
    commands[command](rest)


def overview(program: str, about: str, commands: Mapping[str, str]) -> str:
    """Return a help text that lists commands.

    Args:
        program: what precedes a command.
        about: description.
        commands: lines of help by command with arguments.
    """
    names = max(map(len, commands))
    width, indent = shutil.get_terminal_size().columns, f"  {program} "
    filled = (
        textwrap.fill(
            text,
            max(80, width),
            initial_indent=f"{indent}{name:<{names}}  ",
            subsequent_indent=" " * (len(indent) + names + 2),
        )
        for name, text in commands.items()
    )
    lines = "\n".join(filled)
    usage, more = f"usage: {program} COMMAND ...", f"{program} COMMAND --help describes each."
    return "\n\n".join((about, usage, lines, more))


INTERRUPTED = {
    "train": "; --resume continues from the last checkpoint",
    "sweep": "; --resume continues from the last checkpoint",
    "agents": "; with --resume, collect and fit continue from what is saved",
    "batch": "; the same command continues from the last checkpoint",
    "reproduce": "; the same command continues from the last checkpoint",
}
"""Hint after an interruption, for commands that save their progress."""

GARBAGE_AFTER = 100_000
"""Number of new objects after which Python looks for garbage, in place of its 700."""

HELP = ("-h", "--help", "--help-all")

FLAG = "--plugin"
"""The one flag that precedes the command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0, or 2 for bad input, after one line on standard error that says what is
        wrong, where, and what to do.
    """
    # Importing and tracing make objects by the million, nearly all of which stay.
    gc.set_threshold(GARBAGE_AFTER)
    arguments = [_expanded(each) for each in (sys.argv[1:] if arguments is None else arguments)]
    if isinstance(sys.stdout, io.TextIOWrapper):  # a path may have bytes that are no characters
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            _show_warnings_in_one_line()
            _run(arguments)
        sys.stdout.flush()
    except EmbrlError as error:
        print(f"embrl: {error}", file=sys.stderr)
        return 2
    except SystemExit as exit_:  # help was asked for
        return int(exit_.code or 0)
    except KeyboardInterrupt:
        print(f"embrl: interrupted{INTERRUPTED.get(_command(arguments), '')}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `embrl ... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor fail at exit
        return 141
    except OSError as error:  # of a file that a user named
        if error.strerror is None:
            raise
        named = "" if error.filename is None else f"{error.filename}: "
        print(f"embrl: {named}{error.strerror}", file=sys.stderr)
        return 2
    return 0


def _expanded(argument: str) -> str:
    """Expand `~/` to the home folder, as a shell does except in quotes and behind `=`."""
    flag, equals, value = (
        argument.partition("=") if argument.startswith("--") else ("", "", argument)
    )
    if value == "~" or value.startswith("~/"):
        value = os.path.expanduser(value)  # noqa: PTH111 (pathlib's raises errors)
    return flag + equals + value


def _show_warnings_in_one_line() -> None:
    """Show embrl's warnings as its errors are shown, without the line of code that gave them."""
    before = warnings.showwarning
    warnings.simplefilter("always", EmbrlWarning)  # each is given once
    # Where many commands run at once, JAX may not get at the programs that it has kept, and
    # compiles them again: that costs some time and nothing else.
    warnings.filterwarnings("ignore", CACHE_TROUBLE, UserWarning)

    def show(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, EmbrlWarning):
            print(f"embrl: warning: {message}", file=sys.stderr)
        else:
            before(message, category, *place, **more)

    warnings.showwarning = show


def _command(arguments: list[str]) -> str:
    return _without_plugins(arguments)[1][0]


def _run(arguments: list[str]) -> None:
    named, (command, *rest) = _without_plugins(arguments)
    if command in HELP:
        print(overview("embrl", "embrl: embeddings for reinforcement learning", ABOUT))
        print(f"embrl {FLAG} FILE.py COMMAND ... first loads a plugin.")
        print("embrl --version tells the version.")
        return
    if command == "--version":
        from importlib.metadata import version

        print(f"embrl {version('embrl')}")
        return
    if command in COMMANDS and named:
        _load(named)
    COMMANDS[command](rest)


def _load(named: list[str]) -> None:
    from embrl.core.runtime import prepare_jax

    prepare_jax()  # first: a plugin may put JAX to work
    for source in named:
        load_plugin(source)


def _without_plugins(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split arguments into plugins and the command."""
    named: list[str] = []
    rest = list(arguments)
    while rest and rest[0].partition("=")[0] == FLAG:
        first = rest.pop(0)
        _, given, source = first.partition("=")
        if not given and rest:
            source = rest.pop(0)
        if not source:
            raise EmbrlError(f"{FLAG} needs a file or a module: embrl {FLAG} FILE.py COMMAND ...")
        named.append(source)
    if any(argument.partition("=")[0] == FLAG for argument in rest):
        raise EmbrlError(f"{FLAG} must precede the command: embrl {FLAG} FILE.py {rest[0]} ...")
    return named, rest or ["--help"]
