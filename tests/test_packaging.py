"""What the wheel and the sdist hold, and that they work where nothing else is installed."""

import email
import email.message
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import embrl

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
QUICK_START = """
import os
import pickle

import embrl

run = embrl.train("gridworld", actuators=5, total_timesteps=45_000, seeds=1, out="runs/first")
assert -5 < run.summary["final_return_mean"] < 1
assert 0 <= embrl.load("runs/first").policy(seed=0).act(63) < 32
embedding = embrl.fit("CartPole-v1", timesteps=2_000, pretrain={"gradient_steps": 20})
embedding.save("embeddings/first")
env = embrl.wrap("CartPole-v1", embrl.load("embeddings/first"))
env.reset(seed=0)
assert pickle.loads(pickle.dumps(env)).step(env.action_space.sample())[0].shape == (embedding.m,)
exported = embrl.load_policy(embrl.export("runs/first", onnx=False))
assert 0 <= exported.act(63) < 32
print(embrl.__file__)
"""
SMALL = (
    *("train", "gridworld", "--env.actuators", "3", "--seeds", "2", "--total-timesteps", "4000"),
    *("--pretrain.timesteps", "2000", "--pretrain.gradient-steps", "50", "--policy.hidden", "8"),
)
LACKING = {
    "plot runs/one": "plot",
    "sweep gridworld --over ppo.actor_lr 1e-3 1e-2 --total-timesteps 4000": "plot",
    "reproduce fig3a": "plot",
    "agents walk p e 0 1 --out w": "plot",
    "export runs/one": "export",
    "predict runs/one/policy-0 o.parquet": "data",
    "fit log.parquet": "data",
    "train recommender --env.data log.csv": "data",
    "fit minari:mine": "minari",
    "train HalfCheetah-v5": "gymnasium",
    "train CartPole-v1 --env.vector envpool": "envpool",
    "train ALE/Pong-v5 --env.vector ale": "atari",
    "train gridworld --log tensorboard": "tensorboard",
}
"""Commands that need an extra, and its name."""


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """Return a folder with the sdist, and with the wheel that was built from it."""
    pytest.importorskip("build", reason="pip install 'embrl[dev]'")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def wheel(dist) -> Path:
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def metadata(wheel) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = ROOT / "src/embrl"
    files = {
        f"embrl/{path.relative_to(package).as_posix()}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == files
    assert "embrl/py.typed" in names


def test_the_sdist_holds_the_library_alone(dist):
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    tops = {name.partition("/")[0] for name in inside}
    assert {"src", "pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "PKG-INFO"} <= tops
    assert not {"tests", "results", "shared", "runs", "docs", "benchmarks"} & tops


def test_the_metadata_says_what_a_user_needs(metadata):
    assert metadata["Name"] == "embrl"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload() == (ROOT / "README.md").read_text()
    assert set(metadata.get_all("Requires-Python", [])) == {"<3.14,>=3.11"}
    classifiers = metadata.get_all("Classifier", [])
    for minor in (11, 12, 13):
        assert f"Programming Language :: Python :: 3.{minor}" in classifiers
    assert "Typing :: Typed" in classifiers
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert len(required) == len(PROJECT["dependencies"])


def test_the_project_names_no_address_that_does_not_exist(metadata):
    """There is no public repository yet: an address would lead nowhere."""
    assert metadata["Project-URL"] is None
    assert metadata["Home-page"] is None


def test_the_version_stands_in_one_place(wheel, metadata):
    version = PROJECT["version"]
    assert embrl.__version__ == version
    assert metadata["Version"] == version
    assert wheel.name == f"embrl-{version}-py3-none-any.whl"
    citation = (ROOT / "CITATION.cff").read_text()
    assert not re.search(r"^version:", citation, re.MULTILINE)


@pytest.mark.slow
def test_the_wheel_runs_where_nothing_else_is_installed(wheel, tmp_path):
    """With its declared dependencies alone, in an empty folder: minutes (make lean)."""
    venv.create(tmp_path / "venv", with_pip=True)
    bins = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    empty = tmp_path / "empty"
    empty.mkdir()

    cache = tmp_path / "cache"
    environ = {
        **os.environ,
        "XDG_CACHE_HOME": str(cache),
        # All programs are kept: which ones take longer than a limit depends on the machine's load.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }

    def run(*command: str | Path, code: int = 0) -> tuple[str, str]:
        done = subprocess.run(command, cwd=empty, env=environ, capture_output=True, text=True)
        assert done.returncode == code, done.stderr[-2000:]
        return done.stdout, done.stderr

    constraints = ROOT / "constraints.txt"
    run(bins / "python", "-m", "pip", "install", "--no-compile", "-c", constraints, wheel)
    assert "embrl train" in run(bins / "embrl", "--help")[0]
    assert PROJECT["version"] in run(bins / "embrl", "--version")[0]
    used, said = run(bins / "python", "-I", "-c", QUICK_START)
    assert Path(used.splitlines()[-1]).is_relative_to(tmp_path / "venv")
    assert said == ""
    # What the first run compiled, the second one loads.
    assert run(bins / "embrl", *SMALL, "--out", "runs/one")[1] == ""
    compiled = {path.name for path in cache.rglob("*-cache")}
    assert compiled
    assert run(bins / "embrl", *SMALL, "--out", "runs/two")[1] == ""
    assert {path.name for path in cache.rglob("*-cache")} == compiled
    run(bins / "embrl", "export", "runs/one", "--no-onnx")
    for name in ("log.csv", "log.parquet", "o.parquet"):
        (empty / name).touch()
    for command, extra in LACKING.items():
        said = run(bins / "embrl", *command.split(), code=2)[1]
        assert said.count("\n") == 1, said
        assert f"pip install 'embrl[{extra}]'" in said, (command, said)
