"""What holds for every f, and how one is chosen by name."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute_force import embeddings, masks

from embrl.core.errors import EmbrlError, UnknownNameError
from embrl.decoding import (
    DECODERS,
    BestAction,
    Decoder,
    DecoderConfig,
    Identity,
    LearnedAction,
    NearestAction,
    SoftmaxAction,
    Wolpertinger,
    build,
)

CLASSES = {
    "nearest": NearestAction,
    "wolpertinger": Wolpertinger,
    "best": BestAction,
    "learned": LearnedAction,
    "softmax": SoftmaxAction,
}
KINDS = [kind for kind in DECODERS if kind != "learned"]
"""Of discrete actions; tests/embedding/test_continuous_actions.py has the other."""


def norm(points: jax.Array, actions: jax.Array) -> jax.Array:
    """A scorer that prefers the rim."""
    del actions
    return (points**2).sum(-1)


def decide(decoder: Decoder, table, u, mask=None, key: int | None = None) -> jax.Array:
    """An action for each point of u; with a key, drawn."""
    noise = None if key is None else decoder.noise(jax.random.key(key), u.shape[:-1])
    return decoder(table, u, noise, mask, norm)


compiled = jax.jit(decide, static_argnames="key")


def made(kind: str, **changes) -> Decoder:
    return build(dataclasses.replace(DecoderConfig(), kind=kind, **changes))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", [None, 0])
@pytest.mark.parametrize("n", [1, 50])
def test_a_masked_action_is_never_taken(kind: str, key: int | None, n: int) -> None:
    rng = np.random.default_rng(n)
    table, u, mask = embeddings(rng, n, 2), 3 * embeddings(rng, 80, 2), masks(rng, 80, n, 0.1)
    u[0], u[1], u[2] = np.nan, np.inf, 3e38
    chosen = np.asarray(compiled(made(kind, temperature=5.0), table, u, mask, key=key))
    assert mask[np.arange(80), chosen].all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", [None, 0])
def test_a_lost_point_stays_within_the_table(kind: str, key: int | None) -> None:
    table = embeddings(np.random.default_rng(0), 12, 2)
    chosen = compiled(made(kind), table, np.full((50, 2), np.nan, np.float32), key=key)
    assert chosen.min() >= 0
    assert chosen.max() < 12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_batches_out_of_jit_are_as_points_inside(kind: str, batch: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    table, u, mask = jnp.asarray(embeddings(rng, 20, 2)), embeddings(rng, *batch, 2), rng.random(20)
    decoder, allowed = made(kind, k=3), jnp.asarray(mask < 0.7)
    together = decide(decoder, table, jnp.asarray(u), allowed)
    assert together.shape == batch
    assert together.dtype == jnp.int32
    for at in np.ndindex(batch):
        assert together[at] == compiled(decoder, table, u[at], allowed)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_of_what_is_no_distribution_are_one(kind: str) -> None:
    rng = np.random.default_rng(2)
    table, u = jnp.asarray(embeddings(rng, 20, 2)), jnp.asarray(embeddings(rng, 5, 2))
    decoder = made(kind)
    random = decoder.noise(jax.random.key(0), (5,)) is not None
    log_p = decoder.log_prob(table, u, decide(decoder, table, u))
    assert log_p.shape == (5,)
    assert (log_p < 0.0).all() if random else (log_p == 0.0).all()


def test_identity_gives_back_the_action_without_a_table() -> None:
    actions, f = jnp.arange(5), Identity()
    assert not f.needs_scorer
    assert f.noise(jax.random.key(0), (5,)) is None
    np.testing.assert_array_equal(f(None, actions, mask=jnp.zeros((5, 9), bool)), actions)
    np.testing.assert_array_equal(f.log_prob(None, actions, actions), 0.0)


@pytest.mark.parametrize("kind", DECODERS)
def test_a_name_gives_its_class(kind: str) -> None:
    assert list(CLASSES) == list(DECODERS)
    decoder = made(kind)
    assert type(decoder) is DECODERS[kind] is CLASSES[kind]
    assert decoder.needs_scorer == (kind in ("wolpertinger", "best"))


def test_settings_arrive() -> None:
    wolpertinger, softmax = made("wolpertinger", k=7), made("softmax", temperature=0.25)
    assert isinstance(wolpertinger, Wolpertinger)
    assert wolpertinger.k == 7
    assert isinstance(softmax, SoftmaxAction)
    assert softmax.log_temperature == pytest.approx(np.log(0.25))
    assert (softmax.log_temperature.shape, softmax.log_temperature.dtype) == ((), jnp.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, r"decoder\.k must be .* got 0$"),
        ({"k": 2.5}, r"decoder\.k must be .* got 2\.5$"),
        ({"temperature": 0.0}, r"decoder\.temperature must be .* got 0\.0$"),
        ({"temperature": -1.0}, r"decoder\.temperature must be .* got -1\.0$"),
        ({"temperature": np.inf}, r"decoder\.temperature must be .* got inf$"),
        ({"temperature": np.nan}, r"decoder\.temperature must be .* got nan$"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_settings_out_of_range_are_named(kind: str, change: dict, message: str) -> None:
    with pytest.raises(EmbrlError, match=message):
        made(kind, **change)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown decoder 'nearst': did you mean nearest"):
        made("nearst")
