"""Policies of Stable-Baselines3 as agents: PPO, A2C and DQN with networks of linear layers.

Nothing in a stranger's zip is run. Two of its files are read, both in memory: `policy.pth`, by
PyTorch's reader of weights alone, and `data`, as JSON, whose pickled entries stay text. The rest is
never looked at, and nothing is unpacked to disk.
"""

import io
import json
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from embrl.agents.state_dict import MOST_BYTES, Agent, agent_of, in_order
from embrl.core.errors import EmbrlError, require

TORCH = (2, 10)
"""Before, `weights_only` could be made to run code (CVE-2025-32434, CVE-2026-24747)."""

ACTOR_CRITIC = ("mlp_extractor.policy_net.", "action_net.")
"""What the tensors of a policy's network begin with, in PPO and A2C."""
Q = ("q_net.q_net.",)
"""In DQN."""
BESIDE = ("mlp_extractor.value_net.", "value_net.", "q_net_target.")
"""What training needs and acting does not."""

Tensors = dict[str, np.ndarray]


def read_stable_baselines(path: str | Path, activation: str | None = None) -> Agent:
    """The policy of a zip that Stable-Baselines3 saved. Its likeliest action, or that of the
    greatest value, is what its `predict` chooses where it is deterministic.

    Arguments:
        activation: between the layers; None: what the zip says or, as it says nothing of what was
            left as it is, Stable-Baselines3's default: tanh for PPO and A2C, relu for DQN.

    Raises:
        EmbrlError: PyTorch is missing or older than 2.10, or the file is none of this kind.
    """
    path = Path(path)
    policy, data = _unzipped(path)
    said = _settings(data, path)
    tensors = _tensors(policy, path)
    found = {name: tensor for name, tensor in tensors.items() if not name.startswith(BESIDE)}
    if any(name.startswith(Q) for name in found):
        layers, default = in_order(_of(found, Q), path), "relu"
    else:
        hidden, last = ACTOR_CRITIC
        layers = [*in_order(_of(found, (hidden,)), path), last.rstrip(".")]
        default = "tanh"
    return agent_of(found, layers, activation or said or default, path)


def _of(tensors: Tensors, prefixes: tuple[str, ...]) -> list[str]:
    return [name for name in tensors if name.startswith(prefixes)]


def _unzipped(path: Path) -> tuple[bytes, bytes | None]:
    """`policy.pth` and `data`, if that is there."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if "policy.pth" not in names:
                raise EmbrlError(f"{path} has no policy.pth: Stable-Baselines3 did not save it")
            return (
                _member(archive, "policy.pth", path),
                _member(archive, "data", path) if "data" in names else None,
            )
    except zipfile.BadZipFile as error:
        raise EmbrlError(f"{path} is no zip, or a damaged one: {error}") from error
    except OSError as error:
        raise EmbrlError(f"{path} is missing or unreadable: {error.strerror or error}") from error
    except (RuntimeError, NotImplementedError, EOFError, ValueError, zlib.error) as error:
        # Passwords, methods of compression that Python lacks, ends that come too early.
        raise EmbrlError(f"{path} cannot be read: {error}") from error


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    size = archive.getinfo(name).file_size
    if size > MOST_BYTES:  # no more than it says is ever read
        raise EmbrlError(f"{path}: {name} has {size:,} bytes: expected {MOST_BYTES:,} at most")
    return archive.read(name)


def _settings(data: bytes | None, path: Path) -> str | None:
    """The activation, if the zip says which.

    Raises:
        EmbrlError: `data` is damaged, or says something of which there are no agents.
    """
    if data is None:
        return None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise EmbrlError(f"{path}: data is no JSON: {error}") from error
    actions = _entry(value, "action_space", ":type:")
    if actions is not None and not re.search(r"\bDiscrete\b", actions):
        raise EmbrlError(f"{path}: actions are {actions}: expected a Discrete space")
    name = _entry(value, "policy_kwargs", "activation_fn")
    if name is None:
        return None
    activation = name.rpartition(".")[2].rstrip("'>").lower()
    if activation not in ("tanh", "relu"):
        raise EmbrlError(f"{path}: activation {name}: expected Tanh or ReLU")
    return activation


def _entry(value: Any, *names: str) -> str | None:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return None if value is None else str(value)


def _tensors(data: bytes, path: Path) -> Tensors:
    """A state dict as `torch.save` writes it, by PyTorch's reader of weights alone."""
    torch = require("torch", "torch")
    number = re.match(r"(\d+)\.(\d+)", torch.__version__)
    if number is None or tuple(map(int, number.groups())) < TORCH:
        raise EmbrlError(
            f"torch {torch.__version__} is not safe with files of others: "
            "pip install --upgrade 'embrl[torch]'"
        )
    where = f"{path}: policy.pth"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile as error:
        raise EmbrlError(f"{where} is not of PyTorch 1.6 or later, or damaged") from error
    if size > MOST_BYTES:
        raise EmbrlError(f"{where} has {size:,} bytes: expected {MOST_BYTES:,} at most")
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return {
            name: tensor.detach().to(torch.float32).numpy() for name, tensor in dict(state).items()
        }
    except Exception as error:  # whatever a stranger's file makes of PyTorch's reader
        reason = str(error).strip().partition("\n")[0]
        raise EmbrlError(f"{where} is not weights alone: {reason or type(error)}") from error
