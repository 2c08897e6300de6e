"""A policy on disk, in plain NumPy: read and written without JAX.

policy.json      format 2: observations, actions, noise, and the policy's steps
weights.npz      the steps' arrays, by the names that stand in policy.json
policy.py        the code of the steps (`embrl.portable.steps`, as it is), which needs NumPy alone
policy.onnx      the same for ONNX's runtimes, if asked for
"""

import dataclasses
import functools
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from embrl.core.errors import EmbrlError, SettingError, WarnOnce
from embrl.core.masks import MaskForms, check_allowed
from embrl.core.products import PartMasks, Product, check_parts_allowed
from embrl.core.spaces import array_of
from embrl.deploy.array_forms import Form
from embrl.portable import steps
from embrl.portable.steps import Nearest, PortablePolicy
from embrl.storage import files

FORMAT = 2
LAST_READER = {1: "0.1.0"}
"""The last version of embrl that reads an older format."""
MANIFEST = "policy.json"
WEIGHTS = "weights.npz"
PROGRAM = "policy.py"
ONNX = "policy.onnx"
FAULTY = (KeyError, TypeError, ValueError, IndexError, AttributeError)
"""Errors that a damaged file may lead to."""


@dataclasses.dataclass(frozen=True, eq=False)
class ExportedPolicy:
    """A policy in plain NumPy, which checks its inputs."""

    policy: PortablePolicy
    observation: Form
    action: Form
    about: dict[str, Any]
    """Origin of the policy: run, seed, environment, versions."""
    warn: WarnOnce = dataclasses.field(default_factory=WarnOnce, repr=False)
    """Warnings about observations outside their bounds."""

    @property
    def noise(self) -> str:
        """The noise that `act` takes to draw, in words."""
        kinds = self.policy.noise
        words = {"normal": "standard normal", "uniform": "uniform in [0, 1)"}
        parts = [f"{kinds.count(kind)} {words[kind]}" for kind in dict.fromkeys(kinds)]
        return f"float32 [..., {len(kinds)}]: {', then '.join(parts)}"

    @functools.cached_property
    def mask_forms(self) -> MaskForms | PartMasks:
        """Converter of masks of the actions.

        Raises:
            EmbrlError: If actions are continuous, or the policy cannot be told which to choose.
        """
        sizes = self.policy.part_sizes
        if not self.action.whole and sizes is None:
            raise SettingError("mask", "None where actions are continuous", "one", "leave it out")
        if not self.policy.takes_mask:
            raise SettingError(
                "mask",
                "None for a policy whose decoder chooses without one outside of JAX",
                "one",
                "act with embrl.load(RUN).policy(), or train with decoder.kind nearest",
            )
        return MaskForms(self.action.sizes) if sizes is None else PartMasks(Product(sizes))

    def act(
        self,
        observation: ArrayLike,
        noise: ArrayLike | None = None,
        mask: Any = None,
        strict: bool = False,
    ) -> Any:
        """Return an action for one observation, or an action each for a batch of them.

        Args:
            observation: One observation, with any number of leading axes. Numbers outside their
                bounds are taken as they are, as in training, with one warning.
            noise: Noise that draws the action, the same one for the same noise (`self.noise` says
                what it is); None for the action of the most likely internal action.
            mask: True for the discrete actions that may be chosen, for all observations or for each
                of them, in any form of `embrl.core.masks.MaskForms`; None for all.

        Raises:
            EmbrlError: If an observation is not in the space, noise has another shape, or a mask
                has none of its forms or allows no action.
        """
        values = array_of(observation, "observation")
        axes = len(self.observation.shape)
        lead = values.shape[: values.ndim - axes]
        if values.shape[len(lead) :] != self.observation.shape:
            raise EmbrlError(
                f"observation must have shape [..., {str(list(self.observation.shape))[1:-1]}], "
                f"got {list(values.shape)} ({self.observation})"
            )
        rows = values.reshape((-1, *self.observation.shape))
        rows = self.observation.checked(rows, warn=None if strict else self.warn)
        drawn = None
        if noise is not None:
            width = len(self.policy.noise)
            drawn = array_of(noise, "noise")
            if drawn.dtype.kind not in "iuf":
                raise EmbrlError(f"noise must be numbers, got {drawn.dtype}; it is {self.noise}")
            with np.errstate(over="ignore"):
                drawn = drawn.astype(np.float32)
            if drawn.shape != (*lead, width):
                raise EmbrlError(
                    f"noise must have shape {[*lead, width]}, got {list(drawn.shape)}; it is "
                    f"{self.noise}"
                )
            if not np.isfinite(drawn).all():
                raise EmbrlError(f"noise must be finite, got inf or nan; it is {self.noise}")
            drawn = drawn.reshape(-1, width)
        only = None
        if mask is not None:
            flags = self.allowed(mask, lead)
            only = flags.reshape(-1, flags.shape[-1])
        actions = self.policy(rows, drawn, only).astype(self.action.dtype)
        return actions.reshape((*lead, *self.action.shape))[()]

    def allowed(self, mask: Any, lead: tuple[int, ...] = ()) -> np.ndarray:
        """Return a mask as the policy's steps take it, bool `[*lead, n]`.

        Args:
            mask: as in `act`.
            lead: leading axes of the observations.

        Raises:
            EmbrlError: the policy takes no masks, or it has none of its forms or allows no action
                that is not excluded.
        """
        forms = self.mask_forms
        flags = forms(mask, lead)
        if isinstance(forms, PartMasks):
            return check_parts_allowed(forms.product, flags)
        for step in self.policy.f.steps:
            if isinstance(step, Nearest) and len(step.names) < flags.shape[-1]:
                allowed = np.zeros(flags.shape[-1], bool)
                allowed[np.asarray(step.names)] = True
                return check_allowed(flags, allowed)
        return check_allowed(flags)

    @property
    def action_names(self) -> tuple[str, ...] | None:
        """Names of the actions, as the identifiers of a log's items; None where they have none."""
        return self.action.names

    def action_name(self, action: ArrayLike) -> Any:
        """Return what an action is called; an array of names for an array of actions.

        Raises:
            EmbrlError: If the actions have no names, or there is no such action.
        """
        return self.action.named(action)

    def write(self, path: str | Path, onnx: bytes | None = None) -> None:
        """Write a folder, which exists whole or not at all; an earlier export is replaced.

        Raises:
            EmbrlError: If `path` exists and is not an export, or cannot be written.
        """
        path = Path(path)
        check_free(path)
        arrays: dict[str, np.ndarray] = {}
        described = to_json(self.policy, "policy", arrays)
        weights = io.BytesIO()
        np.savez(weights, **arrays)  # type: ignore[arg-type]
        manifest = {
            "format": FORMAT,
            "kind": "policy",
            **self.about,
            "observation": self.observation.to_json(),
            "action": self.action.to_json(),
            "noise": list(self.policy.noise),
            "policy": described,
            "sha256": hashlib.sha256(weights.getvalue()).hexdigest(),
        }
        with files.replacing_folder(path) as new:
            files.write_bytes(new / WEIGHTS, weights.getvalue())
            files.write_bytes(new / PROGRAM, Path(steps.__file__).read_bytes())
            if onnx is not None:
                files.write_bytes(new / ONNX, onnx)
            files.write_json(new / MANIFEST, manifest)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Return the policy in a folder.

        Raises:
            EmbrlError: If there is none, it has another format, or a file is damaged.
        """
        where = Path(path) / MANIFEST
        found = files.read_json(where)
        if found.get("kind") != "policy" or not isinstance(found.get("format"), int):
            raise EmbrlError(f"{where} must describe a policy; embrl export writes such folders")
        if (format_ := found["format"]) != FORMAT:
            reader = LAST_READER.get(format_)
            remedy = f"export the run again, or use embrl {reader}" if reader else "use a newer one"
            raise EmbrlError(
                f"{where} must have format {FORMAT} for this version of embrl, got {format_}; "
                f"{remedy}"
            )
        arrays = _weights(Path(path) / WEIGHTS, found.get("sha256"))
        try:
            policy = steps.from_json(found["policy"], arrays)
            observation, action = (
                Form.from_json(found[name], where) for name in ("observation", "action")
            )
        except FAULTY as error:
            raise EmbrlError(f"{where} is damaged: {error}") from error
        if not isinstance(policy, PortablePolicy):
            raise EmbrlError(f"{where} is damaged: it must describe a PortablePolicy")
        about = {name: found.get(name) for name in ("run", "seed", "environment", "versions")}
        read = cls(policy, observation, action, about)
        try:  # arrays may fit the steps one by one, but not each other
            zero = np.clip(np.zeros(observation.shape), observation.low, observation.high)
            for noise in (None, np.zeros(len(policy.noise), np.float32)):
                read.act(zero.astype(observation.dtype), noise)
        except Exception as error:
            raise EmbrlError(f"{where} is damaged: {error}") from error
        return read


def to_json(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return what `embrl.portable.steps.from_json` reads; arrays go into `arrays` under `name`."""
    if isinstance(value, np.ndarray | np.generic):
        arrays[name] = np.asarray(value)
        return {"array": name}
    if isinstance(value, tuple):
        return [to_json(part, f"{name}.{number}", arrays) for number, part in enumerate(value)]
    if not dataclasses.is_dataclass(value):
        return value
    fields = [field.name for field in dataclasses.fields(value)]
    parts = {part: to_json(getattr(value, part), f"{name}.{part}", arrays) for part in fields}
    return {"step": type(value).__name__, **parts}


def check_free(path: Path) -> None:
    """Raise an EmbrlError if `path` exists and is not an earlier export."""
    if path.exists() and not (path / MANIFEST).is_file():
        raise EmbrlError(
            f"out must be a new folder or an earlier export, got {path}; choose another"
        )


def load_policy(path: str | Path) -> ExportedPolicy:
    """Return the policy in a folder that `embrl export` or `embrl.export` wrote; without JAX.

    Raises:
        EmbrlError: If there is none, it has another format, or a file is damaged.
    """
    return ExportedPolicy.read(path)


def _weights(path: Path, sha256: Any) -> Mapping[str, np.ndarray]:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise EmbrlError(f"{path} is missing") from error
    except OSError as error:
        raise EmbrlError(f"{path} is damaged: {error}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise EmbrlError(f"{path} is damaged: its checksum is not the one in {MANIFEST}")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return dict(file)
    except Exception as error:  # NumPy's reader raises many kinds
        raise EmbrlError(f"{path} is damaged: {error}") from error
