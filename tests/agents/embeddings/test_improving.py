"""`embrl agents improve`: what is written, and what is refused."""

import dataclasses

import jax
import numpy as np
import pytest
from small_agents import SMALL, pushers

import embrl
from embrl.agents.embeddings.embedding import AgentEmbedding
from embrl.agents.embeddings.fit import select_agents
from embrl.agents.episodes import survival
from embrl.agents.evidence import claims as evidence_claims
from embrl.agents.generate import (
    RECORD,
    ImprovedAgents,
    sample_held_out,
    summarize_by_group,
    supports_search,
)
from embrl.agents.groups import Groups
from embrl.agents.population import Population
from embrl.cli import main
from embrl.storage import files
from embrl.training.evaluation import Episodes

SHORT = ["--episodes", "2"]


@pytest.fixture
def improve(agents, fitted, capsys):
    """The command, on the population and the embedding of all tests here."""

    def run(*arguments):
        code = main(["agents", "improve", str(agents.path), str(fitted[1]), *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.mark.slow
def test_improved_agents_are_a_population_of_the_same_lineages(improve, agents, fitted, tmp_path):
    embedding, _ = fitted
    numbers = [17, 3, 8]
    code, said, _ = improve(*numbers, *SHORT, "--seed", 4, "--out", tmp_path / "better")
    assert code == 0
    assert "survival (steps)" in said
    made, record = Population(tmp_path / "better"), files.read_json(tmp_path / "better" / RECORD)
    assert record["agents"] == numbers
    before, after = agents.table(), made.table()
    for name in ("lineage", "step", "seed"):
        np.testing.assert_array_equal(after[name], before[name][numbers])
    # The same episodes for agents as they were and as they became.
    key = jax.random.split(jax.random.key(4))[1]
    env = embedding.env.build()
    played = survival(env, SMALL, made.weights(), key, 2)
    np.testing.assert_allclose(after["survival_mean"], np.asarray(played.lengths).mean(1))
    played = survival(env, SMALL, agents.rows(np.array(numbers)), key, 2)
    np.testing.assert_allclose(record["before"], np.asarray(played.returns).mean(1))
    gains = [told["gain"]["mean"] * told["agents"] for told in record["groups"].values()]
    np.testing.assert_allclose(
        sum(gains), (after["return_mean"] - np.array(record["before"])).sum(), rtol=1e-5, atol=1e-5
    )
    # From Python, and from folders or what they hold: the same.
    again = embrl.improve_agents(
        agents, embedding, numbers, out=tmp_path / "again", episodes=2, seed=4
    )
    np.testing.assert_array_equal(again.weights(), made.weights())


def test_where_none_are_named_held_out_agents_of_each_group_are(agents, fitted):
    embedding, groups = fitted[0], Groups()
    rows = select_agents(agents, embedding.config, groups).held_out
    found = sample_held_out(embedding, agents, groups, 1, seed=0)
    group = groups.of(agents.table()["return_mean"])
    assert set(found) <= set(rows)
    assert sorted(group[found]) == sorted(set(group[rows]))
    everybody = sample_held_out(embedding, agents, groups, 100, seed=0)
    np.testing.assert_array_equal(everybody, np.sort(rows))


def test_groups_are_of_the_agents_as_they_were(agents):
    returns = agents.table()["return_mean"]
    low, high = np.flatnonzero(returns < 50), np.flatnonzero(returns >= 475)
    rows = np.array([*low[:2], high[0]])
    found = ImprovedAgents(
        rows,
        before=np.array([10.0, 20.0, 500.0]),
        decoded=np.array([9.0, 21.0, 490.0]),
        after=np.array([40.0, 20.0, 480.0]),
        expected=np.zeros(3),
        w=pushers(2)[:3],
        played=Episodes(np.zeros((3, 2)), np.zeros((3, 2))),  # type: ignore[arg-type]
    )
    told = summarize_by_group(found, agents, Groups())
    assert list(told) == ["below 50", "475 and more"]
    worst, best = told.values()
    assert [worst[side]["mean"] for side in ("before", "decoded", "after", "gain")] == [
        15.0, 15.0, 30.0, 15.0,
    ]  # fmt: skip
    assert (worst["better"]["mean"], worst["worse"]["mean"]) == (0.5, 0.0)
    assert (best["better"]["mean"], best["worse"]["mean"]) == (0.0, 1.0)
    assert best["gain"]["low"] is None  # one lineage
    claims = evidence_claims.latent_search_claims({"mine": {"groups": told}}, Groups())
    assert [claim["claim"] for claim in claims] == [
        "held-out agents of below 50 score higher after the latent search"
    ]


def test_an_embedding_of_one_group_is_blind(fitted, agents, tmp_path):
    embedding, _ = fitted
    config = dataclasses.replace(embedding.config, group="best")
    blind: AgentEmbedding = dataclasses.replace(embedding, config=config)
    assert not supports_search(blind)
    with pytest.raises(embrl.EmbrlError, match=r"must be all, got 'best'.*--group all"):
        embrl.improve_agents(agents, blind, out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["24"], "agents must be 0 to 23"),
        (["--radius", "0"], "radius must be above 0, got 0"),
        (["--radius", "nan"], "radius must be above 0, got nan"),
        (["--episodes", "0"], "episodes must be 1 or more, got 0"),
        (["--each", "0"], "each must be 1 or more, got 0"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(improve, tmp_path, arguments, message):
    code, said, error = improve(*arguments, "--out", tmp_path / "x")
    assert (code, said, error.count("\n")) == (2, "", 1)
    assert message in error
    assert not (tmp_path / "x").exists()


def test_a_folder_that_is_taken_is_left_alone(improve, agents, capsys):
    code, _, error = improve("0", *SHORT, "--out", agents.path)
    assert code == 2
    assert "already holds a population" in error
    assert main(["agents", "improve"]) == 2
    assert "POPULATION must be" in capsys.readouterr().err
