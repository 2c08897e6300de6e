"""What holds of every algorithm."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from filling import arrays_of
from probes import RoundsUp

from embrl.algorithms import ALGORITHMS
from embrl.algorithms.base import (
    Algorithm,
    Batch,
    EmbeddedActions,
    Experience,
    IndexedActions,
    PolicyConfig,
)
from embrl.algorithms.ppo import PPO
from embrl.algorithms.sac import SAC
from embrl.algorithms.vpg import VPG
from embrl.core.nn import MLP
from embrl.decoding import Identity

SMALL: list[Algorithm] = [
    VPG(ent_coef=-0.1),
    PPO(update_epochs=2, num_minibatches=2, target_kl=0.01),
    SAC(batch_size=8, updates_per_step=0.25, alpha_lr=1e-3),
]
algorithms = pytest.mark.parametrize("hyper", SMALL, ids=lambda hyper: type(hyper).__name__)
unlike = pytest.mark.parametrize(
    "hyper",
    [pytest.param(SMALL[0], marks=pytest.mark.slow), *SMALL[1:]],
    ids=lambda hyper: type(hyper).__name__,
)
"""Without VPG, which is PPO but for its loss."""
internals = pytest.mark.parametrize(
    "internal",
    [
        pytest.param(EmbeddedActions(2), id="points"),
        pytest.param(IndexedActions(4), id="indices", marks=pytest.mark.slow),
    ],
)
CONFIG = PolicyConfig(hidden=(8,))


def steps(key: Any, internal: Any, *shape: int, factors: bool = False) -> Batch:
    """Random ones."""
    keys = jax.random.split(key, 6)
    if factors:
        x, next_x = (jax.random.randint(k, (*shape, 2), 0, 3, jnp.int32) for k in keys[:2])
    else:
        x, next_x = (jax.random.normal(k, (*shape, 3)) for k in keys[:2])
    action = jax.random.randint(keys[2], shape, 0, 4, jnp.int32)
    u: Any = action
    if isinstance(internal, EmbeddedActions):
        u = jax.random.uniform(keys[2], (*shape, internal.d), minval=-0.9, maxval=0.9)
    end = jax.random.uniform(keys[3], shape)
    reward = jax.random.normal(keys[4], shape)
    return Batch(x, u, action, reward, next_x, end < 0.1, (end > 0.1) & (end < 0.2))


def start(hyper: Any, internal: Any, key: Any, features: Any = 3) -> Any:
    f = RoundsUp() if isinstance(internal, EmbeddedActions) else Identity()
    return hyper.start(features, internal, f, CONFIG, key=key)


def update(hyper: Any, internal: Any, learner: Any, key: Any, factors: bool = False) -> Any:
    """An update from steps that depend on nothing but the key."""
    experience = Experience(
        steps(jax.random.fold_in(key, 0), internal, 6, 4, factors=factors),
        lambda key, count: steps(key, internal, count, factors=factors),
        None,
    )
    return hyper.update(learner, experience, jax.random.fold_in(key, 1))


def near(one: Any, other: Any) -> None:
    for a, b in zip(arrays_of(one), arrays_of(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5)


@functools.cache
def compiled(hyper: Any, internal: Any) -> Any:
    """`update`, for all tests of this file."""
    return jax.jit(lambda learner, key: update(hyper, internal, learner, key))


@unlike
@internals
def test_the_same_key_gives_the_same_update_and_another_another(hyper: Any, internal: Any) -> None:
    improve = compiled(hyper, internal)
    learner, key = start(hyper, internal, jax.random.key(0)), jax.random.key(1)
    once, again, other = (improve(learner, k) for k in (key, key, jax.random.key(2)))
    for a, b in zip(arrays_of(once), arrays_of(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(arrays_of(once), arrays_of(other), strict=True))
    assert all(value.shape == () and np.isfinite(value) for value in once[1].values())
    improve(once[0], key)  # what it returns it takes again, without a new compilation
    assert improve._cache_size() == 1


@pytest.mark.slow
@algorithms
def test_compiled_or_not_it_learns_the_same(hyper: Any) -> None:
    internal = EmbeddedActions(2)
    learner, key = start(hyper, internal, jax.random.key(0)), jax.random.key(4)
    with jax.disable_jit():
        plain = update(hyper, internal, learner, key)
    near(compiled(hyper, internal)(learner, key), plain)


@unlike
@internals
def test_seeds_and_settings_side_by_side_learn_what_they_learn_alone(
    hyper: Any, internal: Any
) -> None:
    names = [
        field.name
        for field in dataclasses.fields(hyper)
        if isinstance(getattr(hyper, field.name), float) and field.name != "updates_per_step"
    ]
    assert {"gamma", "actor_lr", "critic_lr"} <= set(names)
    keys = jax.random.split(jax.random.key(3), 2)

    def run(scale: Any, key: Any) -> Any:
        values = {name: scale * getattr(hyper, name) for name in names}
        changed = dataclasses.replace(hyper, **values)
        return update(changed, internal, start(changed, internal, key), key)

    # One program for several settings, too.
    together = jax.jit(jax.vmap(run))(
        np.array([1.0, 1.0, 0.5], np.float32), keys[np.array([0, 1, 1])]
    )
    first, second, slower = (
        jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], together) for i in range(3)
    )
    for one, key in ((first, keys[0]), (second, keys[1])):
        near(one, compiled(hyper, internal)(start(hyper, internal, key), key))
    leaves = zip(jax.tree.leaves(second), jax.tree.leaves(slower), strict=True)
    assert any((a != b).any() for a, b in leaves)


@unlike
def test_features_may_be_looked_up(hyper: Any) -> None:
    # Method RA: raw states, embedded actions.
    internal, key = EmbeddedActions(2), jax.random.key(6)
    learner = start(hyper, internal, key, features=(3, 3))
    after, measures = jax.jit(
        lambda learner: update(hyper, internal, learner, key, factors=True)
    )(learner)  # fmt: skip
    changes = [
        np.abs(new - old).max()
        for old, new in zip(arrays_of(learner.actor), arrays_of(after.actor), strict=True)
    ]
    assert min(changes) > 0.0
    assert np.isfinite(measures["actor_loss"])


def test_the_registry_knows_them() -> None:
    assert {name: ALGORITHMS[name] for name in ALGORITHMS} == {"vpg": VPG, "ppo": PPO, "sac": SAC}
    assert {name: ALGORITHMS[name].off_policy for name in ALGORITHMS} == {
        "vpg": False, "ppo": False, "sac": True,
    }  # fmt: skip


@algorithms
@pytest.mark.parametrize("internal", [EmbeddedActions(2), IndexedActions(4)], ids=["e", "a"])
@pytest.mark.parametrize("chosen", ["auto", "tanh", "relu"])
def test_hidden_layers_have_the_activation_that_is_chosen(hyper, internal, chosen):
    config = PolicyConfig(hidden=(8,), activation=chosen)
    learner = hyper.start(3, internal, Identity(), config, key=jax.random.key(0))
    networks = jax.tree.leaves(learner, is_leaf=lambda part: isinstance(part, MLP))
    found = {part.activation for part in networks if isinstance(part, MLP)}
    usual = jax.nn.relu if isinstance(hyper, SAC) else jnp.tanh
    assert found == {{"auto": usual, "tanh": jnp.tanh, "relu": jax.nn.relu}[chosen]}


@algorithms
@pytest.mark.parametrize("internal", [EmbeddedActions(2), IndexedActions(4)], ids=["e", "a"])
def test_the_last_layer_of_the_actor_begins_as_large_as_set(hyper, internal):
    def layers(**settings: Any) -> Any:
        config = PolicyConfig(hidden=(8,), **settings)
        learner = hyper.start(3, internal, Identity(), config, key=jax.random.key(0))
        parts = jax.tree.leaves(learner.actor, is_leaf=lambda part: isinstance(part, MLP))
        return next(part for part in parts if isinstance(part, MLP)).layers

    small, large = layers(), layers(last_scale=1.0)
    np.testing.assert_array_equal(small[0].weight, large[0].weight)
    np.testing.assert_allclose(small[1].weight, 0.01 * large[1].weight, rtol=1e-5)
