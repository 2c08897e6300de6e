import numpy as np
import pytest
from architectures import agents
from hypothesis import example, given, settings
from hypothesis import strategies as st

from embrl.agents.architecture import Architecture
from embrl.agents.canonical import aligned, canonical, permuted
from embrl.core.errors import EmbrlError

SEEDS = st.integers(0, 2**32 - 1)


def same_bits(a, b):
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert a.tobytes() == b.tobytes()


def same_function(architecture, a, b, seed):
    x = np.random.default_rng(seed).normal(size=(len(a), 5, architecture.inputs))
    np.testing.assert_allclose(logits(architecture, a, x), logits(architecture, b, x), atol=1e-9)


def logits(architecture, w, x):
    act = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}[architecture.activation]
    for number, (weight, bias) in enumerate(architecture.layers(w.astype(np.float64))):
        x = (x if number == 0 else act(x)) @ weight + bias[:, None]
    return x


@settings(deadline=None)
@given(agents(), SEEDS)
def test_copies_are_one_vector(some, seed):
    architecture, w = some
    other = permuted(architecture, w, np.random.default_rng(seed))
    found = canonical(architecture, w)
    same_bits(canonical(architecture, other), found)
    same_bits(canonical(architecture, found), found)
    same_function(architecture, other, w, seed)
    same_function(architecture, found, w, seed)


@settings(deadline=None)
@given(agents(tied=True), SEEDS)
def test_copies_are_one_vector_whatever_ties(some, seed):
    architecture, w = some
    other = permuted(architecture, w, np.random.default_rng(seed))
    found = canonical(architecture, w)
    same_bits(canonical(architecture, other), found)
    same_bits(canonical(architecture, found), found)
    same_function(architecture, found, w, seed)


@settings(deadline=None)
@given(agents(), SEEDS)
def test_an_agent_s_form_does_not_depend_on_the_others(some, seed):
    architecture, w = some
    found = canonical(architecture, w)
    for one, form in zip(w, found, strict=True):
        same_bits(canonical(architecture, one), form)


def test_by_hand():
    architecture = Architecture(1, (3,), 1)
    # units (bias, ingoing, outgoing): (-1, 2, 5), (0, -4, 6), (0, 3, 7); then the logit's bias
    w = np.array([2, -4, 3, -1, 0, 0, 5, 6, 7, 9], np.float32)
    # signed: (1, -2, -5), (0, 4, -6), (0, 3, 7); sorted: third, second, first
    wanted = np.array([3, 4, -2, 0, 0, 1, 7, -6, -5, 9], np.float32)
    same_bits(canonical(architecture, w), wanted)
    relu = Architecture(1, (3,), 1, "relu")
    wanted = np.array([2, -4, 3, -1, 0, 0, 5, 6, 7, 9], np.float32)  # in order as they are
    same_bits(canonical(relu, w), wanted)


def test_a_negative_zero_is_a_zero():
    architecture = Architecture(2, (3,), 2)
    w = np.random.default_rng(0).normal(size=architecture.size).astype(np.float32)
    w[[0, 6, 9, 15]] = 0.0
    minus = np.where(w == 0, np.float32(-0.0), w)
    same_bits(canonical(architecture, minus), canonical(architecture, w))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_ties_that_only_the_layer_behind_decides(activation):
    """Units of the first layer equal in what goes in: a ring against two triangles behind them."""
    architecture = Architecture(1, (6, 6), 1, activation)
    rng = np.random.default_rng(3)

    def agent(cycles):
        first = np.zeros((6, 6))
        at = 0
        for length in cycles:
            for step in range(length):
                first[at + step, at + step] = 1
                first[at + step, at + (step + 1) % length] = 1
            at += length
        parts = (np.ones((1, 6)), np.ones(6), first, np.ones(6), np.ones((6, 1)), np.ones(1))
        return np.concatenate([part.ravel() for part in parts]).astype(np.float32)

    ring, triangles = agent([6]), agent([3, 3])
    for w in (ring, triangles):
        for _ in range(3):
            same_bits(
                canonical(architecture, permuted(architecture, w, rng)), canonical(architecture, w)
            )
    assert (canonical(architecture, ring) != canonical(architecture, triangles)).any()


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_dead_and_equal_units_of_a_trained_size(activation):
    architecture = Architecture(4, (32, 32), 2, activation)
    rng = np.random.default_rng(1)
    w = rng.normal(size=(5, architecture.size)).astype(np.float32)
    w[0] = 0
    w[1, : 5 * 32] = 0  # nothing goes in
    w[2] = np.sign(w[2])
    first = w[3, :128].reshape(4, 32)
    first[:, :20] = first[:, :1]
    w[3, 128:148] = 0.5  # twenty alike in what goes in
    w[4, -64:] = 0  # nothing comes out
    other = permuted(architecture, w, rng)
    assert (other != w)[2:].any(-1).all()
    same_bits(canonical(architecture, other), canonical(architecture, w))


@settings(deadline=None)
@given(agents(), SEEDS)
@example((Architecture(2, (3, 3), 2), np.zeros((2, 29), np.float32)), 0)
def test_aligned_copies_are_one_vector(some, seed):
    architecture, w = some
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=architecture.size).astype(np.float32)
    found = aligned(architecture, w, reference)
    same_bits(aligned(architecture, permuted(architecture, w, rng), reference), found)
    same_bits(aligned(architecture, w, permuted(architecture, reference, rng)), found)
    same_bits(aligned(architecture, found, reference), found)
    same_function(architecture, found, w, seed)


@settings(deadline=None)
@given(agents(), SEEDS)
def test_aligned_is_as_near_as_the_canonical_order_or_nearer(some, seed):
    architecture, w = some
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=architecture.size).astype(np.float32)
    goal = canonical(architecture, reference)
    same_bits(aligned(architecture, reference, reference), goal)
    if len(architecture.hidden) == 1:  # one assignment: nothing is nearer
        far = ((aligned(architecture, w, reference) - goal) ** 2).sum(-1)
        for _ in range(20):
            other = ((permuted(architecture, w, rng) - goal) ** 2).sum(-1)
            assert (far <= other * (1 + 1e-5)).all()


def test_aligned_finds_a_disturbed_copy():
    architecture = Architecture(4, (32, 32), 2)
    rng = np.random.default_rng(0)
    reference = rng.normal(size=architecture.size).astype(np.float32)
    noise = 0.05 * rng.normal(size=(10, architecture.size)).astype(np.float32)
    copies = permuted(architecture, reference + noise, rng)
    apart = aligned(architecture, copies, reference) - canonical(architecture, reference)
    np.testing.assert_allclose((apart**2).sum(-1), (noise**2).sum(-1), rtol=1e-4)


def test_permuted_moves_units_and_keeps_the_numbers():
    architecture = Architecture(4, (8, 8), 2, "relu")
    w = np.arange(architecture.size, dtype=np.float32)[None].repeat(2, 0)
    one, other = permuted(architecture, w, np.random.default_rng(0))
    assert (one != other).any()
    np.testing.assert_array_equal(np.sort(one), w[0])


def test_what_is_wrong_is_said():
    architecture = Architecture(4, (8,), 2)
    w = np.ones((3, architecture.size), np.float32)
    with pytest.raises(EmbrlError, match=r"must be .*58"):
        canonical(architecture, w[:, 1:])
    w[1, 5] = np.nan
    with pytest.raises(EmbrlError, match="agent 1 has weights that are not finite"):
        canonical(architecture, w)
    with pytest.raises(EmbrlError, match="reference must be one agent"):
        aligned(architecture, w, w)
