"""Plain steps as lines of NumPy: a program that acts without embrl."""

import functools
from typing import Any

import numpy as np

from embrl.core.errors import EmbrlError
from embrl.deploy.form import Form
from embrl.portable import Beside, Chain
from embrl.portable.draws import ByDistance, Categorical, Gaussian, SquashedGaussian, block_side
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

HEAD = '''\
"""{title}

Written by embrl export; needs NumPy (2 or later) and weights.npz beside it, nothing else.

    act(observation)           the action of the likeliest internal one
    act(observation, noise)    a drawn action; noise: {noise}

Observations are {observation}. Any number of leading axes.
"""

from pathlib import Path

import numpy as np

W = dict(np.load(Path(__file__).with_name("weights.npz")))
'''

DRAWN = '''

def drawn(logits, uniform, n, side):
    """The action at which the cumulative probability passes a uniform number, in blocks."""
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    padding = [(0, 0)] * (weights.ndim - 1) + [(0, side * side - n)]
    blocks = np.pad(weights, padding).reshape(*weights.shape[:-1], side, side)
    sums = blocks.sum(-1)
    block, rest = first(sums, uniform * sums.sum(-1))
    inside = np.take_along_axis(blocks, block[..., None, None], -2)[..., 0, :]
    return block * side + first(inside, rest)[0]


def first(weights, target):
    """Where the running sum exceeds target, and what of target is left there."""
    running = weights.cumsum(-1)
    last = np.where(weights > 0, np.arange(weights.shape[-1]), 0).max(-1)
    index = np.minimum((running <= target[..., None]).sum(-1), last)
    before = np.take_along_axis(running - weights, index[..., None], -1)[..., 0]
    return index, np.maximum(target - before, 0)
'''


def program(policy: PortablePolicy, observation: Form, title: str, noise: str) -> str:
    """The source of a module with a function `act`.

    Arguments:
        title: its docstring's first line.
        noise: what it is made of, in words.
    """
    quiet = title.replace("\\", "/").replace('"', "'")
    text = HEAD.format(title=quiet, noise=noise, observation=observation)
    if isinstance(policy.draw, Categorical) or policy.f_draw is not None:
        text += DRAWN
    count = policy.draw.normal + policy.draw.uniform
    greedy = [
        *lines(policy.likeliest, "likeliest"),
        *lines(policy.f, "f"),
    ]
    random = [draw(policy.draw, f"noise[..., :{count}]", "draw")]
    if policy.f_draw is None:
        random += lines(policy.f, "f")
    else:
        random.append(draw(policy.f_draw, f"noise[..., {count}:]", "f_draw"))
    text += functions(policy.features, "features") + functions(policy.parameters, "parameters")
    if policy.judged is not None:
        text += judge(policy.judged)
        greedy.append("judged(seen, x)")
        random.append("judged(seen, x)")
    body = [
        "",
        "",
        '@np.errstate(over="ignore", invalid="ignore")',
        "def act(observation, noise=None):",
        f'    x = np.asarray(observation, "{observation.dtype}")',
        *(f"    x = {line}" for line in lines(policy.features, "features")),
        *(["    seen = x"] if policy.judged is not None else []),
        *(f"    x = {line}" for line in lines(policy.parameters, "parameters")),
        "    if noise is None:",
        *(f"        x = {line}" for line in greedy or ["x"]),
        "    else:",
        '        noise = np.asarray(noise, "float32")',
        *(f"        x = {line}" for line in random),
        *(f"    x = {line}" for line in lines(policy.leave, "leave")),
        "    return x",
    ]
    return text + "\n".join(body) + "\n"


def lines(chain: Chain, name: str) -> list[str]:
    """Expressions of x, each of what the one before made x."""
    found: list[str] = []
    for number, one in enumerate(chain.steps):
        inside = found.pop() if isinstance(one, Tanh | Relu) and found else "x"
        found.append(line(one, inside, f"{name}.{number}"))
    return found


def functions(chain: Chain, name: str) -> str:
    """The source of the functions that the chain's lines call."""
    steps = enumerate(chain.steps)
    return "".join(beside(one, f"{name}.{at}") for at, one in steps if isinstance(one, Beside))


def beside(one: Beside, name: str) -> str:
    """The source of a function that puts several functions of x side by side."""
    body = ["", "", f"def {_function(name)}(seen):", "    parts = []"]
    for number, part in enumerate(one.parts):
        inside = lines(part, f"{name}.parts.{number}.steps")
        body += [f"    x = {line}" for line in ("seen", *inside)]
        body.append("    parts.append(x)")
    body.append("    return np.concatenate(parts, -1)")
    return "\n".join(body) + "\n"


def judge(one: Judged) -> str:
    """The source of a function that asks a critic."""
    text = ""
    for number in range(2):
        text += functions(one.below[number], f"judged.below.{number}.steps")
        text += functions(one.above[number], f"judged.above.{number}.steps")
    body = ["", "", "def judged(seen, u):"]
    points = 'W["judged.table"]'
    if one.k is None:
        body += ['    """The action that the lower value of two critics is highest of."""']
    else:
        body += [
            f'    """Of the {one.k} nearest actions, that which the lower value of two critics is '
            'highest of."""',
            f"    near = {_distances(points, one.table, 'u')}",
            f'    near = near.argsort(-1, kind="stable")[..., :{one.k}]',
        ]
        points += "[near]"
    body += [f"    e = {points}", "    values = []"]
    for number in range(2):
        below = lines(one.below[number], f"judged.below.{number}.steps")
        above = lines(one.above[number], f"judged.above.{number}.steps")
        point = f'x[..., None, :] + e @ W["judged.beside"][{number}]'
        body += [f"    x = {line}" for line in ("seen", *below, point, *above)]
        body.append("    values.append(x[..., 0])")
    body.append("    best = np.minimum(*values).argmax(-1)")
    chosen = "np.take_along_axis(near, best[..., None], -1)[..., 0]"
    body.append(f"    return {'best' if one.k is None else chosen}")
    return text + "\n".join(body) + "\n"


@functools.singledispatch
def line(one: Any, x: str, name: str) -> str:
    """A step as an expression; `name` is what its arrays' names begin with."""
    del x, name
    raise EmbrlError(f"{type(one).__name__} has no form in lines of NumPy")


@functools.singledispatch
def draw(one: Any, noise: str, name: str) -> str:
    """A random step of x as an expression."""
    del noise, name
    raise EmbrlError(f"{type(one).__name__} has no form in lines of NumPy")


def _function(name: str) -> str:
    """Of a step that has one, by the name that its arrays' names begin with."""
    return name.replace(".", "_")


def _w(name: str, field: str) -> str:
    return f'W["{name}.{field}"]'


@line.register
def _(one: Beside, x: str, name: str) -> str:
    del one
    return f"{_function(name)}({x})"


@line.register
def _(one: Affine, x: str, name: str) -> str:
    del one
    return f"{x} @ {_w(name, 'weight')} + {_w(name, 'bias')}"


@line.register
def _(one: FactorRows, x: str, name: str) -> str:
    del one
    return f"{_w(name, 'table')}[{x} + {_w(name, 'offsets')}].sum(-2) + {_w(name, 'bias')}"


@line.register
def _(one: Rows, x: str, name: str) -> str:
    del one
    return f"{_w(name, 'table')}[{x}]"


@line.register
def _(one: Tanh, x: str, name: str) -> str:
    del one, name
    return f"np.tanh({x})"


@line.register
def _(one: Relu, x: str, name: str) -> str:
    del one, name
    return f"np.maximum({x}, 0)"


@line.register
def _(one: First, x: str, name: str) -> str:
    del name
    return f"{x}[..., :{one.count}]"


@line.register
def _(one: Rest, x: str, name: str) -> str:
    del name
    return f"{x}[..., {one.begin}:]"


@line.register
def _(one: MeanOne, x: str, name: str) -> str:
    del one, name
    return f"{x} / np.maximum(abs({x}).mean(-1, keepdims=True), 1e-8)"


@line.register
def _(one: Column, x: str, name: str) -> str:
    del one, name
    return f"{x}[..., None]"


@line.register
def _(one: Likeliest, x: str, name: str) -> str:
    del one, name
    return f"{x}.argmax(-1)"


@line.register
def _(one: Nearest, x: str, name: str) -> str:
    table = _w(name, "table")
    if one.allowed is None:
        return f"{_distances(table, one.table, x)}.argmin(-1)"
    allowed = _w(name, "allowed")
    found = _distances(f"{table}[{allowed}]", one.table, x)
    return f"np.flatnonzero({allowed})[{found}.argmin(-1)]"


@line.register
def _(one: Standardised, x: str, name: str) -> str:
    del one
    return f"({x} - {_w(name, 'centre')}) / {_w(name, 'width')}"


@line.register
def _(one: Scaled, x: str, name: str) -> str:
    limits, name = one.limits, f"{name}.limits"
    low, high = _w(name, "low"), _w(name, "high")
    scaled = f"2 * (({x} - {low}) / ({high} - {low})) - 1"
    if limits.centre is None:
        other = f"{x} / (1 + abs({x}))"
    else:
        other = f"({x} - {_w(name, 'centre')}) / {_w(name, 'width')}"
        other = f"np.clip({other}, {-limits.farthest}, {limits.farthest})"
    return _where(limits, scaled, other, f"np.isfinite({high} - {low})")


@line.register
def _(one: Original, x: str, name: str) -> str:
    limits, name = one.limits, f"{name}.limits"
    low, high = _w(name, "low"), _w(name, "high")
    original = f"{low} + 0.5 * ({x} + 1) * ({high} - {low})"
    other = x
    if limits.centre is not None:
        other = f"{_w(name, 'centre')} + {_w(name, 'width')} * {x}"
    chosen = _where(limits, original, other, f"np.isfinite({high} - {low})")
    return f"np.clip({chosen}, {low}, {high})"


@line.register
def _(one: Cast, x: str, name: str) -> str:
    del name
    return f'{x}.astype("{one.dtype}")'


@line.register
def _(one: Shifted, x: str, name: str) -> str:
    del one
    return f"{x} + {_w(name, 'by')}"


@line.register
def _(one: Reshaped, x: str, name: str) -> str:
    del name
    after = "".join(f" {size}," for size in one.after)
    return f"{x}.reshape((*{x}.shape[: {x}.ndim - {len(one.before)}],{after}))"


@line.register
def _(one: Digits, x: str, name: str) -> str:
    return f"{x}[..., None] // np.array({one.strides.tolist()}) % {_w(name, 'sizes')}"


@line.register
def _(one: Rounded, x: str, name: str) -> str:
    del one, name
    return f"np.rint({x})"


@line.register
def _(one: Clipped, x: str, name: str) -> str:
    del one
    return f"np.clip({x}, {_w(name, 'low')}, {_w(name, 'high')})"


@draw.register
def _(one: Gaussian, noise: str, name: str) -> str:
    mean = "np.tanh(x)" if one.bounded else "x"
    return f"{mean} + {_w(name, 'std')} * {noise}"


@draw.register
def _(one: SquashedGaussian, noise: str, name: str) -> str:
    del name
    d = one.count
    std = f"np.exp(np.clip(x[..., {d}:], {one.least}, {one.most}))"
    return f"np.tanh(x[..., :{d}] + {std} * {noise})"


@draw.register
def _(one: Categorical, noise: str, name: str) -> str:
    del name
    return f"drawn(x, {noise}[..., 0], {one.count}, {block_side(one.count)})"


@draw.register
def _(one: ByDistance, noise: str, name: str) -> str:
    n = len(one.table)
    logits = f"{-one.cold} * {_distances(_w(name, 'table'), one.table, 'x')}"
    return f"drawn({logits}, {noise}[..., 0], {n}, {block_side(n)})"


def _distances(table: str, rows: np.ndarray, x: str) -> str:
    """Squared, one coordinate at a time: all at once would take d times the memory."""
    return f"sum(({x}[..., [i]] - {table}[:, i]) ** 2 for i in range({rows.shape[1]}))"


def _where(limits: Limits, ranged: str, other: str, which: str) -> str:
    if limits.ranged.all():
        return ranged
    return other if not limits.ranged.any() else f"np.where({which}, {ranged}, {other})"
