"""Trainings without what tells how good an embedding or a return is: half of their time."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from embrl.embedding import monitor, quality
from embrl.embedding.quality import Quality
from embrl.training import kept_programs
from embrl.training.backend import CompiledBackend
from embrl.training.hosted_backend import HostedBackend

KEY = kept_programs._key
WHOLE = [
    (quality, "measure", quality.measure),
    (monitor, "measure", monitor.measure),
    (CompiledBackend, "references", CompiledBackend.references),
    (HostedBackend, "references", HostedBackend.references),
    (kept_programs, "_key", KEY),
]


def nothing() -> Quality:
    """Return the quality of an embedding of which nothing is known."""
    unknown: dict[str, Any] = {field.name: None for field in dataclasses.fields(Quality)}
    empty = {"state_feature_probing": {}, "state_features_lost": [], "notes": []}
    return Quality(**{**unknown, **empty, "held_out_loss": 1.0})


@contextlib.contextmanager
def unmeasured(references: bool = False) -> Iterator[None]:
    """Train without measures of embeddings and, unless `references`, returns to compare with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "measure", lambda *_, **__: nothing())
        patch.setattr(monitor, "measure", lambda *_: {})
        for backend in () if references else (CompiledBackend, HostedBackend):
            patch.setattr(backend, "references", lambda *_: {"random_return": -1.0})
        # Their programs are kept, too, apart from those of others.
        patch.setattr(kept_programs, "_key", lambda trainer: ("unmeasured", KEY(trainer)))
        yield


@contextlib.contextmanager
def measured() -> Iterator[None]:
    """Train with all measures, whatever surrounds it: for runs that several modules share."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, value in WHOLE:
            patch.setattr(owner, name, value)
        yield
