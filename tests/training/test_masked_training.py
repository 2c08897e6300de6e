"""Training in environments that do not accept every action."""

import dataclasses
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces
from masked_worlds import LIMIT, STATES, Twos, Wrong

import embrl
from embrl.config.defaults import default_config
from embrl.config.settings_by_name import replaced
from embrl.core.errors import EmbrlError
from embrl.core.masks import unpack
from embrl.data.rollout import open_envs, random_transitions, rollout, single_steps
from embrl.envs.environment import has_masks
from embrl.envs.gym import HostEnvironment, ObjectConfig
from embrl.training.backend import CompiledBackend
from embrl.training.evaluation import play, random_return
from embrl.training.hosted_backend import HostedBackend
from embrl.training.replicas import Replicas
from embrl.training.trained_policy import Policy
from embrl.training.trainer import EMPTY_MASKS, Trainer

pytestmark = pytest.mark.usefixtures("quick")

KEY = jax.random.key(0)
SMALL: dict[str, Any] = {
    "seeds": 1,
    "total_timesteps": 1_000,
    "pretrain": {"gradient_steps": 30},
    "evaluation": {"final_episodes": 10, "episodes": 10},
}


@pytest.mark.parametrize("dead_end", [LIMIT, 2])
def test_a_compiled_rollout_has_the_masks_of_its_states(dead_end):
    env = Twos(dead_end)

    @jax.jit
    def run():
        noise = jax.random.uniform(KEY, (3 * LIMIT, 6))

        def act(seen: Any, noise: Any, mask: Any):
            return seen + STATES, mask

        return rollout(env, act, open_envs(env, KEY, 6), KEY, noise)

    _, steps, given, masks = jax.device_get(run())
    assert masks is not None
    assert steps.terminated.any()
    assert steps.truncated.any()
    assert (steps.reward == 1).all()
    np.testing.assert_array_equal(unpack(masks.now, 2 * STATES), given)
    ended = steps.terminated | steps.truncated
    after = np.asarray(unpack(masks.following, 2 * STATES))
    assert after[ended].all()  # the empty mask of an end counts as full
    full: Any = after.all(-1)
    np.testing.assert_array_equal(after[~full].argmax(-1), steps.next_observation[~full])
    np.testing.assert_array_equal(full[:-1], ended[:-1] | masks.empty[1:])
    np.testing.assert_array_equal(masks.empty.any(0), np.full(6, dead_end < LIMIT))


def test_random_actions_are_uniform_among_accepted_ones():
    env, half = Twos(), np.arange(2 * STATES) < STATES

    @jax.jit
    def collect(sticky: Any) -> Any:
        return [random_transitions(env, KEY, 4_000, 8, sticky, allowed) for allowed in (None, half)]

    (found, fewer), (held, _) = collect(0.0), collect(0.9)
    assert set(np.unique(found.reward)) == {0.0, 1.0}
    assert abs(float(found.reward.mean()) - 0.5) < 0.05
    assert (fewer.reward == 0).all()
    assert np.isfinite(held.reward).all()
    assert abs(random_return(env, KEY, 500) - LIMIT / 2) < 0.3


def test_episodes_are_played_with_masks_one_by_one_and_side_by_side():
    env = Twos()

    def first(key: Any, seen: Any, mask: Any) -> Any:
        return mask.argmax(-1)

    played = play(env, first, KEY, 20)
    np.testing.assert_array_equal(played.returns, np.zeros(20))
    stream = single_steps(env, lambda seen, key, mask: np.flatnonzero(mask)[-1], KEY)
    assert [float(next(stream).reward) for _ in range(3 * LIMIT)] == [1.0] * 3 * LIMIT


def test_a_mask_has_the_form_of_its_actions():
    assert has_masks(Twos())
    assert not has_masks(embrl.make("gridworld"))
    with pytest.raises(EmbrlError, match=r"action_mask of Wrong must be bool \[10\], got int8"):
        has_masks(Wrong())


def trainer_of(env: Any, method: str, algorithm: str, **changes: Any) -> Trainer:
    """A trainer for a few updates."""
    base = default_config("object", ObjectConfig(), method, algorithm, "best", env)
    config = replaced(
        base,
        {
            "seeds": 1,
            "total_timesteps": 480,
            "pretrain.timesteps": 240 if method != "none" else 0,
            "pretrain.gradient_steps": 10,
            "rollout.steps_per_update": 80,
            "rollout.buffer_size": 1_000,
            "rollout.num_envs": 4,
            "evaluation.every": 80,
            "evaluation.episodes": 10,
            "evaluation.final_episodes": 10,
            "policy.hidden": (16,),
            **changes,
        },
    )
    if isinstance(env, Twos):
        return Trainer.of(config, env)
    return Trainer(config, env.observation_space, env.action_space, masked=env.masked)


CHOICES: list[tuple[str, str, dict[str, Any]]] = [
    ("none", "sac", {}),
    ("jsae", "ppo", {"policy.actions": "embedded"}),
    ("jsae", "ppo", {"decoder.kind": "softmax"}),
    ("none", "ppo", {"ppo.ent_coef": 0.01}),
    ("jsae", "sac", {"online.every": 1}),
    ("jsae", "sac", {"policy.actions": "original"}),
    ("jsae", "sac", {"decoder.kind": "wolpertinger", "decoder.k": 3}),
]


@pytest.mark.parametrize(
    ("method", "algorithm", "changes"),
    [
        pytest.param(*each, marks=pytest.mark.slow if at else (), id=" ".join(map(str, each)))
        for at, each in enumerate(CHOICES)
    ],
)
def test_a_compiled_environment_never_gets_an_action_that_it_does_not_accept(
    method, algorithm, changes
):
    trainer = trainer_of(Twos(), method, algorithm, **changes)
    _, metrics = jax.jit(trainer.train)(KEY)
    assert np.isfinite(metrics["return_mean"]).all()
    assert np.isfinite(metrics["greedy_return_mean"]).all()
    for name, values in metrics.items():  # of learning, there are none before the first update
        assert np.isfinite(values[1:]).all(), name
    assert (np.asarray(metrics[EMPTY_MASKS])[1:] == 0).all()


def test_a_state_without_actions_ends_the_run_in_one_line():
    env = Twos(dead_end=2)
    backend: Any = CompiledBackend(Replicas(trainer_of(env, "none", "vpg")), env)
    found = {EMPTY_MASKS: np.array([0.0, 0.5]), "loss": np.ones(2)}
    program: Any = lambda *given: (None, found)  # noqa: E731
    backend._iterate = program
    with pytest.raises(EmbrlError, match=r"action_mask of Twos .*50.00% .* timesteps 0 and 80"):
        backend.improve(None, 0, 1)  # type: ignore[arg-type]


class Strict(gymnasium.Env):
    """Raises on actions that its mask excludes, of two parts one after another."""

    observation_space = spaces.Discrete(STATES)
    action_space = spaces.MultiDiscrete([STATES, 2])

    def info(self) -> dict[str, Any]:
        return {"action_mask": np.concatenate([np.arange(STATES) == self.state, [1, 1]])}

    def reset(self, *, seed=None, options=None) -> Any:
        super().reset(seed=seed)
        self.state, self.t = int(self.np_random.integers(STATES)), 0
        return self.state, self.info()

    def step(self, action) -> Any:
        if action[0] != self.state:
            raise ValueError(f"{action} is not accepted in {self.state}")
        self.state, self.t = int(self.np_random.integers(STATES)), self.t + 1
        return self.state, float(action[1]), False, self.t >= LIMIT, self.info()


@pytest.fixture(scope="module")
def strict() -> embrl.Run:
    return embrl.train(Strict, **SMALL, algorithm="sac", method="none")


def test_an_environment_on_the_host_never_gets_an_action_that_it_does_not_accept(strict):
    assert strict.evaluate(5).mean > 2
    assert strict.evaluate(5, deterministic=True).lengths.tolist() == [LIMIT] * 5
    assert len(embrl.play(strict, environment=Strict, episodes=2)) == 2


def test_random_actions_on_the_host_are_uniform_among_accepted_ones():
    env = HostEnvironment.of(Strict)
    trainer = trainer_of(env, "jsae", "ppo", **{"pretrain.timesteps": 4_000})
    found = HostedBackend(Replicas(trainer), env).collect()
    assert abs(float(np.mean(found.reward)) - 0.5) < 0.05


def test_a_policy_takes_masks_in_its_environments_forms(strict):
    flat, own = strict.policy(), strict.policy(environment=Strict)
    seen = np.arange(STATES)
    rows = np.concatenate([np.eye(STATES), np.tile([0, 1], (STATES, 1))], 1).astype(np.int8)
    action, _ = own.predict(seen, action_masks=rows)
    np.testing.assert_array_equal(action, np.stack([seen, np.ones(STATES)], -1))
    one = own.act(2, mask=[np.arange(STATES) == 4, [1, 0]])
    np.testing.assert_array_equal(one, [4, 0])
    np.testing.assert_array_equal(flat.act(seen, mask=np.arange(10) == 7), np.full(STATES, 7))
    with pytest.raises(EmbrlError, match=r"mask must be .*\[10\] or \[5, 2\].*\[7\].*got.*\[3\]"):
        own.act(2, mask=np.ones(3))
    with pytest.raises(EmbrlError, match="mask allows no action"):
        own.act(2, mask=np.zeros(10))


def test_an_export_says_that_there_are_masks_and_takes_them(strict, tmp_path):
    from embrl.deploy.export import ported

    found = ported(strict.folder.path, environment=Strict)
    assert "mask" in found.notes[-1]
    mask = np.concatenate([np.arange(STATES) == 3, [1, 0]])
    np.testing.assert_array_equal(found.policy.act(np.arange(2), mask=mask), [[3, 0]] * 2)


def test_the_mask_in_an_observation_is_heeded_by_itself():
    class Shown(Strict):
        observation_space = spaces.Dict(
            state=spaces.Discrete(STATES), action_mask=spaces.MultiBinary(STATES + 2)
        )

        def reset(self, *, seed=None, options=None):
            return {"state": super().reset(seed=seed)[0], **self.info()}, {}

        def step(self, action):
            state, *rest, _ = super().step(action)
            return {"state": state, **self.info()}, *rest, {}

    host, env = HostEnvironment.of(Shown), Shown()
    trainer = trainer_of(host, "none", "ppo")
    overall = trainer.policy(trainer.untrained(KEY))
    policy = Policy(overall, host.observation_space, host.action_space, host)
    assert policy.observation_space == spaces.Discrete(STATES)
    seen, _ = env.reset(seed=0)
    for _ in range(LIMIT):
        seen, *_ = env.step(policy.predict(seen)[0])
    many = {"state": np.arange(3), "action_mask": np.ones((3, STATES + 2))}
    many["action_mask"][:, :STATES] = np.arange(STATES) == 1
    np.testing.assert_array_equal(policy.predict(many)[0][:, 0], [1, 1, 1])


def test_nothing_is_kept_of_masks_that_no_algorithm_needs():
    def kept(method: str, algorithm: str, masked: bool, **changes: Any) -> Any:
        trainer = trainer_of(Twos(), method, algorithm, **changes)
        trainer = dataclasses.replace(trainer, masked=masked)
        agent = jax.eval_shape(trainer.untrained, KEY)
        shapes = jax.eval_shape(lambda agent: trainer.begin(agent, None, None), agent)
        return shapes.parts.get("replay")

    assert kept("none", "ppo", masked=True) is None
    assert kept("none", "sac", masked=False).mask is None
    both = kept("none", "sac", masked=True)
    assert both.mask.shape == both.next_mask.shape == (*both.steps.reward.shape, 2)
    assert both.mask.dtype == np.uint8
    embedded = kept("jsae", "sac", masked=True, **{"online.every": 0})
    assert (embedded.mask, embedded.next_mask) == (None, None)
    online = kept("jsae", "sac", masked=True, **{"online.every": 1})
    assert (online.mask is None, online.next_mask) == (False, None)
