"""What agents are worth: whole episodes of very many agents, each by its likeliest action.

How it is laid out, by what was measured on 2 cores (4-32-32-2 tanh, Cart-Pole, 100 episodes of 500
steps, million agent-steps for a second of both, by processor time): one agent at a time with its
episodes along the rows 14, along the columns 17; 4 agents at a time 18 and 18.6; 16 agents 18.8 and
19.8; matrix products written out as sums of columns 13. So agents take turns, for a seventh at
most: none then waits for another that lives longer, and nothing depends on who is beside whom.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from embrl.agents.architecture import ACTIVATIONS, Architecture
from embrl.core.errors import EmbrlError
from embrl.core.spaces import action_count, dimensions
from embrl.core.types import Key
from embrl.envs.environment import Environment
from embrl.training.evaluation import Episodes

CHUNK = 512
"""Agents of a device between two looks at the host: seconds, and a few megabytes."""

AXIS = "agents"


def survival(
    env: Environment,
    architecture: Architecture,
    w: Float[Array, "N size"] | np.ndarray,
    key: Key,
    episodes: int,
    *,
    chunk: int = CHUNK,
) -> Episodes:
    """Plays `episodes` whole episodes of each agent, which takes its likeliest action.

    The agent sees the observation as it is, unscaled. Episode k begins alike for all agents, and
    however many episodes there are.

    Arguments:
        w: agents; of a file that is mapped into memory, a part is read at a time.
        chunk: agents to a device at a time; it changes no result.

    **Returns** returns and lengths, NumPy, `[N, episodes]` both.

    Raises:
        EmbrlError: the architecture does not fit the environment or the weights.
    """
    _check(env, architecture, w.shape, episodes)
    devices = jax.devices()
    count, room = w.shape[0], chunk * len(devices)
    returns = np.empty((count, episodes), np.float32)
    lengths = np.empty((count, episodes), np.int32)
    for start in range(0, count, room):
        here = np.asarray(w[start : start + room], np.float32)
        # In turn, so that no device has all of the good ones if they come in order.
        dealt = np.zeros((len(devices), chunk, architecture.size), np.float32)
        shares = np.array([len(here[at :: len(devices)]) for at in range(len(devices))], np.int32)
        for at, share in enumerate(shares):
            dealt[at, :share] = here[at :: len(devices)]
        found = _everywhere(env, architecture, episodes, dealt, shares, key)
        for mine, theirs in ((returns, found.returns), (lengths, found.lengths)):
            theirs = np.asarray(theirs)
            for at, share in enumerate(shares):
                mine[start + at : start + room : len(devices)][:share] = theirs[at, :share]
    return Episodes(returns, lengths)  # type: ignore[arg-type]


def _check(
    env: Environment, architecture: Architecture, shape: tuple[int, ...], episodes: int
) -> None:
    seen, actions = dimensions(env.observation_space), action_count(env.action_space)
    if (architecture.inputs, architecture.outputs) != (seen, actions):
        raise EmbrlError(
            f"an agent {architecture} does not fit {type(env).__name__}: it needs {seen} inputs "
            f"and {actions} outputs"
        )
    if len(shape) != 2 or shape[1] != architecture.size:
        raise EmbrlError(
            f"agents {architecture} are rows of {architecture.size} weights, not {list(shape)}"
        )
    if episodes < 1:
        raise EmbrlError(f"episodes is {episodes}: choose 1 or more")


@functools.partial(jax.jit, static_argnames=("architecture", "episodes"))
def _everywhere(
    env: Environment,
    architecture: Architecture,
    episodes: int,
    w: Float[Array, "devices chunk size"],
    shares: Int[Array, " devices"],
    key: Key,
) -> Episodes:
    """Of each device, the first `shares` agents, one after another; nothing of the others."""

    def here(
        env: Environment, w: Float[Array, "1 chunk size"], share: Int[Array, "1"], key: Key
    ) -> Episodes:
        def one(at: Int[Array, ""], found: Episodes) -> Episodes:
            played = _play(env, architecture, w[0, at], key, episodes)
            return jax.tree.map(lambda kept, new: kept.at[0, at].set(new), found, played)

        shape = (1, w.shape[1], episodes)
        nothing = Episodes(jnp.zeros(shape), jnp.zeros(shape, jnp.int32))
        return jax.lax.fori_loop(0, share[0], one, nothing)

    split, whole = PartitionSpec(AXIS), PartitionSpec()
    return jax.shard_map(
        here,
        mesh=Mesh(np.array(jax.devices()), (AXIS,)),
        in_specs=(whole, split, split, whole),
        out_specs=split,
        check_vma=False,
    )(env, w, shares, key)


def _play(
    env: Environment, architecture: Architecture, w: Float[Array, " size"], key: Key, episodes: int
) -> Episodes:
    """The episodes of one agent side by side, along the last axis of everything."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(episodes, dtype=jnp.uint32))
    started = jax.vmap(env.reset, out_axes=-1)(keys)
    layers = architecture.layers(w)
    activation = ACTIVATIONS[architecture.activation]

    def act(x: Float[Array, "inputs episodes"]) -> Int[Array, " episodes"]:
        for layer in layers[:-1]:
            x = activation(layer.weight.T @ x + layer.bias[:, None])
        logits = layers[-1].weight.T @ x + layers[-1].bias[:, None]
        return jnp.argmax(logits, axis=0).astype(jnp.int32)

    # XLA drops the keys, which are slow to make, where an environment has no use for them.
    def step(now: tuple) -> tuple:
        number, (state, seen), done, returns, lengths = now
        keys_step = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
        state, after = jax.vmap(env.step, in_axes=(0, -1, 0), out_axes=(-1, -1))(
            keys_step, state, act(seen)
        )
        return (
            number + 1,
            (state, after.observation),
            done | after.terminated | after.truncated,
            returns + jnp.where(done, 0.0, after.reward),
            lengths + ~done,
        )

    *_, returns, lengths = jax.lax.while_loop(
        lambda now: ~now[2].all(),
        step,
        (
            jnp.uint32(0),
            started,
            jnp.zeros(episodes, bool),
            jnp.zeros(episodes),
            jnp.zeros(episodes, jnp.int32),
        ),
    )
    return Episodes(returns, lengths)
