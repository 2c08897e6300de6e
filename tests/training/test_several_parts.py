"""Training where actions have several parts: masks, online updates, export, wrappers."""

from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from jaxtyping import Array

import embrl
from embrl.core.errors import EmbrlError
from embrl.core.products import as_space
from embrl.core.types import Key, TimeStep
from embrl.envs import Environment

pytestmark = pytest.mark.usefixtures("quick")

LIMIT = 5
PPO = embrl.PPO(num_minibatches=2, update_epochs=1, critic_epochs=1)
SAC = embrl.SAC(updates_per_step=0.1, batch_size=16)
TINY: dict[str, Any] = {
    "seeds": 1,
    "total_timesteps": 1_000,
    "rollout": {"buffer_size": 2_000},
    "evaluation": {"final_episodes": 10, "episodes": 10},
}


class Turn(NamedTuple):
    """Point, and steps taken."""

    now: Array
    steps: Array


class Pair(Environment):
    """Two parts and a number; the second part accepts two values, which depend on the state.

    The reward is NaN after a value that was not accepted, or a number out of bounds.
    """

    @property
    def observation_space(self) -> gymnasium.Space:
        return spaces.Box(-1.0, 1.0, (2,), np.float32)

    @property
    def action_space(self) -> gymnasium.Space:
        return as_space((3, 4), spaces.Box(0.0, 2.0, (1,), np.float32))

    def action_mask(self, state: Turn) -> Array:
        second = jnp.arange(4) % 2 == (state.now[0] > 0)
        running = state.steps < LIMIT
        return jnp.concatenate([jnp.ones(3, bool), second & running])

    def reset(self, key: Key) -> tuple[Turn, Array]:
        now = jax.random.uniform(key, (2,), minval=-1.0)
        return Turn(now, jnp.int32(0)), now

    def step(self, key: Key, state: Turn, action: Array) -> tuple[Turn, TimeStep]:
        accepted = self.action_mask(state)[3 + action[1].astype(jnp.int32)]
        accepted &= (action[2] >= 0.0) & (action[2] <= 2.0) & (action[0] == jnp.round(action[0]))
        now = jnp.stack([jax.random.uniform(key, minval=-1.0), (action[0] - 1.0) * action[2] / 2])
        after = Turn(now, state.steps + 1)
        reward = jnp.where(accepted, now[1], jnp.nan)
        return after, TimeStep(now, reward, jnp.bool_(False), after.steps >= LIMIT)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"method": "jsae", "algorithm": PPO}, marks=pytest.mark.slow),
        {"method": "jsae", "algorithm": SAC, "decoder": {"kind": "wolpertinger", "k": 5}},
        pytest.param({"method": "none", "algorithm": PPO}, marks=pytest.mark.slow),
        pytest.param(
            {"method": "ra", "algorithm": "vpg", "decoder": {"kind": "softmax"}},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["nearest", "wolpertinger", "original", "softmax"],
)
def test_masks_hold_for_every_part(options: dict[str, Any]):
    changes = {} if options["method"] == "none" else {"pretrain": {"gradient_steps": 20}}
    run = embrl.train(Pair(), **TINY, **changes, **options)
    assert np.isfinite(run.summary["final_return_mean"])
    policy = run.policy()
    row = policy.act(np.zeros(2, np.float32), mask=[[0, 1, 0], [0, 0, 0, 1]])
    assert row[:2].tolist() == [1, 3]
    with pytest.raises(EmbrlError, match="no value of part 1"):
        policy.act(np.zeros(2, np.float32), mask=[[0, 1, 0], [0, 0, 0, 0]])


def test_sac_without_an_embedding_is_refused():
    with pytest.raises(EmbrlError, match=r"algorithm must be vpg or ppo.*got sac"):
        embrl.train(Pair(), **TINY, method="none", algorithm="sac")


class Mixed(gymnasium.Env):
    """A Dict of both kinds in both directions; part `keys` of the mask ends after `mask_until`."""

    observation_space = spaces.Dict(
        image=spaces.Box(0, 255, (5, 5, 3), np.uint8),
        direction=spaces.Discrete(4),
        mission=spaces.Text(20),
    )
    action_space = spaces.Dict(
        move=spaces.Discrete(4, start=1),
        strength=spaces.Box(0.0, 1.0, (1,), np.float64),
        keys=spaces.MultiBinary(2),
    )

    def __init__(self, mask_until: int | None = None) -> None:
        self.steps, self.until = 0, mask_until

    def _info(self) -> dict[str, Any]:
        if self.until is None:
            return {}
        keys = [1, 0, 0, 1] if self.steps < self.until else [1, 0, 0, 0]
        return {"action_mask": {"move": None, "keys": keys}}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self.observation_space.sample(), self._info()

    def step(self, action: Any) -> Any:
        assert action in self.action_space
        assert self.until is None or action["keys"].tolist() == [0, 1]
        self.steps += 1
        info = self._info()
        return self.observation_space.sample(), 1.0, False, self.steps >= LIMIT, info


def test_a_dict_of_both_kinds_trains_exports_and_wraps(tmp_path):
    few: dict[str, Any] = {
        "pretrain": {"gradient_steps": 10},
        "online": {"gradient_steps": 2, "batch_size": 32},
    }
    run = embrl.train(Mixed, **TINY, **few, algorithm=PPO, out=tmp_path / "run")
    policy, env = run.policy(environment=Mixed), Mixed()
    observation, _ = env.reset(seed=0)
    action = policy.act(observation, deterministic=True)
    assert action in env.action_space
    exported = embrl.load_policy(embrl.export(tmp_path / "run", environment=Mixed))
    assert policy.host is not None
    row = exported.act(policy.host.observations(observation))
    assert row == pytest.approx(policy.host.actions.from_original(action), abs=1e-4)
    masked = exported.act(policy.host.observations(observation), mask=[None, [1, 0], [0, 1]])
    assert masked[1:3].tolist() == [0, 1]
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "run" / "policy-0" / "policy.onnx")
    given = policy.host.observations(observation)[None]
    (found,) = session.run(None, {"observation": given})
    assert np.asarray(found)[0] == pytest.approx(row, abs=1e-4)
    wrapped = embrl.wrap(env, run.embedding())
    assert wrapped.action_space.shape == (3 * run.config.embedding.action_dim + 1,)
    wrapped.reset(seed=0)
    wrapped.step(wrapped.action_space.sample())


def test_a_part_without_a_value_says_which_and_when():
    with pytest.raises(EmbrlError, match=r"step 3.*no value of part 2"):
        embrl.train(lambda: Mixed(3), **TINY, algorithm=PPO, pretrain={"gradient_steps": 10})
