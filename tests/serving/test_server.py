"""HTTP: the policy's answers, and one clear line for what is wrong."""

import json
import random
import threading

import pytest
from small_policies_of_numpy import N, policy, seen

from embrl.serving.questions import PolicyAnswers

HERE = {"observation": [1.0, 2.0, 3.0]}


def test_answers_are_the_policys_however_they_are_batched(serving):
    mine, rows = policy(), seen(60)
    send = serving(PolicyAnswers(mine))
    wanted = mine.act(rows).tolist()
    assert send("/act", {"observations": rows.tolist()}) == (200, {"actions": wanted})
    found: dict[int, object] = {}

    def ask(at: int) -> None:
        found[at] = send("/act", {"observation": rows[at].tolist()})

    threads = [threading.Thread(target=ask, args=(at,)) for at in range(len(rows))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[at] for at in range(len(rows))] == [(200, {"action": each}) for each in wanted]
    drawn = [send("/act", {**HERE, "seed": seed})[1]["action"] for seed in (5, 5, 6, 7, 8)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1
    only = [at == 11 for at in range(N)]
    assert send("/act", {**HERE, "mask": only}) == (200, {"action": 11})
    assert send("/health") == (200, {"status": "ok", "policy": "small"})
    metrics = send("/metrics")[1]
    assert 'embrl_requests_total{path="/act",status="200"} 67' in metrics
    assert "embrl_observations_total 126" in metrics


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "body must be JSON"),
        (b'{"observation": ', 400, "body must be JSON"),
        (b"[" * 100_000, 400, "body must be JSON"),
        (b'{"observation": "\xff"}', 400, "body must be JSON"),
        ([1, 2], 422, "body must be a JSON object"),
        ({}, 422, "observation or observations must be given"),
        ({**HERE, "observations": []}, 422, "observation or observations"),
        ({"observations": []}, 422, "observations must be 1 to 1024"),
        ({"observations": [[0, 0, 0]] * 1025}, 422, "observations must be 1 to 1024"),
        ({"observation": [1, 2]}, 422, "must have shape [3], got [2]"),
        ({"observation": [1, 2, "x"]}, 422, "observation: row 0 must be numbers"),
        ({"observation": [1, 2, None]}, 422, "observation"),
        ({"observation": [1, 2, float("nan")]}, 422, "row 0 must be"),
        ({"observation": [1, 2, 10**400]}, 422, "observation"),
        ({"observation": [[1], [2, 3], 4]}, 422, "observation"),
        ({"observation": {"a": 1}}, 422, "observation"),
        ({**HERE, "seed": -1}, 422, "seed must be"),
        ({**HERE, "seed": 0.5}, 422, "seed must be"),
        ({**HERE, "mask": [True]}, 422, "mask must"),
        ({**HERE, "mask": [False] * N}, 422, "mask must be True for an action"),
        ({**HERE, "filter": "a < 1"}, 422, "filter must be left out"),
        ({**HERE, "sead": 1}, 422, "did you mean seed"),
        (b" " * 5000, 413, "body must be at most 4,000 bytes"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(serving, body, status, said):
    send = serving(PolicyAnswers(policy()), max_body=200_000 if status != 413 else 4_000)
    found, answer = send("/act", body)
    assert (found, list(answer)) == (status, ["error"])
    assert said in answer["error"]
    assert "\n" not in answer["error"]
    assert send("/act", HERE)[0] == 200  # it lives on


def test_tokens_rates_and_paths(serving):
    send = serving(PolicyAnswers(policy()), token="secret")
    assert send("/act", HERE)[0] == 401
    assert send("/metrics")[0:1] == (401,)
    assert send("/act", HERE, Authorization="Bearer wrong")[0] == 401
    assert send("/act", HERE, Authorization="Bearer secret")[0] == 200
    assert send("/health")[0] == 200  # for those who watch the server
    assert send("/elsewhere")[0] == 404
    assert send("/act")[0] == 405
    assert send("/act", HERE, Authorization="Bearer secret", Origin="http://shop")[0] == 200
    limited = serving(PolicyAnswers(policy()), rate=2.0)
    statuses = [limited("/act", HERE)[0] for _ in range(20)]
    assert statuses[:4] == [200] * 4
    assert 429 in statuses
    assert serving(PolicyAnswers(policy()))("/act", HERE, Origin="http://elsewhere")[0] == 403


def test_random_bodies_get_an_answer_or_one_line(serving):
    """A little of what benchmarks/serving.py sends."""
    send = serving(PolicyAnswers(policy()))
    rng = random.Random(0)
    good = json.dumps({**HERE, "seed": 1, "mask": [True] * N}).encode()
    for _ in range(100):
        body = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        status, answer = send("/act", bytes(body))
        assert status in (200, 400, 422)
        assert status == 200 or "\n" not in answer["error"]
