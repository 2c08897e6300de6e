"""Defaults that the pages state in tables are those of the code."""

import math
from typing import Any

import pytest
from doc_pages import defaults, name_of, pages

from embrl.algorithms import ALGORITHMS
from embrl.cli.executor_flags import executor_flags
from embrl.cli.export import _Export
from embrl.cli.parsing import flags_of
from embrl.cli.play import _Play
from embrl.cli.sweep import _own_flags
from embrl.config.defaults import FULL_SIZE, default_config
from embrl.envs import ENVIRONMENTS
from embrl.envs.gridworld import GridworldConfig
from embrl.envs.gym.registration import GymnasiumConfig
from embrl.explorer.cli import _Explore
from embrl.interop.wrappers import WrapOptions
from embrl.papers.cli import _Reproduce
from embrl.serving.cli import _Serve

RUN = default_config("gridworld", GridworldConfig(), total_timesteps=FULL_SIZE)
"""What a page without an environment of its own speaks of: our best, many actions."""
COMMANDS: dict[str, Any] = {
    "docs/explorer.md": flags_of(_Explore),
    "docs/playing.md": flags_of(_Play),
    "docs/serving.md": flags_of(_Serve),
    "docs/reproducing.md": [*flags_of(_Reproduce), *executor_flags()],
    "docs/scaling.md": executor_flags(),
    "docs/shipping.md": flags_of(_Export),
    "docs/sweeping.md": [*_own_flags(), *executor_flags()],
}
NOTHING = ("", "none", "None", "off")
IN_WORDS = {
    "all",
    "as the embedding has them",
    "figures/explore.html in the folder",
    "principal components of weights",
    "reproductions/FIG",
    "RUN/policy-K",
    "the L",
    "the name after `train",
    "the run's `evaluation.max_episode_steps",
    "to the end",
    "where actions lie",
}
"""Defaults that are described: of these settings, only the name is checked."""
NONE_MEANS = {"env.min_purchases": 100, "actions": True}
"""What None stands for, where a page says it."""
STATED = [(name_of(page), default) for page in pages("docs") for default in defaults(page)]


def of_code(page: str, name: str) -> Any:
    """Return the default that a setting has in the code."""
    stem = page.rpartition("/")[2].removesuffix(".md")
    if name.startswith("env."):
        of_gymnasium = stem in ("gymnasium", "text")
        env = GymnasiumConfig("CartPole-v1") if of_gymnasium else ENVIRONMENTS[stem]()
        first, *indices = name.split(".")[1:]
        value = getattr(env, first)
        return value[int(indices[0])] if indices else value
    if page.startswith("docs/algorithms/"):
        return getattr(ALGORITHMS[stem](), name)
    if page == "docs/wrappers.md":
        return getattr(WrapOptions(), name)
    if "." in name:
        section, _, field = name.partition(".")
        return getattr(getattr(RUN, section), field)
    if name == "no_onnx":
        return not _Export.onnx
    if (page, name) == ("docs/sweeping.md", "seed"):
        return 1
    values = {flag.name: flag.default for flag in COMMANDS[page]}
    return False if name == "resume" else values[name]


def number(text: str) -> float:
    return math.prod(math.pi if word == "pi" else float(word) for word in text.split())


def written_as(text: str, value: Any) -> bool:
    """Return whether a page may write a value so."""
    plain = text.partition(" (")[0].replace(",", "")
    if plain in NOTHING:
        return value is None or value is False or value in ("", ())
    if isinstance(value, bool):
        return plain.lower() == str(value).lower()
    if isinstance(value, tuple):
        return tuple(map(float, plain.split())) == value
    if isinstance(value, int | float):
        return math.isclose(number(plain), value)
    return plain == str(value)


def test_defaults_are_those_of_the_code():
    assert len(STATED) > 80
    wrong = []
    for page, default in STATED:
        value = of_code(page, default.name)
        value = NONE_MEANS.get(default.name) if value is None else value
        if default.text not in IN_WORDS and not written_as(default.text, value):
            wrong.append(f"{page}: {default.name} is {value!r}, not {default.text}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "value", "right"),
    [
        ("16,384", 16_384, True),
        ("4 pi", 4 * math.pi, True),
        (".2 (0 with sac)", 0.2, True),
        ("none", 0.0, False),
        ("64", (64,), True),
        ("off", True, False),
        ("1e-3", 2e-3, False),
    ],
)
def test_values_as_pages_write_them(text: str, value: Any, right: bool):
    assert written_as(text, value) is right
