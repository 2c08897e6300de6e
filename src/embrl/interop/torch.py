"""phi, g, f and whole policies as modules of PyTorch, equal in numbers to those they are made of.

All arrays are buffers: they move with `.to(device)`, stand in the `state_dict`, and do not learn.
Gradients flow through whatever is made of numbers: phi of boxes, g of numbers, the learned decoder.
"""

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from embrl.core.errors import EmbrlError, require
from embrl.portable import Beside, Chain
from embrl.portable.draws import (
    ByDistance,
    Categorical,
    Gaussian,
    SquashedGaussian,
    block_side,
)
from embrl.portable.forms import Cast, Clipped, Digits, Reshaped, Rounded, Shifted
from embrl.portable.judged import Judged
from embrl.portable.layers import (
    Affine,
    Column,
    FactorRows,
    First,
    Likeliest,
    MeanOne,
    Relu,
    Rest,
    Rows,
    Tanh,
)
from embrl.portable.nearest import Nearest
from embrl.portable.policy import PortablePolicy
from embrl.portable.scaling import Limits, Original, Scaled, Standardised

if TYPE_CHECKING:
    from embrl.fitting.embedding import Embedding

torch: Any = require("torch", "torch")

AT_ONCE = 2**22
"""Distances in memory at once."""


class ChainModule(torch.nn.Sequential):
    """One step after another, with any leading axes."""


class EmbeddingModule(torch.nn.Module):
    """phi, g and f of an embedding, each a module."""

    def __init__(self, phi: Chain, g: Chain, f: Chain) -> None:
        super().__init__()
        self.phi = chain_module(phi)
        self.g = chain_module(g)
        self.f = chain_module(f)

    def forward(self, observation: Any) -> Any:
        """phi: float32 `[..., m]`."""
        return self.phi(observation)


class PolicyModule(torch.nn.Module):
    """A whole policy: from raw observations to actions."""

    def __init__(self, policy: PortablePolicy) -> None:
        super().__init__()
        self.features = chain_module(policy.features)
        self.parameters_of = chain_module(policy.parameters)
        self.likeliest = chain_module(policy.likeliest)
        self.draw = _draw(policy.draw)
        self.f = chain_module(policy.f)
        self.f_draw = None if policy.f_draw is None else _draw(policy.f_draw)
        self.judged = None if policy.judged is None else _Judged(policy.judged)
        self.leave = chain_module(policy.leave)
        self.noise = policy.noise
        self._first = policy.draw.normal + policy.draw.uniform

    def forward(self, observation: Any, noise: Any = None) -> Any:
        """Actions, with any leading axes.

        Arguments:
            noise: float32 `[..., len(self.noise)]`, standard normal or uniform as `self.noise`
                says, number by number; None: the action of the likeliest internal one.
        """
        x = self.features(observation)
        values = self.parameters_of(x)
        drawn = () if noise is None else (noise[..., : self._first],)
        u = self.draw(values, *drawn) if drawn else self.likeliest(values)
        if self.judged is not None:
            return self.leave(self.judged(x, u))
        if self.f_draw is None or noise is None:
            return self.leave(self.f(u))
        return self.leave(self.f_draw(u, noise[..., self._first :]))


@functools.singledispatch
def module(what: Any) -> Any:
    """A module of PyTorch: an `EmbeddingModule` of an `embrl.Embedding`, a `PolicyModule` of a
    policy (`embrl.load_policy`), a `ChainModule` of a chain.

    Raises:
        EmbrlError: it is something else, or has parts that are known in JAX only.
    """
    if hasattr(what, "model") and hasattr(what, "allowed"):
        return _embedding_module(what)
    if isinstance(getattr(what, "policy", None), PortablePolicy):
        return PolicyModule(what.policy)
    raise EmbrlError(
        f"{type(what).__name__} is no module: pass an embrl.Embedding, what embrl.load_policy "
        "gives, or a chain of embrl.portable"
    )


@module.register
def chain_module(chain: Chain) -> ChainModule:
    """Of a chain."""
    return ChainModule(*map(_step, chain.steps))


@module.register
def _(policy: PortablePolicy) -> PolicyModule:
    return PolicyModule(policy)


def _embedding_module(embedding: "Embedding") -> EmbeddingModule:
    from embrl.embedding.portable import f_chain, g_chain, phi_chain

    model, table = embedding.model, embedding.table
    phi = phi_chain(model.phi)
    if table is None:
        return EmbeddingModule(phi, g_chain(model.g), f_chain(model.g, model.f))
    return EmbeddingModule(phi, Chain((Rows(table),)), Chain((Nearest(table, embedding.allowed),)))


class _Step(torch.nn.Module):
    """A step with its arrays as buffers, by their names."""

    def __init__(self, **arrays: Any) -> None:
        super().__init__()
        for name, array in arrays.items():
            # A copy: NumPy's may be read-only, or change.
            self.register_buffer(name, torch.from_numpy(np.array(array)))


@functools.singledispatch
def _step(step: Any) -> Any:
    raise EmbrlError(f"{type(step).__name__} has no form in PyTorch")


@functools.singledispatch
def _draw(draw: Any) -> Any:
    raise EmbrlError(f"{type(draw).__name__} has no form in PyTorch")


class _Affine(_Step):
    def forward(self, x: Any) -> Any:
        return x @ self.weight + self.bias


@_step.register
def _(step: Affine) -> Any:
    return _Affine(weight=step.weight, bias=step.bias)


class _FactorRows(_Step):
    def forward(self, x: Any) -> Any:
        return self.table[x.long() + self.offsets].sum(-2) + self.bias


@_step.register
def _(step: FactorRows) -> Any:
    return _FactorRows(table=step.table, bias=step.bias, offsets=step.offsets.astype(np.int64))


class _Rows(_Step):
    def forward(self, x: Any) -> Any:
        return self.table[x.long()]


@_step.register
def _(step: Rows) -> Any:
    return _Rows(table=step.table)


@_step.register
def _(step: Tanh) -> Any:
    del step
    return torch.nn.Tanh()


@_step.register
def _(step: Relu) -> Any:
    del step
    return torch.nn.ReLU()


class _First(_Step):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: Any) -> Any:
        return x[..., : self.count]


@_step.register
def _(step: First) -> Any:
    return _First(step.count)


class _Beside(_Step):
    def __init__(self, *parts: Any) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList(parts)

    def forward(self, x: Any) -> Any:
        return torch.cat([part(x) for part in self.parts], -1)


@_step.register
def _(step: Beside) -> Any:
    return _Beside(*map(chain_module, step.parts))


class _Rest(_Step):
    def __init__(self, begin: int) -> None:
        super().__init__()
        self.begin = begin

    def forward(self, x: Any) -> Any:
        return x[..., self.begin :]


@_step.register
def _(step: Rest) -> Any:
    return _Rest(step.begin)


class _MeanOne(_Step):
    def forward(self, x: Any) -> Any:
        return x / x.abs().mean(-1, keepdim=True).clamp(min=1e-8)


@_step.register
def _(step: MeanOne) -> Any:
    del step
    return _MeanOne()


class _Column(_Step):
    def forward(self, x: Any) -> Any:
        return x[..., None]


@_step.register
def _(step: Column) -> Any:
    del step
    return _Column()


class _Likeliest(_Step):
    def forward(self, x: Any) -> Any:
        return x.argmax(-1)


@_step.register
def _(step: Likeliest) -> Any:
    del step
    return _Likeliest()


class _Nearest(_Step):
    """By differences as they are, some points at a time. No gradient: it is a choice."""

    def forward(self, x: Any) -> Any:
        points = x.detach().reshape(-1, x.shape[-1])
        rows = max(1, AT_ONCE // len(self.table))
        found = [_distances(self.table, part).argmin(-1) for part in points.split(rows)]
        return self.names[torch.cat(found)].reshape(x.shape[:-1])


@_step.register
def _(step: Nearest) -> Any:
    names = np.arange(len(step.table))
    if step.allowed is not None:
        names = names[step.allowed]
    return _Nearest(table=step.table[names], names=names)


class _Standardised(_Step):
    def forward(self, x: Any) -> Any:
        return (x - self.centre) / self.width


@_step.register
def _(step: Standardised) -> Any:
    return _Standardised(centre=step.centre, width=step.width)


class _Limits(_Step):
    """Sides of a box, and what is done where there are none."""

    def __init__(self, limits: Limits) -> None:
        finite = dict(zip(("finite_low", "finite_high"), limits.finite, strict=True))
        seen = {} if limits.centre is None else {"centre": limits.centre, "width": limits.width}
        super().__init__(low=limits.low, high=limits.high, ranged=limits.ranged, **finite, **seen)
        self.seen = bool(seen)
        self.farthest = limits.farthest


class _Scaled(_Limits):
    def forward(self, x: Any) -> Any:
        x = x.to(self.low.dtype)
        scaled = 2.0 * ((x - self.finite_low) / (self.finite_high - self.finite_low)) - 1.0
        if not self.seen:
            return torch.where(self.ranged, scaled, x / (1.0 + x.abs()))
        other = ((x - self.centre) / self.width).clamp(-self.farthest, self.farthest)
        return torch.where(self.ranged, scaled, other)


@_step.register
def _(step: Scaled) -> Any:
    return _Scaled(step.limits)


class _Original(_Limits):
    def forward(self, x: Any) -> Any:
        original = self.finite_low + 0.5 * (x + 1.0) * (self.finite_high - self.finite_low)
        other = self.centre + self.width * x if self.seen else x
        return torch.where(self.ranged, original, other).clamp(self.low, self.high)


@_step.register
def _(step: Original) -> Any:
    return _Original(step.limits)


class _Cast(_Step):
    def __init__(self, dtype: str) -> None:
        super().__init__()
        self.dtype = getattr(torch, dtype)

    def forward(self, x: Any) -> Any:
        return x.to(self.dtype)


@_step.register
def _(step: Cast) -> Any:
    return _Cast(step.dtype)


class _Shifted(_Step):
    def forward(self, x: Any) -> Any:
        return x + self.by


@_step.register
def _(step: Shifted) -> Any:
    return _Shifted(by=step.by)


class _Reshaped(_Step):
    def __init__(self, before: int, after: tuple[int, ...]) -> None:
        super().__init__()
        self.before, self.after = before, after

    def forward(self, x: Any) -> Any:
        return x.reshape((*x.shape[: x.ndim - self.before], *self.after))


@_step.register
def _(step: Reshaped) -> Any:
    return _Reshaped(len(step.before), step.after)


class _Digits(_Step):
    def forward(self, x: Any) -> Any:
        return x[..., None].div(self.strides, rounding_mode="floor") % self.sizes


@_step.register
def _(step: Digits) -> Any:
    return _Digits(strides=step.strides, sizes=step.sizes)


class _Rounded(_Step):
    def forward(self, x: Any) -> Any:
        return x.round()


@_step.register
def _(step: Rounded) -> Any:
    del step
    return _Rounded()


class _Clipped(_Step):
    def forward(self, x: Any) -> Any:
        return x.clamp(self.low, self.high)


@_step.register
def _(step: Clipped) -> Any:
    return _Clipped(low=step.low, high=step.high)


class _Gaussian(_Step):
    def __init__(self, std: np.ndarray, bounded: bool) -> None:
        super().__init__(std=std)
        self.bounded = bounded

    def forward(self, x: Any, noise: Any) -> Any:
        return (x.tanh() if self.bounded else x) + self.std * noise


@_draw.register
def _(draw: Gaussian) -> Any:
    return _Gaussian(draw.std, draw.bounded)


class _SquashedGaussian(_Step):
    def __init__(self, draw: SquashedGaussian) -> None:
        super().__init__()
        self.count, self.least, self.most = draw.count, draw.least, draw.most

    def forward(self, x: Any, noise: Any) -> Any:
        std = x[..., self.count :].clamp(self.least, self.most).exp()
        return (x[..., : self.count] + std * noise).tanh()


@_draw.register
def _(draw: SquashedGaussian) -> Any:
    return _SquashedGaussian(draw)


class _Categorical(_Step):
    def forward(self, x: Any, noise: Any) -> Any:
        return _drawn(x, noise[..., 0])


@_draw.register
def _(draw: Categorical) -> Any:
    del draw
    return _Categorical()


class _ByDistance(_Step):
    def __init__(self, draw: ByDistance) -> None:
        super().__init__(table=draw.table)
        self.cold = draw.cold

    def forward(self, x: Any, noise: Any) -> Any:
        distance = _distances(self.table, x)
        beyond = distance - distance.min(-1, keepdim=True).values
        return _drawn(-beyond * self.cold, noise[..., 0])


@_draw.register
def _(draw: ByDistance) -> Any:
    return _ByDistance(draw)


class _Judged(_Step):
    def __init__(self, judged: Judged) -> None:
        super().__init__(table=judged.table, beside=judged.beside)
        self.k = None if judged.k is None else min(judged.k, len(judged.table))
        self.below = torch.nn.ModuleList(map(chain_module, judged.below))
        self.above = torch.nn.ModuleList(map(chain_module, judged.above))

    def forward(self, x: Any, u: Any) -> Any:
        e, near = self.table, None
        if self.k is not None:
            # Stable, unlike topk: among equal points the lowest index comes first.
            near = _distances(self.table, u).argsort(dim=-1, stable=True)[..., : self.k]
            e = self.table[near]
        one, other = (
            above(below(x)[..., None, :] + e @ weights)[..., 0]
            for below, weights, above in zip(self.below, self.beside, self.above, strict=True)
        )
        best = torch.minimum(one, other).argmax(-1)
        return best if near is None else near.gather(-1, best[..., None])[..., 0]


def _distances(table: Any, x: Any) -> Any:
    """Squared, `[..., n]`, one coordinate at a time."""
    total = torch.zeros((*x.shape[:-1], len(table)), dtype=x.dtype, device=x.device)
    for axis in range(table.shape[1]):
        total = total + (x[..., axis, None] - table[:, axis]) ** 2
    return total


def _drawn(logits: Any, uniform: Any) -> Any:
    """As `embrl.portable.draws.Categorical`."""
    n = logits.shape[-1]
    side = block_side(n)
    weights = (logits - logits.max(-1, keepdim=True).values).exp()
    blocks = torch.nn.functional.pad(weights, (0, side * side - n))
    blocks = blocks.reshape((*logits.shape[:-1], side, side))
    sums = blocks.sum(-1)
    block, rest = _pass(sums, uniform * sums.sum(-1))
    row = block[..., None, None].expand(*block.shape, 1, side)
    inside = blocks.gather(-2, row)[..., 0, :]
    return block * side + _pass(inside, rest)[0]


def _pass(weights: Any, target: Any) -> tuple[Any, Any]:
    running = weights.cumsum(-1)
    positions = torch.arange(weights.shape[-1], device=weights.device)
    last = torch.where(weights > 0, positions, 0).max(-1).values
    index = torch.minimum((running <= target[..., None]).sum(-1), last)
    before = (running - weights).gather(-1, index[..., None])[..., 0]
    return index, (target - before).clamp(min=0.0)
