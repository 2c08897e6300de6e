"""Searches by optuna, which is an extra."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

pytest.importorskip("optuna")

from embrl.cli.main import main
from embrl.core.errors import EmbrlError
from embrl.sweep import runs
from embrl.sweep import table as sweep_table
from embrl.sweep.figure import draw
from embrl.sweep.runs import PointResult, Sweep, SweepResult, planned, run
from embrl.sweep.search import Range, Search, propose
from embrl.training.loop import ignore_progress

pytestmark = pytest.mark.usefixtures("quick")

SPACE = {"lr": Range(1e-5, 1e-1, log=True), "std": Range(0.0, 1.0), "net": ((8,), (16,), (32, 32))}


@pytest.fixture
def small(tiny):
    return tiny("none", seed=1, seeds=1)


def objective(point):
    """Score with its maximum, 0, at lr 1e-3, std 0.3 and the network (16,)."""
    wrong_net = 0.0 if point["net"] == (16,) else 0.5
    return -(np.log10(point["lr"] / 1e-3) ** 2) - (point["std"] - 0.3) ** 2 - wrong_net


def searched(trials, seed, space=SPACE, score=objective, tried=()):
    tried = list(tried)
    while len(tried) < trials:
        tried += [(point, score(point)) for point in propose(space, tried, 4, seed)]
    return tried


def test_an_optimum_that_is_known_is_found_and_better_than_at_random():
    best, by_chance = [], []
    for seed in (1, 2, 3):
        best.append(max(searched(48, seed), key=lambda each: each[1]))
        draws = [point for k in range(12) for point in propose(SPACE, [], 4, 100 * seed + k)]
        by_chance.append(max(map(objective, draws)))
    assert all(point["net"] == (16,) for point, _ in best)
    assert all(2e-4 < point["lr"] < 5e-3 for point, _ in best)
    assert np.mean([score for _, score in best]) > np.mean(by_chance)


def test_proposals_depend_on_seed_and_scores_alone_and_are_in_range_and_new():
    tried = searched(24, 1)
    assert tried == searched(24, 1) == searched(24, 1, tried=tried[:12])
    assert tried[:4] != searched(4, 2)
    keys = [tuple(point.values()) for point, _ in tried]
    assert len(set(keys)) == 24
    for point, _ in tried:
        assert 1e-5 <= point["lr"] <= 1e-1
        assert point["lr"] == float(f"{point['lr']:.4g}")
        assert 0 <= point["std"] <= 1
    worse = [(point, -score) for point, score in tried]
    assert propose(SPACE, worse, 4, 1) != propose(SPACE, tried, 4, 1)


def test_points_that_diverged_are_avoided_and_unknown_ones_are_not_repeated():
    space = {"lr": Range(1e-4, 1.0, log=True)}
    tried = searched(16, 1, space, lambda point: -np.inf if point["lr"] > 1e-2 else 0.0)
    later = searched(48, 1, space, lambda point: -np.inf if point["lr"] > 1e-2 else 0.0, tried)
    assert np.mean([np.isinf(score) for _, score in later[16:]]) < 0.3
    unknown = [(point, np.nan) for point in propose(space, [], 4, 1)]
    assert not [p for p in propose(space, unknown, 4, 1) if p in [q for q, _ in unknown]]


def test_a_small_space_is_searched_whole_without_repetition():
    space = {"k": Range(1, 3), "kind": ("nearest", "softmax", None)}
    tried = searched(8, 1, space, lambda point: float(point["k"]))
    tried += [(point, 0.0) for point in propose(space, tried, 1, 1)]
    points = {tuple(point.values()) for point, _ in tried}
    assert points == set(itertools.product((1, 2, 3), space["kind"]))
    assert all(isinstance(point["k"], int) for point, _ in tried)
    assert not propose(space, tried, 1, 1)
    narrow = {"std": Range(0.3, 0.3002)}  # three values of four digits
    assert sorted(p["std"] for p in propose(narrow, [], 4, 1)) == [0.3, 0.3001, 0.3002]


def test_a_search_continues_as_if_it_had_not_stopped(small, tmp_path):
    found = Sweep(
        small,
        {"policy.hidden": ((8,),)},
        replicas=1,  # each trial has a run of its own
        ranges={"vpg.actor_lr": Range(1e-4, 1e-1, log=True)},
        search=Search(trials=4, batch=2),
    )
    whole = run(found, tmp_path / "whole")
    assert len(whole.outcomes) == 4
    assert len(list((tmp_path / "whole/runs").iterdir())) == 4
    rounds = json.loads((tmp_path / "whole/trials.json").read_text())["rounds"]
    assert [len(points) for points in rounds] == [2, 2]

    def stop(number, of):
        if number == 3:
            raise KeyboardInterrupt
        return ignore_progress

    with pytest.raises(KeyboardInterrupt):
        run(found, tmp_path / "stopped", begin=stop)
    assert planned(tmp_path / "stopped") == found
    resumed = run(planned(tmp_path / "stopped"), tmp_path / "stopped", resume=True)
    assert sweep_table.to_csv(resumed) == sweep_table.to_csv(whole)
    assert json.loads((tmp_path / "stopped/trials.json").read_text())["rounds"] == rounds
    # More trials may follow, with another score not.
    more = dataclasses.replace(found, search=Search(trials=5, batch=2))
    assert len(run(more, tmp_path / "stopped", resume=True).outcomes) == 5
    with pytest.raises(EmbrlError, match="different by"):
        run(dataclasses.replace(more, by="final"), tmp_path / "stopped", resume=True)
    (tmp_path / "stopped/trials.json").write_text('{"rounds": [[{"policy.hidden": 1}]]}')
    with pytest.raises(EmbrlError, match=r"trials.json is damaged"):
        run(more, tmp_path / "stopped", resume=True)


def test_each_method_has_the_same_number_of_trials(tiny, tmp_path):
    """And at first the same points, so that no method has more luck than others."""
    variants = tuple(
        runs.SweepVariant({"method": method}, tiny(method, seed=1)) for method in ("none", "jsae")
    )
    sweep = Sweep(
        variants[0].config,
        {"method": ("none", "jsae")},
        chosen=variants,
        ranges={"vpg.actor_lr": Range(1e-4, 1e-1, log=True)},
        search=Search(trials=4, batch=4),
    )
    points = runs._next_points(sweep, tmp_path, 0, [])
    assert [point["method"] for point in points] == ["none"] * 4 + ["jsae"] * 4
    assert [p["vpg.actor_lr"] for p in points[:4]] == [p["vpg.actor_lr"] for p in points[4:]]
    # Plain numbers are trained side by side.
    assert [len(part.points) for part in runs._runs_of(sweep, points)] == [4, 4]
    assert runs._next_points(sweep, tmp_path, 1, []) == []


def test_its_figure_has_scales_of_ranges_and_its_edges_are_told(small, tmp_path):
    ranges = {"vpg.actor_lr": Range(1e-4, 1e-1, log=True), "vpg.gamma": Range(0.5, 1.0)}
    sweep = Sweep(
        dataclasses.replace(small, seeds=2),
        {"policy.hidden": ((8,), (4,))},
        ranges=ranges,
        search=Search(2),
    )
    outcomes = tuple(
        PointResult(
            {"policy.hidden": (8,), "vpg.actor_lr": rate, "vpg.gamma": 0.9},
            np.full(2, score),
            np.full(2, score),
        )
        for rate, score in [(1.1e-4, 3.0), (1e-2, np.nan)]
    )
    result = SweepResult(sweep, outcomes, 1.0)
    draw(result, tmp_path / "grid.png")
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")
    assert sweep_table.edges(result) == ["vpg.actor_lr"]
    assert sweep_table.to_markdown(result).count("2 trials, 2 seeds each") == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search": None}, "vpg.gamma: a range needs --search optuna"),
        ({"search": Search(trials=0)}, "trials must be at least 1, got 0"),
        ({"search": Search(batch=0)}, "batch must be at least 1, got 0"),
        ({"ranges": {"vpg.gamma": Range(0.9, 0.9)}}, "vpg.gamma must be LOW:HIGH"),
        ({"ranges": {"vpg.gamma": Range(0.0, 0.9, log=True)}}, "vpg.gamma must be above 0"),
        (
            {"ranges": {"rollout.sticky_action_prob": Range(0.5, 1.5)}},
            "rollout.sticky_action_prob must be .* got 1.5",
        ),
        ({"ranges": {}, "grid": {"vpg.gamma": (0.8, 0.9)}}, "trials must be at most 2"),
        ({"ranges": {"vpg.gama": Range(0.8, 0.9)}}, "did you mean vpg.gamma"),
    ],
)
def test_a_wrong_search_is_refused_before_anything_is_trained(small, tmp_path, changes, message):
    ranges = {"vpg.gamma": Range(0.8, 0.9)}
    sweep = dataclasses.replace(Sweep(small, {}, ranges=ranges, search=Search(3)), **changes)
    with pytest.raises(EmbrlError, match=message):
        run(sweep, tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_the_command(capsys, tmp_path):
    out = tmp_path / "sweep"
    small = [
        *("gridworld", "--env.actuators", "3", "--env.bins", "6", "--env.step-limit", "10"),
        *("--method", "none", "--seeds", "1", "--total-timesteps", "300", "--policy.hidden", "8"),
        *("--rollout.steps-per-update", "100", "--rollout.num-envs", "10"),
        *("--evaluation.every", "100", "--evaluation.episodes", "2"),
        *("--evaluation.final-episodes", "2", "--algorithm", "vpg"),
    ]
    search = ["--search", "optuna", "--trials", "3", "--batch", "3"]
    ranges = ["--over", "vpg.actor-lr", "1e-4:1e-1:log", "--over", "vpg.gamma", ".5:1"]
    assert main(["sweep", *small, *search, *ranges, "--out", str(out)]) == 0
    found = json.loads((out / "sweep.json").read_text())
    assert found["points"] == 3
    assert found["best"]["command"][:3] == ["embrl", "train", "gridworld"]
    assert "--search" not in found["best"]["command"]
    assert found["plan"]["ranges"]["vpg.gamma"] == {"low": 0.5, "high": 1.0, "log": False}
    kept = (out / "table.csv").read_bytes()
    assert main(["sweep", "--resume", "--out", str(out)]) == 0
    assert (out / "table.csv").read_bytes() == kept
    capsys.readouterr()
    for flags, said in [
        ([*search, "--over", "vpg.gamma", "1:.9"], "vpg.gamma must be LOW:HIGH"),
        ([*search, "--over", "vpg.gamma", ".8:.9:lin"], "vpg.gamma must be LOW:HIGH or"),
        ([*search, "--over", "vpg.gamma", ".8:high"], "--over vpg.gamma high"),
    ]:
        assert main(["sweep", *small, *flags, "--out", str(tmp_path / "other")]) == 2
        assert said in capsys.readouterr().err
