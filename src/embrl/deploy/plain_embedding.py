"""An embedding in plain steps: what wrapped environments keep of it, in any process."""

import base64
import dataclasses
import functools
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import gymnasium
import numpy as np

from embrl.core import spaces
from embrl.core.errors import EmbrlError
from embrl.deploy.exported import FAULTY, to_json
from embrl.portable.steps import Chain, Rows, Standardised, from_json

JSON_BYTES = 2**25
"""Largest size of an embedding that is written as JSON."""


@dataclasses.dataclass(frozen=True, eq=False)
class PlainEmbedding:
    """phi, g and f of an embedding as arrays and plain steps.

    It needs no JAX, can be pickled, and works in a forked process.
    """

    method: str
    """Name of the method."""
    states: bool
    """True if states are embedded."""
    m: int
    """Dimensions of X."""
    d: int
    """Dimensions of E."""
    observation_space: gymnasium.Space
    """Observations in embrl's form."""
    action_space: gymnasium.Space
    """Actions in embrl's form."""
    phi: Chain
    """The state encoder."""
    tabled: int | None
    """Number of states that phi is looked up for, not computed; None for a network."""
    norm: Standardised | None
    """The units in which policies see X."""
    g: Chain
    """The action encoder."""
    table: np.ndarray | None
    """Embeddings of all discrete actions, float32 `[n, d]`."""
    allowed: np.ndarray | None
    """Discrete actions that f may return, bool `[n]`; None for all."""
    f: Chain | None
    """The decoder of continuous actions."""

    def phi_chain(self, norm: bool) -> Chain:
        """Return phi, in the units of policies if `norm` is True."""
        return self._normed_phi if norm else self._plain_phi

    @functools.cached_property
    def _plain_phi(self) -> Chain:
        return self._looked_up(self.phi)

    @functools.cached_property
    def _normed_phi(self) -> Chain:
        return self._looked_up(
            self.phi if self.norm is None else self.phi.then(Chain((self.norm,)))
        )

    def _looked_up(self, phi: Chain) -> Chain:
        if self.tabled is None:
            return phi
        return Chain((Rows(phi(np.arange(self.tabled, dtype=np.int32))),))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return self, as it never changes; Gymnasium copies environment specs often."""
        del memo
        return self

    @property
    def nbytes(self) -> int:
        """Size of the arrays."""
        return sum(array.nbytes for array in self._described()[1].values())

    def to_json(self) -> dict[str, str | dict[str, Any]]:
        """Return the embedding in plain values."""
        described, arrays = self._described()
        data = io.BytesIO()
        np.savez(data, **arrays)  # type: ignore[arg-type]
        return {
            "embedding": described,
            "observation_space": spaces.to_json(self.observation_space),
            "action_space": spaces.to_json(self.action_space),
            "arrays": base64.b64encode(data.getvalue()).decode(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the embedding that `to_json` wrote.

        Raises:
            EmbrlError: It is damaged, or another version's.
        """
        where = Path("embedding")
        try:
            with np.load(io.BytesIO(base64.b64decode(value["arrays"])), allow_pickle=False) as file:
                arrays = dict(file)
            found = {
                name: from_json(part, arrays) for name, part in dict(value["embedding"]).items()
            }
            return cls(
                observation_space=spaces.from_json(value["observation_space"], where),
                action_space=spaces.from_json(value["action_space"], where),
                **found,
            )
        except (*FAULTY, zipfile.BadZipFile) as error:
            raise EmbrlError(
                f"embedding must be as an environment's spec has it, got a damaged one: {error}"
            ) from error

    def _described(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the fields but the spaces in plain values, and their arrays."""
        arrays: dict[str, np.ndarray] = {}
        names = [field.name for field in dataclasses.fields(self)]
        described = {
            name: to_json(getattr(self, name), name, arrays)
            for name in names
            if not name.endswith("_space")
        }
        return described, arrays
