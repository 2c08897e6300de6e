"""docs/extending.md, to the letter: its files, its commands, its Python."""

import dataclasses
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import pytest
from test_examples import load
from unmeasured import unmeasured

import embrl
from embrl.algorithms import ALGORITHMS
from embrl.algorithms.base import Batch
from embrl.cli import main
from embrl.config.defaults import default_config
from embrl.decoding import DECODERS
from embrl.embedding.methods import METHODS
from embrl.embedding.objectives import OBJECTIVES
from embrl.envs import ENVIRONMENTS
from embrl.envs.gridworld import GridworldConfig

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()
EXAMPLES = ("corridor", "translation_objective")
PLUGINS = ("objective", "decoder", "algorithm")

TINY = shlex.split(
    "--env.bins 10 --env.step-limit 20 --seeds 2 --total-timesteps 6000 --evaluation.every 1800 "
    "--rollout.steps-per-update 200 --rollout.num-envs 10 --evaluation.episodes 5 "
    "--evaluation.final-episodes 10 --pretrain.timesteps 600 --pretrain.gradient-steps 100 "
    "--pretrain.batch-size 64"
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def block(language: str, part: str) -> str:
    """Return the only block with this text in it."""
    (found,) = (text for text in blocks(language) if part in text)
    return found


def commands() -> list[list[str]]:
    """Return the arguments of each command of the page."""
    found = [shlex.split(line) for text in blocks("sh") for line in text.splitlines()]
    assert {program for program, *_ in found} == {"embrl"}
    return [arguments for _, *arguments in found]


def registries() -> list[Any]:
    return [ENVIRONMENTS, OBJECTIVES, METHODS, DECODERS, ALGORITHMS]


@dataclasses.dataclass(frozen=True)
class Plain:
    """Hyperparameters of an algorithm, as far as defaults and flags need them."""

    rate: float = 0.5
    """Learning rate."""
    off_policy: ClassVar[bool] = False


@pytest.mark.parametrize("method", ["jsae", "none"])
def test_an_algorithm_is_one_line_and_brings_its_defaults(method: str, capsys, monkeypatch) -> None:
    monkeypatch.setattr(ALGORITHMS, "_entries", {**ALGORITHMS._entries, "plain": Plain})
    config = default_config("gridworld", GridworldConfig(), method, "plain", "tuned")
    assert config.hyperparameters == Plain()
    flags = ["--method", method, "--algorithm", "plain", "--help"]
    assert main(["train", "gridworld", *flags]) == 0
    assert "--plain.rate FLOAT" in capsys.readouterr().out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder where the page's commands with the corridor have been run.

    What they registered is forgotten afterwards.
    """
    folder = tmp_path_factory.mktemp("extending")
    shutil.copytree(ROOT / "examples", folder / "examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder / "examples"))
        for registry in registries():
            patch.setattr(registry, "_entries", dict(registry._entries))
        run = [words for words in commands() if "examples/plugins/" not in " ".join(words)]
        assert len(run) >= 6
        for arguments in run:
            assert main(arguments) == 0, arguments
        yield folder
    for name in EXAMPLES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", EXAMPLES + tuple(f"plugins/{name}" for name in PLUGINS))
def test_the_page_shows_the_files_as_they_are(name: str) -> None:
    assert (ROOT / "examples" / f"{name}.py").read_text() in blocks("python")


@pytest.fixture
def plugin(request: pytest.FixtureRequest, monkeypatch) -> ModuleType:
    """A plugin of examples/plugins; what it registers is forgotten after the test."""
    for registry in registries():
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    return load(f"plugins/{request.param}")


@pytest.mark.pages
@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("objective", None),
        ("decoder", None),
        ("algorithm", "baseline"),
    ],
)
def test_a_plugin_trains_by_the_command_on_the_page(
    name: str, column: str | None, tmp_path, monkeypatch
) -> None:
    for registry in registries():
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    (arguments,) = (words for words in commands() if f"examples/plugins/{name}.py" in words)
    with unmeasured(references=True):
        assert main([*arguments, *TINY]) == 0
    run = embrl.load(arguments[arguments.index("--out") + 1])
    assert run.summary["final_return_mean"] > run.summary["random_return"] + 0.2
    if column is not None:
        assert np.isfinite(run.metrics[column][run.metrics["timesteps"] > 600]).all()


@pytest.mark.parametrize("plugin", ["algorithm"], indirect=True)
def test_returns_to_go_stop_at_the_end_of_an_episode(plugin: ModuleType) -> None:
    column = jnp.array([[1.0], [2.0], [4.0], [8.0]])
    no = jnp.zeros((4, 1), bool)
    steps = Batch(column, column, column, column, column, no.at[1].set(True), no)
    returns = plugin.returns_to_go(steps, 0.5)
    np.testing.assert_allclose(returns[:, 0], [1 + 0.5 * 2, 2, 4 + 0.5 * 8, 8])


@pytest.mark.parametrize("plugin", ["algorithm"], indirect=True)
@pytest.mark.parametrize(
    "changes", [{"gamma": 1.5}, {"baseline_decay": 1.0}, {"learning_rate": 0.0}]
)
def test_a_plugged_algorithm_names_its_settings(plugin: ModuleType, changes) -> None:
    ((name, value),) = changes.items()
    with pytest.raises(embrl.EmbrlError, match=rf"reinforce\.{name}.*got {value}"):
        plugin.Reinforce(**changes).validate("reinforce")


@pytest.mark.parametrize("plugin", ["decoder"], indirect=True)
def test_by_direction_has_the_largest_cosine(plugin: ModuleType) -> None:
    random = np.random.default_rng(0)
    table, e = random.normal(size=(50, 3)), random.normal(size=(200, 3))
    cosine = e @ table.T / np.linalg.norm(table, axis=1)
    f = plugin.ByDirection()
    found = f(jnp.asarray(table, jnp.float32), jnp.asarray(e, jnp.float32))
    np.testing.assert_array_equal(found, cosine.argmax(1))
    mask = random.random(50) < 0.3
    found = f(jnp.asarray(table, jnp.float32), jnp.asarray(e, jnp.float32), mask=jnp.asarray(mask))
    np.testing.assert_array_equal(found, np.where(mask, cosine, -np.inf).argmax(1))


def corridor_return(policy: embrl.Policy) -> float:
    """Return the mean return of the most likely actions over all 40 cells to start in."""
    walks, cell = np.linspace(-8, 8, 64).round().astype(int), np.arange(40)
    returns, walking = np.zeros(40), np.ones(40, bool)
    for _ in range(20):
        action, _ = policy.predict(cell, deterministic=True)
        cell = np.clip(cell + walks[action], 0, 39)
        away = np.abs(cell - 30)
        returns -= np.where(walking, away / 40, 0.0)
        walking &= away > 0
    return float(returns.mean())


@pytest.mark.pages
@pytest.mark.parametrize("name", ["corridor", "translation"])
def test_the_toys_learn(folder: Path, name: str) -> None:
    run = embrl.load(folder / "runs" / name)
    random, best = (run.summary[f"{kind}_return"] for kind in ("random", "best_known"))
    assert random == pytest.approx(-6.1, abs=0.5)
    assert -1 < best < 0
    for final in run.summary["final_return_per_seed"]:
        assert random + 0.5 * (best - random) < final <= best + 0.05  # episodes are drawn
    for seed in range(len(run.summary["final_return_per_seed"])):
        assert corridor_return(run.policy(seed=seed)) <= best + 0.001  # of every start, once


@pytest.mark.pages
def test_the_objective_straightens_the_corridor(folder: Path) -> None:
    without, with_it = (
        np.mean([report["state_distance_correlation"] for report in run.folder.quality()])
        for run in (embrl.load(folder / "runs" / name) for name in ("corridor", "translation"))
    )
    assert with_it > without + 0.05


@pytest.mark.pages
def test_the_pictures_are_drawn(folder: Path) -> None:
    for run in ("corridor", "translation"):
        drawn = {path.name for path in (folder / "runs" / run / "figures").iterdir()}
        assert drawn == {"learning_curve.png", "embedding.png"}


@pytest.mark.pages
def test_inspect_knows_the_coordinates_of_the_corridor(folder: Path, capsys) -> None:
    assert main(["inspect", "runs/corridor"]) == 0  # needs no plugin
    out = capsys.readouterr().out
    assert "cell" in out


@pytest.mark.pages
@pytest.mark.slow
def test_python_comes_to_the_same(folder: Path, capsys) -> None:
    names: dict = {}
    exec(block("python", "register_method("), names)  # its objective has been registered
    assert METHODS["walks"].objectives == (("forward", 1.0), ("translation", 10.0))
    exec(block("python", "embrl.train("), names)
    action = int(capsys.readouterr().out.split()[-1])
    assert 0 <= action < 64
    one, two = (embrl.load(folder / "runs" / name) for name in ("python", "translation"))
    assert one.config == two.config
    for name, values in two.metrics.items():
        np.testing.assert_array_equal(one.metrics[name], values)


@pytest.mark.pages
def test_a_registered_method_is_a_choice_of_the_command_line(folder: Path, capsys) -> None:
    exec(block("python", "register_method("))
    plugins = [f"--plugin=examples/{name}.py" for name in EXAMPLES]
    assert main([*plugins, "train", "corridor", "--method", "walks", "--help-all"]) == 0
    out = capsys.readouterr().out
    assert "none,walks}" in out
    assert "--env.reach" in out
    assert "Length of the longest walk in cells, 1 to 16." in out
    assert "translation" in out
    assert main([*plugins, "train", "--help"]) == 0
    assert "mountain_car, corridor," in " ".join(capsys.readouterr().out.split())


@pytest.mark.pages
def test_a_setting_out_of_range_is_named(folder: Path, capsys) -> None:
    flags = ["--plugin", "examples/corridor.py", "train", "corridor", "--env.reach", "17"]
    assert main(flags) == 2
    message = capsys.readouterr().err
    assert re.match(r"embrl: env\.reach .*17.*\n$", message)
    assert "16" in message


@pytest.mark.pages
def test_a_run_brings_no_code(folder: Path, capsys, monkeypatch) -> None:
    run = folder / "runs" / "translation"
    policy, cells = embrl.load(run).policy(), np.arange(40)
    for registry, name in ((OBJECTIVES, "translation"), (ENVIRONMENTS, "corridor")):
        entries = {key: value for key, value in registry._entries.items() if key != name}
        monkeypatch.setattr(registry, "_entries", entries)
        if registry is OBJECTIVES:  # neither a policy nor a figure needs objectives
            again = embrl.load(run).policy()
            np.testing.assert_array_equal(again.act(cells, seed=1), policy.act(cells, seed=1))
            assert main(["plot", str(run)]) == 0
            capsys.readouterr()
            assert main(["train", "--resume", "--out", str(run)]) == 2
            message = capsys.readouterr().err
            assert message.startswith("embrl: unknown objective 'translation': ")
            assert "embrl --plugin FILE" in message
    again = embrl.load(run).policy()  # spaces stand in the run
    np.testing.assert_array_equal(again.act(cells, seed=1), policy.act(cells, seed=1))
    assert main(["plot", str(run)]) == 0
    capsys.readouterr()
    assert main(["train", "--resume", "--out", str(run)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("embrl: unknown environment 'corridor': ")
    assert "embrl --plugin FILE COMMAND ..." in message
    assert message.count("\n") == 1
