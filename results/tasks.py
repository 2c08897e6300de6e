"""Tasks as vectors on the gridworld: zero-shot, from demonstrations, and by search.

    python results/tasks.py fit [forward_backward|laplacian]
    python results/tasks.py zero-shot
    python results/tasks.py inverse
    python results/tasks.py meta
    python results/tasks.py ppo

`fit` writes an embedding with tasks to runs/tasks, which the others read; each of them writes a
table to results/tasks/, which docs/tasks.md shows. Value iteration's policies are kept in
runs/tasks/plans.npz. `ppo` takes longest: it trains a policy for each of a few goals, from scratch
and from a policy for another goal.
"""

import argparse
import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gridworld_tasks import Gridworld, Played

import embrl
from embrl.tasks.inverse import infer_task
from embrl.tasks.search import search_tasks
from embrl.tasks.space import TaskPolicy, TaskSpace

HERE = Path(__file__).parent
OUT = HERE / "tasks"
RUNS = HERE.parent / "runs" / "tasks"
KINDS = ("laplacian", "forward_backward")
SETTINGS = {"laplacian": {}, "forward_backward": {"gamma": 0.9, "gradient_steps": 5000}}
GOALS = 100
LABELS = (None, 1, 3, 10)
"""Labelled states; None: all of them."""
TEMPERATURE = 0.2
"""Of policies of tasks, but where it says so: draws leave circles."""
DEMONSTRATIONS = (1, 3, 10)
SEEDS = 10
STARTS = 20
EPISODES = 128
META_GOALS = 20
PPO_GOALS = 3
PPO_TIMESTEPS = 60_000
PPO_EVERY = 3_000
TIMESTEPS = 60_000
STICKY = 0.6
"""Repeated random actions go farther: with others, hardly any are taken far from the start."""


def fit(kind: str) -> None:
    """Fit an embedding with tasks, from random transitions."""
    tasks = {"features": kind, **SETTINGS[kind]}
    found = embrl.fit(
        "gridworld",
        timesteps=TIMESTEPS,
        rollout={"sticky_action_prob": STICKY},
        tasks=tasks,
    )
    found.save(RUNS / kind)


def plans(world: Gridworld, goals: np.ndarray) -> np.ndarray:
    """Return value iteration's policy for each goal, `[goals, cells]`; known ones are kept."""
    path = RUNS / "plans.npz"
    known = dict(np.load(path).items()) if path.exists() else {}
    for goal in goals:
        if str(goal) not in known:
            known[str(goal)] = world.plan(int(goal))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **known)
    return np.stack([known[str(goal)] for goal in goals])


def play_tasks(
    world: Gridworld,
    space: TaskSpace,
    goals: np.ndarray,
    z: np.ndarray,
    starts: np.ndarray | None = None,
    temperature: float = TEMPERATURE,
) -> Played:
    """Play an episode of each task's policy, as `TaskPolicy.act` chooses."""
    x, actions = space.embed(np.arange(world.cells)), space.choices[0]
    rng = np.random.default_rng(0)

    def choose(seen: np.ndarray, rows: np.ndarray) -> np.ndarray:
        values = space.forward_values(x[seen], z[rows])
        if temperature:
            spread = temperature * values.std(-1, keepdims=True) + 1e-9
            values = values / spread + rng.gumbel(size=values.shape)
        return actions[values.argmax(-1)]

    return world.play(goals, choose, starts, deterministic=not temperature)


def goal_reward(world: Gridworld, goal: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the reward of a goal: 1 in its cells."""
    return lambda observations: np.isin(observations, world.inside(goal)).astype(np.float32)


def labelled(world: Gridworld, goal: int, count: int | None, rng: np.random.Generator):
    """Return labelled states: one of the goal, and random ones up to `count`; None: all states."""
    reward = goal_reward(world, goal)
    if count is None:
        return np.arange(world.cells), reward(np.arange(world.cells))
    states = np.concatenate(
        [rng.choice(world.inside(goal), 1), rng.choice(world.cells, count - 1, replace=False)]
    )
    return states, reward(states)


def zero_shot() -> None:
    """Measure returns on held-out goals against the best known ones."""
    world = Gridworld()
    goals = world.free_goals(GOALS, seed=0)
    policies = plans(world, goals)
    best = world.best_known(goals)
    planned = world.play(goals, lambda seen, rows: policies[rows, seen])
    table = {
        "best known": {"mean return": round(float(best.mean()), 3)},
        "value iteration on cells": _row(planned, best),
    }
    print(table, flush=True)
    for kind in KINDS:
        if not (RUNS / kind).exists():
            continue
        space = embrl.load_embedding(RUNS / kind).tasks
        for count in LABELS:
            rng = np.random.default_rng(1)
            z = np.stack([space.task(labelled(world, g, count, rng)) for g in goals])
            name = f"{kind}, {'all' if count is None else count} labelled"
            for at in (TEMPERATURE, 0.0) if count is None else (TEMPERATURE,):
                row = f"{name}, temperature {at:g}"
                table[row] = _row(play_tasks(world, space, goals, z, temperature=at), best)
                print(row, table[row], flush=True)
            _write("zero_shot", table)  # each row takes minutes beside other work
    _write("zero_shot", table)


def _row(played: Played, best: np.ndarray) -> dict[str, float]:
    share = played.returns / best
    steps = [len(a) for a, hit in zip(played.actions, played.reached, strict=True) if hit]
    return {
        "mean return": round(float(played.returns.mean()), 3),
        "share": round(float(played.returns.mean() / best.mean()), 3),
        "median share": round(float(np.median(share)), 3),
        "reached": round(float(played.reached.mean()), 3),
        "steps if reached": round(float(np.mean(steps or [0])), 2),
    }


def inverse() -> None:
    """Measure policies inferred from demonstrations beside behaviour cloning, ten seeds."""
    world = Gridworld()
    embedding = embrl.load_embedding(RUNS / KINDS[0])
    space = embedding.tasks
    goals = world.free_goals(GOALS, seed=0)[:SEEDS]
    policies = plans(world, goals)
    rows: dict[str, list] = {}
    for seed, goal in enumerate(goals):
        rng = np.random.default_rng(seed)
        plan = policies[seed]
        starts = _starts(world, goal, max(DEMONSTRATIONS) + STARTS, rng)
        shown = world.play(np.full(len(starts), goal), lambda seen, _, p=plan: p[seen], starts)
        reached = np.flatnonzero(shown.reached)
        pairs = [(np.array(shown.observations[i]), np.array(shown.actions[i])) for i in reached]
        held_out = starts[-STARTS:]
        many = np.full(STARTS, goal)
        best = shown.returns[-STARTS:].mean()
        for count in DEMONSTRATIONS:
            found = infer_task(space, pairs[:count], seed=seed)
            ours = play_tasks(world, space, many, np.tile(found.z, (STARTS, 1)), held_out)
            clone = _cloned(world, embedding, pairs[:count], seed)
            theirs = world.play(many, lambda seen, _, c=clone: c[seen], held_out)
            inside = space.reward(found.z, np.arange(world.cells))
            peak = int(inside.argmax())
            row = {
                "task": float(ours.returns.mean() / best),
                "task reached": float(ours.reached.mean()),
                "cloning": float(theirs.returns.mean() / best),
                "cloning reached": float(theirs.reached.mean()),
                "peak in cells from the goal": _distance(world, peak, goal),
                "log likelihood": found.log_likelihood,
            }
            rows.setdefault(str(count), []).append(row)
            print(seed, count, {key: round(value, 2) for key, value in row.items()}, flush=True)
            if seed < 2:
                np.save(RUNS / f"reward-{seed}-{count}.npy", inside)
    table = {
        count: {
            name: [round(float(f([row[name] for row in found])), 3) for f in (np.mean, np.std)]
            for name in found[0]
        }
        for count, found in rows.items()
    }
    print(json.dumps(table, indent=1))
    _write("inverse", table)


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
    """Return the action in each cell of behaviour cloning: x to g(a) by ridge regression, then f.

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
    return embedding.f(solve(order, ridge))


def meta() -> None:
    """Count the episodes until a search reaches 90 % of the best known return."""
    world = Gridworld()
    space = embrl.load_embedding(RUNS / KINDS[0]).tasks
    goals = world.free_goals(GOALS, seed=0)[:META_GOALS]
    optimum = world.best_known(goals)
    needed = []
    for number, goal in enumerate(goals):

        def play(tasks: list[TaskPolicy], goal: int = goal) -> np.ndarray:
            z = np.stack([policy.z for policy in tasks])
            return play_tasks(world, space, np.full(len(z), goal), z).returns

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
        for name, more in (
            ("scratch", {}),
            ("fine-tuned", {"transfer": {"run": str(source), "policy": True}}),
        ):
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
    commands = {"zero-shot": zero_shot, "inverse": inverse, "meta": meta, "ppo": ppo}
    parser.add_argument("command", choices=["fit", *commands])
    parser.add_argument("features", nargs="?", default=KINDS[0], choices=KINDS)
    asked = parser.parse_args()
    if asked.command == "fit":
        fit(asked.features)
    else:
        commands[asked.command]()
