"""One of Gymnasium's environments, by id; what goes wrong on the way is one line."""

import contextlib
import difflib
import importlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from embrl.core.errors import EmbrlError, UnknownNameError

OTHERWISE = (
    "If a package brings it, load that: embrl --plugin MODULE COMMAND ..., or import it in Python"
)


def looks_like_id(name: str) -> bool:
    """Whether a name could be one of Gymnasium's: it says a version or a namespace."""
    return "-v" in name or "/" in name or ":" in name


def name_of(env: Any) -> str:
    """An environment's id (a vector's, too), or its class where it has none."""
    spec = getattr(env.unwrapped, "spec", None)
    return spec.id if spec is not None else type(env.unwrapped).__name__


def is_known(name: str) -> bool:
    """Whether Gymnasium has this id by now; nothing is imported to find out.

    Raises:
        EmbrlError: the id names a module to import, which a name never does here: it may come from
            somebody else's run folder.
    """
    if ":" in name:
        module, _, rest = name.partition(":")
        raise EmbrlError(
            f"{name}: a name imports nothing: load the module by embrl --plugin {module} COMMAND "
            f"... (or import it in Python) and call the environment {rest}"
        )
    return name in gymnasium.registry


def nearest(name: str) -> list[str]:
    """Gymnasium's ids that look like `name`, the nearest first."""
    return difflib.get_close_matches(name, list(gymnasium.registry), n=3, cutoff=0.5)


def spec_of(name: str) -> EnvSpec:
    """What Gymnasium has registered under this id.

    Raises:
        EmbrlError: it has nothing; the message offers the nearest.
    """
    if is_known(name):
        return gymnasium.registry[name]
    if near := nearest(name):
        raise UnknownNameError("environment", name, near, OTHERWISE)
    raise EmbrlError(f"unknown environment {name!r}: Gymnasium has none like it. {OTHERWISE}")


def make(
    spec: EnvSpec,
    kwargs: dict[str, Any],
    max_episode_steps: int | None = None,
    render_mode: str | None = None,
) -> gymnasium.Env:
    """A fresh environment; None leaves its own limit of steps.

    Of what is registered, not of the name: another process may know the one and not the other.

    Raises:
        EmbrlError: its package is missing, or it cannot be made; the message says why.
    """
    if render_mode is not None:
        kwargs = {**kwargs, "render_mode": render_mode}
    try:
        with warnings.catch_warnings(), _without_notices(spec):
            # The version was named on purpose.
            warnings.filterwarnings("ignore", ".*is out of date", DeprecationWarning)
            return gymnasium.make(
                spec, max_episode_steps=max_episode_steps, disable_env_checker=True, **kwargs
            )
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        raise EmbrlError(_lacking(spec, error)) from error
    except Exception as error:  # whatever the environment's own code raises
        raise EmbrlError(f"{spec.id} cannot be made: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _without_notices(spec: EnvSpec) -> Iterator[None]:
    """Without MuJoCo's notices that a model is written in an old way, which it gives for every
    lane, on the screen and in a file MUJOCO_LOG.TXT where one stands (HalfCheetah-v5, MuJoCo 4).
    """
    if "mujoco" in str(spec.entry_point):
        with contextlib.suppress(ImportError):  # which says more where it is made
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


def _lacking(spec: EnvSpec, error: Exception) -> str:
    # Gymnasium's own; its v2 and v3 have moved to another package, as their message says.
    if isinstance(error, gymnasium.error.DependencyNotInstalled) and "mujoco" in str(error).lower():
        return f"{spec.id} needs mujoco: pip install 'embrl[gymnasium]'"
    return f"{spec.id} cannot be made: {error}"
