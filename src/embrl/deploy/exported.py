"""A policy on disk, in plain NumPy: read and written without JAX.

policy.json      format 1: observations, actions, noise, and the steps between, part by part
weights.npz      the steps' arrays, by the names that stand in policy.json
policy.py        the same as a program that needs NumPy alone
policy.onnx      the same for ONNX's runtimes; if it was asked for
"""

import dataclasses
import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from embrl.core.errors import EmbrlError
from embrl.deploy import runner
from embrl.deploy.form import Form
from embrl.deploy.written import chain_from_json, chain_to_json, from_json, to_json
from embrl.portable.policy import PortablePolicy
from embrl.storage import files

FORMAT = 1
MANIFEST = "policy.json"
WEIGHTS = "weights.npz"
PROGRAM = "policy.py"
ONNX = "policy.onnx"
CHAINS = ("features", "parameters", "likeliest", "f", "leave")
OTHERS = ("draw", "f_draw", "judged")

FAULTY = (KeyError, TypeError, ValueError, IndexError, AttributeError)
"""What a damaged file may lead to."""


@dataclasses.dataclass(frozen=True, eq=False)
class ExportedPolicy:
    """A policy in plain NumPy, which checks what it gets."""

    policy: PortablePolicy
    observation: Form
    action: Form
    about: dict[str, Any]
    """Where it comes from: run, seed, environment, versions."""

    @property
    def noise(self) -> str:
        """What `act` takes to draw, in words."""
        kinds = self.policy.noise
        words = {"normal": "standard normal", "uniform": "uniform in [0, 1)"}
        parts = [f"{kinds.count(kind)} {words[kind]}" for kind in dict.fromkeys(kinds)]
        return f"float32 [..., {len(kinds)}]: {', then '.join(parts)}"

    def act(self, observation: ArrayLike, noise: ArrayLike | None = None) -> Any:
        """Chooses an action for one observation, or an action each for a batch of them.

        Arguments:
            observation: with any number of leading axes.
            noise: draws an action, the same one for the same noise (`self.noise` says what it is);
                None: the action of the likeliest internal one.

        Raises:
            EmbrlError: an observation is not in the space, or noise has another shape.
        """
        values = np.asarray(observation)
        axes = len(self.observation.shape)
        lead = values.shape[: values.ndim - axes]
        if values.shape[len(lead) :] != self.observation.shape:
            raise EmbrlError(
                f"an observation has shape {list(values.shape)}, expected "
                f"[..., {str(list(self.observation.shape))[1:-1]}] ({self.observation})"
            )
        rows = self.observation.checked(values.reshape((-1, *self.observation.shape)))
        drawn = None
        if noise is not None:
            width = len(self.policy.noise)
            drawn = np.asarray(noise, np.float32)
            if drawn.shape != (*lead, width):
                raise EmbrlError(
                    f"the noise is {list(drawn.shape)}, expected {[*lead, width]}: {self.noise}"
                )
            drawn = drawn.reshape(-1, width)
        actions = self.policy(rows, drawn).astype(self.action.dtype)
        return actions.reshape((*lead, *self.action.shape))[()]

    def write(self, path: str | Path, onnx: bytes | None = None) -> None:
        """Makes a folder of it, which is there whole or not at all; an earlier export gives way.

        Raises:
            EmbrlError: something else is there, or it cannot be written.
        """
        path = Path(path)
        check_free(path)
        arrays: dict[str, np.ndarray] = {}
        parts: dict[str, Any] = {
            name: chain_to_json(getattr(self.policy, name), name, arrays) for name in CHAINS
        }
        for name in OTHERS:
            one = getattr(self.policy, name)
            parts[name] = None if one is None else to_json(one, name, arrays)
        weights = io.BytesIO()
        np.savez(weights, **arrays)  # type: ignore[arg-type]
        manifest = {
            "format": FORMAT,
            "kind": "policy",
            **self.about,
            "observation": self.observation.to_json(),
            "action": self.action.to_json(),
            "noise": list(self.policy.noise),
            "parts": parts,
            "sha256": hashlib.sha256(weights.getvalue()).hexdigest(),
        }
        program = runner.program(self.policy, self.observation, self.title, self.noise)
        try:
            with files.replacing_folder(path) as new:
                files.write_bytes(new / WEIGHTS, weights.getvalue())
                files.write_text(new / PROGRAM, program)
                if onnx is not None:
                    files.write_bytes(new / ONNX, onnx)
                files.write_json(new / MANIFEST, manifest)
        except OSError as error:
            raise EmbrlError(f"{path} cannot be written: {error.strerror or error}") from error

    @property
    def title(self) -> str:
        """In a line."""
        about = self.about
        return f"A policy for {about['environment']}: {about['run']}, seed {about['seed']}."

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The policy in a folder.

        Raises:
            EmbrlError: there is none, it is of a newer format, or a file is damaged.
        """
        where = Path(path) / MANIFEST
        found = files.read_json(where)
        if found.get("kind") != "policy" or not isinstance(found.get("format"), int):
            raise EmbrlError(f"{where} describes no policy: embrl export writes such folders")
        if found["format"] > FORMAT:
            raise EmbrlError(
                f"{where} has format {found['format']}, this version of embrl reads {FORMAT}: "
                "install a newer one"
            )
        arrays = _weights(Path(path) / WEIGHTS, found.get("sha256"))
        try:
            parts = found["parts"]
            read: dict[str, Any] = {
                **{name: chain_from_json(parts[name], arrays, where) for name in CHAINS},
                **{
                    name: None if parts[name] is None else from_json(parts[name], arrays, where)
                    for name in OTHERS
                },
            }
            observation, action = (
                Form.from_json(found[name], where) for name in ("observation", "action")
            )
        except FAULTY as error:
            raise EmbrlError(f"{where} is damaged: {type(error).__name__} {error}") from error
        about = {name: found.get(name) for name in ("run", "seed", "environment", "versions")}
        return cls(PortablePolicy(**read), observation, action, about)


def check_free(path: Path) -> None:
    """
    Raises:
        EmbrlError: there is something that is no earlier export.
    """
    if path.exists() and not (path / MANIFEST).is_file():
        raise EmbrlError(f"{path} is there already, and no exported policy: choose another --out")


def load_policy(path: str | Path) -> ExportedPolicy:
    """The policy in a folder that `embrl export` or `embrl.export` wrote; without JAX.

    Raises:
        EmbrlError: there is none, it is of a newer format, or a file is damaged.
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
        raise EmbrlError(f"{path} is damaged: its checksum is another one than {MANIFEST} says")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise EmbrlError(f"{path} is damaged: {error}") from error
