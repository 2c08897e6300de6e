"""Methods as objects with settings, for Python: `embrl.JSAE(state_dim=16)`."""

import dataclasses
from typing import Any, ClassVar

from embrl.core.section import given
from embrl.embedding.config import EmbeddingConfig


@dataclasses.dataclass(frozen=True)
class MethodSettings(EmbeddingConfig):
    """Base of methods: the embedding's settings, and the name of the method that they are for.

    `embrl.train(env, method=...)` and `embrl.fit(env, method=...)` take one. Settings that are not
    given have the method's defaults.
    """

    method: ClassVar[str]
    """Name in `embrl.embedding.methods.METHODS`."""


@dataclasses.dataclass(frozen=True)
class JSAE(MethodSettings):
    """Joint state-action embedding (Pritz, Ma and Leung 2021)."""

    method: ClassVar[str] = "jsae"


@dataclasses.dataclass(frozen=True)
class RA(MethodSettings):
    """Action representations, with states as they are (Chandak et al. 2019)."""

    method: ClassVar[str] = "ra"


@dataclasses.dataclass(frozen=True)
class Autoencoders(MethodSettings):
    """Autoencoders of states and of actions, which learn nothing of what actions do."""

    method: ClassVar[str] = "autoencoder"


@dataclasses.dataclass(frozen=True)
class DCT(MethodSettings):
    """Dual channel training, which also reconstructs actions (Pathakota et al. 2023)."""

    method: ClassVar[str] = "dct"


@dataclasses.dataclass(frozen=True)
class LatentPrediction(MethodSettings):
    """Prediction of the next state's embedding, of rewards and of termination (MR.Q, TD7)."""

    method: ClassVar[str] = "latent"


def chosen(method: str | MethodSettings, **sections: Any) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return the name of a method, and the settings that were given, by section.

    Args:
        method: the name, or an object with settings of the embedding.
        **sections: settings, as `embrl.config.defaults.with_sections` takes them; None: none given.
    """
    settings = {name: given(section) for name, section in sections.items() if section is not None}
    if isinstance(method, str):
        return method, settings
    embedding = {**given(method), **settings.get("embedding", {})}
    return method.method, {**settings, "embedding": embedding}
