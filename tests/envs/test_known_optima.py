"""Environments with known optima: what is computed against what is played."""

import subprocess
import sys

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import embrl
from embrl.core.errors import EmbrlError
from embrl.envs.manoeuvres import ManoeuvresConfig, best_return
from embrl.envs.replenishment import JointReplenishmentConfig, policies
from embrl.envs.slot_machine import SlotMachineConfig
from embrl.envs.switches import SwitchesConfig
from embrl.training.evaluation import play


def test_the_exact_return_of_fixed_levels_is_that_of_episodes():
    env = JointReplenishmentConfig(items=3, joint_cost=50.0).build()
    levels = np.array([24, 8, 27])
    played = play(env, lambda *_: jnp.tile(levels, (2000, 1)), jax.random.key(0), 2000).returns
    error = 4 * float(played.std()) / 2000**0.5
    assert policies.base_stock_return(env, levels) == pytest.approx(float(played.mean()), abs=error)


def test_the_optimum_is_above_all_fixed_levels_and_costs_convert():
    env = JointReplenishmentConfig(items=2, joint_cost=0.0, step_limit=30).build()
    levels = policies.best_levels(env)
    best = policies.base_stock_return(env, levels)
    assert 25 <= levels[0] <= 29
    assert 13 <= levels[1] <= 17
    for item in range(2):
        for change in (-1, 1):
            other = levels + change * (np.arange(2) == item)
            assert policies.base_stock_return(env, other) < best
    assert best < policies.optimal_return(env) < best + 10
    raw = JointReplenishmentConfig(items=2, joint_cost=0.0, step_limit=30, reward="cost").build()
    assert policies.cost_of(env, best) == pytest.approx(-policies.base_stock_return(raw, levels))


def test_a_joint_order_pays_once():
    env = JointReplenishmentConfig(items=2, joint_cost=75.0, reward="cost").build()
    state, _ = env.reset(jax.random.key(0))
    key = jax.random.key(1)
    none, one, both = (
        float(env.step(key, state, jnp.array(action))[1].reward)
        for action in ([0, 0], [26, 0], [26, 26])
    )
    assert none - one == pytest.approx(75 + 10 + 1)  # a unit that no demand takes is stored, too
    assert one - both == pytest.approx(10 + 1)


def test_the_optimum_of_manoeuvres_is_reached():
    env = ManoeuvresConfig().build()

    def act(key: object, point: jax.Array, mask: object) -> jax.Array:
        axis = jnp.abs(point).argmax(-1)
        at = jnp.take_along_axis(point, axis[:, None], -1)[:, 0]
        return jnp.stack([2 * axis + (at > 0), jnp.minimum(jnp.abs(at) / 0.4, 1.0)], -1)

    played = play(env, act, jax.random.key(0), 4000).returns
    best = best_return(env, jax.random.key(1), 100_000)
    assert float(played.mean()) == pytest.approx(best, abs=4 * float(played.std()) / 4000**0.5)


def test_forms_of_manoeuvres_agree():
    forms = [
        ManoeuvresConfig(actions=form).build() for form in ("hybrid", "discrete", "continuous")
    ]
    actions = [[3.0, 0.5], 3 * 8 + 3, [0.0] * 3 + [1.0] + [0.0] * 4 + [0.0]]
    key = jax.random.key(0)
    points = [
        env.step(key, env.reset(key)[0], jnp.asarray(action))[1].observation
        for env, action in zip(forms, actions, strict=True)
    ]
    assert np.allclose(points[0], points[1])
    assert np.allclose(points[0], points[2])


def test_the_best_switches_are_all_right():
    env = SwitchesConfig(count=30).build()

    def act(key: object, seen: jax.Array, mask: object) -> jax.Array:
        return jax.vmap(env.best_action)(seen[:, :4].argmax(-1))

    played = play(env, act, jax.random.key(0), 8).returns
    assert played.tolist() == [20.0] * 8


def test_the_slot_machine_as_a_product_is_the_same():
    table, product = SlotMachineConfig().build(), SlotMachineConfig(actions="product").build()
    actions = np.array([0, 7, 1234, 4095])
    digits = np.stack(np.unravel_index(actions, (8, 8, 8, 8)), -1)
    assert (table.turns(jnp.asarray(actions)) == product.turns(jnp.asarray(digits))).all()


def test_gymnasium_makes_them():
    assert embrl.EmbrlError is EmbrlError
    env = gymnasium.make("embrl:embrl/Manoeuvres-v0", step_limit=3)
    first, _ = env.reset(seed=1)
    again, _ = env.reset(seed=1)
    assert (first == again).all()
    ends = [env.step((np.array([1]), np.array([0.25], np.float32)))[3] for _ in range(3)]
    assert ends == [False, False, True]
    with pytest.raises(EmbrlError, match="axes"):
        gymnasium.make("embrl/Manoeuvres-v0", axes=0)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_gymnasium_steps_many_in_one_call(mode):
    envs = gymnasium.make_vec(
        "embrl/Manoeuvres-v0", num_envs=3, autoreset_mode=mode, step_limit=2, actions="discrete"
    )
    first, _ = envs.reset(seed=1)
    again, _ = envs.reset(seed=1)
    assert (first == again).all()
    assert envs.observation_space.contains(first)
    assert len({tuple(row) for row in first}) == 3
    actions = np.array([0, 9, 40])
    second, reward, terminated, truncated, _ = envs.step(actions)
    assert (second != first).any(-1).all()
    assert not truncated.any()
    third, reward, terminated, truncated, infos = envs.step(actions)
    assert truncated.all()
    assert not terminated.any()
    # One by one, with the same move: a step from `second` leads to the last observation.
    env = ManoeuvresConfig(step_limit=2, actions="discrete").build()
    state = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 3))[0]
    state = state._replace(point=jnp.asarray(second))
    keys = jax.random.split(jax.random.key(1), 3)
    _, after = jax.vmap(env.step)(keys, state, jnp.asarray(actions))
    last = third if mode == "NextStep" else np.stack(infos["final_obs"])
    assert last == pytest.approx(np.asarray(after.observation), abs=1e-6)
    assert reward == pytest.approx(np.asarray(after.reward), abs=1e-6)
    if mode == "NextStep":
        begun, reward, _, truncated, _ = envs.step(actions)
        assert (reward == 0).all()
        assert not truncated.any()
    else:
        begun = third
    assert (np.abs(begun - last).max(-1) > 0.4).any()  # farther than one move leads


@pytest.mark.parametrize(
    ("setting", "value"), [("num_envs", 0), ("autoreset_mode", "Disabled"), ("axes", 0)]
)
def test_bad_settings_of_many_are_named(setting, value):
    with pytest.raises(EmbrlError, match=setting):
        gymnasium.make_vec("embrl/Manoeuvres-v0", **{"num_envs": 2, setting: value})


def test_actions_of_another_number_of_environments_are_refused():
    envs = gymnasium.make_vec("embrl/Switches-v0", num_envs=2)
    envs.reset(seed=0)
    with pytest.raises(EmbrlError, match="actions"):
        envs.step(np.zeros((3, 100), np.int32))


@pytest.mark.parametrize("modules", ["embrl, gymnasium", "gymnasium, embrl"])
def test_ids_are_registered_in_either_order_of_imports(modules):
    script = f"import {modules}; assert 'embrl/Switches-v0' in gymnasium.registry"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_capacity_couples_the_items_and_cuts_what_is_ordered_beyond_it():
    env = JointReplenishmentConfig(items=3, joint_cost=0.0, reward="cost", capacity=10).build()
    free = JointReplenishmentConfig(items=3, joint_cost=0.0, reward="cost").build()
    key, seen = jax.random.key(1), jnp.array([25.0, 20.0, -4.0])
    state = env.reset(key)[0]._replace(inventory=seen.astype(jnp.int32))
    for action, ordered in (
        ([0, 0, 0], [0, 0, 4]),
        ([25, 26, 0], [0, 6, 4]),
        ([25, 26, 1], [0, 5, 4]),  # 6 and 5 of 11, of which there are 10
        ([35, 20, 16], [3, 0, 6]),  # 10 and 20
    ):
        rewards = [
            float(each.step(key, state, jnp.array(levels))[1].reward)
            for each, levels in (
                (env, action),
                (free, np.maximum(np.array([25, 20, -4]) + ordered, 0)),
            )
        ]
        assert rewards[0] == rewards[1]
        asked = np.maximum(np.array(action) - np.asarray(seen), 0).sum()
        assert bool(env.is_feasible(seen, jnp.array(action))) == (asked <= 10)
    use = np.asarray(env.resource_use(seen)).reshape(3, -1)
    assert use[:, [0, 20, 30]].tolist() == [[0, 0, 5], [0, 0, 10], [4, 24, 34]]
    short = jnp.array([-50.0, -7.0, 30.0])
    assert env.is_feasible(short, jnp.array([0, 0, 30]))  # although 57 cannot be delivered
    assert not env.is_feasible(short, jnp.array([1, 0, 30]))
    state = state._replace(inventory=short.astype(jnp.int32))
    for _ in range(8):
        state, _ = env.step(key, state, jnp.zeros(3, jnp.int32))
    _, after = env.step(key, state, jnp.zeros(3, jnp.int32))
    assert float(after.observation.min()) == -60.0
    assert env.observation_space.contains(np.asarray(after.observation))
    assert free.is_feasible(seen, jnp.zeros(3)) is None
    with pytest.raises(EmbrlError, match=r"env\.capacity must be .*got -1"):
        JointReplenishmentConfig(capacity=-1).build()


def test_a_capacity_that_never_binds_changes_no_return_and_a_tight_one_costs():
    key = jax.random.key(0)
    free, wide, tight = (
        JointReplenishmentConfig(items=2, joint_cost=0.0, step_limit=30, capacity=capacity).build()
        for capacity in (0, 1_000, 31)
    )
    levels = policies.JointPolicy(*[np.array([27, 15])] * 3)
    returns = [policies.joint_policy_return(env, levels, key, 500) for env in (free, wide, tight)]
    assert returns[0] == returns[1] > returns[2]
    found = tight.references(key)
    assert found["mean_demand_return"] < found["best_known_return"]
    assert returns[2] <= found["best_known_return"] + 2.0
