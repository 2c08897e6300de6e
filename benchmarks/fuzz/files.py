"""Damaged files of runs, embeddings, exports, populations and sweeps, read as embrl reads them."""

import contextlib
import hashlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import embrl
from benchmarks.fuzz.damage import damage
from benchmarks.fuzz.tally import Tally
from embrl.agents.architecture import Architecture
from embrl.agents.population import COLUMNS, Population, append, create
from embrl.config.run import load_config
from embrl.envs import ENVIRONMENTS
from embrl.storage import checkpoint
from embrl.storage.run_folder import RunFolder
from embrl.sweep import runs as sweeps
from embrl.training.restore import open_folder, restore_policy

DEEP = 0.05
"""Fraction of damaged runs whose policies and embeddings are restored, which takes a second."""


def make_all(work: Path) -> None:
    """Write one folder of each kind."""
    run = embrl.train(
        "gridworld",
        actuators=2,
        seeds=1,
        total_timesteps=2000,
        out=work / "run",
        policy={"hidden": (8,)},
        pretrain={"timesteps": 1000, "gradient_steps": 20},
        evaluation={"episodes": 2, "final_episodes": 2},
    )
    run.embedding().save(work / "embedding")
    embrl.export(work / "run", work / "export", onnx=False)
    architecture = Architecture(4, (3,), 2, "tanh")
    environment = ENVIRONMENTS["cart_pole"]()
    create(work / "population", architecture, "cart_pole", environment, 2)
    table = {name: np.arange(3).astype(kind) for name, kind in COLUMNS.items()}
    append(work / "population", np.ones((3, architecture.size), np.float32), table)
    config = load_config(run.folder)
    (work / "sweep").mkdir()
    plan = sweeps.Sweep(config, {"ppo.actor_lr": (1e-3, 1e-2)})
    sweeps.files.write_json(
        work / "sweep" / sweeps.FILE, {"train": [], "plan": sweeps.plan_json(plan)}
    )


def read_run(path: Path, deep: bool) -> None:
    """Read a run."""
    folder = RunFolder.existing(path)
    config = load_config(folder)
    errors: list[Exception] = []
    for read in (folder.metrics, folder.seed_metrics, folder.quality, folder.summary):
        with _collected(errors):
            read()
    found = checkpoint.latest(folder.checkpoint)
    if found is not None:
        manifest = checkpoint.read_manifest(found)
        checkpoint.unpacked(found / checkpoint.TENSORS, lambda: manifest.get("sha256"))
    with _collected(errors):
        open_folder(config, path, resume=True)
    if deep:
        with _collected(errors):
            restore_policy(folder, config, 0)
        with _collected(errors):
            embrl.load(path).embedding()
    if errors:
        raise errors[0]


@contextlib.contextmanager
def _collected(errors: list[Exception]) -> Any:
    """Collect refusals, so that what follows is tried, too."""
    try:
        yield
    except embrl.EmbrlError as error:
        errors.append(error)


def read_export(path: Path, deep: bool) -> None:
    """Read an exported policy, and act."""
    del deep
    embrl.load_policy(path).act(np.arange(4))


def read_population(path: Path, deep: bool) -> None:
    """Read a population."""
    del deep
    population = Population(path)
    population.table()
    population.weights()
    population.env.build()


READERS: dict[str, Callable[[Path, bool], Any]] = {
    "run": read_run,
    "embedding": lambda path, deep: embrl.load_embedding(path) if deep else _manifest(path),
    "export": read_export,
    "population": read_population,
    "sweep": lambda path, _: sweeps.planned(path),
}
MANIFESTS = {
    "state.safetensors": "manifest.json",
    "embedding.safetensors": "embedding.json",
    "weights.npz": "policy.json",
}


def _manifest(path: Path) -> None:
    from embrl.embedding import saved

    manifest = saved.read_manifest(path)
    checkpoint.unpacked(path / saved.TENSORS, lambda: manifest["sha256"])


def contents(folder: Path) -> dict[str, str]:
    """Return checksums of what a folder holds, by name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes() if path.is_file() else b""
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
    }


def run(tally: Tally, count: int, seed: int, work: Path) -> None:
    """Try damaged folders; reading must change none."""
    make_all(work)
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        kind = draw.choice(["run", "run", *READERS])
        target = work / "damaged"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(work / kind, target)
        path = draw.choice([path for path in sorted(target.rglob("*")) if path.is_file()])
        beside = MANIFESTS.get(path.name)
        how = damage(path, draw, None if beside is None else path.with_name(beside))
        deep = draw.random() < DEEP

        def read(kind: str = kind, deep: bool = deep, target: Path = target) -> None:
            before = contents(target)
            try:
                READERS[kind](target, deep)
            finally:
                assert contents(target) == before, "reading changed the folder"

        tally.try_one((number, kind, how, deep), read)
        if path.is_symlink():
            path.unlink()
