"""Wrapped environments against the same done by hand."""

import copy
import dataclasses
import json
import multiprocessing
import pickle
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from untrained import embedding_of

from embrl.core.errors import EmbrlError
from embrl.decoding.search import nearest
from embrl.envs.gym.flat_actions import Actions
from embrl.envs.gym.flat_observations import Observations
from embrl.interop import wrappers
from embrl.interop.space_adapters import fast_to_original
from embrl.interop.wrappers import EmbeddedVectorEnv, wrap

pytestmark = pytest.mark.usefixtures("quick")

EmbeddedEnv: Any = wrappers.EmbeddedEnv  # with parts that may be None


class Echo(gymnasium.Env):
    """Remembers what it was asked to do, and shows what it is told to."""

    def __init__(self, observations: spaces.Space, actions: spaces.Space, mask: Any = None):
        self.observation_space, self.action_space, self.mask = observations, actions, mask
        self.done: list[Any] = []
        self.shown: Any = None

    def info(self):
        return {} if self.mask is None else {"action_mask": self.mask}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.shown = self.observation_space.sample()
        return self.shown, self.info()

    def step(self, action) -> Any:
        assert self.action_space.contains(action), action
        self.done.append(action)
        self.shown = self.observation_space.sample()
        return self.shown, 0.0, False, len(self.done) % 3 == 0, self.info()


OBSERVATIONS = {
    "discrete": spaces.Discrete(12),
    "from 3": spaces.Discrete(5, start=3),
    "factors": spaces.MultiDiscrete([3, 4]),
    "bits": spaces.MultiBinary((2, 2)),
    "box": spaces.Box(-1, 2, (2, 2), np.float32),
    "free": spaces.Box(-np.inf, np.inf, (3,), np.float64),
    "dict": spaces.Dict({"a": spaces.Box(0, 1, (2,), np.float32), "b": spaces.Discrete(3)}),
}
ACTIONS = {
    "discrete": spaces.Discrete(7),
    "from 3": spaces.Discrete(7, start=3),
    "factors": spaces.MultiDiscrete([2, 3, 4]),
    "factors from 1": spaces.MultiDiscrete([2, 3], start=[1, -1]),
    "bits": spaces.MultiBinary((2, 3)),
    "dict": spaces.Dict({"a": spaces.Discrete(3), "b": spaces.MultiBinary(2)}),
    "box": spaces.Box(-2, 2, (2,), np.float32),
    "free": spaces.Box(-np.inf, np.inf, (2,), np.float32),
}
KINDS = [(o, "discrete") for o in OBSERVATIONS] + [("discrete", a) for a in ACTIONS]


@pytest.mark.parametrize(("observations", "actions"), KINDS)
def test_a_step_is_phi_after_and_f_before(observations, actions):
    env = Echo(OBSERVATIONS[observations], ACTIONS[actions])
    embedding = embedding_of(env)
    wrapped = EmbeddedEnv(env, embedding)
    forms = Observations(env.observation_space), Actions(env.action_space)
    seen, _ = wrapped.reset(seed=0)
    wrapped.action_space.seed(0)
    low, high = wrapped.actions.reach
    for _ in range(20):
        x = embedding.model.phi(forms[0](env.shown))
        expected = (x - embedding.norm.centre) / embedding.norm.width
        np.testing.assert_allclose(seen, expected, rtol=1e-4, atol=1e-5)
        assert seen.dtype == np.float32
        assert wrapped.observation_space.contains(seen)
        action = wrapped.action_space.sample()
        seen, *_ = wrapped.step(action)
        e = (low + high) / 2 + action * (high - low) / 2
        if embedding.table is None:
            chosen = embedding.model.f(e)
            np.testing.assert_allclose(forms[1].from_original(env.done[-1]), chosen, atol=1e-4)
        else:
            chosen = nearest(embedding.model.g.table, e)
            assert forms[1].from_original(env.done[-1]) == chosen


@pytest.mark.parametrize("name", [name for name in ACTIONS if "box" not in name])
def test_quick_actions_are_those_of_the_tables(name, monkeypatch):
    actions = Actions(ACTIONS[name])
    if isinstance(actions.space, spaces.Box):
        pytest.skip("numbers have no table")
    every = np.arange(actions.space.n, dtype=np.int32)
    for most in (2**22, 0):
        monkeypatch.setattr("embrl.interop.space_adapters.MAX_TABLE", most)
        fast = fast_to_original(actions)
        for index in every:
            assert actions.original.contains(fast(index))
            assert actions.from_original(fast(index)) == index
        np.testing.assert_array_equal(actions.from_original(fast(every)), every)


def test_an_action_that_is_kept_and_changed_does_not_change_the_next():
    fast = fast_to_original(Actions(spaces.MultiDiscrete([2, 3])))
    fast(np.int32(4))[:] = 0
    np.testing.assert_array_equal(fast(np.int32(4)), [1, 1])
    env = Echo(spaces.Discrete(3), spaces.Discrete(2))
    wrapped = EmbeddedEnv(env, embedding_of(env))
    first = wrapped.states(1)
    kept = first.copy()
    first[:] = 9.0
    np.testing.assert_array_equal(wrapped.states(1), kept)


def test_either_side_can_be_left_as_it_is():
    env = Echo(spaces.Discrete(5), spaces.Discrete(7))
    embedding = embedding_of(env)
    states = EmbeddedEnv(env, embedding, actions=False)
    assert states.action_space == env.action_space
    assert states.observation_space.shape == (3,)
    states.reset()
    states.step(4)
    assert env.done[-1] == 4
    actions = EmbeddedEnv(env, embedding, states=False)
    assert actions.observation_space == env.observation_space
    assert actions.reset()[0] == env.shown
    with pytest.raises(EmbrlError, match="neither states nor actions"):
        EmbeddedEnv(env, embedding, states=False, actions=False)
    ra = embedding_of(env, states=False)
    assert EmbeddedEnv(env, ra).observation_space == env.observation_space
    with pytest.raises(EmbrlError, match=r"states.*method ra"):
        EmbeddedEnv(env, ra, states=True)


def test_the_corners_of_the_box_are_where_actions_lie():
    env = Echo(spaces.Discrete(5), spaces.Discrete(40))
    embedding = embedding_of(env)
    wrapped = EmbeddedEnv(env, embedding)
    low, high = wrapped.actions.reach
    np.testing.assert_array_equal(low, embedding.table.min(0))
    np.testing.assert_array_equal(high, embedding.table.max(0))
    for action in range(40):  # every one can be chosen, from within the box
        e = (embedding.table[action] - low) / (high - low) * 2 - 1
        assert wrapped.original_action(e.astype(np.float32)) == action
    fewer = EmbeddedEnv(env, embedding, reach=(low - 1, high + 1))
    assert fewer.original_action(np.zeros(2)) == wrapped.original_action(np.zeros(2))


def test_a_mask_in_info_restricts_f():
    mask = np.zeros(9, np.int8)
    mask[[2, 5]] = 1
    env = Echo(spaces.Discrete(5), spaces.Discrete(9), mask)
    wrapped = EmbeddedEnv(env, embedding_of(env))
    wrapped.reset(seed=0)
    wrapped.action_space.seed(0)
    for _ in range(30):
        wrapped.step(wrapped.action_space.sample())
    assert set(env.done) == {2, 5}
    env.mask = np.zeros(9, bool)
    wrapped.step(np.zeros(2))
    with pytest.raises(EmbrlError, match=r"mask.*none"):
        wrapped.step(np.zeros(2))
    env.mask = np.ones(4, bool)
    with pytest.raises(EmbrlError, match=r"mask.*\[9\].*\[4\]"):
        wrapped.reset()
    heedless = EmbeddedEnv(env, embedding_of(env), masks=False)
    heedless.reset()
    heedless.step(np.zeros(2))


def test_a_method_action_masks_is_asked_at_each_step():
    class Asked(Echo):
        def action_masks(self):
            return np.arange(6) == len(self.done)

    env = Asked(spaces.Discrete(5), spaces.Discrete(6))
    wrapped = EmbeddedEnv(env, embedding_of(env))
    wrapped.reset()
    for _ in range(6):
        wrapped.step(np.zeros(2))
    assert env.done == list(range(6))


def test_removed_actions_are_never_chosen():
    env = Echo(spaces.Discrete(5), spaces.Discrete(9))
    allowed = np.isin(np.arange(9), [1, 4, 8])
    embedding = dataclasses.replace(embedding_of(env), allowed=allowed)
    wrapped = EmbeddedEnv(env, embedding)
    wrapped.reset()
    wrapped.action_space.seed(0)
    for _ in range(40):
        wrapped.step(wrapped.action_space.sample())
    assert set(env.done) == {1, 4, 8}


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("kind", ["dict", "discrete", "free"])
def test_a_vector_of_environments_is_each_of_them(kind, mode):
    def make():
        return Echo(copy.deepcopy(OBSERVATIONS[kind]), spaces.MultiDiscrete([3, 4]))

    embedding = embedding_of(make())
    vector = EmbeddedVectorEnv(SyncVectorEnv([make] * 3, autoreset_mode=mode), embedding)
    single = SyncVectorEnv([lambda: EmbeddedEnv(make(), embedding)] * 3, autoreset_mode=mode)
    assert vector.single_observation_space == single.single_observation_space
    assert vector.action_space == single.action_space
    ours, _ = vector.reset(seed=7)
    theirs, _ = single.reset(seed=7)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    vector.action_space.seed(0)
    for _ in range(7):
        actions = vector.action_space.sample()
        ours, *_, infos = vector.step(actions)
        theirs, *_, expected = single.step(actions)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
        assert ("final_obs" in infos) == ("final_obs" in expected)
        for index in np.flatnonzero(expected.get("_final_obs", ())):
            np.testing.assert_allclose(
                infos["final_obs"][index], expected["final_obs"][index], rtol=1e-5, atol=1e-6
            )


def test_masks_of_a_vector_are_each_ones_own():
    masks = iter([np.arange(5) == 1, np.arange(5) == 3, None])

    def make():
        return Echo(spaces.Discrete(4), spaces.Discrete(5), next(masks))

    env = SyncVectorEnv([make] * 3)
    vector = wrap(env, embedding_of(Echo(spaces.Discrete(4), spaces.Discrete(5))))
    vector.reset(seed=0)
    vector.action_space.seed(0)
    for _ in range(20):
        vector.step(vector.action_space.sample())
    envs: Any = env.envs
    done = [set(env.done) for env in envs]
    assert done[:2] == [{1}, {3}]
    assert len(done[2]) > 1


NOT_FITTING = [
    (spaces.Discrete(5), spaces.Discrete(6), "it has 5 values, and must have 6"),
    (
        spaces.MultiDiscrete([3, 4]),
        spaces.MultiDiscrete([3, 5]),
        "factor 1 has 4 values, and must have 5",
    ),
    (
        spaces.MultiDiscrete([3, 4]),
        spaces.MultiDiscrete([3]),
        "it has 2 factors, and must have 1",
    ),
    (spaces.Box(-1, 1, (3,)), spaces.Box(-1, 1, (4,)), "it has 3 coordinates, and must have 4"),
    (
        spaces.Box(np.array([-1, -2], np.float32), np.array([1, 1], np.float32)),
        spaces.Box(-1, 1, (2,)),
        "coordinate 1 is -2 to 1, and must be -1 to 1",
    ),
    (spaces.Discrete(5), spaces.Box(-1, 1, (4,)), r"it is Discrete\(5\), and must be Box"),
]


@pytest.mark.parametrize(("has", "needs", "message"), NOT_FITTING)
def test_an_embedding_that_does_not_fit_is_refused(has, needs, message):
    three = spaces.Discrete(3)
    embedding = embedding_of(Echo(needs, three))
    said = "observations of Echo do not fit the embedding: " + message
    with pytest.raises(EmbrlError, match=said) as error:
        wrap(Echo(has, three), embedding)
    assert "\n" not in str(error.value)
    with pytest.raises(
        EmbrlError, match=r"actions of Echo do not fit .*: it has 4 values, and must have 3"
    ):
        wrap(Echo(needs, spaces.Discrete(4)), embedding)


def test_a_narrower_box_fits_one_without_bounds():
    embedding = embedding_of(Echo(spaces.Box(-np.inf, np.inf, (2,)), spaces.Discrete(3)))
    wrap(Echo(spaces.Box(-1, 1, (2,)), spaces.Discrete(3)), embedding).reset()


def test_what_is_no_point_or_no_state_is_refused():
    env = Echo(spaces.Discrete(4), spaces.Discrete(5))
    wrapped = EmbeddedEnv(env, embedding_of(env))
    wrapped.reset()
    with pytest.raises(EmbrlError, match=r"action must be a point of E.*\[3\]"):
        wrapped.step(np.zeros(3))
    with pytest.raises(EmbrlError, match=r"action must be a point of E.*\[\]"):
        wrapped.step(np.float32(1.0))
    for state in (-1, 4):
        with pytest.raises(EmbrlError, match=f"gave {state} of its observation"):
            wrapped.states(state)
    with pytest.raises(EmbrlError, match="is no environment"):
        wrap(3, embedding_of(env))
    with pytest.raises(EmbrlError, match="NoSuchThing-v0"):
        wrap("NoSuchThing-v0", embedding_of(env))


def test_an_environment_that_returns_something_else_is_told_what_to_return():
    env: Any = Echo(spaces.Box(-1, 1, (2,)), spaces.Discrete(5))
    env.spec = "v0"
    wrapped = EmbeddedEnv(env, embedding_of(env))
    with pytest.raises(EmbrlError, match="action must be an array of numbers"):
        wrapped.step([[1], [1, 2]])
    for result, said in (((1, 2, 3, 4), "a tuple of 4"), (([[1], [1, 2]], 0, 0, 0, {}), "several")):
        env.step = lambda _, result=result: result
        with pytest.raises(EmbrlError, match=said):
            wrapped.step(np.zeros(wrapped.action_space.shape))
    env.reset = lambda **_: np.zeros(2)
    with pytest.raises(EmbrlError, match="reset must return a pair"):
        wrapped.reset()


def test_wrap_takes_an_id_and_a_folder(tmp_path):
    embedding = embedding_of(gymnasium.make("FrozenLake-v1"))
    embedding.save(tmp_path / "lake")
    env = wrap("FrozenLake-v1", tmp_path / "lake", masks=False)
    seen, _ = env.reset(seed=0)
    np.testing.assert_allclose(
        seen, (embedding.phi(0) - embedding.norm.centre) / embedding.norm.width, rtol=1e-5
    )
    with pytest.raises(EmbrlError, match="is not an embedding"):
        wrap("FrozenLake-v1", tmp_path)


def test_a_wrapped_environment_is_copied_pickled_and_made_again_from_its_spec():
    bare = gymnasium.make("CartPole-v1")
    reach = (np.zeros(2), np.ones(2))
    env = wrap(bare, embedding_of(bare), norm=False, reach=reach)
    text = json.loads(json.dumps(env.spec.to_json()))
    others = [
        pickle.loads(pickle.dumps(env)),
        cloudpickle.loads(cloudpickle.dumps(env)),
        copy.deepcopy(env),
        gymnasium.make(env.spec),
        gymnasium.make(EnvSpec.from_json(text)),
    ]
    seen = env.reset(seed=3)[0]
    points = np.random.default_rng(0).uniform(-1, 1, (8, 2))
    rollout = [env.step(point)[0] for point in points]
    for other in others:
        np.testing.assert_array_equal(other.reset(seed=3)[0], seen)
        for point, found in zip(points, rollout, strict=True):
            np.testing.assert_array_equal(other.step(point)[0], found)


def test_an_embedding_is_pickled_whole():
    embedding = embedding_of(gymnasium.make("Taxi-v4"))
    again = pickle.loads(pickle.dumps(embedding))
    np.testing.assert_array_equal(again.phi(np.arange(500)), embedding.phi(np.arange(500)))
    np.testing.assert_array_equal(again.f(again.table), np.arange(6))
    assert again.settings == embedding.settings


def test_what_is_no_embedding_is_refused():
    env = Echo(spaces.Discrete(4), spaces.Discrete(5))
    for wrong in (None, 3, {"embedding": {}}, {"arrays": "AAAA"}):
        with pytest.raises(EmbrlError, match="embedding must be"):
            EmbeddedEnv(env, wrong)


def child(embedding: Any, pipe: Any) -> None:
    env = wrap("CartPole-v1", embedding)
    env.reset(seed=3)
    pipe.send(env.step(np.zeros(2))[0].tolist())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork")  # of JAX and Python, where there are threads
def test_a_forked_process_wraps_and_steps_though_jax_runs():
    embedding = embedding_of(gymnasium.make("CartPole-v1"))
    env = wrap("CartPole-v1", embedding)
    env.reset(seed=3)
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=child, args=(embedding, theirs))
    process.start()
    try:
        assert ours.poll(30)
        assert ours.recv() == env.step(np.zeros(2))[0].tolist()
    finally:
        process.kill()
        process.join()


class Guarded(Echo):
    """In state s, only action s is accepted, by the source that `told` names."""

    told = "info"

    def __init__(self, observations=None, actions=None):
        super().__init__(observations or spaces.Discrete(5), actions or spaces.Discrete(5))

    def flags(self):
        return (np.arange(5) == self.state) & (self.left > 0)

    def seen(self) -> Any:
        return self.state

    def info(self):
        return {"action_mask": self.flags()} if self.told == "info" else {}

    def reset(self, *, seed=None, options=None):
        gymnasium.Env.reset(self, seed=seed)
        self.state, self.left = int(self.np_random.integers(5)), 3
        return self.seen(), self.info()

    def step(self, action) -> Any:
        assert self.left, "the episode is over"
        assert self.flags()[np.ravel(action)[0]], f"{action} in {self.state}"
        self.state, self.left = int(self.np_random.integers(5)), self.left - 1
        return self.seen(), 0.0, self.left == 0, False, self.info()


class Asked(Guarded):
    told = "method"

    def action_masks(self):
        return self.flags()


class Shown(Guarded):
    told = "observation"

    def __init__(self):
        parts = {"at": spaces.Discrete(5), "action_mask": spaces.MultiBinary(5)}
        super().__init__(spaces.Dict(parts))

    def seen(self):
        return {"at": self.state, "action_mask": self.flags().astype(np.int8)}


@pytest.mark.parametrize("kind", [Guarded, Asked, Shown])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_lanes_of_a_vector_have_masks_of_their_own_from_every_source(kind, mode):
    embedding = embedding_of(Guarded())
    vector = wrap(SyncVectorEnv([kind] * 3, autoreset_mode=mode), embedding)
    vector.reset(seed=0)
    vector.action_space.seed(0)
    for _ in range(12):  # Guarded refuses whatever it does not accept
        vector.step(vector.action_space.sample())


@pytest.mark.parametrize("kind", [Guarded, Asked, Shown])
def test_lanes_keep_their_masks_when_others_are_reset(kind):
    embedding = embedding_of(Guarded())
    env = SyncVectorEnv([kind] * 3, autoreset_mode=AutoresetMode.DISABLED)
    vector = wrap(env, embedding)
    vector.reset(seed=0)
    vector.action_space.seed(0)
    for at in range(9):
        vector.step(vector.action_space.sample())
        which = np.arange(3) == at % 3
        vector.reset(options={"reset_mask": which})


def test_the_mask_in_an_observation_is_not_embedded_unless_the_embedding_has_seen_it():
    env = Shown()
    wrapped = wrap(env, embedding_of(Guarded()))
    wrapped.reset(seed=0)
    wrapped.step(np.zeros(2))
    whole = wrap(env, embedding_of(env))  # fitted on data with the mask in it
    whole.reset(seed=0)
    whole.step(np.zeros(2))
    heedless = wrap(env, embedding_of(Guarded()), masks=False)
    env.reset(seed=0)
    action = heedless.original_action(np.zeros(2))
    env.state = (int(action) + 1) % 5
    with pytest.raises(AssertionError):
        heedless.step(np.zeros(2))


def test_a_mask_may_have_another_key():
    class Legal(Guarded):
        def info(self):
            return {"legal": self.flags()}

    wrapped = wrap(Legal(), embedding_of(Guarded()), masks="legal")
    wrapped.reset(seed=0)
    for _ in range(3):
        wrapped.step(np.zeros(2))
    with pytest.raises(EmbrlError, match=r"action_mask must be .*got moves"):
        wrap(Legal(), embedding_of(Guarded()), masks="moves").reset()
