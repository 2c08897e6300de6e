"""Settings by their dotted names, and which of them may differ between rows of one run."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from embrl.config.run import RunConfig
from embrl.core.errors import EmbrlError, UnknownNameError
from embrl.embedding.methods import method

SECTIONS = ("env", "policy", "hyper", "rollout", "evaluation", "explore")
OF_EMBEDDINGS = ("model", "fit", "update", "transfer", "f")
"""Sections that only methods with embeddings look at."""

APART = ("environment", "method", "algorithm", "seed", "seeds")
"""What other settings' defaults depend on, and what is the same at every point."""

TRACED: dict[str, tuple[str, ...]] = {
    "model": ("state_spread", "action_spread"),
    "fit": ("learning_rate",),
    "update": ("learning_rate",),
    "policy": ("std",),
    "f": ("temperature",),
    "rollout": ("persistence",),
}
"""Settings that are numbers in the compiled program and no more: they decide no shape and no
branch. Objectives' weights and an algorithm's floats (but for its `untraced`) are such too.
"""


def settings(config: RunConfig) -> dict[str, Any]:
    """Dotted name to type of every setting that makes a difference to a run of this method and
    algorithm, but for those that say which run it is and how many seeds it has.
    """
    embeds = method(config.method).embeds
    found: dict[str, Any] = {"samples": int}
    found |= {f"objectives.{name}": float for name in config.objectives}
    for section in (*SECTIONS, *(OF_EMBEDDINGS if embeds else ())):
        part = getattr(config, section)
        kinds = typing.get_type_hints(type(part))
        found |= {f"{section}.{f.name}": kinds[f.name] for f in dataclasses.fields(part)}
    return found


def traceable(config: RunConfig) -> frozenset[str]:
    """Names of the settings that may differ between the rows of a run."""

    def numbers_alone(name: str, kind: Any) -> bool:
        section, _, field = name.partition(".")
        if section == "hyper":
            return _float(kind) and field not in config.hyper.untraced
        return section == "objectives" or field in TRACED.get(section, ())

    return frozenset(name for name, kind in settings(config).items() if numbers_alone(name, kind))


def setting(config: RunConfig, name: str) -> Any:
    """The value of the setting with this dotted name."""
    section, _, field = name.partition(".")
    part = getattr(config, section)
    if not field:
        return part
    return part[field] if isinstance(part, dict) else getattr(part, field)


def replaced(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """The configuration with other values, by dotted name."""
    for name, value in values.items():
        section, _, field = name.partition(".")
        part = getattr(config, section)
        if not field:
            part = value
        elif isinstance(part, dict):
            part = {**part, field: value}
        else:
            part = dataclasses.replace(part, **{field: value})
        config = dataclasses.replace(config, **{section: part})
    return config


def point(config: RunConfig, index: int) -> dict[str, float]:
    """What `vary` says of one point."""
    return {name: values[index] for name, values in config.vary.items()}


def check_name(config: RunConfig, name: str) -> None:
    """Whether there is such a setting here.

    Raises:
        EmbrlError: there is not; the message offers the nearest names.
    """
    if name in APART:
        raise EmbrlError(f"{name} cannot be swept: make a sweep for each, and compare the best")
    if name not in (known := settings(config)):
        raise UnknownNameError("setting", name, known)


def check_vary(config: RunConfig) -> None:
    """Whether all that varies may.

    Raises:
        EmbrlError: a setting is unknown or cannot be traced, or has not one value for each point.
    """
    for name, values in config.vary.items():
        check_name(config, name)
        if name not in traceable(config):
            raise EmbrlError(
                f"vary: {name} decides what is compiled, so it is the same in all rows: "
                "give it a run of its own"
            )
        if len(values) != config.points or not values:
            raise EmbrlError(
                f"vary: {name} has {len(values)} values and another setting {config.points}: "
                "give one for each point"
            )


def _float(kind: Any) -> bool:
    """Float, or float | None."""
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return float in typing.get_args(kind) if union else kind is float
