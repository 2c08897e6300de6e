"""Export of a run's policy, for use without embrl."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import gymnasium

from embrl.config.run import RunConfig, load_config
from embrl.core.errors import EmbrlError, SettingError
from embrl.core.runtime import versions
from embrl.deploy.array_forms import Forms, is_plain
from embrl.deploy.convert import portable_policy
from embrl.deploy.exported import ExportedPolicy, check_free
from embrl.envs import is_host
from embrl.envs.gym import HostEnvironment
from embrl.storage.run_folder import RunFolder
from embrl.training.restore import RestoredPolicy, restore_policy

AnObject: TypeAlias = gymnasium.Env | Callable[..., gymnasium.Env] | HostEnvironment
"""Environment of Gymnasium, as `embrl.train` takes it."""


MASKED = (
    "The environment says which actions it accepts: give that to the policy as its argument mask, "
    "and to an ONNX file, exported with --mask, as its input mask."
)


class Ported(NamedTuple):
    """Policy of a run in plain steps."""

    policy: ExportedPolicy
    notes: tuple[str, ...]
    """Sentences that its user has to know."""


def ported(run: str | Path, seed: int = 0, environment: AnObject | None = None) -> Ported:
    """Return the policy of one seed of a run in plain steps.

    It takes the environment's own observations and returns its own actions where these are single
    arrays, else embrl's forms of them.

    Args:
        run: The run folder.
        seed: Index of the seed.
        environment: The environment, where the run's was an object.

    Raises:
        EmbrlError: If there is no such run, seed or policy, the policy has no plain form, or the
            environment is another one.
    """
    folder = RunFolder.existing(run)
    config = load_config(folder)
    restored = restore_policy(folder, config, seed)
    if restored.coupled:
        raise SettingError(
            f"environment of {folder.path}",
            "one without is_feasible for an export, which cannot ask it",
            config.environment,
            "act with embrl.load(RUN).policy()",
        )
    forms, notes = _forms(config, restored, environment)
    about = {
        "run": folder.path.resolve().name,
        "seed": seed,
        "environment": config.environment,
        "versions": versions(),
    }
    policy = portable_policy(restored.policy, forms)
    action = forms.action
    if action.kind == "Discrete":
        action = dataclasses.replace(action, names=restored.action_names)
    return Ported(ExportedPolicy(policy, forms.observation, action, about), notes)


def export(
    run: str | Path,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    onnx: bool = True,
    stochastic: bool = False,
    mask: bool = False,
    environment: AnObject | None = None,
) -> Path:
    """Write a folder with the policy of one seed; return its path.

    It holds an ONNX file from raw observations to actions, and the steps and weights with a file of
    NumPy code that runs them and needs nothing else.

    Args:
        run: The run folder.
        out: The folder; None for `policy-SEED` in the run folder.
        seed: Index of the seed.
        onnx: True to write an ONNX file.
        stochastic: True if the ONNX file takes noise, by which it draws actions.
        mask: True if the ONNX file takes a mask of the actions that may be chosen.
        environment: The environment, where the run's was an object; the policy takes its own
            observations and returns its own actions.

    Raises:
        EmbrlError: If there is no such run, seed or policy, the policy has no form outside of JAX,
            or none with a mask, onnx is not installed, or `out` exists and is not an export.
    """
    return export_with_notes(
        run, out, seed=seed, onnx=onnx, stochastic=stochastic, mask=mask, environment=environment
    )[0]


def export_with_notes(
    run: str | Path,
    out: str | Path | None,
    *,
    seed: int,
    onnx: bool,
    stochastic: bool,
    mask: bool = False,
    environment: AnObject | None = None,
) -> tuple[Path, Ported]:
    """Export as `export` does; also return what its user has to know."""
    path = Path(run) / f"policy-{seed}" if out is None else Path(out)
    for name, given in (("stochastic", stochastic), ("mask", mask)):
        if given and not onnx:
            raise EmbrlError(
                f"{name} must be False without an ONNX file, got True; leave --no-onnx or --{name} "
                "out"
            )
    check_free(path)
    found = ported(run, seed, environment)
    graph = onnx_model(found.policy, stochastic=stochastic, mask=mask) if onnx else None
    found.policy.write(path, graph)
    return path, found


def onnx_model(policy: ExportedPolicy, *, stochastic: bool = False, mask: bool = False) -> bytes:
    """Return an ONNX file from `observation` (and `noise`, `mask`) to `action`.

    A free batch axis comes first in each of them.

    Raises:
        EmbrlError: If onnx is not installed, or the policy is too large for one file.
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
    if mask:
        notes["mask"] = f"bool [..., {policy.mask_forms.count}]: True where an action may be chosen"
    text = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in notes.items()
    }
    return onnx.policy_model(
        policy.policy,
        policy.observation,
        policy.action,
        stochastic=stochastic,
        masked=mask,
        notes=text,
    )


def _forms(
    config: RunConfig, restored: RestoredPolicy, environment: AnObject | None = None
) -> tuple[Forms, tuple[str, ...]]:
    """Return the forms of what the policy takes and returns, and what its user has to know."""
    ours = (restored.observation_space, restored.action_space)
    if environment is None and not is_host(config.env):  # compiled: embrl's forms are its own
        return Forms.of(*ours), ()
    try:
        built: Any = config.env.build() if environment is None else _host(environment)
    except EmbrlError as error:
        return Forms.of(*ours), (f"Observations and actions are in embrl's forms: {error}.",)
    if (built.observation_space, built.action_space) != ours:
        if environment is not None:
            raise EmbrlError(
                f"environment must have {ours[0]} and {ours[1]} as the run had, got "
                f"{built.name} with {built.observation_space} and {built.action_space}"
            )
        said = f"the spaces of {config.environment} are not those of the run any more"
        return Forms.of(*ours), (f"Observations and actions are in embrl's forms: {said}.",)
    own = (built.observations.original, built.actions.original)
    notes = tuple(
        f"{what} are in embrl's form, {form}: {space} is not a single array."
        for what, form, space in zip(("Observations", "Actions"), ours, own, strict=True)
        if not is_plain(space)
    )
    if built.masked:
        notes = (*notes, MASKED)
    return Forms.of(*ours, *own), notes


def _host(environment: AnObject) -> HostEnvironment:
    if isinstance(environment, HostEnvironment):
        return environment
    return HostEnvironment.of(environment)
