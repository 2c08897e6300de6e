"""`embrl export` and `embrl predict`: files in, files out, and nothing by halves."""

import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

import embrl
from embrl.cli import main
from embrl.core.errors import EmbrlError
from embrl.deploy import files as observation_files
from embrl.deploy.array_forms import Forms
from embrl.deploy.exported import ExportedPolicy
from embrl.portable import Chain
from embrl.portable.steps import Affine, Gaussian, Nearest, PortablePolicy

pytestmark = pytest.mark.usefixtures("quick")

KINDS = ("npy", "npz", "csv", "jsonl", "parquet")
ABOUT = {"run": "run", "seed": 0, "environment": "mine", "versions": {}}
TABLE = np.arange(4, dtype=np.float32)[:, None]


def f32(values: Any) -> np.ndarray:
    return np.array(values, np.float32)


def box(low: float, high: float, *shape: int) -> spaces.Box:
    return spaces.Box(low, high, shape, np.float32)


@pytest.fixture
def summing(tmp_path: Path) -> Path:
    """Chooses the whole number from 0 to 3 that is nearest to the sum of two."""
    forms = Forms.of(box(-9, 9, 2), spaces.Discrete(4))
    sum_ = Affine(np.ones((2, 1), np.float32), np.zeros(1, np.float32))
    f = Chain((Nearest.of(TABLE),))
    draw = Gaussian(np.ones(1, np.float32), bounded=False)
    policy = PortablePolicy(Chain(()), Chain((sum_,)), Chain(()), draw, f, None, None, forms.leave)
    ExportedPolicy(policy, forms.observation, forms.action, ABOUT).write(tmp_path / "summing")
    return tmp_path / "summing"


@pytest.fixture
def twofold(tmp_path: Path) -> Path:
    """Of vectors of two, the same vector twice over, as two rows."""
    forms = Forms.of(box(-9, 9, 2), box(-9, 9, 4), None, box(-9, 9, 2, 2))
    none = Chain(())
    twice = Affine(f32([[1, 0, 1, 0], [0, 1, 0, 1]]), np.zeros(4, np.float32))
    draw = Gaussian(np.ones(4, np.float32), bounded=False)
    policy = PortablePolicy(Chain((twice,)), none, none, draw, none, None, None, forms.leave)
    ExportedPolicy(policy, forms.observation, forms.action, ABOUT).write(tmp_path / "twofold")
    return tmp_path / "twofold"


def write(path: Path, rows: np.ndarray) -> Path:
    match path.suffix:
        case ".npy":
            np.save(path, rows)
        case ".npz":
            np.savez_compressed(path, observations=rows, other=np.zeros(3))
        case ".csv":
            path.write_text("a,b\n" + "".join(f"{a!r},{b!r}\n" for a, b in rows.tolist()))
        case ".jsonl":
            path.write_text("\n".join(json.dumps(row) for row in rows.tolist()) + "\n")
        case ".parquet":
            polars = pytest.importorskip("polars", reason="pip install 'embrl[data]'")
            polars.DataFrame({"a": rows[:, 0], "b": rows[:, 1]}).write_parquet(path)
    return path


def read(path: Path) -> np.ndarray:
    match path.suffix:
        case ".npy":
            return np.load(path)
        case ".npz":
            return np.load(path)["actions"]
        case ".csv":
            return np.loadtxt(path, delimiter=",", skiprows=1)
        case ".jsonl":
            return np.array([json.loads(line) for line in path.read_text().splitlines()])
        case _:
            polars = pytest.importorskip("polars", reason="pip install 'embrl[data]'")
            return polars.read_parquet(path).to_numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_in_several_parts(
    kind: str, summing: Path, twofold: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(observation_files, "ROWS", 7)
    rows = np.random.default_rng(0).uniform(-2, 4, (20, 2)).astype(np.float32)
    source, out = write(tmp_path / f"o.{kind}", rows), tmp_path / f"a.{kind}"
    nearest = np.clip(np.rint(rows.sum(-1)), 0, 3)
    assert main(["predict", str(summing), str(source), "--out", str(out)]) == 0
    np.testing.assert_array_equal(read(out).ravel(), nearest)
    assert main(["predict", str(twofold), str(source), "--out", str(out)]) == 0
    np.testing.assert_allclose(read(out).reshape(20, 4), np.tile(rows, 2), rtol=1e-6)
    assert capsys.readouterr().out.splitlines() == [f"{out} (20 actions)"] * 2
    assert main(["predict", str(summing), str(source)]) == 0
    assert [int(line) for line in capsys.readouterr().out.split()] == nearest.tolist()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_npy_files_are_numpys(twofold: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "o.npy", np.ones((3, 2)))
    for kind in ("npy", "npz"):
        assert (
            main(["predict", str(twofold), str(source), "--out", str(tmp_path / f"a.{kind}")]) == 0
        )
        assert read(tmp_path / f"a.{kind}").shape == (3, 2, 2)
        assert read(tmp_path / f"a.{kind}").dtype == np.float32


def test_recorded_transitions_have_observations(summing: Path, tmp_path: Path, capsys) -> None:
    np.savez(tmp_path / "log.npz", action=np.zeros(3), observation=np.ones((3, 2)))
    assert main(["predict", str(summing), str(tmp_path / "log.npz")]) == 0
    assert len(capsys.readouterr().out.split()) == 3


def test_lists_in_parquet(summing: Path, tmp_path: Path, capsys) -> None:
    polars = pytest.importorskip("polars", reason="pip install 'embrl[data]'")
    path = tmp_path / "o.parquet"
    polars.DataFrame({"observation": [[0.0, 1.0], [1.0, 1.5]]}).write_parquet(path)
    assert main(["predict", str(summing), str(path)]) == 0
    assert capsys.readouterr().out == "1\n2\n"
    polars.DataFrame({"observation": [[0.0, 1.0], [1.0]]}).write_parquet(path)
    assert main(["predict", str(summing), str(path)]) == 2
    assert "row 1 must have shape [2], got [1]" in capsys.readouterr().err


def test_a_draw_is_the_same_however_rows_come(
    summing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    rows = np.random.default_rng(0).uniform(-2, 4, (20, 2))
    source = write(tmp_path / "o.npy", rows)
    said = set()
    for count in (1, 7, 100):
        monkeypatch.setattr(observation_files, "ROWS", count)
        assert main(["predict", str(summing), str(source), "--draw", "5"]) == 0
        said.add(capsys.readouterr().out)
    assert len(said) == 1
    assert main(["predict", str(summing), str(source), "--draw", "6"]) == 0
    assert capsys.readouterr().out not in said


def test_standard_input_is_answered_line_by_line(
    summing: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("[0, 1]\n\n[2, 0.9]\n[NaN, 0]\n"))
    assert main(["predict", str(summing), "-"]) == 2
    out, err = capsys.readouterr()
    assert out == "1\n3\n"
    assert err.startswith("embrl: standard input: row 2 must be -9.0 to 9.0 at [0], got nan")
    assert err.count("\n") == 1


BAD: dict[str, tuple[str, str]] = {
    "nan.csv": ("a,b\n1,2\n3,nan\n", "row 1 must be -9.0 to 9.0 at [1], got nan"),
    "long.csv": ("1,2\n3,1,2\n", "row 1 must have shape [2], got [3]"),
    "word.csv": ("a,b\n1,2\n\n3,x\n", "row 1 (line 4), column 1 must be a number, got 'x'"),
    "odd first.csv": ("1,x\n1,2\n", "row 0 (line 1), column 1 must be a number, got 'x'"),
    "odd mark.csv": ("\ufeff1,2O\n1,2\n", "row 0 (line 1), column 1 must be a number, got '2O'"),
    "digits.csv": ("1,2\n1_0,2\n", "row 1 (line 2), column 0 must be a number, got '1_0'"),
    "missing.csv": ("NA,null\n1,2\n", "row 0 (line 1), column 0 must be a number, got 'NA'"),
    "gap.csv": ("1,\n1,2\n", "row 0 (line 1), column 1 must be a number, got nothing"),
    "comma.csv": ("1,5;2,5\n", "got '1,5'; write decimals with a point"),
    "other separator.csv": ("a^b\n1^2\n", "must name 2 columns, got 1"),
    "no separator.csv": ("1^2\n", "row 0 (line 1), column 0 must be a number, got '1^2'"),
    "wide header.csv": ("a,b,c\n1,2\n", "line 1, the header, must name 2 columns, got 3"),
    "index.csv": (",a,b\n0,1,2\n", "row 0 (line 1), column 0 must be a number, got nothing"),
    "only header.csv": ("a,b\n", "at least one row of 2 numbers, got none"),
    "empty.csv": ("", "at least one row of 2 numbers, got none"),
    "empty.jsonl": ("\n", "at least one observation, got none"),
    "numbered.csv": ("0,1\n0.5,1.5\n", "a header or a row; say which with --header yes"),
    "broken.jsonl": ("[1, 2]\n[3,\n", "row 1 must be JSON"),
    "ragged.jsonl": ("[1, 2]\n[[1], [2, 3]]\n", "row 1 must be an array"),
    "null.jsonl": ("[1, 2]\n[null, 2]\n", "row 1 must be numbers, got object"),
    "broken.npy": ("x", "is damaged"),
    "broken.npz": ("x", "is damaged"),
    "broken.parquet": ("x", "damaged"),
    "other.txt": ("x", "unknown kind of file '.txt'"),
}


GOOD = {
    "byte-order mark": "\ufeff0.7,1\n2,0.9\n",
    "mark and header": "\ufeffa,b\r\n0.7,1\r\n\r\n2,0.9\r\n",
    "quoted": '"first one","b"\n"0.7","1"\n"2","0.9"\n',
    "semicolons": "a;b\n0.7;1\n2;0.9\n",
    "tabs": "0.7\t1\n2\t0.9\n",
    "pipes and spaces": "a | b\n 0.7 | 1\n  \n2| 0.9 \n",
    "spaces": "0.7   1\n2 0.9",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_table_is_read_however_it_is_written(name: str, summing: Path, tmp_path, capsys) -> None:
    (tmp_path / "o.CSV").write_bytes(GOOD[name].encode())
    assert main(["predict", str(summing), str(tmp_path / "o.CSV")]) == 0
    assert capsys.readouterr().out == "2\n3\n"


def test_a_first_line_is_what_a_flag_says(summing: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "o.csv").write_text("0,1\n0.5,1.5\n")
    for flag, lines in (("yes", "2\n"), ("no", "1\n2\n")):
        assert main(["predict", str(summing), str(tmp_path / "o.csv"), "--header", flag]) == 0
        assert capsys.readouterr().out == lines


def test_a_number_outside_its_bounds_is_taken_with_a_warning_or_refused(
    summing: Path, tmp_path: Path, capsys
) -> None:
    (tmp_path / "o.csv").write_text("1,2\n3,10\n4,11\n")
    assert main(["predict", str(summing), str(tmp_path / "o.csv")]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert err.startswith("embrl: warning: row 1: 10 in coordinate 1 is outside -9 to 9")
    assert err.count("\n") == 1
    assert main(["predict", str(summing), str(tmp_path / "o.csv"), "--strict"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "row 1 must be -9.0 to 9.0 at [1], got 10.0" in err


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_actions_stand_beside_them(kind, summing: Path, tmp_path: Path, capsys) -> None:
    policy = ExportedPolicy.read(summing)
    names = ("tea", "pot, large", "caf\xe9", "jam")
    named = dataclasses.replace(policy.action, names=names)
    dataclasses.replace(policy, action=named).write(tmp_path / "named")
    read_again = ExportedPolicy.read(tmp_path / "named")
    assert read_again.action_names == names
    assert read_again.action_name(read_again.act([[0, 1], [3, 0]])).tolist() == [names[1], "jam"]
    with pytest.raises(EmbrlError, match=r"action must be an index from 0 to 3, got 4"):
        read_again.action_name(4)
    with pytest.raises(EmbrlError, match="have no names"):
        policy.action_name(1)
    source, out = write(tmp_path / "o.npy", f32([[0, 1], [1, 1]])), tmp_path / f"a.{kind}"
    arguments = ["predict", str(tmp_path / "named"), str(source)]
    assert main([*arguments, "--out", str(out)]) == 0
    match kind:
        case "npy":
            assert np.load(out).tolist() == [1, 2]
        case "npz":
            assert np.load(out)["names"].tolist() == list(names[1:3])
        case "csv":
            assert out.read_text("utf-8") == 'action,name\n1,"pot, large"\n2,caf\xe9\n'
        case "jsonl":
            lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
            assert lines == [{"action": 1, "name": names[1]}, {"action": 2, "name": "caf\xe9"}]
            capsys.readouterr()
            assert main(arguments) == 0
            assert capsys.readouterr().out == out.read_text("utf-8")
        case _:
            polars = pytest.importorskip("polars", reason="pip install 'embrl[data]'")
            assert polars.read_parquet(out)["name"].to_list() == list(names[1:3])


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("out", [True, False])
def test_a_bad_row_is_named_and_nothing_is_written(
    name: str, out: bool, summing: Path, tmp_path: Path, capsys
) -> None:
    (tmp_path / name).write_text(BAD[name][0])
    actions = ["--out", str(tmp_path / "actions.csv")] if out else []
    assert main(["predict", str(summing), str(tmp_path / name), *actions]) == 2
    said, err = capsys.readouterr()
    assert said == ""
    assert BAD[name][1] in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "summing"])


def test_what_is_missing_is_named(summing: Path, tmp_path: Path, capsys) -> None:
    source = write(tmp_path / "o.npy", np.ones((3, 2)))
    cases = {
        (str(tmp_path), str(source)): "must be an exported policy or a run folder",
        (str(summing), str(tmp_path / "none.npy")): "none.npy, which does not exist",
        (
            str(summing),
            str(source),
            "--out",
            str(tmp_path / "a" / "b.npy"),
        ): "must be in an existing folder",
        (str(summing), str(source), "--out", str(tmp_path / "b.txt")): "choose from",
        (str(summing), str(source), "--out", str(source)): "out must be another file",
    }
    for arguments, said in cases.items():
        assert main(["predict", *arguments]) == 2
        assert said in capsys.readouterr().err


def test_an_exported_policy_needs_no_jax(summing: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "o.npy", np.ones((3, 2)))
    code = (
        "import sys; from embrl.cli import main; code = main(sys.argv[1:]);"
        "assert 'jax' not in sys.modules and 'onnx' not in sys.modules; sys.exit(code)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, "predict", str(summing), str(source)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "2\n2\n2\n"


def test_from_a_run_to_its_export(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    run = embrl.train(
        "FrozenLake-v1",
        out=tmp_path / "run",
        total_timesteps=500,
        seeds=2,
        method="none",
        rollout={"steps_per_update": 100, "num_envs": 4, "buffer_size": 1_000},
        evaluation={"every": 200, "episodes": 4, "final_episodes": 4},
    )
    truth = run.policy(seed=1).act(np.arange(16), deterministic=True)
    source = tmp_path / "o.npy"
    np.save(source, np.arange(16))
    assert main(["export", str(run.folder.path), "--seed", "1", "--no-onnx"]) == 0
    assert "from 0 to 15, int64" in capsys.readouterr().out
    for policy in (["run/policy-1"], ["run", "--seed", "1"]):
        assert main(["predict", str(tmp_path / policy[0]), str(source), *policy[1:]]) == 0
        assert [int(line) for line in capsys.readouterr().out.split()] == truth.tolist()
    policy: Any = embrl.load_policy(tmp_path / "run" / "policy-1")
    assert policy.about["environment"] == "FrozenLake-v1"
    np.testing.assert_array_equal(policy.act(np.arange(16)), truth)

    assert main(["export", str(run.folder.path), "--seed", "2"]) == 2
    assert "must be in 0 to 1, got 2" in capsys.readouterr().err
    assert main(["export", str(run.folder.path), "--out", str(tmp_path)]) == 2
    assert "must be a new folder or an earlier export" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", str(run.folder.path)]) == 2
    assert "onnx is not installed; pip install 'embrl[export]'" in capsys.readouterr().err
    assert not (tmp_path / "run" / "policy-0").exists()


def test_a_mask_for_each_observation(
    summing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(observation_files, "ROWS", 7)
    rng = np.random.default_rng(1)
    rows, masks = rng.uniform(-2, 4, (20, 2)).astype(np.float32), rng.random((20, 4)) < 0.5
    masks[:, 3] |= ~masks.any(-1)
    source, given = write(tmp_path / "o.npy", rows), tmp_path / "masks.npy"
    np.save(given, masks)
    out = tmp_path / "a.npy"
    command = ["predict", str(summing), str(source), "--out", str(out), "--masks", str(given)]
    assert main(command) == 0
    apart = np.where(masks, np.abs(rows.sum(-1, keepdims=True) - np.arange(4)), np.inf)
    np.testing.assert_array_equal(np.load(out), apart.argmin(-1))
    out.unlink()
    for wrong, said in (
        (masks[:19], "masks must be a row for each observation, got 19 rows, fewer"),
        (np.concatenate([masks, masks]), "got 40 rows, more"),
        (masks[:, :3], "mask"),
        (masks & False, "mask allows no action"),
        (np.array(1), "single value"),
    ):
        np.save(given, wrong)
        capsys.readouterr()
        assert main(command) == 2
        assert said in capsys.readouterr().err
    given.write_bytes(b"other")
    assert main(command) == 2
    assert main([*command[:-1], str(tmp_path / "none.npy")]) == 2
    assert not out.exists()
