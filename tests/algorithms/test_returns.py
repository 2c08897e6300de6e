"""GAE by hand, at both ends of lambda, and lane by lane."""

import jax
import numpy as np
import pytest

from embrl.algorithms.on_policy import generalised_advantages

advantages = jax.jit(generalised_advantages)

REWARD = np.array([1.0, 2.0, 3.0, 4.0])
VALUE = np.array([0.5, 1.0, 1.5, 2.0])
NEXT_VALUE = np.array([1.0, 10.0, 2.0, 3.0])  # 10: of the true s' after the second step
NEVER = np.zeros(4, bool)
AFTER_SECOND = np.array([False, True, False, False])


def random_batch(*shape: int) -> tuple[np.ndarray, ...]:
    """Rewards, values, next values and ends at random places, with time first."""
    rng = np.random.default_rng(0)
    reward, value, next_value = rng.normal(size=(3, *shape))
    end = rng.random(shape)
    return reward, value, next_value, end < 0.1, (end > 0.1) & (end < 0.25)


def test_a_termination_cuts_off_value_and_trace() -> None:
    # gamma = lambda = 1/2. delta = r + gamma V' - V, with V' = 0 after the second step:
    # 1 + .5 - .5 = 1;  2 - 1 = 1;  3 + 1 - 1.5 = 2.5;  4 + 1.5 - 2 = 3.5.
    # From the back, with gamma lambda = 1/4: 3.5; 2.5 + 3.5/4; 1; 1 + 1/4.
    ours = advantages(REWARD, VALUE, NEXT_VALUE, AFTER_SECOND, NEVER, 0.5, 0.5)
    np.testing.assert_allclose(ours, [1.25, 1.0, 3.375, 3.5])


def test_a_truncation_cuts_off_the_trace_but_keeps_the_value() -> None:
    # As above, but the second delta is 2 + .5 * 10 - 1 = 6: what comes after the limit counts.
    ours = advantages(REWARD, VALUE, NEXT_VALUE, NEVER, AFTER_SECOND, 0.5, 0.5)
    np.testing.assert_allclose(ours, [2.5, 6.0, 3.375, 3.5])


def test_without_an_end_the_trace_runs_through() -> None:
    ours = advantages(REWARD, VALUE, NEXT_VALUE, NEVER, NEVER, 0.5, 0.5)
    np.testing.assert_allclose(ours, [1 + 6.84375 / 4, 6 + 3.375 / 4, 3.375, 3.5])


def test_lambda_one_is_the_discounted_return_less_the_value() -> None:
    reward, value, next_value, terminated, truncated = random_batch(40)
    # Along an episode the next value is the next step's; only at an end may it be another.
    inner = ~(terminated | truncated)[:-1]
    next_value[:-1][inner] = value[1:][inner]
    gamma = 0.9
    returns = np.zeros(41)
    for t in reversed(range(40)):
        follows = returns[t + 1]
        if truncated[t] or t == 39:
            follows = next_value[t]
        if terminated[t]:
            follows = 0.0
        returns[t] = reward[t] + gamma * follows
    ours = advantages(reward, value, next_value, terminated, truncated, gamma, 1.0)
    np.testing.assert_allclose(ours, returns[:-1] - value, rtol=1e-5, atol=1e-5)


def test_lambda_zero_is_the_one_step_error() -> None:
    reward, value, next_value, terminated, truncated = random_batch(40)
    ours = advantages(reward, value, next_value, terminated, truncated, 0.9, 0.0)
    error = reward + 0.9 * next_value * ~terminated - value
    np.testing.assert_allclose(ours, error, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("how", ["extra axis", "vmap"])
def test_lanes_do_not_touch_each_other(how: str) -> None:
    batch = random_batch(12, 5)
    if how == "vmap":
        many = jax.vmap(lambda *b: advantages(*b, 0.9, 0.8), in_axes=1, out_axes=1)(*batch)
    else:
        many = advantages(*batch, 0.9, 0.8)
    for lane in range(5):
        alone = advantages(*(column[:, lane] for column in batch), 0.9, 0.8)
        np.testing.assert_allclose(many[:, lane], alone, rtol=1e-6)
