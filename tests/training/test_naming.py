"""A recommender, whose actions name what is observed: from settings to a restored policy."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.algorithms.critics import ModelScorer
from embrl.config.defaults import Settings, default_config
from embrl.config.run import RunConfig, as_json, from_json
from embrl.config.settings_by_name import replaced
from embrl.core.errors import EmbrlError
from embrl.embedding.objectives.rewards import Outcome
from embrl.embedding.transition import EchoTransition
from embrl.envs.environment import named_factor
from embrl.envs.gridworld import GridworldConfig
from embrl.envs.recommender import Recommender, RecommenderConfig
from embrl.training.evaluation import play, random_return
from embrl.training.loop import train
from embrl.training.restore import restore_policy
from embrl.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("quick")

ITEMS = 8


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    """Customers who mostly buy one item after the other in turn; one in three items is dear."""
    rng = np.random.default_rng(0)
    lines = ["user,ts,item,price"]
    for user in range(40):
        item = rng.integers(ITEMS)
        for minute in range(40):
            lines.append(f"{user},2019-10-01 00:{minute:02d}:00,{item},{1 + 9 * (item % 3 == 0)}")
            item = (item + 1) % ITEMS if rng.random() < 0.5 else rng.integers(ITEMS)
    path = tmp_path_factory.mktemp("log") / "log.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def small(
    log: Path,
    method: str = "jsae",
    algorithm: str = "vpg",
    settings: Settings = "tuned",
    **sections,
) -> RunConfig:
    env = RecommenderConfig(data=str(log), top_items=ITEMS, alpha=6.0)
    config = default_config("recommender", env, method, algorithm, settings)
    parts: dict[str, dict[str, Any]] = {
        "pretrain": {"timesteps": 4_000, "gradient_steps": 300, "batch_size": 128},
        "rollout": {"steps_per_update": 100, "num_envs": 10, "buffer_size": 5_000},
        "evaluation": {"every": 200, "episodes": 5, "final_episodes": 5},
    }
    if method == "jsae":
        parts["embedding"] = {"state_dim": 8, "action_dim": 8}
    if algorithm == "sac":
        parts["hyperparameters"] = {"updates_per_step": 0.05, "batch_size": 16}
    for name, changes in sections.items():
        parts[name] = {**parts.get(name, {}), **changes}
    changed = {
        name: dataclasses.replace(getattr(config, name), **change) for name, change in parts.items()
    }
    return dataclasses.replace(config, seeds=2, total_timesteps=4_600, **changed)


def program_of(config: RunConfig) -> Trainer:
    env = config.env.build()
    return Trainer(config, env.observation_space, env.action_space)


def test_tuned_settings_go_by_what_actions_name(log: Path) -> None:
    assert named_factor(RecommenderConfig()) == 1
    assert named_factor(GridworldConfig()) is None
    config = small(log)
    assert (config.embedding.head, config.echo.tie) == ("echo", True)
    assert (config.decoder.kind, config.decoder.scorer) == ("best", "model")
    assert config.objectives == {"forward": 1.0, "outcome": 1.0}
    for other in (
        default_config("gridworld", GridworldConfig(), "jsae", "vpg", "tuned"),
        default_config("recommender", RecommenderConfig(), "jsae", "vpg", "paper"),
        default_config("recommender", RecommenderConfig(), "none", "vpg", "tuned"),
        default_config("recommender", RecommenderConfig(), "ra", "vpg", "tuned"),
    ):
        assert other.embedding.head != "echo"
        assert not other.echo.tie
        assert other.decoder.kind == "nearest"
        assert "outcome" not in other.objectives


@pytest.mark.parametrize("algorithm", ["vpg", "ppo", "sac"])
def test_settings_go_through_json_and_fit_together(log: Path, algorithm: str) -> None:
    config = small(log, algorithm=algorithm)
    program_of(config).validate()
    assert from_json(as_json(config), "here") == config


@pytest.mark.slow
def test_it_learns_what_to_recommend_and_a_restored_policy_does_the_same(
    log: Path, tmp_path: Path
) -> None:
    config = small(log)
    folder = train(config, tmp_path / "run")
    env = config.env.build()
    found = restore_policy(folder, config, 1)
    policy, embedding = found.policy, found.embedding
    assert embedding is not None
    assert isinstance(policy.critic, ModelScorer)
    assert isinstance(embedding.T, EchoTransition)
    assert embedding.T.kappa > 0.8
    np.testing.assert_array_equal(embedding.g.table, embedding.phi.points[1])
    outcome = embedding.parts["outcome"]
    assert isinstance(outcome, Outcome)
    worth = np.asarray(outcome.contributions[1] + outcome.contributions[0].mean())
    assert isinstance(env, Recommender)
    assert np.corrcoef(worth, env.prices)[0, 1] > 0.95
    returns = play(env, lambda key, seen, mask: policy.mode(seen), jax.random.key(0), 500).returns
    oracle = env.references(jax.random.key(0))["oracle_return"]
    random = random_return(env, jax.random.key(1), 500)
    assert returns.mean() > random + 0.7 * (oracle - random)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sections",
    [
        {"online": {"every": 1, "gradient_steps": 2}},
        {
            "online": {"every": 2, "gradient_steps": 2},
            "embedding": {"state_dim": 8, "action_dim": 8},
            "echo": {"memory": 4},
        },
        {
            "embedding": {"state_dim": 4, "action_dim": 4, "head": "metric"},
            "echo": {"tie": False},
            "decoder": {"kind": "wolpertinger", "k": 3},
        },
    ],
)
def test_cut_short_and_resumed_it_comes_to_the_same(log: Path, tmp_path: Path, sections) -> None:
    config = small(log, **{"pretrain": {"timesteps": 1_000, "gradient_steps": 60}, **sections})
    config = dataclasses.replace(config, total_timesteps=1_600)
    whole = train(config, tmp_path / "whole")

    def interrupt(progress):
        if progress.stage == "training":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", on_progress=interrupt, save_every=0.0)
    cut = train(config, tmp_path / "cut", resume=True)
    for name, column in whole.metrics().items():
        np.testing.assert_array_equal(cut.metrics()[name], column, err_msg=name)


@pytest.mark.slow
def test_a_memory_comes_to_more_and_is_restored_with_the_policy(log: Path, tmp_path: Path) -> None:
    config = small(log, algorithm="ppo", settings="best", pretrain={"timesteps": 2_000})
    config = dataclasses.replace(config, total_timesteps=2_600)
    folder = train(config, tmp_path / "run")
    policy = restore_policy(folder, config, 1).policy
    assert isinstance(policy.critic, ModelScorer)
    assert policy.critic.recall is not None
    # Every step before the last update of the embedding is there, and no other.
    chain = policy.critic.recall.memory.chain
    T = policy.critic.T
    assert isinstance(T, EchoTransition)
    assert 2_000 * T.unaided_fraction < chain.sum() < 2_600
    env = config.env.build()
    returns = play(env, lambda key, seen, mask: policy.mode(seen), jax.random.key(0), 500).returns
    references = env.references(jax.random.key(0))
    random = random_return(env, jax.random.key(1), 500)
    assert returns.mean() > random + 0.8 * (references["lookahead_return"] - random)


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"echo": {"memory": -1}}, r"^echo\.memory must be .*got -1"),
        (
            {"echo": {"memory": 4, "tie": False}, "embedding": {"head": "metric"}},
            r"^echo\.memory.*got 4",
        ),
    ],
)
def test_a_memory_needs_a_head_that_uses_it(log: Path, sections, reason) -> None:
    with pytest.raises(EmbrlError, match=reason):
        program_of(small(log, **sections)).validate()


@pytest.mark.slow
def test_a_moving_embedding_stays_tied(log: Path) -> None:
    config = small(
        log,
        online={"every": 1, "gradient_steps": 2},
        pretrain={"timesteps": 1_000, "gradient_steps": 5},
    )
    trainer, env = program_of(config), config.env.build()

    @jax.jit
    def learn(key):
        model = trainer.new_model(key).model
        state = trainer.start(env, key, trainer.new_agent(key, model), trainer.collect(env, key))
        return state, trainer.iterate(env, state, key, jnp.int32(0), jnp.int32(2))[0]

    before, after = learn(jax.random.key(0))
    for state in (before, after):
        embedding = state.agent.embedding
        np.testing.assert_array_equal(embedding.g.table, embedding.phi.points[1])
    assert not np.array_equal(before.agent.embedding.g.table, after.agent.embedding.g.table)


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        (
            {"embedding": {"action_dim": 3}},
            r"^embedding\.action_dim must be .*8.* with echo\.tie, got 3",
        ),
        (
            {"decoder": {"scorer": "critic"}},
            r"^decoder\.kind best .*critic.* vpg .*decoder\.scorer model",
        ),
        (
            {"transfer": {"run": "x", "keep": "actions"}},
            r"^echo\.tie .*transfer\.keep both, got actions",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(log: Path, sections, reason) -> None:
    with pytest.raises(EmbrlError, match=reason):
        program_of(small(log, **sections)).validate()


def test_a_judge_lacks_what_is_not_learned(log: Path) -> None:
    config = dataclasses.replace(small(log), objectives={"forward": 1.0})
    with pytest.raises(EmbrlError, match=r"^decoder\.scorer model needs outcome"):
        program_of(config).validate()


def test_where_actions_name_nothing_there_is_nothing_to_tie() -> None:
    config = default_config("gridworld", GridworldConfig(actuators=3), "jsae", "vpg", "tuned")
    for changes, reason in [
        ({"echo.tie": True, "embedding.action_dim": 8}, r"echo\.tie .*True"),
        ({"embedding.head": "echo"}, r"embedding\.head .*echo"),
    ]:
        with pytest.raises(EmbrlError, match=reason):
            program_of(replaced(config, changes)).validate()


def test_raw_states_have_no_places_for_actions(log: Path) -> None:
    config = small(log, "ra", embedding={"state_dim": 8, "action_dim": 8}, echo={"tie": True})
    with pytest.raises(EmbrlError, match=r"echo\.tie .*method ra"):
        program_of(config).validate()
