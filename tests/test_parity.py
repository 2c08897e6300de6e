"""The command line and Python train the same thing."""

import dataclasses
from typing import Any

import pytest

import embrl
from embrl.cli.main import main
from embrl.config.run import HYPERPARAMETERS, RunConfig
from embrl.config.used_settings import unused
from embrl.embedding.methods import METHODS
from embrl.envs import ENVIRONMENTS

IDS = ("CartPole-v1", "FrozenLake-v1", "Pendulum-v1")


class Caught(Exception):
    """Carries the configuration that was to be trained."""


@pytest.fixture
def catch(monkeypatch):
    def run(config: RunConfig, *_: Any, **__: Any) -> None:
        raise Caught(config)

    monkeypatch.setattr("embrl.api.run_training", run)
    monkeypatch.setattr("embrl.cli.train.run_training", run)

    def configs(name: str, flags: list[str], **settings: Any) -> tuple[RunConfig, RunConfig]:
        with pytest.raises(Caught) as by_command:
            main(["train", name, *flags])
        with pytest.raises(Caught) as by_python:
            embrl.train(name, **settings)
        return by_command.value.args[0], by_python.value.args[0]

    return configs


@pytest.mark.parametrize("name", sorted({*ENVIRONMENTS, *IDS} - {"recommender"}))
def test_defaults_are_the_same(catch, name):
    by_command, by_python = catch(name, [])
    assert by_command == by_python
    assert (by_command.method, by_command.algorithm) == ("jsae", "ppo")


@pytest.mark.parametrize("total_timesteps", [1_000, 20_000])
@pytest.mark.parametrize("name", ["gridworld", "FrozenLake-v1", "Pendulum-v1"])
def test_defaults_scale_alike_with_the_budget(catch, name, total_timesteps):
    flags = ["--total-timesteps", str(total_timesteps)]
    by_command, by_python = catch(name, flags, total_timesteps=total_timesteps)
    assert by_command == by_python
    assert by_command.pretrain.timesteps <= 0.2 * total_timesteps


@pytest.mark.parametrize(
    ("name", "actions", "inputs"),
    [
        ("FrozenLake-v1", "original", "both"),
        ("CartPole-v1", "original", "both"),
        ("Pendulum-v1", "original", "both"),
        ("gridworld", "embedded", "embedding"),
    ],
)
def test_few_actions_are_chosen_directly(catch, name, actions, inputs):
    config, _ = catch(name, [])
    assert (config.policy.actions, config.policy.inputs) == (actions, inputs)
    assert config.policy.scale_rewards == (actions == "original")


@pytest.mark.parametrize("settings", ["best", "tuned"])
@pytest.mark.parametrize("algorithm", ["vpg", "ppo", "sac"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_methods_and_algorithms_have_the_same_settings(catch, method, algorithm, settings):
    flags = ["--method", method, "--algorithm", algorithm, "--settings", settings]
    by_command, by_python = catch(
        "gridworld", flags, method=method, algorithm=algorithm, settings=settings
    )
    assert by_command == by_python


def test_the_paper_s_settings_are_the_same(catch):
    flags = ["--algorithm", "vpg", "--settings", "paper"]
    by_command, by_python = catch("gridworld", flags, algorithm="vpg", settings="paper")
    assert by_command == by_python


SECTIONS = (
    "embedding",
    "pretrain",
    "online",
    "policy",
    "rollout",
    "evaluation",
    "exploration",
    HYPERPARAMETERS,
)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_number_is_set_alike(catch, section):
    default, _ = catch("gridworld", [])
    part, ignored = getattr(default, section), unused(default)
    shown = default.algorithm if section == HYPERPARAMETERS else section
    changed = {
        field.name: value + 1
        for field in dataclasses.fields(part)
        if type(value := getattr(part, field.name)) in (int, float)
        and f"{shown}.{field.name}" not in ignored
    }
    assert changed
    flags = [
        word
        for name, value in changed.items()
        for word in (f"--{shown}.{name.replace('_', '-')}", str(value))
    ]
    settings: dict[str, Any] = {section: changed}
    if section == HYPERPARAMETERS:
        settings = {"algorithm": embrl.PPO(**changed)}
    by_command, by_python = catch("gridworld", flags, **settings)
    assert by_command == by_python
    for name, value in changed.items():
        assert getattr(getattr(by_python, section), name) == value


def test_an_object_sets_what_was_given_to_it_alone(catch):
    method = embrl.JSAE(state_dim=5)
    by_command, by_python = catch("gridworld", ["--embedding.state-dim", "5"], method=method)
    assert by_command == by_python
    assert by_python.embedding.action_dim != embrl.EmbeddingConfig().action_dim  # as best has it
