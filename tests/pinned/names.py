"""Translation of the names in base.json to the current ones.

After a renaming, only the tables in this file change: `FLAGS`, `COLUMNS` and `FILES`.
"""

import re
from collections.abc import Callable, Sequence

Values = list[str]
NewFlag = str | tuple[str, Callable[[Values], Values]] | Callable[[Values], list[str]]
"""The new name of a flag; or a pair of the new name and a function from old to new values; or, for
structural changes, a function from old values to new command-line arguments."""


def negated(values: Values) -> Values:
    """Return the numbers with the opposite sign."""
    return [repr(-float(value) + 0.0) for value in values]


FLAGS: dict[str, NewFlag] = {
    "--samples": "--total-timesteps",
    "--rollout.lanes": "--rollout.num-envs",
    "--rollout.epoch": "--rollout.steps-per-update",
    "--rollout.persistence": "--rollout.sticky-action-prob",
    "--rollout.closed": "--rollout.excluded-actions",
    "--rollout.buffer": "--rollout.buffer-size",
    "--model.m": "--embedding.state-dim",
    "--model.d": "--embedding.action-dim",
    "--model.memory": "--echo.memory",
    "--model.tie": "--echo.tie",
    "--model.*": "--embedding.*",
    "--fit.samples": "--pretrain.timesteps",
    "--fit.steps": "--pretrain.gradient-steps",
    "--fit.batch": "--pretrain.batch-size",
    "--fit.*": "--pretrain.*",
    "--update.steps": "--online.gradient-steps",
    "--update.batch": "--online.batch-size",
    "--update.fresh": "--online.fresh-fraction",
    "--update.*": "--online.*",
    "--f.judge": "--decoder.scorer",
    "--f.steps": "--decoder.gradient-steps",
    "--f.*": "--decoder.*",
    "--explore.known": "--exploration.known-after",
    "--explore.cells": "--exploration.num-counters",
    "--explore.*": "--exploration.*",
    "--policy.sees": "--policy.inputs",
    "--*.entropy-cost": ("--*.ent-coef", negated),
    "--*.least-std": "--*.min-std",
    "--*.actor-steps": "--*.update-epochs",
    "--*.critic-steps": "--*.critic-epochs",
    "--*.minibatches": "--*.num-minibatches",
    "--*.clip": "--*.clip-range",
    "--sac.batch": "--sac.batch-size",
    "--*.updates-per-sample": "--*.updates-per-step",
    "--lanes": "--num-envs",  # of agents collect
    "--epoch": "--steps-per-update",
}
"""Old flags and their new names. The first match applies. `*` matches any text and is copied to the
new name. Setting names after `--over` are translated as well."""

FORMER = ("--settings", "tuned", "--algorithm", "vpg")
"""Defaults at the time of recording; fits have no algorithm."""

NEW_FLAG = "--total-timesteps"
"""Flag that `embrl train gridworld --help` lists only if the code uses the new names."""

COLUMNS: dict[str, str] = {
    "timesteps": "samples",
    "total_timesteps": "samples",
    "surprise_fraction": "surprise_share",
    "unseen_fraction": "unseen_share",
    "reference_unseen_fraction": "reference_unseen_share",
    "dead_fraction": "dead_share",
    "colliding_fraction": "colliding_share",
}
"""Columns of metrics.csv: new name to old name."""

FILES: dict[str, str] = {}
"""JSON files with results: new file name to old file name."""

UNCOUNTED_FILES = {
    "config.json",
    "manifest.json",
    "embedding.json",
    "population.json",
    "collect.json",
}
"""JSON files that are not compared: settings, or copies of what other files hold."""

UNCOUNTED_KEYS = re.compile(
    r"wall|seconds|per_s|format|version|machine|config|settings|command|flags|over$|grid$"
)
"""JSON keys that are not compared: times, settings and versions."""


def renamed(arguments: Sequence[str]) -> list[str]:
    """Return a command line with flags translated by `FLAGS`."""
    groups: list[list[str]] = [[]]
    for argument in arguments:
        if re.match(r"--[a-z]", argument):
            groups.append([])
        groups[-1].append(argument)
    words = list(groups[0])
    for flag, *values in groups[1:]:
        if flag == "--over" and values:
            name, *values = _renamed_flag(f"--{values[0]}", values[1:])
            words += [flag, name.removeprefix("--"), *values]
        else:
            words += _renamed_flag(flag, values)
    return [*words, *_former_defaults(words)]


def _former_defaults(words: Sequence[str]) -> list[str]:
    """Return the flags of a command that was recorded when they were the defaults."""
    command, named = words[0], len(words) > 1 and not words[1].startswith("--")
    former = {"train": FORMER, "sweep": FORMER, "fit": FORMER[:2]}.get(command, ())
    if not named:  # a run that is resumed by its folder
        return []
    return [
        word
        for flag, value in zip(former[::2], former[1::2], strict=True)
        if flag not in words
        for word in (flag, value)
    ]


def _renamed_flag(flag: str, values: Values) -> list[str]:
    for old, new in FLAGS.items():
        match = re.fullmatch(re.escape(old).replace(r"\*", "(.*)"), flag)
        if match is None:
            continue
        if callable(new):
            return new(values)
        name, transform = new if isinstance(new, tuple) else (new, list)
        for part in match.groups():
            name = name.replace("*", part, 1)
        return [name, *transform(values)]
    return [flag, *values]
