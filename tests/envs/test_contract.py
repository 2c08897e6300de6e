"""What every registered environment must keep to, whatever it is."""

import ast
import dataclasses
import functools
import inspect
import itertools
import json
import math
from pathlib import Path
from typing import Any

import cattrs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tyro

from embrl.core.products import dtype_of, mask_length, shape_of
from embrl.core.registry import load_plugin
from embrl.core.spaces import check_observation
from embrl.core.types import Transition
from embrl.data.rollout import random_actions, random_transitions
from embrl.envs import ENVIRONMENTS, Environment

KEY = jax.random.key(11)
LANES, LIMIT = 6, 9


def recommender_options(folder: Path) -> dict[str, Any]:
    """A log of twenty users and five items."""
    log = folder / "log.csv"
    bought = [(user, day, (user * 7 + day * day) % 5) for user in range(20) for day in range(1, 9)]
    rows = [f"{user},2020-01-0{day},{item},{item + 1}" for user, day, item in bought]
    log.write_text("\n".join(["user,ts,item,price", *rows]) + "\n")
    return {"data": str(log), "top_items": 5}


def word_options(folder: Path, name: str) -> dict[str, Any]:
    """A few made-up sentences, and no pre-trained model."""
    path = folder / "words.csv"
    if name == "translation":
        rows = [f"one {at},un {at}" for at in range(10)]
        path.write_text("\n".join(["source,target", *rows]) + "\n")
        return {"data": str(path)}
    rows = [f"{at // 5},turn {at % 5} of tea {at * at % 7}" for at in range(100)]
    path.write_text("\n".join(["conversation,text", *rows]) + "\n")
    return {
        "data": str(path),
        "text_encoder": "words",
        "interests": 2,
        "dimensions": 4,
        "impatience": (0.05,),
    }


def image_file(folder: Path) -> str:
    """A few random images of two kinds."""
    path = folder / "images.npz"
    images = np.random.default_rng(0).random((10, 16, 16), np.float32)
    np.savez(path, images=images, labels=np.arange(10) % 2)
    return str(path)


def example(name: str) -> Any:
    """The configuration class of an environment in examples/, which is not known by name."""
    load_plugin(str(Path(__file__).parents[2] / "examples" / f"{name}.py"))
    return ENVIRONMENTS._entries.pop(name)


@pytest.fixture(scope="module", params=[*ENVIRONMENTS, "examples/corridor"])
def config(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Its defaults, save for what it cannot do without, and short episodes."""
    name: str = request.param
    if name.startswith("examples/"):
        return example(name.removeprefix("examples/"))(step_limit=LIMIT)
    options = {"actuators": 5} if name.endswith("gridworld") else {}
    if name == "recommender":
        options = recommender_options(tmp_path_factory.mktemp("log"))
    if name == "glimpses":
        options = {"data": image_file(tmp_path_factory.mktemp("images")), "glimpses": 2 * LIMIT}
    if name in ("chatbot", "translation"):
        options = word_options(tmp_path_factory.mktemp("words"), name)
    kind = ENVIRONMENTS[name]
    limited = "step_limit" in kind.__dataclass_fields__
    return kind(**options, **({"step_limit": LIMIT} if limited else {}))


@pytest.fixture(scope="module")
def env(config: Any) -> Environment:
    return config.build()


@functools.partial(jax.jit, static_argnames="steps")
def collect(env: Environment, key: jax.Array, steps: int) -> Transition:
    return random_transitions(env, key, LANES * steps, LANES)


@pytest.fixture(scope="module")
def played(env: Environment) -> Transition:
    return jax.tree.map(np.asarray, collect(env, KEY, 2 * LIMIT + 5))


def test_observations_lie_in_their_space(env: Environment, played: Transition) -> None:
    space = env.observation_space
    first = np.asarray(env.reset(KEY)[1])
    for seen in (first, played.observation, played.next_observation):
        checked = check_observation(space, seen)
        np.testing.assert_array_equal(checked, seen)
        assert checked.dtype == seen.dtype
        for one in seen.reshape(-1, *first.shape):
            assert space.contains(one)  # Gymnasium's own word


def test_types_are_strong_and_steps_can_be_chained(env: Environment) -> None:
    state, first = jax.eval_shape(env.reset, KEY)
    space = env.action_space
    action = jax.ShapeDtypeStruct(shape_of(space), dtype_of(space))
    after_state, after = jax.eval_shape(env.step, KEY, state, action)
    number = dtype_of(env.observation_space)
    for value, dtype in [
        (first, number),
        (after.observation, number),
        (after.reward, jnp.float32),
        (after.terminated, jnp.bool_),
        (after.truncated, jnp.bool_),
    ]:
        assert value.dtype == dtype
    assert after.observation.shape == first.shape
    for value in (after.reward, after.terminated, after.truncated):
        assert value.shape == ()
    for value in jax.tree.leaves((state, first, after_state, after)):
        assert not value.weak_type
    assert jax.tree.structure(state) == jax.tree.structure(after_state)
    for before, then in zip(jax.tree.leaves(state), jax.tree.leaves(after_state), strict=True):
        assert (before.shape, before.dtype) == (then.shape, then.dtype)


def test_no_parameter_is_weakly_typed(env: Environment) -> None:
    # Such an environment compiles once more for every place that its numbers come from.
    for leaf in jax.tree.leaves(env):
        assert isinstance(leaf, jax.Array)
        assert not leaf.weak_type


def test_the_step_limit_changes_nothing_but_truncation(
    config: Any, env: Environment, played: Transition
) -> None:
    # So the last observation of an episode is the true one, and rewards do not know the limit.
    if not hasattr(config, "step_limit"):
        pytest.skip("it has no limit to set")
    longer = dataclasses.replace(config, step_limit=10 * LIMIT).build()
    long = collect(longer, KEY, 2 * LIMIT + 5)
    short, long = (jax.tree.map(lambda x: np.asarray(x)[:LIMIT], each) for each in (played, long))
    for name in ("observation", "action", "reward", "next_observation", "terminated"):
        np.testing.assert_array_equal(getattr(short, name), getattr(long, name))
    assert not long.truncated.any()
    assert not short.truncated[:-1].any()
    ended = np.asarray(short.terminated).any(axis=0)
    np.testing.assert_array_equal(short.truncated[-1], ~ended)
    assert not ended.all()
    assert played.truncated.any()
    assert not (played.terminated & played.truncated).any()


def test_the_same_key_gives_the_same_episodes(env: Environment, played: Transition) -> None:
    again = collect(env, KEY, 2 * LIMIT + 5)
    other = collect(env, jax.random.key(12), 2 * LIMIT + 5)
    for one, two in zip(played, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (played.next_observation != other.next_observation).any()
    assert np.isfinite(played.reward).all()


def test_many_at_once_are_as_one_by_one(env: Environment) -> None:
    keys = jax.random.split(KEY, 12)
    actions = random_actions(env.action_space, KEY, (12,), None)

    def one(key: jax.Array, action: jax.Array) -> Any:
        key_reset, key_step = jax.random.split(key)
        state, first = env.reset(key_reset)
        return first, env.step(key_step, state, action)

    @jax.jit
    def both(keys: jax.Array, actions: jax.Array) -> Any:
        return jax.vmap(one)(keys, actions), jax.lax.map(lambda pair: one(*pair), (keys, actions))

    together, alone = both(keys, actions)
    for all_at_once, in_turn in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(all_at_once, in_turn, atol=1e-6)


def test_what_is_known_of_states_and_actions_is_consistent(
    env: Environment, played: Transition
) -> None:
    effects = env.action_effects()
    if effects is not None:
        assert len(effects) == mask_length(env.action_space)
        assert effects.ndim == 2
        assert effects.dtype == jnp.float32
        assert np.isfinite(effects).all()
    coordinates = env.state_coordinates(jnp.asarray(played.observation))
    names = env.coordinate_names
    assert (coordinates is None) == (names is None)
    if coordinates is not None and names is not None:
        assert coordinates.shape == (*played.reward.shape, len(names))
        assert coordinates.dtype == jnp.float32
        assert np.isfinite(coordinates).all()
        assert len(set(names)) == len(names)


def test_references_are_returns(env: Environment) -> None:
    found = env.references(KEY)
    assert "best_known_return" in found or env.__class__.__name__.endswith(("Gridworld", "Robot"))
    for name, value in found.items():
        assert name.endswith("_return")
        assert isinstance(value, float)
        assert math.isfinite(value)


def test_settings_are_plain_values_with_flags_and_words(config: Any) -> None:
    written = json.loads(json.dumps(dataclasses.asdict(config)))
    kind = type(config)
    assert cattrs.Converter(forbid_extra_keys=True).structure(written, kind) == config
    assert hash(config) == hash(dataclasses.replace(config))
    assert tyro.cli(kind, args=[]) == kind()
    if hasattr(config, "step_limit"):
        assert tyro.cli(kind, args=["--step-limit", "7"]) == kind(step_limit=7)


def test_every_setting_is_explained(config: Any) -> None:
    # Help shows the words under each field.
    explained = set()
    for kind in type(config).__mro__[:-1]:
        (tree,) = ast.parse(inspect.getsource(kind)).body
        assert isinstance(tree, ast.ClassDef)
        explained |= {
            field.target.id
            for field, words in itertools.pairwise(tree.body)
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(words, ast.Expr)
        }
    # Class attributes are explained too, but are no settings.
    assert explained >= {field.name for field in dataclasses.fields(config)}
