"""Exports of policies that ask the learned model, as a recommender's, against those in JAX."""

import importlib
import runpy
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from embrl.algorithms.actors import GaussianActor
from embrl.algorithms.critics import ModelScorer
from embrl.algorithms.policy import OverallPolicy
from embrl.core.types import Transition
from embrl.decoding import BestAction, Wolpertinger
from embrl.deploy.array_forms import Forms
from embrl.deploy.convert import portable_policy
from embrl.deploy.export import onnx_model
from embrl.deploy.exported import ExportedPolicy
from embrl.embedding.config import EmbeddingConfig
from embrl.embedding.encoders import Norm, StandardisedEncoder
from embrl.embedding.memory import Memory, Recall, remember
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives.rewards import Outcome

K, ROWS, VISITS = 30, 5_000, 400
SPACE, ACTIONS = spaces.MultiDiscrete([K, K]), spaces.Discrete(K)
RNG = np.random.default_rng(0)


def noisy(tree: Any) -> Any:
    def moved(leaf: Any) -> Any:
        noise = 0.5 * RNG.normal(size=leaf.shape)
        return jnp.asarray(leaf + noise, jnp.float32) if leaf.dtype == np.float32 else leaf

    return jax.tree.map(moved, tree)


def visits(room: int) -> Memory:
    """A memory with room for some visits, of which there are `VISITS`, many to the same state."""
    shape = (room, 1)
    before, after = RNG.integers(6, size=(2, *shape, 2)).astype(np.int32)
    no = np.zeros(shape, bool)
    action = RNG.integers(6, size=shape).astype(np.int32)
    found = Transition(*map(jnp.asarray, (before, action, no * 1.0, after, no, no)))
    raw = model().raw
    known = jnp.asarray(np.arange(room)[:, None] < VISITS)
    kept, chain = remember(raw, 1, found, known, jnp.float32(0.25))
    return Memory(kept, chain, jnp.asarray(RNG.normal(size=K), jnp.float32))


def model() -> JointEmbedding:
    config = EmbeddingConfig(state_dim=4, action_dim=3, head="echo", state_spread=0.5)  # type: ignore[arg-type]
    return JointEmbedding(
        SPACE, ACTIONS, config, objectives=("forward", "outcome"), named=1, key=jax.random.key(0)
    )


def policy(f: Any, memory: Memory | None) -> OverallPolicy:
    embedding = noisy(model())
    outcome = embedding.parts["outcome"]
    assert isinstance(outcome, Outcome)
    norm = Norm(jnp.asarray(RNG.normal(size=4), jnp.float32), jnp.float32(0.4))
    recall = None if memory is None else Recall(memory, embedding.raw, 1, 16)
    scorer = ModelScorer(embedding.T, outcome, embedding.phi.points, norm, recall)
    actor = noisy(GaussianActor(4, 3, (8,), std=0.5, bounded=True, key=jax.random.key(1)))
    phi = StandardisedEncoder(embedding.phi, norm)
    return OverallPolicy(phi, actor, f, embedding.g.table, scorer)


@pytest.fixture(
    scope="module", params=["best", "nearest", "without memory", "full memory"], name="case"
)
def fixture(request: pytest.FixtureRequest) -> tuple[ExportedPolicy, np.ndarray, np.ndarray]:
    memory = None if request.param == "without memory" else visits(VISITS + 100)
    if request.param == "full memory":
        memory = visits(VISITS)
    jaxs = policy(Wolpertinger(4) if request.param == "nearest" else BestAction(), memory)
    forms = Forms.of(SPACE, ACTIONS)
    plain = ExportedPolicy(portable_policy(jaxs, forms), forms.observation, forms.action, {})
    plain.about.update(run="run", seed=0, environment="shop", versions={})
    seen = np.concatenate([RNG.integers(6, size=(ROWS, 2)), RNG.integers(K, size=(ROWS, 2))])
    truth = np.asarray(jax.jit(lambda policy, seen: policy.mode(seen))(jaxs, seen.astype(np.int32)))
    assert len(set(truth.tolist())) > 5
    return plain, seen, truth


def test_the_same_actions_in_numpy(case, tmp_path: Path) -> None:
    plain, seen, truth = case
    plain.write(tmp_path / "policy")
    np.testing.assert_array_equal(ExportedPolicy.read(tmp_path / "policy").act(seen), truth)
    program: Any = runpy.run_path(str(tmp_path / "policy" / "policy.py"))["act"]
    np.testing.assert_array_equal(program(seen.reshape(2, -1, 2)), truth.reshape(2, -1))
    assert program(seen[0]) == truth[0]


def test_the_same_actions_in_onnx(case) -> None:
    pytest.importorskip("onnx", reason="pip install 'embrl[export]'")
    runtime = pytest.importorskip("onnxruntime", reason="pip install 'embrl[dev]'")
    plain, seen, truth = case
    session = runtime.InferenceSession(onnx_model(plain), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"observation": seen})[0], truth)


def test_the_same_actions_in_torch(case) -> None:
    torch = pytest.importorskip("torch", reason="pip install 'embrl[torch]'")
    plain, seen, truth = case
    module = importlib.import_module("embrl.deploy.torch").module(plain)
    np.testing.assert_array_equal(module(torch.as_tensor(seen)).numpy(), truth)
