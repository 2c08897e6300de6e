"""Pages in a headless Chromium without a network: what is seen, and what acts as ours does."""

import importlib
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import embrl
from embrl.agents.embeddings.embedding import AgentEmbedding, AgentFitConfig
from embrl.agents.embeddings.models import Vae
from embrl.agents.embeddings.prior import empty
from embrl.envs.cart_pole import CartPoleState
from embrl.envs.square import GridworldState
from embrl.explorer.page import Cloud, MapView, Page
from embrl.loading import load_run
from embrl.training.environment_record import environment_of

sys.path.append(str(Path(__file__).parents[1] / "agents"))  # for `skilled`

PLACE = """([key, index]) => { const plot = explorer.plotOf(key), points = plot.view.points;
    const box = plot.box.getBoundingClientRect();
    const [u, v] = plot.toScreen(points[2 * index], points[2 * index + 1]);
    return [box.left + 1 + u, box.top + 1 + v]; }"""


@pytest.fixture(scope="module")
def run_page(chromium, trained, tmp_path_factory):
    return embrl.explore(trained.path, tmp_path_factory.mktemp("page") / "run.html")


def test_points_are_described_filtered_and_have_neighbours(run_page, trained, opened):
    tab = opened(run_page)
    tab.select_option("#filter-states", "x")
    tab.fill(".filter input >> nth=0", "0.5")
    assert tab.inner_text("#count-states").startswith("50 of 100")
    tab.mouse.move(*tab.evaluate(PLACE, ["S", 57]))
    assert "state 57" in tab.inner_text("#tip")
    tab.mouse.click(*tab.evaluate(PLACE, ["S", 57]))
    x = load_run(trained.path).embedding().phi(np.arange(100))
    away = np.where(np.arange(100) % 10 >= 5, ((x - x[57]) ** 2).sum(1), np.inf)
    nearest = [f"state {at}" for at in np.argsort(away)[1:9]]
    assert [line.split("\t")[0] for line in tab.inner_text("#near").split("\n")] == nearest
    tab.click(".filter button")
    assert tab.inner_text("#count-states").startswith("100 of 100")
    before = tab.evaluate("Array.from(explorer.clouds.states.colours)")
    tab.select_option("#colour-states", "action")
    assert tab.evaluate("Array.from(explorer.clouds.states.colours)") != before


def test_a_state_shows_the_gaussian_the_action_and_its_cell(run_page, trained, opened):
    tab = opened(run_page)
    run = load_run(trained.path)
    embedding, policy = run.embedding(), run.policy()
    for state in (3, 57, 88):
        tab.evaluate(f"explorer.select(explorer.clouds.states, {state})")
        chosen = policy.act(state, deterministic=True)
        assert f"action {chosen}." in tab.inner_text("#chosen")
        cell, _, one, (mean,) = tab.evaluate("explorer.plotOf('E').shapes.map((s) => s.points)")
        linear = tab.evaluate(
            """() => { const { centre, axes } = explorer.plotOf('E').view.linear;
            return [Array.from(centre), Array.from(axes)]; }"""
        )
        centre, axes = np.array(linear[0]), np.array(linear[1]).reshape(2, -1)
        e = np.array(tab.evaluate("Array.from(explorer.policy.policy.mean)")).reshape(100, -1)
        e = e[state]
        assert mean == pytest.approx(axes @ (e - centre), abs=1e-4)
        inside = np.array(cell).mean(0)  # a convex polygon's
        for share in (0.5, 0.999):
            corner = inside + share * (np.array(cell[0]) - inside)
            assert embedding.f(e + axes.T @ (corner - mean)) == chosen
        std = np.array(tab.evaluate("Array.from(explorer.policy.policy.std)")).reshape(100, -1)
        spread = np.sqrt(np.diag(axes @ np.diag(std[state] ** 2) @ axes.T))
        assert np.ptp(np.array(one), axis=0) / 2 == pytest.approx(spread, rel=5e-3)


def test_the_policy_walks_as_in_our_gridworld(run_page, trained, opened):
    tab = opened(run_page)
    run = load_run(trained.path)
    policy = run.policy()
    env: Any = environment_of(run.folder, run.config)
    step = jax.jit(lambda state, action: env.step(jax.random.key(0), state, action))
    for start in ([0.3, 0.1], [0.9, 0.9], [0.52, 0.1]):
        tab.mouse.click(*tab.evaluate(PLACE, ["S", 0]))  # as a user does, first
        found = tab.evaluate(f"explorer.walkFrom({start})")["points"]
        state = GridworldState(jnp.asarray(start, jnp.float32), jnp.int32(0))
        for place in found[1:]:
            action = policy.act(np.asarray(env.observe(state.position)), deterministic=True)
            state, _ = step(state, action)
            assert place == pytest.approx(np.asarray(state.position), abs=1e-5)
    assert "steps" in tab.inner_text("#walked")


def test_live_agents_are_those_of_our_simulator(opened, tmp_path):
    """Over 200 steps to 1e-4 in float64; in float32, our own programs differ from each other."""
    made = importlib.import_module("skilled").population(tmp_path / "population", 6, 4)
    w, config = jnp.asarray(made.weights()), AgentFitConfig(k=3, hidden=(16,))
    model = Vae.make(made.architecture, w, jnp.zeros((0,)), 3, (16,), jax.random.key(0))
    embedding = AgentEmbedding("vae", config, made.environment, made.env, model, empty(3, 1))
    page = embrl.explore(made, tmp_path / "agents.html", embedding=embedding)
    tab = opened(page)
    before = tab.inner_text("#live")
    tab.fill("#between", "1.3")
    assert tab.inner_text("#live") != before
    z = embedding.encode(made.weights())
    ends = tab.evaluate("[explorer.live.a, explorer.live.b]")
    between = z[ends[0]] + 1.3 * (z[ends[1]] - z[ends[0]])
    decoded = np.array(tab.evaluate("Array.from(explorer.live.weights)"))
    assert decoded == pytest.approx(embedding.decode(between[None])[0], abs=2e-5)
    good = made.rows(np.array([made.count - 1]))[0]
    start = [0.03, -0.02, 0.04, 0.01]
    for weights in (decoded, good.astype(np.float64)):
        theirs = np.array(
            tab.evaluate(
                "([w, start]) => explorer.live.simulator.trajectory(Float64Array.from(w), start, "
                "200, false)",
                [weights.tolist(), start],
            )
        )
        assert theirs == pytest.approx(_ours(made, weights, start, 200), abs=1e-4)
    assert np.abs(theirs[:, 2]).max() < 0.21  # it balances


def _ours(made, weights: np.ndarray, start: list[float], steps: int) -> np.ndarray:
    """The observations of an episode in our simulator, in float64."""
    env, found = made.env.build(), [np.array(start)]
    with jax.enable_x64(True):

        @jax.jit
        def step(seen, w):
            action = made.architecture.logits(w, seen[None])[0].argmax(-1)
            state = CartPoleState(seen, jnp.int32(0))
            return env.step(jax.random.key(0), state, action)[0].observation

        for _ in range(steps):
            found.append(np.asarray(step(jnp.asarray(found[-1]), jnp.asarray(weights))))
            assert found[-1].dtype == np.float64
    return np.stack(found)


def test_pictures_and_texts_are_shown_as_they_are(opened, tmp_path):
    evil = "</script><script>console.log('run')</script><img src=x onerror=console.log(1)>"
    images = np.zeros((3, 2, 2, 3), np.uint8)
    images[1, 0, 1] = (255, 128, 0)
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    columns = {"name": np.array([evil, "b", "c"]), "value": np.array([np.nan, 1.0, 2.0])}
    cloud = Cloud("state", np.arange(3), points, columns, images)
    view = MapView("X", "X", "states", points, ("one", "two"))
    page = Page(evil, (), {"states": cloud}, (view,))
    (tmp_path / "page.html").write_text(page.html())
    tab = opened(tmp_path / "page.html")
    assert tab.title() == evil
    tab.mouse.move(*tab.evaluate(PLACE, ["X", 0]))
    assert evil in tab.inner_text("#tip")
    tab.mouse.move(*tab.evaluate(PLACE, ["X", 1]))
    pixel = "document.querySelector('#tip canvas').getContext('2d').getImageData(1, 0, 1, 1)"
    assert tab.evaluate(f"Array.from({pixel}.data)") == [255, 128, 0, 255]
