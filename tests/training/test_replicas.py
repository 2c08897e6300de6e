"""Replicas over devices: the same results however many there are, and whatever device has them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.training.replicas import over_replicas


def _step(common: jax.Array, own: dict[str, jax.Array], nothing: None) -> dict[str, jax.Array]:
    del nothing
    return {"sum": own["a"].sum() + common, "a": own["a"] * common}


@pytest.mark.parametrize("one_by_one", [False, True], ids=["together", "one by one"])
@pytest.mark.parametrize("in_place", [False, True], ids=["filled up", "in place"])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_each_replica_has_its_own_result(count: int, in_place: bool, one_by_one: bool) -> None:
    own = {"a": jnp.arange(4.0 * count).reshape(count, 4)}
    over = over_replicas(_step, count, shared=(0,), one_by_one=one_by_one, in_place=in_place)
    for _ in range(2):
        found = over(jnp.float32(2.0), own, None)
        np.testing.assert_array_equal(found["sum"], own["a"].sum(1) + 2.0)
        np.testing.assert_array_equal(found["a"], own["a"] * 2.0)
        own = {"a": found["a"]}  # results are arguments of the next call


def test_odd_numbers_of_replicas_use_all_devices() -> None:
    if len(jax.devices()) < 2:
        pytest.skip("there is one device")
    used = over_replicas(_shard, 3)(jnp.arange(3))
    assert len(set(np.asarray(used).tolist())) == 2


def _shard(own: jax.Array) -> jax.Array:
    del own
    return jax.lax.axis_index("replicas")
