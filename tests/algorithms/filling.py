"""Models with given numbers in them."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Model = TypeVar("Model")


def fill(model: Model, arrays: list[Any]) -> Model:
    """The model with these arrays in the place of its own, in their order; shapes must agree."""
    own, structure = jax.tree.flatten(model)
    made = [jnp.asarray(array, jnp.result_type(float)) for array in arrays]
    assert [leaf.shape for leaf in own] == [leaf.shape for leaf in made]
    return jax.tree.unflatten(structure, made)


def arrays_of(model: Any) -> list[np.ndarray]:
    """The other way round."""
    return [np.asarray(leaf) for leaf in jax.tree.leaves(model)]
