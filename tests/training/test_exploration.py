"""What reaching seldom reached states earns, and who gets to see it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from embrl.config.run import ExplorationConfig
from embrl.core.errors import EmbrlError
from embrl.core.types import Transition
from embrl.training.exploration import VisitCounter, rewards_are_sparse
from embrl.training.loop import train
from embrl.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("quick")


def arrivals(observations) -> Transition:
    observations = jnp.asarray(observations)
    zero = jnp.zeros(observations.shape[:2], jnp.float32)
    return Transition(observations, zero.astype(jnp.int32), zero, observations, zero > 0, zero > 0)


def test_the_bonus_falls_with_the_root_of_the_arrivals() -> None:
    novelty = VisitCounter(spaces.Discrete(5), ExplorationConfig(bonus=0.6, num_counters=8))
    visits = novelty.count(novelty.zeros(), arrivals(np.array([[2, 2], [2, 2], [4, 2]], np.int32)))
    start = jnp.float32(0.0)
    bonus = novelty.bonus(visits, jnp.array([0, 4, 2], jnp.int32), start)
    np.testing.assert_allclose(bonus, [0.6, 0.6, 0.6 / np.sqrt(5)], rtol=1e-6)
    visits = novelty.count(visits, arrivals(np.full((11, 1), 2, np.int32)))
    np.testing.assert_allclose(novelty.bonus(visits, jnp.int32(2), start), 0.6 / 4, rtol=1e-6)


def test_the_bonus_falls_to_nothing_on_the_way() -> None:
    novelty = VisitCounter(spaces.Discrete(5), ExplorationConfig(bonus=0.6, until=0.5))
    shares = jnp.array([0.0, 0.25, 0.5, 1.0])
    bonus = jax.vmap(lambda share: novelty.bonus(novelty.zeros(), jnp.int32(1), share))(shares)
    np.testing.assert_allclose(bonus, [0.6, 0.3, 0.0, 0.0], rtol=1e-6)


def test_what_is_known_pays_nothing() -> None:
    novelty = VisitCounter(spaces.Discrete(5), ExplorationConfig(bonus=0.6, known_after=2))
    visits = novelty.count(novelty.zeros(), arrivals(np.array([[1, 2, 2, 3, 3, 3]], np.int32)))
    states, start = jnp.arange(4, dtype=jnp.int32), jnp.float32(0.0)
    bonus = novelty.bonus(visits, states, start)
    np.testing.assert_allclose(bonus, [0.6, 0.6, 0.6 / np.sqrt(2), 0.0], rtol=1e-6)


def test_a_centred_bonus_is_nothing_on_average() -> None:
    config = ExplorationConfig(bonus=0.6, centred=True, known_after=20)
    novelty = VisitCounter(spaces.Discrete(5), config)
    visits = novelty.zeros().at[1].set(1).at[2].set(4).at[3].set(21)
    bonus = novelty.bonus(visits, jnp.array([[1, 2, 3]], jnp.int32), jnp.float32(0.0))
    np.testing.assert_allclose(bonus, [[0.3, 0.0, -0.3]], atol=1e-6)  # .6, .3 and nothing


EPISODES, LENGTH = 100, 10


@pytest.mark.parametrize(
    ("rewarded", "reward", "terminated", "sparse"),
    [
        (4, 1.0, True, True),
        (5, 1.0, True, False),
        (5, 1.0, False, False),  # a reward on the way, in a task that goes on
        (4, -1.0, True, True),  # a goal after which nothing more is lost
        (5, -1.0, True, False),
        (50, -5.0, True, True),  # a pit is no reward
    ],
)
def test_rewards_are_sparse_if_few_episodes_earn_any(
    rewarded: int, reward: float, terminated: bool, sparse: bool
) -> None:
    rewards = np.full((LENGTH, EPISODES), -1.0, np.float32)
    rewards[-1, :rewarded] = reward
    last = np.zeros(rewards.shape, bool)
    last[-1] = True
    ends = last & (np.arange(EPISODES) < rewarded) & terminated
    steps = arrivals(np.zeros(rewards.shape, np.int32))._replace(
        reward=jnp.asarray(rewards),
        terminated=jnp.asarray(ends),
        truncated=jnp.asarray(last & ~ends),
    )
    assert bool(rewards_are_sparse(steps)) is sparse
    assert bool(jax.jit(rewards_are_sparse)(steps)) is sparse


def test_where_rewards_are_sparse_the_bonus_is_more_lasts_longer_and_is_centred() -> None:
    config = ExplorationConfig(bonus=0.2, until=0.2, known_after=2)
    visits, states = jnp.array([0, 1, 4, 9, 11]), jnp.arange(5, dtype=jnp.int32)

    def bonus(config: ExplorationConfig, sparse: bool, progress: float) -> np.ndarray:
        counter = VisitCounter(spaces.Discrete(5), config)
        return np.asarray(counter.bonus(visits, states, jnp.float32(progress), jnp.array(sparse)))

    np.testing.assert_allclose(bonus(config, False, 0.1), [0.1, 0.1, 0.0, 0.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(bonus(config, False, 0.2), np.zeros(5))
    expected = np.array([0.6, 0.6, 0.3, 0.2, 0.0])
    expected -= expected.mean()
    np.testing.assert_allclose(bonus(config, True, 0.0), expected, atol=1e-6)
    np.testing.assert_allclose(bonus(config, True, 0.25), expected / 2, atol=1e-6)
    longer = dataclasses.replace(config, until=0.8, known_after=20, centred=True)
    expected = np.array([0.6, 0.6, 0.3, 0.2, 0.6 / np.sqrt(11)])
    expected -= expected.mean()
    np.testing.assert_allclose(bonus(longer, True, 0.4), expected / 2, atol=1e-6)
    np.testing.assert_allclose(bonus(longer, False, 0.4), expected / 6, atol=1e-6)


def test_each_seed_sees_for_itself_whether_rewards_are_sparse(tiny) -> None:
    config = tiny(exploration=ExplorationConfig(bonus=0.5, until=0.1, more_if_sparse=True))
    env = config.env.build()
    trainer = Trainer(config, env.observation_space, env.action_space)
    agent = trainer.new_agent(jax.random.key(0), trainer.new_embedding(jax.random.key(0)))
    data = arrivals(np.zeros((4, 10), np.int32))
    goals = data._replace(terminated=jnp.ones((4, 10), bool))
    both = jax.tree.map(lambda *x: jnp.stack(x), data, goals)
    part = next(part for part in trainer.parts if part.name == "exploration")

    def begin(data: Transition) -> jax.Array:
        state = trainer.start(env, jax.random.key(0), agent, None)
        return part.begin(state, data).parts["exploration"].sparse

    assert jax.vmap(begin)(both).tolist() == [True, False]


def test_states_have_counters_of_their_own_if_there_are_enough() -> None:
    space = spaces.MultiDiscrete([3, 7, 2])
    states = np.stack(np.meshgrid(*map(np.arange, (3, 7, 2))), -1).reshape(-1, 3).astype(np.int32)
    cells = VisitCounter(space, ExplorationConfig(1.0, num_counters=42)).counter(
        jnp.asarray(states)
    )
    assert sorted(cells.tolist()) == list(range(42))


def test_too_many_states_share_counters_evenly() -> None:
    space = spaces.MultiDiscrete([835, 835])
    states = np.random.default_rng(0).integers(835, size=(40_000, 2)).astype(np.int32)
    cells = VisitCounter(space, ExplorationConfig(1.0, num_counters=1000)).counter(
        jnp.asarray(states)
    )
    counts = np.bincount(cells, minlength=1000)
    assert len(counts) == 1000
    assert counts.min() > 5
    assert counts.max() < 100


@pytest.mark.parametrize("length", [1, 2, 3, 17])
def test_near_points_of_a_box_share_a_counter_and_far_ones_do_not(length: int) -> None:
    space = spaces.Box(-2.0, 2.0, (length,))
    novelty = VisitCounter(space, ExplorationConfig(1.0))
    here = np.full(length, 0.51, np.float32)
    cells = novelty.counter(jnp.asarray(np.stack([here, here + 1e-5, -here])))
    assert cells[0] == cells[1] != cells[2]
    corners = novelty.counter(jnp.asarray(np.stack([space.low, space.high])))
    assert ((corners >= 0) & (corners < 16_384)).all()


def test_policies_see_the_bonus_and_evaluations_do_not(tiny, tmp_path) -> None:
    config = tiny("none", exploration=ExplorationConfig(bonus=0.5))
    plain = tiny("none")
    found = train(config, tmp_path / "a").metrics()
    other = train(plain, tmp_path / "b").metrics()
    # The first evaluation is of the same policy; then they learn different things.
    np.testing.assert_array_equal(found["return_mean"][:2], other["return_mean"][:2])
    assert not np.array_equal(found["return_mean"][-2:], other["return_mean"][-2:])
    bonus = found["bonus"][~np.isnan(found["bonus"])]
    assert "bonus" not in other
    assert ((bonus > 0.0) & (bonus < 0.5)).all()


@pytest.mark.slow
def test_arrivals_of_pretraining_are_counted(tiny) -> None:
    config = tiny(exploration=ExplorationConfig(bonus=0.5))
    env = config.env.build()
    trainer = Trainer(config, env.observation_space, env.action_space)
    key = jax.random.key(0)
    found = trainer.collect(env, key)
    agent = trainer.new_agent(key, trainer.new_embedding(key))
    state = trainer.start(env, key, agent, found)
    visits = state.parts["exploration"].visits
    assert int(visits.sum()) == trainer.schedule.pretraining_timesteps


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_a_run_resumes_with_its_counters(tiny, tmp_path, algorithm: str) -> None:
    from embrl.config.defaults import default_config

    small = tiny("jsae")
    config = default_config("gridworld", small.env, "jsae", algorithm, "tuned")
    config = dataclasses.replace(
        small,
        algorithm=algorithm,
        hyperparameters=config.hyperparameters,
        exploration=ExplorationConfig(bonus=0.2),
    )
    whole = train(config, tmp_path / "whole").metrics()

    class Stop(Exception):
        pass

    def stop(progress) -> None:
        if progress.stage == "training" and progress.done > 800:
            raise Stop

    with pytest.raises(Stop):
        train(config, tmp_path / "parts", on_progress=stop, save_every=0.0)
    parts = train(config, tmp_path / "parts", resume=True).metrics()
    np.testing.assert_array_equal(whole["return_mean"], parts["return_mean"])


@pytest.mark.parametrize(
    ("explore", "message"),
    [
        (ExplorationConfig(bonus=-0.1), "exploration.bonus must be .*got -0.1"),
        (ExplorationConfig(until=0.0), "exploration.until must be .*got 0.0"),
        (ExplorationConfig(num_counters=0), "exploration.num_counters must be .*got 0"),
        (ExplorationConfig(bonus=float("nan")), "exploration.bonus must be .*got nan"),
    ],
)
def test_settings_out_of_range_are_refused(tiny, explore: ExplorationConfig, message: str) -> None:
    config = tiny("none", exploration=explore)
    env = config.env.build()
    with pytest.raises(EmbrlError, match=message):
        Trainer(config, env.observation_space, env.action_space).validate()
