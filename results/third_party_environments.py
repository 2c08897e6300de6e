"""Environments of other packages, each through the whole of embrl.

    pip install box2d minigrid ale-py gymnasium-robotics gym-anytrading sb3-contrib mobile-env
    pip install onnx onnxruntime
    python results/third_party_environments.py [NAME ...]

Trains, fits, wraps, exports, predicts and plays each environment, prints a table and writes it to
results/third_party_environments/table.md. An environment whose package is absent is skipped by
name. Finished ones are kept in runs/third_party and not tried again. Budgets are small: it is shown
that every step works, not what can be learned. Each takes some 45 seconds of processor time.

The environments that take arguments are registered under ids of their own, so that a run of them
plays with `embrl --plugin results/third_party_environments.py play RUN`.
"""

import argparse
import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import io
import json
import os
import platform
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

import embrl
from embrl.cli import main as command
from embrl.envs.gym import HostEnvironment

HERE = Path(__file__).parent
TABLE = HERE / "third_party_environments" / "table.md"
RUNS = HERE.parent / "runs" / "third_party"
TIMESTEPS, FIT, STEPS, EPISODES, MAX_STEPS = 3_000, 800, 60, 2, 500
"""Timesteps of training and of the fit, wrapped steps, and episodes that are played, and cut."""
PREFIX = "ThirdParty/"


class Refusing(gymnasium.Wrapper):
    """An environment that raises where an action is masked by its `info["action_mask"]`."""

    def reset(self, **options: Any) -> Any:
        observation, self.info = self.env.reset(**options)
        return observation, self.info

    def step(self, action: Any) -> Any:
        assert self.info["action_mask"][action], f"action {action} is masked"
        *result, self.info = self.env.step(action)
        return *result, self.info


class Recorder(gymnasium.Wrapper):
    """An environment that keeps its observations and masks."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.seen: list[Any] = []
        self.masks: list[Any] = []

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.seen.append(observation)
        method = getattr(self.unwrapped, "action_masks", None)
        self.masks.append(method() if method is not None else info.get("action_mask"))
        return observation, reward, terminated, truncated, info


def taxi(**options: Any) -> gymnasium.Env:
    return Refusing(gymnasium.make("Taxi-v4", **options))


def frozen_lake(**options: Any) -> gymnasium.Env:
    return gymnasium.make("FrozenLake-v1", map_name="8x8", **options)


def flat_minigrid(**options: Any) -> gymnasium.Env:
    env = gymnasium.make("MiniGrid-Empty-5x5-v0", **options)
    return importlib.import_module("minigrid.wrappers").FlatObsWrapper(env)


def pong_frames(**options: Any) -> gymnasium.Env:
    env = gymnasium.make("ALE/Pong-v5", obs_type="grayscale", **options)
    small = gymnasium.spaces.Box(0, 255, (70, 80), np.uint8)
    env = gymnasium.wrappers.TransformObservation(env, lambda frame: frame[::3, ::2], small)
    return gymnasium.wrappers.FrameStackObservation(env, stack_size=4)


def pong(**options: Any) -> gymnasium.Env:
    return gymnasium.make("ALE/Pong-v5", obs_type="ram", **options)


def invalid_actions(kind: str, settings: dict[str, Any], **options: Any) -> gymnasium.Env:
    environments = importlib.import_module("sb3_contrib.common.envs")
    return getattr(environments, f"InvalidActionEnv{kind}")(**settings, **options)


@dataclasses.dataclass(frozen=True)
class Case:
    """An environment, and the package that has it."""

    id: str
    module: str = "gymnasium"
    """Module that registers the environment, or has it."""
    package: str = "gymnasium"
    """Name on PyPI."""
    make: Callable[..., gymnasium.Env] | None = None
    """What `id` is registered with; None where its package registers it."""
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Arguments of `embrl.train`."""


BOX2D, CONTRIB = ("Box2D", "box2d"), ("sb3_contrib", "sb3-contrib")
CUT = {"evaluation": {"max_episode_steps": MAX_STEPS}}


def _invalid(kind: str, **settings: Any) -> Case:
    make = functools.partial(invalid_actions, kind, settings)
    return Case(f"{PREFIX}InvalidActionEnv{kind}-v0", *CONTRIB, make)


CASES = {
    "Blackjack-v1": Case("Blackjack-v1"),
    "CliffWalking-v1": Case("CliffWalking-v1", settings=CUT),
    "Taxi-v4, which refuses masked actions": Case(f"{PREFIX}Taxi-v0", make=taxi),
    "FrozenLake-v1 8x8": Case(f"{PREFIX}FrozenLake8x8-v0", make=frozen_lake),
    "LunarLander-v3": Case("LunarLander-v3", *BOX2D),
    "BipedalWalker-v3": Case("BipedalWalker-v3", *BOX2D, settings={"algorithm": "sac"}),
    "PointMaze_UMaze-v3": Case("PointMaze_UMaze-v3", "gymnasium_robotics", "gymnasium-robotics"),
    "MiniGrid-Empty-5x5-v0, FlatObs": Case(
        f"{PREFIX}MiniGridFlat-v0", "minigrid", "minigrid", flat_minigrid
    ),
    "MiniGrid-Empty-5x5-v0, a Dict": Case("MiniGrid-Empty-5x5-v0", "minigrid", "minigrid"),
    "ALE/Pong-v5, four frames": Case(
        f"{PREFIX}PongFrames-v0", "ale_py", "ale-py", pong_frames, CUT
    ),
    "ALE/Pong-v5, RAM": Case(f"{PREFIX}PongRAM-v0", "ale_py", "ale-py", pong, CUT),
    "stocks-v0": Case("stocks-v0", "gym_anytrading", "gym-anytrading", settings=CUT),
    "InvalidActionEnvDiscrete": _invalid("Discrete", dim=20, n_invalid_actions=10),
    "InvalidActionEnvMultiDiscrete": _invalid("MultiDiscrete", dims=[5, 5], n_invalid_actions=4),
    "InvalidActionEnvMultiBinary": _invalid("MultiBinary", dims=5, n_invalid_actions=3),
    "mobile-small-central-v0": Case("mobile-small-central-v0", "mobile_env", "mobile-env"),
}
"""Environments by the names that are shown."""


def register() -> None:
    """Register the environments whose package is installed."""
    for case in CASES.values():
        if importlib.util.find_spec(case.module) is None:
            continue
        if case.make is not None:
            gymnasium.register(case.id, entry_point=case.make)
        elif case.module != "gymnasium":
            gymnasium.register_envs(importlib.import_module(case.module))
    for module in ("minigrid", "ale_py"):
        if importlib.util.find_spec(module) is not None:
            gymnasium.register_envs(importlib.import_module(module))


class Tour:
    """The way of one environment through embrl; each stage returns what it came to."""

    STAGES = ("train", "fit", "wrap", "export", "predict", "play")

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder = case, folder
        self.host = HostEnvironment.of(functools.partial(gymnasium.make, case.id), case.id)
        self.recorder = Recorder(gymnasium.make(case.id))

    def train(self) -> str:
        settings = {"evaluation": {}, "pretrain": {"gradient_steps": 100}} | self.case.settings
        settings["evaluation"] = {"episodes": 2, "final_episodes": 4} | settings["evaluation"]
        self.run = embrl.train(
            self.case.id, total_timesteps=TIMESTEPS, seeds=1, out=self.folder, **settings
        )
        return f"return {self.run.summary['final_return_mean']:.1f}"

    def fit(self) -> str:
        embedding = {"timesteps": FIT, "pretrain": {"gradient_steps": 100}}
        self.embedding = embrl.fit(self.case.id, **embedding)
        return f"loss {self.embedding.quality['held_out_loss']:.3f}"

    def wrap(self) -> str:
        wrapped = embrl.wrap(self.recorder, self.embedding)
        wrapped.reset(seed=0)
        wrapped.action_space.seed(0)
        for _ in range(STEPS):
            observation, _, terminated, truncated, _ = wrapped.step(wrapped.action_space.sample())
            assert wrapped.observation_space.contains(observation)
            if terminated or truncated:
                wrapped.reset()
        return f"{wrapped.observation_space.shape[0]} x {wrapped.action_space.shape[0]}"

    def export(self) -> str:
        """Compare NumPy's and ONNX's answers with the policy's, with and without masks."""
        forms = [importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")]
        onnx = None not in forms
        masked = self.host.masked
        path = embrl.export(self.folder, onnx=onnx, mask=masked and onnx)
        self.policy = embrl.load_policy(path)
        own = self.run.policy(environment=self.host)
        plain = self.policy.observation.shape == np.shape(self.recorder.seen[0])
        seen = self.recorder.seen
        self.rows = np.stack([each if plain else self.host.observations(each) for each in seen])
        masks = [self.host.mask_forms(mask) for mask in self.recorder.masks] if masked else []
        for only in (None, masks)[: 1 + masked]:
            answers = {
                "jax": [
                    own.act(each, deterministic=True, mask=None if only is None else only[i])
                    for i, each in enumerate(seen)
                ],
                "numpy": self.policy.act(self.rows, mask=None if only is None else np.stack(only)),
            }
            if onnx:
                answers["onnx"] = _onnx(path, self.rows, masked, only, self.policy)
            for name, found in answers.items():
                close = np.allclose(found, answers["jax"], rtol=0, atol=1e-4)
                assert close, f"{name} answers otherwise than jax, mask {only is not None}"
        return f"{' = '.join(answers)}{', masked, too' if masked else ''}"

    def predict(self) -> str:
        for kind in ("csv", "npz"):
            rows, out = self.folder / f"rows.{kind}", self.folder / "actions.npy"
            if kind == "csv":
                np.savetxt(rows, self.rows.reshape(len(self.rows), -1), delimiter=",", fmt="%.17g")
            else:
                np.savez(rows, observations=self.rows)
            _command("predict", str(self.folder / "policy-0"), str(rows), "--out", str(out))
            np.testing.assert_array_equal(np.load(out), self.policy.act(self.rows))
        return f"{len(self.rows)} of CSV, NPZ"

    def play(self) -> str:
        options = ("--episodes", str(EPISODES), "--max-steps", str(MAX_STEPS))
        said = _command("play", str(self.folder), *options)
        return next(line for line in said.splitlines() if line.startswith("mean return"))


def _onnx(path: Path, rows: np.ndarray, masked: bool, only: Any, policy: Any) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path / "policy.onnx"))
    inputs = {"observation": rows}
    if masked:
        everything = np.ones((len(rows), policy.mask_forms.count), bool)
        inputs["mask"] = everything if only is None else np.stack(only)
    return session.run(None, inputs)[0]


def _command(*arguments: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = command(list(arguments))
    assert code in (None, 0), f"embrl {arguments[0]}: exit code {code}"
    return said.getvalue()


def tried(name: str, case: Case) -> dict[str, Any]:
    """Take an environment through all stages; one that fails ends it, with the reason."""
    found: dict[str, Any] = {"name": name, "stages": {}, "warnings": []}
    if case.module != "gymnasium":
        found["package"] = f"{case.package} {importlib.metadata.version(case.package)}"
    folder = RUNS / _file_name(name)
    shutil.rmtree(folder, ignore_errors=True)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", embrl.EmbrlWarning)
        tour = Tour(case, folder)
        for stage in Tour.STAGES:
            try:
                result = getattr(tour, stage)()
            except Exception as error:
                found["stages"][stage] = f"**{type(error).__name__}**: {error}"
                break
            found["stages"][stage] = result
    messages = (str(each.message) for each in said if each.category is embrl.EmbrlWarning)
    found["warnings"] = list(dict.fromkeys(messages))
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """Return the page of all environments."""
    used = ("embrl", "gymnasium", "numpy", "jax", "onnx", "onnxruntime")
    installed = [name for name in used if importlib.util.find_spec(name) is not None]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in installed]
    if flags := os.environ.get("XLA_FLAGS"):  # as one that compiles faster, and computes slower
        versions.append(f"XLA_FLAGS {flags}")
    lines = [
        "# Environments of other packages",
        "",
        f"`python results/third_party_environments.py`: {TIMESTEPS:,} timesteps of training, a fit "
        f"on {FIT}, {STEPS} wrapped steps, an export whose answers to those {STEPS} observations "
        "are compared, the same answers by `embrl predict` from a CSV and an NPZ, and "
        f"`embrl play` of {EPISODES} episodes of at most {MAX_STEPS} steps. Every step works where "
        "it says what it came to; nothing is learned in so few timesteps. Python "
        f"{platform.python_version()}, {', '.join(versions)}.",
        "",
        f"| environment | package | {' | '.join(Tour.STAGES)} | warnings |",
        f"|{'---|' * (len(Tour.STAGES) + 3)}",
    ]
    for row in rows:
        package = row.get("package", "gymnasium")
        if "skipped" in row:
            cells = [f"skipped: {row['skipped']}", *[""] * (len(Tour.STAGES) - 1)]
        else:
            cells = [row["stages"].get(stage, "") for stage in Tour.STAGES]
        said = "; ".join(row.get("warnings", ()))
        texts = (row["name"], package, *cells, said)
        lines.append(
            "| " + " | ".join(" ".join(text.replace("|", "/").split()) for text in texts) + " |"
        )
    return "\n".join(lines) + "\n"


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", nargs="*", help=f"environments; default all: {', '.join(CASES)}")
    wanted = parser.parse_args().name or list(CASES)
    if unknown := [name for name in wanted if name not in CASES]:
        parser.error(f"no such environment: {', '.join(unknown)}; choose from {', '.join(CASES)}")
    rows = []
    RUNS.mkdir(parents=True, exist_ok=True)
    for name, case in CASES.items():
        kept = RUNS / f"{_file_name(name)}.json"
        if importlib.util.find_spec(case.module) is None:
            absent = f"{case.package} is not installed"
            row = {"name": name, "package": case.package, "skipped": absent}
        elif name in wanted and not kept.exists():
            row = tried(name, case)
            kept.write_text(json.dumps(row, indent=1))
        elif kept.exists():
            row = json.loads(kept.read_text())
        else:
            row = {"name": name, "package": case.package, "skipped": "not tried"}
        print(name, row.get("skipped") or row["stages"], flush=True)
        rows.append(row)
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table(rows))
    print(table(rows))


register()
if __name__ == "__main__":
    main()
