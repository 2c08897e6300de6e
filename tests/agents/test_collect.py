import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import embrl
from embrl.agents import collect as collecting
from embrl.agents.collect import CollectConfig, collect, planned
from embrl.agents.episodes import survival
from embrl.agents.lineages import LineageConfig, Lineages
from embrl.agents.population import Population
from embrl.core.errors import EmbrlError
from embrl.envs.cart_pole import CartPoleConfig
from embrl.envs.slot_machine import SlotMachineConfig
from embrl.executors.local import LocalExecutor
from embrl.executors.tasks import TaskReport
from embrl.training.loop import Progress

RUNS = LineageConfig(
    "cart_pole",
    CartPoleConfig(step_limit=100),
    hidden=(4,),
    checkpoints=(0, 1, 30),
    steps_per_update=200,
    num_envs=10,
    learning_rate=(3e-3, 1e-2),
)
TINY = CollectConfig(RUNS, lineages=6, episodes=3, block=4)


def changed(**runs) -> CollectConfig:
    return dataclasses.replace(TINY, runs=dataclasses.replace(RUNS, **runs))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Population:
    return collect(TINY, tmp_path_factory.mktemp("collect") / "whole")


def test_each_lineage_has_an_agent_at_each_checkpoint(whole):
    table = whole.table()
    assert whole.count == TINY.agents == 18
    assert table["lineage"].tolist() == np.repeat(np.arange(6), 3).tolist()
    assert table["step"].tolist() == [0, 200, 6000] * 6
    assert set(table["seed"]) == {0}
    weights = whole.weights()
    assert len(np.unique(weights, axis=0)) == 18
    # What an epoch changes within a lineage is little beside what lies between two.
    within = np.linalg.norm(weights[1::3] - weights[::3], axis=1)
    between = np.linalg.norm(weights[3::3] - weights[:-3:3], axis=1)
    assert within.max() < between.min()


class FirstOnly(LocalExecutor):
    """An executor that does the first task alone, as one whose workers died would."""

    def run(self, tasks, title):
        self.asked = [task.name for task in tasks]
        done = super().run(tasks[:1], title)
        lost = [TaskReport(task.name, "missing", 1, 0.0, "killed") for task in tasks[1:]]
        return done + lost


def test_blocks_collected_apart_are_the_same_population(whole, tmp_path):
    out, executor = tmp_path / "apart", FirstOnly(0, None)
    with pytest.raises(EmbrlError, match=r"1 of 2 tasks are missing \(00001: killed\)"):
        collect(TINY, out, executor=executor)
    assert Population(out).table()["lineage"].max() == 3
    found = collect(TINY, out, resume=True)  # here, what is missing
    np.testing.assert_array_equal(found.weights(), whole.weights())
    for name, values in whole.table().items():
        np.testing.assert_array_equal(found.table()[name], values)
    collect(TINY, out, resume=True, executor=executor)
    assert executor.asked == []


def test_agents_are_what_their_row_says(whole):
    """A point for every step: return and survival are one."""
    table = whole.table()
    np.testing.assert_array_equal(table["return_mean"], table["survival_mean"])
    assert (table["survival_mean"] >= 1).all()
    assert (table["survival_mean"] <= 100).all()
    key = collecting.evaluation_key(TINY)
    played = survival(whole.env.build(), whole.architecture, whole.weights(), key, 3)
    np.testing.assert_allclose(table["return_mean"], played.returns.mean(1), rtol=1e-6)
    np.testing.assert_allclose(table["return_std"], played.returns.std(1), rtol=1e-5, atol=1e-6)


def test_agents_act_on_what_they_observe_as_their_run_did():
    """The policy in training and the agent taken from it decide alike, on raw observations."""
    lineages = Lineages(RUNS, 4)
    trainer, numbers = lineages.trainer, np.arange(4)
    w = lineages.train(numbers)[0, 0]
    policy = trainer.policy(trainer.new_agent(lineages.keys(numbers)[0], None))
    x = jax.random.normal(jax.random.key(0), (1000, 4)) * jnp.array([1.0, 2.0, 0.2, 2.0])
    logits = np.asarray(lineages.architecture.logits(jnp.asarray(w)[None], x[None])[0])
    apart = np.abs(np.diff(logits)[:, 0]) > 1e-6
    assert apart.sum() > 900
    mode = np.asarray(policy.mode(x))
    np.testing.assert_array_equal(mode[apart], logits.argmax(1)[apart])


def test_the_longest_trained_are_better_than_the_untrained(whole):
    survived = whole.table()["survival_mean"].reshape(6, 3)
    assert survived[:, 2].mean() > survived[:, 0].mean() + 20


@pytest.mark.parametrize("stop", [0, 1])
def test_stopped_after_any_block_it_goes_on_to_the_same_population(whole, tmp_path, stop):
    seen: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) > stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(TINY, tmp_path / "run", on_progress=interrupt)
    assert Population(tmp_path / "run").count == 12 * stop
    resumed: list[int] = []
    again = collect(
        TINY, tmp_path / "run", resume=True, on_progress=lambda now: resumed.append(now.done)
    )
    assert resumed == [0, 4, 6][stop:]
    assert content(again.path) == content(whole.path)


@pytest.mark.parametrize("resume", [True, False])
def test_stopped_before_anything_was_saved_it_begins_anew(whole, tmp_path, resume):
    with pytest.raises(KeyboardInterrupt):
        collect(TINY, tmp_path / "run", on_progress=_interrupt)
    if resume:  # nor was anything said of it
        (tmp_path / "run" / collecting.FILE).unlink()
    collect(TINY, tmp_path / "run", resume=resume)
    assert content(tmp_path / "run") == content(whole.path)


def _interrupt(progress: Progress) -> None:
    raise KeyboardInterrupt


def test_a_finished_collection_is_left_as_it_is(whole):
    before = content(whole.path)
    assert collect(TINY, whole.path, resume=True).count == 18
    assert content(whole.path) == before
    assert planned(whole.path) == TINY


def test_a_lineage_that_diverges_is_left_out_and_the_others_stay(whole, tmp_path, monkeypatch):
    train = Lineages.train

    def diverging(self, numbers):
        w = train(self, numbers).copy()
        w[numbers == 1, 2, 0] = np.nan
        return w

    monkeypatch.setattr(Lineages, "train", diverging)
    said: list[str] = []
    found = collect(TINY, tmp_path / "run", on_progress=lambda now: said.extend(now.messages))
    assert said == ["lineage 1 diverged and is left out"]
    left = whole.table()["lineage"] != 1
    np.testing.assert_array_equal(found.weights(), whole.weights()[left])
    for name, values in whole.table().items():
        np.testing.assert_array_equal(found.table()[name], values[left])


def test_learning_rates_fill_their_range_evenly_on_a_log_scale():
    rates = Lineages(dataclasses.replace(RUNS, learning_rate=(1e-4, 1e-2)), 2).learning_rates(
        np.arange(2000)
    )
    assert rates.min() >= 1e-4
    assert rates.max() <= 1e-2
    fractions = np.histogram(np.log10(rates), np.linspace(-4, -2, 5))[0] / 2000
    np.testing.assert_allclose(fractions, 0.25, atol=0.04)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (changed(checkpoints=()), "checkpoints must .* got none"),
        (changed(checkpoints=(3, 1)), "checkpoints must .* got 3 1"),
        (changed(checkpoints=(-1, 1)), "checkpoints must .* got -1 1"),
        (changed(hidden=(0,)), "widths of an agent|got 4-0-2"),
        (changed(learning_rate=(1e-2, 1e-3)), "learning-rate must .* got 0.01 0.001"),
        (changed(algorithm="sac"), "algorithm must be vpg or ppo, got sac"),
        (changed(algorithm="dqn"), "unknown algorithm 'dqn'"),
        (
            changed(steps_per_update=55),
            r"rollout.steps_per_update .*rollout.num_envs \(10\), got 55",
        ),
        (changed(seed=-1), "seed must be .*got -1"),
        (changed(env=CartPoleConfig(step_limit=0)), "env.step-limit must be .*got 0"),
        (dataclasses.replace(TINY, lineages=0), "lineages must be 1 or more, got 0"),
        (dataclasses.replace(TINY, episodes=0), "episodes must be 1 or more, got 0"),
        (
            changed(environment="slot_machine", env=SlotMachineConfig()),
            "observations must be vectors .a Box., got MultiDiscrete.* in slot_machine",
        ),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_is_written(tmp_path, config, said):
    with pytest.raises(EmbrlError, match=said):
        collect(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_collection_is_not_written_into(whole):
    before = content(whole.path)
    with pytest.raises(EmbrlError, match=r"already holds a population; .* add --resume"):
        collect(TINY, whole.path)
    with pytest.raises(EmbrlError, match=r"seed must be 0 .* got 7"):
        collect(changed(seed=7), whole.path, resume=True)
    other = changed(env=CartPoleConfig(step_limit=101))
    with pytest.raises(EmbrlError, match=r"env\.step_limit must be 100 .* got 101"):
        collect(other, whole.path, resume=True)
    assert content(whole.path) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda plan: plan.pop("runs"), "damaged"),
        (lambda plan: plan["runs"].update(hidden="wide"), "damaged"),
        (lambda plan: plan.update(speed=3), "damaged"),
        (lambda plan: plan["runs"].update(environment="cart_pol"), "did you mean cart_pole"),
    ],
)
def test_a_damaged_plan_says_where(whole, tmp_path, change, said):
    plan = json.loads((whole.path / collecting.FILE).read_text())
    change(plan)
    (tmp_path / collecting.FILE).write_text(json.dumps(plan))
    with pytest.raises(EmbrlError, match=said) as caught:
        planned(tmp_path)
    assert str(tmp_path / collecting.FILE) in str(caught.value)


def test_the_python_interface_collects_the_same(whole, tmp_path):
    runs = {
        name: getattr(RUNS, name)
        for name in ("hidden", "checkpoints", "steps_per_update", "num_envs", "learning_rate")
    }
    embrl.collect_agents(
        out=tmp_path / "run", lineages=6, episodes=3, block=4, runs=runs, step_limit=100
    )
    assert content(tmp_path / "run") == content(whole.path)
    with pytest.raises(EmbrlError, match="unknown setting of runs 'hiden': did you mean hidden"):
        embrl.collect_agents(out=tmp_path / "other", runs={"hiden": (2,)})
