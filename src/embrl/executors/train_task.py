"""The task of kind `run`: training of one configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embrl.config.run import RunConfig, as_json, from_json
from embrl.executors.tasks import Heard, Task
from embrl.training.loop import Progress, train


def run_task(name: str, config: RunConfig, out: Path, sweep: bool = False) -> Task:
    """Return the task of training a configuration in a folder."""
    size = float(config.replicas * config.total_timesteps)
    return Task(name, "run", {"config": as_json(config), "sweep": sweep}, out, size)


def train_run(spec: Mapping[str, Any], out: Path, heard: Heard) -> None:
    """Train as `embrl train` or a part of `embrl sweep` does, from the last checkpoint."""

    def show(progress: Progress) -> None:
        heard(progress.stage, progress.done, progress.total, progress.messages)

    config = from_json(dict(spec["config"]), "task")
    train(config, out, resume=True, on_progress=show, sweep=spec["sweep"])
