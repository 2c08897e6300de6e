"""A Gymnasium environment as embrl sees it: its spaces, and how to make and open it."""

import copy
import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import gymnasium

from embrl.core.errors import EmbrlError, told
from embrl.envs.gym.ale import EVALUATED, AleHostVectorEnv, ale_spaces, ale_steps
from embrl.envs.gym.contract import close_of, not_an_environment, spaces_of, step_of
from embrl.envs.gym.envpool import EnvpoolHostVectorEnv, pool_spaces
from embrl.envs.gym.flat_actions import ActionForm, Actions
from embrl.envs.gym.flat_observations import Observations
from embrl.envs.gym.main_script import check_guarded, leave_if_run_again
from embrl.envs.gym.masks import AUTO, MaskReader, SpaceMasks
from embrl.envs.gym.stepping import AsyncHostVectorEnv, SyncHostVectorEnv, ThreadHostVectorEnv
from embrl.envs.gym.vector_env import HostVectorEnv, env_seeds

Vector = Literal["sync", "threads", "async", "envpool", "ale"]
"""How parallel environments are stepped: one after another, in a thread for each core, in a process
each, or in the threads of envpool or of ale-py."""

Maker = Callable[[str | None], gymnasium.Env]
"""Function from a render mode, or None, to a new environment."""

CAMERA = "track"
"""Name, in MuJoCo's robot models, of the camera that follows the robot."""


class HostEnvironment:
    """An environment stepped by Python, before any copy of it is opened.

    Its spaces are in embrl's flat form; `observations` and `actions` convert from and to the
    environment's own.
    """

    host: ClassVar[bool] = True
    """True for environments stepped on the host, not in a compiled program."""

    def __init__(
        self,
        name: str,
        maker: Maker,
        vector: Vector = "sync",
        pool: dict[str, Any] | None = None,
        action_mask: str = AUTO,
        strict: bool = False,
        actions: ActionForm = "auto",
        text_encoder: str = "words",
    ) -> None:
        """Make the environment once, to learn its spaces.

        Args:
            name: Name for messages; with envpool, its id.
            maker: Makes a new environment, given a render mode or None.
            vector: How parallel environments are stepped.
            pool: Options of envpool or of ale-py, where `vector` is `envpool` or `ale`.
            action_mask: Key of the actions' mask, `auto` for the usual ones, or `off`
                (`embrl.envs.gym.masks.MaskReader`).
            strict: Refuse observations outside their bounds, of which there is else one warning.
            actions: Form of actions with several discrete parts (`embrl.envs.gym.Actions`).
            text_encoder: Encoder of observations that are texts (`embrl.text`).

        Raises:
            EmbrlError: If the environment cannot be made or its spaces are not supported.
        """
        self.name = name
        self.vector: Vector = vector
        self._maker = maker
        self._pool = pool
        if vector == "async":
            leave_if_run_again()
            check_guarded()
        self.metadata: dict[str, Any] = {}
        """The environment's `render_modes` and `render_fps`; empty with envpool and ale."""
        self.coupled = False
        """True if it has a method `is_feasible`, which training on the host does not ask."""
        self.max_episode_steps: int | None = (pool or {}).get("max_episode_steps")
        """Steps after which an episode is truncated, as far as the environment says; else None."""
        self._pool_names: tuple[str, ...] | None = None
        if vector in ("envpool", "ale") and pool is None:
            raise EmbrlError(
                f"vector must be sync, threads or async for the object {name}, got {vector}, which "
                "has only its own environments"
            )
        if pool is not None and vector == "ale":
            observations, chosen, self._pool_names = ale_spaces(name, pool)
            self.max_episode_steps = ale_steps(pool)
        elif pool is not None:
            observations, chosen = pool_spaces(name, pool)
        else:
            env = maker(None)
            try:
                observations, chosen = spaces_of(env)
            except EmbrlError as error:
                raise EmbrlError(f"{name}: {error}") from error
            finally:
                close_of(env, name)
            self.metadata = dict(env.metadata) if isinstance(env.metadata, Mapping) else {}
            self.max_episode_steps = _limit_of(env)
            self.coupled = _has_constraint(env)
        try:
            whole = Observations(observations, text_encoder=text_encoder)
            self.actions = Actions(chosen, actions)
            self.masks = MaskReader(observations, self.actions, action_mask, name)
            path = self.masks.path
            self.observations = whole
            if path is not None:
                self.observations = Observations(observations, path, text_encoder)
            self.observations.strict = strict
        except EmbrlError as error:
            raise EmbrlError(f"{name}: {error}") from error

    @classmethod
    def of(
        cls,
        source: gymnasium.Env | Callable[..., gymnasium.Env],
        name: str | None = None,
        vector: Vector = "sync",
        action_mask: str = AUTO,
        strict: bool = False,
        actions: ActionForm = "auto",
        text_encoder: str = "words",
    ) -> "HostEnvironment":
        """Wrap an environment object, or a function that makes a new environment at each call.

        An environment object is copied and never stepped itself: it is made again from its `spec`
        where that works, else deep-copied. To be rendered, a function must take `render_mode`.

        Args:
            source: The environment, or the function that makes one.
            name: Name for messages; None: the id, or the name of the class or function.
            vector: How parallel environments are stepped.
            action_mask: Key of the actions' mask, as in the constructor.
            strict: Refuse observations outside their bounds, of which there is else one warning.
            actions: Form of actions with several discrete parts, as in the constructor.
            text_encoder: Encoder of observations that are texts, as in the constructor.

        Raises:
            EmbrlError: If the environment can be neither made again nor copied, or the function
                does not return a `gymnasium.Env`.
        """
        if isinstance(source, gymnasium.Env):
            maker = _copies(source)
            name = name or name_of(source)
        elif callable(source):
            maker = functools.partial(_from_factory, source)
            name = name or str(getattr(source, "__name__", type(source).__name__))
        else:
            advice = not_an_environment(source) or "it is no environment"
            raise EmbrlError(
                "environment must be a gymnasium.Env or a function that makes one, got "
                f"{source!r}; {advice}"
            )
        return cls(
            name,
            maker,
            vector,
            action_mask=action_mask,
            strict=strict,
            actions=actions,
            text_encoder=text_encoder,
        )

    def made_strict(self) -> "HostEnvironment":
        """Return this environment, with observations outside their bounds refused."""
        strict = copy.copy(self)
        strict.observations = copy.copy(self.observations)
        strict.observations.strict = True
        return strict

    @property
    def observation_space(self) -> gymnasium.Space:
        """`Discrete`, `MultiDiscrete` with one axis, or a float32 `Box` with one axis."""
        return self.observations.space

    @property
    def action_space(self) -> gymnasium.Space:
        """`Discrete` from 0, a float32 `Box` with one axis, or a product of parts.

        See `embrl.core.products`.
        """
        return self.actions.space

    @property
    def continuous_actions(self) -> bool:
        """True if actions are vectors, not indices."""
        return isinstance(self.action_space, gymnasium.spaces.Box)

    def make(self, render_mode: str | None = None) -> gymnasium.Env:
        """Make a new Gymnasium environment, in its own spaces."""
        env = self._maker(render_mode)
        return env if render_mode is None else _with_tracking_camera(env)

    @functools.cached_property
    def mask_forms(self) -> SpaceMasks:
        """Converter of masks of the environment's own, discrete actions to flags of embrl's."""
        return SpaceMasks(self.actions)

    @functools.cached_property
    def masked(self) -> bool:
        """True if the environment says which actions it accepts, as far as its first step tells.

        Makes an environment to find out, unless its observations say so.
        """
        if self._pool is not None or self.masks.flags is None:
            return False
        if self.masks.path is not None or self.masks.named:
            return True
        env = self._maker(None)
        try:
            if self.masks.method_of(env) is not None:
                return True
            observation, info = env.reset(seed=0)
            if self.masks.read(observation, info) is not None:
                return True
            observation, *_, info = env.step(env.action_space.sample())
            return self.masks.read(observation, info) is not None
        except Exception:  # whatever it is, training meets it again and says where
            return False
        finally:
            close_of(env, self.name)

    def action_features(self) -> Any:
        """Return the `action_features` attribute of the unwrapped environment, or None.

        It describes each discrete action by a row of numbers and may be a table or a function that
        returns one. Makes an environment to find out.
        """
        if self._pool is not None:
            return None
        env = self._maker(None)
        try:
            found = getattr(env.unwrapped, "action_features", None)
            return found() if callable(found) else found
        finally:
            close_of(env, self.name)

    @functools.cached_property
    def action_names(self) -> tuple[str, ...] | None:
        """Names of `Discrete` actions, in order; None where they have none.

        The unwrapped environment has them as `action_names`, or as `get_action_meanings`, as Atari
        games do; either may be a list or a function that returns one. Makes an environment to find
        out.
        """
        if self._pool is not None:
            return self._pool_names
        if not isinstance(self.actions.original, gymnasium.spaces.Discrete):
            return None
        env = self._maker(None)
        try:
            found: Any = getattr(env.unwrapped, "action_names", None)
            if found is None:
                found = getattr(env.unwrapped, "get_action_meanings", None)
            names: Any = found() if callable(found) else found
            names = None if names is None else tuple(map(str, names))
        except Exception:  # not made for this
            return None
        finally:
            close_of(env, self.name)
        return names if names and len(names) == self.actions.original.n else None

    @property
    def data_source(self) -> None:
        """Files that the environment was made of: none that are known."""

    def open(
        self,
        num_envs: int,
        seed: int,
        render_mode: str | None = None,
        first: int = 0,
        max_episode_steps: int | None = None,
        evaluation: bool = False,
    ) -> HostVectorEnv:
        """Open parallel environments, each reset with its own seed derived from `seed`.

        Args:
            num_envs: Number of environments, at least 1.
            seed: Seed from which those of the environments are derived, at least 0.
            render_mode: Enables `HostVectorEnv.render`, as `"rgb_array"`; always stepped `sync`.
            first: Index of the first environment, where earlier ones are opened separately.
            max_episode_steps: Steps after which episodes are truncated, beside the environment's
                own limit; None: that limit alone. Not with envpool and ale, which have limits.
            evaluation: Whether whole episodes are played for their returns; ale then neither clips
                rewards nor ends episodes with a life.

        Raises:
            EmbrlError: If an environment cannot be made or reset.
        """
        seeds = env_seeds(num_envs, seed, first)
        vector = self.vector if render_mode is None else "sync"
        if self._pool is not None:
            kind, options = EnvpoolHostVectorEnv, self._pool
            if self.vector == "ale":
                kind, options = AleHostVectorEnv, options | (EVALUATED if evaluation else {})
            return kind(self.name, self.observations, self.actions, seeds, options)
        if render_mode is None:
            make = functools.partial(self._maker, None)
        else:
            make = functools.partial(self.make, render_mode)
        own = self.max_episode_steps
        if max_episode_steps is not None and (own is None or own > max_episode_steps):
            make = functools.partial(_limited, make, max_episode_steps)
        classes = {
            "sync": SyncHostVectorEnv,
            "threads": ThreadHostVectorEnv,
            "async": AsyncHostVectorEnv,
        }
        return classes[vector](self.name, self.observations, self.actions, seeds, make, self.masks)

    def open_rendered(self, num_envs: int, seed: int) -> HostVectorEnv:
        """Open environments whose `render` returns RGB arrays, uint8 `[H, W, 3]` each."""
        return self.open(num_envs, seed, render_mode="rgb_array")


class _Limited(gymnasium.Wrapper):
    """An environment whose episodes are truncated after a number of steps.

    Unlike Gymnasium's `TimeLimit`, it hands on whatever the environment returns, to be checked.
    """

    def __init__(self, env: gymnasium.Env, limit: int) -> None:
        super().__init__(env)
        self._limit, self._steps = limit, 0

    def reset(self, **options: Any) -> Any:
        self._steps = 0
        return self.env.reset(**options)

    def step(self, action: Any) -> Any:
        self._steps += 1
        if self._steps < self._limit:
            return self.env.step(action)
        observation, reward, terminated, _, info = step_of(self.env, action)
        return observation, reward, terminated, True, info


def _limited(make: Callable[[], gymnasium.Env], limit: int) -> gymnasium.Env:
    return _Limited(make(), limit)


def _has_constraint(env: gymnasium.Env) -> bool:
    """Return True if an environment has a method `is_feasible`, as far as it can be asked."""
    try:
        return hasattr(env.unwrapped, "is_feasible")
    except Exception:  # whatever it is, training meets it again and says where
        return False


def _limit_of(env: gymnasium.Env) -> int | None:
    """Return the least step limit among an environment's wrappers, if there is one."""
    limits, inside = [], env
    while isinstance(inside, gymnasium.Wrapper):
        if isinstance(inside, gymnasium.wrappers.TimeLimit):
            limits.append(int(inside._max_episode_steps))
        inside = inside.env
    return min(limits, default=None)


def name_of(env: Any) -> str:
    """Return the id of an environment or vector environment, or its class name without one."""
    name = getattr(getattr(env.unwrapped, "spec", None), "id", None)
    return name if isinstance(name, str) else type(env.unwrapped).__name__


def _with_tracking_camera(env: gymnasium.Env) -> gymnasium.Env:
    """Return `env`, rendered by its model's tracking camera if it has one and none was chosen.

    Gymnasium's default view stands still, and robots walk out of it.
    """
    bare: Any = env.unwrapped
    renderer: Any = getattr(bare, "mujoco_renderer", None)
    chosen = (getattr(bare, name, None) for name in ("camera_id", "camera_name"))
    mujoco = sys.modules.get("mujoco")
    if mujoco is None or not hasattr(renderer, "camera_id") or any(c is not None for c in chosen):
        return env
    camera = mujoco.mj_name2id(bare.model, mujoco.mjtObj.mjOBJ_CAMERA, CAMERA)
    if camera >= 0:
        renderer.camera_id = camera
    return env


def _copies(env: gymnasium.Env) -> Maker:
    try:
        spec = env.spec
        if spec is not None:
            close_of(gymnasium.make(spec, disable_env_checker=True), spec.id)
            return functools.partial(_from_spec, spec)
    except Exception:
        pass
    try:
        kept = copy.deepcopy(env)
    except Exception as error:
        raise EmbrlError(
            f"{name_of(env)} can be neither made again from its spec nor copied "
            f"({told(error)}); pass a function that makes one"
        ) from error
    return functools.partial(_from_copy, kept)


def _from_spec(spec: Any, render_mode: str | None) -> gymnasium.Env:
    options: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
    return gymnasium.make(spec, disable_env_checker=True, **options)


def _from_copy(kept: gymnasium.Env, render_mode: str | None) -> gymnasium.Env:
    if render_mode not in (None, kept.render_mode):
        raise EmbrlError(
            f"render_mode of {name_of(kept)} must be {render_mode!r} to be rendered, got "
            f"{kept.render_mode!r}; pass a function of render_mode that makes one"
        )
    return copy.deepcopy(kept)


def _from_factory(factory: Callable[..., Any], render_mode: str | None) -> gymnasium.Env:
    name = getattr(factory, "__name__", type(factory).__name__)
    options = {} if render_mode is None else {"render_mode": render_mode}
    if options and not _takes(factory, "render_mode"):
        raise EmbrlError(f"{name} takes no render_mode; add that argument to render environments")
    try:
        env = factory(**options)
    except EmbrlError:
        raise
    except (Exception, SystemExit) as error:
        raise EmbrlError(f"{name}() raised {told(error)}") from error
    if not isinstance(env, gymnasium.Env):
        advice = not_an_environment(env)
        raise EmbrlError(
            f"{name}() must return a gymnasium.Env, got {type(env).__name__}"
            + (f"; {advice}" if advice else "")
        )
    return env


def _takes(function: Callable[..., Any], name: str) -> bool:
    try:
        parameters: Sequence[inspect.Parameter] = tuple(
            inspect.signature(function).parameters.values()
        )
    except (TypeError, ValueError):  # has no signature
        return False
    return any(p.name == name or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
