import jax.numpy as jnp
import numpy as np
import pytest
from architectures import agents, architectures
from hypothesis import given, settings

from embrl.agents.architecture import Architecture, Layer
from embrl.core.errors import EmbrlError


@settings(deadline=None)
@given(agents())
def test_flat_restores_what_layers_took_apart(some):
    architecture, w = some
    again = architecture.flat(architecture.layers(w))
    assert isinstance(again, np.ndarray)
    np.testing.assert_array_equal(again, w)


def test_flat_restores_what_layers_took_apart_in_jax():
    architecture = Architecture(4, (3, 5), 2)
    w = jnp.arange(2 * 3 * architecture.size, dtype=jnp.float32).reshape(2, 3, -1)
    again = architecture.flat(architecture.layers(w))
    assert isinstance(again, jnp.ndarray)
    np.testing.assert_array_equal(again, w)


@settings(deadline=None)
@given(architectures())
def test_every_weight_is_in_one_layer(architecture):
    layers = architecture.layers(np.arange(architecture.size))
    seen = np.concatenate([np.append(weight.ravel(), bias) for weight, bias in layers])
    np.testing.assert_array_equal(np.sort(seen), np.arange(architecture.size))
    assert [weight.shape for weight, _ in layers] == list(
        zip(architecture.widths, architecture.widths[1:], strict=False)
    )


def test_logits_as_computed_by_hand():
    architecture = Architecture(2, (2,), 1, "relu")
    # hidden 0: 1 x0 + 3 x1 + 0.5; hidden 1: -2 x0 + 1 x1 - 1; logit: 2 h0 + 5 h1 + 10
    w = jnp.array([1, -2, 3, 1, 0.5, -1, 2, 5, 10], np.float32)
    x = jnp.array([[1, 1], [-2, 0], [0, -1]], np.float32)
    # h: (4.5, 0), (0, 3), (0, 0)
    np.testing.assert_allclose(architecture.logits(w, x), [[19], [25], [10]])
    hidden, _ = architecture.activities(w, x)
    np.testing.assert_allclose(hidden, [[4.5, 0], [0, 3], [0, 0]])


def test_tanh_stands_between_layers_and_not_after_the_last():
    architecture = Architecture(1, (1,), 1)
    w = jnp.array([2, 0.5, 3, -1], jnp.float32)
    got = architecture.logits(w, jnp.array([[0.25]]))
    np.testing.assert_allclose(got, [[3 * np.tanh(1) - 1]], rtol=1e-6)


def test_each_agent_sees_its_own_observations():
    architecture = Architecture(1, (), 1)
    w = jnp.array([[2, 0], [3, 1]], np.float32)
    x = jnp.array([[[1], [2]], [[1], [2]]], np.float32)
    np.testing.assert_allclose(architecture.logits(w, x)[..., 0], [[2, 4], [4, 7]])


def test_the_default_has_1250_weights():
    assert Architecture(4, (32, 32), 2).size == 5 * 32 + 33 * 32 + 33 * 2
    assert str(Architecture(4, (32, 32), 2)) == "4-32-32-2 tanh"


def test_what_is_wrong_is_said():
    with pytest.raises(EmbrlError, match="activation"):
        Architecture(4, (2,), 2, "tahn")
    with pytest.raises(EmbrlError, match="must be 1 or more, got 4-0-2"):
        Architecture(4, (0,), 2)
    with pytest.raises(EmbrlError, match=r"must be .*23.*got .5, 21"):
        Architecture(4, (3,), 2).layers(np.zeros((5, 21)))
    one = Architecture(1, (), 1)
    with pytest.raises(EmbrlError, match=r"must be 1 .*got 0"):
        one.flat([])
    with pytest.raises(EmbrlError, match="layer 0"):
        one.flat([Layer(np.zeros((2, 1)), np.zeros(1))])  # type: ignore[arg-type]
