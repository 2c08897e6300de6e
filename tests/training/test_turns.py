"""Updates in turns: the same as side by side, in fewer rounds."""

from typing import Any

import jax
import numpy as np
import pytest

from embrl.embedding import monitor
from embrl.training.backend import CompiledBackend
from embrl.training.replicas import Replicas
from embrl.training.trainer import Trainer
from embrl.training.turns import Turns

pytestmark = [
    pytest.mark.usefixtures("quick"),
    pytest.mark.skipif(len(jax.devices()) != 2, reason="there are not two devices"),
]


@pytest.fixture(scope="module")
def three(tiny) -> tuple[Replicas, Any, Any]:
    """Three seeds, and what they begin with."""
    config = tiny(seeds=3, vary={"vpg.ent_coef": (0.01,)})
    env = config.env.build()
    replicas = Replicas(Trainer.of(config, env))
    agents = replicas.over(_new_agent, once=True)(replicas.keys)
    return replicas, agents, replicas.over(Trainer.collect, shared=(0,))(env, replicas.keys)


def _new_agent(trainer: Trainer, key: Any) -> Any:
    return trainer.new_agent(key, trainer.new_embedding(key))


@pytest.mark.parametrize("count", [1, 4, 5])
def test_updates_in_turns_are_those_of_seeds_side_by_side(three, monkeypatch, count: int) -> None:
    replicas, agents, data = three
    # Stands for all that is measured on the last rollout.
    monkeypatch.setattr(monitor, "measure", lambda *all: {"fresh_loss": all[-1].reward.sum()})
    backend = CompiledBackend(replicas, replicas.trainer.env)
    assert backend._turns is not None
    in_turns = backend.improve(backend.begin(agents, data), 2, count)
    backend._turns = None
    together = backend.improve(backend.begin(agents, data), 2, count)
    assert "fresh_loss" in together[1]
    assert in_turns[1].keys() == together[1].keys()
    for mine, its in zip(*map(jax.tree.leaves, (in_turns, together)), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("seeds", "devices", "pay"),
    [(3, 2, True), (5, 4, True), (4, 2, False), (1, 2, False), (3, 4, False)],
)
def test_turns_pay_where_there_is_a_remainder(three, seeds: int, devices: int, pay: bool) -> None:
    replicas = three[0].part(slice(0, seeds), [jax.devices()[0]] * devices)
    replicas.count = seeds
    assert Turns.pay(replicas) is pay
