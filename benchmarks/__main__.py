"""Run every benchmark and print one table."""

import importlib.util

from rich.console import Console
from rich.table import Table

from benchmarks import (
    agent_steps,
    environment_steps,
    host_training,
    joint_actions,
    nearest_action,
    sac_updates,
    small_networks,
    training,
)
from embrl.core.runtime import prepare_jax


def main() -> None:
    """Print a row for each measurement."""
    prepare_jax()
    table = Table("what", "embrl", "rival", "ratio", title="speed on this machine")
    benchmarks = [
        environment_steps,
        agent_steps,
        nearest_action,
        joint_actions,
        training,
        small_networks,
        sac_updates,
    ]
    if importlib.util.find_spec("mujoco"):
        benchmarks.append(host_training)
    for benchmark in benchmarks:
        for row in benchmark.run():
            ratio = row.embrl / row.rival
            table.add_row(
                row.what, f"{row.embrl:,.0f}/s", f"{row.rival:,.0f}/s {row.name}", f"{ratio:,.1f}x"
            )
    Console().print(table)


main()
