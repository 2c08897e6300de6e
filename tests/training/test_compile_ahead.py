"""Compilation in other threads: the same programs, and errors where they belong."""

import jax.numpy as jnp
import numpy as np
import pytest

from embrl.training import compile_ahead
from embrl.training.compile_ahead import CompileAhead
from embrl.training.replicas import Program, over_replicas


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(compile_ahead, "available_cores", lambda: 2)


def program(function, count=1) -> Program:
    return Program(over_replicas(lambda values, x: function(x), count), {})


@pytest.mark.parametrize("count", [2, 3], ids=["even", "filled up"])
def test_a_program_is_traced_once_and_takes_what_another_returns(count):
    traced = []

    def second(x):
        traced.append(x.shape)
        return x.sum()

    begin, end = program(lambda x: x + 1.0, count), program(second, count)
    x = jnp.ones((count, 4))
    ahead = CompileAhead([begin, end], lambda expect: expect(end, expect(begin, x)))
    np.testing.assert_array_equal(end(begin(x)), np.full(count, 8.0))
    assert traced == [(4,)]
    ahead.stop()


def test_an_error_is_raised_where_the_program_is_called():
    def broken(x):
        raise RuntimeError("of the environment")

    first, second = program(broken), program(jnp.negative)
    ahead = CompileAhead([first, second], lambda expect: expect(second, expect(first, jnp.ones(1))))
    with pytest.raises(RuntimeError, match="of the environment"):
        first(jnp.ones(1))
    assert second(jnp.ones(1)) == -1.0  # it was never reached, and nobody waits for it
    ahead.stop()
