"""Choosing actions beside a simulator: a small program, called at every step."""

import functools
from collections.abc import Callable
from typing import Any

import jax

Act = Callable[..., Any]


def prepared(function: Callable[..., Any]) -> Callable[[Any], Act]:
    """Compiles `function(same, *rest)` for many calls with the same first argument: what is
    returned takes that, and gives a function of the rest.

    JAX takes arguments apart at every call, Equinox's modules in Python: for a policy that would
    last as long as choosing the actions, so it is done once. And a step's choice is too small for
    more than one device: it is computed on the first.
    """

    @functools.partial(jax.jit, static_argnums=0)
    def flat(tree: Any, leaves: list[jax.Array], *rest: Any) -> Any:
        return function(jax.tree.unflatten(tree, leaves), *rest)

    def prepare(same: Any) -> Act:
        leaves, tree = jax.tree.flatten(jax.device_put(same, jax.devices()[0]))
        return functools.partial(flat, tree, leaves)

    return prepare
