import csv
import dataclasses
import io
import json
import sys

import numpy as np
import pytest

from embrl import envs
from embrl.cli.flags import configured
from embrl.config.defaults import default_config
from embrl.config.settings_by_name import replaced
from embrl.core.errors import EmbrlError
from embrl.executors.choose import make_executor
from embrl.executors.options import ExecutorOptions
from embrl.sweep import table as sweep_table
from embrl.sweep.figure import draw
from embrl.sweep.runs import (
    GRIDS,
    PointResult,
    Sweep,
    SweepResult,
    plan_json,
    planned,
    run,
    sweep_runs,
)
from embrl.sweep.search import Range, Search
from embrl.training.loop import ignore_progress

pytestmark = pytest.mark.usefixtures("quick")


def tiny(method="none", algorithm="vpg", seeds=1, **values):
    env = envs.configure("gridworld", actuators=3, bins=6, step_limit=10)
    config = default_config("gridworld", env, method, algorithm, "tuned")
    config = dataclasses.replace(config, seeds=seeds, seed=1, total_timesteps=300)
    small = {
        "rollout.steps_per_update": 100,
        "rollout.num_envs": 10,
        "evaluation.every": 100,
        "evaluation.episodes": 2,
        "evaluation.final_episodes": 2,
        "policy.hidden": (8,),
    }
    return replaced(config, small | values)


def outcome(final, auc=None, **settings):
    settings = {name.replace("__", "."): value for name, value in settings.items()}
    return PointResult(settings, np.asarray(final), np.asarray(final if auc is None else auc))


def test_traced_settings_stand_side_by_side_and_others_one_after_another():
    grid = {"vpg.gamma": (0.9, 0.99), "policy.hidden": ((8,), (16,)), "vpg.critic_lr": (1, 2)}
    first, second = sweep_runs(Sweep(tiny(seeds=2), grid))
    assert first.config.policy.hidden == (8,)
    assert second.config.policy.hidden == (16,)
    assert first.config.vary == {
        "vpg.gamma": (0.9, 0.9, 0.99, 0.99),
        "vpg.critic_lr": (1.0, 2.0, 1.0, 2.0),
    }
    assert first.config.replicas == 8
    assert [tuple(point.values()) for point in second.points] == [
        (0.9, (16,), 1.0),
        (0.9, (16,), 2.0),
        (0.99, (16,), 1.0),
        (0.99, (16,), 2.0),
    ]
    assert list(second.points[0]) == list(grid)


@pytest.mark.parametrize(
    ("replicas", "sizes"), [(80, [7]), (6, [3, 2, 2]), (2, [1] * 7), (1, [1] * 7)]
)
def test_no_run_has_more_replicas_than_allowed_unless_a_point_has(replicas, sizes):
    grid = {"vpg.gamma": tuple(0.9 + 0.01 * k for k in range(7))}
    found = sweep_runs(Sweep(tiny(seeds=2), grid, replicas=replicas))
    assert [len(part.points) for part in found] == sizes
    assert [p["vpg.gamma"] for part in found for p in part.points] == list(grid["vpg.gamma"])


def test_an_interrupted_sweep_goes_on_to_the_same_table(tmp_path):
    """One of its points diverges, and takes none of the others along."""
    grid = {"policy.hidden": ((8,),), "vpg.actor_lr": (1e38, 1e-3)}
    sweep = Sweep(tiny(), grid, replicas=1)
    numbers = []
    whole = run(
        sweep, tmp_path / "whole", begin=lambda n, of: numbers.append((n, of)) or ignore_progress
    )
    assert numbers == [(1, 2), (2, 2)]
    assert [point.diverged for point in whole.outcomes] == [0, 1]
    assert whole.best.settings == {"policy.hidden": (8,), "vpg.actor_lr": 1e-3}

    def stop_in_the_second(number, of):
        def watch(progress):
            if number == 2:
                raise KeyboardInterrupt

        return watch

    with pytest.raises(KeyboardInterrupt):
        run(sweep, tmp_path / "stopped", begin=stop_in_the_second)
    assert planned(tmp_path / "stopped") == sweep
    first = (tmp_path / "stopped/runs/000/summary.json").stat().st_mtime_ns
    resumed = run(planned(tmp_path / "stopped"), tmp_path / "stopped", resume=True)
    assert (tmp_path / "stopped/runs/000/summary.json").stat().st_mtime_ns == first
    assert sweep_table.to_csv(resumed) == sweep_table.to_csv(whole)
    # And once more, with all there: nothing is trained, and another criterion may be asked for.
    again = run(dataclasses.replace(sweep, by="final"), tmp_path / "stopped", resume=True)
    assert again.best.settings == whole.best.settings
    for message, other, resume in [
        ("stopped already holds a sweep", sweep, False),
        ("another sweep .* grid", dataclasses.replace(sweep, grid={"vpg.gamma": (0.9,)}), True),
        ("another sweep .* config", dataclasses.replace(sweep, config=tiny(seeds=2)), True),
    ]:
        with pytest.raises(EmbrlError, match=message):
            run(other, tmp_path / "stopped", resume=resume)


@pytest.mark.slow  # executors are tested with other tasks
def test_processes_train_the_same_points_and_what_they_cannot_is_missing(tmp_path):
    sweep = Sweep(tiny(), {"policy.hidden": ((8,), (4,))})
    executor = make_executor(ExecutorOptions("processes", workers=2, retries=0))
    alone, apart = run(sweep, tmp_path / "alone"), tmp_path / "apart"
    (apart / "runs/001").mkdir(parents=True)
    (apart / "runs/001/config.json").write_text("{")
    (apart / "sweep.json").write_text(json.dumps({"plan": plan_json(sweep)}))
    partial = run(sweep, apart, resume=True, executor=executor)
    assert partial.missing == ({"policy.hidden": (4,)},)
    assert "1 more are missing" in sweep_table.to_markdown(partial)
    draw(partial, tmp_path / "grid.png")
    (apart / "runs/001/config.json").unlink()
    done = (apart / "runs/000/summary.json").stat().st_mtime_ns
    whole = run(sweep, apart, resume=True, executor=executor)
    assert sweep_table.to_csv(whole) == sweep_table.to_csv(alone)
    assert (apart / "runs/000/summary.json").stat().st_mtime_ns == done


@pytest.mark.parametrize(
    ("grid", "changes", "message"),
    [
        ({}, {}, "nothing to sweep"),
        ({"vpg.actor_rl": (1.0,)}, {}, "unknown setting 'vpg.actor_rl': did you mean"),
        (
            {"pretrain.gradient_steps": (1,)},
            {},
            "unknown setting 'pretrain.gradient_steps'",
        ),  # none has nothing to fit
        ({"method": ("jsae",)}, {}, "method cannot be swept"),
        ({"vpg.gamma": ()}, {}, "vpg.gamma must have at least one value"),
        ({"vpg.gamma": (0.9, 0.9)}, {}, "vpg.gamma must .* got 0.9, 0.9"),
        ({"vpg.gamma": (0.9,)}, {"seed": 0}, "seed must not be 0"),
        (
            {"rollout.steps_per_update": (100, 101)},
            {},
            r"rollout.steps_per_update .*rollout.num_envs \(10\), got 101",
        ),
    ],
)
def test_what_cannot_be_swept_is_said_before_anything_is_trained(tmp_path, grid, changes, message):
    config = dataclasses.replace(tiny(), **changes)
    with pytest.raises(EmbrlError, match=message):
        run(Sweep(config, grid), tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_without_optuna_a_search_says_the_pip_command(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    sweep = Sweep(tiny(), {}, ranges={"vpg.gamma": Range(0.8, 0.9)}, search=Search(3))
    with pytest.raises(EmbrlError, match=r"pip install 'embrl\[search\]'"):
        run(sweep, tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_points_are_chosen_by_what_was_asked_for_and_never_one_that_diverged():
    one = outcome([1.0, 3.0], auc=[0.0, 0.0])
    two = outcome([1.0, 1.0], auc=[1.0, 1.0])
    three = outcome([9.0, np.nan], auc=[9.0, np.nan])
    assert max((one, two, three), key=lambda o: o.score("auc")) is two
    assert max((one, two, three), key=lambda o: o.score("final")) is one
    assert three.score("final") == -np.inf


@pytest.mark.parametrize(
    ("method", "algorithm", "points"),
    [("none", "vpg", 9), ("jsae", "vpg", 36), ("ra", "ppo", 36), ("none", "sac", 36)],
)
def test_the_papers_grid(method, algorithm, points):
    config = tiny(method, algorithm, total_timesteps=100_000)
    grid = GRIDS["paper"](config)
    assert np.prod([len(values) for values in grid.values()]) == points
    assert ("policy.std" in grid) == (method != "none")
    assert sum(len(part.points) for part in sweep_runs(Sweep(config, grid))) == points


@pytest.mark.parametrize(("algorithm", "points"), [("vpg", 27), ("ppo", 27), ("sac", 9)])
def test_our_grid(algorithm, points):
    grid = GRIDS["ours"](tiny("none", algorithm))
    assert np.prod([len(values) for values in grid.values()]) == points


def test_a_point_as_flags_is_that_point_again():
    config = tiny("jsae", total_timesteps=100_000)
    config = dataclasses.replace(config, objectives={"forward": 1.0, "reward": 0.5})
    point = {
        "vpg.actor_lr": 1e-5,
        "policy.hidden": (8, 16),
        "policy.bounded": False,
        "vpg.scale_by_std": True,
        "embedding.state_hidden": None,
        "decoder.kind": "softmax",
        "env.goal": (0.5, 0.6, 0.75, 0.8),
        "objectives.reward": 0.25,
        "total_timesteps": 1_200_000,  # other defaults are the same from a million on
    }
    base = ["--algorithm", "vpg", "--settings", "tuned", "--total-timesteps", "1000000"]
    base += ["--objectives", "forward", "1", "reward", ".5", "--env.actuators", "3"]
    found, _ = configured("gridworld", [*base, *sweep_table.flags(config, point)], "train")
    wanted, _ = configured("gridworld", base, "train")
    assert found == replaced(wanted, point)


def result(count, values=3):
    names = ["vpg.actor_lr", "vpg.critic_lr", "vpg.gamma", "vpg.gae_lambda"][:count]
    grid = {name: tuple(0.1 * (k + 1) for k in range(values)) for name in names}
    draw = np.random.default_rng(0)
    points = []
    for index, point in enumerate(sweep_runs(Sweep(tiny(), grid, replicas=1000))[0].points):
        scores = draw.normal(size=3)
        points.append(PointResult(point, scores, np.where(index == 1, np.nan, scores)))
    points.sort(key=lambda o: o.score("auc"), reverse=True)
    return SweepResult(Sweep(tiny(seeds=3), grid), tuple(points), 1.0)


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
def test_a_grid_of_any_number_of_axes_is_drawn(tmp_path, axes):
    draw(result(axes), tmp_path / "grid.png")
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")


def test_a_grid_where_all_diverged_is_drawn_and_has_no_best(tmp_path):
    nothing = np.full(3, np.nan)
    found = result(2)
    found = dataclasses.replace(
        found, outcomes=tuple(PointResult(o.settings, nothing, nothing) for o in found.outcomes)
    )
    draw(found, tmp_path / "grid.png")
    assert sweep_table.as_json(found)["best"] is None
    assert sweep_table.to_csv(found).count("\n") == 10


def test_the_table_has_every_point_best_first():
    grid = {"vpg.gamma": (0.9, 0.99, 0.5)}
    points = (
        outcome([2.0, 4.0], auc=[2.0, 2.0], vpg__gamma=0.99),
        outcome([1.0, 3.0], auc=[1.0, 1.0], vpg__gamma=0.9),
        outcome([5.0, np.nan], auc=[5.0, np.nan], vpg__gamma=0.5),
    )
    found = SweepResult(Sweep(tiny(seeds=2), grid), points, 12.0)
    rows = list(csv.DictReader(io.StringIO(sweep_table.to_csv(found))))
    assert [row["vpg.gamma"] for row in rows] == ["0.99", "0.9", "0.5"]
    assert [row["final_mean"] for row in rows] == ["3.0", "2.0", ""]
    assert (rows[0]["worst"], rows[0]["best"], rows[0]["final_low"]) == ("2.0", "4.0", "2.0")
    assert [row["diverged"] for row in rows] == ["0", "0", "1"]
    text = sweep_table.to_markdown(found)
    assert "| 0.99 | 3.000 [2.000, 4.000] | 2.000 [2.000, 2.000] | 2.000 | 4.000 |  |" in text
    assert "| 0.5 | – | – | 5.000 | 5.000 | 1 of 2 |" in text
    assert "3 points, 2 seeds each (--seed 1)" in text
    chosen = sweep_table.as_json(found, ["embrl", "train", "gridworld"])["best"]
    assert chosen["command"] == ["embrl", "train", "gridworld", "--vpg.gamma", "0.99"]
    assert chosen["at_the_edge_of"] == ["vpg.gamma"]
