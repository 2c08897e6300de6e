"""Tasks as vectors on the gridworld: zero-shot, from demonstrations, and by search.

    python results/tasks.py fit [forward_backward|laplacian] [--seeds 5]
    python results/tasks.py value-iteration
    python results/tasks.py zero-shot [--seeds 5]
    python results/tasks.py goal-conditioned [--seeds 3]
    python results/tasks.py inverse
    python results/tasks.py meta
    python results/tasks.py ppo

`fit` writes embeddings with tasks to runs/tasks, which the others read; each of them writes a
table to results/tasks/, which docs/tasks.md shows. `ppo` takes longest: it trains a policy for each
of a few goals, from scratch and from a policy for another goal.
"""

import argparse
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from goal_conditioned import train as train_goal_conditioned
from goal_conditioned import values as goal_conditioned_values
from gridworld_tasks import Gridworld, Played

import embrl
from embrl.core.statistics import bootstrap_mean
from embrl.tasks.inverse import infer_task
from embrl.tasks.networks import TaskNetworks
from embrl.tasks.search import search_tasks
from embrl.tasks.space import TaskPolicy, TaskSpace

HERE = Path(__file__).parent
OUT = HERE / "tasks"
RUNS = HERE.parent / "runs" / "tasks"
KINDS = ("laplacian", "forward_backward")
SETTINGS = {
    "laplacian": {},
    "forward_backward": {"gamma": 0.9, "gradient_steps": 5000, "dim": 64},
}
GOALS = 100
LABELS = (None, 1, 3, 10)
"""Labelled states; None: all of them."""
DEMONSTRATIONS = (1, 3, 10)
SEEDS = 10
STARTS = 20
EPISODES = 128
META_GOALS = 10
PPO_GOALS = 1
PPO_TIMESTEPS = 90_000
TIMESTEPS = 60_000
STICKY = 0.6
"""Repeated random actions go farther: with others, hardly any are taken far from the start."""


def folder(kind: str, seed: int) -> Path:
    """Return the folder of an embedding with tasks."""
    return RUNS / f"{kind}-{seed}"


def fit(kind: str, seeds: int) -> None:
    """Fit embeddings with tasks, from random transitions."""
    for seed in range(seeds):
        if folder(kind, seed).exists():
            continue
        found = embrl.fit(
            "gridworld",
            timesteps=TIMESTEPS,
            rollout={"sticky_action_prob": STICKY},
            tasks={"features": kind, **SETTINGS[kind]},
            seed=seed,
        )
        found.save(folder(kind, seed))
        print(kind, seed, flush=True)


def pair_features(world: Gridworld, space: TaskSpace) -> np.ndarray:
    """Return F of all cells and actions of the first seed, `[cells, actions, k]`; it is kept.

    One for all policies is faster than the values of each, where there are many.
    """
    path = RUNS / "pair-features.npy"
    if not path.exists():
        x, e = space.embed(np.arange(world.cells)), jnp.asarray(space.choices[1])
        np.save(path, [np.asarray(_features(space.model.networks, state, e)) for state in x])
    return np.load(path)


@eqx.filter_jit
def _features(networks: TaskNetworks, x: jax.Array, e: jax.Array) -> jax.Array:
    return networks.F(x[None], e, jnp.zeros(e.shape[-1]))


def play_tasks(
    world: Gridworld,
    space: TaskSpace,
    goals: np.ndarray,
    z: np.ndarray,
    starts: np.ndarray | None = None,
    *,
    features: np.ndarray | None = None,
    remember: bool = True,
    seed: int = 0,
) -> Played:
    """Play an episode of each task's policy, as `TaskEpisode.act` chooses.

    Args:
        world: the gridworld.
        space: tasks of an embedding.
        goals: goals, as in `Gridworld.play`.
        z: a task for each.
        starts: starting positions.
        features: `pair_features`, if values are to be computed of these.
        remember: as in `Gridworld.play_best`.
        seed: likewise.
    """
    x = space.embed(np.arange(world.cells))

    def values(seen: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if features is None:
            return space.forward_values(x[seen], z[rows])
        return np.stack([features[s] @ z[row] for s, row in zip(seen, rows, strict=True)])

    return world.play_best(
        goals,
        values,
        starts,
        actions=space.choices[0],
        remember=remember,
        seed=seed,
    )


def goal_reward(world: Gridworld, goal: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the reward of a goal: 1 in its cells."""
    return lambda observations: np.isin(observations, world.inside(goal)).astype(np.float32)


def task_of(
    world: Gridworld, space: TaskSpace, goal: int, count: int | None, rng: np.random.Generator
) -> np.ndarray:
    """Return the task of a goal: from the reward function, or from a few labelled states.

    Args:
        world: the gridworld.
        space: tasks of an embedding.
        goal: the goal.
        count: labelled states of the data, of which one is in the goal; None: the function.
        rng: random numbers that choose them.
    """
    reward = goal_reward(world, goal)
    if count is None:
        return space.task(reward)
    known = space.model.states
    others = rng.choice(known, count - 1, replace=False)
    states = np.concatenate([rng.choice(known[np.isin(known, world.inside(goal))], 1), others])
    return space.task((states, reward(states)))


def value_iteration() -> None:
    """Measure value iteration on cells, with exact transitions, against the best known returns."""
    world = Gridworld()
    goals = world.free_goals(GOALS, seed=0)
    best = world.best_known(goals)
    table: dict[str, dict] = {"best known": {"mean return": round(float(best.mean()), 3)}}
    plans = np.stack([world.plan(int(goal)).astype(np.float16) for goal in goals])

    def planned(seen: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return plans[rows, seen].astype(np.float32)

    for name, remember in (("", True), (", without memory", False)):
        played = world.play_best(goals, planned, actions=world.distinct, remember=remember)
        table[f"value iteration on cells{name}"] = _row([played], best)
    _write("value_iteration", table)


def zero_shot(seeds: int) -> None:
    """Measure returns of tasks' policies on held-out goals against the best known ones."""
    world = Gridworld()
    goals = world.free_goals(GOALS, seed=0)
    best = world.best_known(goals)
    table: dict[str, dict] = {}
    for kind in KINDS:
        spaces = [
            embrl.load_embedding(folder(kind, seed)).tasks
            for seed in range(seeds)
            if folder(kind, seed).exists()
        ]
        for count, remember in ((None, True), (None, False), (1, True), (3, True), (10, True)):
            played = []
            for seed, space in enumerate(spaces):
                rng = np.random.default_rng(seed)
                z = np.stack([task_of(world, space, g, count, rng) for g in goals])
                played.append(play_tasks(world, space, goals, z, remember=remember, seed=seed))
            if played:
                name = f"{kind}, {'reward function' if count is None else f'{count} labelled'}"
                table[name + ("" if remember else ", without memory")] = _row(played, best)
                print(name, remember, json.dumps(_row(played, best)), flush=True)
    _write("zero_shot", table)


def goal_conditioned(seeds: int) -> None:
    """Measure goal-conditioned Q-learning on the same goals, and as many transitions."""
    world = Gridworld()
    goals = world.free_goals(GOALS, seed=0)
    best = world.best_known(goals)
    played = []
    for seed in range(seeds):
        embedding = embrl.load_embedding(folder(KINDS[0], seed))
        x, e = embedding.tasks.embed(np.arange(world.cells)), embedding.tasks.choices[1]
        steps = world.random_steps(TIMESTEPS, STICKY, seed)
        network = train_goal_conditioned(steps, x, e, gradient_steps=10_000, seed=seed)
        targets = np.stack([x[world.inside(goal)] for goal in goals])

        def values(
            seen: np.ndarray, rows: np.ndarray, x=x, e=e, network=network, targets=targets
        ) -> np.ndarray:
            each = [
                goal_conditioned_values(network, x[seen], targets[rows, part], e)
                for part in range(targets.shape[1])
            ]
            return np.max(each, axis=0)

        played.append(world.play_best(goals, values, seed=seed))
        print(seed, json.dumps(_row(played, best)), flush=True)
    _write("goal_conditioned", {"goal-conditioned Q": _row(played, best)})


def _row(played: list[Played], best: np.ndarray) -> dict[str, object]:
    """Return means over seeds of means over goals, with 95 % intervals."""
    returns = np.array([one.returns.mean() for one in played])
    share = returns / best.mean()
    interval = bootstrap_mean(share) if len(share) > 1 else share
    steps = [
        len(actions)
        for one in played
        for actions, hit in zip(one.actions, one.reached, strict=True)
        if hit
    ]
    return {
        "seeds": len(played),
        "mean return": round(float(returns.mean()), 3),
        "share of best known": [round(float(side), 3) for side in interval],
        "reached": round(float(np.mean([one.reached.mean() for one in played])), 4),
        "steps if reached": round(float(np.mean(steps or [0])), 2),
    }


def inverse() -> None:
    """Measure policies inferred from demonstrations beside behaviour cloning."""
    world = Gridworld()
    embedding = embrl.load_embedding(folder(KINDS[0], 0))
    space = embedding.tasks
    features = pair_features(world, space)
    goals = world.free_goals(GOALS, seed=0)[:SEEDS]
    rows: dict[int, list[dict[str, float]]] = {}
    drawn: list[tuple[np.ndarray, int, str]] = []
    for seed, goal in enumerate(goals):
        rng, plan = np.random.default_rng(seed), world.plan(int(goal))
        starts = _starts(world, goal, max(DEMONSTRATIONS) + STARTS, rng)
        shown = world.play_best(
            np.full(len(starts), goal),
            lambda seen, _, q=plan: q[seen],
            starts,
            actions=world.distinct,
            seed=seed,
        )
        pairs = [
            (np.array(o), np.array(a))
            for o, a in zip(shown.observations, shown.actions, strict=True)
        ]
        held_out, many = starts[-STARTS:], np.full(STARTS, goal)
        best = shown.returns[-STARTS:].mean()
        for count in DEMONSTRATIONS:
            found = infer_task(space, pairs[:count], seed=seed)
            z = np.tile(found.z, (STARTS, 1))
            ours = play_tasks(world, space, many, z, held_out, features=features, seed=seed)
            clone = _cloned(world, embedding, pairs[:count], seed)
            theirs = world.play_best(many, lambda seen, _, c=clone: c[seen], held_out, seed=seed)
            inside = space.reward(found.z, np.arange(world.cells))
            row = {
                "task": float(ours.returns.mean() / best),
                "task reached": float(ours.reached.mean()),
                "cloning": float(theirs.returns.mean() / best),
                "cloning reached": float(theirs.reached.mean()),
                "peak in cells from the goal": _distance(world, int(inside.argmax()), goal),
                "log likelihood": found.log_likelihood,
            }
            row["task less cloning"] = row["task"] - row["cloning"]
            rows.setdefault(count, []).append(row)
            print(seed, count, {key: round(value, 2) for key, value in row.items()}, flush=True)
            if seed < 2:
                drawn.append((inside, int(goal), f"goal {seed + 1}, {count} demonstrations"))
    table = {
        str(count): {
            name: [round(float(side), 3) for side in bootstrap_mean(column)]
            for name in found[0]
            for column in [np.array([row[name] for row in found])]
        }
        for count, found in rows.items()
    }
    print(json.dumps(table, indent=1))
    _write("inverse", table)
    _draw(world, drawn)


def _draw(world: Gridworld, drawn: list[tuple[np.ndarray, int, str]]) -> None:
    """Draw inferred rewards; frames are the demonstrators' goals."""
    from matplotlib import pyplot as plt
    from matplotlib.patches import Rectangle

    figure, axes = plt.subplots(2, len(drawn) // 2, figsize=(9, 6.4), layout="constrained")
    for axis, (reward, goal, title) in zip(axes.flat, drawn, strict=True):
        grid = reward.reshape(world.bins, world.bins)
        axis.imshow(grid, origin="lower", extent=(0, 1, 0, 1), cmap="viridis")
        for box in np.asarray(world.env.obstacles):
            axis.add_patch(Rectangle(box[:2], *(box[2:] - box[:2]), color="white", alpha=0.35))
        corner = world.boxes(np.array([goal]))[0]
        axis.add_patch(
            Rectangle(corner[:2], *(corner[2:] - corner[:2]), fill=False, edgecolor="red")
        )
        axis.set(title=title, xticks=[], yticks=[])
    figure.savefig(HERE.parent / "docs" / "pictures" / "task-rewards.png", dpi=90)


def _starts(world: Gridworld, goal: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw positions outside the obstacles and the goal."""
    boxes = np.concatenate([np.asarray(world.env.obstacles), world.boxes(np.array([goal]))])
    found = []
    while len(found) < count:
        place = rng.uniform(0.02, 0.98, 2).astype(np.float32)
        if not any((box[:2] <= place).all() and (place <= box[2:]).all() for box in boxes):
            found.append(place)
    return np.array(found)


def _distance(world: Gridworld, cell: int, goal: int) -> float:
    place = np.array([cell % world.bins, cell // world.bins]) - 0.5
    return float(np.hypot(*(place - np.array([goal % world.bins, goal // world.bins]))))


def _cloned(world: Gridworld, embedding: embrl.Embedding, pairs: list, seed: int) -> np.ndarray:
    """Return the values of actions in each cell: x to g(a) by ridge regression, then distances.

    Features of x are random and many; the ridge is chosen on held-out demonstrated steps.
    """
    rng = np.random.default_rng(seed)
    x = embedding.tasks.embed(np.arange(world.cells))
    weights, bias = rng.normal(size=(x.shape[1], 512)), rng.uniform(0, 2 * np.pi, 512)
    scale = np.sqrt(x.shape[1])
    hidden = np.cos(x @ weights / scale + bias)
    states = np.concatenate([seen[: len(done)] for seen, done in pairs])
    target = embedding.g(np.concatenate([done for _, done in pairs]))
    centre, order = target.mean(0), rng.permutation(len(states))
    fold = len(states) // 5

    def solve(rows: np.ndarray, ridge: float) -> np.ndarray:
        h = hidden[states[rows]]
        gram = h @ h.T + ridge * np.eye(len(rows))
        return hidden @ h.T @ np.linalg.solve(gram, target[rows] - centre) + centre

    def error(ridge: float) -> float:
        rest, out = order[fold:], order[:fold]
        missed = solve(rest, ridge)[states[out]] - target[out]
        return float((missed**2).mean()) if fold else ridge

    ridge = min((0.1, 1.0, 10.0, 100.0), key=error)
    wanted = solve(order, ridge)
    return -((wanted[:, None] - embedding.table) ** 2).sum(-1)


def meta() -> None:
    """Count the episodes until a search reaches 90 % of the best known return."""
    world = Gridworld()
    space = embrl.load_embedding(folder(KINDS[0], 0)).tasks
    features = pair_features(world, space)
    goals = world.free_goals(GOALS, seed=0)[:META_GOALS]
    optimum = world.best_known(goals)
    needed = []
    for number, goal in enumerate(goals):

        def play(tasks: list[TaskPolicy], goal: int = goal, number: int = number) -> np.ndarray:
            z = np.stack([policy.z for policy in tasks])
            many = np.full(len(z), goal)
            return play_tasks(world, space, many, z, features=features, seed=number).returns

        found = search_tasks(space, play, episodes=EPISODES, seed=number)
        good = np.flatnonzero(found.returns >= 0.9 * optimum[number])
        needed.append(int(good[0]) + 1 if len(good) else None)
        print(int(goal), needed[-1], round(float(found.returns.max()), 3), flush=True)
    reached = [count for count in needed if count is not None]
    table = {
        "goals": len(needed),
        "solved": len(reached),
        "median episodes": float(np.median([n or np.inf for n in needed])),
        "episodes": needed,
    }
    print(table)
    _write("meta", table)


def ppo() -> None:
    """Train PPO for a few goals, from scratch and from the policy for the gridworld's own goal."""
    world = Gridworld()
    goals = world.free_goals(GOALS, seed=0)[:PPO_GOALS]
    optimum = world.best_known(goals)
    source = RUNS / "ppo-source"
    rows = {}
    if not source.exists():
        embrl.train("gridworld", total_timesteps=PPO_TIMESTEPS, seeds=1, out=source)
    for goal, best in zip(goals, optimum, strict=True):
        box = tuple(float(side) for side in world.boxes(np.array([goal]))[0])
        arms: tuple[tuple[str, dict[str, Any]], ...] = (
            ("scratch", {}),
            ("fine-tuned", {"transfer": {"run": str(source), "policy": True}}),
        )
        for name, more in arms:
            out = RUNS / f"ppo-{name}-{goal}"
            if not out.exists():
                embrl.train(
                    "gridworld", total_timesteps=PPO_TIMESTEPS, seeds=1, out=out, goal=box, **more
                )
            rows[f"{goal} {name}"] = _timesteps_needed(out, 0.9 * best)
            print(goal, name, round(float(best), 3), rows[f"{goal} {name}"], flush=True)
    _write("ppo", rows)


def _timesteps_needed(run: Path, enough: float) -> dict[str, float | None]:
    with (run / "metrics.csv").open() as file:
        points = [
            (int(row["timesteps"]), float(row["return_mean"])) for row in csv.DictReader(file)
        ]
    first = next((step for step, value in points if value >= enough), None)
    return {"timesteps to 90 %": first, "best return": max(value for _, value in points)}


def _write(name: str, table: dict) -> None:
    OUT.mkdir(exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    commands = {"value-iteration": value_iteration, "inverse": inverse, "meta": meta, "ppo": ppo}
    seeded = {"zero-shot": zero_shot, "goal-conditioned": goal_conditioned}
    parser.add_argument("command", choices=["fit", *seeded, *commands])
    parser.add_argument("features", nargs="?", default=KINDS[0], choices=KINDS)
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    if asked.command == "fit":
        fit(asked.features, asked.seeds)
    elif asked.command in seeded:
        seeded[asked.command](asked.seeds)
    else:
        commands[asked.command]()
