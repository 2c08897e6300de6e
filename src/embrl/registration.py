"""Registration of environments, objectives, algorithms and methods, for plugins."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any, TypeVar, overload

from embrl.algorithms import ALGORITHMS
from embrl.core.errors import EmbrlError, SettingError
from embrl.decoding.base import DECODERS, Decoder
from embrl.embedding.methods import METHODS, Method
from embrl.embedding.objectives import OBJECTIVES, OwnObjective, checked_objective
from embrl.envs import ENVIRONMENTS
from embrl.text.encoders import TEXT_ENCODERS, EncodeTexts, OwnTextEncoder, text_encoder

ConfigT = TypeVar("ConfigT", bound=type)
CustomT = TypeVar("CustomT", bound=OwnObjective)
DecoderT = TypeVar("DecoderT", bound=type[Decoder])


@overload
def register_environment(name: str) -> Callable[[ConfigT], ConfigT]: ...
@overload
def register_environment(name: str, config: ConfigT) -> ConfigT: ...
def register_environment(name: str, config: Any = None) -> Any:
    """Register an environment, for `embrl.make`, `embrl.train` and the command line.

    Without a class it is a decorator: `@embrl.register_environment("corridor")`.

    Args:
        name: lowercase letters, digits and underscores.
        config: a frozen dataclass of settings with a method `build` that returns an `Environment`.
            Its fields, plain values with defaults, become the flags `--env.*`.

    Returns:
        The class.

    Raises:
        EmbrlError: the name is taken or invalid, or the class is not of that kind.
    """
    if config is None:
        return lambda config: register_environment(name, config)
    _check_config(name, config)
    ENVIRONMENTS.add(name, config)
    return config


@overload
def register_objective(name: str) -> Callable[[CustomT], CustomT]: ...
@overload
def register_objective(name: str, objective: CustomT) -> CustomT: ...
def register_objective(name: str, objective: Any = None) -> Any:
    """Register an objective, for `--objectives` and for methods.

    Without an objective it is a decorator: `@embrl.register_objective("distance")`.

    Args:
        name: lowercase letters, digits and underscores.
        objective: a function of a model and a batch of transitions, or a subclass of `Objective`.

    Returns:
        The objective.

    Raises:
        EmbrlError: the name is taken or invalid, or the objective is neither.
    """
    if objective is None:
        return lambda objective: register_objective(name, objective)
    OBJECTIVES.add(name, checked_objective(name, objective))
    return objective


@overload
def register_decoder(name: str) -> Callable[[DecoderT], DecoderT]: ...
@overload
def register_decoder(name: str, decoder: DecoderT) -> DecoderT: ...
def register_decoder(name: str, decoder: Any = None) -> Any:
    """Register a decoder as `name`, a value of `--decoder.kind`.

    Without a class it is a decorator: `@embrl.register_decoder("second_nearest")`.

    Args:
        name: Small letters, digits and underscores, a letter first.
        decoder: A subclass of `embrl.decoding.Decoder`. What it needs, its settings and its form
            outside of JAX follow from the class.

    Returns:
        The class.

    Raises:
        EmbrlError: If the name is taken or invalid, or the class is not a decoder.
    """
    if decoder is None:
        return lambda decoder: register_decoder(name, decoder)
    if not (isinstance(decoder, type) and issubclass(decoder, Decoder)):
        raise EmbrlError(f"decoder {name} must be a subclass of Decoder, got {decoder!r}")
    DECODERS.add(name, decoder)
    return decoder


def register_algorithm(name: str, algorithm: Any = None) -> Any:
    """Register a reinforcement learning algorithm, for `--algorithm`.

    Without an algorithm it is a decorator: `@embrl.register_algorithm("reinforce")`.

    Args:
        name: lowercase letters, digits and underscores.
        algorithm: a frozen dataclass of hyperparameters with the methods of
            `embrl.algorithms.base.Algorithm`. Its fields become the flags `--NAME.*`.

    Returns:
        The algorithm.

    Raises:
        EmbrlError: the name is taken or invalid, or the class is not of that kind.
    """
    if algorithm is None:
        return lambda algorithm: register_algorithm(name, algorithm)
    _check_dataclass("algorithm", name, algorithm, ("start", "update", "validate"))
    ALGORITHMS.add(name, algorithm)
    return algorithm


def register_text_encoder(name: str, encode: EncodeTexts, version: str = "") -> EncodeTexts:
    """Register an encoder of texts, for `--embedding.text-encoder` and `--env.text-encoder`.

    Args:
        name: lowercase letters, digits and underscores.
        encode: a function of a list of texts that returns a row of numbers for each.
        version: of the model behind it. With one, vectors are kept in the cache on disk; change it
            when they change.

    Returns:
        The function.

    Raises:
        EmbrlError: the name is taken or invalid, or `encode` is no function.
    """
    if not callable(encode):
        raise SettingError(f"text encoder {name}", "a function of a list of texts", repr(encode))
    text_encoder.cache_clear()  # the latest definition counts
    TEXT_ENCODERS.add(name, OwnTextEncoder(name, encode, version))
    return encode


def register_method(name: str, method: Method) -> Method:
    """Register a method, for `--method`.

    Args:
        name: lowercase letters, digits and underscores.
        method: a choice of encoders and objectives.

    Returns:
        The method.

    Raises:
        EmbrlError: the name is taken or invalid, or `method` is not a `Method`.
    """
    if not isinstance(method, Method):
        raise SettingError(f"method {name}", "a Method", repr(method))
    METHODS.add(name, method)
    return method


def _check_config(name: str, config: Any) -> None:
    """Check that a configuration can become flags, and be written to `config.json`."""
    _check_dataclass("environment", name, config, ("build",))
    try:
        json.dumps(dataclasses.asdict(config()))  # type: ignore[call-overload]
    except (TypeError, ValueError) as error:
        raise EmbrlError(f"settings of environment {name} must be plain values: {error}") from error


def _check_dataclass(kind: str, name: str, given: Any, methods: tuple[str, ...]) -> None:
    """Check that a class is a frozen dataclass of defaults with these methods."""
    frozen = getattr(getattr(given, "__dataclass_params__", None), "frozen", False)
    has_all = all(callable(getattr(given, method, None)) for method in methods)
    if not (isinstance(given, type) and frozen and has_all):
        wanted = ", ".join(f"{method}()" for method in methods)
        raise SettingError(
            f"{kind} {name}", f"a frozen dataclass of settings with {wanted}", repr(given)
        )
    for field in dataclasses.fields(given):  # type: ignore[arg-type]
        if field.init and dataclasses.MISSING is field.default is field.default_factory:
            raise EmbrlError(f"setting {field.name} of {kind} {name} has no default; give it one")
