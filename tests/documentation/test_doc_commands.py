"""Every command on a page is one that embrl takes: flags exist, and values are valid.

Commands are parsed and checked as if they were run, up to where they would begin to work.
"""

import importlib
import importlib.util
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from doc_pages import ROOT, Command, commands, name_of, pages, python_blocks

from embrl.algorithms import ALGORITHMS
from embrl.config.defaults import default_config
from embrl.config.run import as_json
from embrl.decoding import DECODERS
from embrl.embedding.objectives import OBJECTIVES
from embrl.envs import ENVIRONMENTS
from embrl.envs.gridworld import GridworldConfig
from embrl.storage.run_folder import RunFolder

MODULES = (
    *(f"embrl.cli.{name}" for name in ("compare", "export", "fit", "inspect", "play", "plot")),
    *(f"embrl.cli.{name}" for name in ("batch", "predict", "sweep", "train")),
    *(f"embrl.agents.cli.{name}" for name in ("evidence", "fit", "generate", "population")),
    "embrl.explorer.cli",
    "embrl.papers.cli",
    "embrl.serving.cli",
    "embrl.store.cli",
)
PLACEHOLDERS = {
    "A": "1",
    "B": "2",
    "COMMAND": "train",
    "ENV": "gridworld",
    "FIG": "fig3a",
    "FIGURE": "fig3a",
    "FILE": "file.npy",
    "K": "1",
    "LOG": "log.csv",
    "N": "2000",
    "NAME": "gridworld",
    "R": "0.5",
    "RUN": "run",
    "S": "1",
    "SOURCE": "run",
    "downloads/ant": "log.npz",
    "minari:mujoco/ant/expert-v0": "log.npz",
    "transitions.npz": "log.npz",
}
"""What stands for something of the reader's, and for data that is not here."""


PAGES = [page for page in pages("docs", "results") if any(commands(page))]


class Parsed(Exception):
    """Raised where a command has been understood."""


def stop(*_: Any, **__: Any) -> Any:
    raise Parsed


class Mine(gymnasium.Env):
    observation_space = gymnasium.spaces.Discrete(3)
    action_space = gymnasium.spaces.Discrete(4)


@pytest.fixture(scope="module")
def understood(tmp_path_factory):
    """Runs `embrl` up to its work, in a folder with what commands on the pages read."""
    folder = tmp_path_factory.mktemp("commands")
    write_files(folder)
    gymnasium.register("MyEnv-v0", lambda **_: Mine())
    entry = importlib.import_module("embrl.cli.main")
    load = entry._load

    def run(command: Command) -> int:
        try:
            return entry.main([word for each in command.words for word in plain(each)])
        except Parsed:
            return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for registry in (ALGORITHMS, DECODERS, ENVIRONMENTS, OBJECTIVES):
            patch.setattr(registry, "_entries", dict(registry._entries))
        for module in map(importlib.import_module, MODULES):
            names = ["parse", "parse_with_executor"]
            names += ["parse_flags"] * module.__name__.startswith("embrl.agents")
            for name in names:
                if hasattr(module, name):
                    patch.setattr(module, name, stopping(getattr(module, name)))
        patch.setattr(entry, "_load", lambda named: load(list(filter(exists, named))))
        patch.setattr("embrl.training.loop._Run", stop)  # after a run has been validated
        patch.setattr("embrl.cli.fit.learn", stop)
        patch.setattr("embrl.fitting.sources.RunPolicy.of", stop)
        patch.setattr("embrl.sweep.runs.run", stop)
        yield run
    del gymnasium.registry["MyEnv-v0"]


def exists(plugin: str) -> bool:
    return Path(plugin).exists()


def stopping(parse: Any) -> Any:
    def parsed(*args: Any, **options: Any) -> Any:
        parse(*args, **options)
        raise Parsed

    return parsed


def plain(word: str) -> list[str]:
    """Return the word of a command that stands for one of a usage line, if there is one."""
    word = word.strip("[]").partition("|")[0]
    return [] if word in ("", "...") else [PLACEHOLDERS.get(word, word)]


def write_files(folder: Path) -> None:
    shutil.copytree(ROOT / "examples", folder / "examples")
    for page in pages("docs"):
        for block in python_blocks(page):
            first = block.code.partition("\n")[0]
            if first.startswith("# ") and first.endswith(".py"):
                (folder / first.removeprefix("# ")).write_text(block.code)
    env = GridworldConfig()
    config = as_json(default_config("gridworld", env))
    for name in ("run", "runs/first", "runs/source"):
        RunFolder(folder / name).start({"versions": {}, **config})
    np.save(folder / "items.npy", np.eye(4, dtype=np.float32))
    np.save(folder / "excluded.npy", np.array([3, 17]))
    steps = {"observation": np.arange(6) % 3, "action": np.arange(6) % 2}
    columns = {**steps, "terminated": np.arange(6) == 5}
    np.savez(folder / "log.npz", **columns)  # type: ignore[arg-type]
    bought = [(user, (user + step) % 900) for user in range(1000) for step in range(4)]
    if polars := importlib.util.find_spec("polars") and importlib.import_module("polars"):
        cart_pole = {**columns, "observation": [[0.0] * 4] * 6}
        polars.DataFrame(cart_pole).write_parquet(folder / "log.parquet")
    lines = (f"{user},{item},{1 + item},{time}" for time, (user, item) in enumerate(bought))
    titles = "text\n" + "\n".join(f"title {at}" for at in range(4))  # of Mine's actions
    (folder / "titles.csv").write_text(titles)
    said = "\n".join(f"{at // 4},sentence {at % 7} of {at}" for at in range(200))
    (folder / "talk.csv").write_text("conversation,text\n" + said)
    pairs = "\n".join(f"one {at},un {at}" for at in range(50))
    (folder / "pairs.csv").write_text("source,target\n" + pairs)
    (folder / "log.csv").write_text("user,item,price,time\n" + "\n".join(lines))
    sold = (f"{user},{item % 9},2,{time}" for time, (user, item) in enumerate(bought))
    sold = "\n".join(sold)
    (folder / "shop.csv").write_text("user,item,price,sold at\n" + sold)
    (folder / "sales.csv").write_text("user_id,item_id,price,timestamp\n" + sold)


def excused(command: Command) -> list[str]:
    """Return parts of messages that say nothing against a command."""
    parts = ["pip install"]  # of a package that only some need
    if not command.whole:
        parts.append("got nothing")
    first, *rest = command.words
    if first == "--plugin" and not exists(rest[0]):
        parts.append("unknown environment")  # which that plugin would bring
    return parts


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_are_understood(understood, page: Path, capsys):
    wrong = []
    for command in commands(page):
        code = understood(command)
        message = capsys.readouterr().err.strip()
        if code and not any(part in message for part in excused(command)):
            wrong.append(f"{name_of(page)}:{command.line}: {' '.join(command.words)}\n  {message}")
    assert not wrong, "\n".join(wrong)


SCRIPTS = sorted((ROOT / "results").glob("*.sh"))
RECORDER = """#!/usr/bin/env bash
printf '%q ' "$@" >> "$COMMANDS"; echo >> "$COMMANDS"
while [ $# -gt 1 ]; do  # what later lines of a script copy
  [ "$1" = --out ] && mkdir -p "$2" && touch "$2/summary.json"
  shift
done
exit 0
"""
"""Stands in for `embrl` and `python`, and notes what they are called with."""


def script_commands(script: Path, folder: Path) -> list[list[str]]:
    """Return the arguments of each `embrl` that a script calls, in the order of the calls."""
    for path, text in (
        (folder / "results" / script.name, script.read_text()),
        (folder / ".venv/bin/embrl", RECORDER),
        (folder / ".venv/bin/python", "#!/usr/bin/env bash\n"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    noted = folder / "commands"
    environ = {**os.environ, "COMMANDS": str(noted), "LOG": "log.csv"}
    subprocess.run([folder / "results" / script.name], env=environ, check=True)
    return [shlex.split(line) for line in noted.read_text().splitlines()]


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_commands_of_scripts_are_understood(understood, script: Path, tmp_path, capsys):
    found = script_commands(script, tmp_path)
    assert found
    wrong = []
    for words in found:
        command = Command(0, words, True)
        code = understood(command)
        message = capsys.readouterr().err.strip()
        if code and not any(part in message for part in excused(command)):
            wrong.append(f"{' '.join(words)}\n  {message}")
    assert not wrong, "\n".join(wrong)
