"""Environments by id and from objects: their settings, their names and what is refused."""

import dataclasses
import json
import threading

import cattrs
import gymnasium
import numpy as np
import pytest
from counting import Counting, configured
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import TimeLimit, TransformObservation

from embrl import envs
from embrl.cli import main
from embrl.config.defaults import default_config
from embrl.config.run import as_json, from_json
from embrl.core.errors import EmbrlError, UnknownNameError
from embrl.envs.gym import GymnasiumConfig, HostEnvironment

CART_POLE = "gymnasium.envs.classic_control.cartpole:CartPoleEnv"


def test_a_name_of_gymnasium_gives_settings_with_that_id():
    kind = envs.kind("CartPole-v1")
    assert GymnasiumConfig in kind.__mro__
    assert kind is envs.kind("CartPole-v1")
    config = kind()
    assert (config.id, config.vector, config.kwargs) == ("CartPole-v1", "sync", ())
    assert envs.is_host(config)
    assert not envs.is_host(configured("gridworld"))
    assert envs.kind("gridworld") is envs.ENVIRONMENTS["gridworld"]
    assert config.build() is kind().build()
    with pytest.raises(EmbrlError, match=r"env.id.*CartPole-v1.*Taxi-v4"):
        kind(id="Taxi-v4")


def test_spaces_in_embrls_forms():
    lake = configured("FrozenLake-v1").build()
    assert (lake.observation_space, lake.action_space) == (spaces.Discrete(16), spaces.Discrete(4))
    assert not configured("FrozenLake-v1").continuous_actions
    pendulum = configured("Pendulum-v1")
    assert pendulum.continuous_actions
    assert pendulum.build().action_space == spaces.Box(-2.0, 2.0, (1,))
    cards = configured("Blackjack-v1").build()
    assert cards.observation_space == spaces.MultiDiscrete([32, 11, 2])


def test_arguments_reach_the_environment():
    kwargs = {"map_name": "8x8", "is_slippery": False}
    config = configured("FrozenLake-v1", kwargs=kwargs)
    assert config.kwargs == (("map_name", "8x8"), ("is_slippery", "False"))
    assert config.arguments == kwargs
    assert config.build().observation_space == spaces.Discrete(64)
    texts = {"a": "1", "b": 1, "c": None, "d": (1, 2.5), "e": "x y"}
    assert configured("CartPole-v1", kwargs=texts).arguments == texts
    hash(config)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kwargs": {"render_mode": "human"}}, "env.kwargs.*render_mode"),
        (
            {"kwargs": {"max_episode_steps": 3}},
            "env.kwargs.*max_episode_steps.*env.max-episode-steps",
        ),
        ({"kwargs": (("a", "1"), ("a", "2"))}, "env.kwargs.*a twice"),
        ({"kwargs": {"a": threading.Lock()}}, "env.kwargs.*a = <unlocked"),
        ({"kwargs": {"wings": 2}}, "CartPole-v1 cannot be made: TypeError.*wings"),
        ({"max_episode_steps": 0}, "env.max-episode-steps.*0"),
        ({"wings": 2}, "unknown option of CartPole-v1 'wings'"),
    ],
)
def test_settings_that_are_refused(options, said):
    with pytest.raises(EmbrlError, match=said) as caught:
        configured("CartPole-v1", **options).build()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CartPole-v7", "unknown environment 'CartPole-v7': did you mean CartPole-v1"),
        ("Pendullum-v1", "did you mean Pendulum-v1"),
        ("cartpole", "did you mean cart_pole or CartPole-v1"),
        ("gridwrold", "did you mean gridworld or continuous_gridworld"),
        ("nobody/QQQQ-v0", "unknown environment"),
        ("os:QQQQ-v0", "os:QQQQ-v0.*embrl --plugin os .*QQQQ-v0"),
        ("CartPole", "did you mean CartPole-v1"),
        ("my_envs/Mine-v0", "unknown environment 'my_envs/Mine-v0': choose from acrobot"),
        ("MiniGrid-Quux-v5", "minigrid .*--plugin minigrid"),
    ],
)
def test_unknown_names_offer_the_nearest_of_both_kinds(name, said):
    with pytest.raises(EmbrlError, match=said):
        envs.kind(name)


def test_an_id_needs_no_version_and_may_name_its_module(monkeypatch):
    for name in ("TradingEnv", "mine/Odd.name"):
        monkeypatch.setitem(gymnasium.registry, name, EnvSpec(name, CART_POLE))
        assert envs.configure(name).id == name  # type: ignore[attr-defined]
        assert envs.configure(f"gym_trading_env:{name}").id == name  # type: ignore[attr-defined]
    env = envs.configure("gym_trading_env:TradingEnv")
    assert default_config("gym_trading_env:TradingEnv", env).environment == "TradingEnv"


def test_a_name_is_never_suggested_for_itself():
    with pytest.raises(EmbrlError) as caught:
        raise UnknownNameError("environment", "Plain", ["Plain", "Plane"])
    assert str(caught.value).startswith("unknown environment 'Plain': did you mean Plane?")


def test_an_unknown_id_in_settings_offers_gymnasiums():
    with pytest.raises(EmbrlError, match="did you mean CartPole-v1"):
        GymnasiumConfig("CartPole-v12").build()
    with pytest.raises(EmbrlError, match=r"QQQQQQQQ.*Gymnasium.*--plugin MODULE"):
        GymnasiumConfig("QQQQQQQQ").build()


def test_a_package_that_is_missing_is_named(monkeypatch):
    def lacking(**_):
        raise gymnasium.error.DependencyNotInstalled("MuJoCo is not installed,\nrun pip")

    def other(**_):
        raise ModuleNotFoundError("No module named 'flax'")

    for name, entry in (("Lacking-v5", lacking), ("Other-v1", other)):
        spec = EnvSpec(name, entry)
        monkeypatch.setitem(gymnasium.registry, name, spec)
    with pytest.raises(EmbrlError, match=r"^Lacking-v5 needs mujoco: pip install 'embrl\[gymn"):
        configured("Lacking-v5").build()
    with pytest.raises(EmbrlError, match=r"^Other-v1 cannot be made: No module named 'flax'$"):
        configured("Other-v1").build()


def test_settings_stand_in_a_run_folder():
    env = configured("Taxi-v4", max_episode_steps=9, kwargs={"is_rainy": True})
    config = default_config("Taxi-v4", env, "none", "ppo", "tuned")
    text = json.dumps(as_json(config))
    assert from_json(json.loads(text), "config.json") == config
    again = cattrs.Converter(forbid_extra_keys=True).structure(
        json.loads(json.dumps(dataclasses.asdict(env))), envs.kind("Taxi-v4")
    )
    assert again == env
    elsewhere = from_json(json.loads(text.replace("Taxi-v4", "Taxi-v99")), "config.json")
    assert dataclasses.asdict(elsewhere.env) == {**dataclasses.asdict(env), "id": "Taxi-v99"}
    with pytest.raises(EmbrlError, match=r"unknown environment 'Taxi-v99'"):
        elsewhere.env.build()


def test_the_command_lists_its_flags(capsys):
    assert main(["train", "CartPole-v1", "--help-all"]) == 0
    said = capsys.readouterr().out
    for flag in ("--env.max-episode-steps", "--env.vector", "--env.kwargs"):
        assert flag in said


def test_from_a_function_and_from_an_environment():
    made = HostEnvironment.of(Counting)
    assert (made.name, made.action_space) == ("Counting", spaces.Discrete(4))
    assert made.observation_space.dtype == np.float32
    registered = gymnasium.make("CartPole-v1", max_episode_steps=2)
    environment = HostEnvironment.of(TransformObservation(registered, lambda x: 2 * x, None))
    assert environment.name == "CartPole-v1"
    with environment.open(1, 0) as parallel:
        assert [parallel.step(np.array([0])).truncated[0] for _ in range(2)] == [False, True]
    counting = Counting(end=9)
    pattern = TimeLimit(counting, 2)  # has no spec: copied as it stands
    pattern.reset(seed=0)
    with HostEnvironment.of(pattern).open(2, 0) as parallel:
        steps = [parallel.step(np.array([0, 0])) for _ in range(2)]
        assert steps[1].truncated.all()
        assert steps[1].observation[:, 1].tolist() == [2, 2]
    assert counting._now[1] == 0  # itself never stepped


def test_what_is_no_environment():
    locked = Counting()
    locked.lock = threading.Lock()  # type: ignore[attr-defined]
    with pytest.raises(EmbrlError, match=r"Counting can be neither.*; pass a function"):
        HostEnvironment.of(locked)
    with pytest.raises(EmbrlError, match="is no environment"):
        HostEnvironment.of(3)  # type: ignore[arg-type]
    with pytest.raises(EmbrlError, match=r"dict\(\).*got dict"):
        HostEnvironment.of(dict)  # type: ignore[arg-type]

    class Watching(Counting):
        def __init__(self):
            super().__init__()
            picture = spaces.Box(0, 255, (84, 84), np.uint8)
            self.observation_space = spaces.Tuple((picture, spaces.Discrete(2)))

    with pytest.raises(EmbrlError, match=r"^Watching: an image must be all of an observation"):
        HostEnvironment.of(Watching)
    with pytest.raises(EmbrlError, match=r"vector.*Counting.*got envpool"):
        HostEnvironment.of(Counting, vector="envpool")
