"""The tasks of kind `agents_report`: parts of a report, which the report itself then finds."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from embrl.agents.embeddings.embedding import load
from embrl.agents.evidence.report import WEIGHT_SPACES, ReportConfig, ReportParts
from embrl.agents.generate import supports_search
from embrl.agents.population import Population
from embrl.executors.tasks import Executor, Heard, Task, check_complete, missing, write_reports
from embrl.storage import files
from embrl.training.loop import Progress


def measure_apart(
    executor: Executor,
    population: Path,
    embeddings: Mapping[str, Path],
    out: Path,
    config: ReportConfig,
) -> None:
    """Measure all parts of a report with an executor, into `out`/parts.

    Args:
        executor: what measures them.
        population: folder of the population.
        embeddings: folders of embeddings by name.
        out: folder of the report.
        config: settings of the report.

    Raises:
        EmbrlError: some parts are missing; the others are kept.
    """
    spec = {
        "population": str(population.absolute()),
        "embeddings": {name: str(path.absolute()) for name, path in embeddings.items()},
        "config": dataclasses.asdict(config),
    }
    work = _work(spec, out, lambda _: None)
    parts: list[tuple[str, Sequence[str]]] = [("similarity", ())]
    for name, embedding in work.embeddings.items():
        parts += [("quality", (name,)), ("novelty", (name,))]
        parts += [("searched", (name,))] * supports_search(embedding)
    for scope, names in work.scopes().items():
        parts += [("walked", (scope, name)) for name in (*names, *WEIGHT_SPACES)]
    tasks = [
        Task(" ".join((part, *of)), "agents_report", {**spec, "part": part, "of": list(of)}, out)
        for part, of in parts
    ]
    reports = executor.run(tasks, "parts of the report")
    files.make_folder(out)
    write_reports(reports, out)
    check_complete(missing(reports), len(tasks), "the same command tries them again")


def measure_part(spec: Mapping[str, Any], out: Path, heard: Heard) -> None:
    """Measure one part, unless it is there from the same inputs."""

    def show(progress: Progress) -> None:
        heard(progress.stage, progress.done, progress.total, progress.messages)

    getattr(_work(spec, out, show), spec["part"])(*spec["of"])


def _work(spec: Mapping[str, Any], out: Path, on_progress: Any) -> ReportParts:
    embeddings = {name: load(path) for name, path in spec["embeddings"].items()}
    config = ReportConfig(**spec["config"])
    return ReportParts(Population(spec["population"]), embeddings, out, config, on_progress)
