import pytest

from embrl.agents.population import Population
from embrl.cli import main
from embrl.storage import files

FLAGS = "--k 2 --hidden 8 --steps 8 --batch 4 --states 8 --keep 8 --working 8 --chunk 4"
SHORT = "--episodes 2 --most 4"


def run(capsys, *arguments):
    code = main(["agents", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_fit_then_generate(agents, tmp_path, capsys):
    out = tmp_path / "embedding"
    given = ("fit", agents.path, "--kind", "vae", *FLAGS.split(), *SHORT.split(), "--out", out)
    code, said, _ = run(capsys, *given)
    assert code == 0
    assert "475 and more" in said
    assert files.read_json(out / "summary.json")["kind"] == "vae"
    # Its settings are the folder's.
    again = ("fit", agents.path, *SHORT.split(), "--out", out, "--resume")
    assert run(capsys, *again)[0] == 0
    code, _, error = run(capsys, *given)
    assert (code, error.count("\n")) == (2, 1)
    assert "--resume to continue" in error
    new = tmp_path / "new"
    code, said, _ = run(capsys, "generate", out, "--n", 3, "--episodes", 2, "--out", new)
    assert code == 0
    assert "3 new agents 4-4-2 tanh" in said
    assert Population(new).count == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit"], "POPULATION must be"),
        (["fit", "nowhere", "--out", "x"], "is not a population"),
        (["fit", "POP", "--out", "x", "--k", "0"], "k must be 1 or more, got 0"),
        (["fit", "POP", "--out", "x", "--k", "1000"], "k must be at most"),
        (["fit", "POP", "--out", "x", "--kind", "vea"], "did you mean vae"),
        (["generate"], "EMBEDDING must be"),
        (["generate", "nowhere", "--out", "x"], "not a finished embedding"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message, agents, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = str(agents.path)
    code, _, error = run(capsys, *(path if one == "POP" else one for one in arguments))
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
