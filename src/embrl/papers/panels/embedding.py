"""Figure 2: the embedding of the gridworld in two dimensions."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from embrl.config.defaults import Settings, default_config
from embrl.config.run import RunConfig
from embrl.core.statistics import bootstrap_mean
from embrl.envs.gridworld import Gridworld, GridworldConfig
from embrl.papers.geometry import linear_r2, wall_ratio
from embrl.papers.panel import QUICK_SEEDS, Evidence, Group, Panel, PanelLine, ReproductionOptions
from embrl.papers.panels.common import NOT_STATED
from embrl.report.claims import Difference, ci95, judge
from embrl.report.environment_pictures import picture_of
from embrl.report.run_figures import draw_embedding, visited_states
from embrl.storage.run_folder import RunFolder
from embrl.training.restore import restore_policy

ACTUATORS = 9
FIT_STEPS = 5000
"""Gradient steps of pre-training; two dimensions take longer to unfold than eight."""
EPOCHS = 1
"""Number of policy updates. The figure does not use the policy, but every run has one."""
ENOUGH = 0.9
"""Explained fraction of variance above which the claims hold."""


class EmbeddingMeasures(NamedTuple):
    """Measures of the embedding of each seed."""

    actions: list[float]
    """R^2 of displacements as a linear function of E."""
    states: list[float]
    """R^2 of coordinates as a linear function of X."""
    walls: list[float]
    """Result of `embrl.papers.geometry.wall_ratio`."""


def fig2(options: ReproductionOptions) -> Panel:
    """Return the panel: the paper's settings and ours, with released walls and swept walls."""
    lines = []
    kinds: tuple[tuple[Group, Settings], ...] = (("published", "paper"), ("ours", "tuned"))
    for group, settings in kinds:
        for walls in ("released", "swept"):
            name = "JSAE" if group == "published" else "ours"
            config = _config(GridworldConfig(actuators=ACTUATORS, walls=walls), settings, options)
            lines.append(PanelLine(f"{name}, walls {walls}", config, group, "jsae", drawn=False))
    return Panel(
        "fig2",
        "Embeddings of the gridworld, 512 actions, m = d = 2",
        tuple(lines),
        (),
        (
            f"{FIT_STEPS:,} gradient steps of pre-training.",
            "The paper shows one seed and gives no numbers. The figures here show the seed with "
            "the median R^2 of actions; the claims are over all seeds.",
            *NOT_STATED,
        ),
        examine=examine,
        shorten=_shorten,
    )


def _shorten(config: RunConfig) -> RunConfig:
    """Return the configuration with fewer gradient steps and all of its few environment steps."""
    steps = config.pretrain.gradient_steps // 8
    return dataclasses.replace(
        config,
        seeds=min(config.seeds, QUICK_SEEDS),
        pretrain=dataclasses.replace(config.pretrain, gradient_steps=steps),
    )


def _config(env: GridworldConfig, settings: Settings, options: ReproductionOptions) -> RunConfig:
    config = default_config("gridworld", env, "jsae", "vpg", settings)
    fit = dataclasses.replace(config.pretrain, gradient_steps=FIT_STEPS)
    return dataclasses.replace(
        config,
        seeds=options.seeds,
        total_timesteps=pretrain.timesteps + EPOCHS * config.rollout.steps_per_update,
        embedding=dataclasses.replace(config.embedding, state_dim=2, action_dim=2),
        pretrain=fit,
        evaluation=dataclasses.replace(
            config.evaluation, every=config.rollout.steps_per_update, final_episodes=10
        ),
    )


def examine(panel: Panel, folders: Mapping[str, RunFolder], out: Path) -> Evidence:
    """Draw the median seed of each line, and test the paper's claims over all seeds."""
    claims: list[dict[str, Any]] = []
    pictures, rows = [], ["| line | drawn seed |", "| --- | ---: |"]
    for line in panel.lines:
        config = line.config
        measures = measure(folders[line.label], config)
        claims += _claims(line.label, measures)
        seed = int(np.argsort(measures.actions)[(len(measures.actions) - 1) // 2])
        rows.append(f"| {line.label} | {seed} |")
        pictures.append(f"{panel.figure}-{folders[line.label].path.name}.png")
        draw_embedding(
            folders[line.label],
            config,
            seed,
            out / pictures[-1],
            f"{line.label}: seed {seed}, the median of {config.seeds}",
        )
    return Evidence(claims, pictures, "\n".join(rows))


def measure(folder: RunFolder, config: RunConfig) -> EmbeddingMeasures:
    """Measure the embedding of every seed of a finished run."""
    env = config.env.build()
    assert isinstance(env, Gridworld)
    picture = picture_of(env)
    assert picture is not None
    effects = np.asarray(env.action_effects(), np.float64)
    found = EmbeddingMeasures([], [], [])
    for seed in range(config.seeds):
        embedding = restore_policy(folder, config, seed).embedding
        assert embedding is not None
        x = np.asarray(embedding.phi.points[0], np.float64)
        present = picture.reachable & visited_states(folder, config, env, seed)
        found.actions.append(linear_r2(np.asarray(embedding.g.table, np.float64), effects))
        found.states.append(linear_r2(x[present], picture.positions[present]))
        ratio = wall_ratio(x, present, env.bins, np.asarray(env.obstacles))
        found.walls.append(0.0 if ratio is None else ratio)
    return found


def _claims(label: str, found: EmbeddingMeasures) -> list[dict[str, Any]]:
    return [
        _claim(
            f"{label}: actions are arranged by displacement, linear R^2 above {ENOUGH}",
            found.actions,
            ENOUGH,
        ),
        _claim(
            f"{label}: states are arranged by coordinates, linear R^2 above {ENOUGH}",
            found.states,
            ENOUGH,
        ),
        _claim(
            f"{label}: the obstacle shows, states separated by a wall lie farther apart in X than "
            "equally near states in the open (mean log ratio)",
            found.walls,
            0.0,
        ),
    ]


def _claim(text: str, values: list[float], above: float) -> dict[str, Any]:
    """Test if the mean of `values` is above a threshold; its `difference` is the mean itself."""
    found = bootstrap_mean(np.array(values))
    return judge(text, Difference(float(found.mean), ci95(found)), "above", above, per_seed=values)
