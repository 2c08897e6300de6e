"""Actions that name what is observed: the echo head, and actions tied to points of X."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from worlds import drawing, embedded, log_softmax, network, steps, trained

from embrl.core.errors import EmbrlError
from embrl.core.types import Transition
from embrl.embedding.config import EchoConfig, EmbeddingConfig
from embrl.embedding.encoders import StateEncoder
from embrl.embedding.model import JointEmbedding
from embrl.embedding.objectives.rewards import Outcome
from embrl.embedding.pretraining import start
from embrl.embedding.transition import ECHO_GAIN, EchoTransition, TransitionModel

KEY = jax.random.key(0)
PAIR = spaces.MultiDiscrete([3, 5])
FIVE = spaces.Discrete(5)
ECHO = EmbeddingConfig(state_dim=4, action_dim=4, head="echo", transition_hidden=())
TIED = EchoConfig(tie=True)
predict = eqx.filter_jit(lambda model, s, a: model.predict(s, a))


def echo_model(
    config: EmbeddingConfig = ECHO, kappa: float = 0.7, delta: float = 1e-30, **choices
) -> JointEmbedding:
    """Of a world with factors of 3 and 5 values, whose actions name those of the second."""
    choices = {"objectives": ("forward", "outcome"), "named": 1, "echo": TIED, **choices}
    model = JointEmbedding(PAIR, FIVE, config, key=KEY, **choices)
    return eqx.tree_at(
        lambda m: (m.T.kappa, m.T.log_delta), model, (jnp.float32(kappa), jnp.log(delta))
    )


def paying(model: JointEmbedding, of_values: list[float]) -> Outcome:
    """Its outcome, made to pay that for the values of the second factor."""
    outcome = model.parts["outcome"]
    assert isinstance(outcome, Outcome)
    table = jnp.array([0.3, -0.1, 0.2, *of_values])[:, None]
    return eqx.tree_at(lambda o: o.network.layers[0].table, outcome, table)


def some_states() -> jax.Array:
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.integers(PAIR.nvec, size=(6, 2)), jnp.int32)


@pytest.mark.parametrize("hidden", [(), (7,)])
def test_the_named_value_alone_is_raised(hidden: tuple[int, ...]) -> None:
    model = echo_model(
        EmbeddingConfig(state_dim=4, action_dim=4, head="echo", transition_hidden=hidden)
    )
    assert isinstance(model.T, EchoTransition)
    states, actions = some_states(), jnp.array([0, 4, 2, 2, 1, 3])
    logits = ECHO_GAIN * network(model.T.network, embedded(model, states))
    logits[np.arange(6), 3 + np.asarray(actions)] += 0.7
    first, second = (np.asarray(part) for part in predict(model, states, actions))
    np.testing.assert_allclose(first, logits[:, :3], atol=1e-5)
    np.testing.assert_allclose(log_softmax(second), log_softmax(logits[:, 3:]), atol=1e-5)


def test_a_named_value_becomes_as_many_times_as_likely_as_it_should() -> None:
    model = echo_model(kappa=float(np.log(3.0)))
    plain, raised = (
        np.exp(log_softmax(np.asarray(predict(each, some_states(), jnp.full(6, 2))[1])))
        for each in (echo_model(kappa=0.0), model)
    )
    weights = plain * np.array([1, 1, 3, 1, 1])
    np.testing.assert_allclose(raised, weights / weights.sum(-1, keepdims=True), rtol=1e-4)
    added = echo_model(kappa=0.0, delta=0.25)
    raised = np.exp(log_softmax(np.asarray(predict(added, some_states(), jnp.full(6, 2))[1])))
    weights = plain + np.array([0, 0, 0.25, 0, 0])
    np.testing.assert_allclose(raised, weights / 1.25, rtol=1e-4)


@pytest.mark.parametrize("hidden", [(), (7,)])
@pytest.mark.parametrize(("kappa", "delta"), [(-0.5, 1e-9), (0.0, 0.1), (1.1, 1e-9), (5.0, 2.0)])
def test_the_closed_form_is_the_mean_over_the_prediction(
    hidden: tuple[int, ...], kappa: float, delta: float
) -> None:
    config = EmbeddingConfig(state_dim=4, action_dim=4, head="echo", transition_hidden=hidden)
    model = echo_model(config, kappa, delta)
    outcome, states = paying(model, [1.0, -2.0, 0.0, 5.0, 20.0]), some_states()
    candidates = jnp.broadcast_to(jnp.arange(5), (6, 5))
    x, table, points = model.phi(states), model.g.table, model.phi.points
    short = eqx.filter_jit(model.T.expected)(x, table, points, jnp.arange(5), outcome)
    long = TransitionModel.expected(model.T, x, table, points, candidates, outcome)
    # Up to what is the same for all candidates of a state.
    np.testing.assert_allclose(
        short - short[:, :1], np.asarray(long) - np.asarray(long)[:, :1], atol=2e-4
    )
    few = model.T.expected(x, table[:2], points, jnp.tile(jnp.array([3, 1]), (6, 1)), outcome)
    np.testing.assert_allclose(few, short[:, jnp.array([3, 1])], atol=1e-6)


def test_tied_actions_lie_where_the_values_do() -> None:
    model = echo_model()
    np.testing.assert_array_equal(model.g.table, model.phi.points[1])
    free = echo_model(echo=EchoConfig())
    assert not np.array_equal(free.g.table, free.phi.points[1])
    single = JointEmbedding(
        FIVE, FIVE, EmbeddingConfig(state_dim=3, action_dim=3), echo=TIED, named=0, key=KEY
    )
    np.testing.assert_array_equal(single.g.table, single.phi.points[0])


def test_what_is_learned_of_tied_actions_is_learned_of_the_values() -> None:
    model = JointEmbedding(
        PAIR, FIVE, EmbeddingConfig(state_dim=4, action_dim=4), echo=TIED, named=1, key=KEY
    )
    assert isinstance(model.phi, StateEncoder)
    rows = model.phi.rows[1]

    def of_an_action(model: JointEmbedding) -> jax.Array:
        return model.tied().g(jnp.int32(4)).sum()

    gradient = eqx.filter_grad(of_an_action)(model)
    expected = np.zeros(rows.shape)
    expected[4] = 1.0 - np.tanh(rows[4]) ** 2
    np.testing.assert_allclose(gradient.phi.rows[1], expected, rtol=1e-5)
    assert not np.any(gradient.phi.rows[0])
    assert not np.any(gradient.g.rows)


def shop(count: int = 40_000, factor: float = 3.0, added: float = 0.0) -> Transition:
    """Customers who prefer what comes after the last item, and what they are shown."""
    rng = np.random.default_rng(0)
    state, action = rng.integers(PAIR.nvec, size=(count, 2)), rng.integers(5, size=count)
    likely = np.full((count, 5), 1.0)
    likely[np.arange(count), (state[:, 1] + 1) % 5] = 4.0
    likely /= likely.sum(-1, keepdims=True)
    likely[np.arange(count), action] *= factor
    likely[np.arange(count), action] += added
    bought = (likely.cumsum(-1) < rng.random((count, 1)) * likely.sum(-1, keepdims=True)).sum(-1)
    after = np.stack([state[:, 1] % 3, bought], axis=-1)
    return steps(state, action, after, bought == 2)


@pytest.mark.parametrize(("factor", "added"), [(3.0, 0.0), (1.0, 0.3)])
def test_two_numbers_are_learned_of_all_actions_and_they_stay_tied(
    factor: float, added: float
) -> None:
    moves = shop(factor=factor, added=added)
    model, _ = trained(
        echo_model(kappa=0.0, delta=1e-3),
        drawing(moves, 256),
        {"forward": 1.0, "outcome": 1.0},
        2000,
    )
    assert isinstance(model.T, EchoTransition)
    # Of values all about as likely, the two can hardly be told apart: so what they come to.
    share = 1.0 / 8.0
    boost = jnp.expm1(model.T.kappa) * share + jnp.exp(model.T.log_delta)
    assert boost == pytest.approx((factor - 1.0) * share + added, abs=0.06)
    np.testing.assert_array_equal(model.g.table, model.phi.points[1])
    assert np.ptp(model.g.table, axis=0).min() > 0.05


def test_untied_embeddings_are_left_as_they_are() -> None:
    model = JointEmbedding(PAIR, FIVE, EmbeddingConfig(state_dim=4, action_dim=4), named=1, key=KEY)
    assert model.tied() is model
    plain = JointEmbedding(PAIR, FIVE, EmbeddingConfig(state_dim=4, action_dim=4), key=KEY)
    for ours, theirs in zip(jax.tree.leaves(model), jax.tree.leaves(plain), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_seeds_side_by_side_are_as_one_by_one() -> None:
    keys = jax.random.split(KEY, 2)
    batch = jax.tree.map(lambda column: column[:50], shop(60))

    def value(key):
        model = JointEmbedding(
            PAIR, FIVE, ECHO, echo=TIED, objectives=("forward",), named=1, key=key
        )
        return model.parts["forward"](start(model).model, batch)

    together = jax.jit(jax.vmap(value))(keys)
    np.testing.assert_allclose(together, [value(key) for key in keys], rtol=1e-5)


def test_where_actions_name_nothing_there_is_no_echo() -> None:
    for space, named in ((PAIR, None), (spaces.Box(-1.0, 1.0, (2,)), 1)):
        with pytest.raises(EmbrlError, match=r"^embedding\.head must be .*got echo"):
            JointEmbedding(
                space, FIVE, EmbeddingConfig(state_dim=4, head="echo"), named=named, key=KEY
            )
