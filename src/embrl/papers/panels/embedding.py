"""Figure 2: the embedding of the gridworld in two dimensions, and measures of its geometry."""

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from embrl.config.defaults import FULL_SIZE, Settings, default_config
from embrl.config.run import RunConfig
from embrl.core.statistics import bootstrap_mean
from embrl.envs.gridworld import Gridworld, GridworldConfig
from embrl.papers.panel import QUICK_SEEDS, Evidence, Group, Panel, PanelLine, ReproductionOptions
from embrl.papers.panels.common import NOT_STATED
from embrl.report.claims import Difference, check_claim, ci95
from embrl.report.environment_pictures import picture_of
from embrl.report.run_figures import draw_embedding, visited_states
from embrl.storage.run_folder import RunFolder
from embrl.training.restore import restore_policy

ACTUATORS = 9
GRADIENT_STEPS = 5000
"""Gradient steps of pre-training; two dimensions take longer to unfold than eight."""
UPDATES = 1
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
    """Result of `embrl.papers.panels.embedding.wall_ratio`."""


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
            f"{GRADIENT_STEPS:,} gradient steps of pre-training.",
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
    config = default_config("gridworld", env, "jsae", "vpg", settings, total_timesteps=FULL_SIZE)
    pretrain = dataclasses.replace(config.pretrain, gradient_steps=GRADIENT_STEPS)
    return dataclasses.replace(
        config,
        seeds=options.seeds,
        total_timesteps=pretrain.timesteps + UPDATES * config.rollout.steps_per_update,
        embedding=dataclasses.replace(config.embedding, state_dim=2, action_dim=2),
        pretrain=pretrain,
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
    return check_claim(
        text, Difference(float(found.mean), ci95(found)), "above", above, per_seed=values
    )


REACH = 3
"""Maximum distance of compared cells, in cells. A wall of one cell keeps its sides 2 apart."""


def linear_r2(points: Float[np.ndarray, "N d"], truth: Float[np.ndarray, "N p"]) -> float:
    """Return the fraction of the variance of `truth` that is linear in `points`."""
    inputs = np.column_stack([points, np.ones(len(points))])
    weights = np.linalg.lstsq(inputs, truth, rcond=None)[0]
    left = ((truth - inputs @ weights) ** 2).sum()
    return float(1 - left / ((truth - truth.mean(axis=0)) ** 2).sum())


def wall_ratio(
    x: Float[np.ndarray, "states m"],
    present: Bool[np.ndarray, " states"],
    bins: int,
    walls: Float[np.ndarray, "walls 4"],
) -> float | None:
    """Return how much farther apart in X states lie if a wall separates them.

    For each offset in the grid, the mean log distance of pairs across a wall is compared with that
    of pairs in the open.

    Args:
        x: The embedding of each cell `row * bins + column`.
        present: True for cells to take into account.
        bins: Number of cells along each side of the square.
        walls: x0, y0, x1, y1 of each wall in the unit square.

    Returns:
        The difference of the mean logs, averaged over offsets of 1 to `REACH` cells with the number
        of pairs across as weights; None if there is no pair across a wall.
    """
    cells = np.arange(bins**2).reshape(bins, bins)
    ratios, counts = [], []
    for right, up in itertools.product(range(-REACH, REACH + 1), range(REACH + 1)):
        # Half of the offsets; the other half has the same pairs in reverse.
        if not 0 < np.hypot(right, up) <= REACH or (up == 0 and right < 0):
            continue
        first = cells[: bins - up, max(0, -right) : bins - max(0, right)].ravel()
        second = first + up * bins + right
        both = present[first] & present[second]
        first, second = first[both], second[both]
        across = crosses(centres(first, bins), centres(second, bins), walls)
        if not across.any() or across.all():
            continue
        apart = np.log(np.maximum(np.linalg.norm(x[first] - x[second], axis=1), 1e-9))
        ratios.append(apart[across].mean() - apart[~across].mean())
        counts.append(across.sum())
    return float(np.average(ratios, weights=counts)) if ratios else None


def centres(cells: np.ndarray, bins: int) -> Float[np.ndarray, "N 2"]:
    """Return the centres of cells in the unit square."""
    return (np.stack([cells % bins, cells // bins], axis=-1) + 0.5) / bins


def crosses(
    start: Float[np.ndarray, "N 2"], end: Float[np.ndarray, "N 2"], walls: np.ndarray
) -> Bool[np.ndarray, " N"]:
    """Return True for line segments that cross the interior of a wall.

    Uses the slab method of Kay and Kajiya (1986).
    """
    step = (end - start)[:, None]
    walls = np.asarray(walls, np.float64)[None]
    with np.errstate(divide="ignore", invalid="ignore"):
        one = (walls[..., :2] - start[:, None]) / step
        two = (walls[..., 2:] - start[:, None]) / step
    inside = (start[:, None] > walls[..., :2]) & (start[:, None] < walls[..., 2:])
    still = step == 0
    enter = np.where(still, np.where(inside, -np.inf, np.inf), np.minimum(one, two)).max(axis=-1)
    leave = np.where(still, np.where(inside, np.inf, -np.inf), np.maximum(one, two)).min(axis=-1)
    return ((enter < leave) & (enter < 1) & (leave > 0)).any(axis=-1)
