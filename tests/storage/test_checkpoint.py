"""Checkpoints: read back bit for bit, replaced whole, and refused where they do not fit."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embrl.core.errors import EmbrlError
from embrl.storage import checkpoint
from embrl.storage.checkpoint import FORMAT, MANIFEST, TENSORS

STATE = {"model": {"weight": jnp.arange(6.0).reshape(2, 3) / 7}, "steps": jnp.int32(4)}
LIKE = jax.eval_shape(lambda: STATE)


def test_a_checkpoint_is_read_back_bit_for_bit(tmp_path):
    checkpoint.write(tmp_path / "all", 12, STATE, {"stage": "training"})
    found = checkpoint.latest(tmp_path / "all")
    assert found is not None
    assert checkpoint.read_manifest(found)["stage"] == "training"
    again = checkpoint.read(found, LIKE)
    assert jax.tree.structure(again) == jax.tree.structure(STATE)
    for one, two in zip(jax.tree.leaves(again), jax.tree.leaves(STATE), strict=True):
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)


def test_the_latest_replaces_the_others_and_what_a_crash_left(tmp_path):
    assert checkpoint.latest(tmp_path) is None
    checkpoint.write(tmp_path, 9, STATE, {})
    (tmp_path / ".00000010.123.tmp").mkdir()
    checkpoint.write(tmp_path, 10, STATE, {})
    assert [each.name for each in tmp_path.iterdir()] == ["00000010"]


def test_a_write_that_fails_keeps_the_checkpoint_before(tmp_path):
    checkpoint.write(tmp_path, 1, STATE, {})
    with pytest.raises(TypeError):
        checkpoint.write(tmp_path, 2, STATE, {"not": "plain", "value": object()})
    assert [each.name for each in tmp_path.iterdir()] == ["00000001"]


@pytest.mark.parametrize(
    ("like", "said"),
    [
        ({**STATE, "other": jnp.zeros(1)}, r"lacks \['other'\]"),
        ({**STATE, "steps": jnp.float32(0)}, r"\['steps'\] is int32\[\], expected float32\[\]"),
        ({**STATE, "steps": jnp.zeros(2, jnp.int32)}, r"int32\[\], expected int32\[2\]"),
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path, like, said):
    checkpoint.write(tmp_path, 1, STATE, {})
    with pytest.raises(EmbrlError, match=said):
        checkpoint.read(tmp_path / "00000001", like)


def test_damage_and_other_formats_are_named(tmp_path):
    checkpoint.write(tmp_path, 1, STATE, {})
    folder = tmp_path / "00000001"
    whole = (folder / TENSORS).read_bytes()
    for damaged in (whole[:-4], whole[:-1] + bytes([whole[-1] ^ 1])):
        (folder / TENSORS).write_bytes(damaged)
        with pytest.raises(EmbrlError, match=r"state\.safetensors is damaged: its checksum"):
            checkpoint.read(folder, LIKE)
    (folder / TENSORS).unlink()
    with pytest.raises(EmbrlError, match=r"state\.safetensors is missing"):
        checkpoint.read(folder, LIKE)
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace(f'"format": {FORMAT}', '"format": 9'))
    with pytest.raises(EmbrlError, match=rf"manifest\.json has format 9, .* {FORMAT}"):
        checkpoint.read_manifest(folder)


def test_a_part_of_what_was_packed_can_be_read_alone(tmp_path):
    path = tmp_path / TENSORS
    path.write_bytes(checkpoint.packed(STATE))
    arrays = checkpoint.unpacked(path, lambda: hashlib.sha256(path.read_bytes()).hexdigest())
    model = checkpoint.shaped(path, arrays, LIKE["model"], "['model']")
    np.testing.assert_array_equal(model["weight"], STATE["model"]["weight"])
