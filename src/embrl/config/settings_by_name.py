"""Settings by dotted name, as `ppo.gamma`, and which may differ between replicas of one run."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from embrl.config.run import HYPERPARAMETERS, RunConfig
from embrl.core.errors import EmbrlError, UnknownNameError
from embrl.embedding.methods import METHODS

SECTIONS = ("env", "policy", HYPERPARAMETERS, "rollout", "evaluation", "exploration", "imitation")
EMBEDDING_SECTIONS = ("embedding", "echo", "pretrain", "online", "transfer", "decoder")
"""Sections that only methods with embeddings use."""

FIXED = ("environment", "method", "algorithm", "seed", "seeds")
"""Settings that others' defaults depend on, and those that are the same at every point."""

TRACED: dict[str, tuple[str, ...]] = {
    "embedding": ("state_spread", "action_spread"),
    "pretrain": ("learning_rate",),
    "online": ("learning_rate",),
    "policy": ("std",),
    "decoder": ("temperature",),
    "rollout": ("sticky_action_prob",),
}
"""Settings that are plain numbers in the compiled program: they determine no shape and no branch.
Objectives' weights and an algorithm's floats (but for its `untraced`) are such, too."""


def settings(config: RunConfig) -> dict[str, Any]:
    """Return dotted name and type of every setting that affects a run of this method and algorithm.

    Those that say which run it is and how many seeds it has are left out.
    """
    embeds = METHODS[config.method].embeds
    found: dict[str, Any] = {"total_timesteps": int}
    found |= {f"objectives.{name}": float for name in config.objectives}
    for section in (*SECTIONS, *(EMBEDDING_SECTIONS if embeds else ())):
        part = getattr(config, section)
        kinds = typing.get_type_hints(type(part))
        shown = config.algorithm if section == HYPERPARAMETERS else section
        found |= {f"{shown}.{field.name}": kinds[field.name] for field in dataclasses.fields(part)}
    if not embeds:  # policies read images with the same layers
        found["embedding.image_layers"] = typing.get_type_hints(type(config.embedding))[
            "image_layers"
        ]
    return found


def traceable(config: RunConfig) -> frozenset[str]:
    """Return the names of the settings that may differ between the replicas of a run."""

    def is_plain_number(name: str, kind: Any) -> bool:
        section, field = _split(config, name)
        if section == HYPERPARAMETERS:
            return _is_float(kind) and field not in config.hyperparameters.untraced
        return section == "objectives" or field in TRACED.get(section, ())

    return frozenset(name for name, kind in settings(config).items() if is_plain_number(name, kind))


def setting(config: RunConfig, name: str) -> Any:
    """Return the value of the setting with this dotted name."""
    section, field = _split(config, name)
    part = getattr(config, section)
    if not field:
        return part
    return part[field] if isinstance(part, dict) else getattr(part, field)


def replaced(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """Return a configuration with other values, by dotted name."""
    for name, value in values.items():
        section, field = _split(config, name)
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
    """Return the settings that vary, at one point of a sweep."""
    return {name: values[index] for name, values in config.vary.items()}


def validate_name(config: RunConfig, name: str) -> None:
    """Check that there is such a setting, and that it can be swept.

    Raises:
        EmbrlError: there is none; the message offers the nearest names.
    """
    if name in FIXED:
        raise EmbrlError(
            f"{name} cannot be swept; make a sweep for each value and compare the best"
        )
    if name not in (known := settings(config)):
        raise UnknownNameError("setting", name, known)


def validate_vary(config: RunConfig) -> None:
    """Check the settings that vary.

    Raises:
        EmbrlError: a setting is unknown or cannot be traced, or has not one value for each point.
    """
    for name, values in config.vary.items():
        validate_name(config, name)
        if name not in traceable(config):
            raise EmbrlError(
                f"vary: {name} determines what is compiled, so it is the same in all replicas; "
                "give each value a run of its own"
            )
        if len(values) != config.points or not values:
            raise EmbrlError(
                f"vary: {name} must have {config.points} values, one for each point, got "
                f"{len(values)}"
            )


def _split(config: RunConfig, name: str) -> tuple[str, str]:
    """Return the field of `RunConfig` and the setting inside it that a dotted name stands for."""
    section, _, field = name.partition(".")
    return (HYPERPARAMETERS if section == config.algorithm else section), field


def _is_float(kind: Any) -> bool:
    """Return whether a type is float, or float | None."""
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return float in typing.get_args(kind) if union else kind is float
