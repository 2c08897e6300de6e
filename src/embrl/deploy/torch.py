"""phi, g, f and whole policies as modules of PyTorch, which run the code of `embrl.portable`.

All arrays are buffers: they move with `.to(device)`, appear in the `state_dict`, and are not
trained. Gradients flow through everything made of continuous numbers: phi of boxes, g of continuous
actions, the learned decoder.
"""

import dataclasses
from typing import Any

import numpy as np

from embrl.core.errors import EmbrlError, require
from embrl.embedding.portable import f_chain, g_chain, phi_chain
from embrl.portable.steps import KINDS, NAMESPACES, Chain, Nearest, PortablePolicy, Rows

torch: Any = require("torch", "torch")


class TorchFunctions:
    """PyTorch's functions under NumPy's names, as far as steps use them."""

    take_along_axis = staticmethod(torch.take_along_dim)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def asarray(self, values: Any, dtype: Any) -> Any:
        return values.to(dtype)

    def take(self, table: Any, index: Any, axis: int) -> Any:
        return table[index.long()] if axis == 0 else torch.index_select(table, axis, index.long())

    def add_at(self, values: Any, index: Any, amounts: Any) -> Any:
        return values.scatter_add(-1, index.long(), amounts)

    def concat(self, parts: Any, axis: int) -> Any:
        return torch.cat(list(parts), dim=axis)

    def maximum(self, values: Any, least: Any) -> Any:
        # Not `clamp`: where both are equal no gradient flows, as in JAX and in torch.nn.ReLU.
        return torch.where(values <= least, least, values)

    def minimum(self, values: Any, most: Any) -> Any:
        return torch.where(values >= most, most, values)


NAMESPACES[torch.Tensor] = TorchFunctions()


class StepModule(torch.nn.Module):
    """A step as a module: its arrays are buffers by their names, its steps are submodules."""

    def __init__(self, step: Any) -> None:
        """Build a module of a step.

        Args:
            step: A `Chain` or any other step, a draw, or a `PortablePolicy`.

        Raises:
            EmbrlError: If it is something else.
        """
        super().__init__()
        if type(step) not in KINDS.values():
            raise EmbrlError(f"{type(step).__name__} has no form in PyTorch; it is not a step")
        self.kind = type(step)
        self._names = tuple(field.name for field in dataclasses.fields(step))
        for name in self._names:
            value = getattr(step, name)
            if isinstance(value, np.ndarray | np.generic):
                # A copy: NumPy's may be read-only, or change. PyTorch's own indices are int64.
                wide = value.astype(np.int64) if value.dtype == np.int32 else np.array(value)
                self.register_buffer(name, torch.from_numpy(np.asarray(wide)))
            elif isinstance(value, tuple) and any(map(callable, value)):
                setattr(self, name, torch.nn.ModuleList(map(StepModule, value)))
            else:
                setattr(self, name, StepModule(value) if dataclasses.is_dataclass(value) else value)

    def forward(self, *values: Any) -> Any:
        """Return what the step makes of tensors with any leading axes."""
        return self.step(*values)

    @property
    def step(self) -> Any:
        """The step over this module's buffers, wherever they are by now."""
        return self.kind(**{name: _step(getattr(self, name)) for name in self._names})


def _step(value: Any) -> Any:
    """Return what a field of a step is, where a module stands for it."""
    if isinstance(value, torch.nn.ModuleList):
        return tuple(part.step for part in value)
    return value.step if isinstance(value, StepModule) else value


class PolicyModule(StepModule):
    """A whole policy: from raw observations to actions."""

    def __init__(self, policy: PortablePolicy) -> None:
        super().__init__(policy)
        self.noise = policy.noise

    def forward(  # type: ignore[override]
        self, observation: Any, noise: Any = None, mask: Any = None
    ) -> Any:
        """Return actions of observations, with any leading axes.

        Args:
            noise: float32 `[..., len(self.noise)]`, standard normal or uniform in [0, 1) as
                `self.noise` says, number by number; None for the most likely internal action.
            mask: True for discrete actions that may be chosen, bool `[..., n]`; None for all.
        """
        return self.step(observation, noise, mask)


class EmbeddingModule(torch.nn.Module):
    """phi, g and f of an embedding, each a module."""

    def __init__(self, phi: Chain, g: Chain, f: Chain) -> None:
        super().__init__()
        self.phi = StepModule(phi)
        self.g = StepModule(g)
        self.f = StepModule(f)

    def forward(self, observation: Any) -> Any:
        """Return phi of observations, float32 `[..., m]`."""
        return self.phi(observation)


def module(what: Any) -> Any:
    """Return an `EmbeddingModule`, a `PolicyModule` or a `StepModule`.

    Args:
        what: An `embrl.Embedding`, a policy (`embrl.load_policy`), or a chain of `embrl.portable`.

    Raises:
        EmbrlError: If it is something else, or has parts that exist in JAX only.
    """
    if hasattr(what, "model") and hasattr(what, "allowed"):
        return _embedding_module(what)
    policy = getattr(what, "policy", what)
    if isinstance(policy, PortablePolicy):
        return PolicyModule(policy)
    if isinstance(what, Chain):
        return StepModule(what)
    raise EmbrlError(
        f"{type(what).__name__} is not a module; pass an embrl.Embedding, a policy of "
        "embrl.load_policy, or a chain of embrl.portable"
    )


def _embedding_module(embedding: Any) -> EmbeddingModule:
    model, table = embedding.model, embedding.table
    phi = phi_chain(model.phi)
    if table is None:
        return EmbeddingModule(phi, g_chain(model.g), f_chain(model.g, model.f))
    nearest = Nearest.of(table, embedding.allowed)
    return EmbeddingModule(phi, Chain((Rows(table),)), Chain((nearest,)))
