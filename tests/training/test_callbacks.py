import dataclasses
import shutil

import jax
import numpy as np
import pytest
from run_outcome import outcome

from embrl.config.defaults import default_config
from embrl.core.errors import EmbrlError
from embrl.report.curves import read_curve
from embrl.training.loop import train
from embrl.training.restore import restore_policy


class Recorder:
    """Keeps what it is called with, and answers as it is told to."""

    def __init__(self, stop_at=None, start=None):
        self.calls, self.stop_at, self.start = [], stop_at, start

    def on_start(self, event):
        self.calls.append(("start", event))
        return self.start

    def on_evaluation(self, event):
        self.calls.append(("evaluation", event))
        return event.timesteps != self.stop_at

    def on_end(self, event):
        self.calls.append(("end", event))

    @property
    def trace(self):
        return [(name, event.timesteps, event.status) for name, event in self.calls]


@pytest.fixture(scope="module")
def watched(tiny, tmp_path_factory):
    """The same run with callbacks that look at everything, and what they saw."""
    seen, recorder = [], Recorder()

    def look(event):
        policy = event.policy(1)
        observation = np.zeros((3,), np.int32)
        event.save()
        seen.append((event, policy, policy.act(observation, deterministic=True)))

    folder = train(tiny(), tmp_path_factory.mktemp("watched") / "run", callback=[recorder, look])
    return folder, recorder, seen


def test_callbacks_change_no_number(trained, watched):
    assert outcome(watched[0].path) == outcome(trained.path)


def test_callbacks_are_called_at_the_start_at_each_evaluation_and_at_the_end(watched):
    _, recorder, seen = watched
    evaluations = [("evaluation", steps, "running") for steps in (600, 800, 1000, 1200)]
    assert recorder.trace == [("start", 0, "running"), *evaluations, ("end", 1200, "complete")]
    start, first = repr(recorder.calls[0][1]), repr(recorder.calls[1][1])
    assert start == "TrainingEvent(pre-training, running, 0 of 1,200 timesteps)"
    assert first.startswith("TrainingEvent(training, running, 600 of 1,200 timesteps, return -")
    assert [event.stage for _, event in recorder.calls] == ["pre-training"] + 5 * ["training"]
    assert [event.timesteps for event, *_ in seen] == [600, 800, 1000, 1200]
    assert {event.total_timesteps for event, *_ in seen} == {1200}


def test_events_hold_the_metrics_of_each_seed_and_their_means(watched):
    folder, recorder, _ = watched
    start, *evaluations, end = [event for _, event in recorder.calls]
    assert not start.metrics
    columns = {name: values.reshape(-1, 2) for name, values in folder.metrics().items()}
    known = columns.keys() - {"seed", "timesteps", "episodes"}
    assert evaluations[-1].metrics.keys() == known
    for at, event in enumerate([*evaluations, end]):
        for name, values in event.metrics.items():
            assert values.shape == (2,)
            np.testing.assert_array_equal(values, columns[name][min(at, 3)])
            assert event.means[name] == pytest.approx(values.mean(), nan_ok=True)
    assert "actor_loss" not in evaluations[0].metrics  # nothing is learned yet
    with pytest.raises(ValueError, match="read-only"):
        end.metrics["return_mean"][0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        end.timesteps = 3


def test_an_event_has_the_policy_of_that_moment_as_a_checkpoint_has_it(watched, tiny):
    folder, _, seen = watched
    event, policy, _ = seen[-1]  # the final checkpoint is of this evaluation
    expected = restore_policy(folder, event.config, 1)
    for one, other in zip(
        jax.tree.leaves(policy.overall), jax.tree.leaves(expected.policy), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    actors = [jax.tree.leaves(policy.overall) for _, policy, _ in seen]
    assert any(not np.array_equal(a, b) for a, b in zip(actors[0], actors[-1], strict=True))
    assert policy.action_space == event.env.action_space
    assert all(0 <= action < event.env.action_space.n for action in seen[0][2])


def test_an_event_that_is_over_has_no_policy(watched):
    _, recorder, seen = watched
    for event in (seen[0][0], recorder.calls[0][1], recorder.calls[-1][1]):
        with pytest.raises(EmbrlError, match="has a policy only"):
            event.policy()
        with pytest.raises(EmbrlError, match="has a policy only"):
            event.save()


def test_a_seed_that_is_not_there_is_named(tiny, tmp_path):
    with pytest.raises(EmbrlError, match=r"seed of .* must be in 0 to 1, got 2"):
        train(tiny("none"), tmp_path / "run", callback=lambda event: event.policy(2))


def test_a_run_stopped_again_and_again_resumes_to_the_same_result(tiny, trained, tmp_path):
    out, others = tmp_path / "run", []

    def stop(recorder):
        both = [recorder, lambda event: others.append(event.timesteps)]
        folder = train(tiny(), out, resume=True, callback=both)
        assert folder.holds_run
        assert not folder.complete
        assert recorder.calls[-1][0] == "end"
        assert recorder.calls[-1][1].status == "stopped"
        return folder, [(name, event.timesteps) for name, event in recorder.calls[:-1]]

    # At the start, before there is anything to save.
    _, trace = stop(Recorder(start=np.False_))
    assert trace == [("start", 0)]
    # After pre-training.
    folder, trace = stop(Recorder(stop_at=600))
    assert trace == [("start", 0), ("evaluation", 600)]
    assert others == [600]  # one that stops it keeps it from no other
    # In the middle.
    recorder = Recorder(stop_at=1000)
    _, trace = stop(recorder)
    assert recorder.calls[0][1].resumed
    assert trace == [("start", 600), ("evaluation", 800), ("evaluation", 1000)]
    assert folder.metrics()["timesteps"][-1] == 1000
    assert read_curve(folder).timesteps[-1] == 1000  # as embrl plot and compare read it
    # At the start of a resumed run.
    _, trace = stop(Recorder(start=False))
    assert trace == [("start", 1000)]
    recorder = Recorder()
    train(tiny(), out, resume=True, callback=recorder)
    assert recorder.trace == [
        ("start", 1000, "running"),
        ("evaluation", 1200, "running"),
        ("end", 1200, "complete"),
    ]
    assert outcome(out) == outcome(trained.path)


def test_stopping_at_the_last_evaluation_leaves_a_complete_run(tiny, tmp_path):
    recorder = Recorder(stop_at=600)
    folder = train(tiny("none"), tmp_path / "run", callback=recorder)
    assert recorder.trace[-1] == ("end", 600, "complete")
    assert folder.complete


class WrongError(Exception):
    pass


@pytest.fixture(scope="module")
def without(tiny, tmp_path_factory):
    """A run without embedding and callbacks."""
    return train(tiny("none"), tmp_path_factory.mktemp("without") / "run")


@pytest.mark.parametrize("at", [0, 600])
def test_an_exception_of_a_callback_reaches_the_caller_and_loses_nothing(
    tiny, without, tmp_path, at
):
    wrong, recorder = WrongError("mine"), Recorder()

    def fail(event):
        if event.timesteps == at:
            raise wrong

    with pytest.raises(WrongError) as error:
        train(tiny("none"), tmp_path / "run", callback=[recorder, fail])
    assert error.value is wrong
    assert recorder.trace[-1] == ("end", at, "failed")
    again = Recorder()
    train(tiny("none"), tmp_path / "run", resume=True, callback=again)
    assert again.trace[0] == ("start", at, "running")  # what was learned until then is kept
    assert outcome(tmp_path / "run") == outcome(without.path)


def test_an_interruption_ends_callbacks_and_their_failures_do_not_hide_it(tiny, tmp_path):
    class Failing(Recorder):
        def on_end(self, event):
            super().on_end(event)
            raise WrongError("at the end")

    first, second = Failing(), Recorder()

    def interrupt(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as error:
        train(tiny(), tmp_path / "run", on_progress=interrupt, callback=[first, second])
    assert "at the end" in error.value.__notes__[0]
    for recorder in (first, second):
        assert recorder.trace == [("start", 0, "running"), ("end", 0, "failed")]


def test_a_failure_in_on_end_reaches_the_caller_once_all_have_ended(tiny, tmp_path):
    class Failing:
        def on_end(self, event):
            raise WrongError(event.status)

    recorder = Recorder()
    with pytest.raises(WrongError, match="complete"):
        train(tiny("none"), tmp_path / "run", callback=[Failing(), recorder])
    assert recorder.trace[-1] == ("end", 600, "complete")


def test_callbacks_that_never_started_never_end(tiny, tmp_path):
    class Failing(Recorder):
        def on_start(self, event):
            raise WrongError

    before, failing, after = Recorder(), Failing(), Recorder()
    with pytest.raises(WrongError):
        train(tiny("none"), tmp_path / "run", callback=[before, failing, after])
    assert before.trace == [("start", 0, "running"), ("end", 0, "failed")]
    assert not failing.calls
    assert not after.calls


def test_the_last_event_and_the_last_progress_are_at_their_total(tiny, tmp_path):
    # 650 timesteps have room for six updates of 100.
    recorder, steps = Recorder(), []
    train(
        tiny("none", total_timesteps=650),
        tmp_path / "run",
        callback=recorder,
        on_progress=steps.append,
    )
    assert (recorder.calls[-1][1].timesteps, recorder.calls[-1][1].total_timesteps) == (600, 600)
    assert (steps[-1].done, steps[-1].total) == (600, 600)


def test_a_complete_run_calls_nobody(tiny, trained, tmp_path):
    folder, recorder = shutil.copytree(trained.path, tmp_path / "run"), Recorder()
    train(tiny(), folder, resume=True, callback=recorder)
    assert not recorder.calls


def test_a_diverged_seed_of_a_sweep_is_nan_and_left_out_of_the_mean(tiny, tmp_path):
    vpg = default_config("gridworld", tiny().env, "none", "vpg").hyperparameters
    config = tiny("none", algorithm="vpg", hyperparameters=vpg)
    config = dataclasses.replace(config, vary={"vpg.actor_lr": (1e-3, 1e38)})
    recorder = Recorder()
    train(config, tmp_path / "run", callback=recorder, sweep=True)
    event = recorder.calls[-1][1]
    returns = event.metrics["return_mean"]
    assert returns.shape == (4,)
    assert np.isnan(returns).tolist() == [False, False, True, True]
    assert event.means["return_mean"] == pytest.approx(returns[:2].mean())


class Misnamed:
    def on_eval(self, event):
        pass


@pytest.mark.parametrize("callback", [Misnamed(), Recorder, "print", [print, 3]])
def test_what_is_no_callback_is_refused_before_anything_is_written(tiny, tmp_path, callback):
    with pytest.raises(EmbrlError, match=r"callback must be .*on_start, on_evaluation or on_end"):
        train(tiny(), tmp_path / "run", callback=callback)
    assert not (tmp_path / "run").exists()
