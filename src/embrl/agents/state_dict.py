"""Policies of PyTorch as agents: the named weights and biases of linear layers in a row."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open

from embrl.agents.architecture import ACTIVATIONS, Architecture, Layer
from embrl.core.errors import EmbrlError, UnknownNameError

MOST_BYTES = 2**26
"""A policy that is larger than this is none for a population."""


class Agent(NamedTuple):
    """One policy."""

    architecture: Architecture
    weights: Float[np.ndarray, " size"]


def read_state_dict(
    path: str | Path, activation: str = "tanh", layers: Sequence[str] | None = None
) -> Agent:
    """A state dict that was saved as safetensors.

    Every tensor must be the `weight` `[outputs, inputs]` or the `bias` of a linear layer. Layers
    follow each other by number, as in `net.0.weight`, `net.2.weight`: their names may differ in
    numbers only, unless `layers` says their order.

    Arguments:
        activation: between the layers; such a file does not say.
        layers: the layers' names in order, `("hidden", "out")`.

    Raises:
        EmbrlError: the file is none of this kind; the message names the tensor.
    """
    path = Path(path)
    tensors = _read(path)
    return agent_of(tensors, layers or in_order(tensors, path), activation, path)


def in_order(tensors: Iterable[str], where: str | Path) -> list[str]:
    """Names of layers, by the numbers in them.

    Raises:
        EmbrlError: numbers are not all that tells them apart.
    """
    layers = sorted({name.rpartition(".")[0] for name in tensors})
    if len(kinds := {re.sub(r"\d+", "0", layer): layer for layer in layers}) > 1:
        one, other = list(kinds.values())[:2]
        raise EmbrlError(
            f"{where}: layers {one!r} and {other!r} do not differ in numbers alone, so their order "
            "is not known: say it (layers)"
        )
    return sorted(layers, key=lambda layer: [int(number) for number in re.findall(r"\d+", layer)])


def agent_of(
    tensors: Mapping[str, np.ndarray],
    layers: Sequence[str],
    activation: str,
    where: str | Path,
) -> Agent:
    """The agent whose layers these are.

    Arguments:
        tensors: `LAYER.weight` `[outputs, inputs]` and `LAYER.bias` for each of `layers`, and
            nothing else.

    Raises:
        EmbrlError: a tensor is missing, not expected, of another shape, or not finite.
    """
    if activation not in ACTIVATIONS:
        raise UnknownNameError("activation", activation, ACTIVATIONS)
    if not layers:
        raise EmbrlError(f"{where} has no layers")
    expected = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    for name in tensors:
        if name not in expected:
            raise EmbrlError(f"{where}: unexpected tensor {name}: expected {', '.join(expected)}")
    widths: list[int] = []
    parts: list[Layer] = []
    for layer in layers:
        weight, bias = (_tensor(tensors, f"{layer}.{part}", where) for part in ("weight", "bias"))
        if weight.ndim != 2 or (widths and weight.shape[1] != widths[-1]) or not weight.size:
            inputs = widths[-1] if widths else "inputs"
            raise EmbrlError(
                f"{where}: {layer}.weight is {list(weight.shape)}: expected [outputs, {inputs}]"
            )
        if bias.shape != weight.shape[:1]:
            raise EmbrlError(
                f"{where}: {layer}.bias is {list(bias.shape)}: expected [{len(weight)}]"
            )
        widths += weight.shape[:1] if widths else weight.shape[::-1]
        parts.append(Layer(weight.T, bias))  # type: ignore[arg-type]
    architecture = Architecture(widths[0], tuple(widths[1:-1]), widths[-1], activation)
    return Agent(architecture, np.asarray(architecture.flat(parts)))


def _tensor(tensors: Mapping[str, np.ndarray], name: str, where: str | Path) -> np.ndarray:
    if name not in tensors:
        raise EmbrlError(f"{where} has no tensor {name}")
    if tensors[name].dtype.kind != "f":
        raise EmbrlError(f"{where}: {name} is {tensors[name].dtype}: expected real numbers")
    with np.errstate(over="ignore"):  # what is too large is refused below
        tensor = tensors[name].astype(np.float32)
    if not np.isfinite(tensor).all():
        raise EmbrlError(f"{where}: {name} has numbers that are not finite")
    return tensor


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise EmbrlError(f"{path} has {size:,} bytes: a policy has {MOST_BYTES:,} at most")
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise EmbrlError(f"{path} is missing or unreadable: {error.strerror or error}") from error
    except (SafetensorError, TypeError, ValueError, KeyError, AttributeError) as error:
        # NumPy lacks some of the formats of numbers, which safetensors say in their own ways.
        raise EmbrlError(
            f"{path} holds no tensors of safetensors that are read here: {error}"
        ) from error
