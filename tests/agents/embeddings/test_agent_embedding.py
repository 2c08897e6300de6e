import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import TINY
from small_agents import SMALL, population, pushers

from embrl.agents.canonical import permuted
from embrl.agents.embeddings import KINDS
from embrl.agents.embeddings.embedding import FOLDER, AgentFitConfig, load
from embrl.agents.embeddings.fit import CHECKPOINTS, fit, select_agents
from embrl.core.errors import EmbrlError
from embrl.storage import checkpoint


def same(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("kind", KINDS)
def test_renumbered_hidden_units_leave_the_embedding_unchanged_to_the_last_bit(
    kind, agents, tmp_path
):
    embedding = fit(kind, agents, TINY, tmp_path / "out")
    w = pushers(10)
    again = permuted(SMALL, w, np.random.default_rng(1))
    assert (w != again).any(-1).mean() > 0.8
    z = embedding.encode(w)
    np.testing.assert_array_equal(z, embedding.encode(again))
    assert z.shape == (20, TINY.k)
    assert len(np.unique(z.round(6), axis=0)) > 1
    w = embedding.decode(z)
    assert w.shape == (20, SMALL.size)
    # Nobody's embedding depends on who is encoded beside it.
    np.testing.assert_array_equal(z[:3], embedding.encode(again[:3]))
    back = load(tmp_path / "out")
    np.testing.assert_array_equal(back.encode(again), z)
    np.testing.assert_array_equal(back.decode(z), w)
    np.testing.assert_array_equal(
        back.sample(jax.random.key(1), 5, 1.5), embedding.sample(jax.random.key(1), 5, 1.5)
    )


class Stop(Exception):
    pass


@pytest.mark.parametrize("kind", ["vae", "fingerprint"])
def test_a_fit_that_was_interrupted_ends_with_the_same_bits(kind, agents, tmp_path, monkeypatch):
    monkeypatch.setattr("embrl.agents.embeddings.fit.SAVE_EVERY", 0.0)
    seen = []
    whole = fit(kind, agents, TINY, tmp_path / "whole", on_progress=seen.append)
    assert [step.done for step in seen] == [4, 8]

    def stop(progress):
        raise Stop

    with pytest.raises(Stop):
        fit(kind, agents, TINY, tmp_path / "cut", on_progress=stop)
    found = checkpoint.latest(tmp_path / "cut" / CHECKPOINTS)
    assert found is not None
    assert found.name == "00000004"
    rest = []
    resumed = fit(kind, agents, TINY, tmp_path / "cut", on_progress=rest.append, resume=True)
    assert [step.done for step in rest] == [8]
    same((whole.model, whole.prior), (resumed.model, resumed.prior))
    finished = fit(kind, agents, TINY, tmp_path / "cut", resume=True, on_progress=stop)
    same(finished.model, whole.model)


def test_held_out_lineages_are_in_no_training_set(agents):
    lineage = agents.table()["lineage"]
    everyone = select_agents(agents, TINY)
    assert not set(lineage[everyone.train]) & set(lineage[everyone.held_out])
    assert len(everyone.train) + len(everyone.held_out) == agents.count
    best = select_agents(agents, AgentFitConfig(group="2"))
    assert set(best.train) <= set(everyone.train)
    assert set(best.held_out) <= set(everyone.held_out)
    returns = agents.table()["return_mean"][best.train]
    assert ((returns >= 195) & (returns < 475)).all()


def test_training_agents_alone_decide_what_is_learned(agents, tmp_path):
    """Other held-out agents, other lengths: the same embedding."""
    config = dataclasses.replace(TINY, agents=6)
    one = fit("vae", agents, config, tmp_path / "one")
    assert len(select_agents(agents, config).train) == 6
    two = fit("vae", agents, dataclasses.replace(config, beta=0.5), tmp_path / "two")
    assert one.model.weights.mean.shape == two.model.weights.mean.shape
    np.testing.assert_array_equal(one.model.weights.mean, two.model.weights.mean)


def test_a_fingerprint_needs_no_weights(fitted):
    embedding, _ = fitted
    w = pushers(5, seed=3)
    asked = jnp.broadcast_to(embedding.probes, (len(w), *embedding.probes.shape))
    logits = SMALL.logits(jnp.asarray(w), asked)
    for sharpness in (1.0, 5.0):  # decisions count, not how sharply they are made
        answers = np.asarray(jax.nn.softmax(sharpness * logits))
        np.testing.assert_allclose(
            embedding.encode_fingerprint(answers), embedding.encode(w), atol=1e-3
        )
    with pytest.raises(
        EmbrlError, match=r"action probabilities must be \[N, 128, 2\], got \[3, 2\]"
    ):
        embedding.encode_fingerprint(np.ones((3, 2)))
    with pytest.raises(EmbrlError, match="sum to 1"):
        embedding.encode_fingerprint(2 * answers)


def test_only_fingerprints_have_probes(agents, tmp_path):
    with pytest.raises(EmbrlError, match=r"kind must be fingerprint .* got vae"):
        _ = fit("vae", agents, TINY, tmp_path).probes


def test_bad_input_is_one_line(agents, fitted, tmp_path):
    embedding, out = fitted
    with pytest.raises(EmbrlError, match=r"k must be .* got 100"):
        fit("vae", agents, AgentFitConfig(k=100), tmp_path / "a")
    with pytest.raises(EmbrlError, match="unknown group 'good'; choose all, best, 0 to 3"):
        fit("vae", agents, AgentFitConfig(k=1, group="good"), tmp_path / "a")
    with pytest.raises(EmbrlError, match="did you mean fingerprint"):
        fit("fingerprnt", agents, TINY, tmp_path / "a")
    with pytest.raises(EmbrlError, match="already holds an embedding"):
        fit("fingerprint", agents, TINY, out)
    with pytest.raises(EmbrlError, match="holds another fit"):
        fit("vae", agents, TINY, out, resume=True)
    with pytest.raises(EmbrlError, match=r"embeddings must be \[N, 2\], got"):
        embedding.decode(np.zeros((3, 5)))
    with pytest.raises(EmbrlError, match="not finite"):
        embedding.encode(np.full((1, SMALL.size), np.nan))
    with pytest.raises(EmbrlError, match="not a finished embedding"):
        load(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(EmbrlError, match="choose an empty or new folder"):
        fit("vae", agents, TINY, tmp_path)
    for name, value in (("k", 0), ("held_out", 1.0), ("learning_rate", -1.0), ("hidden", ())):
        with pytest.raises(EmbrlError, match=name):
            dataclasses.replace(TINY, **{name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embedding": 99}, "format 99"),
        ({"kind": "telepathy"}, "unknown kind"),
        ({"architecture": {"inputs": 4}}, "damaged"),
        ({"components": 77}, "does not fit"),
        ({"config": {"k": 0}}, "k must be 1 or more, got 0"),
        ({"env": {"gravity": "down"}}, "damaged"),
        ({"sha256": "0"}, "checksum"),
    ],
)
def test_a_damaged_or_newer_folder_is_one_line(change, message, fitted, tmp_path):
    embedding, _ = fitted
    embedding.save(tmp_path)
    found = checkpoint.latest(tmp_path / FOLDER)
    assert found is not None
    manifest = found / checkpoint.MANIFEST
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **change}))
    with pytest.raises(EmbrlError, match=message):
        load(tmp_path)


def test_a_loss_that_is_not_finite_stops_the_fit(agents, tmp_path):
    config = dataclasses.replace(TINY, learning_rate=1e30)
    with pytest.raises(EmbrlError, match=r"loss must be finite, .* at step"):
        fit("vae", agents, config, tmp_path / "out")


def test_a_population_that_has_grown_is_another_fit(tmp_path):
    few = population(tmp_path / "few")
    fit("vae", few, TINY, tmp_path / "out")
    more = population(tmp_path / "more", lineages=20)
    with pytest.raises(EmbrlError, match="agents differ"):
        fit("vae", more, TINY, tmp_path / "out", resume=True)
