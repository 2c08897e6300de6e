"""What a run leaves behind, to compare runs by."""

import json
from pathlib import Path


def outcome(folder: Path) -> dict[str, object]:
    """Everything a run leaves that does not depend on how long it took."""
    summary = json.loads((folder / "summary.json").read_text())
    for name in ("wall_s", "timesteps_per_s"):
        del summary[name]
    return {
        "metrics": (folder / "metrics.csv").read_bytes(),
        "summary": summary,
        "tensors": next((folder / "checkpoint").glob("*/state.safetensors")).read_bytes(),
    }
