"""A decoder from one file outside of the package: registered, trained with, exported."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import embrl
from embrl.core import registry
from embrl.core.errors import EmbrlError
from embrl.core.registry import load_plugin
from embrl.decoding import DECODERS

pytestmark = pytest.mark.usefixtures("quick")

FILE = '''\
"""The decoder that takes the farthest action."""

import jax.numpy as jnp
import numpy as np

import embrl
from embrl.decoding import Decoder, nearest
from embrl.decoding.base import PortableDecoder
from embrl.portable.steps import Affine, Chain, Nearest


@embrl.register_decoder("mirrored")
class Mirrored(Decoder):
    """The action nearest to the mirrored point, -e."""

    portable_exclusions = True

    def __call__(self, table, u, noise=None, mask=None, scorer=None):
        return nearest(table, -u, mask)

    def portable(self, table, allowed, critic):
        table = np.asarray(table)
        d = table.shape[1]
        mirror = Affine(-np.eye(d, dtype=np.float32), np.zeros(d, np.float32))
        return PortableDecoder(Chain((mirror, Nearest.of(table, allowed))))


class OnPolicy(Mirrored):
    """A decoder for on-policy algorithms, with a scorer."""

    on_policy_only = "it says so"


embrl.register_decoder("on_policy", OnPolicy)
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(DECODERS, "_entries", dict(DECODERS._entries))
    # Workers of later tests would load it, too, once for each test here.
    monkeypatch.setattr(registry, "_loaded", list(registry._loaded))
    path = tmp_path / "mirrored.py"
    path.write_text(FILE)
    load_plugin(str(path))
    return path


SMALL: dict[str, Any] = {
    "pretrain": {"timesteps": 500, "gradient_steps": 5},
    "rollout": {"steps_per_update": 100, "num_envs": 4, "buffer_size": 1_000},
    "evaluation": {"every": 200, "episodes": 4, "final_episodes": 4},
}


def test_a_run_with_a_decoder_of_ones_own(plugin: Path, tmp_path: Path) -> None:
    run = embrl.train(
        "gridworld",
        actuators=3,
        method="ra",  # states as they are: half of the programs
        algorithm="vpg",
        out=tmp_path / "run",
        total_timesteps=1_000,
        seeds=1,
        **SMALL,
        decoder={"kind": "mirrored"},
    )
    assert run.config.decoder.kind == "mirrored"
    policy = embrl.load(tmp_path / "run").policy()
    states = np.arange(16)
    truth = policy.act(states, deterministic=True)
    path = embrl.export(tmp_path / "run", onnx=False)
    np.testing.assert_array_equal(embrl.load_policy(path).act(states), truth)


def test_what_it_needs_is_checked(plugin: Path, tmp_path: Path) -> None:
    with pytest.raises(EmbrlError, match=r"^decoder\.kind .*on_policy.* sac, as it says so"):
        embrl.train(
            "gridworld",
            actuators=3,
            algorithm="sac",
            out=tmp_path / "run",
            decoder={"kind": "on_policy"},
        )


def test_what_is_not_a_decoder_is_refused() -> None:
    with pytest.raises(EmbrlError, match="decoder mine must be a subclass of Decoder, got 3"):
        embrl.register_decoder("mine", 3)  # type: ignore[call-overload]
    with pytest.raises(EmbrlError, match="decoder nearest already exists"):
        embrl.register_decoder("nearest", type("Mine", (DECODERS["nearest"],), {}))
