"""Policies that see the state beside its embedding."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import embrl
from embrl import envs
from embrl.config.defaults import default_config
from embrl.core.errors import EmbrlError
from embrl.decoding.base import DecoderConfig
from embrl.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("quick")

NUMBERS, NAMES = spaces.Box(-np.inf, np.inf, (3,), np.float32), spaces.Discrete(9)
ACTIONS = spaces.Discrete(5)


def trainer(
    states: Any = NUMBERS,
    method: str = "jsae",
    algorithm="ppo",
    hidden: tuple[int, ...] = (64, 64),
    **changes: Any,
) -> Trainer:
    config = default_config("cart_pole", envs.configure("cart_pole"), method, algorithm, "tuned")
    policy = dataclasses.replace(config.policy, inputs="both", hidden=hidden)
    return Trainer(dataclasses.replace(config, policy=policy, **changes), states, ACTIONS)


def test_the_numbers_stand_beside_phi():
    both = trainer()
    agent = both.untrained(jax.random.key(0))
    met = jnp.asarray(np.random.default_rng(0).normal(3.0, 2.0, (50, 3)), jnp.float32)
    assert agent.running_stats is not None
    agent = agent._replace(running_stats=agent.running_stats.update(met))
    policy, m = both.policy(agent), both.config.embedding.state_dim
    x = np.asarray(policy.phi(met))
    assert x.shape == (50, m + 3)
    assert agent.embedding is not None
    phi = np.asarray(agent.embedding.phi(met))
    mean = np.abs(phi).mean(-1, keepdims=True)
    np.testing.assert_allclose(x[:, :m], phi / mean, atol=1e-5)
    scaled = (met - met.mean(0)) / met.std(0)
    np.testing.assert_allclose(x[:, m:], scaled, rtol=1e-4, atol=1e-4)
    noise = policy.noise(jax.random.key(1), (50,))
    assert policy.act(met, noise)[0].shape == (50,)


@pytest.mark.parametrize("states", [NAMES, spaces.MultiDiscrete([3, 4])])
def test_codes_tell_discrete_states_apart(states):
    both = trainer(states=states)
    agent = both.untrained(jax.random.key(0))
    assert agent.embedding is not None
    # Even of states that lie at one point of X.
    layer: Any = agent.embedding.phi.network.layers[0]  # type: ignore[union-attr]
    agent = agent._replace(
        embedding=eqx.tree_at(
            lambda model: model.phi.network.layers[0].table,
            agent.embedding,
            jnp.zeros_like(layer.table),
        )
    )
    policy, m = both.policy(agent), both.config.embedding.state_dim
    sizes = (int(states.n),) if states is NAMES else tuple(states.nvec)
    every = np.stack(np.meshgrid(*map(np.arange, sizes)), -1).reshape(-1, len(sizes))
    seen = jnp.asarray(every[:, 0] if states is NAMES else every, jnp.int32)
    x = np.asarray(policy.phi(seen))
    assert np.ptp(x[:, :m], axis=0).max() == 0.0
    codes = x[:, m:]
    cosines = codes @ codes.T / np.outer(*2 * [np.linalg.norm(codes, axis=1)])
    np.fill_diagonal(cosines, 0.0)
    assert cosines.max() < 0.8
    noise = policy.noise(jax.random.key(1), seen.shape[:1])
    assert policy.act(seen, noise)[0].shape == seen.shape[:1]


def test_alone_it_is_as_before():
    both = trainer()
    config = dataclasses.replace(
        both.config, policy=dataclasses.replace(both.config.policy, inputs="embedding")
    )
    alone = Trainer(config, NUMBERS, ACTIONS)
    agent = alone.untrained(jax.random.key(0))
    assert agent.running_stats is None
    assert alone.policy(agent).phi(jnp.zeros((2, 3))).shape == (2, config.embedding.state_dim)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "none"}, "method none embeds no states"),
        ({"method": "ra"}, "method ra embeds no states"),
        (
            {
                "algorithm": "sac",
                "decoder": DecoderConfig(kind="best", scorer="model"),
                "objectives": {"forward": 1.0, "outcome": 1.0},
            },
            "decoder.scorer model",
        ),
        ({"hidden": ()}, "policy.hidden"),
    ],
)
def test_where_it_cannot_one_line_says_so(settings, said):
    with pytest.raises(EmbrlError, match=rf"^policy\.inputs must be embedding, got both; .*{said}"):
        trainer(**settings).validate()


@pytest.mark.parametrize(
    "algorithm",
    [
        "vpg",
        pytest.param(embrl.SAC(updates_per_step=0.1, batch_size=16), marks=pytest.mark.slow),
        pytest.param("ppo", marks=pytest.mark.slow),
    ],
    ids=["vpg", "sac", "ppo"],
)
def test_a_run_trains_and_is_read_again(tmp_path, algorithm):
    run = embrl.train(
        "cart_pole",
        method="jsae",
        algorithm=algorithm,
        seeds=2,
        total_timesteps=600,
        out=tmp_path / "run",
        policy={"inputs": "both", "hidden": (8,)},
        pretrain={"timesteps": 200, "gradient_steps": 20, "batch_size": 32},
        rollout={"num_envs": 10, "steps_per_update": 100, "buffer_size": 1_000},
        online={"every": 1, "gradient_steps": 2, "batch_size": 32},
        evaluation={"every": 200, "episodes": 5, "final_episodes": 5},
    )
    again = embrl.load(tmp_path / "run")
    observation = np.full(4, 0.01, np.float32)
    assert again.policy(1).act(observation, seed=3) == run.policy(1).act(observation, seed=3)
