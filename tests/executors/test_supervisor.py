import pytest
from pretending import PretendedPool, tasks

from embrl.core.errors import EmbrlError
from embrl.executors import supervisor
from embrl.executors.supervisor import Supervisor
from embrl.executors.tasks import check_complete, missing


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(supervisor, "PAUSE", 0.0)
    monkeypatch.setattr(supervisor, "RETRY_AFTER", 0.0)


def test_what_fails_is_tried_again_and_the_rest_goes_on():
    pool = PretendedPool()
    names = ["ok", "fails ok", "dies dies ok", "dies dies dies ok", "wrong", "fails fails fails"]
    reports = Supervisor(lambda count, say: pool, 2, None).run(tasks(*names), "trial")
    assert [(each.name, each.state, each.attempts) for each in reports] == [
        ("ok", "done", 1),
        ("fails ok", "done", 2),
        ("dies dies ok", "done", 3),
        ("dies dies dies ok", "missing", 3),
        ("wrong", "missing", 1),  # it stays wrong
        ("fails fails fails", "missing", 3),
    ]
    assert pool.closed
    assert pool.stopped == pool.started >= 5  # all that died, and the last
    lost = missing(reports)
    assert lost["wrong"] == "x must be 1"
    with pytest.raises(EmbrlError, match=r"3 of 6 tasks are missing .*x must be 1.*; again"):
        check_complete(lost, len(reports), "again")


def test_no_more_workers_than_tasks_and_none_for_no_task():
    pool = PretendedPool(size=8)
    run = Supervisor(lambda count, say: pool, 0, None).run
    assert run([], "nothing") == []
    assert not pool.started
    assert [each.state for each in run(tasks("ok", "ok "), "two")] == ["done", "done"]
    assert pool.started == 2


def test_workers_are_kept_between_the_rounds_of_a_block():
    counts, pool = [], PretendedPool()
    executor = Supervisor(lambda count, say: counts.append(count) or pool, 2, None)
    with executor.kept(4):
        for names in (["ok"], ["dies ok", "ok ", "ok  "], []):
            executor.run(tasks(*names), "round")
            assert not pool.closed
        assert pool.started - pool.stopped == 2
    assert counts == [4]
    assert pool.closed
    assert pool.stopped == pool.started == 3  # one died


def test_workers_that_cannot_start_end_the_command_and_not_in_a_loop():
    pool = PretendedPool(starts=False)
    with pytest.raises(EmbrlError, match="workers cannot start: no Python"):
        Supervisor(lambda count, say: pool, 2, None).run(tasks("ok"), "trial")
    assert pool.closed
    assert pool.stopped == pool.started


def test_an_interruption_stops_all_workers(monkeypatch):
    pool = PretendedPool()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(supervisor._Campaign, "_report", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Supervisor(lambda count, say: pool, 2, None).run(tasks("ok", "dies"), "trial")
    assert pool.closed
    assert pool.stopped == pool.started
