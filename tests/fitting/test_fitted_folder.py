"""What an embedding does, and that its folder brings it back to the last bit or says why not."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import embrl
from embrl.core.errors import EmbrlError
from embrl.decoding.nearest import nearest

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def folder(gridworld_embedding, tmp_path):
    gridworld_embedding.save(tmp_path / "embedding")
    return tmp_path / "embedding"


def test_phi_g_and_f_are_the_model_s(gridworld_embedding):
    e, states = gridworld_embedding, np.arange(100).reshape(4, 25)
    assert (e.m, e.d, e.action_count, e.continuous) == (8, 2, 8, False)
    np.testing.assert_allclose(e.phi(states), e.model.phi(jnp.asarray(states)), atol=2e-6)
    assert e.phi(3).shape == (8,)
    assert e.phi(3).dtype == e.g(3).dtype == np.float32
    np.testing.assert_array_equal(e.table, e.model.g.table)
    points = np.random.default_rng(0).uniform(-1, 1, (5, 3, 2)).astype(np.float32)
    np.testing.assert_array_equal(e.f(points), nearest(jnp.asarray(e.table), jnp.asarray(points)))
    assert e.f(e.g(5)) == nearest(jnp.asarray(e.table), jnp.asarray(e.table[5]))


def test_f_keeps_to_a_mask(gridworld_embedding):
    e = gridworld_embedding
    only = np.zeros(8, bool)
    only[6] = True
    assert e.f(np.zeros((3, 2)), only).tolist() == [6, 6, 6]
    each = np.eye(8, dtype=bool)[[1, 4, 7]]
    assert e.f(np.zeros((3, 2)), each).tolist() == [1, 4, 7]
    for mask, said in [
        (np.zeros(8, bool), "mask.*no action"),
        (np.ones(7, bool), r"mask must be .*\[8\], got shape \[7\] of bool"),
        (np.ones((2, 8), bool), r"^mask must have the leading axes of e, \[3\], got \[2\]"),
    ]:
        with pytest.raises(EmbrlError, match=said):
            e.f(np.zeros((3, 2)), mask)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda e: e.phi(100), r"observation.*100"),
        (lambda e: e.phi([0.5]), "observation.*float"),
        (lambda e: e.g([3, 8]), r"action.*8.*\[1\].*"),
        (lambda e: e.g([3.0]), "action.*float"),
        (lambda e: e.f([0.0, 0.0, 0.0]), r"^e must be numbers \[\.\.\., 2\], got float64\[3\]"),
        (lambda e: e.f([0.0, np.nan]), r"^e must be finite, got nan at \[1\]"),
    ],
)
def test_what_does_not_fit_is_refused(gridworld_embedding, call, said):
    with pytest.raises(EmbrlError, match=said):
        call(gridworld_embedding)


def test_a_folder_brings_back_every_bit(gridworld_embedding, folder):
    e, again = gridworld_embedding, embrl.load_embedding(folder)
    for name in ("model", "norm", "reference"):
        mine, other = getattr(e, name), getattr(again, name)
        assert jax.tree.structure(mine) == jax.tree.structure(other)
        for one, two in zip(jax.tree.leaves(mine), jax.tree.leaves(other), strict=True):
            assert one.dtype == two.dtype
            np.testing.assert_array_equal(one, two)
    assert again.observation_space == e.observation_space
    assert again.action_space == e.action_space
    assert (again.method, again.settings, again.quality) == (e.method, e.settings, e.quality)
    assert again.source["timesteps"] == 600
    assert sorted(path.name for path in folder.parent.iterdir()) == ["embedding"]


def test_nothing_is_written_over(gridworld_embedding, folder, tmp_path):
    with pytest.raises(EmbrlError, match="already holds an embedding"):
        gridworld_embedding.save(folder)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(EmbrlError, match="choose an empty or new folder"):
        gridworld_embedding.save(tmp_path / "notes")


def _edited(folder, **changes):
    manifest = json.loads((folder / "embedding.json").read_text()) | changes
    kept = {name: value for name, value in manifest.items() if value != "gone"}
    (folder / "embedding.json").write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 1}, "must have format 2, got 1"),
        ({"kind": "agents"}, "must have kind 'embedding', got 'agents'"),
        ({"quality": "gone", "method": "gone"}, "lacks method, quality"),
        ({"sha256": "0"}, r"safetensors is damaged.*checksum"),
        ({"observation_space": {"kind": "Graph"}}, "embedding.json.*space"),
        ({"observation_space": {"kind": "Discrete", "sizes": [99]}}, "does not fit this embedding"),
        ({"settings": {"embedding": {}}}, "settings is damaged.*required field missing"),
        ({"source": 3}, "source must be a JSON object, got 3"),
    ],
)
def test_a_manifest_of_something_else_is_refused(folder, changes, said):
    _edited(folder, **changes)
    with pytest.raises(EmbrlError, match=said) as error:
        embrl.load_embedding(folder)
    assert "\n" not in str(error.value)


def test_damaged_files_are_refused(folder):
    tensors = folder / "embedding.safetensors"
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[:-100])
    with pytest.raises(EmbrlError, match=r"embedding\.safetensors is damaged"):
        embrl.load_embedding(folder)
    tensors.unlink()
    with pytest.raises(EmbrlError, match=r"embedding\.safetensors is missing"):
        embrl.load_embedding(folder)
    (folder / "embedding.json").write_text("{")
    with pytest.raises(EmbrlError, match=r"embedding\.json is damaged"):
        embrl.load_embedding(folder)
    (folder / "embedding.json").unlink()
    with pytest.raises(EmbrlError, match=r"is not an embedding.*embedding.json"):
        embrl.load_embedding(folder)


def test_what_cannot_be_written_leaves_nothing(gridworld_embedding, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbrlError, match=r"cannot be written: Not a directory"):
        gridworld_embedding.save(tmp_path / "file" / "embedding")

    written = []

    def full_after_the_first(number):
        written.append(number)
        if len(written) > 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_after_the_first)
    with pytest.raises(EmbrlError, match=r"json cannot be written: No space left on device"):
        gridworld_embedding.save(tmp_path / "embedding")
    assert len(written) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_actions_that_are_left_out_stay_so(gridworld_embedding, tmp_path):
    allowed = np.array([True, False] * 4)
    dataclasses.replace(gridworld_embedding, allowed=allowed).save(tmp_path / "some")
    some = embrl.load_embedding(tmp_path / "some")
    np.testing.assert_array_equal(some.allowed, allowed)
    points = np.random.default_rng(1).uniform(-1, 1, (50, 2))
    assert (some.f(points) % 2 == 0).all()
    assert (some.f(points, np.arange(8) > 3) > 3).all()
    with pytest.raises(EmbrlError, match=r"mask.*no action"):
        some.f(points, ~allowed)
