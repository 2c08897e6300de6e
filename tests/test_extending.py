"""docs/extending.md, to the letter: its files, its commands, its Python."""

import dataclasses
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import embrl
from embrl.algorithms import ALGORITHMS
from embrl.cli import main
from embrl.config.defaults import default_config
from embrl.embedding.methods import METHODS
from embrl.embedding.objectives import OBJECTIVES
from embrl.envs import ENVIRONMENTS
from embrl.envs.gridworld import GridworldConfig

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()
EXAMPLES = ("corridor", "translation_objective")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Plain:
    """An algorithm's hyperparameters, as far as defaults and flags need it."""

    rate: float = 0.5
    """How fast."""
    off_policy: ClassVar[bool] = False


@pytest.mark.parametrize("method", ["jsae", "none"])
def test_an_algorithm_is_one_line_and_brings_its_defaults(method: str, capsys, monkeypatch) -> None:
    monkeypatch.setattr(ALGORITHMS, "_entries", {**ALGORITHMS._entries, "plain": Plain})
    assert (
        default_config("gridworld", GridworldConfig(), method, "plain").hyperparameters == Plain()
    )
    flags = ["--method", method, "--algorithm", "plain", "--help"]
    assert main(["train", "gridworld", *flags]) == 0
    assert "--plain.rate FLOAT" in capsys.readouterr().out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where all commands of the page have been run. What they registered is forgotten later."""
    folder = tmp_path_factory.mktemp("extending")
    shutil.copytree(ROOT / "examples", folder / "examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder / "examples"))
        for registry in (ENVIRONMENTS, OBJECTIVES, METHODS):
            patch.setattr(registry, "_entries", dict(registry._entries))
        commands = [line for block in blocks("sh") for line in block.splitlines()]
        assert len(commands) >= 6
        for command in commands:
            program, *arguments = shlex.split(command)
            assert program == "embrl"
            assert main(arguments) == 0, command
        yield folder
    for name in EXAMPLES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_page_shows_the_files_as_they_are(name: str) -> None:
    assert (ROOT / "examples" / f"{name}.py").read_text() in blocks("python")


@pytest.mark.parametrize("name", ["corridor", "translation"])
def test_the_toys_learn(folder: Path, name: str) -> None:
    run = embrl.load(folder / "runs" / name)
    random, best = (run.summary[f"{kind}_return"] for kind in ("random", "best_known"))
    assert random == pytest.approx(-6.1, abs=0.5)
    assert -1 < best < 0
    for final in run.summary["final_return_per_seed"]:
        assert random + 0.5 * (best - random) < final <= best


def test_the_objective_straightens_the_corridor(folder: Path) -> None:
    without, with_it = (
        np.mean([report["state_distance_correlation"] for report in run.folder.quality()])
        for run in (embrl.load(folder / "runs" / name) for name in ("corridor", "translation"))
    )
    assert with_it > without + 0.05


def test_the_pictures_are_drawn(folder: Path) -> None:
    for run in ("corridor", "translation"):
        drawn = {path.name for path in (folder / "runs" / run / "figures").iterdir()}
        assert drawn == {"learning_curve.png", "embedding.png"}


def test_inspect_knows_the_names_of_what_the_corridor_tells(folder: Path, capsys) -> None:
    assert main(["inspect", "runs/corridor"]) == 0  # needs no plugin
    out = capsys.readouterr().out
    assert "cell recovered from X" in out
    assert "distances in E follow the true ones" in out


@pytest.mark.slow
def test_python_comes_to_the_same(folder: Path, capsys) -> None:
    *_, method, python = blocks("python")
    names: dict = {}
    exec(method, names)  # after its plugin's objective has been registered
    assert METHODS["walks"].objectives == (("forward", 1.0), ("translation", 10.0))
    exec(python, names)
    action = int(capsys.readouterr().out.split()[-1])
    assert 0 <= action < 64
    one, two = (embrl.load(folder / "runs" / name) for name in ("python", "translation"))
    assert one.config == two.config
    for name, values in two.metrics.items():
        np.testing.assert_array_equal(one.metrics[name], values)


def test_a_registered_method_is_a_choice_of_the_command_line(folder: Path, capsys) -> None:
    exec(blocks("python")[2])
    plugins = [f"--plugin=examples/{name}.py" for name in EXAMPLES]
    assert main([*plugins, "train", "corridor", "--method", "walks", "--help"]) == 0
    out = capsys.readouterr().out
    assert "none,walks}" in out
    assert "--env.reach" in out
    assert "Cells of the longest walk, 1 to 16." in out
    assert "translation" in out
    assert main([*plugins, "train", "--help"]) == 0
    assert "mountain_car, corridor." in " ".join(capsys.readouterr().out.split())


def test_a_setting_out_of_range_is_named(folder: Path, capsys) -> None:
    flags = ["--plugin", "examples/corridor.py", "train", "corridor", "--env.reach", "17"]
    assert main(flags) == 2
    assert capsys.readouterr().err == "embrl: env.reach is 17: choose 1 to 16\n"


def test_a_run_brings_no_code(folder: Path, capsys, monkeypatch) -> None:
    run = folder / "runs" / "translation"
    policy = embrl.load(run).policy()
    for registry, name in ((OBJECTIVES, "translation"), (ENVIRONMENTS, "corridor")):
        entries = {key: value for key, value in registry._entries.items() if key != name}
        monkeypatch.setattr(registry, "_entries", entries)
        if registry is OBJECTIVES:  # a policy needs no objectives, and nor does a picture
            cells = np.arange(40)
            again = embrl.load(run).policy()
            np.testing.assert_array_equal(again.act(cells, seed=1), policy.act(cells, seed=1))
            assert main(["plot", str(run)]) == 0
            capsys.readouterr()
            assert main(["train", "--resume", "--out", str(run)]) == 2
            said = capsys.readouterr().err
            assert said.startswith("embrl: unknown objective 'translation': ")
            assert "embrl --plugin FILE" in said
    for command in (["plot", str(run)], ["train", "--resume", "--out", str(run)]):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"embrl: {run}/config.json: unknown environment 'corridor': ")
        assert "If a plugin has it, load that: embrl --plugin FILE COMMAND ..." in said
        assert said.count("\n") == 1
    with pytest.raises(embrl.EmbrlError, match="unknown environment 'corridor'"):
        embrl.load(run)
