"""Help texts: short, complete on request, and without what has no effect."""

import re
import subprocess
import sys

import pytest

from embrl.agents.cli import ABOUT as AGENTS_ABOUT
from embrl.agents.cli import COMMANDS as AGENTS_COMMANDS
from embrl.cli import main
from embrl.cli.flags import configured
from embrl.cli.main import ABOUT, COMMANDS
from embrl.config.run import as_json
from embrl.config.used_settings import settings_of_decoder, unused
from embrl.decoding.base import DECODERS
from embrl.embedding.methods import METHODS
from embrl.envs import ENVIRONMENTS
from embrl.store.cli import ABOUT as STORE_ABOUT
from embrl.store.cli import COMMANDS as STORE_COMMANDS

LINES, WIDTH = 60, 80

PLAIN = [
    *("method", "algorithm", "settings", "seeds", "total_timesteps", "seed"),
    *("out", "resume", "config", "log"),
]
"""Flags without a section."""
ALIKE = {"acrobot", "mountain_car"}
"""Environments whose settings are plain numbers, as those of cart_pole are."""


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", str(WIDTH))


def help_of(capsys, *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def names_in(text: str) -> list[str]:
    """Names of the flags that a help text explains, as they are in Python.

    Lists of lists have a flag for each item, with its number.
    """
    found = re.findall(r"^[│ ] --([a-z][a-z0-9.-]*)", text, re.MULTILINE)
    found = [name for name in found if name != "help-all" and not re.search(r"\.[1-9]\d*$", name)]
    return [name.removesuffix(".0").replace("-", "_") for name in found]


@pytest.mark.parametrize(
    "choice",
    [
        *([name] for name in (*ENVIRONMENTS, "CartPole-v1", "Pendulum-v1") if name not in ALIKE),
        *(["gridworld", "--method", name] for name in METHODS if name != "jsae"),
        *(["gridworld", "--algorithm", name] for name in ("vpg", "sac")),
        *(["gridworld", "--method", "none", "--algorithm", name] for name in ("vpg", "sac")),
        ["gridworld", "--settings", "paper", "--algorithm", "vpg"],
    ],
    ids=" ".join,
)
def test_help_is_short_and_help_all_has_each_setting_with_an_effect_once(capsys, choice):
    few = help_of(capsys, "train", *choice, "--help")
    assert few.rstrip("\n").count("\n") < LINES
    every = help_of(capsys, "train", *choice, "--help-all")
    config, _ = configured(choice[0], choice[1:], "train")
    hidden = unused(config)
    settings = [
        f"{section}.{name}"
        for section, part in as_json(config).items()
        if isinstance(part, dict) and section != "objectives"
        for name in part
    ]
    objectives = ["objectives"] if METHODS[config.method].embeds else []
    expected = [*PLAIN, *objectives, *(name for name in settings if name not in hidden)]
    assert sorted(names_in(every)) == sorted(expected)
    common = names_in(few)
    assert set(common) < set(expected)
    assert f"--{config.algorithm}.actor-lr" in few
    assert len(common) == len(set(common)) <= 21


@pytest.mark.parametrize(
    ("choice", "there", "not_there"),
    [
        ([], ["decoder.kind", "transfer.run"], ["decoder.k", "transfer.keep", "echo.tie", "sac."]),
        (["--decoder.kind", "softmax"], ["decoder.temperature"], ["decoder.k", "decoder.scorer"]),
        (["--algorithm", "sac"], ["rollout.buffer_size"], ["policy.credit", "ppo.clip_range"]),
        (
            ["--method", "ra"],
            ["embedding.inverse_hidden"],
            ["embedding.state_dim", "policy.inputs"],
        ),
        (
            ["--method", "none"],
            ["policy.hidden", "embedding.image_layers"],
            ["embedding.state_dim", "embedding.action_dim", "online.", "policy.std"],
        ),
        (["--transfer.run", "RUN"], ["transfer.keep", "transfer.policy"], ["transfer.min_std"]),
        (["--exploration.bonus", "0"], ["exploration.bonus"], ["exploration.until"]),
        (["--online.every", "0"], ["online.every"], ["online.until", "rollout.buffer_size"]),
    ],
)
def test_other_choices_decide_what_is_explained(capsys, choice, there, not_there):
    names = names_in(help_of(capsys, "train", "gridworld", *choice, "--help-all"))
    assert set(there) <= set(names)
    sections = tuple(name for name in not_there if name.endswith("."))
    assert not [name for name in names if name in not_there or name.startswith(sections)]


@pytest.mark.parametrize("kind", DECODERS)
def test_decoders_say_which_settings_they_read(kind):
    expected = {
        "nearest": {"candidates", "max_visits"},
        "wolpertinger": {"k", "candidates", "scorer", "max_visits"},
        "best": {"scorer"},
        "softmax": {"temperature"},
        "learned": {"gradient_steps", "learning_rate"},
    }
    if kind in expected:  # plugins of other tests are registered, too
        assert settings_of_decoder(kind) == expected[kind]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["--decoder.k", "8"],
            "decoder.k must be left out with decoder.kind nearest, which ignores it, got 8",
        ),
        (["--echo.tie"], "echo.tie must be left out with environment gridworld"),
        (["--sac.tau", ".1"], "sac.tau must be left out with algorithm ppo"),
        (
            ["--method", "none", "--embedding.state-dim", "3"],
            "embedding.state_dim must be left out",
        ),
        (["--method", "none", "--objectives", "state", "1"], "objectives must be left out"),
        (["--embedding.no-action-network"], "embedding.action_network must be left out"),
        (["--transfer.keep", "states"], "transfer.keep must be left out with no transfer.run"),
        (["--online.every=0", "--online.until=.5"], "online.until must be left out"),
    ],
)
def test_a_flag_without_effect_is_refused(capsys, flags, said):
    assert main(["train", "gridworld", *flags]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.count("\n") == 1


def test_what_is_used_with_another_choice_is_taken():
    flags = ["--decoder.kind", "softmax", "--decoder.temperature", ".1", "--transfer.run", "RUN"]
    config, _ = configured("gridworld", [*flags, "--transfer.keep", "states"], "train")
    assert config.decoder.temperature == 0.1
    assert config.transfer.keep == "states"


@pytest.mark.parametrize(
    ("command", "width"), [("train", "80"), ("train", "120"), ("sweep", "80"), ("fit", "80")]
)
def test_help_of_commands_that_make_a_run(capsys, monkeypatch, command, width):
    monkeypatch.setenv("COLUMNS", width)
    few = help_of(capsys, command, "gridworld", "--help")
    assert few.rstrip("\n").count("\n") < LINES
    assert "--help-all" in few
    every = names_in(help_of(capsys, command, "gridworld", "--help-all"))
    assert set(names_in(few)) < set(every)
    general = help_of(capsys, command, "--help")
    assert all(name in general for name in ENVIRONMENTS)


def test_help_of_recorded_data_needs_no_data(capsys):
    few = names_in(help_of(capsys, "fit", "nowhere.npz", "--help"))
    assert {"states", "actions", "embedding.state_dim"} <= set(few)
    assert "rollout.num_envs" not in few


@pytest.mark.parametrize(
    ("program", "about", "commands"),
    [
        ([], ABOUT, COMMANDS),
        (["agents"], AGENTS_ABOUT, AGENTS_COMMANDS),
        (["store"], STORE_ABOUT, STORE_COMMANDS),
    ],
    ids=["embrl", "embrl agents", "embrl store"],
)
def test_the_overview_has_the_first_line_of_each_help_text(capsys, program, about, commands):
    overview = help_of(capsys, *program, "--help")
    assert {name.split()[0] for name in about} == set(commands)
    for name, text in about.items():
        assert text in " ".join(overview.split())
        assert text in help_of(capsys, *program, name.split()[0], "--help")


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [(["--help"], {"tyro", "jax", "numpy", "rich"}), (["train", "--help"], {"jax", "gymnasium"})],
)
def test_help_before_an_environment_is_named_needs_no_jax(arguments, heavy):
    code = (
        f"import sys; from embrl.cli import main; main({arguments}); "
        f"assert not {heavy} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_help_of_an_environment_waits_neither_for_training_nor_for_a_compiler():
    code = (
        "import sys, jax; from embrl.cli import main; events = []; "
        "listen = jax.monitoring.register_event_duration_secs_listener; "
        "listen(lambda name, *_, **__: events.append(name)); "
        "main(['train', 'gridworld', '--help']); "
        "assert not {'optax', 'scipy', 'embrl.training.loop'} & set(sys.modules); "
        "assert not [name for name in events if 'compile' in name], events"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
