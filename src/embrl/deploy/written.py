"""Plain steps in plain values: what they are in JSON, and their arrays by name."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from embrl.core.errors import EmbrlError
from embrl.portable import Beside, Chain, draws, forms, judged, layers, nearest, scaling

KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Beside,
        Chain,
        draws.ByDistance,
        draws.Categorical,
        draws.Gaussian,
        draws.SquashedGaussian,
        forms.Cast,
        forms.Clipped,
        forms.Digits,
        forms.Reshaped,
        forms.Rounded,
        forms.Shifted,
        layers.Affine,
        layers.Column,
        layers.FactorRows,
        layers.First,
        layers.Likeliest,
        layers.MeanOne,
        layers.Relu,
        layers.Rest,
        layers.Rows,
        layers.Tanh,
        judged.Judged,
        nearest.Nearest,
        scaling.Limits,
        scaling.Original,
        scaling.Scaled,
        scaling.Standardised,
    )
}
"""By the names that stand in files."""


def chain_to_json(chain: Chain, name: str, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """A chain; its arrays go into `arrays`, by names that begin with the chain's."""
    return [to_json(step, f"{name}.{number}", arrays) for number, step in enumerate(chain.steps)]


def to_json(step: Any, name: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """A step, the same way. An array is `{"array": NAME}`, a step inside it stands as it is."""
    written: dict[str, Any] = {"step": type(step).__name__}
    for field in dataclasses.fields(step):
        value = getattr(step, field.name)
        written[field.name] = _plain(value, f"{name}.{field.name}", arrays)
    return written


def _plain(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        arrays[name] = np.asarray(value)
        return {"array": name}
    if dataclasses.is_dataclass(value):
        return to_json(value, name, arrays)
    if isinstance(value, tuple):
        return [_plain(part, f"{name}.{number}", arrays) for number, part in enumerate(value)]
    return value


def chain_from_json(value: Any, arrays: Mapping[str, np.ndarray], where: Path) -> Chain:
    """The inverse.

    Raises:
        EmbrlError: the file `where` says something else.
    """
    if not isinstance(value, list):
        raise EmbrlError(f"{where} is damaged: expected a list of steps")
    return Chain(tuple(from_json(step, arrays, where) for step in value))


def from_json(value: Any, arrays: Mapping[str, np.ndarray], where: Path) -> Any:
    """The inverse, of a step.

    Raises:
        EmbrlError: the same.
    """
    if not isinstance(value, dict) or value.get("step") not in KINDS:
        name = value.get("step") if isinstance(value, dict) else value
        raise EmbrlError(f"{where}: {name!r} is no step that this version of embrl knows")
    kind = KINDS[value["step"]]
    names = [field.name for field in dataclasses.fields(kind)]
    if sorted(value) != sorted(["step", *names]):
        raise EmbrlError(f"{where} is damaged: {value['step']} has {', '.join(names)}")
    return kind(**{name: _field(value[name], arrays, where) for name in names})


def _field(value: Any, arrays: Mapping[str, np.ndarray], where: Path) -> Any:
    match value:
        case {"array": str(name)}:
            if name not in arrays:
                raise EmbrlError(f"{where} is damaged: its weights have no {name}")
            return arrays[name]
        case dict():
            return from_json(value, arrays, where)
        case list():
            return tuple(_field(part, arrays, where) for part in value)
        case _:
            return value
