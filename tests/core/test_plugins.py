"""Code from outside: how it is loaded, what it may register, and what is said where it fails."""

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import embrl
from embrl.cli import main
from embrl.core.registry import load_plugin
from embrl.embedding.methods import METHODS, Method
from embrl.embedding.objectives import OBJECTIVES, Objective
from embrl.envs import ENVIRONMENTS
from embrl.envs.gridworld import Gridworld

pytestmark = pytest.mark.usefixtures("quick")

SOURCE = str(Path(embrl.__file__).parents[1])

WORLD = '''
from __future__ import annotations
import dataclasses
import embrl
from embrl.envs.gridworld import Gridworld, GridworldConfig

@embrl.register_environment("meadow")
@dataclasses.dataclass(frozen=True)
class Meadow:
    """A gridworld of few actuators."""
    step_limit: int = 9
    """Steps."""
    def build(self) -> Gridworld:
        return GridworldConfig(actuators=3, bins=10, step_limit=self.step_limit).build()
'''


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a test registers is forgotten after it."""
    for registry in (ENVIRONMENTS, OBJECTIVES, METHODS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(code: str, name: str = "plugin.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    return write


def complaint(capsys, *arguments: str | Path) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("embrl: ")
    assert err.count("\n") == 1, err
    return err.removeprefix("embrl: ").removesuffix("\n")


# Files and modules


def test_a_file_registers_what_is_in_it(write) -> None:
    load_plugin(str(write(WORLD)))
    env = embrl.make("meadow", step_limit=4)
    assert isinstance(env, Gridworld)
    assert env.step_limit == 4
    with pytest.raises(embrl.EmbrlError, match="option of meadow 'step': did you mean step_limit"):
        embrl.make("meadow", step=4)


def test_a_file_may_be_loaded_again_and_the_newest_counts(write) -> None:
    path = write(WORLD)
    load_plugin(str(path))
    before = ENVIRONMENTS["meadow"]
    path.write_text(WORLD.replace("= 9", "= 1234"))
    load_plugin(str(path))
    assert ENVIRONMENTS["meadow"] is not before
    assert ENVIRONMENTS["meadow"]().step_limit == 1234


def test_two_files_of_one_name_are_two_plugins(write) -> None:
    load_plugin(str(write(WORLD, "one/plugin.py")))
    load_plugin(str(write(WORLD.replace('"meadow"', '"pasture"'), "two/plugin.py")))
    assert ENVIRONMENTS["meadow"] is not ENVIRONMENTS["pasture"]
    third = write(WORLD, "three/plugin.py")
    with pytest.raises(embrl.EmbrlError) as error:
        load_plugin(str(third))
    assert str(error.value) == (
        f"plugin {third} line 7: environment meadow already exists: Meadow in "
        f"{third.parents[1] / 'one' / 'plugin.py'}; choose another name"
    )


def test_a_file_that_was_imported_too_is_no_stranger(write, monkeypatch, tmp_path) -> None:
    path = write(WORLD, "meadow_as_module.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    load_plugin("meadow_as_module")
    before = ENVIRONMENTS["meadow"]
    load_plugin(str(path))
    assert ENVIRONMENTS["meadow"] is not before
    del sys.modules["meadow_as_module"]


def test_a_file_finds_the_modules_beside_it_and_runs_once(write) -> None:
    write("speed = 3", "beside_it.py")
    path = write(
        """
        import gymnasium
        from beside_it import speed

        class Mine(gymnasium.Env):
            observation_space = gymnasium.spaces.Discrete(speed)
            action_space = gymnasium.spaces.Discrete(2)

        assert "mine/Mine" not in gymnasium.registry
        gymnasium.register("mine/Mine", entry_point="my_own_envs:Mine")
        """,
        "my_own_envs.py",
    )
    try:
        load_plugin(str(path))
        assert embrl.make("mine/Mine").observation_space.n == 3
    finally:
        gymnasium.registry.pop("mine/Mine", None)


def test_a_plugin_hides_no_module(write) -> None:
    load_plugin(str(write("x = 1", "json.py")))
    assert sys.modules["json"] is json


def test_a_file_that_fails_leaves_no_module(write) -> None:
    before = set(sys.modules)
    with pytest.raises(embrl.EmbrlError):
        load_plugin(str(write("1 / 0")))
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1\n\n1 / 0\n", "line 3: ZeroDivisionError: division by zero"),
        ("import nonesuch\n", "line 1: ModuleNotFoundError: No module named 'nonesuch'"),
        ("from embrl import nonesuch\n", "line 1: ImportError: cannot import name 'nonesuch'"),
        ("def f():\n    return (\n", "line 2: SyntaxError: '(' was never closed"),
        ("if True:\nx = 1\n", "line 2: IndentationError: expected an indented block"),
        ("import sys\nsys.exit('bye')\n", "line 2: SystemExit: bye"),
        ("import json\n\njson.loads('{')\n", "line 3: JSONDecodeError: Expecting property name"),
        ("def f():\n    1 / 0\n\nf()\n", "line 2: ZeroDivisionError"),
        ("raise ValueError('one\\ntwo')\n", "line 1: ValueError: one two"),
        (
            "import embrl\nembrl.register_objective('forward', print)\n",
            "line 2: objective forward already exists: Forward in ",
        ),
    ],
)
def test_what_a_file_raises_is_one_line(write, capsys, code: str, said: str) -> None:
    path = write(code)
    message = complaint(capsys, "--plugin", path, "inspect", "nowhere")
    assert message.startswith(f"plugin {path} {said}")


def test_what_is_not_there_is_named(write, capsys, tmp_path, monkeypatch) -> None:
    missing = tmp_path / "missing.py"
    for path in (missing, tmp_path / "folder" / "missing"):
        assert complaint(capsys, "--plugin", path, "train") == f"plugin file {path} does not exist"
    missing.mkdir()
    assert complaint(capsys, "--plugin", missing, "train").startswith(f"plugin file {missing}")
    text = write("x = 1", "notes.txt")
    said = complaint(capsys, "--plugin", text, "train")
    assert said == f"plugin file must end in .py, got {text}"
    said = complaint(capsys, "--plugin", "nonesuch", "train")
    assert said == "plugin module nonesuch does not exist; a file ends in .py"
    said = complaint(capsys, "--plugin", "embrl.nonesuch", "train")
    assert said.startswith("plugin module embrl.nonesuch does not exist")
    write("x = 1", "meadow.py")
    monkeypatch.chdir(tmp_path)
    said = complaint(capsys, "--plugin", "meadow", "train")
    assert said == "plugin module meadow does not exist; did you mean meadow.py?"


def test_what_a_module_raises_is_one_line(write, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    path = write("x = 1\nimport nonesuch\n", "lacking.py")
    said = complaint(capsys, "--plugin", "lacking", "train")
    assert said.startswith(f"plugin lacking: {path} line 2: ModuleNotFoundError")


# The command line


def test_the_flag_stands_before_the_command_and_as_often_as_needed(write, capsys) -> None:
    plugins_given = [f"--plugin={write(WORLD)}", "--plugin", str(write("x = 1", "other.py"))]
    assert main([*plugins_given, "train", "meadow", "--help"]) == 0
    assert "--env.step-limit" in capsys.readouterr().out
    said = complaint(capsys, "train", "meadow", *plugins_given)
    assert said == "--plugin must precede the command: embrl --plugin FILE.py train ..."
    for arguments in (["--plugin"], ["--plugin="], [*plugins_given, "--plugin"]):
        assert complaint(capsys, *arguments).startswith("--plugin needs a file or a module")


def test_nothing_is_loaded_for_help_or_a_command_that_is_none(write, capsys) -> None:
    broken = write("1 / 0")
    for arguments in ([], ["--help"], ["--version"]):
        assert main(["--plugin", str(broken), *arguments]) == 0
        assert capsys.readouterr().out.startswith("embrl")
    assert "unknown command 'trian'" in complaint(capsys, "--plugin", broken, "trian")


# What may be registered


def build(self: Any) -> None:
    del self


def settings(frozen: bool = True, **fields: tuple[type, Any]) -> type:
    members = [(name, kind, default) for name, (kind, default) in fields.items()]
    return dataclasses.make_dataclass(
        "Settings", members, frozen=frozen, namespace={"build": build}
    )


def loss(model: Any, batch: Any) -> Any:
    del model, batch


class Unset:
    def build(self) -> None: ...


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (3, "must be a frozen dataclass of settings with build(), got 3"),
        (Unset, "must be a frozen dataclass"),
        (settings(frozen=False, x=(int, 1)), "must be a frozen dataclass"),
        (settings(x=(int, 1))(), "must be a frozen dataclass"),
        (dataclasses.make_dataclass("NoBuild", [("x", int, 1)], frozen=True), "with build()"),
        (
            dataclasses.make_dataclass(
                "Unset", [("size", int)], frozen=True, namespace={"build": build}
            ),
            "setting size of environment meadow has no default",
        ),
        (settings(x=(object, object())), "settings of environment meadow must be plain values"),
    ],
)
def test_what_is_no_environment_is_refused(config: Any, said: str) -> None:
    with pytest.raises(embrl.EmbrlError) as error:
        embrl.register_environment("meadow", config)
    assert "environment meadow" in str(error.value)
    assert said in str(error.value)
    assert "meadow" not in ENVIRONMENTS


@pytest.mark.parametrize("objective", [3, dict, "near", (print,)])
def test_what_is_no_objective_is_refused(objective: Any) -> None:
    with pytest.raises(embrl.EmbrlError, match=r"^objective near must be a function "):
        embrl.register_objective("near", objective)
    assert "near" not in OBJECTIVES


def test_what_is_no_method_is_refused() -> None:
    forward: Any = {"forward": 1.0}
    with pytest.raises(embrl.EmbrlError, match=r"^method mine must be a Method, got {'forward'"):
        embrl.register_method("mine", forward)
    with pytest.raises(embrl.EmbrlError, match=r"^method jsae already exists"):
        embrl.register_method("jsae", Method(True, True))
    embrl.register_method("mine", Method(True, True))
    embrl.register_method("mine", Method(True, True))
    with pytest.raises(embrl.EmbrlError, match=r"^method mine already exists"):
        embrl.register_method("mine", Method(False, False))


def test_registering_gives_back_what_was_registered() -> None:
    kind, method = settings(x=(int, 1)), Method(True, True)
    assert embrl.register_environment("one", kind) is kind
    assert embrl.register_environment("two")(kind) is kind
    assert embrl.register_objective("near", loss) is loss

    @embrl.register_objective("nearer")
    class Nearer(Objective): ...

    assert OBJECTIVES["nearer"] is Nearer
    assert embrl.register_method("mine", method) is method
    with pytest.raises(embrl.EmbrlError, match=r"^name of environment must .*'my world'"):
        embrl.register_environment("my world", kind)


# Installed packages


def in_a_new_process(
    code: str, installed: Path, points: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs `code` where a package is installed that has the entry points `points`."""
    about = installed / "worlds-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: worlds\nVersion: 1.0\n")
    lines = [f"{name} = {module}" for name, module in points.items()]
    (about / "entry_points.txt").write_text("\n".join(["[embrl.plugins]", *lines]) + "\n")
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), SOURCE])},
        capture_output=True,
        text=True,
    )


def test_installed_plugins_are_imported_when_a_name_is_missing(write, tmp_path) -> None:
    write(WORLD, "worlds.py")
    write("1 / 0", "broken.py")
    code = """
        import sys
        import embrl
        from embrl.cli import main
        assert main(["--help"]) == 0
        env = embrl.make("gridworld", actuators=3)
        assert not {"worlds", "broken"} & set(sys.modules)
        assert embrl.make("meadow").step_limit == 9
        assert "worlds" in sys.modules
        sys.exit(main(["train", "medow"]))
    """
    found = in_a_new_process(code, tmp_path, {"broken": "broken", "worlds": "worlds"})
    assert found.returncode == 2, found.stderr
    assert found.stderr.startswith("embrl: unknown environment 'medow': did you mean meadow? ")
    place = tmp_path / "broken.py"
    assert found.stderr.endswith(
        f" (The installed plugin broken failed: {place} line 1: ZeroDivisionError: division by "
        "zero)\n"
    )
    assert found.stderr.count("\n") == 1


def test_a_name_that_an_installed_plugin_may_have_is_listed_in_the_help(write, tmp_path) -> None:
    write(WORLD, "worlds.py")
    code = "from embrl.cli import main; main(['train', '--help'])"
    found = in_a_new_process(code, tmp_path, {"worlds": "worlds"})
    assert " meadow," in " ".join(found.stdout.split()), found.stderr
