"""Tasks as vectors on the gridworld: zero-shot, from demonstrations, and by search.

    python results/tasks.py fit [forward_backward|laplacian] [--seeds 5]
    python results/tasks.py value-iteration
    python results/tasks.py zero-shot [forward_backward|laplacian] [--seeds 5]
    python results/tasks.py goal-conditioned [--seeds 3]
    python results/tasks.py inverse
    python results/tasks.py meta [--goals 10]
    python results/tasks.py ppo [--goals 10]

`fit` writes embeddings with tasks to runs/tasks, which the others read; each of them writes a
table to results/tasks/, which docs/tasks.md shows. `--goal-seed 1` draws other goals than the 100
on which settings were chosen; tables of these are named for the seed. `ppo` takes longest: it
trains a policy for each goal from scratch, with the embedding of a run for another goal, and with
that run's policy, too.
"""

import argparse
import csv
import json
from collections.abc import Callable, Iterable
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
WAYS = {
    "reward function": (None, True),
    "reward function, without memory": (None, False),
    "4 labelled, all in the goal": (0, True),
    "1 labelled": (1, True),
    "3 labelled": (3, True),
    "10 labelled": (10, True),
}
"""Labelled states (None: all of them; 0: those in the goal), and whether the episode is remembered.
Of a number of states, one is in the goal."""
DEMONSTRATIONS = (1, 3, 10)
SEEDS = 10
STARTS = 20
EPISODES = 128
FINAL_EPISODES = 20
"""Episodes in which the policy that a search found is played again."""
PPO_TIMESTEPS = 90_000
PPO_EVERY = 1_500
"""Timesteps between two evaluations: as fine as updates are."""
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


def held_out_goals(world: Gridworld, goal_seed: int, count: int = GOALS) -> np.ndarray:
    """Draw goals: those on which settings were chosen (seed 0), or others, none of these."""
    goals = world.free_goals(2 * GOALS, seed=goal_seed)
    if goal_seed:
        goals = goals[~np.isin(goals, world.free_goals(GOALS, seed=0))]
    return goals[:count]


def pair_features(world: Gridworld, space: TaskSpace, seed: int) -> np.ndarray:
    """Return F of all cells and actions, `[cells, actions, k]`, of Laplacian tasks; it is kept.

    One for all policies is faster than the values of each, where there are many.
    """
    path = RUNS / f"pair-features-{seed}.npy"
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
        count: labelled states of the data, as in `WAYS`.
        rng: random numbers that choose them.
    """
    reward = goal_reward(world, goal)
    if count is None:
        return space.task(reward)
    known = space.model.states
    states = known[np.isin(known, world.inside(goal))]
    if count:
        others = rng.choice(known, count - 1, replace=False)
        states = np.concatenate([rng.choice(states, 1), others])
    return space.task((states, reward(states)))


def value_iteration(goal_seed: int) -> None:
    """Measure value iteration on cells, with exact transitions, against the best known returns."""
    world = Gridworld()
    goals = held_out_goals(world, goal_seed)
    best = world.best_known(goals)
    table: dict[str, dict] = {"best known": {"mean return": round(float(best.mean()), 3)}}
    plans = np.stack([world.plan(int(goal)).astype(np.float16) for goal in goals])

    def planned(seen: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return plans[rows, seen].astype(np.float32)

    for name, remember in (("", True), (", without memory", False)):
        played = world.play_best(goals, planned, actions=world.distinct, remember=remember)
        table[f"value iteration on cells{name}"] = _row([played], best)
    _write("value_iteration", table, goal_seed)


def zero_shot(kind: str, seeds: int, goal_seed: int) -> None:
    """Measure returns of tasks' policies on held-out goals against the best known ones."""
    world = Gridworld()
    goals = held_out_goals(world, goal_seed)
    best = world.best_known(goals)
    played: dict[str, list[Played]] = {}
    for seed in range(seeds):
        space = embrl.load_embedding(folder(kind, seed)).tasks
        features = pair_features(world, space, seed) if kind == "laplacian" else None
        for name, (count, remember) in WAYS.items():
            rng = np.random.default_rng(seed)
            z = np.stack([task_of(world, space, g, count, rng) for g in goals])
            one = play_tasks(
                world, space, goals, z, features=features, remember=remember, seed=seed
            )
            played.setdefault(name, []).append(one)
            print(seed, name, round(float(one.returns.mean()), 3), flush=True)
    table = {name: _row(each, best) for name, each in played.items()}
    _write(f"zero_shot_{kind}", table, goal_seed)


def goal_conditioned(seeds: int, goal_seed: int) -> None:
    """Measure goal-conditioned Q-learning on the same goals, and as many transitions."""
    world = Gridworld()
    goals = held_out_goals(world, goal_seed)
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
        _write("goal_conditioned", {"goal-conditioned Q": _row(played, best)}, goal_seed)


def _row(played: list[Played], best: np.ndarray) -> dict[str, object]:
    """Return means over seeds of means over goals, with 95 % intervals."""
    returns = np.array([one.returns.mean() for one in played])
    share = returns / best.mean()
    interval = bootstrap_mean(share) if len(share) > 1 else share[:1]
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
        "share of each seed": [round(float(each), 3) for each in share],
        "reached": round(float(np.mean([one.reached.mean() for one in played])), 4),
        "steps if reached": round(float(np.mean(steps or [0])), 2),
    }


def inverse(goal_seed: int) -> None:
    """Measure policies inferred from demonstrations beside behaviour cloning."""
    world = Gridworld()
    embedding = embrl.load_embedding(folder(KINDS[0], 0))
    space = embedding.tasks
    features = pair_features(world, space, 0)
    goals = held_out_goals(world, goal_seed, SEEDS)
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
        # What the policy of a task would earn if its reward were known: the rest is inference.
        known = np.tile(task_of(world, space, int(goal), None, rng), (STARTS, 1))
        most = play_tasks(world, space, many, known, held_out, features=features, seed=seed)
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
                "task of the reward": float(most.returns.mean() / best),
                "task of the reward reached": float(most.reached.mean()),
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
    _write("inverse", table, goal_seed)
    if not goal_seed:
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


def meta(goal_seed: int, count: int) -> None:
    """Count the episodes until a search reaches 90 % of the best known return."""
    world = Gridworld()
    space = embrl.load_embedding(folder(KINDS[0], 0)).tasks
    features = pair_features(world, space, 0)
    goals = held_out_goals(world, goal_seed, count)
    optimum = world.best_known(goals)
    rows = {}
    for number, (goal, best) in enumerate(zip(goals, optimum, strict=True)):
        lengths: list[int] = []

        def play_z(z: np.ndarray, seed: int, goal: int = goal) -> Played:
            return play_tasks(world, space, np.full(len(z), goal), z, features=features, seed=seed)

        def play(tasks: list[TaskPolicy], lengths: list[int] = lengths) -> np.ndarray:
            # Another seed for each generation: the draws of an episode must not come again.
            played = play_z(np.stack([policy.z for policy in tasks]), 1000 + len(lengths))
            lengths += [len(actions) for actions in played.actions]
            return played.returns

        found = search_tasks(space, play, episodes=EPISODES, seed=number)
        good = np.flatnonzero(found.returns >= 0.9 * best)
        needed = int(good[0]) + 1 if len(good) else None
        again = play_z(np.tile(found.z, (FINAL_EPISODES, 1)), 0)
        rows[str(goal)] = {
            "episodes": needed,
            "timesteps": sum(lengths[:needed]) if needed else None,
            "timesteps in all": sum(lengths),
            "share of best known, best episode": round(float(found.returns.max() / best), 3),
            "share of best known, played again": round(float(again.returns.mean() / best), 3),
        }
        print(goal, json.dumps(rows[str(goal)]), flush=True)
    table = {
        "goals": len(rows),
        "solved": sum(row["episodes"] is not None for row in rows.values()),
        "median episodes": _median(row["episodes"] for row in rows.values()),
        "median timesteps": _median(row["timesteps"] for row in rows.values()),
        "by goal": rows,
    }
    _write("meta", table, goal_seed)


def _median(counts: Iterable[float | None]) -> float | None:
    """Return the median, of which None stands for never; None if it is never."""
    median = float(np.median([np.inf if count is None else count for count in counts]))
    return median if np.isfinite(median) else None


WIDE = {"policy": True, "min_std": 0.6}
PPO_ARMS: dict[str, dict[str, Any]] = {
    "scratch": {},
    "embedding": {"transfer": {"policy": False}},
    "policy": {"transfer": {"policy": True}},
    "policy, wide": {"transfer": WIDE},
    "policy, wide, bonus": {
        "transfer": WIDE,
        "exploration": {"bonus": 0.3, "until": 0.5, "known_after": 0, "centred": True},
    },
}
"""Settings of each way to start: with nothing, with the embedding of the run for the gridworld's
own goal, and with its policy, too: as decided as it is by default, with the standard deviation of a
new one, and with the bonus that few actions have."""


def ppo(goal_seed: int, count: int) -> None:
    """Train PPO for each of a few goals."""
    world = Gridworld()
    goals = held_out_goals(world, goal_seed, count)
    optimum = world.best_known(goals)
    source = RUNS / "ppo-source"
    rows: dict[str, dict[str, dict[str, float | None]]] = {}
    if not source.exists():
        embrl.train("gridworld", total_timesteps=PPO_TIMESTEPS, seeds=1, out=source)
    for goal, best in zip(goals, optimum, strict=True):
        box = tuple(float(side) for side in world.boxes(np.array([goal]))[0])
        for name, sections in PPO_ARMS.items():
            out = RUNS / f"ppo-{name.replace(', ', '-')}-{goal}"
            if not out.exists():
                changes: dict[str, Any] = dict(sections)
                if "transfer" in changes:
                    changes["transfer"] = {"run": str(source), **changes["transfer"]}
                embrl.train(
                    "gridworld",
                    total_timesteps=PPO_TIMESTEPS,
                    seeds=1,
                    out=out,
                    goal=box,
                    evaluation={"every": PPO_EVERY},
                    **changes,
                )
            row = _timesteps_needed(out, 0.9 * best)
            rows.setdefault(name, {})[str(goal)] = row
            print(goal, name, round(float(best), 3), row, flush=True)
        table = {
            name: {
                "goals": len(found),
                "solved": sum(row["timesteps to 90 %"] is not None for row in found.values()),
                "median timesteps": _median(row["timesteps to 90 %"] for row in found.values()),
                "by goal": found,
            }
            for name, found in rows.items()
        }
        _write("ppo", table, goal_seed)


def _timesteps_needed(run: Path, enough: float) -> dict[str, float | None]:
    with (run / "metrics.csv").open() as file:
        points = [
            (int(row["timesteps"]), float(row["return_mean"])) for row in csv.DictReader(file)
        ]
    first = next((step for step, value in points if value >= enough), None)
    returns = [value for _, value in points]
    return {
        "timesteps to 90 %": first,
        "best return": round(max(returns), 3),
        "last return": round(returns[-1], 3),
    }


def _write(name: str, table: dict, goal_seed: int) -> None:
    OUT.mkdir(exist_ok=True)
    name += f"-goals-{goal_seed}" if goal_seed else ""
    (OUT / f"{name}.json").write_text(json.dumps(table, indent=1) + "\n")


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands: dict[str, Callable[[argparse.Namespace], None]] = {
        "fit": lambda asked: fit(asked.features, asked.seeds),
        "value-iteration": lambda asked: value_iteration(asked.goal_seed),
        "zero-shot": lambda asked: zero_shot(asked.features, asked.seeds, asked.goal_seed),
        "goal-conditioned": lambda asked: goal_conditioned(asked.seeds, asked.goal_seed),
        "inverse": lambda asked: inverse(asked.goal_seed),
        "meta": lambda asked: meta(asked.goal_seed, asked.goals),
        "ppo": lambda asked: ppo(asked.goal_seed, asked.goals),
    }
    parser.add_argument("command", choices=commands)
    parser.add_argument("features", nargs="?", default=KINDS[0], choices=KINDS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--goal-seed", type=int, default=0, help="0: those settings were chosen on")
    parser.add_argument("--goals", type=int, default=10, help="of meta and ppo")
    asked = parser.parse_args()
    commands[asked.command](asked)


if __name__ == "__main__":
    main()
