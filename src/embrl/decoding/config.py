"""Which f, and its settings."""

import dataclasses
from typing import Literal

import jax

from embrl.core.errors import EmbrlError
from embrl.decoding.decoder import Decoder

TEMPERATURES = (1e-30, 1e30)
"""Well inside of what float32 can divide by."""


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """f, which turns a point of the action embedding into an action."""

    kind: Literal["nearest", "wolpertinger", "best", "softmax", "learned"] = "nearest"
    """The nearest action; of the k nearest, or of all, the one that the judge thinks best; one
    drawn by distance; or, for actions that are numbers, what a network makes of the point."""
    k: int = 16
    """How many of the nearest actions the judge compares (wolpertinger only)."""
    scorer: Literal["critic", "model"] = "critic"
    """Who judges: SAC's critic, or what T and the objective outcome expect of the next step
    (wolpertinger and best only)."""
    temperature: float = 0.05
    """Initial temperature, in units of squared distance; it is learned with the policy (softmax
    only)."""
    gradient_steps: int = 1000
    """Gradient steps in which the network learns to undo g, once g is trained (learned only)."""
    learning_rate: float = 3e-3
    """Adam's, in these steps; it falls to zero (learned only)."""


def build(config: DecoderConfig) -> Decoder:
    """The f that `config` describes. A traced temperature is taken as it is.

    Raises:
        EmbrlError: a setting is out of its range, whether this kind uses it or not.
    """
    from embrl.decoding import DECODERS  # it imports this file

    if not (isinstance(config.k, int) and config.k >= 1):
        raise EmbrlError(f"decoder.k is {config.k}: choose a whole number from 1")
    low, high = TEMPERATURES
    traced = isinstance(config.temperature, jax.Array)
    if not traced and not low <= config.temperature <= high:
        raise EmbrlError(f"decoder.temperature is {config.temperature}: choose {low} to {high}")
    if config.gradient_steps < 1:
        raise EmbrlError(f"decoder.gradient_steps is {config.gradient_steps}: choose 1 or more")
    settings = {"wolpertinger": {"k": config.k}, "softmax": {"temperature": config.temperature}}
    return DECODERS[config.kind](**settings.get(config.kind, {}))
