"""Programs are kept for trainers that are equal, and for no others. Nothing here is compiled."""

import dataclasses
import gc
import weakref

import jax
import numpy as np
import pytest

import embrl
from embrl.config.settings_by_name import replaced
from embrl.decoding.base import DECODERS
from embrl.decoding.nearest import NearestAction
from embrl.embedding.methods import METHODS, Method
from embrl.embedding.objectives import OBJECTIVES
from embrl.envs.gridworld import Gridworld
from embrl.training import kept_programs
from embrl.training.action_inputs import ActionInputs
from embrl.training.replicas import Replicas
from embrl.training.trainer import Trainer


@pytest.fixture(autouse=True)
def nothing_kept():
    kept_programs.forget()
    yield
    kept_programs.forget()


def program(config, method=Trainer.new_agent, env=None, **inputs):
    """Return the compiled function itself, without this run's settings."""
    trainer = Trainer.of(config, env or config.env.build())
    return compiled(Replicas(dataclasses.replace(trainer, **inputs)), method)


def compiled(replicas, method=Trainer.new_agent, **options):
    return replicas.over(method, **options).function


def test_another_seed_and_another_instance_of_the_environment_need_no_new_program(tiny):
    assert program(tiny()) is program(tiny(seed=3))


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": 3},
        {"total_timesteps": 1_400},
        {"policy.hidden": (8,)},
        {"vpg.gamma": 0.5},
        {"env.bins": 12},
        {"env.actuators": 4},
    ],
)
def test_any_other_setting_does(tiny, changes):
    assert program(tiny()) is not program(replaced(tiny(), changes))


def test_so_does_another_order_in_which_losses_are_added(tiny):
    one, two = (
        tiny(objectives=dict(weights))
        for weights in ([("forward", 1.0), ("action", 1.0)], [("action", 1.0), ("forward", 1.0)])
    )
    assert program(one) is not program(two)


def test_and_other_features_of_actions(tiny):
    features = [np.full((8, 1), value, np.float32) for value in (0.0, 0.0, 1.0)]
    of = [program(tiny(), action_inputs=ActionInputs(each)) for each in features]
    assert of[0] is of[1]
    assert of[0] is not of[2]


def test_and_another_method_or_option(tiny):
    assert program(tiny()) is not program(tiny(), Trainer.untrained)
    replicas = Replicas(Trainer.of(tiny(), tiny().env.build()))
    made = compiled(replicas)
    assert made is not compiled(replicas, once=True)
    half = replicas.part(slice(0, 1), jax.devices()[:1])
    assert made is not compiled(half)


def test_a_method_is_known_by_what_it_is_not_by_its_name(tiny, monkeypatch):
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
    METHODS._entries["mine"] = Method(True, True, (("forward", 1.0),))
    mine = dataclasses.replace(tiny(), method="mine")
    before = program(mine)
    assert before is program(mine)
    assert before is not program(tiny())
    METHODS._entries["mine"] = Method(True, True)
    assert before is not program(mine)


def test_of_what_others_define_nothing_is_kept(tiny, monkeypatch):
    """Its source may read what has changed since: it is traced anew, as it always was."""

    class Forward(OBJECTIVES["forward"]):
        pass

    class Nearest(NearestAction):
        pass

    class World(Gridworld):
        pass

    @dataclasses.dataclass(frozen=True)
    class Mine(embrl.VPG):
        pass

    def is_kept(config, **inputs) -> bool:
        return program(config, **inputs) is program(config, **inputs)

    config = tiny()
    assert is_kept(config)
    own = World.__new__(World)
    for name, value in vars(config.env.build()).items():
        object.__setattr__(own, name, value)
    assert not is_kept(config, env=own)
    assert not is_kept(config, custom_objectives={"forward": Forward})
    assert not is_kept(dataclasses.replace(config, hyperparameters=Mine()))
    for registry, name, kind in (
        (OBJECTIVES, "forward", Forward),
        (DECODERS, config.decoder.kind, Nearest),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(registry, "_entries", {**registry._entries, name: kind})
            assert not is_kept(config)


def test_few_are_kept_and_without_the_environment(tiny):
    config = tiny("none")
    trainer = Trainer.of(config, config.env.build())
    for number in range(kept_programs.MOST + 5):
        kept_programs.kept(trainer, (number,), object)
    assert kept_programs._made.cache_info().currsize == kept_programs.MOST
    kept_programs.forget()
    env = weakref.ref(trainer.env)
    function = compiled(Replicas(trainer))
    del trainer
    gc.collect()
    assert env() is None
    assert function is program(config)


def test_what_is_known_of_an_environment_is_measured_once_for_equal_ones(tiny):
    numbers = iter(range(100))

    def known(env, **options) -> int:
        return kept_programs.kept_result(env, tuple(options.items()), lambda: next(numbers))

    settings = tiny().env
    env = settings.build()
    assert known(env) == known(settings.build())
    assert known(env) != known(env, longest=3)
    assert known(env) != known(dataclasses.replace(settings, step_limit=21).build())
    leaf = jax.tree.leaves(env)[0]
    assert known(env) != known(jax.tree.map(lambda each: each + (each is leaf), env))

    class World(Gridworld):
        pass

    own = World.__new__(World)
    for name, value in vars(env).items():
        object.__setattr__(own, name, value)
    assert known(own) != known(own)
