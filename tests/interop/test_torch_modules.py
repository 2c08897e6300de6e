"""Modules of PyTorch against the chains and policies that they are made of."""

import copy
import importlib
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from embrl.core.errors import EmbrlError
from embrl.deploy.array_forms import Forms
from embrl.portable.steps import (
    Affine,
    Beside,
    ByDistance,
    Categorical,
    Chain,
    Clipped,
    Column,
    FactorRows,
    Gaussian,
    MeanOne,
    MostLikely,
    Nearest,
    Original,
    PortablePolicy,
    Relu,
    Rows,
    Scaled,
    Scored,
    Slice,
    Squashed,
    SquashedGaussian,
    Standardised,
    Tanh,
    Unstandardised,
)

torch = pytest.importorskip("torch", reason="pip install 'embrl[torch]'")
module = importlib.import_module("embrl.deploy.torch").module  # it needs torch

inf = np.inf
RNG = np.random.default_rng(0)


def f32(values: Any) -> np.ndarray:
    return np.array(values, np.float32)


def i32(values: Any) -> np.ndarray:
    return np.array(values, np.int32)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


SIDES = (f32([-2, 0, 1]), f32([2, 5, 3]), np.ones(3, bool))
PARTLY = (f32([-2, -1, -1]), f32([2, 1, 1]), np.array([True, False, False]))
CENTRE, WIDTH, FAR = normal(3), abs(normal(3)), f32([1.5] * 3)
SEEN = Chain((Standardised(CENTRE, WIDTH), Clipped(-FAR, FAR)))
INTO = Clipped(f32([-2, -inf, 0]), f32([2, inf, inf]))
POINTS = normal(40, 3)

CHAINS = {
    "phi of indices": (
        Chain((Column(), FactorRows(normal(9, 5), normal(5), i32([0])), Tanh())),
        RNG.integers(0, 9, 40),
    ),
    "phi of factors": (
        Chain((FactorRows(normal(9, 5), normal(5), i32([0, 4, 7])), Relu())),
        RNG.integers(0, 2, (40, 3)),
    ),
    "both of a state": (
        Chain(
            (
                Beside(
                    (
                        Chain((Slice(0, 1),)),
                        Chain((Slice(1), Affine(normal(2, 4), normal(4)), MeanOne())),
                    )
                ),
            )
        ),
        POINTS,
    ),
    "looked up": (Chain((Rows(normal(9, 5)),)), RNG.integers(0, 9, (4, 10))),
    "standardised": (Chain((Standardised(normal(3), f32(0.3)),)), POINTS),
    "bounded": (Chain((Scaled(*SIDES, None), Affine(normal(3, 2), normal(2)), Tanh())), POINTS),
    "seen": (Chain((Scaled(*PARTLY, SEEN),)), 5 * POINTS),
    "squashed": (Chain((Scaled(*PARTLY, Chain((Squashed(),))),)), POINTS),
    "decoder": (
        Chain((Affine(normal(3, 3), normal(3)), Original(*SIDES, None), Clipped(*SIDES[:2]))),
        POINTS,
    ),
    "decoder, unbounded": (
        Chain((Original(*PARTLY, Chain((Unstandardised(CENTRE, WIDTH),))), INTO)),
        POINTS,
    ),
    "nearest": (Chain((Nearest.of(normal(30, 3)),)), POINTS.reshape(4, 10, 3)),
    "nearest allowed": (Chain((Nearest.of(normal(30, 3), np.arange(30) % 3 == 0),)), POINTS),
    "most likely": (Chain((Slice(0, 2), MostLikely())), POINTS),
}


def same(found: Any, truth: np.ndarray) -> None:
    found = found.numpy()
    assert found.shape == truth.shape
    if truth.dtype.kind == "f":
        assert found.dtype == truth.dtype
        np.testing.assert_allclose(found, truth, rtol=1e-6, atol=2e-6)
    else:
        np.testing.assert_array_equal(found, truth)


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_is_the_same_in_pytorch(name: str) -> None:
    chain, values = CHAINS[name]
    made = module(chain)
    same(made(torch.from_numpy(values)), chain(values))
    same(made(torch.tensor(values[3])), chain(values[3]))
    assert not list(made.parameters())
    # A second one takes over the first one's arrays by name.
    other = module(chain)
    for buffer in other.buffers():
        buffer.zero_()
    other.load_state_dict(copy.deepcopy(made.state_dict()))
    same(other(torch.from_numpy(values)), chain(values))


def test_a_point_is_compared_with_many_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embrl.portable.steps.AT_ONCE", 70)
    chain, values = CHAINS["nearest"]
    same(module(chain)(torch.from_numpy(values)), chain(values))


def test_buffers_move() -> None:
    made = module(CHAINS["bounded"][0]).to("meta")
    assert {buffer.device.type for buffer in made.buffers()} == {"meta"}
    assert made(torch.zeros(4, 3, device="meta")).shape == (4, 2)


@pytest.mark.parametrize("name", ["bounded", "decoder", "standardised"])
def test_gradients_flow(name: str) -> None:
    chain, values = CHAINS[name]
    made = module(chain).double()
    inside = torch.tensor([[0.1, 0.3, -0.2]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(made, (inside,))
    assert np.isfinite(values).all()


DRAWS = {
    "gaussian": (Gaussian(abs(normal(3)), True), 3),
    "unbounded": (Gaussian(abs(normal(3)), False), 3),
    "squashed": (SquashedGaussian(3, -20.0, 2.0), 6),
    "categorical": (Categorical(11), 11),
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("random_f", [False, True])
def test_a_policy_is_the_same_in_pytorch(name: str, random_f: bool) -> None:
    draw, outputs = DRAWS[name]
    points = not isinstance(draw, Categorical)
    nearest = Nearest.of(normal(12, 3), np.arange(12) != 7)
    forms = Forms.of(
        spaces.Box(-9, 9, (6,)),
        spaces.Discrete(12),
        spaces.Box(-9, 9, (2, 3), np.float64),
        spaces.MultiDiscrete(np.array([[3], [4]]), start=np.array([[1], [0]])),
    )
    most_likely = Chain((Slice(0, 3), Tanh())) if points else Chain((MostLikely(),))
    policy = PortablePolicy(
        forms.enter,
        Chain((Affine(normal(6, outputs), normal(outputs)),)),
        most_likely,
        draw,
        Chain((nearest,) if points else ()),
        ByDistance(nearest.columns, 0.7, nearest.names) if random_f and points else None,
        None,
        forms.leave,
    )
    made = module(policy)
    seen = RNG.normal(size=(500, 2, 3))
    noise = RNG.random((500, len(policy.noise))).astype(np.float32)
    same(made(torch.from_numpy(seen)), policy(seen))
    same(made(torch.from_numpy(seen), torch.from_numpy(noise)), policy(seen, noise))
    mask = RNG.random((500, 12 if points else outputs)) < 0.3
    mask[:, 5] = True
    given = torch.from_numpy(seen), torch.from_numpy(noise), torch.from_numpy(mask)
    same(made(*given), policy(seen, noise, mask))
    same(made(given[0], mask=given[2]), policy(seen, mask=mask))


@pytest.mark.parametrize("k", [1, 4, 99, None])
def test_a_critic_is_asked_in_pytorch_as_in_numpy(k: int | None) -> None:
    table, d, h = normal(12, 3), 3, 8
    first = [Chain((Affine(normal(5, h), normal(h)),)) for _ in range(2)]
    rest = [Chain((Relu(), Affine(normal(h, 1), normal(1)))) for _ in range(2)]
    scored = Scored(table, k, (first[0], first[1]), normal(2, d, h), (rest[0], rest[1]))
    draw = SquashedGaussian(d, -20.0, 2.0)
    head = Affine(normal(5, 2 * d), normal(2 * d))
    none = Chain(())
    most_likely = Chain((Slice(0, d), Tanh()))
    policy = PortablePolicy(none, Chain((head,)), most_likely, draw, none, None, scored, none)
    seen, noise = normal(200, 5), normal(200, d)
    found = policy(seen, noise)
    same(module(policy)(torch.from_numpy(seen), torch.from_numpy(noise)), found)
    same(module(policy)(torch.from_numpy(seen)), policy(seen))
    mask = RNG.random((200, 12)) < 0.3
    mask[:, 5] = True
    same(
        module(policy)(torch.from_numpy(seen), mask=torch.from_numpy(mask)), policy(seen, mask=mask)
    )
    u = policy.draw(head(seen), noise)
    for x, point, action in zip(seen, u, found, strict=True):  # said again, action by action
        near = np.argsort(((table - point) ** 2).sum(-1))[: k or 12]
        values = [
            min(
                float(above(below(x) + table[a] @ weights)[0])
                for below, weights, above in zip(first, scored.beside, rest, strict=True)
            )
            for a in near
        ]
        assert action == near[np.argmax(values)]


@pytest.mark.parametrize("continuous", [False, True])
def test_an_embedding(continuous: bool) -> None:
    import jax

    from embrl.embedding.config import EmbeddingConfig
    from embrl.embedding.model import JointEmbedding

    actions: spaces.Space = spaces.Box(-2, 2, (2,)) if continuous else spaces.Discrete(7)
    config = EmbeddingConfig(state_dim=4, action_dim=3, state_spread=0.7, action_spread=0.7)
    model = jax.jit(lambda key: JointEmbedding(spaces.Box(-1, 1, (2,)), actions, config, key=key))(
        jax.random.key(0)
    )
    allowed = None if continuous else np.arange(7) > 2
    table = None if continuous else np.asarray(model.g.table)
    made = module(SimpleNamespace(model=model, table=table, allowed=allowed))
    seen = RNG.uniform(-1, 1, (20, 2)).astype(np.float32)
    same(made.phi(torch.from_numpy(seen)), np.asarray(model.phi(jnp.asarray(seen))))
    same(made(torch.from_numpy(seen)), np.asarray(model.phi(jnp.asarray(seen))))
    acted = seen if continuous else np.arange(7)
    e = np.asarray(model.g(jnp.asarray(acted)))
    same(made.g(torch.from_numpy(acted)), e)
    if continuous:
        assert model.f is not None
        same(made.f(torch.from_numpy(np.array(e))), np.asarray(model.f(jnp.asarray(e))))
    else:
        found = made.f(torch.from_numpy(np.array(e)))
        assert found[3:].tolist() == [3, 4, 5, 6]
        assert min(found) > 2


@pytest.mark.slow
def test_a_fitted_embedding() -> None:
    import embrl

    fitted = embrl.fit("FrozenLake-v1", timesteps=200, pretrain={"gradient_steps": 3})
    made = module(fitted)
    same(made.phi(torch.arange(16)), fitted.phi(np.arange(16)))
    same(made.g(torch.arange(4)), fitted.g(np.arange(4)))
    same(made.f(torch.from_numpy(POINTS[:, : fitted.d].copy())), fitted.f(POINTS[:, : fitted.d]))


def test_what_is_none_of_these_is_named() -> None:
    with pytest.raises(EmbrlError, match=r"int is not a module; pass an embrl\.Embedding"):
        module(3)
    with pytest.raises(EmbrlError, match="function has no form in PyTorch"):
        module(Chain((lambda values: values,)))
