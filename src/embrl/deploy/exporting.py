"""A run's policy, for use elsewhere."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import gymnasium

from embrl.config.run import RunConfig, load_config
from embrl.core.errors import EmbrlError
from embrl.deploy.exported import ExportedPolicy, check_free
from embrl.deploy.forms import Forms, is_plain
from embrl.deploy.policy import portable_policy
from embrl.envs.host import HostEnvironment
from embrl.storage.run_folder import RunFolder
from embrl.storage.versions import versions
from embrl.training.restore import RestoredPolicy, restore_policy

AnObject: TypeAlias = gymnasium.Env | Callable[..., gymnasium.Env] | HostEnvironment
"""An environment of Gymnasium's, as `embrl.train` takes it."""


class Ported(NamedTuple):
    """A policy in plain steps."""

    policy: ExportedPolicy
    notes: tuple[str, ...]
    """What its user has to know, in sentences."""


def ported(run: str | Path, seed: int = 0, environment: AnObject | None = None) -> Ported:
    """The policy of one seed of a run in plain steps. It takes the environment's own observations
    and gives its own actions where these are single arrays; else embrl's forms of them.

    Arguments:
        environment: where the run's was an object, that one.

    Raises:
        EmbrlError: there is no such run, seed or policy, the policy has no plain form, or the
            environment is another one.
    """
    folder = RunFolder.existing(run)
    config = load_config(folder)
    restored = restore_policy(folder, config, seed)
    forms, notes = _forms(config, restored, environment)
    about = {
        "run": folder.path.resolve().name,
        "seed": seed,
        "environment": config.environment,
        "versions": versions(),
    }
    policy = portable_policy(restored.policy, forms)
    return Ported(ExportedPolicy(policy, forms.observation, forms.action, about), notes)


def export(
    run: str | Path,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    onnx: bool = True,
    stochastic: bool = False,
    environment: AnObject | None = None,
) -> Path:
    """Writes a folder with the policy of one seed: as an ONNX file from a raw observation to an
    action, and as NumPy weights with a program that needs nothing else. The folder's path.

    Arguments:
        out: the folder; None: `policy-SEED` in the run's.
        onnx: whether there is to be an ONNX file.
        stochastic: whether that takes noise, and draws actions.
        environment: where the run's was an object, that one: in whose own observations and actions
            the policy is to speak.

    Raises:
        EmbrlError: there is no such run, seed or policy, the policy has no form outside of JAX,
            onnx is not installed, or something is there already.
    """
    return export_with_notes(
        run, out, seed=seed, onnx=onnx, stochastic=stochastic, environment=environment
    )[0]


def export_with_notes(
    run: str | Path,
    out: str | Path | None,
    *,
    seed: int,
    onnx: bool,
    stochastic: bool,
    environment: AnObject | None = None,
) -> tuple[Path, Ported]:
    """`export`, which also says what its user has to know."""
    path = Path(run) / f"policy-{seed}" if out is None else Path(out)
    if stochastic and not onnx:
        raise EmbrlError("stochastic says what the ONNX file does, and there is to be none")
    check_free(path)
    found = ported(run, seed, environment)
    found.policy.write(path, onnx_model(found.policy, stochastic=stochastic) if onnx else None)
    return path, found


def onnx_model(policy: ExportedPolicy, *, stochastic: bool = False) -> bytes:
    """An ONNX file of it: `observation` (and `noise`) in, `action` out, a free batch axis first.

    Raises:
        EmbrlError: there is no onnx, or the policy is too large for one file.
    """
    from embrl.deploy import onnx

    about = {name: value for name, value in policy.about.items() if name != "versions"}
    notes: dict[str, Any] = {
        **about,
        "versions": policy.about["versions"],
        "observation": policy.observation.to_json(),
        "action": policy.action.to_json(),
    }
    if stochastic:
        notes["noise"] = policy.noise
    text = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in notes.items()
    }
    return onnx.policy_model(
        policy.policy, policy.observation, policy.action, stochastic=stochastic, notes=text
    )


def _forms(
    config: RunConfig, restored: RestoredPolicy, environment: AnObject | None = None
) -> tuple[Forms, tuple[str, ...]]:
    """What it takes and gives, and what is to be said of that."""
    ours = (restored.observation_space, restored.action_space)
    try:
        built: Any = config.env.build() if environment is None else _host(environment)
    except EmbrlError as error:
        return Forms.of(*ours), (f"Observations and actions are in embrl's forms: {error}.",)
    if not hasattr(built, "observations"):  # compiled: embrl's forms are its own
        return Forms.of(*ours), ()
    if (built.observation_space, built.action_space) != ours:
        if environment is not None:
            raise EmbrlError(
                f"the run is of {ours[0]} and {ours[1]}, {built.name} of "
                f"{built.observation_space} and {built.action_space}: it is another one"
            )
        said = f"{config.environment} has other spaces by now than the run had"
        return Forms.of(*ours), (f"Observations and actions are in embrl's forms: {said}.",)
    own = (built.observations.original, built.actions.original)
    notes = tuple(
        f"{what} are in embrl's form, {form}: {space} is no single array."
        for what, form, space in zip(("Observations", "Actions"), ours, own, strict=True)
        if not is_plain(space)
    )
    return Forms.of(*ours, *own), notes


def _host(environment: AnObject) -> HostEnvironment:
    if isinstance(environment, HostEnvironment):
        return environment
    return HostEnvironment.of(environment)
