"""The slot machine against its facts, against plain Python and against exact expectations."""

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from embrl.core.errors import EmbrlError
from embrl.core.spaces import action_count
from embrl.data.rollout import open_envs, random_transitions
from embrl.envs import configure
from embrl.envs.slot_machine import SlotMachine, SlotMachineConfig, best_return
from embrl.report.environment_pictures import picture_of

KEY = jax.random.key(0)
REELS = ((2, 3, 6, 7, 0, 4), (3, 4, 6, 2, 1, 7), (1, 6, 5, 3, 4, 7), (5, 1, 4, 2, 6, 0))
ADVANCES = (0, 0, 1, 1, 2, 3, 3, 4)
"""Of a reel of six places."""

step = jax.jit(lambda env, state, action: env.step(KEY, state, action))


@pytest.fixture(scope="module")
def machine() -> SlotMachine:
    return SlotMachineConfig().build()


def action_of(*fractions: int, base: int = 8) -> int:
    """The action that turns each reel by one of its fractions."""
    return sum(k * base**at for at, k in enumerate(reversed(fractions)))


def payout(shown: list[int]) -> int:
    """As the facts page has it."""
    return sum(value * shown.count(value) for value in set(shown) if shown.count(value) >= 3)


def test_a_trajectory_by_hand(machine: SlotMachine) -> None:
    state, seen = machine.reset(KEY)
    np.testing.assert_array_equal(seen, [0, 0, 0, 0])
    for fractions, pointers, reward in [
        # Nothing moves, neither by 0 nor by .1 of six places; 2 3 1 5 are shown.
        ((0, 1, 0, 1), (0, 0, 0, 0), 0),
        # By 2, 2, 1, 4 places: 6 6 6 6.
        ((4, 4, 2, 7), (2, 2, 1, 4), 24),
        # All stay, and pay again.
        ((0, 0, 1, 1), (2, 2, 1, 4), 24),
        # The second reel goes on to 2: 6 2 6 6.
        ((0, 3, 0, 0), (2, 3, 1, 4), 18),
        # By 1, 2, 4, 0 places: 7 7 7 6.
        ((2, 4, 7, 0), (3, 5, 5, 4), 21),
        # By 3, 3, 3, 3 places, three reels past their ends: 2 6 5 1.
        ((5, 6, 5, 6), (0, 2, 2, 1), 0),
        # By 4, 0, 0, 4 places: 0 6 5 0, of which there are only two.
        ((7, 0, 0, 7), (4, 2, 2, 5), 0),
    ]:
        before = state
        state, after = step(machine, state, jnp.int32(action_of(*fractions)))
        np.testing.assert_array_equal(state.pointers, pointers)
        np.testing.assert_array_equal(after.observation, pointers)
        assert after.reward == reward
        assert state.steps == before.steps + 1
        assert not after.terminated
        assert not after.truncated


def test_the_first_reel_is_the_most_significant_digit(machine: SlotMachine) -> None:
    for action, turned in [(7, [0, 0, 0, 4]), (2 * 8**3, [1, 0, 0, 0]), (0o4257, [2, 1, 3, 4])]:
        np.testing.assert_array_equal(machine.turns(jnp.int32(action)), turned)
    np.testing.assert_array_equal(machine.advances, [ADVANCES] * 4)


def test_every_action_is_its_digits(machine: SlotMachine) -> None:
    expected = list(itertools.product(ADVANCES, repeat=4))
    np.testing.assert_array_equal(machine.turns(jnp.arange(4096)), expected)
    assert len(set(expected)) == 625
    assert machine.action_space == spaces.Discrete(4096)
    assert machine.observation_space == spaces.MultiDiscrete([6, 6, 6, 6])


@pytest.mark.parametrize("length", [1, 2, 3, 7, 10, 90, 170])
def test_fractions_are_rounded_down_in_whole_numbers(length: int) -> None:
    # Floats would not do: 7 / 10 * 90 lies below 63, and so does 7 / 10 * 170 below 119.
    env = SlotMachineConfig(reels=((0,) * length,) * 3, fractions=10).build()
    expected = [next(n for n in range(length + 1) if 10 * (n + 1) > k * length) for k in range(10)]
    np.testing.assert_array_equal(env.advances, [expected] * 3)


def test_every_state_pays_what_it_should(machine: SlotMachine) -> None:
    states = np.array(list(itertools.product(range(6), repeat=4)), np.int32)
    paid = jax.jit(jax.vmap(machine.payout))(states)
    expected = [payout([REELS[i][p] for i, p in enumerate(state)]) for state in states]
    np.testing.assert_array_equal(paid, expected)
    assert max(expected) == 24
    assert np.count_nonzero(expected) == 66


def test_several_values_can_pay_at_once() -> None:
    reels = ((5, 0), (5, 1), (5, 2), (2, 0), (2, 0), (2, 0), (9, 9))
    env = SlotMachineConfig(reels=reels, fractions=6).build()
    assert env.payout(jnp.zeros(7, jnp.int32)) == 21
    assert env.payout(jnp.array([0, 0, 1, 0, 0, 0, 0])) == 8  # 5 5 2 2 2 2 9
    assert env.payout(jnp.array([0, 1, 0, 0, 0, 1, 1])) == 0  # 5 1 5 2 2 0 9


def test_reels_of_different_lengths_turn_by_their_own() -> None:
    reels = ((1, 2), (1, 2, 3, 4, 5), tuple(range(12)), (7,))
    env = SlotMachineConfig(reels=reels, fractions=8).build()
    assert env.observation_space == spaces.MultiDiscrete([2, 5, 12, 1])
    state = env.reset(KEY)[0]._replace(pointers=jnp.array([1, 4, 9, 0], jnp.int32))
    state, _ = step(env, state, jnp.int32(action_of(7, 7, 7, 7)))  # 1.4, 3.5, 8.4, .7 places
    np.testing.assert_array_equal(state.pointers, [0, 2, 5, 0])


@st.composite
def machines(draw: st.DrawFn) -> SlotMachineConfig:
    # Always reels of four and three places: one compilation.
    reel = st.integers(0, 3)
    lengths = (4, 3, 4, 3, 4)
    reels = tuple(tuple(draw(st.lists(reel, min_size=n, max_size=n))) for n in lengths)
    return SlotMachineConfig(reels=reels, fractions=8, step_limit=5)


@settings(max_examples=25, deadline=None)
@given(machines(), st.lists(st.integers(0, 8**5 - 1), min_size=6, max_size=6))
def test_steps_are_those_of_plain_python(config: SlotMachineConfig, actions: list[int]) -> None:
    env = config.build()
    state, _ = env.reset(KEY)
    pointers = [0] * 5
    for steps, action in enumerate(actions, start=1):
        state, after = step(env, state, jnp.int32(action))
        digits = [int(digit) for digit in f"{action:05o}"]
        pointers = [
            (p + int(len(reel) * k / 10)) % len(reel)
            for p, k, reel in zip(pointers, digits, config.reels, strict=True)
        ]
        np.testing.assert_array_equal(after.observation, pointers)
        shown = [reel[p] for reel, p in zip(config.reels, pointers, strict=True)]
        assert after.reward == payout(shown)
        assert bool(after.truncated) == (steps >= 5)
        assert not after.terminated


def test_episodes_are_truncated_at_the_limit_and_start_anew(machine: SlotMachine) -> None:
    played = jax.jit(lambda: random_transitions(machine, KEY, 41 * 3, 3))()
    np.testing.assert_array_equal(played.truncated[:, 0], np.arange(1, 42) % 20 == 0)
    assert not played.terminated.any()
    np.testing.assert_array_equal(played.observation[::20], 0)
    # The last observation of an episode is where it really ended, not where the next began.
    turned = machine.turns(played.action)
    np.testing.assert_array_equal(played.next_observation, (played.observation + turned) % 6)


def test_the_best_return_is_480(machine: SlotMachine) -> None:
    assert machine.references(KEY) == {"best_known_return": 480.0}
    # By hand: four sixes in the first step, and then to stay, for 20 x 24.
    state, _ = machine.reset(KEY)
    total = 0.0
    for at in range(20):
        state, after = step(machine, state, jnp.int32(0 if at else action_of(4, 4, 2, 7)))
        total += float(after.reward)
        assert after.truncated == (at == 19)
    assert total == 480.0


def test_the_best_return_is_that_of_search_over_all_states_and_actions() -> None:
    # Values that lie far apart around the reels, and only turns by 0 to .2: the way counts.
    config = SlotMachineConfig(
        reels=((1, 0, 0, 0, 9, 0, 3), (1, 0, 2, 0, 0, 9, 3), (1, 9, 0, 0, 0, 2, 3)),
        fractions=3,
    )
    for limit in (1, 2, 5, 9):
        env = dataclasses.replace(config, step_limit=limit).build()
        states = list(itertools.product(range(7), repeat=3))
        worth = dict.fromkeys(states, 0)
        effects = list(itertools.product((0, 1), repeat=3))
        for _ in range(limit):
            arriving = {
                s: worth[s] + payout([config.reels[i][p] for i, p in enumerate(s)]) for s in states
            }
            worth = {
                s: max(
                    arriving[tuple((p + e) % 7 for p, e in zip(s, es, strict=True))]
                    for es in effects
                )
                for s in states
            }
        assert best_return(env) == worth[0, 0, 0]
    assert worth[0, 0, 0] > 9 * 3  # more than to stay


def test_there_is_no_reference_where_the_states_are_too_many() -> None:
    env = SlotMachineConfig(reels=(tuple(range(100)),) * 4).build()
    assert env.references(KEY) == {}


def test_random_returns_are_as_expected(machine: SlotMachine) -> None:
    # Reels turn independently, so where they stand is known exactly at every step.
    turn = np.bincount(ADVANCES, minlength=6) / 8
    at = np.eye(6)[0]
    pays = np.array([payout(list(shown)) for shown in itertools.product(*REELS)]).reshape([6] * 4)
    expected = 0.0
    for _ in range(20):
        at = sum(chance * np.roll(at, places) for places, chance in enumerate(turn))
        expected += float(np.einsum("abcd,a,b,c,d", pays, at, at, at, at))
    assert expected == pytest.approx(13.33, abs=0.01)  # the facts page: about 13.3
    lanes = 4000
    played = jax.jit(lambda: random_transitions(machine, KEY, 20 * lanes, lanes))()
    returns = np.asarray(played.reward).sum(axis=0)
    # Four standard errors: a wrong alarm once in 16,000 keys, and the key is fixed.
    assert returns.mean() == pytest.approx(expected, abs=4 * returns.std() / np.sqrt(lanes))


def test_action_effects_are_angles_of_turning(machine: SlotMachine) -> None:
    effects = np.asarray(machine.action_effects())
    turns = np.asarray(machine.turns(jnp.arange(4096)))
    assert effects.shape == (4096, 8)
    assert effects.dtype == np.float32
    angles = turns * np.pi / 3
    expected = np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(4096, 8)
    np.testing.assert_allclose(effects, expected, atol=1e-6)
    # Equal to the last bit where they do the same, and only there.
    _, kinds = np.unique(turns, axis=0, return_inverse=True)
    _, same = np.unique(effects, axis=0, return_inverse=True)
    assert len(set(zip(kinds.ravel().tolist(), same.ravel().tolist(), strict=True))) == 625
    assert same.max() == kinds.max() == 624


def test_state_coordinates_close_the_circle(machine: SlotMachine) -> None:
    states = np.zeros((6, 4), np.int32)
    states[:, 2] = np.arange(6)
    points = np.asarray(machine.state_coordinates(jnp.asarray(states)))
    distances = np.linalg.norm(points[0] - points, axis=1)
    # Chords of a sixth, two sixths and half of a unit circle, either way round.
    np.testing.assert_allclose(distances, [0, 1, 3**0.5, 2, 3**0.5, 1], atol=1e-6)
    batched = machine.state_coordinates(jnp.asarray(states.reshape(2, 3, 4)))
    np.testing.assert_array_equal(batched, points.reshape(2, 3, 8))
    assert machine.coordinate_names[:3] == ("reel 1 cos", "reel 1 sin", "reel 2 cos")


def test_joint_observations_number_the_states() -> None:
    reels = ((1, 2, 3, 4), (1, 2), (5, 6, 7))
    apart = SlotMachineConfig(reels).build()
    joint = SlotMachineConfig(reels, observed="joint").build()
    assert joint.observation_space == spaces.Discrete(24)
    state, seen = joint.reset(KEY)
    assert seen.shape == ()
    assert seen == 0
    for action in (7, 500, 63, 300):
        state, after = step(joint, state, jnp.int32(action))
        a, b, c = np.asarray(state.pointers).tolist()
        assert after.observation == (a * 2 + b) * 3 + c
    everywhere = np.stack(np.unravel_index(np.arange(24), (4, 2, 3)), axis=-1)
    np.testing.assert_array_equal(
        joint.state_coordinates(jnp.arange(24)), apart.state_coordinates(jnp.asarray(everywhere))
    )
    assert joint.references(KEY) == apart.references(KEY)


def test_turning_moves_a_state_by_the_effect_of_its_action(machine: SlotMachine) -> None:
    # Coordinates and effects agree: as complex numbers, one times the other is the next state.
    played = jax.jit(lambda: random_transitions(machine, KEY, 100, 5))()
    effects = jnp.asarray(machine.action_effects())[played.action]

    def turn(values: Any) -> np.ndarray:
        return np.asarray(values)[..., ::2] + 1j * np.asarray(values)[..., 1::2]

    before = turn(machine.state_coordinates(played.observation))
    after = turn(machine.state_coordinates(played.next_observation))
    np.testing.assert_allclose(before * turn(effects), after, atol=1e-6)


def test_another_machine_of_the_same_size_compiles_nothing_anew() -> None:
    count = 0

    @jax.jit
    def first(env: SlotMachine, key: jax.Array) -> jax.Array:
        nonlocal count
        count += 1
        lanes = open_envs(env, key, 2)
        return jax.vmap(lambda s: env.step(KEY, s, jnp.int32(0))[1].reward)(lanes.state)

    other = ((5, 4, 3, 2, 1, 0),) * 4
    rewards = [first(SlotMachineConfig(reels=reels).build(), KEY) for reels in (REELS, other)]
    assert count == 1
    assert [float(reward[0]) for reward in rewards] == [0.0, 20.0]


def test_it_has_no_picture(machine: SlotMachine) -> None:
    assert picture_of(machine) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fractions": 1}, "fractions .*2 to 10, got 1$"),
        ({"fractions": 11}, "fractions .*2 to 10, got 11"),
        ({"fractions": 2.0}, "fractions .*integer.*2.0"),
        ({"fractions": True}, "fractions .*integer.*True"),
        ({"step_limit": 0}, "step-limit .*0"),
        ({"observed": "both"}, "observed .*reels or joint, got 'both'"),
        ({"reels": ()}, r"reels .*3 reels, got \(\)"),
        ({"reels": ((1, 2), (1, 2))}, "reels .*3 reels, got "),
        ({"reels": "123"}, "reels .*3 reels, got '123'"),
        ({"reels": 3}, "reels .*3 reels, got 3"),
        ({"reels": ((1, 2), (), (1, 2))}, r"reels\.1 .*integers from 0.*got \(\)"),
        ({"reels": ((1, 2), (1, -2), (1, 2))}, r"reels\.1 .*got \(1, -2\)"),
        ({"reels": ((1, 2), (1, 2), (1, 10_000))}, r"reels\.2 .*from 0 to 9999, got \(1, 10000\)"),
        ({"reels": ((1.5,), (1,), (1,))}, r"reels\.0 .*integers.*\(1.5,\)"),
        ({"reels": (1, 2, 3)}, r"reels\.0 .*integers.*got 1"),
        ({"reels": ("12", "12", "12")}, r"reels\.0 .*integers.*got '12'"),
        (
            {"reels": ((1, 2),) * 7},
            "fractions .*1,048,576 actions, got 2,097,152 by 8 fractions on 7 reels",
        ),
        (
            {"reels": ((1, 2, 3),) * 13, "fractions": 2, "observed": "joint"},
            "observed .*1,048,576 states, got joint for 1,594,323",
        ),
        (
            {"reels": ((1, 2),) * 21, "fractions": 2},
            "fractions .*2,097,152 by 2 fractions on 21 reels",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_setting_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(EmbrlError, match=rf"^env\.{message}") as caught:
        configure("slot_machine", **options).build()
    assert "\n" not in str(caught.value)


def test_the_largest_machines_can_be_built() -> None:
    env = SlotMachineConfig(reels=((1, 2),) * 20, fractions=2).build()
    assert action_count(env.action_space) == 2**20
    np.testing.assert_array_equal(env.turns(jnp.int32(2**20 - 1)), [0] * 20)  # .1 of 2 places
    env = SlotMachineConfig(reels=(tuple(range(20)),) * 5, fractions=10).build()
    np.testing.assert_array_equal(env.turns(jnp.int32(98_765)), [18, 16, 14, 12, 10])
