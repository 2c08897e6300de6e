"""Training where a function couples the parts of an action."""

import dataclasses
import itertools
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from jaxtyping import Array

import embrl
from embrl.config.defaults import default_config
from embrl.config.settings_by_name import replaced
from embrl.core.errors import EmbrlError, EmbrlWarning
from embrl.core.types import Key, TimeStep
from embrl.envs import Environment
from embrl.envs.environment import has_constraint
from embrl.envs.gym import HostEnvironment, ObjectConfig
from embrl.training.constraints import INFEASIBLE, check_constraint
from embrl.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("quick")

KEY = jax.random.key(0)
WAYS = np.array(list(itertools.product(range(4), repeat=3)))
PPO = embrl.PPO(num_minibatches=2, update_epochs=1, critic_epochs=1)
SAC = embrl.SAC(updates_per_step=0.1, batch_size=16)
TINY: dict[str, Any] = {
    "seeds": 1,
    "total_timesteps": 1_000,
    "rollout": {"buffer_size": 2_000},
    "evaluation": {"final_episodes": 10, "episodes": 10},
}
FEW: dict[str, Any] = {"pretrain": {"gradient_steps": 20}}


class Turn(NamedTuple):
    """Budget, and steps taken."""

    now: Array
    steps: Array


class Budget(Environment):
    """Three levels of 0 to 3, which together may be at most what is seen; more costs 100."""

    @property
    def observation_space(self) -> gymnasium.Space:
        return spaces.Box(0.0, 6.0, (1,), np.float32)

    @property
    def action_space(self) -> gymnasium.Space:
        return spaces.MultiDiscrete([4] * 3)

    def is_feasible(self, observation: Array, action: Array) -> Any:
        return action.sum() <= observation[0]

    def reset(self, key: Key) -> tuple[Turn, Array]:
        now = jnp.floor(jax.random.uniform(key, (1,), maxval=7.0))
        return Turn(now, jnp.int32(0)), now

    def step(self, key: Key, state: Turn, action: Array) -> tuple[Turn, TimeStep]:
        over = action.sum() > state.now[0]
        after = Turn(self.reset(key)[1], state.steps + 1)
        reward = jnp.where(over, -100.0, action.sum())
        return after, TimeStep(after.now, reward, jnp.bool_(False), after.steps >= 5)


def trainer_of(env: Environment, method: str = "jsae", algorithm: str = "ppo", **changes: Any):
    settings = ObjectConfig("budget", host=False)
    config = default_config(
        "budget", settings, method, algorithm, "best", env, total_timesteps=2_000
    )
    return Trainer.of(replaced(config, changes), env)


@pytest.mark.parametrize("candidates", [64, 4])
def test_a_rollout_takes_the_nearest_feasible_action_of_its_candidates(candidates):
    env = Budget()
    trainer = trainer_of(env, **{"decoder.candidates": candidates})

    @jax.jit
    def run() -> Any:
        agent = trainer.new_agent(KEY, trainer.new_embedding(KEY))
        state = trainer.start(env, KEY, agent, None)
        _, taken = trainer.act(env, state, KEY, jnp.int32(0))
        policy, noise = trainer.policy(agent), trainer.rollout_noise(agent, KEY, jnp.int32(0))
        table: Any = policy.table
        free = policy.act(taken.transitions.observation, noise)[1]
        return taken, table.embedded(jnp.asarray(WAYS)), free

    taken, places, free = jax.device_get(run())
    # What log-probabilities are of does not know the constraint.
    np.testing.assert_allclose(taken.u, free, rtol=1e-5, atol=1e-6)
    apart = ((taken.u[..., None, :] - places) ** 2).sum(-1).reshape(-1, 64)
    budget = taken.transitions.observation.reshape(-1, 1)
    order = np.argsort(apart, -1, kind="stable")
    feasible = np.take_along_axis(WAYS.sum(-1) <= budget, order, -1)[:, :candidates]
    wanted = WAYS[order[np.arange(len(order)), feasible.argmax(-1)]]
    assert (taken.transitions.action.reshape(-1, 3) == wanted).all()
    assert (taken.infeasible.reshape(-1) == ~feasible.any(-1)).all()
    assert (taken.transitions.reward.reshape(-1) < 0).mean() == (~feasible.any(-1)).mean()
    assert feasible.any(-1).all() == (candidates == 64)


@pytest.mark.parametrize(
    "options",
    [
        {"algorithm": "vpg", "decoder": {"candidates": 64}},
        pytest.param({"algorithm": PPO, "decoder": {"candidates": 64}}, marks=pytest.mark.slow),
        pytest.param(
            {"algorithm": SAC, "decoder": {"kind": "wolpertinger", "k": 5, "candidates": 64}},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["vpg", "ppo", "sac"],
)
def test_infeasible_actions_are_never_taken(options, tmp_path):
    env = Budget()
    run = embrl.train(env, **TINY, **FEW, **options, out=tmp_path / "run")
    assert (run.metrics[INFEASIBLE][1:] == 0).all()
    assert run.evaluate(20).returns.min() >= 0
    assert min(episode.total for episode in embrl.play(run, episodes=3, environment=env)) >= 0
    loaded = embrl.load(tmp_path / "run")
    for policy in (run.policy(), loaded.policy(environment=env)):
        budgets = np.arange(7, dtype=np.float32).repeat(20)[:, None]
        assert (policy.act(budgets, seed=0).sum(-1) <= budgets[:, 0]).all()
        assert (policy.act(budgets, deterministic=True).sum(-1) <= budgets[:, 0]).all()
        assert policy.act(np.zeros(1, np.float32)).tolist() == [0, 0, 0]
    with pytest.raises(EmbrlError, match="object"):  # which alone knows what is feasible
        loaded.policy()
    with pytest.raises(EmbrlError, match=r"without is_feasible .*got.*; act with"):
        embrl.export(tmp_path / "run")


def test_what_is_not_feasible_is_counted_and_told():
    with pytest.warns(EmbrlWarning, match=r"infeasible.*none of the 1 .*decoder\.candidates"):
        run = embrl.train(Budget(), **TINY, **FEW, algorithm="vpg", decoder={"candidates": 1})
    assert (run.metrics[INFEASIBLE][1:] > 0).all()
    with pytest.warns(EmbrlWarning, match=r"infeasible.*do not heed is_feasible"):
        run = embrl.train(Budget(), **TINY, algorithm="vpg", method="none")
    assert (run.metrics[INFEASIBLE][1:] > 0).all()


class Unlimited(Budget):
    """The same without a function of joint actions."""

    def is_feasible(self, observation: Array, action: Array) -> None:
        return None


@pytest.mark.slow
def test_candidates_of_0_leave_training_as_it_is_without_a_constraint():
    runs = [
        embrl.train(env, **TINY, **FEW, algorithm=PPO, decoder={"candidates": count})
        for env, count in ((Budget(), 0), (Unlimited(), 32))
    ]
    kept, other = (dict(run.metrics) for run in runs)
    assert (kept.pop(INFEASIBLE)[1:] > 0).all()
    assert kept.keys() == other.keys()
    for name, values in kept.items():
        np.testing.assert_array_equal(values, other[name])


class Counts(Budget):
    """A flag for each part, of integers."""

    def is_feasible(self, observation: Array, action: Array) -> Any:
        return (action <= observation[0]).astype(jnp.int8)


class Costly(Budget):
    """A number for each part, not for each value."""

    def resource_use(self, observation: Array) -> Any:
        return jnp.ones(3)


class OneList(Budget):
    """One list of actions."""

    @property
    def action_space(self) -> gymnasium.Space:
        return spaces.Discrete(4)


class Impossible(Budget):
    """Nothing is ever feasible."""

    def is_feasible(self, observation: Array, action: Array) -> Any:
        return action.sum() < 0


@pytest.mark.parametrize(
    ("env", "changes", "said"),
    [
        (Counts(), {}, r"is_feasible of Counts must be bool \[\], got int8 \[3\]; .*\.all\(\)"),
        (Costly(), {}, r"resource_use of Costly must be numbers \[12\], got float32 \[3\]; "),
        (OneList(), {}, r"is_feasible of OneList must be None for Discrete.*; .*action_mask"),
        (Impossible(), {}, r"is_feasible of Impossible must be True .*got False for all 64; "),
        (Budget(), {"decoder.kind": "softmax"}, r"decoder\.kind must be nearest or .*got softmax"),
        (Budget(), {"decoder.candidates": -1}, r"decoder\.candidates must be .*got -1"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Environment) else None,
)
def test_what_cannot_be_kept_to_is_one_line(env, changes, said):
    with pytest.raises(EmbrlError, match=said):
        trainer_of(env, **changes)
    assert not has_constraint(Unlimited())
    assert dataclasses.is_dataclass(env)


class Knapsack(gymnasium.Env):
    """Six levels of 0 to 5, which must be at most the budget; the dearest are asked for."""

    observation_space = spaces.Box(0.0, 9.0, (1,), np.float32)
    action_space = spaces.MultiDiscrete([6] * 6)

    def is_feasible(self, observation: Any, action: Any) -> bool:
        return action.sum() <= observation[0]

    def resource_use(self, observation: Any) -> Any:
        return np.tile(np.arange(6), 6)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.seen = np.array([self.np_random.integers(10)], np.float32)
        return self.seen, {}

    def step(self, action: Any) -> Any:
        cost, budget = action.sum(), self.seen[0]
        self.seen = np.array([self.np_random.integers(10)], np.float32)
        return self.seen, float(cost - budget), False, False, {}


def test_a_wrapped_environment_is_given_feasible_actions():
    embedding = embrl.fit(Knapsack(), timesteps=400, pretrain={"gradient_steps": 10})
    env, points = embrl.wrap(Knapsack(), embedding), np.random.default_rng(0)
    env.reset(seed=0)
    for _ in range(30):
        e = points.uniform(-1, 1, env.action_space.shape).astype(np.float32)
        assert env.step(e)[1] <= 0
    unasked = embrl.wrap(Knapsack(), embedding, candidates=0)
    unasked.reset(seed=0)
    assert max(unasked.step(env.action_space.sample())[1] for _ in range(30)) > 0
    with pytest.raises(EmbrlError, match=r"candidates must be .*got -1"):
        embrl.wrap(Knapsack(), embedding, candidates=-1)

    class Unpriced(Knapsack):
        def resource_use(self, observation: Any) -> None:
            return None

    env = embrl.wrap(Unpriced(), embedding, candidates=1)
    env.reset(seed=0)
    with pytest.warns(EmbrlWarning, match=r"Unpriced: is_feasible of none of the 1 .*nearest"):
        any(env.step(env.action_space.sample()) is None for _ in range(30))


def test_training_on_the_host_says_that_it_does_not_ask():
    host = HostEnvironment.of(Knapsack)
    with pytest.warns(EmbrlWarning, match=r"Knapsack: is_feasible is not asked .*host; "):
        check_constraint(host, trainer_of(Budget()).schedule)


def test_a_compiled_environment_as_gymnasiums_has_its_functions():
    capped: Any = gymnasium.make("embrl/JointReplenishment-v0", items=3, capacity=20).unwrapped
    seen, _ = capped.reset(seed=0)
    assert capped.is_feasible(seen, np.array([30, 30, 35]))
    assert not capped.is_feasible(seen, np.array([30, 30, 36]))
    assert capped.resource_use(seen).shape == (3 * 67,)
    free = gymnasium.make("embrl/JointReplenishment-v0", items=3).unwrapped
    assert not hasattr(free, "is_feasible")
