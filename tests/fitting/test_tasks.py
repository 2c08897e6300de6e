"""Tasks as vectors: learned on a line of cells, and kept in the folder of an embedding."""

import dataclasses
import json
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from embrl.cli.fit import fit as fit_command
from embrl.core.errors import EmbrlError
from embrl.core.types import Transition
from embrl.deploy.plain_embedding import PlainEmbedding
from embrl.fitting.embedding import load_embedding
from embrl.portable.steps import Chain, Rows
from embrl.tasks.config import TasksConfig
from embrl.tasks.episode import TaskEpisode, draw_among_best
from embrl.tasks.inverse import infer_task
from embrl.tasks.networks import TaskNetworks
from embrl.tasks.of_embedding import task_model
from embrl.tasks.search import search_tasks
from embrl.tasks.space import TaskModel, TaskSpace

CELLS = 8
MOVES = np.array([-1, 0, 1])
SMALL = TasksConfig(dim=8, hidden=32, gradient_steps=1500, gamma=0.8, batch_size=64, candidates=6)
FORWARD_BACKWARD = dataclasses.replace(SMALL, features="forward_backward")


def learned(config):
    """Cells in a row; actions go left, stay, or go right. Learned from random steps."""
    eye = np.eye(CELLS, dtype=np.float32)
    table = np.array([[-1.0], [0.0], [1.0]], np.float32)
    plain = PlainEmbedding(
        method="jsae",
        states=True,
        m=CELLS,
        d=1,
        observation_space=spaces.Discrete(CELLS),
        action_space=spaces.Discrete(3),
        phi=Chain((Rows(3 * eye),)),
        tabled=CELLS,
        norm=None,
        g=Chain((Rows(table),)),
        table=table,
        allowed=None,
        f=None,
    )
    rng = np.random.default_rng(0)
    cell, action = rng.integers(CELLS, size=2000), rng.integers(3, size=2000)
    after = np.clip(cell + MOVES[action], 0, CELLS - 1)
    never, none = np.zeros(2000, bool), np.zeros(2000, np.float32)
    transitions = Transition(
        *map(jnp.asarray, (cell, action, none, after, never, never)),
    )
    return TaskSpace(plain, task_model(plain, transitions, config))


@pytest.fixture(scope="module")
def line():
    return learned(SMALL)


def towards(goal):
    return np.sign(goal - np.arange(CELLS)) + 1


@pytest.mark.parametrize("goal", [1, 6])
def test_every_kind_of_label_leads_to_the_goal(line, goal):
    reward = (np.arange(CELLS) == goal).astype(float)
    for task in (lambda seen: seen == goal, ([goal], [1.0]), (np.arange(CELLS), reward)):
        chosen = line.policy(task).act(np.arange(CELLS))
        assert (chosen == towards(goal)).mean() >= 0.85
    assert line.policy(([goal], [1.0])).reward(np.arange(CELLS)).argmax() == goal


def test_forward_features_are_sums_over_time_of_the_walk(line):
    """F against `sum_t gamma^t P^t B` of the exact walk, from the exact next state."""
    networks, eye = line.model.networks, np.eye(CELLS)
    after = np.clip(np.arange(CELLS)[:, None] + MOVES, 0, CELLS - 1)
    walk = eye[after].mean(1)
    features = line.features(np.arange(CELLS))
    ahead = np.linalg.solve(eye - SMALL.gamma * walk, features)
    x, e = line.embed(np.arange(CELLS))[:, None], line.choices[1]
    found = np.asarray(networks.F(jnp.asarray(x), jnp.asarray(e), jnp.zeros(SMALL.dim)))
    error = ((found - ahead[after]) ** 2).mean() / ahead.var()
    assert error < 0.02


def test_the_more_visits_the_more_actions_are_drawn_from():
    values = np.tile(np.array([5.0, 1.0, 8.0, -np.inf, 2.0, 3.0, 4.0, 0.0, 7.0]), (4000, 1))
    rng = np.random.default_rng(0)
    best_first = np.array([2, 8, 0, 6, 5, 4, 1, 7])
    for visits, among in ((0, 1), (1, 2), (2, 4), (3, 8), (9, 8)):
        drawn = draw_among_best(values, np.full(4000, visits), rng)
        found, counts = np.unique(drawn, return_counts=True)
        assert set(found) == set(best_first[:among])
        assert counts.min() > 0.8 * 4000 / among


def test_an_episode_leaves_a_circle(line):
    policy = line.policy(([6], [1.0]))
    episode = TaskEpisode(policy, seed=0)
    assert episode.act(2) == policy.act(2) == 2
    assert {episode.act(2) for _ in range(30)} == {0, 1, 2}
    assert TaskEpisode(policy, seed=1).act(2) == 2
    allowed = {TaskEpisode(policy, seed=s).act(2, mask=[True, False, False]) for s in range(5)}
    assert allowed == {0}


def test_forward_backward_features_lead_to_the_goal_too():
    chosen = learned(FORWARD_BACKWARD).policy(([6], [1.0])).act(np.arange(CELLS))
    assert (chosen == towards(6)).mean() >= 0.7


def test_masks_and_a_single_observation(line):
    policy = line.policy(([6], [1.0]))
    assert policy.act(2) == 2
    assert policy.act(2, mask=[True, True, False]) != 2
    with pytest.raises(EmbrlError, match="mask"):
        policy.act(2, mask=[True, True])


def test_demonstrations_name_their_goal(line):
    shown = [(np.array([0, 1, 2, 3, 4, 5, 5]), np.array([2, 2, 2, 2, 2, 1]))]
    shown.append((np.array([7, 6, 5]), np.array([0, 0])))
    found = infer_task(line, shown)
    assert (line.policy(found.z).act(np.arange(CELLS)) == towards(5)).mean() >= 0.85
    assert found.log_likelihood > -np.log(32)
    with pytest.raises(EmbrlError, match=r"demonstrations\[0\].* 3 and 1"):
        infer_task(line, [([0, 1, 2], [2])])
    with pytest.raises(EmbrlError, match="demonstrations"):
        infer_task(line, [])


def test_search_needs_returns_alone(line):
    def play(policies):
        found = []
        for policy in policies:
            cell = 0
            for _ in range(CELLS):
                cell = int(np.clip(cell + MOVES[policy.act(cell)], 0, CELLS - 1))
            found.append(float(cell == 4))
        return np.array(found)

    found = search_tasks(line, play, episodes=40, population=8, elites=2)
    assert len(found.returns) == 40
    assert found.returns.max() == 1.0
    assert found.returns[20:].mean() > 0.25  # by chance, 1 of 8
    with pytest.raises(EmbrlError, match="elites"):
        search_tasks(line, play, episodes=8, elites=20)
    with pytest.raises(EmbrlError, match="finite"):
        search_tasks(line, lambda policies: np.full(len(policies), np.nan), episodes=8)


@pytest.mark.parametrize(
    ("task", "named"),
    [
        (np.zeros(8), "task"),
        (np.ones(5), "task must be a vector of 8"),
        (lambda seen: np.ones(len(seen)), "task"),
        (([1, 2], [1.0]), "rewards must be 2"),
        (([1], [np.inf]), "rewards must be finite"),
        (([99], [1.0]), "observation"),
        ("north", "task"),
    ],
)
def test_what_is_no_task_is_refused(line, task, named):
    with pytest.raises(EmbrlError, match=named):
        line.task(task)


def known_arrays(forward):
    return [forward.points, forward.log_weights, forward.ahead]


@pytest.fixture
def with_tasks(gridworld_embedding):
    """Untrained: for what does not depend on training."""
    embedding = gridworld_embedding
    states = np.arange(100)
    networks = TaskNetworks(embedding.m, embedding.d, SMALL, states=100, key=jax.random.key(0))
    forward = networks.forward
    rng = np.random.default_rng(0)
    known = [jnp.asarray(rng.normal(size=a.shape), jnp.float32) for a in known_arrays(forward)]
    networks = eqx.tree_at(lambda n: known_arrays(n.forward), networks, known)
    weights, actions = np.full(100, 0.01, np.float32), np.arange(8)
    found = TaskModel(SMALL, networks, states, weights, actions)
    return dataclasses.replace(embedding, task_model=found)


def test_tasks_are_saved_with_their_embedding(with_tasks, tmp_path):
    with_tasks.save(tmp_path / "e")
    again = load_embedding(tmp_path / "e")
    task, states = ([11], [1.0]), np.arange(100)
    wanted = with_tasks.policy(task).values(states)
    for other in (again, pickle.loads(pickle.dumps(again))):
        np.testing.assert_array_equal(other.policy(task).values(states), wanted)
    # JAX and NumPy have the same F.
    x, z = with_tasks.tasks.embed(states), with_tasks.policy(task).z
    networks = with_tasks.task_model.networks
    jaxed = networks.F(jnp.asarray(x)[:, None], jnp.asarray(with_tasks.table), jnp.asarray(z)) @ z
    np.testing.assert_allclose(wanted, jaxed, atol=1e-4)
    path = tmp_path / "e" / "tasks.json"
    manifest = json.loads(path.read_text())
    for key, value, named in (("embedding", "0", "another"), ("format", 9, "9")):
        path.write_text(json.dumps({**manifest, key: value}))
        with pytest.raises(EmbrlError, match=named):
            load_embedding(tmp_path / "e")
    path.write_text(json.dumps(manifest))
    (tmp_path / "e" / "tasks.safetensors").write_bytes(b"")
    with pytest.raises(EmbrlError, match="damaged"):
        load_embedding(tmp_path / "e")


def test_without_tasks_there_is_no_policy(gridworld_embedding, with_tasks, tmp_path):
    with pytest.raises(EmbrlError, match="--tasks"):
        gridworld_embedding.policy(np.ones(8))
    (tmp_path / "tasks.json").write_text("{}")  # of a write that was interrupted
    gridworld_embedding.save(tmp_path)
    assert load_embedding(tmp_path).task_model is None
    fewer = with_tasks.without([0, 1, 2, 3, 4, 5])
    assert set(fewer.policy(([11], [1.0])).act(np.arange(100))) <= {6, 7}


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--tasks.dim", "8"], "--tasks"),
        (["--tasks", "--tasks.gamma", "1"], "tasks.gamma"),
        (["--tasks", "--tasks.batch-size", "1"], "tasks.batch_size"),
        (["--tasks", "--method", "ra"], "method"),
    ],
)
def test_settings_are_checked_before_anything_is_collected(flags, named, tmp_path):
    with pytest.raises(EmbrlError, match=named):
        fit_command(["gridworld", "--out", str(tmp_path / "e"), *flags])
    assert not (tmp_path / "e" / "embedding.json").exists()
