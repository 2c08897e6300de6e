"""Policies trained elsewhere, imported as a population.

Two kinds of files are read: PyTorch state dicts saved as safetensors, and models of
Stable-Baselines3 (PPO, A2C and DQN with networks of linear layers). Nothing in an untrusted zip is
executed: two of its files are read, both in memory, `policy.pth` by PyTorch's weights-only reader,
and `data` as JSON, whose pickled entries stay text. The rest is ignored, and nothing is unpacked to
disk.
"""

import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open

from embrl.agents.architecture import Architecture, Layer
from embrl.agents.population import RECORD, Population, append, create
from embrl.core.errors import EmbrlError, UnknownNameError, require
from embrl.core.nn import ACTIVATIONS
from embrl.envs import EnvConfig
from embrl.storage.lock import locked
from embrl.training.evaluation import Episodes

MAX_BYTES = 2**26
"""Maximum size of an imported policy."""


class ImportedAgent(NamedTuple):
    """One policy: its architecture and weights."""

    architecture: Architecture
    weights: Float[np.ndarray, " size"]


def read_state_dict(
    path: str | Path, activation: str = "tanh", layers: Sequence[str] | None = None
) -> ImportedAgent:
    """Read a state dict saved as safetensors.

    Every tensor must be the `weight` `[outputs, inputs]` or the `bias` of a linear layer. Layers
    are ordered by number, as in `net.0.weight`, `net.2.weight`: their names may differ in numbers
    only, unless `layers` gives their order.

    Args:
        path: file to read.
        activation: activation between the layers, which such a file does not contain.
        layers: names of the layers in order, `("hidden", "out")`.

    Raises:
        EmbrlError: the file is not of this kind; the message names the tensor.
    """
    path = Path(path)
    tensors = _read(path)
    return agent_from_tensors(tensors, layers or layer_order(tensors, path), activation, path)


def layer_order(tensors: Iterable[str], where: str | Path) -> list[str]:
    """Return the names of the layers, ordered by the numbers in them.

    Raises:
        EmbrlError: the names differ in more than numbers.
    """
    layers = sorted({name.rpartition(".")[0] for name in tensors})
    if len(kinds := {re.sub(r"\d+", "0", layer): layer for layer in layers}) > 1:
        one, other = list(kinds.values())[:2]
        raise EmbrlError(
            f"{where}: layers {one!r} and {other!r} differ in more than numbers, so their order is "
            "unknown; name it with layers"
        )
    return sorted(layers, key=lambda layer: [int(number) for number in re.findall(r"\d+", layer)])


def agent_from_tensors(
    tensors: Mapping[str, np.ndarray],
    layers: Sequence[str],
    activation: str,
    where: str | Path,
) -> ImportedAgent:
    """Assemble an agent from the tensors of its layers.

    Args:
        tensors: `LAYER.weight` `[outputs, inputs]` and `LAYER.bias` for each of `layers`, and
            nothing else.
        layers: names of the layers in order.
        activation: activation between the layers.
        where: source named in messages.

    Raises:
        EmbrlError: a tensor is missing, unexpected, of another shape, or not finite.
    """
    if activation not in ACTIVATIONS:
        raise UnknownNameError("activation", activation, ACTIVATIONS)
    if not layers:
        raise EmbrlError(f"{where} has no layers")
    expected = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    for name in tensors:
        if name not in expected:
            raise EmbrlError(f"{where}: unexpected tensor {name}; expected {', '.join(expected)}")
    widths: list[int] = []
    parts: list[Layer] = []
    for layer in layers:
        weight, bias = (_tensor(tensors, f"{layer}.{part}", where) for part in ("weight", "bias"))
        if weight.ndim != 2 or (widths and weight.shape[1] != widths[-1]) or not weight.size:
            inputs = widths[-1] if widths else "inputs"
            raise EmbrlError(
                f"{where}: {layer}.weight must be [outputs, {inputs}], got {list(weight.shape)}"
            )
        if bias.shape != weight.shape[:1]:
            raise EmbrlError(
                f"{where}: {layer}.bias must be [{len(weight)}], got {list(bias.shape)}"
            )
        widths += weight.shape[:1] if widths else weight.shape[::-1]
        parts.append(Layer(weight.T, bias))  # type: ignore[arg-type]
    architecture = Architecture(widths[0], tuple(widths[1:-1]), widths[-1], activation)
    return ImportedAgent(architecture, np.asarray(architecture.flat(parts)))


def _tensor(tensors: Mapping[str, np.ndarray], name: str, where: str | Path) -> np.ndarray:
    if name not in tensors:
        raise EmbrlError(f"{where} has no tensor {name}")
    if tensors[name].dtype.kind != "f":
        raise EmbrlError(f"{where}: {name} must be floating point, got {tensors[name].dtype}")
    with np.errstate(over="ignore"):  # what is too large is refused below
        tensor = tensors[name].astype(np.float32)
    if not np.isfinite(tensor).all():
        raise EmbrlError(f"{where}: {name} must be finite, got numbers that are not")
    return tensor


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise EmbrlError(f"{path} must have {MAX_BYTES:,} bytes at most, got {size:,}")
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise EmbrlError(f"{path} is missing or unreadable: {error.strerror or error}") from error
    except (SafetensorError, TypeError, ValueError, KeyError, AttributeError) as error:
        # NumPy lacks some dtypes, which safetensors reports with various exceptions.
        raise EmbrlError(f"{path} is not a readable safetensors file: {error}") from error


TORCH = (2, 10)
"""Minimum version: `weights_only` could run code before (CVE-2025-32434, CVE-2026-24747)."""

ACTOR_CRITIC = ("mlp_extractor.policy_net.", "action_net.")
"""Prefixes of the policy network's tensors in PPO and A2C."""
Q = ("q_net.q_net.",)
"""Prefix of the network's tensors in DQN."""
BESIDE = ("mlp_extractor.value_net.", "value_net.", "q_net_target.")
"""Prefixes of tensors needed for training but not for acting."""

Tensors = dict[str, np.ndarray]


def read_stable_baselines(path: str | Path, activation: str | None = None) -> ImportedAgent:
    """Read the policy of a zip saved by Stable-Baselines3.

    The agent's most likely action, or that of the greatest value, is the one that `predict` chooses
    with `deterministic=True`.

    Args:
        path: zip to read.
        activation: activation between the layers; None: as stored in the zip or, as defaults are
            not stored, Stable-Baselines3's default: tanh for PPO and A2C, relu for DQN.

    Raises:
        EmbrlError: PyTorch is missing or older than 2.10, or the file is not of this kind.
    """
    path = Path(path)
    policy, data = _unzipped(path)
    said = _settings(data, path)
    tensors = _torch_tensors(policy, path)
    found = {name: tensor for name, tensor in tensors.items() if not name.startswith(BESIDE)}
    if any(name.startswith(Q) for name in found):
        layers, default = layer_order(_with_prefix(found, Q), path), "relu"
    else:
        hidden, last = ACTOR_CRITIC
        layers = [*layer_order(_with_prefix(found, (hidden,)), path), last.rstrip(".")]
        default = "tanh"
    return agent_from_tensors(found, layers, activation or said or default, path)


def _with_prefix(tensors: Tensors, prefixes: tuple[str, ...]) -> list[str]:
    return [name for name in tensors if name.startswith(prefixes)]


def _unzipped(path: Path) -> tuple[bytes, bytes | None]:
    """Return `policy.pth` and, if present, `data`."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if "policy.pth" not in names:
                raise EmbrlError(f"{path} has no policy.pth; save it with Stable-Baselines3")
            return (
                _member(archive, "policy.pth", path),
                _member(archive, "data", path) if "data" in names else None,
            )
    except zipfile.BadZipFile as error:
        raise EmbrlError(f"{path} is not a zip, or damaged: {error}") from error
    except OSError as error:
        raise EmbrlError(f"{path} is missing or unreadable: {error.strerror or error}") from error
    except (RuntimeError, NotImplementedError, EOFError, ValueError, zlib.error) as error:
        # Passwords, unsupported compression, truncated files.
        raise EmbrlError(f"{path} cannot be read: {error}") from error


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    size = archive.getinfo(name).file_size
    if size > MAX_BYTES:  # zipfile never reads more than this
        raise EmbrlError(f"{path}: {name} must have {MAX_BYTES:,} bytes at most, got {size:,}")
    return archive.read(name)


def _settings(data: bytes | None, path: Path) -> str | None:
    """Return the activation, if the zip stores it.

    Raises:
        EmbrlError: `data` is damaged, or describes a policy that cannot be an agent.
    """
    if data is None:
        return None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise EmbrlError(f"{path}: data is not JSON: {error}") from error
    actions = _entry(value, "action_space", ":type:")
    if actions is not None and not re.search(r"\bDiscrete\b", actions):
        raise EmbrlError(f"{path}: action space must be Discrete, got {actions}")
    name = _entry(value, "policy_kwargs", "activation_fn")
    if name is None:
        return None
    activation = name.rpartition(".")[2].rstrip("'>").lower()
    if activation not in ("tanh", "relu"):
        raise EmbrlError(f"{path}: activation must be Tanh or ReLU, got {name}")
    return activation


def _entry(value: Any, *names: str) -> str | None:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return None if value is None else str(value)


def _torch_tensors(data: bytes, path: Path) -> Tensors:
    """Read a state dict written by `torch.save`, with PyTorch's weights-only reader."""
    torch = require("torch", "torch")
    number = re.match(r"(\d+)\.(\d+)", torch.__version__)
    if number is None or tuple(map(int, number.groups())) < TORCH:
        raise EmbrlError(
            f"torch must be 2.10 or later to read untrusted files, got {torch.__version__}; "
            "pip install --upgrade 'embrl[torch]'"
        )
    where = f"{path}: policy.pth"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile as error:
        raise EmbrlError(
            f"{where} must be written by PyTorch 1.6 or later, or is damaged"
        ) from error
    if size > MAX_BYTES:
        raise EmbrlError(f"{where} must have {MAX_BYTES:,} bytes at most, got {size:,}")
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return {
            name: tensor.detach().to(torch.float32).numpy() for name, tensor in dict(state).items()
        }
    except Exception as error:  # whatever an untrusted file makes PyTorch's reader raise
        reason = str(error).strip().partition("\n")[0]
        raise EmbrlError(f"{where} must contain weights alone: {reason or type(error)}") from error


Evaluate = Callable[[Architecture, Float[np.ndarray, "N size"]], Episodes]
"""Function from agents to their returns and lengths, `[N, episodes]` each."""

UNKNOWN_SEED = -1


def read_agent(
    path: str | Path, activation: str | None = None, layers: Sequence[str] | None = None
) -> ImportedAgent:
    """Read a policy: a PyTorch state dict (`.safetensors`) or a Stable-Baselines3 model (`.zip`).

    Args:
        path: file to read.
        activation: activation between the layers; None: as stored in the file, else tanh or, for
            DQN, relu.
        layers: names of a state dict's layers in order, if their numbers do not determine it.

    Raises:
        EmbrlError: the file is of neither kind, or damaged.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return read_state_dict(path, activation or "tanh", layers)
    if path.suffix == ".zip":
        if layers:
            raise EmbrlError(
                f"{path}: layers must not be given for Stable-Baselines3; their order is known"
            )
        return read_stable_baselines(path, activation)
    raise EmbrlError(
        f"{path} must be a state dict (.safetensors) or a Stable-Baselines3 model (.zip)"
    )


def import_agents(
    paths: Sequence[str | Path],
    out: str | Path,
    environment: str,
    env: EnvConfig,
    evaluate: Evaluate,
    *,
    activation: str | None = None,
    layers: Sequence[str] | None = None,
) -> Population:
    """Create a population of policies from files, or add them to an existing one.

    Each policy is a lineage of its own, at step 0, and its seed is -1: unknown.

    Args:
        paths: files to read.
        out: folder of the population.
        environment: registered name of the environment.
        env: settings of the environment.
        evaluate: evaluates all agents at once.
        activation: see `read_agent`.
        layers: see `read_agent`.

    Raises:
        EmbrlError: a file cannot be read, architectures differ, or `out` is a population of other
            agents; what is there stays unchanged.
    """
    agents = [read_agent(path, activation, layers) for path in paths]
    if not agents:
        raise EmbrlError("files must be one or more, got none")
    architecture = agents[0].architecture
    for path, agent in zip(paths, agents, strict=True):
        if agent.architecture != architecture:
            raise EmbrlError(
                f"architectures of a population must be equal, got {agent.architecture} in {path} "
                f"and {architecture} in {paths[0]}"
            )
    with locked(Path(out)):
        there = Population(out) if (Path(out) / RECORD).exists() else None
        if there is not None:
            _check(there, architecture, environment, env)
        weights = np.stack([agent.weights for agent in agents])
        played = evaluate(architecture, weights)
        returns, lengths = (
            np.asarray(part, np.float64) for part in (played.returns, played.lengths)
        )
        if there is None:
            there = create(out, architecture, environment, env, returns.shape[1])
        elif there.episodes != returns.shape[1]:
            raise EmbrlError(
                f"episodes must be {there.episodes} as in {out}, got {returns.shape[1]}"
            )
        first = int(there.table()["lineage"].max(initial=-1)) + 1
        table = {
            "lineage": first + np.arange(len(agents)),
            "step": np.zeros(len(agents), np.int64),
            "seed": np.full(len(agents), UNKNOWN_SEED),
            "return_mean": returns.mean(1),
            "return_std": returns.std(1),
            "survival_mean": lengths.mean(1),
        }
        append(out, weights, table, architecture=architecture)
    return Population(out)


def _check(
    population: Population, architecture: Architecture, environment: str, env: EnvConfig
) -> None:
    where = population.path
    if population.architecture != architecture:
        raise EmbrlError(
            f"agents must be {population.architecture} as in {where}, got {architecture}; use "
            "another population"
        )
    if population.environment != environment or population.env != env:
        raise EmbrlError(
            f"environment must be {population.environment} {population.env} as in {where}, got "
            f"{environment} {env}; use another population"
        )
