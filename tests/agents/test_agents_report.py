"""`embrl agents walk` and `embrl agents report`, from the command line."""

import json

import numpy as np
import pytest
from PIL import Image
from skilled import population

from embrl.agents.architecture import Architecture
from embrl.agents.embeddings.embedding import AgentFitConfig
from embrl.agents.embeddings.fit import fit
from embrl.agents.evidence import pair_walks
from embrl.agents.evidence.claims import quality_claims
from embrl.agents.evidence.report import Parts, ReportConfig
from embrl.agents.evidence.report_tasks import measure_apart
from embrl.agents.groups import score_scale
from embrl.agents.population import append, create
from embrl.agents.walks import rule_of
from embrl.cli import main
from embrl.envs import ENVIRONMENTS
from embrl.executors.local import LocalExecutor

TINY = AgentFitConfig(k=2, hidden=(8,), steps=8, batch=4, states=8, keep=8, working=8, chunk=8)
FEW = ["--pairs", "6", "--walk-episodes", "2", "--agents", "4", "--episodes", "2"]
GROUPS = ["below 50", "50 to 195"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A population and two embeddings of it."""
    folder = tmp_path_factory.mktemp("agents")
    agents = population(folder / "population", 10, 3, steps=120, episodes=2)
    assert agents.table()["return_mean"].max() > 110
    for name in ("vae", "behaviour"):
        fit(name, agents, TINY, folder / name)
    return folder


def error(capsys, *arguments) -> str:
    assert main(["agents", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    return err


def test_a_walk(folder, tmp_path, capsys):
    places = [folder / "population", folder / "behaviour", 2, 4]
    arguments = ["walk", *places, "--out", tmp_path, "--episodes", 2]
    assert main(["agents", *map(str, arguments)]) == 0
    said = capsys.readouterr().out
    assert "latent space: " in said
    assert "weight space, hidden units matched: " in said
    found = json.loads((tmp_path / "walk.json").read_text())
    assert (found["a"]["agent"], found["b"]["agent"]) == (2, 4)
    assert found["margin"] == 12.0  # a tenth of the limit on steps
    assert set(found["spaces"]) == {"latent", "aligned", "stored"}
    c = found["coefficients"]
    for entry in found["spaces"].values():
        assert len(entry["mean"]) == len(entry["ci95"]) == 13
        low, high = np.array(entry["ci95"]).T
        assert ((low <= entry["mean"]) & (entry["mean"] <= high)).all()
        assert entry["mean"][c.index(entry["best_coefficient"])] == max(entry["mean"])
        assert not 0 <= entry["best_outside"] <= 1
    # The agents themselves are the ends of both weight lines.
    aligned, stored = (
        [found["spaces"][space]["mean"][c.index(end)] for end in (0, 1)]
        for space in ("aligned", "stored")
    )
    np.testing.assert_allclose(aligned, stored, atol=2)
    assert len(found["shown"]) == 4
    for name in ("walk.png", "walk.gif"):
        with Image.open(tmp_path / name) as image:
            assert image.width > 500


@pytest.mark.slow
def test_a_report_and_the_same_again(folder, tmp_path, capsys, monkeypatch):
    arguments = ["report", folder / "population", folder / "behaviour", folder / "vae", *FEW]
    arguments = ["agents", *map(str, arguments), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "hold" in said
    out = tmp_path / "out"
    page, summary = (out / "README.md").read_text(), json.loads((out / "summary.json").read_text())
    command = "embrl agents report population behaviour vae --out out --pairs 6 --walk-episodes 2"
    assert command in page
    assert str(tmp_path) not in page
    spaces = summary["walks"]["all"]["spaces"]
    assert set(spaces) == {"behaviour", "vae", "aligned", "stored"}
    for entry in spaces.values():
        assert sum(entry["patterns"]["all"].values()) == entry["pairs"] == 6
        assert sum(entry["best_coefficient"].values()) == 6
        parts = [
            sum(counts.values()) for kind, counts in entry["patterns"].items() if kind != "all"
        ]
        assert sum(parts) == 6
    assert set(summary["quality"]["vae"]["groups"]) <= set(GROUPS)
    assert list(summary["latent_search"]) == ["behaviour", "vae"]  # both are of all groups
    for told in summary["latent_search"].values():
        assert 1 <= told["found"] <= 120
        assert all(entry["agents"] <= 4 for entry in told["groups"].values())
    assert "## Latent search" in page
    rows = summary["similarity"]["rows"]
    assert [row["on"] for row in rows] == ["all groups"] * 2 + ["their own group"] * 2
    assert "The paper's finding" in page
    shown = [picture["file"] for picture in summary["pictures"]]
    assert {"survival-vae.png", "map-behaviour.png", "novelty-1.png", "patterns-all.png"} <= set(
        shown
    )
    shown += [file for told in summary["examples"].values() for file in told["files"]]
    assert all((out / file).stat().st_size > 1000 for file in shown)
    assert all(f"({file})" in page for file in shown if not file.endswith(".json"))

    def never(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(pair_walks, "played", never)
    (out / "summary.json").unlink()
    assert main(arguments) == 0
    again = json.loads((out / "summary.json").read_text())
    assert again["walks"] == summary["walks"]
    assert again["latent_search"] == summary["latent_search"]
    # What tasks measure are the parts of the report, each from the same inputs.
    parts = {path.name: path.read_bytes() for path in (out / "parts").glob("*.json")}
    for part in ("novelty-vae", "latent-search-behaviour"):
        (out / "parts" / f"{part}.json").unlink()
    few = ReportConfig(pairs=6, walk_episodes=2, agents=4, episodes=2)
    places = {name: folder / name for name in ("behaviour", "vae")}
    measure_apart(LocalExecutor(0, None), folder / "population", places, out, few)
    assert parts == {path.name: path.read_bytes() for path in (out / "parts").glob("*.json")}
    # Other settings are other walks.
    with pytest.raises(AssertionError, match="measured again"):
        main([*arguments, "--walk-episodes", "4"])


def test_errors(folder, tmp_path, capsys, monkeypatch):
    places, out = [folder / "population", folder / "vae"], ["--out", tmp_path / "out"]
    assert "must be 0 to 29, got 30" in error(capsys, "walk", *places, 0, 30, *out)
    assert "different ones, got 3 twice" in error(capsys, "walk", *places, 3, 3, *out)
    assert "is not a population" in error(capsys, "walk", tmp_path, places[1], 0, 1, *out)
    assert "not a finished embedding" in error(capsys, "walk", places[0], tmp_path, 0, 1, *out)
    assert "margin must be above 0, got -1" in error(
        capsys, "walk", *places, 0, 1, *out, "--margin", -1
    )
    assert "episodes must be 2 or more, got 1" in error(
        capsys, "walk", *places, 0, 1, *out, "--episodes", 1
    )
    assert "POPULATION must be" in error(capsys, "walk")
    assert "POPULATION must be" in error(capsys, "report")
    assert "even number" in error(capsys, "report", *places, *out, "--walk-episodes", 3)
    assert "different names, got vae twice" in error(capsys, "report", *places, places[1], *out)
    other = population(tmp_path / "other", 2, 1, steps=9, architecture=Architecture(4, (3, 3), 2))
    for command in (["walk", other.path, places[1], 0, 1], ["report", other.path, places[1]]):
        assert (
            "must be 20 or more" in (said := error(capsys, *command, *out))
            or "4-3-3-2 tanh" in said
        )

    def missing(module, extra):
        from embrl.core.errors import EmbrlError

        raise EmbrlError(f"this needs {module}: pip install 'embrl[{extra}]'")

    for name in ("walk", "report"):
        monkeypatch.setattr("embrl.agents.cli.evidence.require", missing)
        numbers = [0, 1] if name == "walk" else []
        assert "pip install 'embrl[plot]'" in error(capsys, name, *places, *numbers, *out)
    assert not (tmp_path / "out").exists()


def test_an_embedding_of_more_numbers_than_there_are_agents(folder, tmp_path, capsys):
    few = population(tmp_path / "few", 1, 1, steps=120, episodes=1)
    said = error(capsys, "walk", few.path, folder / "vae", 0, 0, "--out", tmp_path / "out")
    assert "must be k = 2 or more" in said
    assert "got 1;" in said


def test_what_agents_are_worth(folder, tmp_path):
    """A tenth of the range of returns, unless it is said."""
    config = ENVIRONMENTS["mountain_car"]()
    architecture = Architecture(2, (3,), 3)
    found = create(tmp_path / "cars", architecture, "mountain_car", config, 1)
    table = {name: np.zeros(2, np.int64) for name in ("lineage", "step", "seed")}
    table |= {name: np.array([-200.0, -80.0]) for name in ("return_mean", "return_std")}
    table["survival_mean"] = np.array([200.0, 80.0])
    append(found.path, np.zeros((2, architecture.size)), table)
    found = type(found)(found.path)
    assert score_scale(found).limit is None
    assert rule_of(found, None).margin == pytest.approx(12.0)
    assert rule_of(found, 3.0).margin == 3.0


def test_parts_are_kept_until_what_they_are_made_of_changes(tmp_path):
    parts, made = Parts(tmp_path), []

    def make():
        made.append(1)
        return {"number": len(made)}

    assert parts.get("a/b", {"x": 1}, make) == {"number": 1}
    assert Parts(tmp_path).get("a/b", {"x": 1}, make) == {"number": 1}
    assert parts.get("a/b", {"x": 2}, make) == {"number": 2}
    path = tmp_path / "parts" / "a" / "b.json"
    path.write_text(path.read_text()[:20])
    assert parts.get("a/b", {"x": 2}, make) == {"number": 3}


def test_bars_are_reached_by_whole_intervals():
    from embrl.agents.groups import Groups

    def quality(kept_low, new_low):
        kept = {"mean": 0.995, "low": kept_low, "high": 1.0}
        new = {"mean": 490.0, "low": new_low, "high": 500.0}
        entry = {
            "held_out": {"kept": kept},
            "training": {"original": {"mean": 500.0}},
            "generated": {"survival": new},
        }
        return {"mine": {"k": 16, "groups": {"475 and more": entry}}}

    assert [claim["holds"] for claim in quality_claims(quality(0.981, 476.0), Groups())] == [
        True,
        True,
    ]
    found = quality_claims(quality(0.979, 474.0), Groups())
    assert [claim["holds"] for claim in found] == [False, False]
    assert found[0]["difference"] == pytest.approx(0.015)
    assert found[1]["ci95"] == pytest.approx([474 / 500 - 0.95, 0.05])
